"""Agreement before a risky command: who must agree, counted by person, decided once, bound to exactly what was shown.

    pending ─ enough yes ─▶ approved ─ claimed ─▶ executing ─▶ done | failed | unknown
       └─▶ denied | cancelled | expired | stale      └─▶ expired | stale

Every step is one compare-and-set on the state, so that two clicks, two replicas or a platform's retry cannot both win.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import rfc8785
from sqlalchemy import update
from sqlmodel import Session, col, select

from bot.database import ApprovalRow, ButtonRow, Database, VoteRow
from bot.settings import DEFAULT_RULES, ApprovalRule, Freeze, Settings
from bot.types import Button, Thread, User
from k8s.types import Command, ObjectRef, command_from_json

State = Literal["pending", "approved", "executing", "done", "failed", "unknown", "denied", "cancelled", "expired", "stale"]

NEXT: dict[State, frozenset[State]] = {
    "pending": frozenset({"approved", "denied", "cancelled", "expired", "stale"}),
    "approved": frozenset({"executing", "expired", "stale", "denied"}),
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

Reach = frozenset[str | None] | None


class ClickRefused(Exception):
    """The click does not count; `reason` says why. Nothing has changed."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Approval:
    """One request for agreement as it stands."""

    id: str
    state: State
    version: int
    requester: str
    person: str
    identity: str
    thread: Thread
    cluster: str
    commands: tuple[Command, ...]
    bound: str
    policy: ApprovalRule
    card: dict[str, Any]
    requested_at: datetime
    expires_at: datetime
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class Voter:
    """Who pressed a button: the account, the person behind it, and the roles of the account."""

    user_key: str
    person: str
    roles: frozenset[str]


# --- policy ---------------------------------------------------------------------------------------------------------------


def policy_for(settings: Settings, level: str, cluster: str, namespaces: Reach) -> ApprovalRule:
    """The rule for a verdict in a place. In each namespace the first rule that covers it counts; of several, the strictest.

    A namespace None is what lies outside all of them; `namespaces` itself is None for a command that may reach any.
    """
    rules = [rule for rule in (*settings.approvals, *DEFAULT_RULES) if rule.verdict == level]
    if namespaces is None:
        met = _all_until_general(rules, cluster)
    else:
        met = [next(rule for rule in rules if rule.covers(cluster, name)) for name in (namespaces or {None})]
    order = ("none", "confirm", "approve")
    return max(met, key=lambda rule: (order.index(rule.mode), rule.needed, -rule.expires))


def _all_until_general(rules: Sequence[ApprovalRule], cluster: str) -> list[ApprovalRule]:
    met = []
    for rule in rules:
        if rule.covers(cluster, None) or ApprovalRule.covers(rule.model_copy(update={"namespaces": ("*",)}), cluster, None):
            met.append(rule)
        if rule.covers(cluster, None):
            break
    return met


def freeze_for(settings: Settings, cluster: str, namespaces: Reach, now: datetime) -> Freeze | None:
    """The freeze that forbids a change here and now, if any."""
    return next((freeze for freeze in settings.freezes if freeze.holds(cluster, namespaces, now)), None)


def bind(
    commands: Iterable[Command],
    *,
    cluster_uid: str,
    identity: str,
    policy: ApprovalRule,
    targets: Iterable[ObjectRef],
) -> str:
    """The digest of all that is agreed to: commands with manifests, the cluster itself, whose hands, the policy, the objects.

    A target counts with its UID and generation: a re-made or re-specified object is another one; a new status is not.
    """
    material: dict[str, Any] = {
        "commands": [command.digest for command in commands],
        "cluster": cluster_uid,
        "identity": identity,
        "policy": policy.model_dump(mode="json"),
        "targets": sorted([str(ref), ref.namespace or "", ref.uid, ref.generation] for ref in targets),
    }
    return hashlib.sha256(b"kubechat.approval.v1\x00" + rfc8785.dumps(material)).hexdigest()


# --- opening --------------------------------------------------------------------------------------------------------------


def new_id() -> str:
    """128 random bits, in letters that every platform takes inside a button (Mattermost: [A-Za-z0-9]+)."""
    return secrets.token_hex(16)


