"""The audit tests run on SQLite and on PostgreSQL alike."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from audit.keys import Keyring
from audit.store import AuditLog


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'kubechat.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring.load(tmp_path / "keys" / "keyring")


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "witness.json"


@pytest.fixture
async def log(database_url: str, keys: Keyring, witness: Path) -> AsyncIterator[AuditLog]:
    opened = await AuditLog.open(database_url, keys, witness=witness)
    yield opened
    await opened.close()
