"""`get`: lists and objects as the server prints them, or as YAML, JSON, names, jsonpath and custom columns."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from k8s.client import JSON, METADATA, TABLE, ClusterClient, Limits, Query
from k8s.discovery import ApiResource, retry_discovered
from k8s.errors import ApiError, ClusterError, CommandInvalid, explain
from k8s.jsonpath import Columns, JsonPath, JsonPathBroken, sort_key
from k8s.live import namespace_of, resources_of, selectors
from k8s.redact import clean_line, redact_object
from k8s.render import cut, plain_table, server_table, to_json, to_yaml
from k8s.types import Command, ExecutionResult, Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ask:
    """One thing to read: a list, or one object by name."""

    resource: ApiResource
    namespace: str | None
    name: str | None

    def path(self, subresource: str | None = None) -> str:
        return self.resource.path(self.namespace, self.name, subresource)


async def get(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `get`. One kind or name that fails leaves the others; all failing raises the first error."""
    output = command.flag("output", "") or ""
    asks = await _asks(client, command)
    try:
        if output in {"", "wide"}:
            return await _tables(client, command, asks, limits)
        return await _objects(client, command, asks, output, limits)
    except JsonPathBroken as error:
        raise CommandInvalid(f"The expression cannot be read: {error}.") from error


async def _asks(client: ClusterClient, command: Command) -> list[_Ask]:
    namespace = namespace_of(client, command)
    resources = await resources_of(client, command)
    if not command.names:
        return [_Ask(resource, namespace, None) for resource in resources]
    if namespace is None:
        raise CommandInvalid("A resource cannot be retrieved by name across all namespaces: name its namespace with -n.")
    by_word = dict(zip(command.resources, resources, strict=True))
    return [_Ask(by_word[target.resource], namespace, target.name) for target in command.targets]


# --- tables ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Listing:
    """Pages of one ask, put together: a Table answer, and how many rows the server has besides (None: some)."""

    ask: _Ask
    answer: dict[str, Any]
    left: int | None = 0


async def _tables(client: ClusterClient, command: Command, asks: list[_Ask], limits: Limits) -> ExecutionResult:
    several = len({ask.resource for ask in asks}) > 1 or command.has("show-kind")
    listings, notes = await _all(
        [_listing(client, command, ask, limits) for ask in asks], ignore_missing=command.has("ignore-not-found")
    )
    tables: list[Table] = []
    room = limits.rows
    hidden: list[int | None] = []
    for resource in dict.fromkeys(listing.ask.resource for listing in listings):
        parts = [listing for listing in listings if listing.ask.resource == resource]
        columns, rows = _print(command, parts, prefix=f"{resource.display}/" if several else "")
        hidden += [*(part.left for part in parts), max(0, len(rows) - room)]
        if rows and room > 0:
            tables.append(Table(() if command.has("no-headers") else columns, tuple(rows[:room])))
            room -= len(rows[:room])
    shown = sum(len(table.rows) for table in tables)
    said = _shown_of(shown, hidden, "rows")
    truncated = f"{said} Ask for less with -n, -l or a name." if said else ""
    text = "" if tables or command.has("ignore-not-found") else _nothing_found(client, command, asks)
    if command.has("watch") or command.has("watch-only"):
        notes = (*notes, "A chat cannot watch: this is the state now.")
    return ExecutionResult(text=text, tables=tuple(tables), truncated=truncated, notes=notes)


def _nothing_found(client: ClusterClient, command: Command, asks: list[_Ask]) -> str:
    """kubectl's words."""
    namespace = namespace_of(client, command)
    if namespace is None or not any(ask.resource.namespaced for ask in asks):
        return "No resources found"
    return f"No resources found in {namespace} namespace."


