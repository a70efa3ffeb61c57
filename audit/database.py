"""Engines for SQLite and PostgreSQL with the durability that an audit log promises, and schema migrations."""

import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

BUSY_SECONDS = 30
"""How long a writer waits for the others before it gives up."""
CONNECT_SECONDS = 5

_IMMEDIATE = "kubechat_begin_immediate"
_SQLITE, _POSTGRESQL = "sqlite", "postgresql+psycopg"


class DatabaseUnusable(Exception):
    """The database cannot serve: its address is wrong, or its schema is missing or newer than this program."""


def connect(url: str, *, read_only: bool = False) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql+psycopg://…`. Nothing is connected yet.

    SQLite runs in WAL mode with synchronous=FULL, so that what is committed survives a power cut. Erased content is
    overwritten (secure_delete). PostgreSQL runs READ COMMITTED, which the head-row lock of the audit log needs.

    Args:
        url: a SQLAlchemy URL; `postgresql://` and `postgres://` mean `postgresql+psycopg://`.
        read_only: refuse every write, and do not create a missing SQLite file.

    Raises:
        DatabaseUnusable: the URL is malformed or names another kind of database.
    """
    address = _address(url)
    if address.drivername == _SQLITE:
        return _sqlite(address, read_only=read_only)
    return _postgresql(address, read_only=read_only)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that will write. On SQLite it takes the write lock at once, so that it never has to be retried.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is out of reach, busy for too long, or refused a statement.
    """
    with engine.connect() as connection, connection.execution_options(**{_IMMEDIATE: True}).begin():
        yield connection


def insert_all(connection: Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, all with the same columns, by one statement. PostgreSQL takes them as one JSON text.

    Both ways go past SQLAlchemy's own statements: they take a third of the time.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is out of reach, or refused a row.
    """
    names = rows[0].keys()
    if connection.dialect.name == "sqlite":
        values = ", ".join(f":{name}" for name in names)
        connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", list(rows))  # noqa: S608
        return
    statement = f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)"  # noqa: S608
    connection.exec_driver_sql(statement, (json.dumps(rows, default=_bytea),))


def _bytea(value: bytes) -> str:
    return f"\\x{value.hex()}"


def schema_revision(connection: Connection, version_table: str) -> str | None:
    """The revision that the schema is at; None when there is none yet."""
    if not inspect(connection).has_table(version_table):
        return None
    table = Table(version_table, MetaData(), Column("version_num", Text))
    found: str | None = connection.execute(select(table.c.version_num)).scalar()
    return found


def migrate(engine: Engine, script_location: Path, version_table: str) -> None:
    """Bring a schema up to date, in one transaction. Processes that start together take turns.

    Args:
        engine: from `connect`.
        script_location: a folder with `versions/*.py` in Alembic's form; it needs no `env.py`.
        version_table: where the revision is kept. Each set of tables has its own.

    Raises:
        DatabaseUnusable: the schema is newer than this program.
        sqlalchemy.exc.SQLAlchemyError: the database is out of reach, or refused a statement.
    """
    with engine.connect() as connection:
        if schema_revision(connection, version_table) == newest(script_location):
            return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            turn = {"key": zlib.crc32(version_table.encode())}
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), turn)
        _upgrade(connection, script_location, version_table)


def newest(script_location: Path) -> str:
    """The revision that this program knows: files are called `vREVISION_what.py`, with revisions in their order."""
    return max(path.name[1:5] for path in (script_location / "versions").glob("v*.py"))


def require_schema(connection: Connection, script_location: Path, version_table: str) -> None:
    """Check that a schema is the one that this program knows, without changing it.

    Raises:
        DatabaseUnusable: it is missing, older or newer.
    """
    found = schema_revision(connection, version_table)
    if found is None:
        raise DatabaseUnusable("there is no audit log in this database")
    if found != newest(script_location):
        _require_known(script_location, found)
        raise DatabaseUnusable("the tables are of an older KubeChat: run `kubechat audit migrate` first")


def _upgrade(connection: Connection, script_location: Path, version_table: str) -> None:
    # Alembic takes a quarter of a second to load, and is needed for the first start of a new version only.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(script_location))
    context = MigrationContext.configure(connection, opts={"version_table": version_table})
    current = context.get_current_revision()
    _require_known(script_location, current)
    pending = list(scripts.iterate_revisions("head", current or "base"))
    with Operations.context(context):
        for revision in reversed(pending):
            revision.module.upgrade()
            context.stamp(scripts, revision.revision)


def _require_known(script_location: Path, revision: str | None) -> None:
    if revision is not None and not list((script_location / "versions").glob(f"v{revision}_*.py")):
        raise DatabaseUnusable(f"the database was written by a newer KubeChat (schema {revision}): upgrade this one")


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnusable(f"{url!r} is no database URL: write sqlite:///FILE or postgresql://…") from error
    if address.drivername in {"postgresql", "postgres"}:
        address = address.set(drivername=_POSTGRESQL)
    if address.drivername not in {_SQLITE, _POSTGRESQL}:
        raise DatabaseUnusable(f"{address.drivername} is not supported: write sqlite:///FILE or postgresql://…")
    return address


def _postgresql(address: URL, *, read_only: bool) -> Engine:
    options = [f"-c lock_timeout={BUSY_SECONDS * 1000}"]
    if read_only:
        options.append("-c default_transaction_read_only=on")
    if "options" in address.query:
        options.insert(0, str(address.query["options"]))
    network = {"connect_timeout": CONNECT_SECONDS, "keepalives_idle": BUSY_SECONDS}
    network["tcp_user_timeout"] = BUSY_SECONDS * 1000  # a peer that silently vanished holds nobody for minutes
    return create_engine(
        address,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        connect_args={**network, "options": " ".join(options)},
    )


def _sqlite(address: URL, *, read_only: bool) -> Engine:
    if not address.query.get("uri"):
        address = _sqlite_file(Path(address.database or "").absolute(), read_only=read_only)
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy's "begin" event below says how a transaction starts
        pragmas = ["query_only=ON"] if read_only else ["journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"]
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(_IMMEDIATE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _sqlite_file(path: Path, *, read_only: bool) -> URL:
    """The URL of a file: one that exists, or that is made here for its owner alone."""
    try:
        # Only a missing file is opened here: closing a descriptor of the database drops this process's POSIX locks on it
        # (sqlite.org/howtocorrupt.html, 2.2), and another process could then delete the log under us.
        if not read_only and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnusable(f"the database {path} cannot be made: {error.strerror}") from error
    if not path.is_file():
        raise DatabaseUnusable(f"there is no database {path}")
    return make_url(f"sqlite:///{path.as_uri()}?mode={'ro' if read_only else 'rw'}&uri=true")


def redacted(url: str) -> str:
    """The URL without its password, for messages."""
    return _address(url).render_as_string(hide_password=True)


def place(url: str) -> list[str]:
    """Which database a URL means, whoever opens it: equal for two URLs of the same place."""
    address = _address(url)
    if address.drivername == _SQLITE:
        return [_SQLITE, str(Path(address.database or "").absolute())]
    return [_POSTGRESQL, str(address.query.get("host", address.host)), str(address.port), str(address.database)]
