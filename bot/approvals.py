"""Agreement before a risky command: counted by person, decided once, sealed with exactly what was shown.

    pending ─ enough yes ─▶ approved ─ claimed ─▶ executing ─▶ done | failed | unknown
       └─▶ denied | cancelled | expired | stale      └─▶ expired | stale

Every step is one compare-and-set on the state, so that two clicks, two replicas or a platform's retry cannot both win.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import update
from sqlmodel import Session, col, select

from audit.keys import DecryptionRefused, KeyUnknown
from bot import buttons
from bot.buttons import ClickRefused
from bot.database import ApprovalRow, Database, VoteRow
from bot.settings import ApprovalRule
from bot.types import Button, Thread, User
from bot.worker import GRACE, instance
from k8s.types import Command, command_from_json

State = Literal["pending", "approved", "executing", "done", "failed", "unknown", "denied", "cancelled", "expired", "stale"]
Word = Literal["confirm", "approve", "deny", "cancel"]

NEXT: dict[State, frozenset[State]] = {
    "pending": frozenset({"approved", "denied", "cancelled", "expired"}),
    "approved": frozenset({"executing", "expired", "stale"}),
    "executing": frozenset({"done", "failed", "unknown"}),
    "done": frozenset(),
    "failed": frozenset(),
    "unknown": frozenset(),
    "denied": frozenset(),
    "cancelled": frozenset(),
    "expired": frozenset(),
    "stale": frozenset(),
}
"""Every move that there is."""

SKEW = timedelta(minutes=1)
"""How far the clocks of two replicas may differ. A request from further in the future means a clock that was set back."""


@dataclass(frozen=True, slots=True)
class Request:
    """All that is asked and shown, as it was when it was asked. `person` is the human being behind the account `requester`."""

    requester: User
    person: str
    identity: str
    thread: Thread
    cluster: str
    commands: tuple[Command, ...]
    bound: str
    policy: ApprovalRule
    card: dict[str, Any]
    requested_at: datetime

    @property
    def expires_at(self) -> datetime:
        """When the buttons stop working."""
        return self.requested_at + self.policy.expires

    def in_time(self, now: datetime) -> bool:
        """Whether it can still be agreed to and begun. A clock that was set back does not prolong it."""
        return self.requested_at - SKEW <= now < self.expires_at


@dataclass(frozen=True, slots=True)
class Approval:
    """A request as it stands. `worker` is the process that took it on, if one did, and `busy_until` its time for that."""

    id: str
    state: State
    version: int
    request: Request
    worker: str
    busy_until: datetime | None

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands asked for."""
        return self.request.commands

    @property
    def policy(self) -> ApprovalRule:
        """The rule that decides."""
        return self.request.policy

    @property
    def card(self) -> dict[str, Any]:
        """What the card shows."""
        return self.request.card


@dataclass(frozen=True, slots=True)
class Voter:
    """Who pressed a button, and how they stand to the request.

    `asked`: the same person as the requester, through whatever account. `same_hands`: reaches the cluster as the same identity.
    """

    user_key: str
    person: str
    roles: frozenset[str]
    asked: bool
    same_hands: bool


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word."""

    person: str
    user_key: str
    choice: str


def objection(policy: ApprovalRule, voter: Voter, choice: str) -> ClickRefused | None:
    """Why this person's word does not count; None when it does."""
    if choice == "cancel":
        if voter.asked or policy.approvers in voter.roles:
            return None
        return ClickRefused("not-yours", "Only who asked, or an approver, can cancel this.")
    if policy.mode == "confirm":
        if choice == "confirm" and voter.asked:
            return None
        return ClickRefused("not-yours", "Only who asked can confirm this.")
    if choice not in {"approve", "deny"}:
        return ClickRefused("wrong-choice", "This needs another person's approval; confirming is not enough.")
    if voter.asked or (choice == "approve" and voter.same_hands):
        return ClickRefused(
            "own-request", "Nobody can approve their own request, whichever account they use. Ask another approver."
        )
    if policy.approvers not in voter.roles:
        return ClickRefused("not-approver", f"Only people with the role {policy.approvers} can decide this.")
    return None


