"""Agreement as pure rules: the state machine, who counts, which policy holds. Exhaustive where that is possible."""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sqlalchemy import update

from audit.keys import Keyring
from bot import approvals
from bot.approvals import NEXT, Approval, Request, State, Voter, agreed, objection
from bot.buttons import ClickRefused
from bot.database import ApprovalRow, Database
from bot.policy import bind, freeze_for, policy_for, reach_of
from bot.settings import ApprovalRule, Freeze, Settings
from k8s.grammar import parse
from k8s.types import ObjectRef, Preview
from tests.bot.dialogue import thread, user

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATES: tuple[State, ...] = get_args(State)
APPROVE = ApprovalRule(verdict="dangerous", mode="approve")
CONFIRM = ApprovalRule(verdict="warning", mode="confirm")


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    opened = await Database.open(f"sqlite:///{tmp_path / 'kubechat.db'}", Keyring.load(tmp_path / "keyring"))
    yield opened
    await opened.close()


def request(policy: ApprovalRule = APPROVE, at: datetime = NOW) -> Request:
    return Request(user("alice"), "alice", "alice", thread(), "prod", (parse("delete pod x -n shop"),), "b", policy, {}, at)


def voter(name: str = "bob", *, roles: str = "approver", asked: bool = False, same_hands: bool = False) -> Voter:
    return Voter(f"test/T1/{name}", name, frozenset(roles.split()), asked, same_hands)


# --- the state machine ----------------------------------------------------------------------------------------------------

Move = Callable[[Database, str], Awaitable[Approval | None]]


def vote(choice: str, who: Voter, later: timedelta = timedelta()) -> Move:
    return lambda database, key: approvals.vote(database, key, who, choice, NOW + later)


def settle(before: State, after: State) -> Move:
    return lambda database, key: approvals.settle(database, key, before, after)


ALICE = voter("alice", asked=True)
VOTES: list[tuple[str, Move, State, State]] = [
    ("approve", vote("approve", voter()), "pending", "approved"),
    ("deny", vote("deny", voter()), "pending", "denied"),
    ("cancel", vote("cancel", ALICE), "pending", "cancelled"),
    ("late", vote("approve", voter(), timedelta(minutes=15)), "pending", "expired"),
    ("back in time", vote("approve", voter(), -timedelta(hours=1)), "pending", "expired"),
    ("claim", lambda database, key: approvals.claim(database, key, NOW), "approved", "executing"),
    ("late claim", lambda database, key: approvals.claim(database, key, NOW + timedelta(minutes=15)), "approved", "approved"),
]


@pytest.mark.parametrize("state", STATES)
async def test_every_move_from_every_state(database: Database, state: State) -> None:
    """What the table of moves allows happens, and nothing else ever does."""
    moves = [(name, move, before, after) for name, move, before, after in VOTES]
    moves += [(f"{a}→{b}", settle(a, b), a, b) for a, b in itertools.product(STATES, STATES)]
    opened, _ = await approvals.open_approval(database, request())
    for name, move, before, after in moves:
        await force(database, opened.id, state)
        with suppress(ClickRefused):
            await move(database, opened.id)
        found = (await approvals.find(database, opened.id)).state
        allowed = state == before and (after in NEXT[state])
        assert found == (after if allowed else state), name


async def force(database: Database, key: str, state: State) -> None:
    from bot.database import VoteRow

    def put(session: Any) -> None:
        session.connection().execute(VoteRow.__table__.delete())  # type: ignore[attr-defined]
        session.connection().execute(update(ApprovalRow).where(ApprovalRow.id == key).values(state=state))  # type: ignore[arg-type]

    await database.write(put)


def test_the_table_of_moves_ends() -> None:
    """From everywhere there is a way to an end, and none leads back."""
    assert set(NEXT) == set(STATES)
    for state in STATES:
        reached, waiting = set[State](), [state]
        while waiting:
            for after in NEXT[waiting.pop()]:
                assert after != state
                if after not in reached:
                    reached.add(after)
                    waiting.append(after)
        assert not NEXT[state] or any(not NEXT[after] for after in reached)


