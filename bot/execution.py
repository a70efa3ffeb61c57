"""Carrying out what was agreed: written down first, then done, then written down how it ended. And what a crash leaves behind."""

import hashlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit.ledger import AuditUnavailable
from audit.rows import FINISHED, KUBECHAT, STARTED, UNKNOWN, Actor, AuditRow
from audit.store import AuditLog
from bot.approvals import new_id
from bot.types import Thread, User
from k8s.access import ClusterAccess
from k8s.client import ClusterClient, Limits
from k8s.errors import AnswerBroken, AnswerTooLarge, ClusterError, ClusterTimeout, ClusterUnreachable, PartlyDone, explain
from k8s.execute import execute
from k8s.types import Command, ExecutionResult, ObjectRef, Verdict


@dataclass(frozen=True, slots=True)
class Task:
    """Commands that are to run now, and all that the audit log wants to know about them."""

    user: User
    thread: Thread
    access: ClusterAccess
    question: str
    commands: tuple[Command, ...]
    verdict: Verdict
    translator: str = "typed"
    approval_id: str | None = None
    approvers: tuple[str, ...] = ()
    expected: tuple[tuple[ObjectRef, ...], ...] = ()

    @property
    def actor(self) -> Actor:
        """Who, for an audit row."""
        return Actor(self.user.platform, self.user.workspace, self.user.id, self.access.identity)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `failure` is a sentence, empty when all went well; `unknown` when nobody can say whether a change happened.

    `recorded` is False when the end could not be written to the audit log.
    """

    results: tuple[ExecutionResult, ...] = ()
    failure: str = ""
    unknown: bool = False
    recorded: bool = True
    details: dict[str, object] = field(default_factory=dict)


async def carry_out(audit: AuditLog, client: ClusterClient, task: Task, limits: Limits) -> Outcome:
    """Run the commands in order, up to the first that fails.

    Raises: AuditUnavailable when the start of the first command could not be recorded; then nothing has run.
    """
    outcome = Outcome()
    for number, command in enumerate(task.commands):
        expected = task.expected[number] if task.expected else None
        try:
            one = await _carry_out_one(audit, client, task, command, expected, limits)
        except AuditUnavailable:
            if not outcome.results:
                raise
            return replace(outcome, failure=f"`{command.text}` was not run: its start could not be recorded.", recorded=False)
        outcome = replace(one, results=outcome.results + one.results, recorded=outcome.recorded and one.recorded)
        if one.failure:
            break
    return outcome


async def _carry_out_one(
    audit: AuditLog,
    client: ClusterClient,
    task: Task,
    command: Command,
    expected: tuple[ObjectRef, ...] | None,
    limits: Limits,
) -> Outcome:
    execution_id = new_id()
    ids = {"command_digest": command.digest, "approval_id": task.approval_id, "execution_id": execution_id}
    await audit.append(STARTED, task.actor, _intent(task, command, limits), **ids)
    try:
        done = await execute(client, command, limits=limits, expected=expected)
        outcome = Outcome((done,), details=_told(done))
    except ClusterError as error:
        outcome = _failed(error)
    try:
        await audit.append(FINISHED, task.actor, outcome.details, **ids)
    except AuditUnavailable:
        return replace(outcome, recorded=False)
    return outcome


def _intent(task: Task, command: Command, limits: Limits) -> dict[str, object]:
    until = datetime.now(UTC) + timedelta(seconds=limits.seconds + 5)
    return {
        "question": task.question,
        "translator": task.translator,
        "command": command.text,
        "manifest": command.manifest,
        "level": task.verdict.level.value,
        "rule": task.verdict.rule,
        "cluster": task.access.cluster,
        "approvers": list(task.approvers),
        "thread": [task.thread.platform, task.thread.workspace, task.thread.channel, task.thread.root],
        "instance": instance(),
        "until": until.isoformat(),
    }


def _told(done: ExecutionResult) -> dict[str, object]:
    shown = "\n".join([done.text, *("\t".join(row) for table in done.tables for row in table.rows)])
    return {
        "outcome": "done",
        "output_sha256": hashlib.sha256(shown.encode("utf-8", "replace")).hexdigest(),
        "rows": sum(len(table.rows) for table in done.tables),
        "changed": [f"{ref.namespace or ''}/{ref} {ref.uid}" for ref in done.changed],
        "truncated": done.truncated,
        "milliseconds": round(done.duration * 1000),
    }


def _failed(error: ClusterError) -> Outcome:
    sentence = explain(error)
    unknown = bool(getattr(error, "wrote", False)) and isinstance(
        error, ClusterTimeout | AnswerBroken | AnswerTooLarge | ClusterUnreachable
    )
    details: dict[str, object] = {"outcome": "unknown" if unknown else "failed", "error": sentence}
    if isinstance(error, PartlyDone):
        details |= {"outcome": "partly done", "done": list(error.done), "left": error.left}
    return Outcome(failure=sentence, unknown=unknown, details=details)


# --- what a crash leaves behind -------------------------------------------------------------------------------------------


def instance() -> str:
    """This process, so that another can tell whether it still lives: host, process id, start time."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started_at(os.getpid())}"


def _started_at(pid: int) -> str:
    """The start time of a process in clock ticks since boot (proc_pid_stat(5), field 22); empty where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def abandoned(row: AuditRow, now: datetime) -> bool:
    """Whether nobody can still be at work on an execution: its process is gone, or its time is over."""
    payload = row.payload or {}
    host, _, process = str(payload.get("instance", "")).partition("/")
    pid, _, started = process.partition("/")
    here = host == socket.gethostname() and pid.isdecimal() and bool(started)
    if here and _started_at(int(pid)) != started:
        return True
    try:
        return now > datetime.fromisoformat(str(payload.get("until")))
    except ValueError:
        return True


async def mark_unknown(audit: AuditLog, now: datetime) -> Sequence[AuditRow]:
    """Write down that nobody knows how abandoned executions ended. Returns the rows of their starts."""
    rows = [row for row in await audit.unfinished() if abandoned(row, now)]
    for row in rows:
        await audit.append(
            UNKNOWN,
            KUBECHAT,
            {"started": row.seq, "why": "KubeChat stopped between the start and the end"},
            command_digest=row.command_digest,
            approval_id=row.approval_id,
            execution_id=row.execution_id,
        )
    return rows
