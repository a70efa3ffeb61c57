"""How dangerous is a command? A pure function from `Command` to `Verdict`.

The level in the verb table is the floor; the rules below raise it. Nothing lowers it but a dry run, which changes nothing.
The classes and rules are those of docs/safety.md. What a manifest or a patch holds is judged by k8s.contents.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from k8s.contents import (
    GUARDED,
    GUARDED_CONFIG,
    GUARDED_KEYS,
    HOST,
    KEY_REASON,
    RIGHTS,
    TOKEN_TYPES,
    Finding,
    object_findings,
    patch_findings,
    singular,
)
from k8s.grammar import CommandRefused, parse
from k8s.manifests import ManifestBroken, read_manifest, read_patch
from k8s.types import Command, Level, Verdict
from k8s.verbs import VERBS


def classify(command: Command) -> Verdict:
    """Judge one command. The highest level wins; every reason at that level is kept."""
    try:
        objects = read_manifest(command.manifest) if command.manifest is not None else ()
        patches = [read_patch(value) for name in ("patch", "overrides") if (value := command.flag(name)) is not None]
    except ManifestBroken as error:
        return Verdict(Level.FORBIDDEN, "manifest", (str(error),))
    findings = [*_secret_values(command, objects), *_effects(command, objects, patches)]
    worst = max((finding[0] for finding in findings), key=lambda level: level.rank)
    decided = [finding for finding in findings if finding[0] is worst]
    specific = [finding for finding in decided if finding[1] not in _GENERAL] or decided
    return Verdict(worst, specific[0][1], tuple(dict.fromkeys(reason for _, _, reason in specific)))


def judge(line: str, *, manifest: str | None = None, files: Mapping[str, str] | None = None) -> tuple[Command | None, Verdict]:
    """Read and judge one line as typed. What cannot be read is forbidden, with the grammar's rule and reason."""
    try:
        command = parse(line, manifest=manifest, files=files)
    except CommandRefused as refused:
        return None, Verdict(Level.FORBIDDEN, refused.rule, (refused.reason,))
    return command, classify(command)


_FLOOR: dict[str, tuple[str, str]] = {
    Level.SAFE: ("read", "It only reads."),
    Level.WARNING: (
        "reversible-change",
        "It changes the cluster, can be taken back, and interrupts nothing by itself.",
    ),
    Level.DANGEROUS: ("destroys", "It removes objects that may not come back."),
    "drain": ("interrupts", "It evicts every pod of the node."),
    "exec": ("exec", "It runs a program inside a container, which can do whatever the container may."),
    "set serviceaccount": ("moves-rights", "It gives the pods another identity, with that one's rights."),
    "set subject": ("moves-rights", "It changes who holds a Role."),
    "create role": ("moves-rights", "It makes rights that can be given away."),
    "create clusterrole": ("moves-rights", "It makes rights that can be given away."),
    "create rolebinding": ("moves-rights", "It gives somebody rights."),
    "create clusterrolebinding": ("moves-rights", "It gives somebody rights in every namespace."),
}
"""Rule and reason of a verb's own level: the verb's, or else the level's."""
_GENERAL = frozenset({"read", "reversible-change", "dry-run"})


def _effects(command: Command, objects: tuple[dict[str, Any], ...], patches: list[Any]) -> Iterator[Finding]:
    """What the command does to the cluster."""
    level = VERBS[command.verb].level
    if level is Level.SAFE or _only_lists(command):
        yield Level.SAFE, *_FLOOR[Level.SAFE]
    elif command.dry_run:
        yield Level.SAFE, "dry-run", "It only asks the server what would happen."
    else:
        yield level, *_FLOOR.get(command.verb, _FLOOR[level])
        yield from _named_objects(command)
        yield from _by_flags(command)
        for found in objects:
            yield from object_findings(found)
        for patch in patches:
            yield from patch_findings(patch, {singular(resource) for resource in command.resources})


def _only_lists(command: Command) -> bool:
    """`label`, `annotate` and `set env` with --list and nothing to set."""
    return command.has("list") and not command.args and not command.flag("env") and not command.flag("from")


# --- Secrets --------------------------------------------------------------------------------------------------------------

_FIELD = r"(metadata\.(name|namespace|uid|resourceVersion|generation|creationTimestamp|labels\.[\w./\\-]+)|type|kind|apiVersion)"
_PLAIN_PATH = re.compile(rf"\{{?\.?(items\[(\*|\d+)\]\.)?{_FIELD}\}}?")
_PLAIN_PIECE = re.compile(rf"\{{(range \.?items\[\*\]|end|\"[^\"]*\"|'[^']*'|\.?(items\[(\*|\d+)\]\.)?{_FIELD})\}}")
"""What may be printed of a Secret without asking: names, keys and labels. Everything else could be a value."""


