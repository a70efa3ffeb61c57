"""Rollouts: the revisions of a workload, going back to one, and waiting for one to finish."""

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from k8s.client import ClusterClient, Limits, type_of_patch
from k8s.discovery import resolve
from k8s.errors import CommandInvalid
from k8s.live import Found, chosen, dig, read_list
from k8s.logs import label_selector, seconds_of
from k8s.redact import redact_object
from k8s.render import cut, to_json, to_yaml
from k8s.types import Command, ExecutionResult, Table

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"

_HISTORY_KIND = {"deployments": "replicasets", "statefulsets": "controllerrevisions", "daemonsets": "controllerrevisions"}


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a workload. `template` is its pod template; `patch` what a ControllerRevision holds, else None."""

    number: int
    cause: str
    template: dict[str, Any]
    source: dict[str, Any]
    patch: dict[str, Any] | None = None


async def revisions(client: ClusterClient, found: Found) -> list[Revision]:
    """The revisions that still exist, oldest first. Raises CommandInvalid for a kind that has none."""
    word = _HISTORY_KIND.get(found.resource.word)
    if word is None:
        raise CommandInvalid(f"{found.resource.word} have no rollout history: Deployments, StatefulSets and DaemonSets do.")
    selector = label_selector(dig(found.value, "spec", "selector", default={}))
    kept = await read_list(client, await resolve(client, word), found.namespace, (("labelSelector", selector),))
    own = [each.value for each in kept if owned_by(each.value, found.ref.uid)]
    read = _of_replica_set if word == "replicasets" else _of_controller_revision
    return sorted((read(value) for value in own), key=lambda revision: revision.number)


def owned_by(value: dict[str, Any], uid: str) -> bool:
    """Whether the object's controller is the one with this UID."""
    owners = dig(value, "metadata", "ownerReferences", default=[])
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


def _of_replica_set(value: dict[str, Any]) -> Revision:
    annotations = dig(value, "metadata", "annotations", default={})
    template = json.loads(json.dumps(dig(value, "spec", "template", default={})))
    (dig(template, "metadata", "labels") or {}).pop("pod-template-hash", None)
    return Revision(int(annotations.get(REVISION) or 0), annotations.get(CHANGE_CAUSE, ""), template, value)


def _of_controller_revision(value: dict[str, Any]) -> Revision:
    cause = dig(value, "metadata", "annotations", CHANGE_CAUSE, default="")
    data = value.get("data") or {}
    template = {key: item for key, item in dig(data, "spec", "template", default={}).items() if key != "$patch"}
    return Revision(int(value.get("revision") or 0), cause, template, value, data)


async def target_revision(client: ClusterClient, found: Found, wished: int) -> tuple[Revision, Revision]:
    """The current revision and the one to go back to: the wished one, or the last before the current for 0.

    Raises CommandInvalid where there is none.
    """
    kept = await revisions(client, found)
    if not kept:
        raise CommandInvalid(f"{found.display} has no rollout history.")
    current = kept[-1]
    if wished:
        chosen_one = next((revision for revision in kept if revision.number == wished), None)
        if chosen_one is None:
            have = ", ".join(str(revision.number) for revision in kept)
            raise CommandInvalid(f"{found.display} has no revision {wished}: it has {have}.")
        return current, chosen_one
    if len(kept) < 2:
        raise CommandInvalid(f"{found.display} has no earlier revision to go back to.")
    return current, kept[-2]


def undo_patch(found: Found, revision: Revision) -> tuple[Any, str]:
    """The body and content type that put a revision's template back, for the object seen and no other."""
    if revision.patch is not None:
        body = {**revision.patch, "metadata": {"uid": found.ref.uid}}
        return body, type_of_patch["strategic"]
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": found.ref.uid},
        {"op": "replace", "path": "/spec/template", "value": revision.template},
    ]
    return operations, type_of_patch["json"]


# --- history --------------------------------------------------------------------------------------------------------------


