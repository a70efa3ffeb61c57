"""`top`: what pods, containers and nodes use now, from the metrics API."""

import asyncio
from collections.abc import Iterable
from typing import Any

from k8s.client import ClusterClient, Limits
from k8s.discovery import api_path, resolve
from k8s.errors import ApiError, NotExecutable
from k8s.jsonpath import quantity
from k8s.live import dig, namespace_of, read_list, selectors
from k8s.redact import clean_line
from k8s.types import Command, ExecutionResult, Table

_API = ("apis", "metrics.k8s.io", "v1beta1")
_UNKNOWN = "<unknown>"

Usage = tuple[float, float]
"""Cores and bytes."""


async def top_pods(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `top pods`, with --containers, --sum and --sort-by."""
    namespace = namespace_of(client, command)
    scope = ("namespaces", namespace) if namespace else ()
    metrics = await _metrics(client, command, api_path(*_API, *scope, "pods"))
    containers = command.has("containers")
    rows: list[tuple[tuple[str, ...], Usage]] = []
    for pod in metrics:
        place = (clean_line(pod["metadata"].get("namespace", "")),) if namespace is None else ()
        name = clean_line(pod["metadata"]["name"])
        used = [
            (clean_line(container["name"]), _usage(container.get("usage") or {})) for container in pod.get("containers") or ()
        ]
        if containers:
            rows += [((*place, name, container), usage) for container, usage in used]
        else:
            rows.append(((*place, name), _total(usage for _, usage in used)))
    _sort(rows, command)
    named = ("POD", "NAME") if containers else ("NAME",)
    columns = (*(("NAMESPACE",) if namespace is None else ()), *named, "CPU(cores)", "MEMORY(bytes)")
    printed = [(*names, _cores(usage[0]), _bytes(usage[1])) for names, usage in rows[: limits.rows]]
    if command.has("sum") and rows:
        total = _total(usage for _, usage in rows)
        printed.append((*("" for _ in columns[:-3]), "TOTAL", _cores(total[0]), _bytes(total[1])))
    return _result(
        command, columns, printed, len(rows), limits, f"No resources found in {namespace} namespace." if namespace else ""
    )


async def top_nodes(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `top nodes`: use, and its share of what pods may have (of all there is, with --show-capacity)."""
    metrics, nodes = await asyncio.gather(
        _metrics(client, command, api_path(*_API, "nodes")), read_list(client, await resolve(client, "nodes"), None)
    )
    kind = "capacity" if command.has("show-capacity") else "allocatable"
    room = {node.name: _usage(dig(node.value, "status", kind, default={})) for node in nodes}
    rows: list[tuple[tuple[str, ...], Usage]] = [
        ((node["metadata"]["name"],), _usage(node.get("usage") or {})) for node in metrics
    ]
    _sort(rows, command)
    printed: list[tuple[str, ...]] = []
    for (name, *_), usage in rows[: limits.rows]:
        has = room.get(name, (0.0, 0.0))
        printed.append((clean_line(name), _cores(usage[0]), _share(usage[0], has[0]), _bytes(usage[1]), _share(usage[1], has[1])))
    if not command.names and not command.flag("selector"):
        missing = sorted(room.keys() - {names[0] for names, _ in rows})
        printed += [(clean_line(name), _UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN) for name in missing]
    columns = ("NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)")
    return _result(command, columns, printed, len(rows), limits, "")


def _result(
    command: Command, columns: tuple[str, ...], rows: list[tuple[str, ...]], total: int, limits: Limits, nothing: str
) -> ExecutionResult:
    if not rows:
        return ExecutionResult(text=nothing or "No resources found")
    truncated = f"{limits.rows:,} of {total:,} rows shown." if total > limits.rows else ""
    return ExecutionResult(tables=(Table(() if command.has("no-headers") else columns, tuple(rows)),), truncated=truncated)


async def _metrics(client: ClusterClient, command: Command, path: str) -> list[dict[str, Any]]:
    """The metrics asked for. Raises NotExecutable where the cluster has no metrics API."""
    try:
        if command.names:
            return list(await asyncio.gather(*(client.get(path + api_path(name)) for name in command.names)))
        return await client.items(path, query=selectors(command))
    except ApiError as error:
        if error.status == 503 or (error.status == 404 and not error.details.get("name")):
            raise NotExecutable(
                "This cluster has no working metrics API, so there is no `top`: install metrics-server."
            ) from error
        raise


def _usage(values: dict[str, Any]) -> Usage:
    return quantity(str(values.get("cpu", "0"))) or 0.0, quantity(str(values.get("memory", "0"))) or 0.0


def _total(usages: Iterable[Usage]) -> Usage:
    parts = list(usages)
    return sum(cpu for cpu, _ in parts), sum(memory for _, memory in parts)


def _sort(rows: list[tuple[tuple[str, ...], Usage]], command: Command) -> None:
    column = {"cpu": 0, "memory": 1}.get(command.flag("sort-by") or "")
    rows.sort(key=lambda row: (-row[1][column] if column is not None else 0.0, row[0]))


def _cores(cores: float) -> str:
    return f"{round(cores * 1000)}m"


def _bytes(size: float) -> str:
    return f"{int(size // 2**20)}Mi"


def _share(used: float, room: float) -> str:
    return f"{int(used / room * 100)}%" if room else _UNKNOWN
