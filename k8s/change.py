"""Writes as data: a command and the live objects → the exact requests. The same requests are previewed (dryRun=All) and sent."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from k8s.client import JSON, ClusterClient, Query, type_of_patch
from k8s.errors import CommandInvalid, NotExecutable
from k8s.live import Found, chosen, dig
from k8s.types import Command, ObjectRef

FIELD_MANAGER = "kubechat"
"""Who the server notes as the owner of the fields that KubeChat sets."""


@dataclass(frozen=True, slots=True)
class Change:
    """One request for one object. `before` is the object as seen, None where there is none; `done` is kubectl's message.

    A change with an empty `method` sends nothing: the object is as wished already, and `done` says so.
    """

    method: str
    path: str
    target: ObjectRef
    done: str
    query: Query = ()
    body: Any = None
    content_type: str = JSON
    before: dict[str, Any] | None = field(default=None, repr=False)


async def send(client: ClusterClient, change: Change, *, dry_run: bool = False) -> dict[str, Any]:
    """Send a change, or have the server pretend to. Returns the object as it then is (for a delete, the server's answer)."""
    if not change.method:
        return change.before or {}
    query: Query = change.query
    body = change.body
    if change.method != "DELETE":
        query = (*query, ("fieldManager", FIELD_MANAGER))
    if dry_run and change.method == "DELETE":
        # The server reads the options of a delete from its body, and then ignores the query.
        body = {**body, "dryRun": ["All"]}
    elif dry_run:
        query = (*query, ("dryRun", "All"))
    return await client.request(change.method, change.path, query=query, body=body, content_type=change.content_type)


async def plan_changes(client: ClusterClient, command: Command) -> tuple[Change, ...]:
    """The requests that carry the command out, computed from the live objects; nothing is changed.

    Raises: NotExecutable for a verb that changes nothing or is not carried out; CommandInvalid for what kubectl itself would
    refuse (`--overwrite` missing, no such container); ClusterError from the reads.
    """
    planner = PLANNERS.get(command.verb)
    if planner is None:
        raise NotExecutable(f"KubeChat does not carry out `{command.verb}` yet: use kubectl for it.")
    return tuple(await planner(client, command))


Planner = Callable[[ClusterClient, Command], Awaitable[list[Change]]]


def each(plan: Callable[[Command, Found], Change]) -> Planner:
    """A planner from a function of one object."""

    async def planner(client: ClusterClient, command: Command) -> list[Change]:
        return [plan(command, found) for found in await chosen(client, command)]

    return planner


def patch(
    found: Found, body: Any, done: str, *, kind: str = "merge", subresource: str | None = None, hold: bool = False
) -> Change:
    """A PATCH of one object that fails if another object has taken the name; with `hold`, if anything about it has changed."""
    if isinstance(body, dict):
        precondition = {"uid": found.ref.uid} | ({"resourceVersion": found.value["metadata"]["resourceVersion"]} if hold else {})
        body = {**body, "metadata": {**body.get("metadata", {}), **precondition}}
    return Change(
        "PATCH", found.path(subresource), found.ref, f"{found.display} {done}", (), body, type_of_patch[kind], found.value
    )


def unchanged(found: Found, said: str) -> Change:
    """Nothing to send."""
    return Change("", found.path(), found.ref, f"{found.display} {said}".rstrip(), before=found.value)


# --- scale ----------------------------------------------------------------------------------------------------------------

_SCALABLE = frozenset({"deployments", "statefulsets", "replicasets", "replicationcontrollers"})


def _scale(command: Command, found: Found) -> Change:
    if found.resource.word not in _SCALABLE and find_builtin(found):
        raise CommandInvalid(f"{found.resource.word} cannot be scaled: a Deployment, StatefulSet or ReplicaSet can.")
    replicas = int(command.flag("replicas") or 0)
    current = int(dig(found.value, "spec", "replicas", default=1))
    expected = int(command.flag("current-replicas") or -1)
    if expected >= 0 and expected != current:
        raise CommandInvalid(f"{found.display} has {current} replicas and not {expected}, so it was not scaled.")
    version = command.flag("resource-version")
    if version and version != dig(found.value, "metadata", "resourceVersion"):
        raise CommandInvalid(f"{found.display} has changed since version {version}, so it was not scaled.")
    if current == replicas:
        return unchanged(found, "scaled")
    hold = expected >= 0 or version is not None
    return patch(found, {"spec": {"replicas": replicas}}, "scaled", subresource="scale", hold=hold)


def find_builtin(found: Found) -> bool:
    """Whether the kind is one that every cluster has."""
    return found.resource.word == found.resource.plural


# --- delete ---------------------------------------------------------------------------------------------------------------


def _delete(command: Command, found: Found) -> Change:
    options: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": (command.flag("cascade") or "background").capitalize(),
        "preconditions": {"uid": found.ref.uid}
        | ({"resourceVersion": found.ref.resource_version} if found.ref.resource_version else {}),
    }
    grace, forced = _grace_period(command)
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    where = f" from {found.namespace} namespace" if found.namespace else ""
    done = f'{found.resource.display} "{found.name}" {"force deleted" if forced else "deleted"}{where}'
    return Change("DELETE", found.path(), found.ref, done, (), options, JSON, found.value)


