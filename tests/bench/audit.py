"""Appends per second through the audit log, against bare inserts of the same durability in the same run."""

import asyncio
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from audit.keys import Keyring
from audit.rows import Actor
from audit.store import AuditLog
from tests.postgres import running_postgres

SECONDS = 1.5
"""How long each figure is measured."""

ALICE = Actor("slack", "T1", "U1", "alice@example.com")
PAYLOAD = {"command": "kubectl scale deployment/checkout --replicas=5 -n shop", "question": "scale checkout to 5"}
BARE = b"x" * 700  # about what a row takes with its payload
CREATE = "CREATE TABLE bare (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, body {} NOT NULL)"

Insert = Callable[[int], None]


async def run() -> list[dict[str, Any]]:
    """The figures: appends and bare inserts per second, with 1 and 16 writers, on SQLite and PostgreSQL."""
    figures = []
    with tempfile.TemporaryDirectory() as folder, running_postgres(durable=True) as server:
        home = Path(folder)
        keys = Keyring.load(home / "keys" / "keyring")
        places = {
            "SQLite": (f"sqlite:///{home / 'audit.db'}", lambda: _sqlite(home / "bare.db")),
            "PostgreSQL": (server.create_database("audit"), lambda: _postgresql(str(server.sockets))),
        }
        for name, (url, bare) in places.items():
            log = await AuditLog.open(url, keys, witness=home / f"witness-{name}.json")
            for writers in (1, 16):
                value = await _appends(log, writers)
                reference = await asyncio.to_thread(_inserts, bare, writers)
                figures.append(_figure(f"audit appends, {name}, {writers} writers", value, reference))
            await log.close()
    return figures


def _figure(name: str, value: float, reference: float) -> dict[str, Any]:
    return {
        "name": name.replace(" 1 writers", " 1 writer"),
        "value": round(value),
        "unit": "rows/s",
        "reference": round(reference),
        "ratio": round(value / reference, 2),
    }


async def _appends(log: AuditLog, writers: int) -> float:
    await log.append("bench.row", ALICE, PAYLOAD)
    start = time.perf_counter()

    async def append() -> int:
        count = 0
        while time.perf_counter() - start < SECONDS:
            await log.append("bench.row", ALICE, PAYLOAD, command_digest="d" * 64)
            count += 1
        return count

    counts = await asyncio.gather(*(append() for _ in range(writers)))
    return sum(counts) / (time.perf_counter() - start)


def _inserts(connect: Callable[[], Insert], writers: int) -> float:
    """Bare inserts, each in a transaction of its own, by as many threads with a connection each."""
    connect()(0)
    numbers = iter(range(1, 10_000_000))
    turn = threading.Lock()
    counts = [0] * writers
    start = time.perf_counter()

    def work(writer: int) -> None:
        insert = connect()
        while time.perf_counter() - start < SECONDS:
            with turn:
                number = next(numbers)
            insert(number)
            counts[writer] += 1

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def _sqlite(path: Path) -> Insert:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")

    def insert(number: int) -> None:
        if number == 0:
            connection.execute("DROP TABLE IF EXISTS bare")
            connection.execute(CREATE.format("BLOB"))
        connection.execute("INSERT INTO bare VALUES (?, ?, ?)", (number, "now", BARE))

    return insert


def _postgresql(sockets: str) -> Insert:
    connection = psycopg.connect(f"host={sockets} user=postgres dbname=audit", autocommit=True)

    def insert(number: int) -> None:
        if number == 0:
            connection.execute("DROP TABLE IF EXISTS bare")
            connection.execute(CREATE.format("BYTEA").encode())
        connection.execute("INSERT INTO bare VALUES (%s, %s, %s)", (number, "now", BARE))

    return insert
