"""Attacks on a stored log, done by SQL behind KubeChat's back, and what `verify` says of each."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, text

from audit import chain
from audit.keys import Keyring
from audit.ledger import Head, Ledger
from audit.store import AuditLog
from audit.tables import ROW, header_of
from audit.verify import EXIT_CODES, Status, verify
from audit.witness import advance_witness, read_witness
from tests.audit.logs import ALICE, written

TABLES = ("audit_row", "audit_payload", "audit_head")


@contextmanager
def behind(url: str) -> Iterator[Connection]:
    """A transaction of someone who owns the database: no trigger stops them."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
            else:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            yield connection
    finally:
        engine.dispose()


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement))


def rehash(connection: Connection, first: int, last: int) -> None:
    """Give rows fresh hashes and links, as a forger would."""
    known = text("SELECT hash FROM audit_row WHERE seq = :seq")
    previous = connection.scalar(known, {"seq": first - 1}) or chain.GENESIS
    found = connection.execute(ROW.select().where(ROW.c.seq.between(first, last)).order_by(ROW.c.seq)).all()
    for record in found:
        columns = dict(record._mapping) | {"prev_hash": previous}
        columns["hash"] = previous = chain.header_hash(header_of(columns))
        connection.execute(ROW.update().where(ROW.c.seq == record.seq).values(columns))


def move_head(connection: Connection) -> None:
    run(
        connection,
        "UPDATE audit_head SET seq = (SELECT COALESCE(MAX(seq), 0) FROM audit_row)",
        f"UPDATE audit_head SET hash = COALESCE((SELECT hash FROM audit_row ORDER BY seq DESC LIMIT 1), '{chain.GENESIS}')",
    )


def shift(connection: Connection, after: int, by: int) -> None:
    """Renumber rows and their payloads; through negative numbers, since numbers are unique."""
    for table in ("audit_row", "audit_payload"):
        run(
            connection,
            f"UPDATE {table} SET seq = -seq WHERE seq > {after}",
            f"UPDATE {table} SET seq = -seq + {by} WHERE seq < 0",
        )


def copy_row(connection: Connection, source: int, target: int, prev_hash: str) -> None:
    record = connection.execute(ROW.select().where(ROW.c.seq == source)).one()
    columns = dict(record._mapping) | {"seq": target, "prev_hash": prev_hash}
    columns["hash"] = chain.header_hash(header_of(columns))
    connection.execute(insert(ROW).values(columns))


def without_constraints(connection: Connection) -> None:
    run(
        connection,
        "CREATE TABLE audit_copy AS SELECT * FROM audit_row",
        "DROP TABLE audit_row",
        "ALTER TABLE audit_copy RENAME TO audit_row",
    )


def edit_header(db: Connection) -> None:
    run(db, "UPDATE audit_row SET user_id = 'U2' WHERE seq = 5")


def edit_header_and_rehash_it(db: Connection) -> None:
    edit_header(db)
    rehash(db, 5, 5)


def edit_time(db: Connection) -> None:
    run(db, "UPDATE audit_row SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = 5")


def put_nonsense_in_a_column(db: Connection) -> None:
    run(db, "UPDATE audit_row SET at = 'yesterday', approval_id = '\u241b#x' WHERE seq = 5")


def edit_hash(db: Connection) -> None:
    run(db, "UPDATE audit_row SET hash = prev_hash WHERE seq = 5")


def edit_last_row_and_rehash_it(db: Connection) -> None:
    run(db, "UPDATE audit_row SET user_id = 'U2' WHERE seq = 10")
    rehash(db, 10, 10)


def change_payload(db: Connection) -> None:
    sealed = bytearray(db.scalar(text("SELECT sealed FROM audit_payload WHERE seq = 5")))
    sealed[40] ^= 1
    db.execute(text("UPDATE audit_payload SET sealed = :sealed WHERE seq = 5"), {"sealed": bytes(sealed)})


def cut_payload_short(db: Connection) -> None:
    db.execute(text("UPDATE audit_payload SET sealed = :sealed WHERE seq = 5"), {"sealed": b"x"})


def swap_payloads(db: Connection) -> None:
    run(
        db,
        "UPDATE audit_payload SET seq = -4 WHERE seq = 4",
        "UPDATE audit_payload SET seq = 4 WHERE seq = 5",
        "UPDATE audit_payload SET seq = 5 WHERE seq = -4",
    )


