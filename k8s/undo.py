"""What takes a change back: computed from the objects as they were before, and offered only where it really does so."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k8s.change import Change, key_values, pod_spec_of, pod_spec_path
from k8s.client import type_of_patch
from k8s.generate import GENERATORS
from k8s.grammar import CommandRefused, parse
from k8s.inverse import NoInverse, inverse
from k8s.live import dig
from k8s.patching import same_taint, taint_word
from k8s.redact import LAST_APPLIED, redact_object
from k8s.render import to_yaml
from k8s.setting import GROUPS
from k8s.types import Command, Target


@dataclass(frozen=True, slots=True)
class Undo:
    """One command that takes the change back (its manifest within), or the reason why there is none."""

    command: Command | None = None
    why_not: str = ""


def undo_of(command: Command, changes: Sequence[Change]) -> Undo:
    """The command that takes all the changes back, if one command can. Pure: looks at `Change.before` only."""
    real = [change for change in changes if change.method]
    rule = RULES.get(command.verb)
    if not real or rule is None:
        return Undo(why_not="" if not real else f"`{command.verb}` cannot be taken back by a command.")
    undo = rule(command, real)
    return undo if undo.command is None or _can_be_said(undo.command) else _UNSAYABLE


def _can_be_said(command: Command) -> bool:
    """Whether the line, typed by a person, would be this command: a value may hold a line end, or a manifest be too large."""
    try:
        return parse(command.text, manifest=command.manifest) == command
    except CommandRefused:
        return False


_UNSAYABLE = Undo(why_not="What was there before cannot be written in one command line.")


def _again(changes: Sequence[Change], verb: str, **parts: Any) -> Undo:
    targets = tuple(Target(change.target.resource, change.target.name) for change in changes)
    namespaces = {change.target.namespace for change in changes} - {None}
    if len(namespaces) > 1:
        return Undo(why_not="The objects lie in several namespaces, so that no single command takes it back.")
    return Undo(Command(verb=verb, targets=targets, namespace=namespaces.pop() if namespaces else None, **parts))


_HIDDEN = Undo(why_not="What was there before holds secret values, which must not be written out to put it back.")
_DIFFERENT = Undo(why_not="The objects differed before, so that no single command takes it back.")


def _scale(command: Command, changes: Sequence[Change]) -> Undo:
    before = {int(dig(change.before, "spec", "replicas", default=1)) for change in changes}
    return _again(changes, "scale", flags=(("replicas", str(before.pop())),)) if len(before) == 1 else _DIFFERENT


def _keyed(field: str) -> Callable[[Command, Sequence[Change]], Undo]:
    def undo(command: Command, changes: Sequence[Change]) -> Undo:
        wished, removed = key_values(command)
        keys = [*wished, *removed]
        states = {tuple(dig(change.before, "metadata", field, key) for key in keys) for change in changes}
        if len(states) != 1:
            return _DIFFERENT
        before = states.pop()
        values = dict(zip(keys, before, strict=True))
        if redact_object({"metadata": {field: values}})["metadata"][field] != values:
            return _HIDDEN
        args = tuple(f"{key}-" if value is None else f"{key}={value}" for key, value in zip(keys, before, strict=True))
        keep = tuple(arg for arg, key, value in zip(args, keys, before, strict=True) if value != wished.get(key))
        return _again(changes, command.verb, args=keep, flags=(("overwrite", "true"),))

    return undo


def _opposite(verb: str) -> Callable[[Command, Sequence[Change]], Undo]:
    return lambda command, changes: _again(changes, verb)


def _set_image(command: Command, changes: Sequence[Change]) -> Undo:
    states = set()
    for change in changes:
        spec = pod_spec_of(change.target.resource, change.before or {})
        images = {c["name"]: c.get("image", "") for group in ("initContainers", "containers") for c in spec.get(group) or ()}
        wished, _ = key_values(command)
        states.add(tuple((name, image) for name, image in images.items() if wished.get(name, wished.get("*", image)) != image))
    if len(states) != 1:
        return _DIFFERENT
    return _again(changes, "set image", args=tuple(f"{name}={image}" for name, image in states.pop()))


def _rollout_undo(command: Command, changes: Sequence[Change]) -> Undo:
    numbers = {change.revision for change in changes}
    return _again(changes, "rollout undo", flags=(("to-revision", str(numbers.pop())),)) if len(numbers) == 1 else _DIFFERENT


# --- fields set -----------------------------------------------------------------------------------------------------------


def _set_env(command: Command, changes: Sequence[Change]) -> Undo:
    """The values before, and the names that were not there; one command only where every container was alike."""
    states = set()
    for change in changes:
        path = pod_spec_path(change.target.resource)
        new, old = (dig(value, *path, default={}) for value in (change.body, change.before))
        for group in GROUPS:
            containers = {container["name"]: container for container in old.get(group) or ()}
            for touched in new.get(group) or ():
                present = {entry["name"]: entry for entry in containers[touched["name"]].get("env") or ()}
                states.add(tuple((entry["name"], _as_json(present.get(entry["name"]))) for entry in touched["env"]))
    if len(states) != 1:
        return _DIFFERENT
    before = [(name, json.loads(was)) for name, was in states.pop()]
    entries = [entry for _, entry in before if entry is not None]
    if redact_object({"env": entries})["env"] != entries:
        return _HIDDEN
    if any("valueFrom" in entry for entry in entries):
        return Undo(why_not="A reference was there before, which no `set env` puts back.")
    args = tuple(f"{name}-" if entry is None else f"{name}={entry.get('value', '')}" for name, entry in before)
    only = command.flag("containers")
    return _again(changes, "set env", args=args, flags=(("containers", only),) if only else ())


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _patched(command: Command, changes: Sequence[Change]) -> Undo:
    """A patch that gives the touched fields back what they held."""
    undos = set()
    for change in changes:
        kind = next(name for name, content_type in type_of_patch.items() if content_type == change.content_type)
        try:
            back, kind = inverse(change.before or {}, change.body, kind)
        except NoInverse:
            return Undo(why_not="A patch with directives, or of the whole object, cannot be taken back by a command.")
        shown = {**back, "kind": dig(change.before, "kind", default="")}
        if redact_object(shown) != shown:
            return _HIDDEN
        undos.add((kind, json.dumps(back, separators=(",", ":"), ensure_ascii=False)))
    if len(undos) != 1:
        return _DIFFERENT
    kind, text = undos.pop()
    subresource = command.flag("subresource")
    flags = (("type", kind), ("patch", text), *((("subresource", subresource),) if subresource else ()))
    return _again(changes, "patch", flags=flags)


def _taint(command: Command, changes: Sequence[Change]) -> Undo:
    states = {_as_json(dig(change.before, "spec", "taints", default=[])) for change in changes}
    if len(states) != 1:
        return _DIFFERENT
    before = json.loads(states.pop())
    after = changes[0].body[-1]["value"]
    gone = [taint for taint in after if not any(same_taint(taint, old) for old in before)]
    back = [taint for taint in before if taint not in after]
    args = (*(taint_word(taint) for taint in back), *(f"{taint['key']}:{taint['effect']}-" for taint in gone))
    return _again(changes, "taint", args=args, flags=(("overwrite", "true"),))


# --- objects made, replaced, deleted --------------------------------------------------------------------------------------

_KEEPS_THINGS = frozenset({"namespaces", "persistentvolumes", "persistentvolumeclaims", "customresourcedefinitions"})
"""Kinds whose deletion takes more along than the object itself, so that it is no way back."""

_COMES_BACK = frozenset(
    {"configmaps", "services", "deployments", "daemonsets", "statefulsets", "cronjobs", "ingresses", "networkpolicies"}
    | {"horizontalpodautoscalers", "poddisruptionbudgets", "resourcequotas", "limitranges", "serviceaccounts"}
    | {"roles", "rolebindings", "clusterroles", "clusterrolebindings", "priorityclasses"}
)
"""Kinds that are as before when they are made again from their former manifest. Not a Pod, a Job, a volume or a Node, which hold
what no manifest has; not a Secret, whose values may not be written out."""


def _apply(command: Command, changes: Sequence[Change]) -> Undo:
    new = [change for change in changes if change.before is None]
    if len(new) == len(changes):
        if any(change.target.resource in _KEEPS_THINGS for change in new):
            return Undo(why_not="Deleting what was made would take along whatever is put there until then.")
        return _again(new, "delete")
    if new:
        return Undo(why_not="Some objects are new and some were changed, so that no single command takes it back.")
    former = [_former(change.before or {}, cleaned(change.body)) for change in changes]
    return _applied(changes, former, flags=(("force-conflicts", "true"),) if command.has("force-conflicts") else ())


def _applied(changes: Sequence[Change], objects: Sequence[dict[str, Any]], flags: tuple[tuple[str, str], ...] = ()) -> Undo:
    if any(redact_object(value) != value for value in objects):
        return _HIDDEN
    manifest = "---\n".join(to_yaml(value) for value in objects)
    # The objects name their namespaces themselves.
    return Undo(Command(verb="apply", flags=(("server-side", "true"), *flags), manifest=manifest))


def _delete(command: Command, changes: Sequence[Change]) -> Undo:
    for change in changes:
        owned = dig(change.before, "metadata", "ownerReferences")
        if change.target.resource not in _COMES_BACK or owned or command.flag("cascade") == "orphan":
            return Undo(why_not=f"What is lost with {change.display} cannot be put back by a command.")
    return _applied(changes, [cleaned(change.before or {}) for change in changes])


def _replace(command: Command, changes: Sequence[Change]) -> Undo:
    former = [cleaned(change.before or {}) for change in changes]
    if any(redact_object(value) != value for value in former):
        return _HIDDEN
    if command.flag("subresource"):
        return Undo(why_not="A status that was replaced is put right by its controller.")
    return Undo(Command(verb="replace", manifest="---\n".join(to_yaml(value) for value in former)))


_SERVER_SET = ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields", "deletionTimestamp")
_SERVER_ANNOTATIONS = (LAST_APPLIED, "deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation")


def cleaned(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object as a manifest: without what the server or its controllers fill in."""
    metadata = {key: item for key, item in value["metadata"].items() if key not in _SERVER_SET}
    annotations = {key: item for key, item in (metadata.pop("annotations", None) or {}).items() if key not in _SERVER_ANNOTATIONS}
    if annotations:
        metadata["annotations"] = annotations
    return {**{key: item for key, item in value.items() if key != "status"}, "metadata": metadata}


