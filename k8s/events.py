"""Events: what the cluster noted about its objects, newest last."""

from datetime import UTC, datetime
from typing import Any

from k8s.client import ClusterClient, Limits
from k8s.discovery import resolve
from k8s.errors import CommandInvalid
from k8s.live import Found, dig, namespace_of, read_list
from k8s.redact import clean_line, redact_object
from k8s.render import age, cell, cut, to_json, to_yaml
from k8s.types import Command, ExecutionResult, Table

MAX_READ = 5000
"""Events of one namespace that are looked at; a cluster keeps them for an hour by default."""


async def events(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `events`, with --for TYPE/NAME and --types."""
    namespace = namespace_of(client, command)
    resource = await resolve(client, "events")
    query = await _query(client, command)
    found = [each.value for each in await read_list(client, resource, namespace, query, at_most=MAX_READ)]
    types = {word.strip().capitalize() for word in (command.flag("types") or "").split(",") if word.strip()}
    found = sorted((event for event in found if not types or event.get("type") in types), key=_seen)
    notes = ("A chat cannot watch: these are the events up to now.",) if command.has("watch") else ()
    if command.flag("output") in {"yaml", "json"}:
        shown = {"apiVersion": "v1", "items": [redact_object(event) for event in found[-limits.rows :]], "kind": "List"}
        text, truncated = cut((to_yaml if command.flag("output") == "yaml" else to_json)(shown), limits)
        return ExecutionResult(text=text, truncated=truncated, notes=notes)
    if not found:
        return ExecutionResult(
            text=f"No events found in {namespace} namespace." if namespace else "No events found.", notes=notes
        )
    rows = tuple(_row(event, everywhere=namespace is None) for event in found[-limits.rows :])
    truncated = f"The newest {len(rows):,} of {len(found):,} events." if len(rows) < len(found) else ""
    place = () if namespace else ("NAMESPACE",)
    columns = (*place, "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")
    table = Table(() if command.has("no-headers") else columns, rows)
    return ExecutionResult(tables=(table,), truncated=truncated, notes=notes)


async def _query(client: ClusterClient, command: Command) -> tuple[tuple[str, str], ...]:
    wished = command.flag("for")
    if wished is None:
        return ()
    word, slash, name = wished.partition("/")
    if not slash or not name:
        raise CommandInvalid("--for takes TYPE/NAME, such as --for=pod/checkout-1.")
    kind = (await resolve(client, word)).kind
    return (("fieldSelector", f"involvedObject.kind={kind},involvedObject.name={name}"),)


def _seen(event: dict[str, Any]) -> str:
    """When the event was last seen, as text that sorts by time."""
    series = dig(event, "series", "lastObservedTime")
    at = series or event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    return str(at or dig(event, "metadata", "creationTimestamp", default=""))


def _row(event: dict[str, Any], *, everywhere: bool) -> tuple[str, ...]:
    about = event.get("involvedObject") or {}
    place = (cell(event["metadata"].get("namespace")),) if everywhere else ()
    what = clean_line(f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}")
    message = cell((event.get("message") or "").strip())
    return (*place, last_seen(event), cell(event.get("type")), cell(event.get("reason")), what, message)


def last_seen(event: dict[str, Any]) -> str:
    """`3m`, or `3m (x5 over 20m)` for one that came back, as kubectl says it."""
    now = datetime.now(UTC)
    count = int(dig(event, "series", "count", default=0) or event.get("count") or 1)
    seen = age(_seen(event) or None, now)
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{seen} (x{count} over {age(first, now)})" if count > 1 and first else seen


async def events_about(client: ClusterClient, found: Found, at_most: int = 20) -> list[dict[str, Any]]:
    """The newest events about one object, oldest of them first."""
    metadata = found.value["metadata"]
    # Events about a node carry the node's name as UID in some versions, so the UID decides only for what has a namespace.
    parts = [f"involvedObject.kind={found.resource.kind}", f"involvedObject.name={found.name}"]
    parts += [f"involvedObject.uid={metadata['uid']}"] if found.namespace else []
    query = (("fieldSelector", ",".join(parts)),)
    listed = await read_list(client, await resolve(client, "events"), found.namespace or "default", query, at_most=500)
    return sorted((each.value for each in listed), key=_seen)[-at_most:]
