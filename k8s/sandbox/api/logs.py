"""Container logs: those given with the manifests, those of a fault, or plausible ones made from the pod's own facts.

A pod's annotation `kubechat.dev/log` gives the text for all of its containers, `kubechat.dev/log.NAME` for one, and
`kubechat.dev/previous-log` (or `.NAME`) that of the run before. A file NAMESPACE.POD.CONTAINER.log beside the manifests
does the same. Lines without a time of their own get one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from k8s.sandbox.api.requests import Ask, Asked
from k8s.sandbox.api.server import Server
from k8s.sandbox.controllers.containers import fault_of
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import errors, units
from k8s.sandbox.objects.errors import ApiRefused, Json

Line = tuple[datetime, str]
EVERY = timedelta(seconds=17)  # between two made lines
MOST = 400  # made lines kept
FOLLOW_EVERY = 2.0  # seconds between two new lines of a followed log
_REQUESTS = ("GET /healthz 200 1ms", "GET /api/items 200 14ms", "POST /api/orders 201 38ms", "GET /api/items/42 200 9ms",
             "GET /metrics 200 3ms", "GET /api/orders 200 21ms")  # fmt: skip
_STATEMENTS = ("checkpoint complete: wrote 43 buffers", "connection received: host=10.244.1.9",
               "connection authorized: user=app database=app", "automatic vacuum of table \"app.public.orders\"")  # fmt: skip
_WRITERS = {
    "postgres": _STATEMENTS,
    "mysql": _STATEMENTS,
    "redis": ("Background saving started", "DB saved on disk", "Background saving terminated with success"),
}


def install(server: Server, loop: Loop, files: dict[tuple[str, str, str], str]) -> None:
    """Serve pods/log. `files` holds logs that came with the manifests by (namespace, pod, container)."""

    async def log(ask: Ask) -> web.StreamResponse:
        return await _log(server, loop, files, ask)

    server.special["get pods/log"] = log


async def _log(server: Server, loop: Loop, files: dict[tuple[str, str, str], str], ask: Ask) -> web.StreamResponse:
    asked = ask.asked
    pod = server.store.get("pods", asked.namespace, asked.name)
    if pod is None:
        raise errors.not_found("pods", "", asked.name)
    container = container_of(pod, asked.query.get("container", ""))
    previous = asked.flag("previous")
    _check(asked, pod)
    state = _state(pod, container["name"])
    if previous and not (state.get("lastState") or {}).get("terminated"):
        name = asked.name
        raise errors.bad_request(f'previous terminated container "{container["name"]}" in pod "{name}" not found')
    _must_have_run(pod, container, state, previous)
    lines = _chosen(list(_lines(loop, files, pod, container, state, previous)), asked)
    stamps, limit = asked.flag("timestamps"), asked.number("limitBytes")
    text = b"".join(_text(line, stamps) for line in lines)[:limit]
    if not asked.flag("follow") or previous or "running" not in (state.get("state") or {}):
        return web.Response(body=text, content_type="text/plain")
    return await _follow(server, ask, pod, container, text, stamps)


def container_of(pod: Json, name: str) -> Json:
    """The container meant, by name or as the only one; 400 otherwise."""
    spec = pod["spec"]
    listed = [*spec["containers"], *(spec.get("initContainers") or ()), *(spec.get("ephemeralContainers") or ())]
    notes = pod["metadata"].get("annotations") or {}
    name = name or notes.get("kubectl.kubernetes.io/default-container", "")
    if not name and len(spec["containers"]) > 1:
        names = [one["name"] for one in spec["containers"]]
        inits = [one["name"] for one in spec.get("initContainers") or ()]
        text = f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{' '.join(names)}]"
        raise errors.bad_request(text + (f" or one of the init containers: [{' '.join(inits)}]" if inits else ""))
    found: Json | None = next((one for one in listed if one["name"] == (name or spec["containers"][0]["name"])), None)
    if found is None:
        raise errors.bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
    return found


def _check(asked: Asked, pod: Json) -> None:
    causes = []
    for name in ("tailLines", "sinceSeconds", "limitBytes"):
        value = asked.number(name)
        if value is not None and value < (0 if name == "tailLines" else 1):
            why = "must be greater than or equal to 0" if name == "tailLines" else "must be greater than 0"
            causes.append(errors.invalid(name, value, why))
    if asked.query.get("sinceTime") and asked.query.get("sinceSeconds"):
        causes.append(errors.prohibited("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if causes:
        raise errors.invalid_object("PodLogOptions", "", pod["metadata"]["name"], causes)


def _state(pod: Json, name: str) -> Json:
    status = pod.get("status") or {}
    listed = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return next((one for one in listed if one.get("name") == name), {})


def _must_have_run(pod: Json, container: Json, state: Json, previous: bool) -> None:
    waiting = (state.get("state") or {}).get("waiting")
    name = container["name"]
    if waiting and not (state.get("lastState") or {}).get("terminated"):
        why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
        said = why.get(waiting.get("reason", ""), waiting.get("reason", "ContainerCreating"))
        raise errors.bad_request(f'container "{name}" in pod "{pod["metadata"]["name"]}" is waiting to start: {said}')
    if not pod["spec"].get("nodeName"):
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")


# the lines


def _lines(
    loop: Loop, files: dict[tuple[str, str, str], str], pod: Json, container: Json, state: Json, previous: bool
) -> Iterator[Line]:
    meta, name = pod["metadata"], container["name"]
    notes = meta.get("annotations") or {}
    kind = "previous-log" if previous else "log"
    given = notes.get(f"kubechat.dev/{kind}.{name}") or notes.get(f"kubechat.dev/{kind}")
    if given is None and not previous:
        given = files.get((meta["namespace"], meta["name"], name))
    began, ended = _span(pod, state, previous)
    if given is not None:
        yield from _dated(given.splitlines(), began, ended)
        return
    fault = fault_of(loop, pod, container)
    crashed = previous or "running" not in (state.get("state") or {})
    if fault and fault.log and crashed:
        yield from _dated(list(fault.log), began, ended)
        return
    yield from _made(pod, container, began, ended)


def _span(pod: Json, state: Json, previous: bool) -> tuple[datetime, datetime]:
    """When the run that the log is of began and ended (now, if it goes on)."""
    now = units.now()
    current = state.get("state") or {}
    last = (state.get("lastState") or {}).get("terminated")
    ended = last if previous or "waiting" in current else current.get("terminated")
    if ended and ended.get("finishedAt"):
        end = units.parse_time(ended["finishedAt"])
        start = units.parse_time(ended["startedAt"]) if ended.get("startedAt") else end - timedelta(seconds=3)
        return start, end
    began = (current.get("running") or {}).get("startedAt") or pod["metadata"].get("creationTimestamp")
    return (units.parse_time(began) if began else now), now


def _dated(texts: list[str], began: datetime, ended: datetime) -> Iterator[Line]:
    step = (ended - began) / max(len(texts), 1)
    for place, text in enumerate(texts):
        first, _, rest = text.partition(" ")
        try:
            yield units.parse_time(first), rest
        except ValueError:
            yield began + step * place, text


def _made(pod: Json, container: Json, began: datetime, ended: datetime) -> Iterator[Line]:
    """A start, then one line every so often, the same each time they are asked for."""
    seed = int(hashlib.sha256(f"{pod['metadata']['name']}/{container['name']}".encode()).hexdigest()[:8], 16)
    image = container["image"].rsplit("/", 1)[-1]
    first = max(0, int((ended - began) / EVERY) - MOST)
    if not first:
        yield began, f"starting {container['name']} ({image})"
        ports = container.get("ports") or ()
        if ports:
            yield began + timedelta(milliseconds=180), f"listening on :{ports[0]['containerPort']}"
    writer = next((lines for word, lines in _WRITERS.items() if word in image), _REQUESTS)
    for place in range(first, int((ended - began) / EVERY)):
        pick = (seed + place * 2654435761) >> 3
        yield began + EVERY * (place + 1), f'level=info msg="{writer[pick % len(writer)]}" seq={place + 1}'


def _chosen(lines: list[Line], asked: Asked) -> list[Line]:
    seconds, since = asked.number("sinceSeconds"), asked.query.get("sinceTime")
    start = units.now() - timedelta(seconds=seconds) if seconds is not None else None
    if since:
        try:
            start = units.parse_time(since)
        except ValueError as bad:
            raise ApiRefused(400, "BadRequest", f"invalid sinceTime: {since}") from bad
    chosen = [line for line in lines if start is None or line[0] >= start]
    tail = asked.number("tailLines")
    return chosen if tail is None else chosen[len(chosen) - min(tail, len(chosen)) :]


def _text(line: Line, stamps: bool) -> bytes:
    prefix = line[0].strftime("%Y-%m-%dT%H:%M:%S.%f000Z ") if stamps else ""
    return f"{prefix}{line[1]}\n".encode()


async def _follow(server: Server, ask: Ask, pod: Json, container: Json, text: bytes, stamps: bool) -> web.StreamResponse:
    """The log so far, then new lines until the pod ends or the client leaves."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    try:
        await response.prepare(ask.http)
        await response.write(text)
        async for line in _new(server, pod, container):
            await response.write(_text(line, stamps))
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone, which is how following ends
    return response


async def _new(server: Server, pod: Json, container: Json) -> AsyncIterator[Line]:
    meta: dict[str, Any] = pod["metadata"]
    count = 0
    while True:
        await asyncio.sleep(FOLLOW_EVERY)
        now = server.store.get("pods", meta["namespace"], meta["name"])
        if (
            now is None
            or now["metadata"]["uid"] != meta["uid"]
            or "running" not in (_state(now, container["name"]).get("state") or {})
        ):
            return
        count += 1
        yield units.now(), f'level=info msg="{_REQUESTS[count % len(_REQUESTS)]}"'
