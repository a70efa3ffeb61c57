"""Carry out a command: the one door through which anything reaches a cluster."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from k8s.about import api_resources, api_versions, cluster_info, version
from k8s.change import Change, did_nothing, send
from k8s.client import ClusterClient, Limits
from k8s.describe import describe
from k8s.diff import diff
from k8s.discovery import forget
from k8s.drain import drain
from k8s.errors import AnswerBroken, ClusterError, ClusterTimeout, CommandInvalid, NotExecutable, PartlyDone
from k8s.events import events
from k8s.get import get
from k8s.inside import run_inside
from k8s.logs import logs
from k8s.plan import PLANNERS, plan_changes
from k8s.redact import clean_line, redact_object, safe_text
from k8s.render import to_json, to_yaml
from k8s.rights import can_i, whoami
from k8s.rollout import history, status
from k8s.setting import list_env, list_keys
from k8s.top import top_nodes, top_pods
from k8s.types import Command, ExecutionResult, ObjectRef
from k8s.undo import undo_of
from k8s.wait import wait

Executor = Callable[[ClusterClient, Command, Limits], Awaitable[ExecutionResult]]

READERS: dict[str, Executor] = {
    "get": get,
    "describe": describe,
    "logs": logs,
    "events": events,
    "top pods": top_pods,
    "top nodes": top_nodes,
    "auth can-i": can_i,
    "auth whoami": whoami,
    "version": version,
    "cluster-info": cluster_info,
    "api-resources": api_resources,
    "api-versions": api_versions,
    "rollout history": history,
    "rollout status": status,
    "diff": diff,
    "wait": wait,
}


LISTERS: dict[str, Executor] = {"set env": list_env, "label": list_keys, "annotate": list_keys}
"""What --list does for verbs that change something without it."""


async def execute(
    client: ClusterClient,
    command: Command,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    expected: tuple[ObjectRef, ...] | None = None,
) -> ExecutionResult:
    """Carry out one command and say what came of it. Everything in the result is cleaned and holds no Secret's value.

    `expected` are the objects that were agreed to (`Preview.targets`): a change that would reach others is not made.

    Raises: ClusterError (see k8s.errors; `explain` makes the sentence). PartlyDone when some objects were changed and one failed.
    ClusterTimeout after `limits.seconds`; for a change its outcome is then unknown.
    """
    started = time.monotonic()
    executor = _executor(command, expected)
    if executor is None:
        raise NotExecutable(f"KubeChat does not carry out `{command.verb}` yet: use kubectl for it.")
    try:
        async with asyncio.timeout(limits.seconds):
            result = await executor(client, command, limits)
    except TimeoutError as error:
        raise ClusterTimeout(client.cluster, limits.seconds, command.verb in PLANNERS and not command.dry_run) from error
    except RecursionError as error:
        raise AnswerBroken(client.cluster, "it is nested too deeply") from error
    return replace(result, duration=time.monotonic() - started)


def _executor(command: Command, expected: tuple[ObjectRef, ...] | None) -> Executor | None:
    if command.has("list") and command.verb in LISTERS and not command.args:
        return LISTERS[command.verb]
    return READERS.get(command.verb) or (partial(_write, expected=expected) if command.verb in PLANNERS else None)


_CHANGE_WHAT_IS_SERVED = frozenset({"customresourcedefinitions", "apiservices"})


async def _write(
    client: ClusterClient, command: Command, limits: Limits, *, expected: tuple[ObjectRef, ...] | None
) -> ExecutionResult:
    changes = await plan_changes(client, command)
    if expected is not None and {change.target for change in changes} != set(expected):
        raise CommandInvalid("The objects have changed since this was agreed to, so nothing was done. Ask again.")
    if not changes:
        return ExecutionResult(text="No resources found")
    if command.verb == "drain":
        return await drain(client, changes, command, limits)
    if command.verb == "exec":
        return await run_inside(client, changes[0], limits)
    result = await send_all(client, changes, dry_run=command.dry_run, output=command.flag("output"))
    if {ref.resource for ref in result.changed} & _CHANGE_WHAT_IS_SERVED:
        forget(client)
    undo = undo_of(command, changes).command if result.changed else None
    return replace(result, undo=undo.text if undo else None, undo_manifest=undo.manifest if undo else None)


async def send_all(
    client: ClusterClient, changes: tuple[Change, ...], *, dry_run: bool = False, output: str | None = None
) -> ExecutionResult:
    """Send changes one after the other. Raises PartlyDone, or the error itself when nothing was changed before it.

    `output` (yaml, json, name) prints the objects instead of kubectl's messages.
    """
    done: list[Change] = []
    said: list[str] = []
    answers: list[dict[str, Any]] = []
    warnings: list[str] = []
    for change in changes:
        try:
            answers.append(await send(client, change, dry_run=dry_run, warnings=warnings))
        except ClusterError as error:
            if not any(each.method for each in done):
                raise
            raise PartlyDone(tuple(said), len(changes) - len(done), error) from error
        nothing = did_nothing(change, answers[-1])
        said.append(change.done_nothing if nothing else change.done)
        done.append(replace(change, method="") if nothing else change)
    suffix = " (server dry run)" if dry_run else ""  # kubectl's words
    text = _printed(done, answers, output) or "\n".join(f"{each}{suffix}" for each in said)
    changed = () if dry_run else tuple(change.target for change in done if change.method)
    notes = tuple(dict.fromkeys(safe_text(clean_line(warning)) for warning in warnings))
    return ExecutionResult(text=text, changed=changed, notes=notes)


def _printed(changes: Sequence[Change], answers: Sequence[dict[str, Any]], output: str | None) -> str:
    """The objects as -o asks, without the values of Secrets; empty for an output that is made of the message."""
    if output == "name":
        return "\n".join(change.display for change in changes)
    if output not in {"yaml", "json"} or any(change.method == "DELETE" for change in changes):
        return ""
    objects = [redact_object(answer) for answer in answers]
    value = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
    return to_yaml(value) if output == "yaml" else to_json(value)
