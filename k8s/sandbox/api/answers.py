"""Answers: one object or a list in the form asked for, with warnings; and the plain HTTP under them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence

import yaml
from aiohttp import web

from k8s.sandbox.api import tables
from k8s.sandbox.api.convert import FROM_STORED, scale_of
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.objects import errors, units
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.store import Stored, encode


def in_version(kind: Kind, obj: Json) -> Json:
    """A stored object as the kind's version shows it."""
    if not _differs(kind, obj):
        return obj
    convert = FROM_STORED.get((kind.group, kind.version, kind.kind))
    shown = convert(obj) if convert else dict(obj)
    shown["apiVersion"] = kind.api_version
    return shown


async def list_reply(ask: Ask, entries: list[Stored], meta: Json) -> web.StreamResponse:
    kind, shape = ask.kind, ask.wanted.shape
    if shape == "Table":
        include = ask.asked.query.get("includeObject", "Metadata") or "Metadata"
        columns, make = tables.printer(kind)
        head = tables.opening(columns, meta)
        parts = await _encoded(entries, lambda entry: tables.row(entry, kind, make, include))
    elif shape == "PartialObjectMetadataList":
        top = {"kind": shape, "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        head = encode(top)[:-1] + b',"items":['
        parts = await _encoded(entries, lambda entry: encode(tables.partial(entry.body)))
    else:
        top = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": meta}
        head = encode(top)[:-1] + b',"items":['
        parts = await _encoded(entries, Stored.item if kind.crd is None else Stored.raw)
    return bytes_reply(ask, head + b",".join(parts) + b"]}")


def reply(ask: Ask, obj: Json, status: int = 200) -> web.StreamResponse:
    """One object in the form that was asked for."""
    if ask.asked.sub == "scale":
        return bytes_reply(ask, encode(scale_of(obj, ask.kind)), status)
    entry = Stored(in_version(ask.kind, obj))
    if ask.wanted.shape == "Table":
        include = ask.asked.query.get("includeObject", "Metadata") or "Metadata"
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return bytes_reply(ask, tables.table([entry], ask.kind, include, meta), status)
    if ask.wanted.shape == "PartialObjectMetadata":
        return bytes_reply(ask, encode(tables.partial(obj)), status)
    return bytes_reply(ask, entry.raw(), status)


def bytes_reply(ask: Ask, body: bytes, status: int = 200) -> web.StreamResponse:
    media = ask.wanted.media
    if media == "application/yaml":
        body = yaml.safe_dump(json.loads(body), sort_keys=True, allow_unicode=True).encode()
    return _respond(body, status, media, _warning_headers(ask.warnings))


BODY_LIMIT = 3 * 1024 * 1024  # bytes, as the real server


CHUNK = 500  # rows encoded between two turns of the loop


def _differs(kind: Kind, obj: Json) -> bool:
    return bool(obj.get("apiVersion") != kind.api_version)


def _warning_headers(warnings: list[str]) -> list[tuple[str, str]]:
    return [("Warning", f'299 - "{_escaped(one)}"') for one in dict.fromkeys(warnings)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


async def _encoded(entries: list[Stored], make: Callable[[Stored], bytes]) -> list[bytes]:
    """Every entry encoded, giving way to other requests between chunks."""
    parts: list[bytes] = []
    for start in range(0, len(entries), CHUNK):
        parts += [make(entry) for entry in entries[start : start + CHUNK]]
        if len(entries) > CHUNK:
            await asyncio.sleep(0)
    return parts


async def read_body(http: web.BaseRequest) -> bytes:
    """The whole body; 413 past the limit."""
    if (http.content_length or 0) > BODY_LIMIT:
        raise errors.too_large(BODY_LIMIT)
    parts, size = [], 0
    async for part in http.content.iter_any():
        size += len(part)
        if size > BODY_LIMIT:
            raise errors.too_large(BODY_LIMIT)
        parts.append(part)
    return b"".join(parts)


def _respond(
    body: bytes, status: int, media: str, headers: Sequence[tuple[str, str]] | Mapping[str, str] = ()
) -> web.StreamResponse:
    response = web.Response(body=body, status=status)
    response.headers["Content-Type"] = media
    response.headers["Cache-Control"] = "no-cache, private"
    response.headers["Date"] = units.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        response.headers.add(name, value)
    return response


def json_response(
    body: Json, status: int = 200, *, headers: dict[str, str] | None = None, media: str = "application/json"
) -> web.StreamResponse:
    return _respond(encode(body), status, media, headers or {})


async def truncated(answer: web.StreamResponse, keep: int, http: web.BaseRequest) -> web.StreamResponse:
    """Send only the first bytes of an answer, then cut the connection."""
    body = answer.body if isinstance(answer, web.Response) else b""
    whole = bytes(body) if isinstance(body, bytes | bytearray) else b""
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]})
    response.content_length = len(whole)
    await response.prepare(http)
    await response.write(whole[:keep])
    if http.transport is not None:
        http.transport.close()
    return response
