"""What is said when the cluster or the database fails, and that nothing runs then which is not on record."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import event

from audit.keys import Keyring
from bot.database import Database
from bot.settings import Settings
from bot.types import Click, Reply
from tests.bot.dialogue import Dialogue, dialogue, opened, thread, told, user
from tests.bot.edge import Meddle, status
from tests.clusters import LiveCluster
from tests.postgres import PostgresServer, running_postgres

DELETE = "delete configmap colours in NS"


# --- 39: the cluster ------------------------------------------------------------------------------------------------------


async def half_a_body(request: web.BaseRequest) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(b'{"kind": "Confi')
    assert request.transport is not None
    request.transport.close()
    return answer


async def nothing(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def answer(code: int, reason: str = "", message: str = "", **headers: str) -> Meddle:
    async def give(request: web.BaseRequest) -> web.StreamResponse:
        return status(code, reason, message, **headers)

    return give


def body(text: str) -> Meddle:
    async def give(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return give


READ_FAILS: list[tuple[str, Meddle, str]] = [
    ("401", answer(401, "Unauthorized"), "does not accept your credentials (401)"),
    ("403", answer(403, "Forbidden", "quota says no"), "refuses it"),
    ("404", answer(404, "NotFound", "gone"), "check the name"),
    ("409", answer(409, "Conflict", "the object has been modified"), "changed by someone else"),
    ("410", answer(410, "Expired", "too old"), "ask again"),
    ("429", answer(429, "TooManyRequests", "slow down", **{"Retry-After": "30"}), "busy"),
    ("500", answer(500, "InternalError", "etcd is tired"), "failed inside (500"),
    ("503", answer(503, "ServiceUnavailable", "no"), "not available now"),
    ("half a body", half_a_body, "could not be read"),
    ("hangs up", hang_up, "cannot reach the cluster prod"),
    ("no JSON", body("<html>proxy login</html>"), "could not be read"),
    ("no object", body("[1, 2]"), "could not be read"),
    ("nothing in it", body("{}"), "could not be read (it is not what was asked for)"),
    (
        "odd shapes",
        body('{"kind": "Table", "columnDefinitions": 7, "rows": "x", "items": 3, "metadata": []}'),
        "could not be read",
    ),
]


@pytest.mark.parametrize(("name", "meddle", "said"), READ_FAILS, ids=[name for name, _, _ in READ_FAILS])
async def test_a_failing_cluster_is_one_plain_sentence(d: Dialogue, name: str, meddle: Meddle, said: str) -> None:
    d.edge.meddle = only(lambda request: request.path.endswith("/configmaps/colours"), meddle)
    for line in ("kubectl get configmap colours -n NS", "kubectl label configmap colours a=b -n NS"):
        reply = await d.say("alice", line)
        assert reply.kind == "failure", told(reply)
        assert said in reply.text, told(reply)
        assert "\n" not in reply.text.strip()
        assert "Traceback" not in told(reply)
    d.assert_nothing_ran()
    assert {row.kind for row in await d.rows()} <= {"command.failed", "execution.started", "execution.finished"}
    assert await d.kinds()


def changing(d: Dialogue, meddle: Meddle) -> Meddle:
    """Meddle with what changes something, not with reviews and dry runs."""
    return only(lambda request: request.method != "GET" and not d.edge.seen[-1].dry, meddle)


def only(matches: Callable[[web.BaseRequest], bool], meddle: Meddle) -> Meddle:
    async def look(request: web.BaseRequest) -> web.StreamResponse | None:
        return await meddle(request) if matches(request) else None

    return look


WRITE_FAILS: list[tuple[str, Meddle, str, bool]] = [
    ("403", answer(403, "Forbidden", "a rule"), "refuses it", False),
    ("404", answer(404, "NotFound", "gone"), "check", False),
    ("409", answer(409, "Conflict", "the object has been modified"), "changed by someone else", False),
    ("422", answer(422, "Invalid", "no"), "invalid", False),
    ("429", answer(429, "TooManyRequests", "slow down"), "busy", False),
    ("500", answer(500, "InternalError", "etcdserver: request timed out"), "not known whether the change happened", True),
    ("504", answer(504, "Timeout", "gateway"), "not known whether the change happened", True),
    ("half a body", half_a_body, "not known whether the change happened", True),
    ("hangs up", hang_up, "not known whether the change happened", True),
]


@pytest.mark.parametrize(("name", "meddle", "said", "unknown"), WRITE_FAILS, ids=[name for name, *_ in WRITE_FAILS])
async def test_a_change_that_fails_says_whether_it_may_have_happened(
    d: Dialogue, name: str, meddle: Meddle, said: str, unknown: bool
) -> None:
    """Case 39, and never a second try by itself."""
    await d.say("alice", DELETE)
    card = d.replies[-1].card
    d.edge.meddle = changing(d, meddle)
    await d.press("bob", "approve")
    reply = d.expect("failure", said, buttons="")
    assert reply.card == card
    assert [one.method for one in d.edge.changes] == ["DELETE"]
    finished = (await d.rows("execution.finished"))[0].payload or {}
    assert finished["outcome"] == ("unknown" if unknown else "failed")
    d.edge.meddle = None
    await d.press("bob", "approve")
    d.expect("refusal", "Nobody knows whether" if unknown else "tried already and failed")
    assert len(d.edge.changes) == 1


async def test_a_slow_cluster_is_not_waited_for(tmp_path: Path, cluster: LiveCluster, namespace: str) -> None:
    async with dialogue(tmp_path, cluster, namespace, settings={"limits": {"seconds": 0.3}}) as d:
        await d.say("alice", DELETE)
        d.edge.meddle = changing(d, nothing)
        await d.press("bob", "approve")
        d.expect("failure", "not known whether", "did not answer within")
        d.edge.meddle = only(lambda request: request.path.endswith("colours"), nothing)
        await d.say("alice", "kubectl get configmap colours -n NS")
        d.expect("failure", "did not answer within", "ask again")


async def test_a_cluster_that_fails_before_the_run_leaves_nothing_half_agreed(d: Dialogue) -> None:
    await d.say("alice", DELETE)
    card = d.replies[-1].card
    d.edge.meddle = answer(500, "InternalError", "etcd is tired")
    await d.press("bob", "approve")
    reply = d.expect("refusal", "Not run.", "failed inside")
    assert reply.card == card
    d.edge.meddle = None
    await d.press("bob", "approve")
    d.expect("refusal", "ask again")
    assert d.edge.changes == []


async def test_an_unreachable_cluster(d: Dialogue, cluster: LiveCluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        kept, d.edge.url = d.edge.url, gone
        await d.map(cluster, "alice")
        d.edge.url = kept
        for line in ("list pods in NS", "kubectl delete pod x -n NS", "restart checkout in NS"):
            await d.say("alice", line)
            d.expect("failure", "I cannot reach the cluster prod")
    assert await d.kinds() == ["command.failed"] * 3


# --- 33: the audit log ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def read_only(d: Dialogue) -> Iterator[None]:
    """No statement that writes succeeds."""

    def refuse(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    engines = (d.database.engine, d.audit._ledger.engine)
    for engine in engines:
        event.listen(engine, "checkout", refuse)
    yield
    for engine in engines:
        event.remove(engine, "checkout", refuse)


async def test_without_an_audit_log_nothing_runs(fresh: Dialogue) -> None:
    """Case 33, on SQLite: nothing can be written any more."""
    d = fresh
    await d.say("alice", DELETE)
    await d.say("alice", "restart checkout in NS")
    with read_only(d):
        for reply in (
            await d.press("bob", "approve"),
            await d.press("alice", "confirm"),
            await d.say("alice", "list pods in NS"),
        ):
            assert reply.kind == "failure"
            assert "Nothing was run" in reply.text
            assert "Tell an administrator" in reply.text
    assert d.edge.changes == []
    await d.press("bob", "approve")
    assert len(d.edge.changes) <= 1
    d.assert_log_is_whole()


@pytest.fixture
async def on_postgres(cluster: LiveCluster, tmp_path: Path) -> AsyncIterator[tuple[Dialogue, PostgresServer]]:
    """A server of its own, which may be stopped."""
    own = await cluster.namespace({"alice": "edit"})
    with running_postgres() as server:
        async with dialogue(tmp_path, cluster, own, url=server.create_database("mine")) as d:
            yield d, server


@contextlib.contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    """Nobody can connect, and who is connected is cut off."""
    hidden = server.sockets.with_name("hidden")
    server._execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mine'")
    server.sockets.rename(hidden)
    yield
    hidden.rename(server.sockets)


async def test_with_postgresql_gone_nothing_runs(on_postgres: tuple[Dialogue, PostgresServer]) -> None:
    """Case 33: the server is unreachable when the last word is said."""
    d, server = on_postgres
    await d.say("alice", DELETE)
    with stopped(server):
        await d.press("bob", "approve")
        d.expect("failure", "Nothing was run", "Tell an administrator")
        await d.say("alice", "list pods in NS")
        d.expect("failure", "Nothing was run")
    assert d.edge.changes == []
    await d.press("bob", "approve")
    d.expect("result", "deleted")
    assert len(d.edge.changes) == 1
    d.assert_log_is_whole()


async def test_postgresql_going_away_in_the_middle_is_said_as_it_is(on_postgres: tuple[Dialogue, PostgresServer]) -> None:
    """The change has happened when the database goes: that must be said, and that its end is not on record."""
    d, server = on_postgres
    await d.say("alice", DELETE)
    with contextlib.ExitStack() as until_answered:

        async def stop_first(request: web.BaseRequest) -> web.StreamResponse | None:
            until_answered.enter_context(stopped(server))
            return None

        d.edge.meddle = changing(d, stop_first)
        await d.press("bob", "approve")
        assert [each.kind for each in d.replies] == ["progress", "result"]
        reply = d.expect("result", "deleted", "could not be written to the audit log")
        assert "Nothing was run" not in told(reply)
    assert [row.execution_id for row in await d.audit.unfinished()]


# --- the chat -------------------------------------------------------------------------------------------------------------


class ChatGone(Exception):
    pass


FIRST_WORDS = ["progress", "result"]


@pytest.mark.parametrize("kind", FIRST_WORDS)
async def test_a_chat_that_cannot_be_spoken_to_leaves_no_loose_end(fresh: Dialogue, kind: str) -> None:
    """Either it was not begun and never will be, or it was done and is on record as done."""
    d = fresh
    await d.say("alice", DELETE)

    async def say(reply: Reply) -> None:
        if reply.kind == kind:
            raise ChatGone

    click = Click(d.shown["approve"].id, user("bob"), thread(), d.clock())
    with pytest.raises(ChatGone):
        await d.engine.handle_click(click, say)
    assert len(d.edge.changes) == (kind == "result")
    await d.press("bob", "approve")
    d.expect("refusal", "carried out already" if kind == "result" else "ask again")
    assert len(d.edge.changes) == (kind == "result")
    assert await d.engine.recover() == []


# --- keys -----------------------------------------------------------------------------------------------------------------


async def test_lost_keys_open_nothing(d: Dialogue, tmp_path: Path) -> None:
    await d.say("alice", DELETE)
    button = d.shown["approve"]
    keys = Keyring.load(tmp_path / "others" / "keyring")
    stranger = await Database.open(d.url, keys)
    try:
        d.database = stranger
        d.configure(Settings())
        await d.say("alice", "list pods in NS")
        d.expect("failure", "cannot be decrypted")
        await d.press("bob", button)
        d.expect("refusal", "does not count")
    finally:
        await stranger.close()
    d.assert_nothing_ran()


async def test_another_process_finds_what_this_one_left(fresh: Dialogue, tmp_path: Path) -> None:
    """A restart between the question and the answer loses nothing."""
    d = fresh
    await d.say("alice", DELETE)
    async with opened(tmp_path, d.url, d.edge) as other:
        other.namespace = d.namespace
        await other.press("bob", d.shown["approve"])
        other.expect("result", "deleted")
        await other.say("alice", "undo it")
        other.expect("proposal", "main: blue")
