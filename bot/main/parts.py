"""The parts of KubeChat, built from the settings and taken down again in order."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.terminal.ask import ScriptNotUnderstood
from adapters.terminal.room import EntryRefused
from audit.cli import key_file
from audit.database import DatabaseUnusable
from audit.keys import DecryptionRefused, Keyring, KeysUnreadable, KeyUnknown, keyring
from audit.ledger import AuditUnavailable
from audit.store import AuditLog
from audit.witness import witness_path
from bot.database import Database, StoreUnavailable
from bot.engine import Engine
from bot.identity import NoBotAccess, UnmappedUser
from bot.settings import Settings, WrongSetting, home
from k8s.access import ClusterPool
from k8s.errors import ClusterError, explain
from k8s.kubeconfig import KubeconfigRefused


class PracticeUnusable(Exception):
    """The practice cluster cannot do what was asked; the message says why and what to do."""


class HomeUnusable(Exception):
    """The home folder cannot be made or used."""


CANNOT_START: tuple[type[Exception], ...] = (
    PracticeUnusable, HomeUnusable, WrongSetting, DatabaseUnusable, KeysUnreadable, KeyUnknown, DecryptionRefused,
    AuditUnavailable, StoreUnavailable, KubeconfigRefused, NoBotAccess, UnmappedUser, ClusterError, EntryRefused,
    ScriptNotUnderstood, OSError,
)  # fmt: skip
"""What keeps a command from starting and can be mended by whoever started it."""


def sentence(error: BaseException) -> str:
    """What to tell them."""
    return explain(error) if isinstance(error, ClusterError) else str(error)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that is running."""

    settings: Settings
    database: Database
    audit: AuditLog
    pool: ClusterPool
    engine: Engine


def keys() -> Keyring:
    """The keys of this installation, from `KUBECHAT_KEYS` or the home folder."""
    return keyring(key_file(home()), os.environ)


@asynccontextmanager
async def store(settings: Settings) -> AsyncIterator[tuple[Database, AuditLog]]:
    """The database and the audit log in it."""
    try:
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeUnusable(f"{home()} cannot be used ({error.strerror}): name another folder with KUBECHAT_HOME.") from error
    ring = keys()
    database = await Database.open(settings.database_url, ring)
    try:
        audit = await AuditLog.open(settings.database_url, ring, witness=witness_path(home(), settings.database_url))
        try:
            yield database, audit
        finally:
            await audit.close()
    finally:
        await database.close()


@asynccontextmanager
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    """All of it, for as long as the block lasts."""
    async with store(settings) as (database, audit):
        pool = ClusterPool(seconds=settings.limits.seconds)
        try:
            yield Parts(settings, database, audit, pool, Engine(settings, database, audit, pool))
        finally:
            await pool.close()
