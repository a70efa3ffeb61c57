"""What a conversation leaves behind: accounts, access, threads, approvals, buttons. One database with the audit log.

Sessions are SQLAlchemy's blocking ones, run in threads: one for SQLite, which has one writer anyway, several for PostgreSQL.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, DateTime, Engine, LargeBinary, TypeDecorator
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


def _json(default: Callable[[], Any]) -> Any:
    return Field(default_factory=default, sa_type=JSON)


class AccountRow(SQLModel, table=True):
    """A chat account. Accounts of one person share `person`, so that nobody counts twice."""

    __tablename__ = "account"

    user_key: str = Field(primary_key=True)
    person: str = Field(index=True)
    roles: list[str] = _json(list)


class AccessRow(SQLModel, table=True):
    """One account's way into one cluster; `sealed` holds the credentials, encrypted."""

    __tablename__ = "access"

    user_key: str = Field(primary_key=True)
    cluster: str = Field(primary_key=True)
    kind: str
    identity: str
    namespace: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ThreadRow(SQLModel, table=True):
    """What a thread remembers."""

    __tablename__ = "thread"

    thread_key: str = Field(primary_key=True)
    memory: dict[str, Any] = _json(dict)
    at: datetime = _time()


class SeenRow(SQLModel, table=True):
    """A message that was taken, so that a platform's retry is not taken twice."""

    __tablename__ = "seen"

    message_key: str = Field(primary_key=True)
    at: datetime = _time()


class ApprovalRow(SQLModel, table=True):
    """A request for agreement. `bound` is the digest of all that was agreed to; `version` grows with every change.

    `sealed` holds the commands and the card, encrypted, since a manifest may hold anything.
    """

    __tablename__ = "approval"

    id: str = Field(primary_key=True)
    state: str = Field(index=True)
    version: int = 0
    requester: str
    person: str
    identity: str
    thread: dict[str, str] = _json(dict)
    cluster: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    bound: str
    policy: dict[str, Any] = _json(dict)
    requested_at: datetime = _time()
    expires_at: datetime = _time()
    execution_id: str | None = None


class VoteRow(SQLModel, table=True):
    """One person's word on one request. A person has one."""

    __tablename__ = "vote"

    approval_id: str = Field(primary_key=True, foreign_key="approval.id")
    person: str = Field(primary_key=True)
    user_key: str
    choice: str
    at: datetime = _time()


class ButtonRow(SQLModel, table=True):
    """What an opaque button id stands for. `sealed` holds a proposed command (choice, undo), encrypted."""

    __tablename__ = "button"

    id: str = Field(primary_key=True)
    role: str
    thread_key: str
    approval_id: str | None = Field(default=None, index=True)
    user_key: str | None = None
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
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
