"""Processes of KubeChat that press a button, some of which are killed. `python -m tests.bot.clickers` forks them on request.

A request is one JSON line on standard input. The answers are two lines: the ids of the processes, once all of them are about to
press, and how they ended. Forking from a process that has loaded everything and runs no thread makes one start in milliseconds.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Pool, event

from bot.types import Click, Reply
from tests.bot.dialogue import opened, thread, user
from tests.bot.edge import Edge


@dataclass(frozen=True, slots=True)
class Job:
    """Who presses which button, how often, in how many processes; `die_at` is the step of the database at which one dies."""

    folder: str
    url: str
    button: str
    people: tuple[str, ...] = ("bob",)
    clicks: int = 1
    processes: int = 1
    die_at: int = 0

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def die_at(step: int) -> None:
    """Die at a step of the database: before a statement, before a COMMIT, or after a transaction."""
    left = iter(range(step - 1, -1, -1))

    def count(*_: Any, **__: Any) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    event.listen(Pool, "checkin", count)


async def press(job: Job, ready: int, go: int) -> None:
    async with opened(Path(job.folder), job.url, Edge("", "")) as d:

        async def say(reply: Reply) -> None:
            pass

        async def one(number: int) -> None:
            await d.engine.handle_click(Click(job.button, user(job.people[number % len(job.people)]), thread(), d.clock()), say)

        os.write(ready, b".")
        await asyncio.to_thread(os.read, go, 1)
        if job.die_at:
            die_at(job.die_at)
        await asyncio.gather(*(one(number) for number in range(job.clicks)))


def child(job: Job, ready: int, go: int) -> None:
    status = 1
    try:
        asyncio.run(press(job, ready, go))
        status = 0
    finally:
        os._exit(status)


def serve(job: Job) -> None:
    (told, ready), (go, start) = os.pipe(), os.pipe()
    children = []
    for _ in range(job.processes):
        if (pid := os.fork()) == 0:
            os.close(start)
            child(job, ready, go)
        children.append(pid)
    for _ in children:
        os.read(told, 1)
    print(json.dumps(children), flush=True)
    for end in (start, go, told, ready):
        os.close(end)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]), flush=True)


if __name__ == "__main__":
    gc.freeze()
    for request in sys.stdin:
        serve(Job(**json.loads(request)))
