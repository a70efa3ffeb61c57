"""Writes as data: a command and the live objects → the exact requests. The same requests are previewed (dryRun=All) and sent."""

from dataclasses import dataclass, field
from typing import Any

from k8s.client import JSON, ClusterClient, Query, type_of_patch
from k8s.errors import CommandInvalid
from k8s.live import Found, dig
from k8s.types import Command, ObjectRef

APPLIER, EDITOR = "kubechat", "kubechat-edit"
"""Whom the server notes as the owner of fields: those of applied manifests, and those of single changes (scale, label, …)."""


CONNECT = "CONNECT"
"""The method of what is no request but a connection: a program run in a container. It cannot be tried beforehand."""


@dataclass(frozen=True, slots=True)
class Change:
    """One request for one object. `before` is the object as seen, None where there is none; `done` is kubectl's message.

    A change with an empty `method` sends nothing: the object is as wished already, and `done` says so. `display` is
    `deployment.apps/checkout`; `revision` the rollout revision before a `rollout undo`. `done_nothing` is the message where the
    server finds nothing to change.
    """

    method: str
    path: str
    target: ObjectRef
    done: str
    query: Query = ()
    body: Any = None
    content_type: str = JSON
    before: dict[str, Any] | None = field(default=None, repr=False)
    display: str = ""
    revision: int = 0
    done_nothing: str = ""

    @property
    def removes(self) -> bool:
        """Whether the object goes: by a delete, or by the eviction of a pod."""
        return self.method == "DELETE" or self.path.endswith("/eviction")


async def send(
    client: ClusterClient, change: Change, *, dry_run: bool = False, warnings: list[str] | None = None
) -> dict[str, Any]:
    """Send a change, or have the server pretend to. Returns the object as it then is (for a delete, the server's answer).

    What the server warns of is added to `warnings`.
    """
    if not change.method or (dry_run and change.method == CONNECT):
        return change.before or {}
    query: Query = change.query
    body = change.body
    if change.method != "DELETE":
        applied = change.content_type == type_of_patch["apply"]
        query = (*query, ("fieldManager", APPLIER if applied else EDITOR))
    if dry_run and change.method == "DELETE":
        # The server reads the options of a delete from its body, and then ignores the query.
        body = {**body, "dryRun": ["All"]}
    elif dry_run:
        query = (*query, ("dryRun", "All"))
    return await client.request(
        change.method, change.path, query=query, body=body, content_type=change.content_type, warnings=warnings
    )


def patch(
    found: Found, body: Any, done: str, *, kind: str = "merge", subresource: str | None = None, hold: bool = False
) -> Change:
    """A PATCH of one object that fails if another object has taken the name; with `hold`, if anything about it has changed."""
    if isinstance(body, dict):
        precondition = {"uid": found.ref.uid} | ({"resourceVersion": found.value["metadata"]["resourceVersion"]} if hold else {})
        body = {**body, "metadata": {**precondition, **body.get("metadata", {})}}
    return Change(
        method="PATCH",
        path=found.path(subresource),
        target=found.ref,
        done=f"{found.display} {done}",
        body=body,
        content_type=type_of_patch[kind],
        before=found.value,
        display=found.display,
    )


def did_nothing(change: Change, answer: dict[str, Any]) -> bool:
    """Whether the server's answer to a patch is the object as it was."""
    if not change.done_nothing or change.before is None:
        return False
    if answer.get("kind") == "Scale":
        return bool(dig(answer, "spec", "replicas", default=0) == dig(change.before, "spec", "replicas", default=0))
    return answer == change.before


def unchanged(found: Found, said: str) -> Change:
    """Nothing to send."""
    return Change("", found.path(), found.ref, f"{found.display} {said}".rstrip(), before=found.value, display=found.display)


def cordon(node: Found, *, wished: bool) -> Change:
    """Start no more pods on a node, or start them again."""
    word = "cordoned" if wished else "uncordoned"
    if bool(dig(node.value, "spec", "unschedulable", default=False)) == wished:
        return unchanged(node, f"already {word}")
    return patch(node, {"spec": {"unschedulable": True if wished else None}}, word)


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


_POD_SPEC = {"pods": ("spec",), "cronjobs": ("spec", "jobTemplate", "spec", "template", "spec")}


def pod_spec_path(resource: str) -> tuple[str, ...]:
    """Where a kind keeps the spec of its pods."""
    return _POD_SPEC.get(resource, ("spec", "template", "spec"))


def pod_spec_of(resource: str, value: dict[str, Any]) -> dict[str, Any]:
    """The spec of an object's pods; empty where it has none."""
    spec: dict[str, Any] = dig(value, *pod_spec_path(resource), default={})
    return spec


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the path a, b."""
    for key in reversed(path):
        value = {key: value}
    result: dict[str, Any] = value
    return result
