"""Connections to a SQLite file that other processes use as well."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

import audit
import bot
from audit.database import connect, newest, writing


def test_connecting_again_does_not_give_up_the_locks_of_this_process(tmp_path: Path) -> None:
    """Another process that ends would take itself for the last one and delete the write-ahead log under us."""
    path = tmp_path / "kubechat.db"
    first = connect(f"sqlite:///{path}")
    with first.connect() as held:
        held.execute(text("SELECT 1"))
        with writing(first) as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
        connect(f"sqlite:///{path}").dispose()
        other = (
            f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('INSERT INTO t VALUES (1)'); c.commit(); c.close()"
        )
        subprocess.run([sys.executable, "-c", other], check=True)
        assert path.with_name("kubechat.db-wal").exists()
    first.dispose()


def test_a_database_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "kubechat.db"
    connect(f"sqlite:///{path}").dispose()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("package", [audit, bot])
def test_migrations_are_called_by_their_revisions(package: ModuleType) -> None:
    """The fast way of a start relies on it: it asks the files' names and leaves Alembic alone."""
    folder = Path(str(package.__file__)).parent / "migrations"
    scripts = ScriptDirectory(str(folder))
    assert newest(folder) == scripts.get_current_head()
    assert all(Path(each.path).name.startswith(f"v{each.revision}_") for each in scripts.walk_revisions())