def delete_payload(db: Connection) -> None:
    run(db, "DELETE FROM audit_payload WHERE seq = 5")


def damage_wrapped_key(db: Connection) -> None:
    wrapped = bytearray(db.scalar(text("SELECT wrapped FROM audit_key")))
    wrapped[-1] ^= 1
    db.execute(text("UPDATE audit_key SET wrapped = :wrapped"), {"wrapped": bytes(wrapped)})


def delete_key(db: Connection) -> None:
    run(db, "DELETE FROM audit_key")


def delete_in_the_middle(db: Connection) -> None:
    run(db, "DELETE FROM audit_row WHERE seq = 5", "DELETE FROM audit_payload WHERE seq = 5")


def delete_several_in_the_middle(db: Connection) -> None:
    run(db, "DELETE FROM audit_row WHERE seq BETWEEN 3 AND 6")


def delete_the_first(db: Connection) -> None:
    run(db, "DELETE FROM audit_row WHERE seq = 1")


def delete_and_renumber(db: Connection) -> None:
    delete_in_the_middle(db)
    shift(db, 5, -1)


def delete_renumber_and_rehash(db: Connection) -> None:
    delete_and_renumber(db)
    db.execute(text("DELETE FROM audit_payload"))
    rehash(db, 5, 9)
    move_head(db)


def insert_in_the_middle(db: Connection) -> None:
    shift(db, 5, 1)
    copy_row(db, 3, 6, "f" * 64)


def insert_in_the_middle_well_linked(db: Connection) -> None:
    without_constraints(db)
    shift(db, 5, 1)
    copy_row(db, 3, 6, db.scalar(text("SELECT hash FROM audit_row WHERE seq = 5")))


def insert_in_the_middle_and_rehash(db: Connection) -> None:
    insert_in_the_middle_well_linked(db)
    rehash(db, 6, 11)
    move_head(db)
    run(db, "DELETE FROM audit_payload")


def insert_behind_the_head(db: Connection) -> None:
    copy_row(db, 3, 11, db.scalar(text("SELECT hash FROM audit_row WHERE seq = 10")))


def append_a_forged_row(db: Connection) -> None:
    """With a payload, since one that is missing must have been erased by a row."""
    insert_behind_the_head(db)
    run(db, "INSERT INTO audit_payload (seq, sealed) SELECT 11, sealed FROM audit_payload WHERE seq = 3")
    move_head(db)


def append_a_forged_row_without_payload(db: Connection) -> None:
    insert_behind_the_head(db)
    move_head(db)


def two_rows_of_one_number(db: Connection) -> None:
    without_constraints(db)
    run(db, "INSERT INTO audit_row SELECT * FROM audit_row WHERE seq = 5")


def reorder(db: Connection) -> None:
    for table in ("audit_row", "audit_payload"):
        run(
            db,
            f"UPDATE {table} SET seq = -4 WHERE seq = 4",
            f"UPDATE {table} SET seq = 4 WHERE seq = 5",
            f"UPDATE {table} SET seq = 5 WHERE seq = -4",
        )


def cut_the_tail(db: Connection) -> None:
    run(db, "DELETE FROM audit_row WHERE seq > 8", "DELETE FROM audit_payload WHERE seq > 8")


def cut_the_tail_and_the_head(db: Connection) -> None:
    cut_the_tail(db)
    move_head(db)


def rewrite_everything(db: Connection) -> None:
    run(db, "UPDATE audit_row SET user_id = 'U2' WHERE seq = 3")
    rehash(db, 1, 10)
    move_head(db)


def rewrite_everything_with_another_log_id(db: Connection) -> None:
    run(db, "UPDATE audit_row SET log_id = 'other'", "UPDATE audit_head SET log_id = 'other'")
    run(db, "DELETE FROM audit_payload")
    rehash(db, 1, 10)
    move_head(db)


def empty_the_table(db: Connection) -> None:
    run(db, "DELETE FROM audit_row", "DELETE FROM audit_payload")


def empty_the_table_and_the_head(db: Connection) -> None:
    empty_the_table(db)
    move_head(db)


