"""Appending and reading, on both databases."""

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import SQLModel

from audit import chain
from audit.database import DatabaseUnusable, connect, writing
from audit.keys import Keyring
from audit.ledger import AuditUnavailable, ErasureRefused, HistoryChanged
from audit.rows import KUBECHAT, Actor, InvalidEntry
from audit.store import AuditLog
from audit.verify import Status, verify
from tests.postgres import PostgresServer

ALICE = Actor("slack", "T1", "U1", "alice@example.com")
BOB = Actor("slack", "T1", "U2")


async def test_a_row_comes_back_as_it_was_recorded(log: AuditLog) -> None:
    before = datetime.now(UTC)
    written = await log.append(
        "execution.started",
        ALICE,
        {"command": "kubectl scale deployment/checkout --replicas=5 -n shop"},
        command_digest="d" * 64,
        approval_id="a1",
        execution_id="e1",
    )
    assert await log.get(1) == written
    assert written.payload == {"command": "kubectl scale deployment/checkout --replicas=5 -n shop"}
    assert (written.seq, written.actor, written.kind) == (1, ALICE, "execution.started")
    assert (written.command_digest, written.approval_id, written.execution_id) == ("d" * 64, "a1", "e1")
    assert before <= written.at <= datetime.now(UTC)
    assert written.prev_hash == chain.GENESIS
    assert (await log.append("execution.finished", ALICE, {})).prev_hash == written.hash
    assert await log.get(3) is None


@pytest.mark.parametrize(
    "payload",
    [
        {"value": math.nan, "other": [math.inf, -math.inf]},
        {"value": 2**53, "negative": -(2**70), "float": 2.0**60},
        {"value": "\ud800 and \udfff", "\ud83d": 1},
        {"value": "a\x00b", "\x00": "\x00"},
        {"value": "\u241b#nan \u241b0000"},
        {},
    ],
    ids=["NaN", "2^53", "lone surrogates", "NUL", "the mark itself", "empty"],
)
async def test_awkward_payloads_come_back_whole(log: AuditLog, payload: dict[str, Any]) -> None:
    await log.append("test.payload", Actor("a\x00b", "\ud800", "\u241b"), payload)
    row = await log.get(1)
    assert row is not None
    assert row.payload is not None
    assert repr(sorted(row.payload.items())) == repr(sorted(payload.items()))
    assert row.actor == Actor("a\x00b", "\ud800", "\u241b")


async def test_a_payload_of_ten_megabytes_is_cut_and_says_so(
    log: AuditLog, database_url: str, keys: Keyring, witness: Path
) -> None:
    await log.append("test.payload", ALICE, {"command": "kubectl apply -f -", "manifest": "x" * 10_000_000})
    row = await log.get(1)
    assert row is not None
    assert row.payload is not None
    assert row.payload["command"] == "kubectl apply -f -"
    assert row.payload["manifest"]["truncated"] is True
    assert verify(database_url, keys, witness).status is Status.OK


@pytest.mark.parametrize("payload", [{1: 2}, {"a": object()}, {"a": b""}, ["no", "mapping"]])
async def test_one_bad_payload_fails_its_caller_and_nobody_else(log: AuditLog, payload: Any) -> None:
    good = [log.append("test.good", ALICE, {"number": number}) for number in range(3)]
    outcomes = await asyncio.gather(good[0], log.append("test.bad", BOB, payload), *good[1:], return_exceptions=True)
    assert isinstance(outcomes[1], chain.InvalidPayload)
    assert [row.payload for row in await log.rows()] == [{"number": number} for number in range(3)]


@pytest.mark.parametrize("kind", ["", "Upper", "two words", "dot.", "x" * 2000])
async def test_a_malformed_kind_is_refused(log: AuditLog, kind: str) -> None:
    with pytest.raises(InvalidEntry):
        await log.append(kind, ALICE, {})
    with pytest.raises(InvalidEntry, match="characters"):
        await log.append("test.row", Actor("slack", "T1", "u" * 2000), {})
    assert await log.tail(1) == []


