"""The audit log on a database, blocking: what `audit.store.AuditLog` runs in a thread and the command line directly."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Connection, CursorResult, Row, bindparam, case, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from audit import chain
from audit.database import connect, insert_all, migrate, redacted, require_schema, writing
from audit.datakeys import DataKeys
from audit.keys import DecryptionRefused, Keyring, KeyUnknown
from audit.rows import (
    ERASED,
    FINISHED,
    STARTED,
    UNKNOWN,
    Actor,
    AuditRow,
    Entry,
    PayloadState,
    header_of,
    instant,
    microseconds_back,
    row_of,
)
from audit.tables import HEAD, PAYLOAD, ROW, columns_of
from audit.tables import header_of as stored_header_of

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "audit_schema"
PAGE = 500
"""Rows fetched at once when reading."""

Clock = Callable[[], datetime]

_HEADLESS = "the head row of the audit log is missing. Run `kubechat audit verify`"


class AuditUnavailable(Exception):
    """Nothing could be recorded, or it is not known whether it was. What changes a cluster must not run now."""


class HistoryChanged(AuditUnavailable):
    """The log is not the one that was written: it was cut, replaced, or restored from a backup."""


class ErasureRefused(ValueError):
    """Rows that record an erasure keep their payload: without it nobody could tell erased from tampered."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: which log, its last row's number and hash."""

    log_id: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Sealed:
    """An entry whose payload is committed to, ready to be chained."""

    header: dict[str, Any]
    payload: bytes
    salt: bytes


class Filters(TypedDict, total=False):
    """Which rows to read; what is left out or None does not matter. `actor` may be a bare user id of any platform.

    `since` is included, `until` is not, `until_seq` is.
    """

    kind: str | None
    actor: Actor | str | None
    since: datetime | None
    until: datetime | None
    until_seq: int | None
    approval_id: str | None
    execution_id: str | None


