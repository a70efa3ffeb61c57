"""Buttons: random ids that people press. What one stands for is sealed in the database; the id itself says nothing."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlmodel import Session, col, select

from audit.keys import DecryptionRefused, KeyUnknown
from bot.database import ButtonRow, Database
from bot.types import Button, Thread, User

Role = Literal["confirm", "approve", "deny", "cancel", "undo", "choice"]

LIFE = timedelta(hours=1)
"""How long an answer to a question or an undo is offered."""

_ID = re.compile(r"[0-9a-f]{32}")
_LOOKS: dict[str, tuple[str, Literal["plain", "primary", "danger"]]] = {
    "confirm": ("Confirm", "primary"),
    "approve": ("Approve", "danger"),
    "deny": ("Deny", "plain"),
    "cancel": ("Cancel", "plain"),
}


class ClickRefused(Exception):
    """The click does not count; `reason` says why. Nothing has changed."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Proposal:
    """A command not yet asked for: an answer to a question, or the inverse of what was done. It stays in its cluster."""

    label: str
    line: str
    manifest: str | None
    cluster: str
    namespace: str | None


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a button stands for: a word on a request, or a proposal."""

    role: Role
    approval_id: str | None
    proposal: Proposal | None


def new_id() -> str:
    """128 random bits, in letters that every platform takes inside a button (Mattermost: [A-Za-z0-9]+)."""
    return secrets.token_hex(16)


def votes_on(
    database: Database, approval_id: str, thread: Thread, roles: Sequence[Role], expires_at: datetime
) -> list[ButtonRow]:
    """Rows for the buttons of a card."""
    return [_row(database, role, thread, expires_at, approval_id=approval_id) for role in roles]


async def of_card(database: Database, approval_id: str) -> tuple[Button, ...]:
    """The buttons of a card, to show it again."""

    def find(session: Session) -> tuple[ButtonRow, ...]:
        return tuple(session.exec(select(ButtonRow).where(col(ButtonRow.approval_id) == approval_id)).all())

    return as_buttons(database, await database.read(find))


def as_buttons(database: Database, rows: Sequence[ButtonRow]) -> tuple[Button, ...]:
    """Rows of a card as an adapter shows them, in the usual order."""
    roles = {row.id: _opened(database, row)["role"] for row in rows}
    order = sorted(roles.items(), key=lambda each: list(_LOOKS).index(each[1]))
    return tuple(Button(each, _LOOKS[role][0], role, _LOOKS[role][1]) for each, role in order)


async def propose(
    database: Database,
    thread: Thread,
    role: Literal["choice", "undo"],
    proposals: Sequence[Proposal],
    *,
    user: User | None,
    now: datetime,
) -> tuple[Button, ...]:
    """Buttons for proposals. Only `user` may press them, if one is given."""
    rows = [_row(database, role, thread, now + LIFE, user=user, proposal=proposal) for proposal in proposals]
    ids = [row.id for row in rows]
    await database.write(lambda session: session.add_all(rows))
    return tuple(Button(each, proposal.label, role) for each, proposal in zip(ids, proposals, strict=True))


def _row(
    database: Database,
    role: Role,
    thread: Thread,
    expires_at: datetime,
    *,
    approval_id: str | None = None,
    user: User | None = None,
    proposal: Proposal | None = None,
) -> ButtonRow:
    button_id = new_id()
    stands_for = {
        "role": role,
        "thread": asdict(thread),
        "approval": approval_id,
        "user": user.key if user else None,
        "expires": expires_at.isoformat(),
        "proposal": asdict(proposal) if proposal else None,
    }
    sealed = database.seal(stands_for, "button", button_id)
    return ButtonRow(id=button_id, approval_id=approval_id, sealed=sealed, expires_at=expires_at)


async def press(database: Database, button_id: str, thread: Thread, user: User, now: datetime) -> Pressed:
    """What a button stands for, if this click may have come from it. A proposal is used up by it.

    Raises: ClickRefused for an id that nobody gave out, another thread, somebody else's question, an old or used button.
    """
    if not _ID.fullmatch(button_id):
        raise ClickRefused("unknown-button", "That button is not known here.")

    def take(session: Session) -> Pressed:
        row = session.get(ButtonRow, button_id, with_for_update=True)
        if row is None:
            raise ClickRefused("unknown-button", "That button is not known here.")
        meant = _opened(database, row)
        if Thread(**meant["thread"]) != thread:
            raise ClickRefused("other-thread", "That button belongs to another conversation.")
        if meant["user"] not in (None, user.key):
            raise ClickRefused("not-yours", "That question was put to somebody else.")
        if meant["proposal"] is None:
            return Pressed(meant["role"], meant["approval"], None)
        if row.used_at is not None:
            raise ClickRefused("used", "That button has been used already.")
        if datetime.fromisoformat(meant["expires"]) <= now:
            raise ClickRefused("expired", "That button has expired; ask again.")
        row.used_at = now
        return Pressed(meant["role"], None, Proposal(**meant["proposal"]))

    return await database.write(take)


def _opened(database: Database, row: ButtonRow) -> dict[str, Any]:
    """What was sealed. Raises ClickRefused when it is not as it was written."""
    try:
        meant: dict[str, Any] = database.open_sealed(row.sealed, "button", row.id)
    except (KeyUnknown, DecryptionRefused) as error:
        raise ClickRefused("tampered", "That button is not as it was made, so it does not count.") from error
    return meant