def _secret_values(command: Command, objects: tuple[dict[str, Any], ...]) -> Iterator[Finding]:
    """Reading Secret values asks first, whatever form the output has. Sorting by, waiting for, comparing with or testing a value
    tells it bit by bit.
    """
    named = any(singular(resource) == "secret" for resource in command.resources) or command.verb.startswith("create secret")
    carried = any(str(found["kind"]).casefold() == "secret" for found in objects)
    if (named or carried) and _prints_values(command.flag("output", "") or ""):
        yield Level.WARNING, "secret-values", "It reads the values of Secrets. KubeChat hides them in its answer."
    if named and not _PLAIN_PATH.fullmatch(command.flag("sort-by") or ".type"):
        yield Level.WARNING, "secret-values", "Sorting Secrets by a value tells that value bit by bit."
    if named and (command.flag("for") or "").lower().startswith("jsonpath"):
        yield Level.WARNING, "secret-values", "Waiting for a value of a Secret tells that value bit by bit."
    compared = command.verb == "diff" or (command.dry_run and command.verb in {"apply", "patch"})
    if compared and (carried or named):
        yield Level.WARNING, "secret-values", "Whether a Secret would change tells whether its value was guessed."
    if named and command.verb == "annotate" and command.has("list"):
        yield Level.WARNING, "secret-values", "The annotation of the last apply holds the values of the Secret."
    if command.verb == "set env" and command.has("resolve"):
        yield Level.WARNING, "secret-values", "--resolve reads the values of Secrets."


def _prints_values(output: str) -> bool:
    form, _, expression = output.partition("=")
    if form == "custom-columns":
        return not all(_PLAIN_PATH.fullmatch(column.partition(":")[2]) for column in expression.split(","))
    if form.startswith("jsonpath") and not _PLAIN_PATH.fullmatch(expression):
        return bool(re.search(r"[{}]", _PLAIN_PIECE.sub("", expression))) or "{" not in expression
    return form in {"yaml", "json"}


# --- what is named --------------------------------------------------------------------------------------------------------


def _named_objects(command: Command) -> Iterator[Finding]:
    """Any change to Roles, Bindings and what decides about requests moves rights, labels and annotations included."""
    for resource in command.resources:
        if guarded := GUARDED.get(singular(resource)):
            level, rule, what = guarded
            yield level, rule, f"It changes {resource}, and that {what}."
    if "configmap" in map(singular, command.resources) and GUARDED_CONFIG & set(command.names):
        yield Level.DANGEROUS, RIGHTS, "This ConfigMap says whose identity the cluster believes."
    keys = [*command.args, *command.flag_values("annotations"), *command.flag_values("annotation")]
    if any(GUARDED_KEYS.search(word.partition("=")[0]) for word in keys):
        yield Level.DANGEROUS, RIGHTS, f"Here {KEY_REASON}."


_LOADS_CODE = re.compile(
    r"(LD_PRELOAD|LD_LIBRARY_PATH|LD_AUDIT|BASH_ENV|NODE_OPTIONS|PYTHONPATH|PYTHONSTARTUP|PERL5OPT|RUBYOPT|JAVA_TOOL_OPTIONS"
    r"|JDK_JAVA_OPTIONS|DOTNET_STARTUP_HOOKS)="
)


def _by_flags(command: Command) -> Iterator[Finding]:
    """What single flags and operands add."""
    verb = command.verb
    if verb == "scale" and command.flag("replicas") == "0":
        yield Level.DANGEROUS, "interrupts", "With no replicas left, it serves nobody."
    if verb == "autoscale" and "0" in (command.flag("min"), command.flag("max")):
        yield Level.DANGEROUS, "interrupts", "It may scale down to no replicas at all."
    if verb == "taint" and any(word.endswith(":NoExecute") for word in command.args):
        yield Level.DANGEROUS, "interrupts", "NoExecute evicts the pods that do not tolerate it, at once."
    if verb in {"apply", "replace"} and command.has("force"):
        yield Level.DANGEROUS, "destroys", "--force deletes the object and makes it anew."
    if command.flag("subresource") == "status":
        yield Level.DANGEROUS, "interrupts", "Controllers act on the status; a false one stops pods or moves traffic."
    if command.flag("type") in TOKEN_TYPES:
        yield Level.DANGEROUS, RIGHTS, "It makes a credential that works without a password."
    if command.has("privileged"):
        yield Level.DANGEROUS, HOST, "A privileged container controls its node."
    if command.flag("overrides") is not None:
        yield Level.DANGEROUS, HOST, "--overrides can set any field of the object, past what the flags show."
    if command.flag("external-ip"):
        yield Level.DANGEROUS, "interrupts", "--external-ip can take over traffic that is meant for another service."
    if any(_LOADS_CODE.match(word) for word in (*command.args, *command.flag_values("env"))):
        yield Level.WARNING, "loads-code", "This variable makes the program load other code."