def now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """One audit log. Not for several threads at once, except for reading."""

    def __init__(self, url: str, keys: Keyring | None, clock: Clock = now, *, read_only: bool = False) -> None:
        """Prefer `open` and `read`."""
        self.url = url
        self.engine = connect(url, read_only=read_only)
        self.keys = DataKeys(keys)
        self._clock = clock
        self._seen: Head | None = None

    @classmethod
    def open(cls, url: str, keys: Keyring, clock: Clock = now) -> "Ledger":
        """Open for writing; make or upgrade the tables when needed.

        Raises:
            AuditUnavailable: the database is out of reach, or its data key cannot be opened with these keys.
            DatabaseUnusable: its address is wrong, or it was written by a newer KubeChat.
        """
        ledger = cls(url, keys, clock)
        with ledger._closed_on_failure(), ledger._reachable():
            migrate(ledger.engine, MIGRATIONS, VERSION_TABLE)
            with writing(ledger.engine) as connection:
                ledger._seen, _ = _lock_head(connection)
                ledger.keys.choose(connection, ledger._seen.log_id, instant(clock()))
        return ledger

    @classmethod
    def read(cls, url: str, keys: Keyring | None) -> "Ledger":
        """Open for reading only; nothing is created. Without keys, payloads are `unreadable`.

        Raises:
            AuditUnavailable: the database is out of reach.
            DatabaseUnusable: its address is wrong, or it holds no audit log that this program knows.
        """
        ledger = cls(url, keys, read_only=True)
        with ledger._closed_on_failure(), ledger._reachable(), ledger.engine.connect() as connection:
            require_schema(connection, MIGRATIONS, VERSION_TABLE)
        return ledger

    def close(self) -> None:
        self.engine.dispose()

    @property
    def end(self) -> Head | None:
        """The end of the log as this writer last saw it."""
        return self._seen

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            yield
            undo.pop_all()

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (KeyUnknown, DecryptionRefused) as error:
            raise AuditUnavailable(f"the audit log at {redacted(self.url)} cannot be written: {error}") from error
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise AuditUnavailable(f"the audit log at {redacted(self.url)} cannot be used: {cause}") from error

    # Writing

    def append(self, entries: Sequence[Entry]) -> list[AuditRow | chain.InvalidPayload]:
        """Record entries in one transaction, in their order. An entry without JSON form is answered with its error.

        Raises:
            AuditUnavailable: nothing was recorded, or the answer of the database was lost.
        """
        outcomes = [self._seal(entry) for entry in entries]
        sealed = [outcome for outcome in outcomes if isinstance(outcome, _Sealed)]
        if not sealed:
            return [outcome for outcome in outcomes if not isinstance(outcome, _Sealed)]
        with self._reachable(), writing(self.engine) as connection:
            rows, head = self._chain(connection, sealed)
        self._seen = head
        written = iter(rows)
        return [next(written) if isinstance(outcome, _Sealed) else outcome for outcome in outcomes]

    def erase(self, seqs: Sequence[int], actor: Actor, reason: str) -> AuditRow:
        """Delete payloads and salts for good, and record which and why, in one transaction.

        Headers stay, so the chain still verifies. On SQLite the pages are overwritten and the write-ahead log is
        emptied; on PostgreSQL the space is reused after VACUUM. Backups are yours to erase.

        Raises:
            ErasureRefused: one of them records an erasure itself.
            AuditUnavailable: nothing was erased.
        """
        sealed = self._seal(Entry(ERASED, actor, {"seqs": sorted(seqs), "reason": reason}))
        if isinstance(sealed, chain.InvalidPayload):
            raise sealed
        with self._reachable():
            with writing(self.engine) as connection:
                rows, head = self._chain(connection, [sealed])
                self._refuse_erasure_rows(connection, seqs)
                connection.execute(delete(PAYLOAD).where(PAYLOAD.c.seq.in_(seqs)))
            if self.engine.dialect.name == "sqlite":
                with self.engine.connect() as connection:
                    connection.rollback()
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self._seen = head
        return rows[0]

    def rotate(self) -> str:
        """Hide the payloads of new rows with a fresh data key; old rows stay readable. Returns the key's id.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        with self._reachable(), writing(self.engine) as connection:
            head, _ = _lock_head(connection)
            return self.keys.add(connection, head.log_id, instant(self._clock()))

    def _refuse_erasure_rows(self, connection: Connection, seqs: Sequence[int]) -> None:
        statement = select(ROW.c.seq).where(ROW.c.seq.in_(seqs), ROW.c.kind == ERASED).order_by(ROW.c.seq)
        refused = connection.scalars(statement).all()
        if refused:
            raise ErasureRefused(f"row {refused[0]} records an erasure and must keep its payload")

    def _seal(self, entry: Entry) -> _Sealed | chain.InvalidPayload:
        try:
            payload = chain.bounded(entry.payload)
        except chain.InvalidPayload as error:
            return error
        salt = secrets.token_bytes(chain.SALT_BYTES)
        commit = chain.payload_commit(salt, payload)
        return _Sealed(header_of(entry, commit, self.keys.current, self._clock()), payload, salt)

    def _chain(self, connection: Connection, sealed: Sequence[_Sealed]) -> tuple[list[AuditRow], Head]:
        """Put sealed entries at the end of the chain. The head row stays locked until the transaction ends."""
        head, at = _lock_head(connection)
        self._check_history(head)
        rows, payloads = [], []
        seq, previous = head.seq, head.hash
        for item in sealed:
            seq += 1
            place = {"log_id": head.log_id, "seq": seq, "prev_hash": previous}
            back = {"clock_back_us": microseconds_back(at, item.header["at"])}
            header = item.header | place | back
            previous, at = chain.header_hash(header), item.header["at"]
            rows.append(row_of(header, previous, payload=item.payload, salt=item.salt, state="present"))
            hidden = self.keys.seal(head.log_id, seq, header["key_id"], item.salt, item.payload)
            payloads.append({"seq": seq, "sealed": hidden})
        insert_all(connection, ROW.name, [columns_of(row.header) | {"hash": row.hash} for row in rows])
        insert_all(connection, PAYLOAD.name, payloads)
        connection.execute(_MOVE_HEAD, {"to_seq": seq, "to_hash": previous, "to_at": at})
        return rows, Head(head.log_id, seq, previous)

    def _check_history(self, head: Head) -> None:
        seen = self._seen
        if seen and (head.log_id != seen.log_id or head.seq < seen.seq):
            raise HistoryChanged(
                f"the audit log ended at row {seen.seq} and now ends at row {head.seq}: "
                "it was cut or replaced while KubeChat ran. Run `kubechat audit verify`"
            )

    # Reading

    def head(self) -> Head:
        """The end of the chain as the head row tells it.

        Raises:
            AuditUnavailable: the database is out of reach, or the head row is missing.
        """
        with self._reachable(), self.engine.connect() as connection:
            head = read_head(connection)
        if head is None:
            raise HistoryChanged(_HEADLESS)
        return head

    def has(self, head: Head) -> bool:
        """Whether this log once ended in `head`.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        if head.seq == 0:
            return head.log_id == self.head().log_id
        statement = select(ROW.c.seq).where(ROW.c.seq == head.seq, ROW.c.hash == head.hash, ROW.c.log_id == head.log_id)
        with self._reachable(), self.engine.connect() as connection:
            return connection.execute(statement).first() is not None

    def rows(self, *, after_seq: int = 0, limit: int | None = None, **filters: Unpack[Filters]) -> Iterator[AuditRow]:
        """Rows in their order, fetched `PAGE` at a time.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            chosen = _RECORDS.where(ROW.c.seq > after_seq, *_conditions(filters))
            page = self._fetch(chosen.order_by(ROW.c.seq).limit(size))
            yield from page
            if len(page) < size:
                return
            after_seq, left = page[-1].seq, None if left is None else left - size

    def tail(self, count: int, **filters: Unpack[Filters]) -> list[AuditRow]:
        """The last `count` rows, oldest first.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        chosen = _RECORDS.where(*_conditions(filters)).order_by(ROW.c.seq.desc()).limit(count)
        return self._fetch(chosen)[::-1]

    def get(self, seq: int) -> AuditRow | None:
        """One row, None when there is none of that number.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        found = self._fetch(_RECORDS.where(ROW.c.seq == seq))
        return found[0] if found else None

    def unfinished(self) -> list[AuditRow]:
        """Rows `execution.started` whose execution id has no `execution.finished` and no `execution.unknown`.

        One pass over an index that covers it; no payload is read for executions that ended.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        count = {
            kind: func.sum(case((ROW.c.kind.in_(kinds), 1), else_=0))
            for kind, kinds in (("started", (STARTED,)), ("ended", (FINISHED, UNKNOWN)))
        }
        open_ones = (
            select(ROW.c.execution_id)
            .where(ROW.c.execution_id.is_not(None), ROW.c.kind.in_((STARTED, FINISHED, UNKNOWN)))
            .group_by(ROW.c.execution_id)
            .having(count["started"] > 0, count["ended"] == 0)
        )
        started = _RECORDS.where(ROW.c.kind == STARTED, ROW.c.execution_id.in_(open_ones)).order_by(ROW.c.seq)
        return self._fetch(started)

    def _fetch(self, statement: Any) -> list[AuditRow]:
        with self._reachable(), self.engine.connect() as connection:
            return [self._row(connection, record) for record in connection.execute(statement).all()]

    def _row(self, connection: Connection, record: Row[Any]) -> AuditRow:
        header, digest, sealed = split_record(record)
        state: PayloadState = "erased"
        payload = salt = None
        if sealed is not None:
            try:
                salt, payload = self.keys.unseal(connection, header, sealed)
                state = "present"
            except (KeyUnknown, DecryptionRefused):
                state = "unreadable"
        try:
            return row_of(header, digest, payload=payload, salt=salt, state=state)
        except (ValueError, TypeError) as error:
            seq = header["seq"]
            raise AuditUnavailable(f"row {seq} is not as it was written. Run `kubechat audit verify`") from error