def _grace_period(command: Command) -> tuple[int | None, bool]:
    """kubectl's rules: 0 only together with --force, else it counts as 1; --now is 1; -1 is the object's own."""
    grace = int(command.flag("grace-period") or -1)
    if command.has("now"):
        if grace >= 0:
            raise CommandInvalid("--now and --grace-period cannot be given together.")
        grace = 1
    if command.has("force"):
        if grace > 0:
            raise CommandInvalid("--force and a --grace-period greater than 0 cannot be given together.")
        return 0, True
    return (None if grace < 0 else max(grace, 1)), False


# --- label, annotate ------------------------------------------------------------------------------------------------------

_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


def key_values(command: Command) -> tuple[dict[str, str], list[str]]:
    """What to set, and what to remove. Raises CommandInvalid for a key in both."""
    wished: dict[str, str] = {}
    removed: list[str] = []
    for arg in command.args:
        key, equals, value = arg.partition("=")
        if equals:
            wished[key] = value
        else:
            removed.append(arg.removesuffix("-"))
    if both := sorted(wished.keys() & set(removed)):
        raise CommandInvalid(f"{both[0]} is both set and removed: leave one out.")
    return wished, removed


def _keyed(field_name: str, done: str, removed_only: str) -> Callable[[Command, Found], Change]:
    def plan(command: Command, found: Found) -> Change:
        wished, removed = key_values(command)
        if field_name == "labels":
            _check_label_values(wished)
        present = dig(found.value, "metadata", field_name, default={})
        for key, value in wished.items():
            if key in present and present[key] != value and not command.has("overwrite"):
                raise CommandInvalid(f"{found.display} has {key} already ({present[key]}): add --overwrite to replace it.")
        new: dict[str, str | None] = {key: value for key, value in wished.items() if present.get(key) != value}
        new |= {key: None for key in removed if key in present}
        if not new:
            return unchanged(found, f"not {done}" if field_name == "labels" else done)
        word = removed_only if all(value is None for value in new.values()) else done
        hold = not command.has("overwrite") or command.flag("resource-version") is not None
        return patch(found, {"metadata": {field_name: new}}, word, hold=hold and "status" not in found.value)

    return plan


def _check_label_values(wished: dict[str, str]) -> None:
    for key, value in wished.items():
        if not _LABEL_VALUE.fullmatch(value):
            raise CommandInvalid(
                f"{value!r} cannot be the value of the label {key}: at most 63 letters, digits, -, _ and ., beginning and ending"
                " with a letter or digit."
            )


