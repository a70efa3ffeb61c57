"""`exec`: one program in a container, without input, bounded in time and output."""

import json
import shlex
import time
from contextlib import aclosing

from k8s.change import CONNECT, Change
from k8s.client import ClusterClient, Limits
from k8s.discovery import resolve
from k8s.errors import CommandInvalid
from k8s.live import Found, dig, namespace_of, read_list, read_one
from k8s.logs import DEFAULT_CONTAINER, pod_selector
from k8s.redact import clean_line, safe_text
from k8s.render import cut
from k8s.types import Command, ExecutionResult

_OUT, _ERR, _END = 1, 2, 3
"""Channels of the stream. Source: Kubernetes, apimachinery pkg/util/remotecommand."""


async def plan_exec(client: ClusterClient, command: Command) -> list[Change]:
    """The one connection. Raises CommandInvalid for a pod that does not run, or a container that it does not have."""
    (target,) = command.targets
    namespace = namespace_of(client, command)
    pod = await read_one(client, await resolve(client, target.resource), namespace, target.name or "")
    if pod.resource.word != "pods":
        pod = await _running_pod(client, pod)
    names = [container["name"] for container in dig(pod.value, "spec", "containers", default=[])]
    container = command.flag("container") or dig(pod.value, "metadata", "annotations", DEFAULT_CONTAINER) or names[0]
    if container not in names:
        raise CommandInvalid(f"{pod.display} has no container {container!r}: it has {', '.join(names)}.")
    if (phase := dig(pod.value, "status", "phase")) != "Running":
        raise CommandInvalid(f"{pod.display} is {phase}, so nothing can be run in it.")
    query = tuple(("command", word) for word in command.remote)
    query = (("container", container), ("stdout", "true"), ("stderr", "true"), *query)
    said = f"{shlex.join(command.remote)} in container {container} of {pod.display}"
    return [Change(CONNECT, pod.path("exec"), pod.ref, said, query, before=pod.value, display=pod.display)]


async def _running_pod(client: ClusterClient, owner: Found) -> Found:
    """The first running pod of a workload, by name."""
    query = (("labelSelector", pod_selector(owner)),)
    pods = await read_list(client, await resolve(client, "pods"), owner.namespace, query)
    running = [pod for pod in pods if dig(pod.value, "status", "phase") == "Running"]
    if not running:
        raise CommandInvalid(f"{owner.display} has no running pod.")
    return min(running, key=lambda pod: pod.name)


async def run_inside(client: ClusterClient, change: Change, limits: Limits) -> ExecutionResult:
    """Run the program and tell what it wrote; how it ended is in `notes`, unless it ended well."""
    seconds = limits.seconds * 0.8
    deadline = time.monotonic() + seconds
    written, size, ended = bytearray(), 4 * limits.characters, ""
    over = False
    async with aclosing(client.channels(change.path, query=change.query, seconds=seconds)) as messages:
        async for channel, data in messages:
            if channel in {_OUT, _ERR}:
                written += data[: size - len(written)]
            elif channel == _END:
                ended, over = _ending(data), True
            if over or len(written) >= size:
                break
    text, truncated = cut(safe_text(written.decode("utf-8", "replace")), limits)
    if not over:
        why = "its time was up" if time.monotonic() >= deadline else "it broke off or wrote too much"
        truncated = f"Not heard to its end, for {why}; the program may still run. {truncated}".rstrip()
    return ExecutionResult(text=text, changed=(change.target,), truncated=truncated, notes=(ended,) if ended else ())


def _ending(data: bytes) -> str:
    """What the last message says, empty for success; for the rest kubectl's words."""
    try:
        status = json.loads(data)
    except ValueError:
        return "How the program ended could not be read."
    if not isinstance(status, dict) or status.get("status") == "Success":
        return ""
    codes = [cause.get("message") for cause in dig(status, "details", "causes", default=[]) if cause.get("reason") == "ExitCode"]
    return clean_line(f"command terminated with exit code {codes[0]}" if codes else str(status.get("message")))
