"""`logs`: what containers wrote, of a pod, a workload or a label, within bounds of time and size."""

import asyncio
import re
import time
from contextlib import aclosing
from dataclasses import dataclass

from k8s.client import ClusterClient, Limits, Query
from k8s.discovery import resolve
from k8s.errors import ClusterError, CommandInvalid, explain
from k8s.live import Found, dig, namespace_of, read_list, read_one
from k8s.redact import safe_text
from k8s.types import Command, ExecutionResult

MAX_PODS = 5
"""Pods read at once, as kubectl's --max-log-requests."""

FOLLOW_SECONDS = 10.0
"""How long a follow listens: a chat's answer must come."""

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class _Source:
    """One container's log."""

    pod: Found
    container: str

    @property
    def prefix(self) -> str:
        return f"[pod/{self.pod.name}/{self.container}] "


@dataclass(frozen=True, slots=True)
class _Part:
    """The end of one log; `cut` when it was longer than its bound, `late` when more was to come."""

    text: str
    cut: bool
    late: bool


async def logs(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `logs`. Without --tail or --since a bounded end is read: the newest lines are those that matter in a chat."""
    pods, notes = await _pods(client, command)
    sources = [source for pod in pods for source in _sources(command, pod, notes)]
    at_most = int(command.flag("max-log-requests") or MAX_PODS)
    if len(sources) > at_most:
        notes.append(f"Logs of {at_most} of {len(sources)} containers; name a pod or a container for the others.")
        sources = sources[:at_most]
    room = max(1000, limits.characters // max(1, len(sources)))
    # The rest of the time is for finding the pods, and for an answer that is not cut off itself.
    seconds = min(FOLLOW_SECONDS, limits.seconds * 0.8) if command.has("follow") else limits.seconds * 0.8
    reads = [_read(client, command, source, room, seconds) for source in sources]
    results = await asyncio.gather(*reads, return_exceptions=True)
    texts, parts = [], []
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, _Part):
            texts.append(_prefixed(command, source, result.text, several=len(sources) > 1))
            parts.append(result)
        elif isinstance(result, ClusterError) and len(sources) > 1:
            notes.append(f"{source.pod.name}/{source.container}: {explain(result)}")
        else:
            raise result
    if sources and not texts:
        raise next(result for result in results if isinstance(result, ClusterError))
    said = []
    if command.has("follow"):
        said.append(f"Followed for {seconds:g} s.")
    elif any(part.late for part in parts):
        said.append(f"Not all came within {seconds:g} s.")
    if any(part.cut for part in parts):
        said.append(f"Only the last {room:,} characters of each container; ask with --since or a smaller --tail.")
    return ExecutionResult(text="".join(texts), truncated=" ".join(said), notes=tuple(notes))


def _prefixed(command: Command, source: _Source, text: str, *, several: bool) -> str:
    if text and not text.endswith("\n"):
        text += "\n"
    if not (command.has("prefix") or several):
        return text
    return "".join(f"{source.prefix}{line}" for line in text.splitlines(keepends=True))


async def _pods(client: ClusterClient, command: Command) -> tuple[list[Found], list[str]]:
    """The pods meant, and what is to be said about the choice."""
    namespace = namespace_of(client, command) or client.namespace
    pods = await resolve(client, "pods")
    if not command.targets:
        selector = command.flag("selector") or ""
        found = await read_list(client, pods, namespace, (("labelSelector", selector),))
        if not found:
            raise CommandInvalid(f"No pods match {selector!r} in namespace {namespace}: check the label and the namespace.")
        return found, []
    target = command.targets[0]
    owner = await read_one(client, await resolve(client, target.resource), namespace, target.name or "")
    if owner.resource.word == "pods":
        return [owner], []
    found = await read_list(client, pods, namespace, (("labelSelector", pod_selector(owner)),))
    if not found:
        raise CommandInvalid(f"{owner.display} has no pods now, so there are no logs.")
    if command.has("all-pods"):
        return found, []
    newest = max(found, key=lambda pod: (_ready(pod), dig(pod.value, "metadata", "creationTimestamp", default="")))
    if len(found) == 1:
        return [newest], []
    return [newest], [f"Found {len(found)} pods, using pod/{newest.name}; --all-pods reads them all."]


def _ready(pod: Found) -> bool:
    conditions = dig(pod.value, "status", "conditions", default=[])
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)


def pod_selector(owner: Found) -> str:
    """The label selector of a workload's pods. Raises CommandInvalid for an object that selects none."""
    selector = dig(owner.value, "spec", "selector")
    if owner.resource.word in {"services", "replicationcontrollers"} and isinstance(selector, dict):
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    if owner.resource.word == "jobs" and not selector:
        return f"job-name={owner.name}"
    if not isinstance(selector, dict) or not selector:
        raise CommandInvalid(f"{owner.display} has no pods of its own: name a pod, or a workload such as deployment/NAME.")
    return label_selector(selector)


def label_selector(selector: dict[str, object]) -> str:
    """The query form of a LabelSelector."""
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    parts = [f"{key}={value}" for key, value in sorted(labels.items())] if isinstance(labels, dict) else []
    for expression in expressions if isinstance(expressions, list) else ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        match expression["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)


def _sources(command: Command, pod: Found, notes: list[str]) -> list[_Source]:
    spec = pod.value["spec"]
    ordinary = [container["name"] for container in spec.get("containers") or ()]
    others = [c["name"] for group in ("initContainers", "ephemeralContainers") for c in spec.get(group) or ()]
    if command.has("all-containers"):
        return [_Source(pod, name) for name in (*others, *ordinary)]
    wished = command.flag("container")
    if wished is not None:
        if wished not in {*ordinary, *others}:
            raise CommandInvalid(f"container {wished} is not valid for pod {pod.name}: it has {', '.join((*ordinary, *others))}.")
        return [_Source(pod, wished)]
    default = dig(pod.value, "metadata", "annotations", DEFAULT_CONTAINER)
    name = default if default in ordinary else ordinary[0]
    if len(ordinary) > 1:
        notes.append(f"Container {name} of {pod.name}; it also has {', '.join(each for each in ordinary if each != name)}.")
    return [_Source(pod, name)]


def _query(command: Command, source: _Source) -> Query:
    pairs = [("container", source.container)]
    pairs += [(name, "true") for name in ("previous", "follow", "timestamps") if command.has(name)]
    if since := command.flag("since"):
        pairs.append(("sinceSeconds", str(max(1, round(seconds_of(since))))))
    if since_time := command.flag("since-time"):
        pairs.append(("sinceTime", since_time))
    if limit := command.flag("limit-bytes"):
        pairs.append(("limitBytes", limit))
    tail = command.flag("tail")
    if tail is None and (command.targets == () or command.has("all-pods")):
        tail = "10"  # kubectl's default for a selector
    if tail is not None and int(tail) >= 0:
        pairs.append(("tailLines", tail))
    return tuple(pairs)


async def _read(client: ClusterClient, command: Command, source: _Source, room: int, seconds: float) -> _Part:
    """The end of one log: the last `room` characters, from the first whole line on."""
    started = time.monotonic()
    kept = bytearray()
    cut = False
    # A character may have four bytes; what came first is dropped as more comes, so memory stays bounded.
    keep = room * 4
    bound = 64 * 2**20
    async with aclosing(client.stream(source.pod.path("log"), query=_query(command, source), seconds=seconds)) as chunks:
        async for chunk in chunks:
            kept += chunk
            bound -= len(chunk)
            if len(kept) > 2 * keep:
                del kept[:-keep]
                cut = True
            if bound < 0:
                cut = True
                break
    text = safe_text(kept.decode("utf-8", "replace"))
    if len(text) > room:
        text, cut = text[-room:], True
    if cut:
        text = text[text.find("\n") + 1 :]
    return _Part(text, cut, time.monotonic() - started >= seconds)


def seconds_of(duration: str) -> float:
    """A Go duration (`1h30m`) in seconds."""
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", duration))
