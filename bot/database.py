"""What a conversation leaves behind: accounts, access, threads, approvals, buttons. One database with the audit log.

Sessions are SQLAlchemy's blocking ones, run in threads: one for SQLite, which has one writer anyway, several for PostgreSQL.
"""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import DateTime, Engine, LargeBinary, TypeDecorator
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Field, Session, SQLModel

from audit.database import connect, migrate, writing
from audit.keys import Keyring

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "kubechat_version"

T = TypeVar("T")


class StoreUnavailable(Exception):
    """The database cannot be reached or refused a statement. Nothing was changed."""


class UtcTime(TypeDecorator[datetime]):
    """A point in time, always in UTC; SQLite would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def _time() -> Any:
    return Field(sa_type=UtcTime)


def _sealed() -> Any:
    """Encrypted and bound to its row: it can be neither read nor forged nor moved by who has only the database."""
    return Field(sa_type=LargeBinary)


class AccountRow(SQLModel, table=True):
    """A chat account. `sealed` holds the person behind it and the roles."""

    __tablename__ = "account"

    user_key: str = Field(primary_key=True)
    sealed: bytes = _sealed()


class AccessRow(SQLModel, table=True):
    """One account's way into one cluster. `sealed` holds the credentials, and who the cluster takes them for."""

    __tablename__ = "access"

    user_key: str = Field(primary_key=True)
    cluster: str = Field(primary_key=True)
    sealed: bytes = _sealed()


class ThreadRow(SQLModel, table=True):
    """What a thread remembers."""

    __tablename__ = "thread"

    thread_key: str = Field(primary_key=True)
    sealed: bytes = _sealed()
    at: datetime = _time()


class SeenRow(SQLModel, table=True):
    """A message that was taken, so that a platform's retry is not taken twice."""

    __tablename__ = "seen"

    message_key: str = Field(primary_key=True)
    at: datetime = _time()


class ApprovalRow(SQLModel, table=True):
    """A request for agreement. `version` grows with every change.

    `sealed` holds all that was asked and shown: commands, card, who asked, where, the policy, the bound digest, the times. What
    stands outside is for finding rows, and for the two things that change: the state, and which process works on it until when.
    """

    __tablename__ = "approval"

    id: str = Field(primary_key=True)
    state: str = Field(index=True)
    version: int = 0
    requester: str = Field(index=True)
    sealed: bytes = _sealed()
    requested_at: datetime = _time()
    expires_at: datetime = _time()
    worker: str = ""
    busy_until: datetime | None = Field(default=None, sa_type=UtcTime)


class VoteRow(SQLModel, table=True):
    """One person's word on one request. A person has one; `sealed` says which, and through which account."""

    __tablename__ = "vote"

    approval_id: str = Field(primary_key=True, foreign_key="approval.id")
    person: str = Field(primary_key=True)
    sealed: bytes = _sealed()
    at: datetime = _time()


class ButtonRow(SQLModel, table=True):
    """What an opaque button id stands for: `sealed` says what pressing it means, where, and for whom."""

    __tablename__ = "button"

    id: str = Field(primary_key=True)
    approval_id: str | None = Field(default=None, index=True)
    sealed: bytes = _sealed()
    expires_at: datetime = _time()
    used_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Database:
    """The engine, the threads that use it, and the keys that seal what must not lie about."""

    def __init__(self, engine: Engine, keys: Keyring) -> None:
        self.engine = engine
        self.keys = keys
        threads = 1 if engine.dialect.name == "sqlite" else 8
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")

    @classmethod
    async def open(cls, url: str, keys: Keyring) -> "Database":
        """Open and bring the tables up to date.

        Raises: StoreUnavailable; audit.database.DatabaseUnusable when the URL is wrong or the schema is newer.
        """

        def start() -> Engine:
            engine = connect(url)
            migrate(engine, MIGRATIONS, VERSION_TABLE)
            return engine

        try:
            return cls(await asyncio.to_thread(start), keys)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a session that is not committed. Raises StoreUnavailable."""

        def run() -> T:
            with Session(self.engine, expire_on_commit=False) as session:
                return work(session)

        return await self._run(run)

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction that writes, committed before this returns. Raises StoreUnavailable."""

        def run() -> T:
            with writing(self.engine) as connection, Session(connection, expire_on_commit=False) as session:
                result = work(session)
                session.flush()
                return result

        return await self._run(run)

    def seal(self, value: Any, *place: str) -> bytes:
        """A JSON value encrypted, to be opened only in its place (a table's name and the row's key)."""
        return self.keys.encrypt(json.dumps(value).encode(), json.dumps(place).encode())

    def open_sealed(self, sealed: bytes, *place: str) -> Any:
        """Undo `seal`. Raises: audit.keys.KeyUnknown, audit.keys.DecryptionRefused."""
        return json.loads(self.keys.decrypt(sealed, json.dumps(place).encode()))

    async def close(self) -> None:
        """Let go of the database."""
        self._threads.shutdown()
        await asyncio.to_thread(self.engine.dispose)

    async def _run(self, run: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error


def _unavailable(error: SQLAlchemyError) -> StoreUnavailable:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return StoreUnavailable(f"The database cannot be used: {str(cause).splitlines()[0]}")
