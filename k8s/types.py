"""The words of the command core: what is asked, how it is judged, what came of it."""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import rfc8785

from k8s.kinds import find_kind
from k8s.verbs import VERBS, Operands
from k8s.verbs import Level as Level


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one command: the rule that decided and why, in words for people."""

    level: Level
    rule: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One thing a command names: a resource (`deployments`, `widgets.example.com`) and, unless all are meant, a name."""

    resource: str
    name: str | None = None

    def __str__(self) -> str:
        return self.resource if self.name is None else f"{self.resource}/{self.name}"


@dataclass(frozen=True, slots=True)
class Command:
    """One kubectl command, understood. Nothing runs except from one of these.

    `verb` includes the sub-verb (`rollout restart`, `set image`, `create deployment`). `flags` holds long names and their values
    in the order given, without `--namespace` and `--all-namespaces`; a switch has the value `true`. `args` are the
    operands that are not targets (`app=shop` of label, `web=nginx:1.27` of set image, the name of create).
    `remote` is what follows `--`: a command for a container. `manifest` is the YAML or JSON that came with the message, never a
    path.
    """

    verb: str
    targets: tuple[Target, ...] = ()
    args: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    namespace: str | None = None
    all_namespaces: bool = False
    cluster: str | None = None
    manifest: str | None = None

    def flag(self, name: str, default: str | None = None) -> str | None:
        """The value of a flag by its long name, or `default`."""
        return next((value for key, value in self.flags if key == name), default)

    def flag_values(self, name: str) -> tuple[str, ...]:
        """All values of a flag that may be given several times."""
        return tuple(value for key, value in self.flags if key == name)

    def has(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.flag(name) == "true"

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources named, each once, in order."""
        return tuple(dict.fromkeys(target.resource for target in self.targets))

    @property
    def names(self) -> tuple[str, ...]:
        """The object names given, in order."""
        return tuple(target.name for target in self.targets if target.name is not None)

    @property
    def dry_run(self) -> bool:
        """Whether the command asks the server to pretend."""
        return self.flag("dry-run", "none") != "none"

    @property
    def text(self) -> str:
        """The kubectl line a person would type; parsing it again gives this command."""
        words = ["kubectl", *_verb_and_targets(self), *self.args]
        if self.namespace is not None:
            words += ["-n", self.namespace]
        if self.all_namespaces:
            words.append("-A")
        for name, value in self.flags:
            words += _flag_words(self.verb, name, value)
        if self.manifest is not None:
            words += ["-f", "-"]
        if self.remote:
            words += ["--", *self.remote]
        return " ".join(shlex.quote(word) if _needs_quotes(word) else word for word in words)

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON (RFC 8785) of everything that decides what the command does, in hex."""
        return hashlib.sha256(b"kubechat.command.v1\x00" + rfc8785.dumps(self.as_json())).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """A JSON value that `command_from_json` turns back into an equal command."""
        return {
            "verb": self.verb,
            "targets": [[target.resource, target.name] for target in self.targets],
            "args": list(self.args),
            "remote": list(self.remote),
            "flags": [list(flag) for flag in self.flags],
            "namespace": self.namespace,
            "all_namespaces": self.all_namespaces,
            "cluster": self.cluster,
            "manifest": self.manifest,
        }

    def within(self, namespace: str | None) -> "Command":
        """The same command in another namespace."""
        return replace(self, namespace=namespace)


def command_from_json(data: Mapping[str, Any]) -> Command:
    """The command that `Command.as_json` described."""
    return Command(
        verb=data["verb"],
        targets=tuple(Target(resource, name) for resource, name in data["targets"]),
        args=tuple(data["args"]),
        remote=tuple(data["remote"]),
        flags=tuple((name, value) for name, value in data["flags"]),
        namespace=data["namespace"],
        all_namespaces=data["all_namespaces"],
        cluster=data["cluster"],
        manifest=data["manifest"],
    )


def _verb_and_targets(command: Command) -> list[str]:
    verb = command.verb.split()
    operands = VERBS[command.verb].operands
    if operands is Operands.NODES:
        return [*verb, *command.names]
    if command.verb == "top pods":
        return [*verb, *command.names]
    if operands is Operands.POD:
        return [*verb, *(str(t) if t.resource != "pods" else t.name or "" for t in _shown(command.targets))]
    return [*verb, *_target_words(command.targets)]


_SHORT = frozenset({"output", "selector", "container"})
"""Flags that people write with one letter."""


def _flag_words(verb: str, name: str, value: str) -> list[str]:
    flag = VERBS[verb].find(name)
    if name in _SHORT and flag is not None and flag.short:
        return [f"-{flag.short}", value]
    return [f"--{name}"] if flag is not None and flag.bare == value == "true" else [f"--{name}={value}"]


def _shown(targets: tuple[Target, ...]) -> list[Target]:
    return [target if target.resource == "pods" else Target(_singular(target.resource), target.name) for target in targets]


def _target_words(targets: tuple[Target, ...]) -> list[str]:
    """`pods` and `pods,services` without names, `pod a b` for one resource, `deployment/a service/b` for several."""
    resources = list(dict.fromkeys(target.resource for target in targets))
    if not targets:
        return []
    if all(target.name is None for target in targets):
        return [",".join(resources)]
    if len(resources) == 1:
        return [_singular(resources[0]), *(target.name or "" for target in targets)]
    return [f"{_singular(target.resource)}/{target.name}" for target in targets]


def _singular(resource: str) -> str:
    kind = find_kind(resource)
    return kind.singular if kind else resource


def _needs_quotes(word: str) -> bool:
    return word == "" or any(character not in _PLAIN for character in word)


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+")


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object of a cluster as it was when looked at."""

    resource: str
    namespace: str | None
    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.resource}/{self.name}"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that a change sets: `replicas 3 → 5`. `None` stands for absent."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as the API server prints them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do, as the server said in a dry run.

    `digest_material` is what an approval is bound to besides the command: the objects by UID and generation.
    `undo` is the kubectl line that would take the change back, or None where there is none; `undo_manifest` goes with it.
    """

    summary: tuple[str, ...]
    changes: tuple[tuple[ObjectRef, tuple[FieldChange, ...]], ...] = ()
    targets: tuple[ObjectRef, ...] = ()
    undo: str | None = None
    undo_manifest: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What came of a command. `truncated` says in words what was cut, or is empty. `duration` is in seconds."""

    text: str = ""
    tables: tuple[Table, ...] = ()
    changed: tuple[ObjectRef, ...] = ()
    truncated: str = ""
    duration: float = 0.0
    undo: str | None = None
    undo_manifest: str | None = None
    notes: tuple[str, ...] = field(default=())