# --- who counts -----------------------------------------------------------------------------------------------------------

OBJECTIONS: list[tuple[ApprovalRule, Voter, str, str | None]] = [
    (CONFIRM, voter("alice", asked=True, roles=""), "confirm", None),
    (CONFIRM, voter("alice", asked=True, same_hands=True), "confirm", None),
    (CONFIRM, voter("bob"), "confirm", "not-yours"),
    (CONFIRM, voter("bob", same_hands=True), "confirm", "not-yours"),
    (CONFIRM, voter("alice", asked=True), "approve", "not-yours"),
    (CONFIRM, voter("alice", asked=True), "deny", "not-yours"),
    (CONFIRM, voter("bob"), "approve", "not-yours"),
    (APPROVE, voter("bob"), "approve", None),
    (APPROVE, voter("bob"), "deny", None),
    (APPROVE, voter("bob"), "confirm", "wrong-choice"),
    (APPROVE, voter("alice", asked=True), "confirm", "wrong-choice"),
    (APPROVE, voter("bob", roles=""), "approve", "not-approver"),
    (APPROVE, voter("bob", roles="Approver"), "approve", "not-approver"),
    (APPROVE, voter("bob", roles="admin"), "deny", "not-approver"),
    (APPROVE, voter("alice", asked=True), "approve", "own-request"),
    (APPROVE, voter("alice", asked=True, roles="approver admin"), "approve", "own-request"),
    (APPROVE, voter("bob", same_hands=True), "approve", "own-request"),
    (APPROVE, voter("bob", same_hands=True), "deny", None),
    (APPROVE, voter("alice", asked=True), "deny", "own-request"),
    (APPROVE, voter("bob"), "undo", "wrong-choice"),
    (APPROVE, voter("bob"), "", "wrong-choice"),
    *((rule, voter("alice", asked=True, roles=""), "cancel", None) for rule in (CONFIRM, APPROVE)),
    *((rule, voter("bob"), "cancel", None) for rule in (CONFIRM, APPROVE)),
    *((rule, voter("carol", roles="guest"), "cancel", "not-yours") for rule in (CONFIRM, APPROVE)),
]


@pytest.mark.parametrize(("rule", "who", "choice", "refused"), OBJECTIONS)
def test_whose_word_counts(rule: ApprovalRule, who: Voter, choice: str, refused: str | None) -> None:
    found = objection(rule, who, choice)
    assert (found.rule if found else None) == refused


@given(
    st.builds(
        Voter,
        user_key=st.just("k"),
        person=st.just("p"),
        roles=st.frozensets(st.sampled_from(["approver", "admin", "guest"])),
        asked=st.booleans(),
        same_hands=st.booleans(),
    ),
    st.sampled_from(["approve", "confirm", "deny", "cancel", "undo", "choice", ""]),
    st.sampled_from([APPROVE, CONFIRM]),
)
def test_nobody_ever_moves_their_own_dangerous_request(who: Voter, choice: str, rule: ApprovalRule) -> None:
    if objection(rule, who, choice) is None and choice in {"approve", "confirm"}:
        assert who.asked is (rule is CONFIRM)
        assert rule is CONFIRM or ("approver" in who.roles and not who.same_hands)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["approve", "deny", "confirm"])), max_size=8), st.integers(1, 3)
)
def test_people_are_counted_not_words(words: list[tuple[str, str]], needed: int) -> None:
    cast = [approvals.Vote(person, f"{person}-{n}", choice) for n, (person, choice) in enumerate(words)]
    rule = ApprovalRule(verdict="dangerous", mode="approve", needed=needed)
    assert agreed(rule, cast) == (len({person for person, choice in words if choice == "approve"}) >= needed)


# --- which policy ---------------------------------------------------------------------------------------------------------

