"""Exactly once, with real processes: many clicks from several of them, and kill -9 at every step of an approved delete."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from bot import approvals
from tests.bot.clickers import Job
from tests.bot.dialogue import Dialogue, dialogue, told
from tests.clusters import LiveCluster, exists

KILLED = -signal.SIGKILL


@dataclass(slots=True)
class Clickers:
    """The process that forks those who press."""

    server: asyncio.subprocess.Process

    async def begin(self, job: Job) -> list[int]:
        """Start pressing; the processes' ids."""
        assert self.server.stdin is not None
        self.server.stdin.write(job.line().encode())
        return await self._line()

    async def end(self) -> list[int]:
        """How they ended."""
        return await self._line()

    async def _line(self) -> list[int]:
        assert self.server.stdout is not None
        found: list[int] = json.loads(await self.server.stdout.readline())
        return found


@pytest.fixture(scope="module")
async def clickers() -> AsyncIterator[Clickers]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bot.clickers", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    yield Clickers(server)
    assert server.stdin is not None
    server.stdin.close()
    await server.wait()


@pytest.mark.parametrize(("database", "processes"), [("sqlite", 1), ("sqlite", 2), ("postgresql", 2)])
async def test_fifty_clicks_at_once_run_one_delete(
    request: pytest.FixtureRequest, cluster: LiveCluster, tmp_path: Path, clickers: Clickers, database: str, processes: int
) -> None:
    """Case 24. On PostgreSQL each process has eight connections that race."""
    url = str(request.getfixturevalue("postgres_url")) if database == "postgresql" else ""
    own = await cluster.namespace()
    async with dialogue(tmp_path, cluster, own, url=url) as d:
        await d.say("alice", "delete configmap colours in NS")
        job = Job(str(tmp_path), d.url, d.shown["approve"].id, ("bob", "dave"), 50 // processes, processes)
        await clickers.begin(job)
        assert await clickers.end() == [0] * processes
        assert [one.method for one in d.edge.changes] == ["DELETE"]
        kinds = Counter(await d.kinds())
        assert kinds["execution.started"] == kinds["execution.finished"] == kinds["approval.granted"] == 1
        assert kinds["click.refused"] == 49
        d.assert_log_is_whole()


# --- kill -9 --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Killing:
    """A delete that is agreed to by a process which dies over it."""

    d: Dialogue
    cluster: LiveCluster
    clickers: Clickers
    folder: Path
    number: int = 0

    @property
    def name(self) -> str:
        return f"victim-{self.number}"

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.d.namespace}/configmaps"

    async def propose(self) -> Job:
        """A fresh object, and a card that asks for its deletion."""
        self.number += 1
        body = {"metadata": {"name": self.name}, "data": {"a": "b"}}
        await (await self.cluster.client("admin")).request("POST", self.path, body=body)
        await self.d.say("alice", f"kubectl delete configmap {self.name} -n NS")
        self.d.expect("proposal", buttons="approve deny cancel")
        self.d.edge.seen.clear()
        return Job(str(self.folder), self.d.url, self.d.shown["approve"].id)

    async def is_there(self) -> bool:
        return await exists(await self.cluster.client("admin"), f"{self.path}/{self.name}")

    async def next_start(self) -> str:
        """What a new process says, and that it does nothing else: the deletion is never tried again by itself."""
        sent = len(self.d.edge.changes)
        assert sent <= 1
        said = await self.d.engine.recover()
        assert len(self.d.edge.changes) == sent
        assert await self.d.engine.recover() == []
        assert await self.d.audit.unfinished() == []
        assert len(said) <= 1
        return await self._in_short(told(said[0][1]) if said else "")

    async def _in_short(self, said: str) -> str:
        state = (await approvals.find(self.d.database, self.d.card)).state
        there, sent = await self.is_there(), bool(self.d.edge.changes)
        if not said:
            assert state in {"pending", "done"}
            assert there is (state == "pending")
            return "nothing: the card still waits" if state == "pending" else "nothing: all was done"
        if "It may or may not have happened" in said:
            assert state == "unknown"
            return "unknown: look, and ask again"
        if "Nothing was run; ask again" in said:
            assert state in {"stale", "failed"}
            assert there
            assert not sent
            return "agreed to and never begun: ask again"
        assert "This was carried out" in said
        assert state == "done"
        assert not there
        return "carried out, the answer was lost"

    async def press_again(self, said: str) -> None:
        """A card that still waits works as if nothing had been; any other one is dead."""
        await self.d.press("bob", "approve")
        if "still waits" in said:
            self.d.expect("result", "deleted")
        else:
            self.d.expect("refusal")
        assert len(self.d.edge.changes) <= 1