# --- nodes ----------------------------------------------------------------------------------------------------------------


def _cordon(wished: bool) -> Callable[[Command, Found], Change]:
    word = "cordoned" if wished else "uncordoned"

    def plan(command: Command, found: Found) -> Change:
        if bool(dig(found.value, "spec", "unschedulable", default=False)) == wished:
            return unchanged(found, f"already {word}")
        return patch(found, {"spec": {"unschedulable": True if wished else None}}, word)

    return plan


# --- pod templates --------------------------------------------------------------------------------------------------------


def pod_spec_path(found: Found) -> tuple[str, ...]:
    """Where the kind keeps its pod's spec. Raises CommandInvalid for one that has no pods."""
    match found.resource.word:
        case "pods":
            return ("spec",)
        case "cronjobs":
            return ("spec", "jobTemplate", "spec", "template", "spec")
        case _ if dig(found.value, "spec", "template", "spec") is not None:
            return ("spec", "template", "spec")
    raise CommandInvalid(f"{found.display} runs no pods of its own.")


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the path a, b."""
    for key in reversed(path):
        value = {key: value}
    result: dict[str, Any] = value
    return result


def _set_image(command: Command, found: Found) -> Change:
    path = pod_spec_path(found)
    spec = dig(found.value, *path)
    wished, _ = key_values(command)
    groups = ("initContainers", "containers")
    present = {container["name"] for group in groups for container in spec.get(group) or ()}
    if missing := sorted(wished.keys() - present - {"*"}):
        have = ", ".join(sorted(present))
        raise CommandInvalid(f"{found.display} has no container {missing[0]!r}: it has {have}.")
    new: dict[str, list[dict[str, str]]] = {}
    for group in groups:
        for container in spec.get(group) or ():
            image = wished.get(container["name"], wished.get("*"))
            if image is not None and image != container.get("image"):
                new.setdefault(group, []).append({"name": container["name"], "image": image})
    if not new:
        return unchanged(found, "image unchanged")
    return patch(found, nested(path, new), "image updated", kind="strategic")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_ROLLS = frozenset({"deployments", "statefulsets", "daemonsets"})


def _restart(command: Command, found: Found) -> Change:
    if found.resource.word not in _ROLLS:
        raise CommandInvalid(f"{found.resource.word} cannot be restarted: a Deployment, StatefulSet or DaemonSet can.")
    if dig(found.value, "spec", "paused", default=False):
        raise CommandInvalid(f"{found.display} is paused and cannot be restarted: resume it first with `kubectl rollout resume`.")
    annotations = {"kubectl.kubernetes.io/restartedAt": _now()}
    return patch(found, nested(("spec", "template", "metadata", "annotations"), annotations), "restarted")


def _pause(wished: bool) -> Callable[[Command, Found], Change]:
    word = "paused" if wished else "resumed"

    def plan(command: Command, found: Found) -> Change:
        if found.resource.word != "deployments":
            raise CommandInvalid(f"{found.resource.word} cannot be {word}: only a Deployment can.")
        if bool(dig(found.value, "spec", "paused", default=False)) == wished:
            raise CommandInvalid(f"{found.display} is {'already' if wished else 'not'} paused, so there is nothing to do.")
        return patch(found, {"spec": {"paused": True if wished else None}}, word)

    return plan


PLANNERS: dict[str, Planner] = {
    "scale": each(_scale),
    "delete": each(_delete),
    "label": each(_keyed("labels", "labeled", "unlabeled")),
    "annotate": each(_keyed("annotations", "annotated", "annotated")),
    "cordon": each(_cordon(True)),
    "uncordon": each(_cordon(False)),
    "set image": each(_set_image),
    "rollout restart": each(_restart),
    "rollout pause": each(_pause(True)),
    "rollout resume": each(_pause(False)),
}
"""How each verb that changes something is planned."""