def _former(before: Any, applied: Any) -> Any:
    """What the fields of `applied` held before: applying this gives them back, and drops those that were not there.

    Entries of a list are matched by name, as the server merges most of them; other lists are taken whole.
    """
    if isinstance(applied, dict) and isinstance(before, dict):
        return {key: _former(before[key], item) for key, item in applied.items() if key in before}
    if isinstance(applied, list) and isinstance(before, list) and _named(applied) and _named(before):
        old = {item["name"]: item for item in before}
        return [_former(old[item["name"]], item) for item in applied if item["name"] in old]
    return before


def _named(items: list[Any]) -> bool:
    if not items or not all(isinstance(item, dict) and "name" in item for item in items):
        return False
    return len({str(item["name"]) for item in items}) == len(items)


RULES: dict[str, Callable[[Command, Sequence[Change]], Undo]] = {
    "scale": _scale,
    "label": _keyed("labels"),
    "annotate": _keyed("annotations"),
    "cordon": _opposite("uncordon"),
    "uncordon": _opposite("cordon"),
    "rollout pause": _opposite("rollout resume"),
    "rollout resume": _opposite("rollout pause"),
    "rollout undo": _rollout_undo,
    "set image": _set_image,
    "set env": _set_env,
    "taint": _taint,
    **dict.fromkeys(("patch", "set resources", "set serviceaccount", "set selector", "set subject"), _patched),
    "apply": _apply,
    "create": _apply,
    "replace": _replace,
    **dict.fromkeys(GENERATORS, _apply),
    "delete": _delete,
}
"""How each verb is taken back, where it can be."""
