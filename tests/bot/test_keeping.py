"""What is kept and for how long, and what a new start makes of what others have left."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from audit.rows import FINISHED, STARTED, Actor
from bot import approvals, replies
from bot.approvals import Approval, Request, Voter
from bot.buttons import Proposal, propose
from bot.database import ApprovalRow
from bot.settings import ApprovalRule
from bot.worker import GRACE, gone, instance
from k8s.grammar import parse
from tests.bot.dialogue import Dialogue, opened, thread, told, user
from tests.bot.edge import Edge

DANGEROUS = ApprovalRule(verdict="dangerous", mode="approve")
CARD: dict[str, Any] = {"level": "dangerous", "rule": "destroys", "reasons": [], "summary": [], "warnings": [], "changes": []}


@pytest.fixture(params=["sqlite", "postgresql"])
async def quiet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Dialogue]:
    """An installation without a cluster, on either database."""
    postgres = request.param == "postgresql"
    url = str(request.getfixturevalue("postgres_url")) if postgres else f"sqlite:///{tmp_path / 'kubechat.db'}"
    async with opened(tmp_path, url, Edge("", "")) as d:
        yield d


async def asked_for(d: Dialogue, *lines: str) -> Approval:
    card = {**CARD, "undo": "", "who": "", "question": "?", "translator": "typed"}
    commands = tuple(map(parse, lines or ("delete pod x -n shop",)))
    asked = Request(user("alice"), "alice", "alice", thread(), "prod", commands, "b", DANGEROUS, card, d.clock())
    return (await approvals.open_approval(d.database, asked))[0]


async def approved(d: Dialogue, *lines: str) -> Approval:
    voter = Voter("test/T1/bob", "bob", frozenset({"approver"}), asked=False, same_hands=False)
    return await approvals.vote(d.database, (await asked_for(d, *lines)).id, voter, "approve", d.clock())


async def claimed(d: Dialogue, *lines: str) -> Approval:
    found = await approvals.claim(d.database, (await approved(d, *lines)).id, d.clock())
    assert found is not None
    return found


async def left_by(d: Dialogue, approval: Approval, worker: str) -> None:
    """As if another process had taken it on."""
    statement = update(ApprovalRow).where(ApprovalRow.id == approval.id).values(worker=worker)  # type: ignore[arg-type]
    await d.database.write(lambda session: session.connection().execute(statement))


DEAD = instance().rsplit("/", 1)[0] + "/1"
"""A process of this host and number that was started at another time."""


async def count(d: Dialogue, table: str) -> int:
    query = text(f"SELECT count(*) FROM {table}")
    return int(await d.database.read(lambda session: session.connection().execute(query).scalar_one()))


async def test_what_is_old_is_dropped_and_the_rest_kept(quiet: Dialogue) -> None:
    """Tables do not grow for ever; what is being carried out stays until somebody has settled it."""
    d = quiet
    await d.say("alice", "use namespace shop")
    await claimed(d)
    await approved(d)
    undo = Proposal("Undo", "get pods", None, "prod", None)
    await propose(d.database, thread(), "undo", [undo], user=None, now=d.clock())
    assert [await count(d, table) for table in ("seen", "thread", "approval", "vote", "button")] == [1, 1, 2, 2, 7]
    d.clock.move(days=8)
    await d.say("alice", "help", where=thread("new"))
    assert [await count(d, table) for table in ("seen", "thread", "approval", "vote", "button")] == [1, 1, 2, 2, 7]
    d.clock.move(days=24)
    await d.say("alice", "help", where=thread("newer"))
    assert [await count(d, table) for table in ("seen", "thread", "approval", "vote", "button")] == [1, 0, 1, 1, 0]
    d.assert_log_is_whole()


async def test_tidying_is_not_done_for_every_message(quiet: Dialogue) -> None:
    await quiet.say("alice", "help")
    quiet.clock.move(minutes=59)
    old = text("UPDATE seen SET at = '2001-01-01 00:00:00'")
    await quiet.database.write(lambda session: session.connection().execute(old))
    await quiet.say("alice", "help")
    assert await count(quiet, "seen") == 2
    quiet.clock.move(minutes=2)
    await quiet.say("alice", "help")
    assert await count(quiet, "seen") == 2


WORKERS = [
    (instance(), timedelta(days=9), False),  # ours, and alive: never too late
    (DEAD, timedelta(), True),
    ("elsewhere/1/77", timedelta(), False),
    ("elsewhere/1/77", GRACE, False),
    ("elsewhere/1/77", GRACE + timedelta(seconds=1), True),
    ("", GRACE, False),
    ("", GRACE + timedelta(seconds=1), True),
]


@pytest.mark.parametrize(("worker", "later", "left"), WORKERS)
def test_who_is_gone(worker: str, later: timedelta, left: bool) -> None:
    now = datetime.now(UTC)
    assert gone(worker, now + GRACE, now + later) is left


async def test_what_others_work_on_is_left_to_them(quiet: Dialogue) -> None:
    d = quiet
    for approval in (await approved(d), await claimed(d)):
        await left_by(d, approval, "elsewhere/1/77")
    await asked_for(d)
    assert await d.engine.recover() == []
    d.clock.move(minutes=3)
    assert len(await d.engine.recover()) == 2
    assert await d.engine.recover() == []


async def test_a_later_end_written_into_the_database_counts_for_nothing(quiet: Dialogue) -> None:
    approval = await approved(quiet)
    later = update(ApprovalRow).values(expires_at=quiet.clock() + timedelta(days=9))
    await quiet.database.write(lambda session: session.connection().execute(later))
    assert await approvals.claim(quiet.database, approval.id, quiet.clock() + timedelta(minutes=15)) is None
    assert await approvals.claim(quiet.database, approval.id, quiet.clock()) is not None


async def begin(d: Dialogue, approval: Approval, number: int, outcome: str | None) -> None:
    ids = {"approval_id": approval.id, "execution_id": f"e{number}"}
    intent = {"instance": DEAD, "until": d.clock().isoformat(), "level": "dangerous", "command": "kubectl delete pod x"}
    await d.audit.append(STARTED, Actor("test", "T1", "alice"), {**intent, "thread": ["test", "T1", "C1", "one"]}, **ids)
    if outcome:
        await d.audit.append(FINISHED, Actor("test", "T1", "alice"), {"outcome": outcome}, **ids)


LEFT: list[tuple[list[str | None], int, str, str]] = [
    ([], 1, "failed", "Nothing was run"),
    ([None], 1, "unknown", "may or may not have happened"),
    (["unknown"], 1, "unknown", "may or may not have happened"),
    (["failed"], 1, "failed", "was tried and failed"),
    (["partly done"], 1, "failed", "was tried and failed"),
    (["done"], 1, "done", "was carried out"),
    (["done"], 2, "failed", "after 1 of 2 commands"),
    (["done", None], 2, "unknown", "may or may not have happened"),
    (["done", "done"], 2, "done", "was carried out"),
]


@pytest.mark.parametrize(("outcomes", "commands", "state", "said"), LEFT)
async def test_what_the_record_says_is_what_is_said(
    quiet: Dialogue, outcomes: list[str | None], commands: int, state: str, said: str
) -> None:
    d = quiet
    approval = await claimed(d, *["delete pod x -n shop"] * commands)
    await left_by(d, approval, DEAD)
    for number, outcome in enumerate(outcomes):
        await begin(d, approval, number, outcome)
    [(where, reply)] = await d.engine.recover()
    assert said in told(reply)
    assert where == thread()
    assert (reply.card, reply.revision > approval.version) == (approval.id, True)
    assert (await approvals.find(d.database, approval.id)).state == state
    assert await d.engine.recover() == []
    d.assert_log_is_whole()


async def test_a_read_that_was_cut_off_is_asked_again(quiet: Dialogue) -> None:
    intent = {"instance": DEAD, "until": quiet.clock().isoformat(), "level": "safe", "command": "kubectl get pods"}
    where = ["test", "T1", "C1", "one"]
    await quiet.audit.append(STARTED, Actor("test", "T1", "alice"), {**intent, "thread": where}, execution_id="e1")
    [(found, reply)] = await quiet.engine.recover()
    assert found == thread()
    assert reply == replies.failure("KubeChat stopped before it could answer `kubectl get pods`. Ask again.")


async def test_two_new_starts_at_once_say_it_once(quiet: Dialogue, tmp_path: Path) -> None:
    d = quiet
    approval = await claimed(d)
    await left_by(d, approval, DEAD)
    async with opened(tmp_path, d.url, d.edge) as other:
        said = await asyncio.gather(d.engine.recover(), other.engine.recover())
    assert sum(map(len, said)) == 1


async def test_the_same_message_at_two_replicas_is_taken_once(quiet: Dialogue, tmp_path: Path) -> None:
    """Case 24: the platform delivers an event to both."""
    d = quiet
    async with opened(tmp_path, d.url, d.edge) as other:
        for number in range(10):
            both = (d.say("alice", "help", id=f"m{number}"), other.say("alice", "help", id=f"m{number}"))
            said = await asyncio.gather(*both)
            assert sorted(reply.text == "(silence)" for reply in said) == [False, True]
