"""Several processes write at once, and some of them are killed: no fork, no gap, nothing acknowledged is lost."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audit.keys import Keyring
from audit.ledger import Ledger
from audit.rows import AuditRow
from audit.verify import Status, verify
from tests.audit.writers import Job

KILLED = -9
STEPS = 7
"""At least so many steps has an append: five statements at most, COMMIT, and the way back."""


@pytest.fixture(scope="module")
def run_writers() -> Iterator[Callable[[Job], list[int]]]:
    command = [sys.executable, "-m", "tests.audit.writers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        requests, answers = server.stdin, server.stdout

        def run(job: Job) -> list[int]:
            requests.write(job.line())
            requests.flush()
            statuses: list[int] = json.loads(answers.readline())
            return statuses

        yield run
        requests.close()


@pytest.fixture
def job(database_url: str, keys: Keyring, witness: Path, tmp_path: Path) -> Job:
    assert keys.key_id
    return Job(database_url, str(tmp_path / "keys" / "keyring"), str(witness), str(tmp_path / "acknowledged"))


def stored(job: Job) -> list[AuditRow]:
    ledger = Ledger.read(job.url, Keyring.load(Path(job.keys)))
    rows = list(ledger.rows())
    ledger.close()
    return rows


def acknowledged(job: Job) -> set[tuple[int, str]]:
    files = Path(job.acknowledged).parent.glob(Path(job.acknowledged).name + ".*")
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    return {(int(seq), digest) for seq, digest in lines}


def assert_whole(job: Job) -> list[AuditRow]:
    verdict = verify(job.url, Keyring.load(Path(job.keys)), Path(job.witness))
    assert verdict.status is Status.OK, verdict
    rows = stored(job)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert acknowledged(job) <= {(row.seq, row.hash) for row in rows}
    return rows


def test_eight_writers_at_once_leave_no_fork_and_no_gap(job: Job, run_writers: Callable[[Job], list[int]]) -> None:
    job = replace(job, writers=8, tasks=5, rows=12)
    assert run_writers(job) == [0] * 8
    rows = assert_whole(job)
    assert len(rows) == len(acknowledged(job)) == 8 * 5 * 12
    for actor in {row.actor for row in rows}:  # each task's rows stand in the order in which it wrote them
        assert [row.payload for row in rows if row.actor == actor] == [{"count": count} for count in range(12)]


def test_a_writer_killed_among_eight_harms_nobody(job: Job, run_writers: Callable[[Job], list[int]]) -> None:
    job = replace(job, writers=8, tasks=5, rows=12, kill_after=15)
    assert run_writers(job) == [KILLED] + [0] * 7
    rows = assert_whole(job)
    assert len(rows) >= len(acknowledged(job)) >= 7 * 5 * 12 + 15


def test_kill_at_every_step_of_an_append_loses_nothing_acknowledged(job: Job, run_writers: Callable[[Job], list[int]]) -> None:
    """Each round restarts on what the killed writer left behind."""
    outcomes = []
    for step in range(1, STEPS + 2):
        before = len(stored(job)) if step > 1 else 0
        outcomes += run_writers(replace(job, die_at=step))
        rows = assert_whole(job)
        assert before + 3 <= len(rows) <= before + 6
    assert outcomes[: STEPS - 1] == [KILLED] * (STEPS - 1)
    assert run_writers(job) == [0]
    assert_whole(job)
