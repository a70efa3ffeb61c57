"""`drain`: a node gets no new pods, and its pods are evicted, as far as their disruption budgets allow, within a bounded time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from k8s.change import Change, cordon, send
from k8s.client import ClusterClient, Limits
from k8s.discovery import resolve
from k8s.errors import ApiError, CommandInvalid
from k8s.live import MAX_OBJECTS, Found, chosen, dig, read_list, read_or_none
from k8s.logs import seconds_of
from k8s.redact import clean_line
from k8s.types import Command, ExecutionResult

_AT_ONCE = 10
"""Evictions under way at the same time."""
_PAUSE = 1.0
"""Seconds until a pod that its budget keeps is tried again."""


async def plan_drain(client: ClusterClient, command: Command) -> list[Change]:
    """The node's cordon, and an eviction of each of its pods, bound to the pod seen.

    Raises CommandInvalid for pods that kubectl would not touch without a flag.
    """
    nodes = await chosen(client, command)
    parts = await asyncio.gather(*(_plan_node(client, command, node) for node in nodes))
    return [change for part in parts for change in part]


async def _plan_node(client: ClusterClient, command: Command, node: Found) -> list[Change]:
    query = [("fieldSelector", f"spec.nodeName={node.name}")]
    if selector := command.flag("pod-selector"):
        query.append(("labelSelector", selector))
    pods = await read_list(client, await resolve(client, "pods"), None, tuple(query), at_most=MAX_OBJECTS + 1)
    if len(pods) > MAX_OBJECTS:
        raise CommandInvalid(f"{node.display} runs more than {MAX_OBJECTS} pods, more than a card can show: use --pod-selector.")
    verdicts = [await _obstacle(client, command, pod) for pod in pods]
    _check(node, pods, verdicts)
    return [cordon(node, wished=True), *(_eviction(command, pod) for pod, why in zip(pods, verdicts, strict=True) if why == "")]


_LEAVE = "leave"


def _check(node: Found, pods: Sequence[Found], verdicts: Sequence[str]) -> None:
    obstacles: dict[str, list[str]] = {}
    for pod, why in zip(pods, verdicts, strict=True):
        if why not in {"", _LEAVE}:
            obstacles.setdefault(why, []).append(f"{pod.namespace}/{pod.name}")
    if obstacles:
        said = "; ".join(f"{why}: {', '.join(names)}" for why, names in obstacles.items())
        raise CommandInvalid(f"{node.display} was not drained, for it runs {said}.")


async def _obstacle(client: ClusterClient, command: Command, pod: Found) -> str:
    """Empty for a pod that goes, `leave` for one that stays, else kubectl's words for why it may not go.

    Source: kubectl pkg/drain/filters.go.
    """
    if _is_leaving(pod, int(command.flag("skip-wait-for-delete-timeout") or 0)):
        return _LEAVE
    if "kubernetes.io/config.mirror" in dig(pod.value, "metadata", "annotations", default={}):
        return _LEAVE
    if dig(pod.value, "status", "phase") in {"Succeeded", "Failed"}:
        return ""
    owner = controller_of(pod.value)
    if owner.get("kind") == "DaemonSet":
        daemon = await read_or_none(
            client, await resolve(client, "daemonsets"), pod.namespace, owner["name"], ignore_missing=True
        )
        if daemon is not None:
            return _LEAVE if command.has("ignore-daemonsets") else "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"
        if not command.has("force"):
            return "Pods of a DaemonSet that is gone (use --force to override)"
    if has_local_data(pod.value) and not command.has("delete-emptydir-data"):
        return "Pods with local storage (use --delete-emptydir-data to override)"
    if not owner and not command.has("force"):
        return "Pods that declare no controller (use --force to override)"
    return ""


def _is_leaving(pod: Found, seconds: int) -> bool:
    since = dig(pod.value, "metadata", "deletionTimestamp")
    return bool(seconds and since and (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() > seconds)


def controller_of(pod: dict[str, Any]) -> dict[str, Any]:
    """The owner reference of the pod's controller, or nothing."""
    owners = dig(pod, "metadata", "ownerReferences", default=[])
    return next((owner for owner in owners if owner.get("controller")), {})