# --- opening --------------------------------------------------------------------------------------------------------------


async def open_approval(database: Database, request: Request) -> tuple[Approval, tuple[Button, ...]]:
    """Write a request down with its buttons."""
    approval_id = buttons.new_id()
    row = ApprovalRow(
        id=approval_id,
        state="pending",
        requester=request.requester.key,
        sealed=database.seal(_as_json(request), "approval", approval_id),
        requested_at=request.requested_at,
        expires_at=request.expires_at,
    )
    roles: tuple[buttons.Role, ...] = ("confirm", "cancel")
    if request.policy.mode != "confirm":
        roles = ("approve", "deny", "cancel")
    button_rows = buttons.votes_on(database, approval_id, request.thread, roles, request.expires_at)
    shown = buttons.as_buttons(database, button_rows)

    def save(session: Session) -> None:
        session.add(row)
        session.add_all(button_rows)

    await database.write(save)
    return Approval(approval_id, "pending", 0, request, "", None), shown


# --- deciding -------------------------------------------------------------------------------------------------------------

_DECIDED = {
    "approved": "This is approved already.",
    "executing": "This is being carried out already.",
    "done": "This has been carried out already.",
    "failed": "This was tried already and failed; ask again.",
    "unknown": "Nobody knows whether this was carried out; look, and ask again.",
    "denied": "This was denied. A denial is final; ask again.",
    "cancelled": "This was cancelled; ask again.",
    "expired": "This has expired; ask again.",
    "stale": "Something has changed since this was shown; ask again.",
}


async def vote(database: Database, approval_id: str, voter: Voter, choice: str, now: datetime) -> Approval:
    """Count one person's word and move on when it decides. Whoever makes it approved has it to carry out.

    Raises: ClickRefused, with the reason; nothing has changed then.
    """

    def decide(session: Session) -> Approval:
        row = _locked(session, approval_id)
        request = _request(database, row)
        if row.state != "pending":
            raise ClickRefused("decided", _DECIDED[row.state])
        if not request.in_time(now):
            _move(row, "expired")
        elif refused := objection(request.policy, voter, choice):
            raise refused
        elif choice == "cancel":
            _move(row, "cancelled")
        else:
            _count(database, session, row, voter, choice, now)
            _follow(row, request.policy, _votes(database, session, approval_id), now)
        return _approval(database, row)

    return await database.write(decide)


def _count(database: Database, session: Session, row: ApprovalRow, voter: Voter, choice: str, now: datetime) -> None:
    """One person has one word. It may be turned into a denial, not into anything else."""
    if choice != "deny" and session.get(VoteRow, (row.id, voter.person)) is not None:
        raise ClickRefused("counted", "Your word is counted already; another person is needed.")
    word = {"user_key": voter.user_key, "choice": choice}
    sealed = database.seal(word, "vote", row.id, voter.person)
    session.merge(VoteRow(approval_id=row.id, person=voter.person, sealed=sealed, at=now))
    session.flush()


def _follow(row: ApprovalRow, policy: ApprovalRule, cast: Sequence[Vote], now: datetime) -> None:
    if any(each.choice == "deny" for each in cast):
        _move(row, "denied")
    elif agreed(policy, cast):
        _move(row, "approved")
        row.worker, row.busy_until = instance(), now + GRACE
    else:
        row.version += 1


def agreed(policy: ApprovalRule, cast: Sequence[Vote]) -> bool:
    """Whether these words are enough: different people, not accounts."""
    if policy.mode == "confirm":
        return any(each.choice == "confirm" for each in cast)
    return len({each.person for each in cast if each.choice == "approve"}) >= policy.needed


async def votes(database: Database, approval_id: str) -> tuple[Vote, ...]:
    """Who said what, in order."""
    return await database.read(lambda session: _votes(database, session, approval_id))


def _votes(database: Database, session: Session, approval_id: str) -> tuple[Vote, ...]:
    rows = session.exec(select(VoteRow).where(VoteRow.approval_id == approval_id).order_by(col(VoteRow.at))).all()
    try:
        return tuple(Vote(row.person, **database.open_sealed(row.sealed, "vote", approval_id, row.person)) for row in rows)
    except (KeyUnknown, DecryptionRefused) as error:
        raise _tampered() from error


