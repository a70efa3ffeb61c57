"""get, list and watch."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from k8s.sandbox.api.answers import _differs, in_version, list_reply, reply
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.api.watching import stream
from k8s.sandbox.objects import errors, selectors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.store import Stored

if TYPE_CHECKING:
    from k8s.sandbox.api.server import Server


def found(server: Server, ask: Ask) -> Json:
    asked = ask.asked
    found = server.store.get(ask.kind.id, asked.namespace, asked.name)
    if found is None:
        raise errors.not_found(ask.kind.resource, ask.kind.group, asked.name)
    return found


async def get(server: Server, ask: Ask) -> web.StreamResponse:
    return reply(ask, found(server, ask))


async def list_(server: Server, ask: Ask) -> web.StreamResponse:
    asked, kind = ask.asked, ask.kind
    listed, start = _page_start(server, ask)
    chosen = [one for one in listed if one[0] >= start] if start else listed
    chosen = selected(ask, chosen)
    meta: Json = {"resourceVersion": str(server.store.version)}
    limit = asked.number("limit")
    if limit and len(chosen) > limit:
        token = {"v": "meta.k8s.io/v1", "rv": server.store.version, "start": "/".join(chosen[limit][0])}
        meta["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode()
        if not asked.query.get("labelSelector") and not asked.query.get("fieldSelector"):
            meta["remainingItemCount"] = len(chosen) - limit
        chosen = chosen[:limit]
    entries = [_shown(kind, entry) for _, entry in chosen]
    return await list_reply(ask, entries, meta)


def _page_start(server: Server, ask: Ask) -> tuple[list[tuple[tuple[str, str], Stored]], tuple[str, str] | None]:
    asked = ask.asked
    listed = server.store.ordered(ask.kind.id, asked.namespace or None)
    token = asked.query.get("continue")
    if not token:
        return listed, None
    try:
        found = json.loads(base64.urlsafe_b64decode(token))
        namespace, _, name = found["start"].partition("/")
    except (ValueError, KeyError, TypeError) as bad:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {bad}") from bad
    if found["rv"] < server.store.oldest:
        raise errors.expired(EXPIRED_PAGE)
    return listed, (namespace, name)


def selected(ask: Ask, listed: list[tuple[tuple[str, str], Stored]]) -> list[tuple[tuple[str, str], Stored]]:
    fits = chosen_by(ask)
    return [one for one in listed if fits(one[1].body)] if fits else listed


def chosen_by(ask: Ask) -> Callable[[Json], bool] | None:
    """The test that the request's selectors make; None without selectors."""
    query = ask.asked.query
    labels = selectors.parse_labels(query["labelSelector"]) if query.get("labelSelector") else None
    extra = tuple(one["jsonPath"].lstrip(".") for one in (ask.kind.crd or {}).get("selectableFields") or ())
    fields = selectors.parse_fields(query["fieldSelector"], ask.kind.id, extra) if query.get("fieldSelector") else None
    if labels is None and fields is None:
        return None

    def fits(obj: Json) -> bool:
        if labels is not None and not selectors.matches(labels, obj["metadata"].get("labels")):
            return False
        return fields is None or fields(obj)

    return fits


def _shown(kind: Kind, entry: Stored) -> Stored:
    return Stored(in_version(kind, entry.body)) if _differs(kind, entry.body) else entry


async def watch(server: Server, ask: Ask) -> web.StreamResponse:
    return await stream(server, ask, chosen_by(ask))


EXPIRED_PAGE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