def start_another_log(db: Connection) -> None:
    empty_the_table(db)
    move_head(db)
    run(db, "UPDATE audit_head SET log_id = 'other'")


def delete_the_head(db: Connection) -> None:
    run(db, "DELETE FROM audit_head")


def drop_the_rows(db: Connection) -> None:
    run(db, "DROP TABLE audit_row")


def drop_everything(db: Connection) -> None:
    for name in (*TABLES, "audit_key", "audit_schema"):
        run(db, f"DROP TABLE {name}")


def change_nothing(_: Connection) -> None:
    pass


CASES: list[tuple[Callable[[Connection], None], Status, int | None]] = [
    (change_nothing, Status.OK, None),
    (edit_header, Status.TAMPERED, 5),
    (edit_header_and_rehash_it, Status.TAMPERED, 5),
    (edit_time, Status.TAMPERED, 5),
    (put_nonsense_in_a_column, Status.TAMPERED, 5),
    (edit_hash, Status.TAMPERED, 5),
    (edit_last_row_and_rehash_it, Status.FORKED, 10),
    (change_payload, Status.TAMPERED, 5),
    (cut_payload_short, Status.TAMPERED, 5),
    (swap_payloads, Status.TAMPERED, 4),
    (delete_payload, Status.TAMPERED, 5),
    (damage_wrapped_key, Status.TAMPERED, 1),
    (delete_key, Status.CANNOT_VERIFY, 1),
    (delete_in_the_middle, Status.TAMPERED, 5),
    (delete_several_in_the_middle, Status.TAMPERED, 3),
    (delete_the_first, Status.TAMPERED, 1),
    (delete_and_renumber, Status.TAMPERED, 5),
    (delete_renumber_and_rehash, Status.FORKED, 8),
    (insert_in_the_middle, Status.TAMPERED, 6),
    (insert_in_the_middle_well_linked, Status.TAMPERED, 6),
    (insert_in_the_middle_and_rehash, Status.FORKED, 8),
    (insert_behind_the_head, Status.TAMPERED, 11),
    (append_a_forged_row, Status.TAMPERED, 11),
    (append_a_forged_row_without_payload, Status.TAMPERED, 11),
    (two_rows_of_one_number, Status.FORKED, 5),
    (reorder, Status.TAMPERED, 4),
    (cut_the_tail, Status.TRUNCATED, 9),
    (cut_the_tail_and_the_head, Status.STALE, 9),
    (rewrite_everything, Status.FORKED, 4),
    (rewrite_everything_with_another_log_id, Status.FORKED, 4),
    (empty_the_table, Status.TRUNCATED, 1),
    (empty_the_table_and_the_head, Status.TRUNCATED, 1),
    (start_another_log, Status.FORKED, 1),
    (delete_the_head, Status.TAMPERED, None),
    (drop_the_rows, Status.CANNOT_VERIFY, None),
    (drop_everything, Status.CANNOT_VERIFY, None),
]


@pytest.mark.parametrize(("attack", "status", "first_bad"), CASES, ids=[case[0].__name__ for case in CASES])
def test_verify_names_the_attack_and_the_first_bad_row(
    database_url: str,
    keys: Keyring,
    witness: Path,
    attack: Callable[[Connection], None],
    status: Status,
    first_bad: int | None,
) -> None:
    written(database_url, keys, witness)
    with behind(database_url) as connection:
        attack(connection)
    verdict = verify(database_url, keys, witness)
    assert (verdict.status, verdict.first_bad_seq) == (status, first_bad), verdict.message
    assert verdict.exit_code == EXIT_CODES[status]


def test_every_status_has_an_exit_code_of_its_own() -> None:
    assert len(set(EXIT_CODES.values())) == len(Status) == len(EXIT_CODES)
    assert {1, 2}.isdisjoint(EXIT_CODES.values())


WITHOUT_WITNESS = {cut_the_tail_and_the_head, empty_the_table_and_the_head, start_another_log}


@pytest.mark.parametrize("attack", WITHOUT_WITNESS, ids=lambda attack: str(attack.__name__))
def test_what_only_the_witness_can_tell_passes_without_one_and_says_so(
    database_url: str, keys: Keyring, attack: Callable[[Connection], None]
) -> None:
    written(database_url, keys, None)
    with behind(database_url) as connection:
        attack(connection)
    verdict = verify(database_url, keys)
    assert verdict.status is Status.OK
    assert "nothing outside the database" in verdict.message


