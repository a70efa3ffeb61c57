"""Carry out a command: the one door through which anything reaches a cluster."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from k8s.change import PLANNERS, Change, plan_changes, send
from k8s.client import ClusterClient, Limits
from k8s.errors import ClusterError, ClusterTimeout, NotExecutable, PartlyDone
from k8s.get import get
from k8s.logs import logs
from k8s.types import Command, ExecutionResult

Executor = Callable[[ClusterClient, Command, Limits], Awaitable[ExecutionResult]]

READERS: dict[str, Executor] = {
    "get": get,
    "logs": logs,
}


async def execute(client: ClusterClient, command: Command, *, limits: Limits = Limits()) -> ExecutionResult:  # noqa: B008 - frozen
    """Carry out one command and say what came of it. Everything in the result is cleaned and holds no Secret's value.

    Raises: ClusterError (see k8s.errors; `explain` makes the sentence). PartlyDone when some objects were changed and one failed.
    ClusterTimeout after `limits.seconds`; for a change its outcome is then unknown.
    """
    started = time.monotonic()
    executor = READERS.get(command.verb) or (_write if command.verb in PLANNERS else None)
    if executor is None:
        raise NotExecutable(f"KubeChat does not carry out `{command.verb}` yet: use kubectl for it.")
    try:
        async with asyncio.timeout(limits.seconds):
            result = await executor(client, command, limits)
    except TimeoutError as error:
        raise ClusterTimeout(client.cluster, limits.seconds, command.verb in PLANNERS and not command.dry_run) from error
    return replace(result, duration=time.monotonic() - started)


async def _write(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    changes = await plan_changes(client, command)
    if not changes:
        return ExecutionResult(text="No resources found")
    return await send_all(client, changes, dry_run=command.dry_run)


async def send_all(client: ClusterClient, changes: tuple[Change, ...], *, dry_run: bool = False) -> ExecutionResult:
    """Send changes one after the other. Raises PartlyDone, or the error itself when nothing was changed before it."""
    done: list[Change] = []
    for change in changes:
        try:
            await send(client, change, dry_run=dry_run)
        except ClusterError as error:
            if not any(each.method for each in done):
                raise
            raise PartlyDone(tuple(each.done for each in done), len(changes) - len(done), error) from error
        done.append(change)
    suffix = " (server dry run)" if dry_run else ""
    text = "\n".join(f"{change.done}{suffix}" for change in changes)
    changed = () if dry_run else tuple(change.target for change in changes if change.method)
    return ExecutionResult(text=text, changed=changed)