RULES = TypeAdapter(tuple[ApprovalRule, ...]).validate_python(
    [
        {"verdict": "dangerous", "mode": "approve", "namespaces": ["payments", "payments-*"], "needed": 2, "approvers": "payer"},
        {"verdict": "dangerous", "mode": "approve", "namespaces": ["payments"], "needed": 9},
        {"verdict": "warning", "mode": "none", "clusters": ["staging"]},
        {"verdict": "warning", "mode": "approve", "namespaces": ["vault"]},
        {"verdict": "dangerous", "mode": "confirm", "clusters": ["staging"], "namespaces": ["play"]},
    ]
)

POLICIES: list[tuple[str, str, frozenset[str | None] | None, str, int, str]] = [
    ("warning", "prod", frozenset({"shop"}), "confirm", 1, "approver"),
    ("dangerous", "prod", frozenset({"shop"}), "approve", 1, "approver"),
    ("dangerous", "prod", frozenset({"payments"}), "approve", 2, "payer"),  # the first that covers it, not the strictest
    ("dangerous", "prod", frozenset({"payments-eu"}), "approve", 2, "payer"),
    ("dangerous", "prod", frozenset({"payments", "shop"}), "approve", 2, "payer"),  # of several places, the strictest
    ("dangerous", "prod", frozenset({None}), "approve", 1, "approver"),  # outside of namespaces
    ("dangerous", "prod", None, "approve", 9, "approver"),  # any namespace
    ("dangerous", "staging", frozenset({"play"}), "confirm", 1, "approver"),
    ("dangerous", "staging", frozenset({"play", "shop"}), "approve", 1, "approver"),
    ("dangerous", "staging", None, "approve", 9, "approver"),
    ("warning", "staging", frozenset({"shop"}), "none", 1, "approver"),
    ("warning", "staging", frozenset({"vault"}), "none", 1, "approver"),  # the rule for staging comes first
    ("warning", "prod", frozenset({"vault"}), "approve", 1, "approver"),
    ("warning", "prod", frozenset({"vault", "shop"}), "approve", 1, "approver"),
    ("warning", "prod", None, "approve", 1, "approver"),
    ("warning", "staging", None, "none", 1, "approver"),
]


@pytest.mark.parametrize(("level", "cluster", "reach", "mode", "needed", "role"), POLICIES)
def test_which_policy_holds(
    own_home: None, level: str, cluster: str, reach: frozenset[str | None] | None, mode: str, needed: int, role: str
) -> None:
    rule = policy_for(Settings(approvals=RULES), level, cluster, reach)
    assert (rule.mode, rule.needed, rule.approvers) == (mode, needed, role)


def ref(resource: str, name: str, namespace: str | None) -> ObjectRef:
    return ObjectRef(resource, namespace, name, "uid", "1", 1)


REACHES: list[tuple[str, list[ObjectRef], frozenset[str | None] | None]] = [
    ("delete pod x -n shop", [ref("pods", "x", "shop")], frozenset({"shop"})),
    ("delete pods --all -A", [ref("pods", "x", "shop")], None),
    ("delete pods -l a=b -A", [], None),
    ("delete namespace shop", [ref("namespaces", "shop", None)], frozenset({"shop"})),
    ("delete ns a b", [ref("namespaces", "a", None), ref("namespaces", "b", None)], frozenset({"a", "b"})),
    ("delete pv x", [ref("persistentvolumes", "x", None)], frozenset({None})),
    ("delete node n", [ref("nodes", "n", None)], None),
    ("delete crd things.example.com", [ref("customresourcedefinitions", "things.example.com", None)], None),
    ("cordon n", [ref("nodes", "n", None)], frozenset({None})),
    ("label node n a=b", [ref("nodes", "n", None)], frozenset({None})),
    ("drain n", [ref("nodes", "n", None), ref("pods", "x", "shop")], None),
    ("taint node n a=b:NoExecute", [ref("nodes", "n", None)], None),
    ("label clusterrole x a=b", [ref("clusterroles", "x", None)], None),
    ("create clusterrolebinding x --clusterrole=y --user=z", [ref("clusterrolebindings", "x", None)], None),
    ("delete validatingwebhookconfiguration x", [ref("validatingwebhookconfigurations", "x", None)], None),
    ("apply -f -", [ref("configmaps", "x", "a"), ref("services", "y", "b")], frozenset({"a", "b"})),
    ("delete pod x -n shop", [], frozenset({"shop"})),
    ("cordon n", [], frozenset({None})),
]