async def open_approval(
    database: Database,
    commands: Sequence[Command],
    *,
    requester: User,
    person: str,
    identity: str,
    thread: Thread,
    cluster: str,
    bound: str,
    policy: ApprovalRule,
    card: dict[str, Any],
    now: datetime,
) -> tuple[Approval, tuple[Button, ...]]:
    """Write the request down with its buttons."""
    approval_id = new_id()
    row = ApprovalRow(
        id=approval_id,
        state="pending",
        requester=requester.key,
        person=person,
        identity=identity,
        thread={"platform": thread.platform, "workspace": thread.workspace, "channel": thread.channel, "root": thread.root},
        cluster=cluster,
        sealed=database.keys.encrypt(
            json.dumps({"commands": [command.as_json() for command in commands], "card": card}).encode(), approval_id.encode()
        ),
        bound=bound,
        policy=policy.model_dump(mode="json"),
        requested_at=now,
        expires_at=now + policy.expires,
    )
    buttons = _buttons(policy)
    rows = [
        ButtonRow(id=button.id, role=button.role, thread_key=thread.key, approval_id=row.id, expires_at=row.expires_at)
        for button in buttons
    ]

    def save(session: Session) -> None:
        session.add(row)
        session.add_all(rows)

    await database.write(save)
    return _approval(database, row), buttons


def _buttons(policy: ApprovalRule) -> tuple[Button, ...]:
    cancel = Button(new_id(), "Cancel", "cancel")
    if policy.mode == "confirm":
        return (Button(new_id(), "Confirm", "confirm", "primary"), cancel)
    return (Button(new_id(), "Approve", "approve", "danger"), Button(new_id(), "Deny", "deny"), cancel)


async def propose(
    database: Database,
    thread: Thread,
    role: Literal["choice", "undo"],
    choices: Sequence[tuple[str, str, str | None]],
    *,
    user_key: str | None,
    now: datetime,
    life: timedelta = timedelta(hours=1),
) -> tuple[Button, ...]:
    """Buttons that stand for commands not yet asked for: (label, kubectl line, manifest). Only `user_key` may press, if given."""
    buttons = tuple(Button(new_id(), label, role) for label, _, _ in choices)
    rows = [
        ButtonRow(
            id=button.id,
            role=role,
            thread_key=thread.key,
            user_key=user_key,
            sealed=database.keys.encrypt(json.dumps([line, manifest]).encode(), button.id.encode()),
            expires_at=now + life,
        )
        for button, (_, line, manifest) in zip(buttons, choices, strict=True)
    ]
    await database.write(lambda session: session.add_all(rows))
    return buttons


# --- pressing -------------------------------------------------------------------------------------------------------------


async def pressed(database: Database, button_id: str, thread: Thread, user: User, now: datetime) -> ButtonRow:
    """The button behind an id, if this click may have come from it. A choice or an undo is used up by it.

    Raises: ClickRefused for an id that nobody gave out, another thread, somebody else's question, an old or used button.
    """

    def take(session: Session) -> ButtonRow:
        row = session.get(ButtonRow, button_id, with_for_update=True)
        if row is None:
            raise ClickRefused("unknown-button", "That button is not known here.")
        if row.thread_key != thread.key:
            raise ClickRefused("other-thread", "That button belongs to another conversation.")
        if row.user_key not in (None, user.key):
            raise ClickRefused("not-yours", "That question was put to somebody else.")
        if row.approval_id is None:
            if row.used_at is not None:
                raise ClickRefused("used", "That button has been used already.")
            if row.expires_at <= now:
                raise ClickRefused("expired", "That button has expired; ask again.")
            row.used_at = now
        return row

    return await database.write(take)


def proposed(database: Database, button: ButtonRow) -> tuple[str, str | None]:
    """The kubectl line and the manifest that a choice or an undo stands for."""
    line, manifest = json.loads(database.keys.decrypt(button.sealed or b"", button.id.encode()))
    return line, manifest


async def vote(
    database: Database, approval_id: str, voter: Voter, choice: str, same_hands: frozenset[str], now: datetime
) -> Approval:
    """Count one person's word and move on when it decides. `same_hands` are persons who reach the cluster as the requester does.

    Raises: ClickRefused, with the reason; nothing has changed then.
    """

    def decide(session: Session) -> Approval:
        row = _locked(session, approval_id)
        if row.state == "pending" and row.expires_at <= now:
            _move(session, row, "pending", "expired")
            return _approval(database, row)
        if row.state != "pending":
            raise ClickRefused("decided", _DECIDED.get(row.state, "This has been decided already."))
        policy = ApprovalRule.model_validate(row.policy)
        if choice == "cancel":
            if voter.person != row.person and policy.approvers not in voter.roles:
                raise ClickRefused("not-yours", "Only who asked, or an approver, can cancel this.")
            _move(session, row, "pending", "cancelled")
            return _approval(database, row)
        _may_vote(row, policy, voter, choice, same_hands)
        if session.get(VoteRow, (approval_id, voter.person)) is not None:
            raise ClickRefused("counted", "Your word is counted already; one more person is needed.")
        session.add(VoteRow(approval_id=approval_id, person=voter.person, user_key=voter.user_key, choice=choice, at=now))
        session.flush()
        if choice == "deny":
            _move(session, row, "pending", "denied")
        elif policy.mode == "confirm" or _yes(session, approval_id) >= policy.needed:
            _move(session, row, "pending", "approved")
        else:
            row.version += 1
            session.add(row)
        return _approval(database, row)

    return await database.write(decide)


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


