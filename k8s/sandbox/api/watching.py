"""Watches: a stream of changes, filtered by selectors, with bookmarks, as objects or as Tables."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from aiohttp import web

from k8s.sandbox.api import answers, tables
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.objects import errors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.store import Change, Stored, Watcher, encode

if TYPE_CHECKING:
    from k8s.sandbox.api.server import Server

BOOKMARK_EVERY = 60.0  # seconds, as the watch cache does
INITIAL_END = "k8s.io/initial-events-end"


class Feed:
    """Turns changes into lines of one watch."""

    def __init__(self, ask: Ask, fits: Callable[[Json], bool] | None) -> None:
        self.kind, self.wanted, self.fits = ask.kind, ask.wanted, fits
        self.namespace = ask.asked.namespace
        self.include = ask.asked.query.get("includeObject", "Metadata") or "Metadata"
        self._headers = True

    def line(self, change: Change) -> bytes | None:
        """The line for a change, or None when it does not concern this watch."""
        if self.namespace and change.key[0] != self.namespace:
            return None
        was = change.old is not None and self._fits(change.old.body)
        now = change.new is not None and self._fits(change.new.body)
        if not was and not now:
            return None
        kind = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
        entry = change.final
        if kind == "DELETED" and change.new is not None and change.old is not None:
            meta = {**change.old.body["metadata"], "resourceVersion": str(change.version)}
            entry = Stored({**change.old.body, "metadata": meta})
        return self.event(kind, entry)

    def _fits(self, obj: Json) -> bool:
        return self.fits is None or self.fits(obj)

    def event(self, kind: str, entry: Stored) -> bytes:
        if self.wanted.shape == "Table":
            columns, _ = tables.printer(self.kind)
            meta = {"resourceVersion": entry.body["metadata"].get("resourceVersion", "")}
            body = tables.table([entry], self.kind, self.include, meta, headers=self._headers and bool(columns))
            self._headers = False
        elif self.wanted.shape.startswith("PartialObjectMetadata"):
            body = encode(tables.partial(entry.body))
        else:
            body = _shown(self.kind, entry).raw()
        if self.wanted.media == "application/yaml":
            loaded = {"type": kind, "object": yaml.safe_load(body)}
            return b"---\n" + yaml.safe_dump(loaded).encode()
        return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"

    def bookmark(self, version: int, *, initial: bool = False) -> bytes:
        meta: Json = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial:
            meta["annotations"] = {INITIAL_END: "true"}
        body: Json = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": meta}
        if self.wanted.shape == "Table":
            body = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": str(version)}}
            body |= {"columnDefinitions": [], "rows": []}
            body["rows"] = [{"cells": [], "object": {"kind": "PartialObjectMetadata", "metadata": meta}}]
        elif self.wanted.shape.startswith("PartialObjectMetadata"):
            body = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        return encode({"type": "BOOKMARK", "object": body}) + b"\n"


def _shown(kind: Kind, entry: Stored) -> Stored:
    shown = answers.in_version(kind, entry.body)
    return entry if shown is entry.body else Stored(shown)


async def stream(server: Server, ask: Ask, fits: Callable[[Json], bool] | None) -> web.StreamResponse:
    """Answer a watch until it times out, the client leaves, or it falls too far behind."""
    feed = Feed(ask, fits)
    asked = ask.asked
    seconds = asked.number("timeoutSeconds") or 1800 + secrets.randbelow(1800)
    start = asked.query.get("resourceVersion", "")
    if start and not start.isdigit():
        fault = f'strconv.ParseUint: parsing "{start}": invalid syntax'
        raise errors.ApiRefused(500, "", errors.invalid("resourceVersion", start, fault).text())
    version = int(start or 0)
    first, since = _first_events(server, feed, ask, version)
    watcher = server.store.watch(ask.kind.id, since)
    response = web.StreamResponse(headers={"Content-Type": _media(ask), "Cache-Control": "no-cache, private"})
    try:
        response.enable_chunked_encoding()
        await response.prepare(ask.http)
        if 0 < version < server.store.oldest:
            refused = errors.expired(f"too old resource version: {version} ({server.store.oldest + 1})")
            await response.write(encode({"type": "ERROR", "object": refused.status()}) + b"\n")
        else:
            await _run(server, watcher, feed, response, first, seconds, bookmarks=asked.flag("allowWatchBookmarks"))
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone, which is how most watches end
    finally:
        server.store.unwatch(watcher)
    return response


def _media(ask: Ask) -> str:
    if ask.wanted.media == "application/yaml":
        return "application/yaml;stream=watch"
    return "application/json"


def _first_events(server: Server, feed: Feed, ask: Ask, version: int) -> tuple[list[bytes], int]:
    """What a watch without a start begins with: every object there is, as ADDED."""
    asked = ask.asked
    streaming = asked.flag("sendInitialEvents")
    if version and not streaming:
        return [], version
    listed = server.store.ordered(ask.kind.id, asked.namespace or None)
    lines = [feed.event("ADDED", entry) for _, entry in listed if feed.fits is None or feed.fits(entry.body)]
    if streaming and asked.flag("allowWatchBookmarks"):
        lines.append(feed.bookmark(server.store.version, initial=True))
    return lines, server.store.version


async def _run(
    server: Server,
    watcher: Watcher,
    feed: Feed,
    response: web.StreamResponse,
    first: list[bytes],
    seconds: float,
    *,
    bookmarks: bool,
) -> None:
    end = time.monotonic() + seconds
    mark = time.monotonic() + BOOKMARK_EVERY
    if first:
        await response.write(b"".join(first))
    while not watcher.lost:
        await _send(watcher, feed, response)
        wait = min(end, mark if bookmarks else end) - time.monotonic()
        if wait > 0:
            await _wait(watcher, wait)
            continue
        if time.monotonic() >= end:
            return
        await response.write(feed.bookmark(server.store.version))
        mark = time.monotonic() + BOOKMARK_EVERY


async def _send(watcher: Watcher, feed: Feed, response: web.StreamResponse) -> None:
    while watcher.queue:
        lines: list[Any] = [feed.line(watcher.queue.popleft()) for _ in range(min(len(watcher.queue), 500))]
        data = b"".join(line for line in lines if line is not None)
        if data:
            await response.write(data)


async def _wait(watcher: Watcher, seconds: float) -> None:
    if watcher.queue or watcher.lost:
        return
    watcher.ready.clear()
    try:
        async with asyncio.timeout(seconds):
            await watcher.ready.wait()
    except TimeoutError:
        return