_RECORDS = select(ROW, PAYLOAD.c.sealed).select_from(ROW.outerjoin(PAYLOAD, ROW.c.seq == PAYLOAD.c.seq))


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    actor = filters.get("actor")
    user = (actor.platform, actor.workspace, actor.user) if isinstance(actor, Actor) else (None, None, actor)
    ids = (filters.get(name) for name in ("kind", "approval_id", "execution_id"))
    columns = (ROW.c.platform, ROW.c.workspace, ROW.c.user_id, ROW.c.kind, ROW.c.approval_id, ROW.c.execution_id)
    wanted = zip(columns, (*user, *ids), strict=True)
    conditions = [column == chain.escape(value) for column, value in wanted if value is not None]
    if (since := filters.get("since")) is not None:
        conditions.append(ROW.c.at >= instant(since))
    if (until := filters.get("until")) is not None:
        conditions.append(ROW.c.at < instant(until))
    if (until_seq := filters.get("until_seq")) is not None:
        conditions.append(ROW.c.seq <= until_seq)
    return conditions


def records(connection: Connection) -> CursorResult[Any]:
    """Every stored row in its order, as it stands, streamed. Close the result."""
    return connection.execute(_RECORDS.order_by(ROW.c.seq).execution_options(yield_per=PAGE))


def split_record(record: Row[Any]) -> tuple[dict[str, Any], str, bytes | None]:
    """Header, hash and encrypted payload of a stored row."""
    columns = dict(record._mapping)
    return stored_header_of(columns), columns["hash"], columns["sealed"]


def read_head(connection: Connection) -> Head | None:
    """The head row, None when it is missing."""
    found = connection.execute(select(HEAD.c.log_id, HEAD.c.seq, HEAD.c.hash)).first()
    return None if found is None else Head(found.log_id, found.seq, found.hash)


_LOCK_HEAD = select(HEAD).with_for_update()
_MOVE_HEAD = update(HEAD).values(seq=bindparam("to_seq"), hash=bindparam("to_hash"), at=bindparam("to_at"))


def _lock_head(connection: Connection) -> tuple[Head, str]:
    """Take the writers' turn. Returns the head and the time of the last row."""
    found = connection.execute(_LOCK_HEAD).first()
    if found is None:
        raise HistoryChanged(_HEADLESS)
    return Head(found.log_id, found.seq, found.hash), found.at