def _may_vote(row: ApprovalRow, policy: ApprovalRule, voter: Voter, choice: str, same_hands: frozenset[str]) -> None:
    if policy.mode == "confirm":
        if choice != "confirm" or voter.person != row.person:
            raise ClickRefused("not-yours", "Only who asked can confirm this.")
        return
    if choice not in {"approve", "deny"}:
        raise ClickRefused("wrong-choice", "This needs another person's approval; confirming is not enough.")
    if policy.approvers not in voter.roles:
        raise ClickRefused("not-approver", f"Only people with the role {policy.approvers} can decide this.")
    if voter.person == row.person or (choice == "approve" and voter.person in same_hands):
        raise ClickRefused(
            "own-request", "Nobody can approve their own request, from no account of theirs. Ask another approver."
        )


def _yes(session: Session, approval_id: str) -> int:
    votes = session.exec(select(VoteRow).where(VoteRow.approval_id == approval_id, VoteRow.choice == "approve")).all()
    return len({row.person for row in votes})


async def votes(database: Database, approval_id: str) -> tuple[VoteRow, ...]:
    """Who said what, in order."""
    query = select(VoteRow).where(VoteRow.approval_id == approval_id).order_by(col(VoteRow.at))
    return await database.read(lambda session: tuple(session.exec(query).all()))


async def claim(database: Database, approval_id: str, execution_id: str, now: datetime) -> Approval | None:
    """Take an approved request for execution, if it is still approved and in time. Exactly one caller gets it."""

    def take(session: Session) -> Approval | None:
        statement = (
            update(ApprovalRow)
            .where(col(ApprovalRow.id) == approval_id, col(ApprovalRow.state) == "approved", col(ApprovalRow.expires_at) > now)
            .values(state="executing", execution_id=execution_id, version=ApprovalRow.version + 1)
        )
        if session.execute(statement).rowcount != 1:  # type: ignore[attr-defined]
            return None
        return _approval(database, _locked(session, approval_id))

    return await database.write(take)


async def settle(database: Database, approval_id: str, before: State, after: State) -> Approval | None:
    """Move a request from one state to the next; None when it was not in the first."""

    def move(session: Session) -> Approval | None:
        row = _locked(session, approval_id)
        return _approval(database, row) if _move(session, row, before, after) else None

    return await database.write(move)


async def find(database: Database, approval_id: str) -> Approval | None:
    """One request as it stands."""

    def get(session: Session) -> Approval | None:
        row = session.get(ApprovalRow, approval_id)
        return _approval(database, row) if row else None

    return await database.read(get)


async def in_state(database: Database, *states: State) -> tuple[Approval, ...]:
    """All requests in one of the states, oldest first."""
    query = select(ApprovalRow).where(col(ApprovalRow.state).in_(states)).order_by(col(ApprovalRow.requested_at))
    return await database.read(lambda session: tuple(_approval(database, row) for row in session.exec(query).all()))


def _locked(session: Session, approval_id: str) -> ApprovalRow:
    row = session.get(ApprovalRow, approval_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise ClickRefused("unknown-button", "That request is not known here.")
    return row


def _move(session: Session, row: ApprovalRow, before: State, after: State) -> bool:
    if row.state != before or after not in NEXT[before]:
        return False
    row.state = after
    row.version += 1
    session.add(row)
    return True


def _approval(database: Database, row: ApprovalRow) -> Approval:
    sealed = json.loads(database.keys.decrypt(row.sealed, row.id.encode()))
    return Approval(
        id=row.id,
        state=row.state,  # type: ignore[arg-type]
        version=row.version,
        requester=row.requester,
        person=row.person,
        identity=row.identity,
        thread=Thread(**row.thread),
        cluster=row.cluster,
        commands=tuple(map(command_from_json, sealed["commands"])),
        bound=row.bound,
        policy=ApprovalRule.model_validate(row.policy),
        card=sealed["card"],
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        execution_id=row.execution_id,
    )
