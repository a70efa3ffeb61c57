"""Carrying out: written down first, then done, then written down how it ended, then said."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from audit.ledger import AuditUnavailable
from audit.rows import FINISHED, STARTED, Actor
from bot import approvals, buttons, replies
from bot.approvals import Approval
from bot.buttons import Proposal
from bot.conversation import Asked, Means, remember
from bot.database import StoreUnavailable
from bot.judgement import expecting_sense, shown
from bot.types import Button, Reply, Say
from bot.worker import instance
from k8s.access import ClusterAccess
from k8s.client import ClusterClient
from k8s.errors import ApiError, ClusterError, PartlyDone, explain
from k8s.execute import READERS, execute
from k8s.types import Command, ExecutionResult, Level, ObjectRef, Verdict


@dataclass(frozen=True, slots=True)
class Task:
    """Commands that are to run now, and all that the audit log wants to know about them."""

    asked: Asked
    access: ClusterAccess
    commands: tuple[Command, ...]
    verdict: Verdict
    translator: str
    approval_id: str | None = None
    approvers: tuple[str, ...] = ()
    expected: tuple[tuple[ObjectRef, ...], ...] = ()

    @property
    def actor(self) -> Actor:
        """Who, for an audit row."""
        return replace(self.asked.actor, identity=self.access.identity)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `failure` is a sentence, empty when all went well; `unknown` when nobody can say whether a change happened.

    `recorded` is False when the end could not be written to the audit log.
    """

    results: tuple[ExecutionResult, ...] = ()
    failure: str = ""
    unknown: bool = False
    recorded: bool = True

    @property
    def state(self) -> approvals.State:
        """What becomes of a request that was carried out."""
        return "unknown" if self.unknown else "failed" if self.failure else "done"


async def run(means: Means, client: ClusterClient, task: Task, say: Say, approval: Approval | None = None) -> None:
    """Carry a task out and say how it ended. `approval` is the request behind it, claimed already.

    Raises: AuditUnavailable when the start could not be recorded; then nothing has run.
    """
    try:
        outcome = await carry_out(means, client, task)
    except AuditUnavailable:
        if approval is not None:
            await approvals.settle(means.database, approval.id, "executing", "failed")
        raise
    undo = None
    try:
        undo = await _undo_button(means, task, outcome)
        await remember(means, task.asked.thread, **memories(task), **_last_undo(task, outcome, undo))
    except StoreUnavailable:  # it has run: that must be said whatever became of the database
        outcome = replace(outcome, recorded=False)
    try:
        await say(_told(task, outcome, undo, approval))
    finally:  # last, so that a next start finds what was not said
        if approval is not None:
            with suppress(StoreUnavailable):
                await approvals.settle(means.database, approval.id, "executing", outcome.state)


# --- one after the other --------------------------------------------------------------------------------------------------


async def carry_out(means: Means, client: ClusterClient, task: Task) -> Outcome:
    """Run the commands in order, up to the first that fails.

    Raises: AuditUnavailable when the start of the first command could not be recorded; then nothing has run.
    """
    outcome = Outcome()
    for number, command in enumerate(task.commands):
        expected = task.expected[number] if task.expected else None
        try:
            one = await _carry_out_one(means, client, task, command, expected)
        except AuditUnavailable:
            if number == 0:
                raise
            return replace(outcome, failure=f"`{command.text}` was not run: its start could not be recorded.", recorded=False)
        outcome = replace(one, results=outcome.results + one.results, recorded=outcome.recorded and one.recorded)
        if one.failure:
            break
    return outcome


async def _carry_out_one(
    means: Means, client: ClusterClient, task: Task, command: Command, expected: tuple[ObjectRef, ...] | None
) -> Outcome:
    ids = {"command_digest": command.digest, "approval_id": task.approval_id, "execution_id": buttons.new_id()}
    until = means.clock() + timedelta(seconds=means.limits.seconds + 5)
    await means.audit.append(STARTED, task.actor, _intent(task, command, until), **ids)
    try:
        with expecting_sense(client.cluster, wrote=_changes(command)):
            done = await execute(client, command, limits=means.limits, expected=expected)
        outcome, details = Outcome((done,)), _details(done)
    except ClusterError as error:
        outcome, details = _failed(command, error)
    try:
        await means.audit.append(FINISHED, task.actor, details, **ids)
    except AuditUnavailable:
        return replace(outcome, recorded=False)
    return outcome