async def history(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `rollout history`: a table of revisions, or with --revision the pod template of one."""
    found = await chosen(client, command)
    kept = await asyncio.gather(*(revisions(client, each) for each in found))
    wished = int(command.flag("revision") or 0)
    tables, texts = [], []
    for each, own in zip(found, kept, strict=True):
        if not wished:
            rows = tuple((str(revision.number), revision.cause or "<none>") for revision in own)
            tables.append(Table(("REVISION", "CHANGE-CAUSE"), rows))
            texts.append(each.display)
            continue
        revision = next((revision for revision in own if revision.number == wished), None)
        if revision is None:
            raise CommandInvalid(f"{each.display} has no revision {wished}: see `kubectl rollout history`.")
        shown = redact_object(revision.source if command.flag("output") else revision.template)
        form = to_json if command.flag("output") == "json" else to_yaml
        texts.append(f"{each.display} with revision #{wished}\n{form(shown)}")
    text, truncated = cut("\n".join(texts), limits)
    return ExecutionResult(text=text, tables=tuple(tables), truncated=truncated)


# --- status ---------------------------------------------------------------------------------------------------------------


def progress(found: Found) -> tuple[str, bool]:
    """kubectl's sentence about a rollout, and whether it is over. Raises CommandInvalid when it failed or has no status."""
    value = found.value
    if int(dig(value, "status", "observedGeneration", default=0)) < int(dig(value, "metadata", "generation", default=0)):
        return f"Waiting for {found.resource.singular or 'the object'} spec update to be observed...", False
    match found.resource.word:
        case "deployments":
            return _deployment_progress(found)
        case "daemonsets":
            return _daemon_set_progress(found)
        case "statefulsets":
            return _stateful_set_progress(found)
    raise CommandInvalid(f"{found.resource.word} have no rollout: Deployments, StatefulSets and DaemonSets do.")


def _deployment_progress(found: Found) -> tuple[str, bool]:
    name, status = found.name, found.value.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise CommandInvalid(f'deployment "{name}" exceeded its progress deadline: `kubectl describe` says why.')
    wished = int(dig(found.value, "spec", "replicas", default=1))
    updated, total, available = (int(status.get(key) or 0) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    waiting = f'Waiting for deployment "{name}" rollout to finish:'
    if updated < wished:
        return f"{waiting} {updated} out of {wished} new replicas have been updated...", False
    if total > updated:
        return f"{waiting} {total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting} {available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _daemon_set_progress(found: Found) -> tuple[str, bool]:
    name, status = found.name, found.value.get("status") or {}
    _refuse_on_delete(found)
    keys = ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    wished, updated, available = (int(status.get(key) or 0) for key in keys)
    waiting = f'Waiting for daemon set "{name}" rollout to finish:'
    if updated < wished:
        return f"{waiting} {updated} out of {wished} new pods have been updated...", False
    if available < wished:
        return f"{waiting} {available} of {wished} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _stateful_set_progress(found: Found) -> tuple[str, bool]:
    status = found.value.get("status") or {}
    _refuse_on_delete(found)
    wished = int(dig(found.value, "spec", "replicas", default=1))
    ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready < wished:
        return f"Waiting for {wished - ready} pods to be ready...", False
    partition = int(dig(found.value, "spec", "updateStrategy", "rollingUpdate", "partition", default=0))
    if partition:
        if updated < wished - partition:
            return f"Waiting for partitioned roll out to finish: {updated} out of {wished - partition} new pods updated...", False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if status.get("updateRevision") != status.get("currentRevision"):
        return (
            f"waiting for statefulset rolling update to complete {updated} pods at revision {status.get('updateRevision')}...",
            False,
        )
    return f"statefulset rolling update complete {ready} pods at revision {status.get('currentRevision')}...", True


def _refuse_on_delete(found: Found) -> None:
    if dig(found.value, "spec", "updateStrategy", "type", default="RollingUpdate") != "RollingUpdate":
        raise CommandInvalid(f"{found.display} updates its pods only as they are deleted, so there is no rollout to watch.")


async def status(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `rollout status`: wait for the end, but no longer than the bounds allow, and say so if it is not reached."""
    asked = command.flag("timeout")
    seconds = min(limits.seconds * 0.8, seconds_of(asked) or limits.seconds) if asked else limits.seconds * 0.8
    if command.flag("watch") == "false":
        seconds = 0.0
    found = await chosen(client, command)
    if not found:
        return ExecutionResult(text="No resources found")
    outcomes = await asyncio.gather(*(_wait(client, each, seconds) for each in found))
    lines = [line for said, _ in outcomes for line in said]
    unfinished = seconds > 0 and not all(over for _, over in outcomes)
    truncated = f"Not finished after {seconds:g} s; ask again to see how it goes on." if unfinished else ""
    return ExecutionResult(text="\n".join(lines), truncated=truncated)


async def _wait(client: ClusterClient, found: Found, seconds: float) -> tuple[list[str], bool]:
    """What was said on the way, and whether the end was reached."""
    line, over = progress(found)
    said = [line]
    deadline = time.monotonic() + seconds
    while not over and (left := deadline - time.monotonic()) > 0:
        since = found.value["metadata"]["resourceVersion"]
        query = (("watch", "true"), ("fieldSelector", f"metadata.name={found.name}"), ("resourceVersion", since))
        pending = b""
        async with aclosing(client.stream(found.resource.path(found.namespace), query=query, seconds=left)) as chunks:
            async for chunk in chunks:
                *lines, pending = (pending + chunk).split(b"\n")
                for event in map(json.loads, lines):
                    if event["type"] == "DELETED":
                        raise CommandInvalid(f"{found.display} was deleted while its rollout was watched.")
                    if event["type"] == "ERROR":
                        break
                    found = Found(found.resource, event["object"])
                    line, over = progress(found)
                    said += [line] if line != said[-1] else []
                if over or len(pending) > client.max_bytes:
                    break
        if not over:  # the server ended the watch, or dropped the version: look afresh
            await asyncio.sleep(0.2)
            found = Found(found.resource, await client.get(found.path()))
            line, over = progress(found)
            said += [line] if line != said[-1] else []
    return said, over