def everything(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    return {name: [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {name}"))] for name in TABLES}


def test_an_old_backup_put_back_is_stale(database_url: str, keys: Keyring, witness: Path) -> None:
    written(database_url, keys, witness, 6)
    with behind(database_url) as connection:
        backup = everything(connection)
    written(database_url, keys, witness, 4)
    assert verify(database_url, keys, witness).status is Status.OK
    with behind(database_url) as connection:
        for name, rows in backup.items():
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(table.delete())
            connection.execute(table.insert(), rows)
    verdict = verify(database_url, keys, witness)
    assert (verdict.status, verdict.first_bad_seq) == (Status.STALE, 7)
    assert "row 10" in verdict.message


def test_an_old_sqlite_file_put_back_is_stale(tmp_path: Path, keys: Keyring, witness: Path) -> None:
    path, backup = tmp_path / "kubechat.db", tmp_path / "backup.db"
    written(f"sqlite:///{path}", keys, witness, 4)
    shutil.copy(path, backup)
    written(f"sqlite:///{path}", keys, witness, 2)
    shutil.copy(backup, path)
    verdict = verify(f"sqlite:///{path}", keys, witness)
    assert (verdict.status, verdict.first_bad_seq) == (Status.STALE, 5)


def test_a_damaged_or_missing_sqlite_file_cannot_be_verified(tmp_path: Path, keys: Keyring, witness: Path) -> None:
    path = tmp_path / "kubechat.db"
    written(f"sqlite:///{path}", keys, witness, 4)
    for damage in (scribble, Path.unlink):
        damage(path)
        assert verify(f"sqlite:///{path}", keys, witness).status is Status.CANNOT_VERIFY
    assert not path.exists()


def scribble(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(b"no database" + content[11:])


def test_a_changed_witness_cannot_vouch(database_url: str, keys: Keyring, witness: Path) -> None:
    written(database_url, keys, witness, 4)
    for content in ("", "{}", "[]", '{"log_id": "x", "ends": []}', '{"log_id": "x", "ends": [[1]]}', "\x00\xff"):
        put(witness, content)
        verdict = verify(database_url, keys, witness)
        assert verdict.status is Status.CANNOT_VERIFY
        assert "witness" in verdict.message


def put(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")


def test_an_end_known_from_elsewhere_is_compared_too(database_url: str, keys: Keyring) -> None:
    written(database_url, keys, None, 4)
    ledger = Ledger.read(database_url, keys)
    row = ledger.get(3)
    ledger.close()
    assert row is not None
    cases = [
        (Head("", 3, row.hash), Status.OK, None),
        (Head("", 3, ""), Status.OK, None),
        (Head("", 3, "0" * 64), Status.FORKED, 3),
        (Head("", 5, ""), Status.STALE, 5),
        (Head("another", 3, row.hash), Status.FORKED, 1),
    ]
    for head, status, first_bad in cases:
        verdict = verify(database_url, keys, expected=[head])
        assert (verdict.status, verdict.first_bad_seq) == (status, first_bad), head


async def test_a_log_verifies_while_others_write_to_it(database_url: str, keys: Keyring, witness: Path) -> None:
    log = await AuditLog.open(database_url, keys, witness=witness)
    writers = [asyncio.create_task(keep_writing(log)) for _ in range(4)]
    verdicts = [await asyncio.to_thread(verify, database_url, keys, witness) for _ in range(5)]
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    await log.close()
    assert [verdict.status for verdict in verdicts] == [Status.OK] * 5, verdicts
    assert verdicts[-1].rows > verdicts[0].rows


async def keep_writing(log: AuditLog) -> None:
    while True:
        await log.append("test.row", ALICE, {})


def test_the_witness_of_a_long_log_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "witness.json"
    for seq in range(0, 3000, 3):
        advance_witness(path, Head("log", seq, f"hash {seq}"))
    ends = [end.seq for end in read_witness(path)]
    assert ends[-1] == 2997
    assert ends == sorted(ends)
    assert 8 <= len(ends) <= 14
    advance_witness(path, Head("log", 10, "late"))
    advance_witness(path, Head("another log", 9999, "x"))
    assert [end.seq for end in read_witness(path)] == ends
