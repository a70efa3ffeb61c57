"""What a change would do: the server's own dry run, the difference it makes, the pods that go, and the way back."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k8s.change import CONNECT, Change, pod_spec_of, send
from k8s.client import ClusterClient
from k8s.discovery import resolve
from k8s.drain import controller_of, has_local_data
from k8s.errors import ApiError, CommandInvalid
from k8s.jsonpath import shown
from k8s.live import Found, dig, read_list
from k8s.logs import pod_selector
from k8s.plan import plan_changes
from k8s.redact import LAST_APPLIED, REDACTED, clean_line, redact_object, safe_text
from k8s.rollout import owned_by
from k8s.types import Command, FieldChange, ObjectRef, Preview
from k8s.undo import undo_of

LONG = 200
"""Characters of one value that are told; more is a file, and its length is said."""

SHOWN = 10
"""How many names are listed before "and n more". Fields are listed all: what an approver agrees to must be seen."""


async def preview(client: ClusterClient, command: Command) -> Preview:
    """What the command would do, asked of the server with dryRun=All. Nothing is changed.

    `targets` are all objects that the command means, as they are now: what an approval is bound to.

    Raises: ClusterError; what the dry run refuses (quota, admission, validation, a conflict) is raised as it would be in earnest.
    """
    changes = await plan_changes(client, command)
    answers = await asyncio.gather(*(_try(client, change, changes) for change in changes))
    pods = await asyncio.gather(*(_pods_of(client, command, change) for change in changes))
    summary: list[str] = []
    differences: list[tuple[ObjectRef, tuple[FieldChange, ...]]] = []
    for change, answer, own in zip(changes, answers, pods, strict=True):
        fields = _fields(change, answer.value)
        if fields:
            differences.append((change.target, fields))
        summary += _sentences(command, change, fields, own)
    idle = not any(change.method for change in changes) or not _does_anything(changes, answers, differences)
    if idle:
        summary = ["Nothing would change.", *summary] if changes else ["There is nothing that this command means."]
    undo = undo_of(command, () if idle else changes)
    warnings = [
        warning for change, answer in zip(changes, answers, strict=True) for warning in _warnings(command, change, answer)
    ]
    if undo.why_not:
        warnings.append(undo.why_not)
    return Preview(
        summary=tuple(summary),
        changes=tuple(differences),
        targets=tuple(change.target for change in changes),
        undo=undo.command.text if undo.command else None,
        undo_manifest=undo.command.manifest if undo.command else None,
        warnings=tuple(dict.fromkeys(warnings)),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The object as it would be, None if that could not be tried, and what the server warned of."""

    value: dict[str, Any] | None
    warnings: tuple[str, ...] = ()


async def _try(client: ClusterClient, change: Change, changes: Sequence[Change]) -> _Answer:
    """The dry run. An object in a namespace that the same manifest makes cannot be tried: there is no such namespace yet."""
    try:
        warnings: list[str] = []
        value = await send(client, change, dry_run=True, warnings=warnings)
        return _Answer(value, tuple(warnings))
    except ApiError as error:
        if error.status == 429 and change.removes:
            return _Answer({}, (f"{change.display} is kept for now: {error.message}",))
        made = {each.target.name for each in changes if each.before is None and each.target.resource == "namespaces"}
        if error.status == 404 and change.target.namespace in made:
            return _Answer(None)
        raise


def _does_anything(
    changes: Sequence[Change], answers: Sequence[_Answer], differences: Sequence[tuple[ObjectRef, tuple[FieldChange, ...]]]
) -> bool:
    return bool(differences) or any(
        change.removes or change.method == CONNECT or answer.value is None or change.before is None
        for change, answer in zip(changes, answers, strict=True)
        if change.method
    )


# --- the difference -------------------------------------------------------------------------------------------------------

_IGNORED = frozenset(
    {
        ("metadata", "managedFields"),
        ("metadata", "resourceVersion"),
        ("metadata", "generation"),
        ("metadata", "uid"),
        ("metadata", "creationTimestamp"),
        ("metadata", "annotations", LAST_APPLIED),
    }
)


def _fields(change: Change, after: dict[str, Any] | None) -> tuple[FieldChange, ...]:
    """The fields that the change sets on an object that is there."""
    if after is None or change.before is None or change.removes or not change.method:
        return ()
    if after.get("kind") == "Scale":
        after = {**change.before, "spec": {**change.before["spec"], "replicas": dig(after, "spec", "replicas", default=0)}}
    before = change.before
    if not change.path.endswith("/status"):
        before, after = ({key: item for key, item in value.items() if key != "status"} for value in (before, after))
    shown_before, shown_after = (redact_object(value, managed_fields=True) for value in (before, after))
    return tuple(_difference((), before, after, shown_before, shown_after))