async def _listing(client: ClusterClient, command: Command, ask: _Ask, limits: Limits) -> _Listing:
    sort_by = command.flag("sort-by")
    needs_metadata = command.all_namespaces or command.has("show-labels") or command.flag_values("label-columns")
    include = "Object" if sort_by else "Metadata" if needs_metadata else "None"
    query = (*selectors(command), ("includeObject", include)) if ask.name is None else (("includeObject", include),)
    # A sorted list must be read whole, within reason; an unsorted one only as far as it is shown.
    at_most = 10_000 if sort_by else limits.rows
    keyed = _keyed(sort_by, hidden=ask.resource.word == "secrets") if sort_by else None
    try:
        listing = await _pages(client, ask, command.flag("subresource"), query, at_most, keyed)
    except ApiError as error:
        if error.status != 404 or error.details.get("name"):
            raise
        ask = _Ask(await retry_discovered(client, ask.resource, error), ask.namespace, ask.name)
        listing = await _pages(client, ask, command.flag("subresource"), query, at_most, keyed)
    if keyed:
        listing.answer["rows"].sort(key=lambda row: row["key"])
    return listing


Row = dict[str, Any]


def _keyed(expression: str, *, hidden: bool) -> Callable[[Row], Row]:
    """Keep of a row what is printed and what it is sorted by; ten thousand whole Pods would fill the memory.

    `hidden` sorts by what is shown, so that the order of Secrets does not tell their values.
    """
    key = sort_key(expression)

    def keep(row: Row) -> Row:
        value = row.get("object") or {}
        metadata = {name: item for name, item in (value.get("metadata") or {}).items() if name in {"namespace", "labels"}}
        return {"cells": row["cells"], "object": {"metadata": metadata}, "key": key(redact_object(value) if hidden else value)}

    return keep


async def _pages(
    client: ClusterClient, ask: _Ask, subresource: str | None, query: Query, at_most: int, keep: Callable[[Row], Row] | None
) -> _Listing:
    path = ask.path(subresource)
    if ask.name is not None:
        answer = _as_table(await client.get(path, query=query, accept=TABLE))
        return _Listing(ask, {**answer, "rows": [keep(row) if keep else row for row in answer.get("rows") or ()]})
    head: dict[str, Any] = {}
    rows: list[Row] = []
    async with aclosing(client.pages(path, query=query, accept=TABLE, page=min(500, at_most))) as pages:
        async for answer in pages:
            page = _as_table(answer)
            head = head or page
            rows += [keep(row) if keep else row for row in page.get("rows") or ()]
            if len(rows) >= at_most:
                return _Listing(ask, {**head, "rows": rows}, _left(answer))
    return _Listing(ask, {**head, "rows": rows})


def _left(answer: dict[str, Any]) -> int | None:
    """How many the server has besides; None when it has some and does not say how many (it does not for a selector)."""
    metadata = answer.get("metadata") or {}
    if not metadata.get("continue"):
        return 0
    count = metadata.get("remainingItemCount")
    return int(count) if count is not None else None


def _shown_of(shown: int, parts: Sequence[int | None], what: str) -> str:
    """`500 of 9,312 rows shown.`, or nothing if all are."""
    if None in parts:
        return f"The first {shown:,} {what} shown; there are more."
    left = sum(part or 0 for part in parts)
    return f"{shown:,} of {shown + left:,} {what} shown." if left else ""