def _intent(task: Task, command: Command, until: datetime) -> dict[str, object]:
    thread = task.asked.thread
    return {
        "question": task.asked.text,
        "translator": task.translator,
        "command": command.text,
        "manifest": command.manifest,
        "level": task.verdict.level.value,
        "rule": task.verdict.rule,
        "cluster": task.access.cluster,
        "approvers": list(task.approvers),
        "thread": [thread.platform, thread.workspace, thread.channel, thread.root],
        "instance": instance(),
        "until": until.isoformat(),
    }


def _details(done: ExecutionResult) -> dict[str, object]:
    told = "\n".join([done.text, *("\t".join(row) for table in done.tables for row in table.rows)])
    return {
        "outcome": "done",
        "output_sha256": hashlib.sha256(told.encode("utf-8", "replace")).hexdigest(),
        "rows": sum(len(table.rows) for table in done.tables),
        "changed": [f"{ref.namespace or ''}/{ref} {ref.uid}" for ref in done.changed],
        "truncated": done.truncated,
        "milliseconds": round(done.duration * 1000),
    }


def _failed(command: Command, error: ClusterError) -> tuple[Outcome, dict[str, object]]:
    sentence = explain(error)
    unknown = _in_doubt(error) and _changes(command)
    details: dict[str, object] = {"outcome": "unknown" if unknown else "failed", "error": sentence}
    if isinstance(error, PartlyDone):
        details |= {"outcome": "partly done", "done": list(error.done), "left": error.left}
    return Outcome(failure=sentence, unknown=unknown), details


def _changes(command: Command) -> bool:
    return command.verb not in READERS and not command.dry_run


def _in_doubt(error: ClusterError) -> bool:
    """Whether a change may have happened all the same: no whole answer came, or the server failed (5xx) over it."""
    if isinstance(error, PartlyDone):
        return _in_doubt(error.cause)
    if isinstance(error, ApiError):
        return error.status >= 500
    return bool(getattr(error, "wrote", False))


# --- afterwards -----------------------------------------------------------------------------------------------------------


async def _undo_button(means: Means, task: Task, outcome: Outcome) -> Button | None:
    """The inverse of the one command, proposed like any other and to anybody in the thread."""
    if outcome.failure or len(outcome.results) != 1 or outcome.results[0].undo is None:
        return None
    done, namespace = outcome.results[0], task.commands[0].namespace
    inverse = Proposal("Undo", done.undo or "", done.undo_manifest, task.access.cluster, namespace)
    thread, now = task.asked.thread, means.clock()
    return (await buttons.propose(means.database, thread, "undo", [inverse], user=None, now=now))[0]


def memories(task: Task) -> dict[str, Any]:
    """What the thread should know next time: the objects and the place that it speaks of."""
    last = task.commands[-1]
    named = [[target.resource, last.namespace, target.name] for target in last.targets if target.name]
    return {"targets": named or None, "namespace": last.namespace, "cluster": last.cluster}


def _last_undo(task: Task, outcome: Outcome, undo: Button | None) -> dict[str, Any]:
    """What `undo` will mean: the last change. Reading, and what has changed nothing, leave it as it was."""
    if task.verdict.level is Level.SAFE or outcome.state == "failed":
        return {}
    return {"undo": undo.id if undo else None}


def _told(task: Task, outcome: Outcome, undo: Button | None, approval: Approval | None) -> Reply:
    place: dict[str, Any] = {"card": approval.id, "revision": approval.version + 1} if approval else {}
    level, commands = task.verdict.level.value, shown(task.commands)
    if outcome.failure:
        return replace(replies.failure(_how_it_failed(outcome), commands, level), **place)
    heading = f"*Done.* Agreed to by {replies.people(task.approvers)}." if task.approvers else ""
    return replies.result(
        commands,
        outcome.results,
        level=level,
        who=task.access.identity,
        undo=undo,
        recorded=outcome.recorded,
        heading=heading,
        **place,
    )


def _how_it_failed(outcome: Outcome) -> str:
    before = "It is not known whether the change happened: " if outcome.unknown else ""
    if outcome.results:
        before = f"Done: {'; '.join(result.text.strip() for result in outcome.results)}. Then: {before}"
    after = "" if outcome.recorded else " (How it ended could not be written to the audit log.)"
    return f"{before}{outcome.failure}{after}"