@pytest.fixture
async def killing(cluster: LiveCluster, tmp_path: Path, clickers: Clickers) -> AsyncIterator[Killing]:
    own = await cluster.namespace()
    async with dialogue(tmp_path, cluster, own) as d:
        yield Killing(d, cluster, clickers, tmp_path)


ORDER = [
    "nothing: the card still waits",
    "agreed to and never begun: ask again",
    "unknown: look, and ask again",
    "carried out, the answer was lost",
    "nothing: all was done",
]


async def test_kill_at_every_step_of_the_database(killing: Killing) -> None:
    """From the click to the last word: before every statement and COMMIT, and after every transaction."""
    if killing.cluster.name != "practice":
        pytest.skip("the steps of the database are the same whatever the cluster")
    table: list[tuple[str, str]] = []
    died = True
    while died:
        job = await killing.propose()
        step = killing.number
        await killing.clickers.begin(Job(job.folder, job.url, job.button, die_at=step))
        [status] = await killing.clickers.end()
        died = status == KILLED
        assert died or status == 0
        said = await killing.next_start()
        await killing.press_again(said)
        table.append((f"step {step}", said if died else "(not killed)"))
    killing.d.assert_log_is_whole()
    said_in_order = [said for _, said in table[:-1]]
    assert list(dict.fromkeys(said_in_order)) == ORDER
    assert said_in_order == sorted(said_in_order, key=ORDER.index)
    show("kill -9 at every step of the database", table)


async def test_kill_at_every_request_to_the_cluster(killing: Killing) -> None:
    """Before a request reaches the cluster, and after the cluster has answered it."""
    table: list[tuple[str, str]] = []
    for moment in ("before", "after"):
        number, died = 0, True
        while died:
            number += 1
            job = await killing.propose()
            killer = Killer(killing, moment, number)
            killing.d.edge.meddle = killer.look
            killer.victim = (await killing.clickers.begin(job))[0]
            [status] = await killing.clickers.end()
            killing.d.edge.meddle = None
            died = status == KILLED
            assert died or status == 0
            said = await killing.next_start()
            if died:
                table.append((f"{moment} {killer.request}", said))
                was_sent = killer.request.startswith("DELETE (for good)") and moment == "after"
                assert await killing.is_there() is not was_sent
            await killing.press_again(said)
    killing.d.assert_log_is_whole()
    for moment in ("before", "after"):
        said_in_order = [said for step, said in table if step.startswith(moment)]
        assert list(dict.fromkeys(said_in_order)) == ORDER[1:3]
        assert said_in_order == sorted(said_in_order, key=ORDER.index)
    assert table[-1] == ("after DELETE (for good) configmaps/victim", ORDER[2])
    show("kill -9 at every request to the cluster", table)


@dataclass(slots=True)
class Killer:
    """Kills the process that sends the n-th request."""

    killing: Killing
    moment: str
    number: int
    victim: int = 0
    request: str = ""

    async def look(self, request: web.BaseRequest) -> web.StreamResponse | None:
        if len(self.killing.d.edge.seen) != self.number:
            return None
        seen = self.killing.d.edge.seen[-1]
        short = "/".join(request.path.split("/")[-2:]).removesuffix(f"-{self.killing.number}")
        self.request = f"{seen.method} {'' if seen.method == 'GET' else '(dry) ' if seen.dry else '(for good) '}{short}"
        answer = await self.killing.d.edge.forward(request) if self.moment == "after" else web.Response(status=500)
        os.kill(self.victim, signal.SIGKILL)
        return answer


def show(title: str, table: list[tuple[str, str]]) -> None:
    """The table in the test's output (`pytest -s`), steps with the same answer together."""
    print(f"\n{title}")
    groups: list[list[str]] = []
    for step, said in table:
        if groups and groups[-1][2] == said:
            groups[-1][1] = step
        else:
            groups.append([step, step, said])
    for first, last, said in groups:
        print(f"  {first if first == last else f'{first} … {last}':<70} {said}")