@pytest.mark.parametrize(("line", "targets", "reach"), REACHES)
def test_where_a_command_reaches(line: str, targets: list[ObjectRef], reach: frozenset[str | None] | None) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}" if "-f" in line else None
    assert reach_of([parse(line, manifest=manifest)], [Preview((), targets=tuple(targets))]) == reach


FREEZES: list[tuple[str, frozenset[str | None] | None, int, bool]] = [
    ("prod", frozenset({"payments"}), 0, True),
    ("prod", frozenset({"shop"}), 0, False),
    ("prod", frozenset({"shop", "payments"}), 0, True),
    ("prod", frozenset({None}), 0, False),
    ("prod", None, 0, True),
    ("staging", frozenset({"payments"}), 0, False),
    ("prod", frozenset({"payments"}), -1, False),
    ("prod", frozenset({"payments"}), 24, False),
    ("prod", frozenset({"payments"}), 23, True),
]


@pytest.mark.parametrize(("cluster", "reach", "hours", "frozen"), FREEZES)
def test_when_and_where_a_freeze_holds(
    own_home: None, cluster: str, reach: frozenset[str | None] | None, hours: int, frozen: bool
) -> None:
    freeze = Freeze(name="f", begins=NOW, until=NOW + timedelta(days=1), clusters=("prod",), namespaces=("payments",))
    found = freeze_for(Settings(freezes=(freeze,)), cluster, reach, NOW + timedelta(hours=hours))
    assert (found is not None) is frozen


# --- what is bound --------------------------------------------------------------------------------------------------------

AGREED: dict[str, Any] = {
    "commands": [parse("delete pod x -n shop")],
    "cluster_uid": "u",
    "identity": "alice",
    "policy": APPROVE,
    "targets": [ref("pods", "x", "shop")],
}
OTHER: list[tuple[str, Any]] = [
    ("commands", [parse("delete pod x -n shop --force --grace-period=0")]),
    ("commands", [parse("delete pod x -n shop"), parse("delete pod x -n shop")]),
    ("commands", [parse("apply -f - -n shop", manifest="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}")]),
    ("cluster_uid", "other"),
    ("identity", "bob"),
    ("policy", APPROVE.model_copy(update={"needed": 2})),
    ("policy", APPROVE.model_copy(update={"expires": timedelta(minutes=1)})),
    ("targets", [ref("pods", "y", "shop")]),
    ("targets", [ref("pods", "x", "other")]),
    ("targets", [ObjectRef("pods", "shop", "x", "another-uid", "1", 1)]),
    ("targets", [ObjectRef("pods", "shop", "x", "uid", "1", 2)]),
    ("targets", [ObjectRef("pods", "shop", "x", "uid", "2", 1)]),
    ("targets", []),
    ("targets", [ref("pods", "x", "shop"), ref("pods", "y", "shop")]),
]


@pytest.mark.parametrize(("part", "value"), OTHER)
def test_everything_that_is_agreed_to_is_bound(part: str, value: Any) -> None:
    assert bind(**{**AGREED, part: value}) != bind(**AGREED)


def test_another_order_is_the_same_agreement() -> None:
    two = [ref("pods", "x", "shop"), ref("pods", "y", "shop")]
    assert bind(**{**AGREED, "targets": two}) == bind(**{**AGREED, "targets": two[::-1]})
