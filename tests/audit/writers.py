"""Writer processes for the tests, some of which are killed. `python -m tests.audit.writers` forks them on request.

A request is one JSON line on standard input, the answer one line with the exit statuses. Forking from a process that
has loaded everything and runs no thread makes a writer start in milliseconds. What a writer was told is recorded goes
to a file at once, so that it outlives the writer.
"""

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Pool, event

from audit.keys import Keyring
from audit.rows import Actor
from audit.store import AuditLog


@dataclass(frozen=True, slots=True)
class Job:
    """What the writers are to do.

    Args:
        acknowledged: path of the files with what was acknowledged; each writer adds its number.
        rows: how many each of a writer's tasks appends.
        die_at: the step of the second transaction at which a writer kills itself; 0: never.
        kill_after: kill the first writer once it was acknowledged so many rows; 0: never.
    """

    url: str
    keys: str
    witness: str
    acknowledged: str
    writers: int = 1
    tasks: int = 3
    rows: int = 2
    die_at: int = 0
    kill_after: int = 0

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(step: int) -> None:
    """Die at a step of a transaction: before each of its statements, before COMMIT, or after it."""
    left = iter(range(step - 1, -1, -1))

    def count(*_: Any, **__: Any) -> None:
        if next(left) == 0:
            die()

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    event.listen(Pool, "checkin", count)


async def write(job: Job, number: int) -> None:
    log = await AuditLog.open(job.url, Keyring.load(Path(job.keys)), witness=Path(job.witness))
    file = os.open(f"{job.acknowledged}.{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def append(task: int) -> None:
        for count in range(job.rows):
            if count == 1 and job.die_at and task == 0:
                die_at(job.die_at)
            row = await log.append("test.row", Actor("test", "", f"{number}/{task}"), {"count": count})
            os.write(file, f"{row.seq} {row.hash}\n".encode())

    await asyncio.gather(*(append(task) for task in range(job.tasks)))
    await log.close()


def running(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def serve(job: Job) -> list[int]:
    children = []
    for number in range(job.writers):
        if (child := os.fork()) == 0:
            asyncio.run(write(job, number))
            os._exit(0)
        children.append(child)
    if job.kill_after:
        first = Path(f"{job.acknowledged}.0")
        while running(children[0]) and (not first.exists() or first.read_bytes().count(b"\n") < job.kill_after):
            time.sleep(0.001)
        os.kill(children[0], signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    for request in sys.stdin:
        print(json.dumps(serve(Job(**json.loads(request)))), flush=True)