def _as_table(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, or a table made of it where the server does not print tables (an old aggregated API)."""
    if answer.get("kind") == "Table":
        return answer
    values = answer.get("items", [answer])
    return {**plain_table(values, datetime.now(UTC)), "metadata": answer.get("metadata")}


def _print(command: Command, parts: list[_Listing], prefix: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    for part in parts:
        columns, more = server_table(
            part.answer,
            wide=command.flag("output") == "wide",
            namespaces=command.all_namespaces and part.ask.resource.namespaced,
            labels=[label for value in command.flag_values("label-columns") for label in value.split(",")],
            show_labels=command.has("show-labels"),
            prefix=prefix,
        )
        rows += more
    return columns, rows


# --- objects --------------------------------------------------------------------------------------------------------------


async def _objects(client: ClusterClient, command: Command, asks: list[_Ask], output: str, limits: Limits) -> ExecutionResult:
    form = _form(output)
    accept = METADATA if output == "name" else JSON
    reads = [_read(client, command, ask, accept, limits) for ask in asks]
    read, notes = await _all(reads, ignore_missing=command.has("ignore-not-found"))
    values = [value for part, _ in read for value in part]
    left: list[int | None] = [count for _, count in read]
    if output == "name":
        by_kind = {ask.resource.kind: ask.resource for ask in asks}
        text = "\n".join(f"{by_kind[value['kind']].display}/{clean_line(value['metadata']['name'])}" for value in values)
    else:
        if output in {"yaml", "json"} and not command.flag("sort-by"):
            fitting = _that_fit(values, limits)
            left.append(len(values) - fitting)
            values = values[:fitting]
        single = len(asks) == 1 and asks[0].name is not None
        # Hundreds of objects take a second to lay out; in a thread nobody else waits for it.
        text = await asyncio.to_thread(_laid_out, command, values, form, single)
    if any(ask.resource.word == "secrets" for ask in asks) and output != "name":
        notes = (*notes, "Values of Secrets are never shown; names and keys are.")
    text, truncated = cut(text, limits)
    truncated = f"{_shown_of(len(values), left, 'objects')} {truncated}".strip()
    return ExecutionResult(text=text, truncated=truncated, notes=notes)


def _that_fit(values: list[dict[str, Any]], limits: Limits) -> int:
    """How many objects, one at least, can matter: YAML and JSON of a chat take more than half the room of plain JSON."""
    room = 2 * limits.characters
    for number, value in enumerate(values):
        room -= len(json.dumps(value))
        if room < 0:
            return number + 1
    return len(values)


def _laid_out(command: Command, values: list[dict[str, Any]], form: Callable[[Any], str], single: bool) -> str:
    shown = [redact_object(value, managed_fields=command.has("show-managed-fields")) for value in values]
    if sort_by := command.flag("sort-by"):
        shown.sort(key=sort_key(sort_by))
    if single and shown:
        return form(shown[0])
    return form({"apiVersion": "v1", "items": shown, "kind": "List", "metadata": {"resourceVersion": ""}})


def _form(output: str) -> Callable[[Any], str]:
    """The function from an object or a List to text. Raises JsonPathBroken for an expression that cannot be read."""
    name, _, expression = output.partition("=")
    match name:
        case "yaml":
            return to_yaml
        case "json":
            return to_json
        case "name":
            return str
        case "jsonpath":
            return JsonPath(expression).text
        case "jsonpath-as-json":
            path = JsonPath(expression)
            return lambda value: to_json(path.values(value))
        case "custom-columns":
            return Columns(expression).text
    raise CommandInvalid(f"There is no -o {name} here: use wide, yaml, json, name, jsonpath=… or custom-columns=….")


async def _read(
    client: ClusterClient, command: Command, ask: _Ask, accept: str, limits: Limits
) -> tuple[list[dict[str, Any]], int | None]:
    """The objects of one ask, and how many there are besides (None: some)."""
    if ask.name is not None:
        return [await client.get(ask.path(command.flag("subresource")))], 0
    found: list[dict[str, Any]] = []
    async with aclosing(client.pages(ask.path(), query=selectors(command), accept=accept, page=min(500, limits.rows))) as pages:
        async for answer in pages:
            own = {"apiVersion": ask.resource.api_version, "kind": ask.resource.kind}
            found += [{**item, **own} for item in answer.get("items") or ()]
            if len(found) >= limits.rows:
                return found[: limits.rows], _left(answer)
    return found, 0


async def _all(reads: Iterable[Coroutine[Any, Any, T]], *, ignore_missing: bool) -> tuple[list[T], tuple[str, ...]]:
    """Results of those that worked, and a sentence for each that did not. Raises the first error when none worked."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    worked = [result for result in results if not isinstance(result, BaseException)]
    failed = [result for result in results if isinstance(result, BaseException)]
    if ignore_missing:
        failed = [error for error in failed if not (isinstance(error, ApiError) and error.status == 404)]
    for error in failed:
        if not worked or not isinstance(error, ClusterError):
            raise error
    return worked, tuple(dict.fromkeys(explain(error) for error in failed if isinstance(error, ClusterError)))