# --- carrying out ---------------------------------------------------------------------------------------------------------


async def claim(database: Database, approval_id: str, now: datetime) -> Approval | None:
    """Take an approved request for execution, if it is still approved and in time. Exactly one caller gets it."""

    def take(session: Session) -> Approval | None:
        row = _locked(session, approval_id)
        if row.state != "approved" or not _request(database, row).in_time(now):
            return None
        statement = (
            update(ApprovalRow)
            .where(col(ApprovalRow.id) == approval_id, col(ApprovalRow.state) == "approved", col(ApprovalRow.expires_at) > now)
            .values(state="executing", version=row.version + 1, worker=instance(), busy_until=now + GRACE)
        )
        if session.execute(statement).rowcount != 1:  # type: ignore[attr-defined]
            return None
        return _approval(database, _locked(session, approval_id))

    return await database.write(take)


async def settle(database: Database, approval_id: str, before: State, after: State) -> Approval | None:
    """Move a request from one state to the next; None when it was not in the first, or there is no such move."""

    def move(session: Session) -> Approval | None:
        row = _locked(session, approval_id)
        return _approval(database, row) if row.state == before and _move(row, after) else None

    return await database.write(move)


async def find(database: Database, approval_id: str) -> Approval:
    """One request as it stands. Raises ClickRefused when there is none, or when it is not as it was written."""
    row = await database.read(lambda session: session.get(ApprovalRow, approval_id))
    if row is None:
        raise _unknown()
    return _approval(database, row)


async def in_state(database: Database, *states: State, requester: str | None = None) -> tuple[Approval, ...]:
    """All requests in one of the states, oldest first; of one account, if given. What was tampered with is left out."""
    query = select(ApprovalRow).where(col(ApprovalRow.state).in_(states)).order_by(col(ApprovalRow.requested_at))
    if requester is not None:
        query = query.where(ApprovalRow.requester == requester)
    found = []
    for row in await database.read(lambda session: session.exec(query).all()):
        try:
            found.append(_approval(database, row))
        except ClickRefused:
            continue
    return tuple(found)


# --- rows -----------------------------------------------------------------------------------------------------------------


def _unknown() -> ClickRefused:
    return ClickRefused("unknown-button", "That request is not known here.")


def _tampered() -> ClickRefused:
    return ClickRefused(
        "tampered", "This request is not as it was written, so it does not count. Tell an administrator, and ask again."
    )


def _locked(session: Session, approval_id: str) -> ApprovalRow:
    row = session.get(ApprovalRow, approval_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise _unknown()
    return row


def _move(row: ApprovalRow, after: State) -> bool:
    if after not in NEXT[row.state]:  # type: ignore[index]
        return False
    row.state = after
    row.version += 1
    return True


def _as_json(request: Request) -> dict[str, Any]:
    return {
        "requester": asdict(request.requester),
        "person": request.person,
        "identity": request.identity,
        "thread": asdict(request.thread),
        "cluster": request.cluster,
        "commands": [command.as_json() for command in request.commands],
        "bound": request.bound,
        "policy": request.policy.model_dump(mode="json"),
        "card": request.card,
        "requested_at": request.requested_at.isoformat(),
    }


def _request(database: Database, row: ApprovalRow) -> Request:
    try:
        data = database.open_sealed(row.sealed, "approval", row.id)
    except (KeyUnknown, DecryptionRefused) as error:
        raise _tampered() from error
    return Request(
        requester=User(**data["requester"]),
        person=data["person"],
        identity=data["identity"],
        thread=Thread(**data["thread"]),
        cluster=data["cluster"],
        commands=tuple(map(command_from_json, data["commands"])),
        bound=data["bound"],
        policy=ApprovalRule.model_validate(data["policy"]),
        card=data["card"],
        requested_at=datetime.fromisoformat(data["requested_at"]),
    )


def _approval(database: Database, row: ApprovalRow) -> Approval:
    return Approval(
        row.id,
        row.state,  # type: ignore[arg-type]
        row.version,
        _request(database, row),
        row.worker,
        row.busy_until,
    )