def has_local_data(pod: dict[str, Any]) -> bool:
    """Whether it has a volume that goes with it."""
    return any("emptyDir" in volume for volume in dig(pod, "spec", "volumes", default=[]))


def _eviction(command: Command, pod: Found) -> Change:
    options: dict[str, Any] = {"preconditions": {"uid": pod.ref.uid}}
    if (grace := int(command.flag("grace-period") or -1)) >= 0:
        options["gracePeriodSeconds"] = grace
    done = f"pod/{pod.name} evicted"
    if command.has("disable-eviction"):
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return Change("DELETE", pod.path(), pod.ref, f"pod/{pod.name} deleted", body=body, before=pod.value, display=pod.display)
    metadata = {"name": pod.name, "namespace": pod.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
    return Change("POST", pod.path("eviction"), pod.ref, done, body=body, before=pod.value, display=pod.display)


# --- carrying it out ------------------------------------------------------------------------------------------------------


async def drain(client: ClusterClient, changes: Sequence[Change], command: Command, limits: Limits) -> ExecutionResult:
    """Send the changes and wait until the pods are gone. What is not reached in time is said in `truncated`.

    Raises ClusterError where the node cannot be cordoned; what goes wrong with single pods is said in `notes`.
    """
    asked = seconds_of(command.flag("timeout") or "")
    seconds = min(asked or limits.seconds, limits.seconds * 0.8)
    deadline = time.monotonic() + seconds
    nodes = [change for change in changes if change.target.resource == "nodes"]
    pods = [change for change in changes if change.target.resource != "nodes"]
    for node in nodes:
        await send(client, node, dry_run=command.dry_run)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def go(pod: Change) -> str:
        async with gate:
            return await _gone(client, pod, deadline, dry_run=command.dry_run)

    failures = await asyncio.gather(*(go(pod) for pod in pods))
    went = [pod for pod, failure in zip(pods, failures, strict=True) if not failure]
    drained = [replace(node, done=f"{node.display} drained") for node in nodes if len(went) == len(pods)]
    suffix = " (server dry run)" if command.dry_run else ""
    text = "\n".join(f"{change.done}{suffix}" for change in (*nodes, *went, *drained))
    late = [f"{pod.target.namespace}/{pod.target.name}" for pod, failure in zip(pods, failures, strict=True) if failure]
    truncated = (
        f"Not drained after {seconds:g} s; still there: {', '.join(map(clean_line, late))}. Ask again to go on." if late else ""
    )
    changed = () if command.dry_run else tuple(change.target for change in (*nodes, *went) if change.method)
    return ExecutionResult(text=text, changed=changed, truncated=truncated, notes=tuple(dict.fromkeys(filter(None, failures))))


async def _gone(client: ClusterClient, pod: Change, deadline: float, *, dry_run: bool) -> str:
    """Evict a pod and wait for its end; why that did not come about, or nothing."""
    why = f"{pod.display} is still ending."
    while True:
        try:
            await send(client, pod, dry_run=dry_run)
            break
        except ApiError as error:
            if error.status in {404, 409}:  # it is gone, or another has its name
                return ""
            why = clean_line(f"{pod.display}: {error.message}")
            if error.status != 429 or dry_run or time.monotonic() > deadline:
                return why
        await asyncio.sleep(min(_PAUSE, max(0.0, deadline - time.monotonic())))
    path = pod.path.removesuffix("/eviction")
    while not dry_run and await _is_there(client, path, pod.target.uid):
        if time.monotonic() > deadline:
            return f"{pod.display} is still ending."
        await asyncio.sleep(0.3)
    return ""


async def _is_there(client: ClusterClient, path: str, uid: str) -> bool:
    try:
        return bool((await client.get(path))["metadata"]["uid"] == uid)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