async def test_a_cancelled_caller_does_not_break_the_batch(log: AuditLog) -> None:
    """One is cancelled before its transaction begins and leaves no row, one while it runs and may leave one."""
    running = asyncio.create_task(log.append("test.running", ALICE, {}))
    await asyncio.sleep(0)  # let it start the writer
    await asyncio.sleep(0)  # let the writer take its batch
    waiting = [asyncio.create_task(log.append("test.waiting", BOB, {"number": number})) for number in range(3)]
    await asyncio.sleep(0)
    running.cancel()
    waiting[1].cancel()
    outcomes = await asyncio.gather(running, *waiting, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert isinstance(outcomes[2], asyncio.CancelledError)
    rows = await log.rows(kind="test.waiting")
    assert [row.payload for row in rows] == [{"number": 0}, {"number": 2}]


async def test_rows_are_chosen_by_kind_actor_approval_execution_and_time(database_url: str, keys: Keyring) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    log = await AuditLog.open(database_url, keys, clock=ticking(start, timedelta(hours=1)))
    first = (await log.append("test.first", ALICE, {})).at
    await log.append("test.second", BOB, {}, approval_id="a1")
    await log.append("test.second", ALICE, {}, execution_id="e1")
    await log.append("test.third", Actor("teams", "X", "U1"), {}, approval_id="a1")
    hour = timedelta(hours=1)
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [1, 2, 3, 4]),
        ({"after_seq": 2}, [3, 4]),
        ({"limit": 2}, [1, 2]),
        ({"limit": 0}, []),
        ({"kind": "test.second"}, [2, 3]),
        ({"actor": ALICE}, [1, 3]),
        ({"actor": Actor("slack", "T1", "U1", "another identity")}, [1, 3]),
        ({"actor": "U1"}, [1, 3, 4]),
        ({"approval_id": "a1"}, [2, 4]),
        ({"approval_id": "a1", "kind": "test.third"}, [4]),
        ({"execution_id": "e1"}, [3]),
        ({"since": first + hour}, [2, 3, 4]),
        ({"until": first + hour}, [1]),
        ({"since": first + hour, "until": first + 3 * hour}, [2, 3]),
        ({"until_seq": 3, "after_seq": 1}, [2, 3]),
    ]
    for filters, expected in cases:
        assert [row.seq for row in await log.rows(**filters)] == expected, filters
    assert [row.seq for row in await log.tail(2)] == [3, 4]
    assert [row.seq for row in await log.tail(2, kind="test.second")] == [2, 3]
    await log.close()


def ticking(start: datetime, step: timedelta) -> Any:
    """A clock that moves by a step whenever it is read."""
    times = (start + number * step for number in range(10_000))
    return lambda: next(times)


async def test_more_rows_than_a_page_are_read_in_order(log: AuditLog) -> None:
    await asyncio.gather(*(log.append("test.row", ALICE, {}) for _ in range(1203)))
    assert [row.seq for row in await log.rows(limit=5000)] == list(range(1, 1204))
    assert [row.seq for row in await log.rows(limit=601)] == list(range(1, 602))


async def test_an_execution_without_an_end_is_unfinished(log: AuditLog) -> None:
    story = [
        ("e1", "execution.started"),
        ("e2", "execution.started"),
        ("e3", "execution.started"),
        ("e4", "execution.started"),
        ("e1", "execution.finished"),
        ("e3", "execution.unknown"),
        ("e5", "execution.finished"),
        ("e4", "execution.noted"),
        (None, "execution.started"),
    ]
    for execution_id, kind in story:
        await log.append(kind, ALICE, {"command": "kubectl delete pod x"}, execution_id=execution_id)
    unfinished = await log.unfinished()
    assert [(row.execution_id, row.seq) for row in unfinished] == [("e2", 2), ("e4", 4)]
    assert unfinished[0].payload == {"command": "kubectl delete pod x"}


