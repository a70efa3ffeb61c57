"""`wait`: until objects are gone, are there, or are as wished, but no longer than the bounds allow."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from k8s.client import ClusterClient, Limits
from k8s.discovery import resolve
from k8s.errors import ApiError, CommandInvalid
from k8s.jsonpath import JsonPath, JsonPathBroken, shown
from k8s.live import Found, chosen, dig, namespace_of
from k8s.logs import seconds_of
from k8s.types import Command, ExecutionResult

_PAUSE = 0.3
"""Seconds between two looks."""
_DEFAULT = 30.0
"""Seconds; kubectl's default of --timeout."""

Test = Callable[[dict[str, Any] | None], bool]


@dataclass(frozen=True, slots=True)
class _Goal:
    """What is waited for: a test of the object, which is None where there is none."""

    test: Test
    gone: bool = False
    there: bool = False


def goal(text: str) -> _Goal:
    """What --for means. Raises CommandInvalid."""
    head, equals, rest = text.partition("=")
    match head.lower():
        case "delete" if not equals:
            return _Goal(lambda value: value is None, gone=True)
        case "create" if not equals:
            return _Goal(lambda value: value is not None, there=True)
        case "condition" if rest:
            name, _, status = rest.partition("=")
            return _Goal(lambda value: _has_condition(value or {}, name.lower(), (status or "true").lower()))
        case "jsonpath" if rest:
            return _Goal(_path_test(rest))
    raise CommandInvalid("--for takes delete, create, condition=NAME[=STATUS] or jsonpath='{…}'[=VALUE].")


def _has_condition(value: dict[str, Any], name: str, status: str) -> bool:
    """Whether the condition has the status; one that speaks of an earlier generation does not count."""
    generation = dig(value, "metadata", "generation", default=0)
    for condition in dig(value, "status", "conditions", default=[]):
        if str(condition.get("type", "")).lower() == name:
            seen = condition.get("observedGeneration") or dig(value, "status", "observedGeneration", default=generation)
            return bool(seen >= generation and str(condition.get("status", "")).lower() == status)
    return False


def _path_test(text: str) -> Test:
    expression, closing, wished = text.rpartition("}")
    if not closing or not expression.startswith("{") or (wished and not wished.startswith("=")):
        raise CommandInvalid("--for=jsonpath takes '{.path}' or '{.path}'=VALUE.")
    try:
        path = JsonPath(expression + "}")
    except JsonPathBroken as error:
        raise CommandInvalid(f"The jsonpath of --for cannot be read: {error}.") from error

    def test(value: dict[str, Any] | None) -> bool:
        found = path.values(value or {})
        if len(found) > 1 or any(isinstance(each, dict | list) for each in found):
            raise CommandInvalid("The jsonpath of --for must lead to one plain value.")
        return bool(found) and (not wished or shown(found[0]).strip() == wished.removeprefix("=").strip("'\" "))

    return test


async def wait(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `wait`. What is not reached in time is said in `truncated`."""
    wished = goal(command.flag("for") or "")
    asked = seconds_of(command.flag("timeout") or "") if command.flag("timeout") else _DEFAULT
    seconds = min(asked, limits.seconds * 0.8)
    deadline = time.monotonic() + seconds
    found = await _found(client, command, wished, deadline)
    if not found and not wished.gone:
        raise CommandInvalid("No matching resources found.")
    reached = await asyncio.gather(*(_reached(client, each, wished, deadline) for each in found))
    lines = [f"{each.display} condition met" for each, yes in zip(found, reached, strict=True) if yes]
    late = [each.display for each, yes in zip(found, reached, strict=True) if not yes]
    truncated = f"Not reached after {seconds:g} s: {', '.join(late)}. Ask again to go on waiting." if late else ""
    return ExecutionResult(text="\n".join(lines), truncated=truncated)


async def _found(client: ClusterClient, command: Command, wished: _Goal, deadline: float) -> list[Found]:
    """The objects meant. Those that are to be gone may be so already; those that are to come are looked for until they do."""
    if not command.names:
        return await chosen(client, command)
    namespace = namespace_of(client, command)
    found: list[Found] = []
    for target in command.targets:
        resource = await resolve(client, target.resource)
        path = resource.path(namespace, target.name)
        value = await _value(client, path)
        while value is None and wished.there and time.monotonic() < deadline:
            await asyncio.sleep(_PAUSE)
            value = await _value(client, path)
        if value is not None:
            found.append(Found(resource, value))
        elif wished.there:
            raise CommandInvalid(f"{resource.display}/{target.name} is not there yet: ask again to go on waiting.")
        elif not wished.gone:
            await client.get(path)  # says that it is not there
    return found


async def _value(client: ClusterClient, path: str) -> dict[str, Any] | None:
    try:
        return await client.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return None


async def _reached(client: ClusterClient, found: Found, wished: _Goal, deadline: float) -> bool:
    value: dict[str, Any] | None = found.value
    while not wished.test(value):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_PAUSE)
        value = await _value(client, found.path())
        if value is not None and value["metadata"]["uid"] != found.ref.uid:  # another of the same name
            value = None
        if value is None and not wished.gone:
            raise CommandInvalid(f"{found.display} was deleted while it was waited for.")
    return True