def _difference(path: tuple[str, ...], before: Any, after: Any, seen: Any, told: Any) -> Iterator[FieldChange]:
    """Where two values differ. `seen` and `told` are the same two redacted: they are what is told."""
    if before == after or path in _IGNORED:
        return
    if before is None and after and (isinstance(after, dict) or _by_name(after)):
        before = seen = type(after)()  # what is new is told leaf by leaf, so that nothing hides in the middle of it
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            parts = (value.get(key) if isinstance(value, dict) else value for value in (before, after, seen, told))
            yield from _difference((*path, key), *parts)
    elif _by_name(after) and (before == [] or _by_name(before)):
        named = [{item["name"]: item for item in value} for value in (before, after)]
        known = [{item["name"]: item for item in value} if _by_name(value) else {} for value in (seen, told)]
        for name in dict.fromkeys((*named[0], *named[1])):
            parts = (each.get(name) for each in (*named, *known))
            yield from _difference((*path[:-1], f"{path[-1]}[{name}]"), *parts)
    else:
        yield FieldChange(".".join(path), seen, told)


def _by_name(value: Any) -> bool:
    """Whether it is a list of objects that their names tell apart."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) and "name" in item for item in value):
        return False
    return len({str(item["name"]) for item in value}) == len(value)


# --- sentences ------------------------------------------------------------------------------------------------------------

_SAID = {
    "rollout restart": "Restarts",
    "rollout pause": "Holds back further rollouts of",
    "rollout resume": "Lets rollouts go on of",
    "cordon": "Starts no new pods on",
    "drain": "Starts no new pods on",
    "uncordon": "Starts new pods again on",
}
"""Where the field that changes says less than the verb."""

_PREFIXES = ("spec.jobTemplate.spec.template.spec.", "spec.template.spec.", "spec.", "metadata.", "data.")


def _sentences(command: Command, change: Change, fields: Sequence[FieldChange], pods: Sequence[str] | None) -> list[str]:
    what = clean_line(change.display or str(change.target))
    where = f" in {change.target.namespace}" if change.target.namespace else ""
    if not change.method:
        return [f"{what}{where} is as wished already."]
    if change.method == CONNECT:
        return [f"Runs {clean_line(change.done)}{where}. What it does cannot be tried beforehand."]
    if change.removes:
        return [f"{'Evicts' if command.verb == 'drain' else 'Deletes'} {what}{where}.", *_pods_that_go(command, change, pods)]
    if change.before is None:
        return [f"Creates {what}{where}.", *_contents(change.body)]
    if not fields:
        return [f"{what}{where}: no change."]
    if said := _SAID.get(command.verb):
        return [f"{said} {what}{where}.", *_pods_that_go(command, change, pods, fields)]
    lines = [f"{what}{where}: {_told(field)}" for field in fields]
    return lines + _pods_that_go(command, change, pods, fields)


def _told(field: FieldChange) -> str:
    name = next((field.path.removeprefix(prefix) for prefix in _PREFIXES if field.path.startswith(prefix)), field.path)
    if field.before == field.after == REDACTED:
        return f"{name} changes (the value is not shown)"
    if field.before is None:
        return f"{name} is set to {_value(field.after)}"
    if field.after is None:
        return f"{name} {_value(field.before)} is removed"
    return f"{name} {_value(field.before)} → {_value(field.after)}"


def _value(value: Any) -> str:
    text = clean_line(shown(value)) if value != "" else '""'
    return text if len(text) <= LONG else f"{text[:LONG]}… ({len(text):,} characters)"


def _contents(body: Mapping[str, Any]) -> list[str]:
    """What matters of a new object: images and replicas."""
    images = [container.get("image", "") for container in dig(body, "spec", "template", "spec", "containers", default=[])]
    replicas = dig(body, "spec", "replicas")
    parts = [f"replicas {replicas}"] if replicas is not None else []
    parts += [f"image {clean_line(str(image))}" for image in images]
    return [f"  with {', '.join(parts)}."] if parts else []


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(clean_line(name) for name in names[:SHOWN]) + more


def _pods_that_go(command: Command, change: Change, pods: Sequence[str] | None, fields: Sequence[FieldChange] = ()) -> list[str]:
    if pods is None:
        return ["Its pods cannot be listed with your rights."]
    if change.removes:
        return [f"With it go {_count(pods)}: {_names(pods)}."] if pods and command.flag("cascade") != "orphan" else []
    if scaled := next((field for field in fields if field.path == "spec.replicas"), None):
        return _scaled(int(scaled.before or 0), int(scaled.after or 0), pods)
    if pods and any(".template." in field.path for field in fields):
        return [f"All its pods are replaced one after the other ({_count(pods)}): {_names(pods)}."]
    return []


def _count(pods: Sequence[str]) -> str:
    return "1 pod" if len(pods) == 1 else f"{len(pods)} pods"


def _scaled(before: int, after: int, pods: Sequence[str]) -> list[str]:
    if after > before:
        new = after - before
        return [f"{new} more pod{'' if new == 1 else 's'} will start."]
    if not pods:
        return []
    if after == 0:
        return [f"All its pods go ({_count(pods)}): {_names(pods)}."]
    return [f"{min(before - after, len(pods))} of its {_count(pods)} will go, out of: {_names(pods)}."]


# --- what depends on it ---------------------------------------------------------------------------------------------------

_LEAVES_PODS = frozenset({"label", "annotate", "cordon", "uncordon"})
_TOUCHES_PODS = frozenset({"scale", "apply", "patch", "replace"})
_HAVE_PODS = frozenset({"deployments", "statefulsets", "daemonsets", "replicasets", "replicationcontrollers", "jobs"})


async def _pods_of(client: ClusterClient, command: Command, change: Change) -> Sequence[str] | None:
    """Names of the pods that the change may end; None when the person may not list them."""
    touches_pods = change.removes or command.verb in _TOUCHES_PODS or command.verb.startswith(("rollout", "set "))
    if change.before is None or not change.method or not touches_pods:
        return ()
    try:
        if change.target.resource == "namespaces" and change.removes:
            found = await read_list(client, await resolve(client, "pods"), change.target.name, at_most=1000)
            return [pod.name for pod in found]
        if change.target.resource not in _HAVE_PODS:
            return ()
        return await _own_pods(client, change)
    except ApiError as error:
        if error.status != 403:
            raise
        return None
    except CommandInvalid:  # it selects nothing
        return ()


async def _own_pods(client: ClusterClient, change: Change) -> list[str]:
    """Pods that the workload controls, itself or through its ReplicaSets."""
    owner = Found(await resolve(client, change.target.resource), change.before or {})
    query = (("labelSelector", pod_selector(owner)),)
    pods = [pod.value for pod in await read_list(client, await resolve(client, "pods"), owner.namespace, query)]
    owners = {change.target.uid}
    if change.target.resource == "deployments":
        sets = await read_list(client, await resolve(client, "replicasets"), owner.namespace, query)
        owners = {each.ref.uid for each in sets if owned_by(each.value, change.target.uid)}
    mine = [pod for pod in pods if any(owned_by(pod, uid) for uid in owners)]
    return sorted(pod["metadata"]["name"] for pod in mine if not dig(pod, "metadata", "deletionTimestamp"))


_DATA_GOES = {
    "persistentvolumeclaims": "The data on the volume goes with it, unless its storage class retains volumes.",
    "persistentvolumes": "The data on the volume may go with it.",
    "namespaces": "Everything in the namespace goes with it.",
    "customresourcedefinitions": "All objects of that type go with it.",
    "nodes": "The node leaves the cluster; its pods are started elsewhere.",
}


def _warnings(command: Command, change: Change, answer: _Answer) -> Iterator[str]:
    if not change.method:
        return
    if answer.value is None:
        yield f"{change.display} could not be tried, since its namespace is not there yet."
    yield from (safe_text(clean_line(warning)) for warning in answer.warnings)
    before = change.before or {}
    if change.removes and change.target.resource in _DATA_GOES:
        yield _DATA_GOES[change.target.resource]
    labels = dig(before, "metadata", "labels", default={})
    annotations = dig(before, "metadata", "annotations", default={})
    manager = labels.get("app.kubernetes.io/managed-by", "")
    if "argocd.argoproj.io/tracking-id" in annotations or "argocd.argoproj.io/instance" in labels:
        manager = "Argo CD"
    if manager in {"Helm", "Argo CD"} or "kustomize.toolkit.fluxcd.io/name" in labels:
        yield f"{change.display} is managed by {manager or 'Flux'}, which will put its own state back."
    for owner in dig(before, "metadata", "ownerReferences", default=[]):
        if owner.get("controller") and command.verb != "drain":
            keeper = f"{owner['kind']} {clean_line(owner['name'])}"
            yield f"{keeper} owns what is meant here ({change.target.resource}) and will put it back as it wants."
    if dig(before, "metadata", "finalizers") and change.removes:
        yield f"{change.display} has finalizers, so it may take a while to go."
    if command.verb == "drain" and change.removes and has_local_data(before):
        yield f"{change.display} loses the data of its emptyDir volumes."
    if command.verb == "drain" and change.removes and not controller_of(before):
        yield f"{change.display} has no controller, so nothing starts it again."
    if command.verb == "set image" and change.target.resource == "pods" and pod_spec_of("pods", before):
        yield "The container restarts at once with the new image."