async def test_a_clock_that_steps_back_is_recorded(database_url: str, keys: Keyring) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    times = iter([now] * 2 + [now, now + timedelta(seconds=9), now + timedelta(seconds=2), now + timedelta(days=1)])
    log = await AuditLog.open(database_url, keys, clock=lambda: next(times, now))
    for _ in range(6):
        await log.append("test.row", ALICE, {})
    back = [row.header["clock_back_us"] for row in await log.rows()]
    await log.close()
    assert 7_000_000 in back
    assert sum(1 for step in back if step) == 2  # nine seconds to two, and the day back at the end
    assert 86_400_000_000 in back


async def test_a_database_out_of_reach_fails_every_caller_of_the_batch(
    tmp_path: Path, keys: Keyring, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database("goes_away")
    log = await AuditLog.open(url, keys)
    await log.append("test.row", ALICE, {})
    postgres_server.drop_database("goes_away")
    outcomes = await asyncio.gather(*(log.append("test.row", ALICE, {}) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AuditUnavailable] * 5
    assert len({id(outcome) for outcome in outcomes}) == 5
    with pytest.raises(AuditUnavailable, match="goes_away"):
        await log.rows()
    await log.close()


async def test_appending_works_again_when_the_database_is_back(
    keys: Keyring, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Every connection is cut, as by a restart of the server."""
    log = await AuditLog.open(postgres_url, keys)
    await log.append("test.row", ALICE, {})
    engine = create_engine(postgres_server.url("postgres"))
    with engine.connect() as connection:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        assert connection.execute(text(cut), {"name": make_url(postgres_url).database}).rowcount > 0
    engine.dispose()
    assert (await log.append("test.row", ALICE, {})).seq == 2
    await log.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://nobody@localhost:1/none", "cannot be used"),
        ("sqlite:////proc/nowhere/kubechat.db", "cannot be made"),
        ("mysql://localhost/x", "not supported"),
        ("no url", "no database URL"),
    ],
)
async def test_a_wrong_address_is_named(keys: Keyring, url: str, says: str) -> None:
    with pytest.raises((AuditUnavailable, DatabaseUnusable), match=says):
        await AuditLog.open(url, keys)


async def test_a_password_never_shows_in_an_error(keys: Keyring) -> None:
    with pytest.raises(AuditUnavailable) as caught:
        await AuditLog.open("postgresql://kubechat:hunter2@localhost:1/none", keys)
    assert "hunter2" not in str(caught.value)


async def test_a_closed_log_takes_no_rows_and_has_written_those_that_waited(database_url: str, keys: Keyring) -> None:
    log = await AuditLog.open(database_url, keys)
    waiting = [asyncio.create_task(log.append("test.row", ALICE, {})) for _ in range(3)]
    await asyncio.sleep(0)
    await log.close()
    assert [(await task).seq for task in waiting] == [1, 2, 3]
    with pytest.raises(AuditUnavailable, match="closed"):
        await log.append("test.row", ALICE, {})


async def test_payloads_are_not_in_the_database_in_the_clear(log: AuditLog, database_url: str) -> None:
    await log.append("test.row", ALICE, {"question": "needle in the haystack"})
    engine = create_engine(database_url)
    with engine.connect() as connection:
        tables = ("audit_row", "audit_payload", "audit_head", "audit_key")
        stored = [tuple(row) for name in tables for row in connection.execute(text(f"SELECT * FROM {name}"))]
    engine.dispose()
    assert len(stored) == 4
    assert "needle" not in repr(stored)


async def test_rotation_gives_new_rows_a_new_key_and_old_rows_stay_readable(
    database_url: str, keys: Keyring, tmp_path: Path, witness: Path
) -> None:
    log = await AuditLog.open(database_url, keys, witness=witness)
    await log.append("test.row", ALICE, {"number": 1})
    await log.rotate()
    await log.append("test.row", ALICE, {"number": 2})
    await log.close()
    keys.rotate()  # of the ring: the next start wraps a fresh data key with it
    for number in (3, 4):
        log = await AuditLog.open(database_url, Keyring.load(tmp_path / "keys" / "keyring"), witness=witness)
        await log.append("test.row", ALICE, {"number": number})
        rows = await log.rows()
        await log.close()
    assert [row.payload for row in rows] == [{"number": number} for number in (1, 2, 3, 4)]
    ids = [row.header["key_id"] for row in rows]
    assert (len(set(ids)), ids[2]) == (3, ids[3])
    assert verify(database_url, keys, witness).status is Status.OK


async def test_rows_without_their_key_are_shown_as_unreadable(database_url: str, keys: Keyring, tmp_path: Path) -> None:
    log = await AuditLog.open(database_url, keys)
    await log.append("test.row", ALICE, {"number": 1})
    await log.close()
    other = Keyring.load(tmp_path / "another" / "keyring")
    log = await AuditLog.open(database_url, other)
    await log.append("test.row", ALICE, {"number": 2})
    assert [(row.payload_state, row.payload) for row in await log.rows()] == [
        ("unreadable", None),
        ("present", {"number": 2}),
    ]
    await log.close()
    verdict = verify(database_url, other)
    assert (verdict.status, verdict.first_bad_seq) == (Status.CANNOT_VERIFY, 1)
    assert verify(database_url, None).status is Status.OK


async def test_an_erased_payload_is_gone_and_the_chain_still_verifies(
    log: AuditLog, database_url: str, keys: Keyring, witness: Path, tmp_path: Path
) -> None:
    for number in range(5):
        await log.append("test.row", ALICE, {"question": f"needle {number}"})
    record = await log.erase([2, 4], KUBECHAT, "asked by their owner")
    assert record.payload == {"seqs": [2, 4], "reason": "asked by their owner"}
    rows = await log.rows()
    assert [row.payload_state for row in rows] == ["present", "erased", "present", "erased", "present", "present"]
    assert rows[1].payload is None
    assert rows[1].salt is None
    verdict = verify(database_url, keys, witness)
    assert (verdict.status, verdict.erased) == (Status.OK, 2)
    with pytest.raises(ErasureRefused, match="row 6"):
        await log.erase([6], KUBECHAT, "hide the traces")
    assert verify(database_url, keys, witness).rows == 6


def all_bytes(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))


async def test_sqlite_overwrites_what_was_erased(keys: Keyring, tmp_path: Path) -> None:
    path = tmp_path / "kubechat.db"
    log = await AuditLog.open(f"sqlite:///{path}", keys)
    await log.append("test.row", ALICE, {"question": "needle"})
    with connect(f"sqlite:///{path}", read_only=True).connect() as connection:
        sealed = connection.scalar(text("SELECT sealed FROM audit_payload WHERE seq = 1"))
        connection.engine.dispose()
    assert sealed
    assert sealed in all_bytes(tmp_path, "kubechat.db*")
    await log.erase([1], KUBECHAT, "test")
    assert sealed not in all_bytes(tmp_path, "kubechat.db*")
    await log.close()


REFUSED = [
    "UPDATE audit_row SET kind = 'other' WHERE seq = 1",
    "DELETE FROM audit_row WHERE seq = 2",
    "UPDATE audit_payload SET sealed = sealed WHERE seq = 1",
    "DELETE FROM audit_head",
    "UPDATE audit_head SET seq = 1",
]


@pytest.mark.parametrize("statement", REFUSED)
async def test_the_database_itself_refuses_to_change_what_was_recorded(log: AuditLog, database_url: str, statement: str) -> None:
    for _ in range(2):
        await log.append("test.row", ALICE, {})
    engine = create_engine(database_url)
    with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


async def test_the_database_refuses_a_second_row_in_the_same_place(log: AuditLog, database_url: str) -> None:
    for _ in range(2):
        await log.append("test.row", ALICE, {})
    columns = "version, log_id, hash, at, clock_back_us, platform, workspace, user_id, kind, key_id, payload_commit"
    copies = [
        f"INSERT INTO audit_row (seq, prev_hash, {columns}) SELECT 2, 'x', {columns} FROM audit_row WHERE seq = 1",
        f"INSERT INTO audit_row (seq, prev_hash, {columns}) SELECT 3, prev_hash, {columns} FROM audit_row WHERE seq = 2",
    ]
    if database_url.startswith("sqlite"):
        copies += [copy.replace("INSERT", "INSERT OR REPLACE") for copy in copies]
    engine = create_engine(database_url)
    for copy in copies:
        with pytest.raises(DatabaseError, match=r"append-only|duplicate key"), engine.begin() as connection:
            connection.execute(text(copy))
    engine.dispose()


@pytest.fixture
def narrow_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The database as the application's own role sees it, with the grants of docs/audit.md and no more."""
    owner = create_engine(postgres_url)
    with owner.begin() as connection:
        connection.execute(text("CREATE ROLE kubechat_app LOGIN"))
    yield postgres_url.replace("postgres@", "kubechat_app@")
    with owner.begin() as connection:
        connection.execute(text("DROP OWNED BY kubechat_app"))
        connection.execute(text("DROP ROLE kubechat_app"))
    owner.dispose()


async def test_the_applications_role_needs_no_right_to_change_rows(postgres_url: str, narrow_url: str, keys: Keyring) -> None:
    await (await AuditLog.open(postgres_url, keys)).close()
    readme = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    grants = [line.strip().removesuffix(";") for line in readme.splitlines() if line.strip().startswith("GRANT")]
    owner = create_engine(postgres_url)
    with owner.begin() as connection:
        for grant in grants:
            connection.execute(text(grant.replace("ROLE_OF_KUBECHAT", "kubechat_app")))
    owner.dispose()
    assert len(grants) == 4
    log = await AuditLog.open(narrow_url, keys)
    await log.append("test.row", ALICE, {})
    assert [row.seq for row in await log.rows()] == [1]
    await log.close()
    assert verify(narrow_url, keys).status is Status.OK
    engine = create_engine(narrow_url)
    for statement in ("UPDATE audit_row SET kind = 'x'", "DELETE FROM audit_row", "TRUNCATE audit_row"):
        with pytest.raises(DatabaseError, match="permission denied"), engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()


async def test_the_migrated_schema_is_the_one_of_the_models(log: AuditLog, database_url: str) -> None:
    engine = create_engine(database_url)
    ours = {name for name in SQLModel.metadata.tables if name.startswith("audit_")}
    options = {"include_name": lambda name, kind, _: kind != "table" or name in ours}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, SQLModel.metadata)
    engine.dispose()
    assert [found for found in differences if "audit_" in repr(found)] == []


async def test_a_database_of_a_newer_kubechat_is_refused(log: AuditLog, database_url: str, keys: Keyring) -> None:
    engine = connect(database_url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE audit_schema SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(DatabaseUnusable, match="newer KubeChat"):
        await AuditLog.open(database_url, keys)
    verdict = verify(database_url, keys)
    assert verdict.status is Status.CANNOT_VERIFY
    assert "newer KubeChat" in verdict.message


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def contents(path: Path) -> str:
    return path.read_text()


async def test_a_log_that_lost_what_its_witness_saw_does_not_open(
    database_url: str, keys: Keyring, witness: Path, tmp_path: Path
) -> None:
    log = await AuditLog.open(database_url, keys, witness=witness)
    await log.append("test.row", ALICE, {})
    await log.close()
    edit(witness, '[1, "', '[1, "00')
    rewritten = contents(witness)
    other = await AuditLog.open(database_url, keys)
    await other.append("test.row", ALICE, {})
    await other.close()
    with pytest.raises(HistoryChanged, match="audit verify"):
        await AuditLog.open(database_url, keys, witness=witness)
    assert contents(witness) == rewritten
    edit(witness, "ends", "odds")
    with pytest.raises(AuditUnavailable, match="was changed"):
        await AuditLog.open(database_url, keys, witness=witness)


async def test_a_log_cut_while_kubechat_runs_takes_no_more_rows(log: AuditLog, database_url: str) -> None:
    for _ in range(3):
        await log.append("test.row", ALICE, {})
    engine = create_engine(database_url)
    with engine.begin() as connection:
        if database_url.startswith("sqlite"):
            connection.execute(text("DROP TRIGGER audit_head_forward_only"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE audit_head SET seq = 2"))
    engine.dispose()
    with pytest.raises(HistoryChanged, match="row 3 and now ends at row 2"):
        await log.append("test.row", ALICE, {})
