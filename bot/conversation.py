"""What every step of a conversation works with: the parts, who asked what where, the thread's memory, the record."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, text
from sqlmodel import Session, col, select

from audit.keys import DecryptionRefused, KeyUnknown
from audit.rows import Actor, AuditRow
from audit.store import AuditLog
from bot.database import ApprovalRow, ButtonRow, Database, SeenRow, ThreadRow, UtcTime, VoteRow
from bot.settings import Settings
from bot.types import Message, Thread, User
from k8s.access import ClusterAccess, ClusterPool
from k8s.client import Limits
from k8s.types import Command

Memory = dict[str, Any]
"""What a thread remembers: `cluster`, `namespace`, `targets` of the last command, `undo` (a button)."""


@dataclass(frozen=True, slots=True)
class Means:
    """The parts that a conversation works with."""

    settings: Settings
    database: Database
    audit: AuditLog
    pool: ClusterPool
    clock: Callable[[], datetime]

    @property
    def limits(self) -> Limits:
        """The bounds of one command."""
        limits = self.settings.limits
        return Limits(limits.rows, limits.characters, limits.seconds)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked what, where, and what the thread remembers."""

    user: User
    thread: Thread
    text: str
    memory: Memory

    @property
    def actor(self) -> Actor:
        """Who, for an audit row."""
        return Actor(self.user.platform, self.user.workspace, self.user.id)

    @property
    def name(self) -> str:
        """Who, for people."""
        return self.user.name or self.user.id


async def record(
    means: Means,
    kind: str,
    asked: Asked,
    access: ClusterAccess,
    commands: Sequence[Command],
    *,
    approval_id: str | None = None,
    **more: Any,
) -> AuditRow:
    """Write down what became of commands. Raises AuditUnavailable."""
    payload = {
        "question": asked.text,
        "commands": [command.text for command in commands],
        "manifests": [command.manifest for command in commands if command.manifest],
        "cluster": access.cluster,
        **more,
    }
    actor = replace(asked.actor, identity=access.identity)
    digest = commands[0].digest if len(commands) == 1 else None
    return await means.audit.append(kind, actor, payload, command_digest=digest, approval_id=approval_id)


# --- what is taken and remembered -----------------------------------------------------------------------------------------

_TAKE = text("INSERT INTO seen (message_key, at) VALUES (:key, :at) ON CONFLICT DO NOTHING").bindparams(
    bindparam("at", type_=UtcTime)
)
_BEGIN = text("INSERT INTO thread (thread_key, sealed, at) VALUES (:key, :sealed, :at) ON CONFLICT DO NOTHING").bindparams(
    bindparam("at", type_=UtcTime)
)


async def take(means: Means, message: Message) -> Memory | None:
    """The thread's memory; None when this very message was taken before, by this process or another."""
    thread = message.thread
    key = json.dumps([thread.platform, thread.workspace, thread.channel, message.id])

    def first(session: Session) -> Memory | None:
        taken = session.connection().execute(_TAKE, {"key": key, "at": means.clock()})
        return _memory(means.database, session.get(ThreadRow, _key(thread))) if taken.rowcount else None

    return await means.database.write(first)


async def recall(means: Means, thread: Thread) -> Memory:
    """What the thread remembers."""
    return await means.database.read(lambda session: _memory(means.database, session.get(ThreadRow, _key(thread))))


async def remember(means: Means, thread: Thread, **news: Any) -> None:
    """Add to what the thread remembers, whatever others have added meanwhile."""
    key, now = _key(thread), means.clock()

    def add(session: Session) -> None:
        session.connection().execute(_BEGIN, {"key": key, "sealed": means.database.seal({}, "thread", key), "at": now})
        row = session.get_one(ThreadRow, key, with_for_update=True)
        row.sealed = means.database.seal({**_memory(means.database, row), **news}, "thread", key)
        row.at = now

    await means.database.write(add)


def _key(thread: Thread) -> str:
    """Unlike `Thread.key`, which is for people, this is one thread's only, whatever a platform puts into its ids."""
    return json.dumps([thread.platform, thread.workspace, thread.channel, thread.root])


def _memory(database: Database, row: ThreadRow | None) -> Memory:
    """What cannot be opened is forgotten: a memory is a convenience, and nothing is allowed because of it."""
    try:
        return dict(database.open_sealed(row.sealed, "thread", row.thread_key)) if row else {}
    except (KeyUnknown, DecryptionRefused):
        return {}


# --- what is no longer needed ---------------------------------------------------------------------------------------------

SEEN_FOR = timedelta(days=7)
"""Longer than any platform retries an event."""
REMEMBERED_FOR = timedelta(days=30)
KEPT_FOR = timedelta(days=30)
"""How long requests and their buttons stay after they were asked; the audit log keeps its own record for good."""


async def tidy(means: Means) -> None:
    """Drop messages seen, memories and requests that are too old to matter. Raises StoreUnavailable."""
    now = means.clock()

    def drop(session: Session) -> None:
        connection = session.connection()
        old = select(ApprovalRow.id).where(ApprovalRow.requested_at < now - KEPT_FOR, ApprovalRow.state != "executing")
        connection.execute(delete(SeenRow).where(col(SeenRow.at) < now - SEEN_FOR))
        connection.execute(delete(ThreadRow).where(col(ThreadRow.at) < now - REMEMBERED_FOR))
        connection.execute(delete(ButtonRow).where(col(ButtonRow.expires_at) < now - KEPT_FOR))
        connection.execute(delete(VoteRow).where(col(VoteRow.approval_id).in_(old)))
        connection.execute(delete(ApprovalRow).where(col(ApprovalRow.id).in_(old)))

    await means.database.write(drop)
