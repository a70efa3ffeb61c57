"""What a crash leaves behind, said at the next start. Nothing is ever tried again by itself."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from audit.rows import FINISHED, KUBECHAT, STARTED, UNKNOWN, AuditRow
from bot import approvals, replies
from bot.approvals import Approval
from bot.conversation import Means
from bot.judgement import on_card
from bot.types import Reply, Thread
from bot.worker import gone

Told = tuple[Thread, Reply]

NEVER_BEGUN = "This was agreed to, and KubeChat stopped before it began. Nothing was run; ask again."
DONE = "This was carried out, and KubeChat stopped before it could say so."
FAILED = "This was tried and failed, and KubeChat stopped before it could say so. Look, and ask again."
PARTLY = "KubeChat stopped after {done} of {all} commands of this; the others were not begun. Look, and ask again."


async def recover(means: Means) -> list[Told]:
    """Settle what processes that are gone left unfinished. One reply for each, for the thread concerned.

    Raises: AuditUnavailable, StoreUnavailable.
    """
    doubtful = await _mark_unknown(means)
    in_doubt = {row.approval_id for row in doubtful}
    now = means.clock()
    told: dict[str | None, Told] = {}
    for approval in await approvals.in_state(means.database, "approved", "executing"):
        if approval.id in in_doubt or gone(approval.worker, approval.busy_until or now, now):
            after, reply = await _found(means, approval)
            if moved := await approvals.settle(means.database, approval.id, approval.state, after):
                told[moved.id] = approval.request.thread, replace(reply, card=moved.id, revision=moved.version)
    return [*told.values(), *(_unknown(row) for row in doubtful if row.approval_id not in told)]


async def _mark_unknown(means: Means) -> Sequence[AuditRow]:
    """Write down that nobody knows how abandoned executions ended. Returns the rows of their starts."""
    now = means.clock()
    rows = [row for row in await means.audit.unfinished() if _abandoned(row, now)]
    for row in rows:
        await means.audit.append(
            UNKNOWN,
            KUBECHAT,
            {"started": row.seq, "why": "KubeChat stopped between the start and the end"},
            command_digest=row.command_digest,
            approval_id=row.approval_id,
            execution_id=row.execution_id,
        )
    return rows


def _abandoned(row: AuditRow, now: datetime) -> bool:
    payload = row.payload or {}
    try:
        until = datetime.fromisoformat(str(payload.get("until")))
    except ValueError:
        return True  # its payload was erased or cannot be read: then nobody is told to wait for it
    return gone(str(payload.get("instance", "")), until, now)


def _unknown(row: AuditRow) -> Told:
    payload = row.payload or {}
    thread = Thread(*payload.get("thread", ("", "", "", "")))
    line = str(payload.get("command", "a command"))
    if payload.get("level") == "safe":
        return thread, replies.failure(f"KubeChat stopped before it could answer `{line}`. Ask again.")
    return thread, replies.unknown_outcome([line], row.actor.user, f"{row.at:%H:%M:%S} UTC")


async def _found(means: Means, approval: Approval) -> tuple[approvals.State, Reply]:
    """What the record says became of a request that nobody works on any more."""
    card = on_card(approval)
    if approval.state == "approved":
        return "stale", replies.decided(card, NEVER_BEGUN, "failure")
    rows = await means.audit.rows(approval_id=approval.id)
    started = [row for row in rows if row.kind == STARTED]
    ended = {row.execution_id: str((row.payload or {}).get("outcome")) for row in rows if row.kind == FINISHED}
    if not started:
        return "failed", replies.decided(card, NEVER_BEGUN, "failure")
    if any(ended.get(row.execution_id, "unknown") == "unknown" for row in started):
        lines = [command.text for command in card.commands]
        asked_by, at = approval.request.requester.id, f"{started[-1].at:%H:%M:%S} UTC"
        return "unknown", replies.unknown_outcome(lines, asked_by, at)
    if set(ended.values()) != {"done"}:
        return "failed", replies.decided(card, FAILED, "failure")
    if len(ended) < len(approval.commands):
        return "failed", replies.decided(card, PARTLY.format(done=len(ended), all=len(approval.commands)), "failure")
    return "done", replies.decided(card, DONE, "result")
