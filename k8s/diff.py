"""`diff`: what applying a manifest would change, by the server's own dry run, as a readable comparison."""

import asyncio
import difflib
from typing import Any

from k8s.apply import plan_apply
from k8s.change import Change, send
from k8s.client import ClusterClient, Limits
from k8s.errors import ClusterTimeout
from k8s.redact import clean_line, redact_object, safe_text
from k8s.render import cut, to_yaml
from k8s.types import Command, ExecutionResult

_SERVER_WRITES = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"})


async def diff(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `diff`. Values of Secrets are not shown; that they differ is."""
    changes = await plan_apply(client, command)
    try:
        answers = await asyncio.gather(*(send(client, change, dry_run=True) for change in changes))
    except ClusterTimeout as error:
        error.wrote = False  # a dry run
        raise
    parts = [part for change, answer in zip(changes, answers, strict=True) if (part := _compared(change, answer))]
    text, truncated = cut("\n".join(parts), limits)
    return ExecutionResult(text=safe_text(text) or "No differences.", truncated=truncated)


def _compared(change: Change, answer: dict[str, Any]) -> str:
    before, after = (_told(value) if value else {} for value in (change.before, answer))
    if before == after:
        return ""
    one, other = (to_yaml(redact_object(value)).splitlines() if value else [] for value in (before, after))
    name = clean_line(change.display)
    lines = list(difflib.unified_diff(one, other, f"{name} (live)", f"{name} (merged)", lineterm=""))
    return "\n".join(lines) or f"{name}: values differ that are not shown."


def _told(value: dict[str, Any]) -> dict[str, Any]:
    """Without what the server keeps for itself, and without the status, which no manifest sets."""
    metadata = {key: item for key, item in value["metadata"].items() if key not in _SERVER_WRITES}
    return {**{key: item for key, item in value.items() if key != "status"}, "metadata": metadata}
