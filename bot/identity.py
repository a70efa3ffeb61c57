"""Who is asking, and with whose credentials it runs. Credentials are sealed at rest and leave the database only to connect."""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlmodel import Session, select

from audit.keys import DecryptionRefused, KeyUnknown
from bot.database import AccessRow, AccountRow, Database
from bot.settings import Settings
from bot.types import User
from k8s.access import ClusterAccess, Credentials, ImpersonationCredentials, KubeconfigCredentials, ServiceAccountCredentials
from k8s.kubeconfig import Kubeconfig, KubeconfigRefused, check_kubeconfig


class UnmappedUser(Exception):
    """The account has no access to the cluster. `clusters` are those that it does have access to."""

    def __init__(self, user_key: str, cluster: str, clusters: tuple[str, ...]) -> None:
        super().__init__(f"{user_key} has no access to {cluster or 'any cluster'}")
        self.user_key = user_key
        self.cluster = cluster
        self.clusters = clusters


class NoBotAccess(Exception):
    """A person is mapped to a service account or by impersonation, and the settings give the bot no way into the cluster."""


UNUSABLE = (UnmappedUser, NoBotAccess, KubeconfigRefused, KeyUnknown, DecryptionRefused)
"""Why `access_for` may have nothing to give."""


@dataclass(frozen=True, slots=True)
class Account:
    """A chat account as KubeChat knows it. `person` is the same for all accounts of one human being."""

    user_key: str
    person: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class KubeconfigMapping:
    """The person's own kubeconfig, as text."""

    kubeconfig: str
    context: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccountMapping:
    """A service account whose tokens the bot asks for (TokenRequest)."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ImpersonationMapping:
    """A user and groups that the bot impersonates."""

    user: str
    groups: tuple[str, ...] = ()


Mapping = KubeconfigMapping | ServiceAccountMapping | ImpersonationMapping


@dataclass(frozen=True, slots=True)
class Access:
    """One account's way into one cluster, without the credentials. `identity` is who the cluster takes the account for."""

    user_key: str
    cluster: str
    kind: str
    identity: str
    namespace: str


# --- accounts -------------------------------------------------------------------------------------------------------------


async def account_of(database: Database, user_key: str) -> Account:
    """The account; one that nobody has written down is a person of its own without roles."""
    row = await database.read(lambda session: session.get(AccountRow, user_key))
    return _account(database, row) if row else Account(user_key, user_key, frozenset())


async def add_account(
    database: Database, user_key: str, person: str | None = None, roles: Iterable[str] | None = None
) -> Account:
    """Write an account down, or change what is given; roles given take the place of those before.

    A person written as before but for case or spaces is the person from before, so that nobody counts twice by a slip.
    """

    def save(session: Session) -> Account:
        known = [_account(database, row) for row in session.exec(select(AccountRow)).all()]
        spelt = {_folded(name): name for each in known for name in (each.user_key, each.person)}
        before = next((each for each in known if each.user_key == user_key), Account(user_key, user_key, frozenset()))
        account = Account(
            user_key,
            spelt.get(_folded(person), person) if person else before.person,
            before.roles if roles is None else frozenset(roles),
        )
        sealed = database.seal({"person": account.person, "roles": sorted(account.roles)}, "account", user_key)
        session.merge(AccountRow(user_key=user_key, sealed=sealed))
        return account

    return await database.write(save)


def _folded(person: str) -> str:
    return " ".join(person.split()).casefold()


def _account(database: Database, row: AccountRow) -> Account:
    data = database.open_sealed(row.sealed, "account", row.user_key)
    return Account(row.user_key, data["person"], frozenset(data["roles"]))


async def persons_with_identity(database: Database, cluster: str, identity: str) -> frozenset[str]:
    """All persons who reach the cluster as `identity`: different accounts, but the same hands."""
    found = await list_access(database)
    return frozenset(account.person for account, way in found if way and (way.cluster, way.identity) == (cluster, identity))


# --- access ---------------------------------------------------------------------------------------------------------------


async def map_user(
    database: Database,
    user_key: str,
    cluster: str,
    mapping: Mapping,
    *,
    identity: str | None = None,
    namespace: str | None = None,
) -> None:
    """Give an account its way into a cluster, in place of any earlier one.

    `identity` is who the cluster says this is, where it was asked; it is what makes two accounts with the same hands one person.

    Raises: k8s.kubeconfig.KubeconfigRefused when the kubeconfig holds what must not be in one.
    """
    presumed, default_namespace = _checked(mapping)
    kept = {
        "kind": type(mapping).__name__.removesuffix("Mapping").lower(),
        "identity": identity or presumed,
        "namespace": namespace or default_namespace,
        "fields": {name: getattr(mapping, name) for name in mapping.__slots__},
    }
    row = AccessRow(user_key=user_key, cluster=cluster, sealed=database.seal(kept, "access", user_key, cluster))
    await database.write(lambda session: session.merge(row))


async def unmap_user(database: Database, user_key: str, cluster: str | None) -> int:
    """Take access away, from one cluster or all of them; the account and its roles go with the last. How many went."""

    def remove(session: Session) -> int:
        rows = session.exec(select(AccessRow).where(AccessRow.user_key == user_key)).all()
        gone = [row for row in rows if cluster in (None, row.cluster)]
        for row in gone:
            session.delete(row)
        account = session.get(AccountRow, user_key)
        if account and len(gone) == len(rows):
            session.delete(account)
            return max(1, len(gone))
        return len(gone)

    return await database.write(remove)


async def list_access(database: Database, user_key: str | None = None) -> list[tuple[Account, Access | None]]:
    """Accounts with their ways in; an account without any stands once with None."""

    def find(session: Session) -> list[tuple[Account, Access | None]]:
        accounts, ways = select(AccountRow), select(AccessRow).order_by(AccessRow.user_key, AccessRow.cluster)
        if user_key is not None:
            accounts = accounts.where(AccountRow.user_key == user_key)
            ways = ways.where(AccessRow.user_key == user_key)
        known = {row.user_key: _account(database, row) for row in session.exec(accounts)}
        found: list[tuple[Account, Access | None]] = [
            (known.get(row.user_key, Account(row.user_key, row.user_key, frozenset())), _opened(database, row)[0])
            for row in session.exec(ways)
        ]
        mapped = {account.user_key for account, _ in found}
        return found + [(account, None) for key, account in known.items() if key not in mapped]

    return await database.read(find)


async def access_for(database: Database, settings: Settings, user: User, cluster: str | None) -> ClusterAccess:
    """The credentials with which the person's commands run.

    `cluster` is the one the thread speaks of; without it the only one mapped, or the settings' default.

    Raises: UnmappedUser; NoBotAccess; audit.keys.KeyUnknown or DecryptionRefused when what is stored cannot be opened.
    """

    def find(session: Session) -> list[AccessRow]:
        return list(session.exec(select(AccessRow).where(AccessRow.user_key == user.key).order_by(AccessRow.cluster)).all())

    rows = {row.cluster: row for row in await database.read(find)}
    wanted = cluster or (next(iter(rows)) if len(rows) == 1 else settings.default_cluster)
    if wanted not in rows:
        raise UnmappedUser(user.key, wanted, tuple(rows))
    way, mapping = _opened(database, rows[wanted])
    return ClusterAccess(wanted, way.identity, await _credentials(settings, wanted, mapping), way.namespace)


async def access_of(settings: Settings, cluster: str, mapping: Mapping) -> ClusterAccess:
    """The access that a mapping would give, before it is stored. Raises KubeconfigRefused, NoBotAccess."""
    presumed, namespace = _checked(mapping)
    return ClusterAccess(cluster, presumed, await _credentials(settings, cluster, mapping), namespace)


async def _credentials(settings: Settings, cluster: str, mapping: Mapping) -> Credentials:
    if isinstance(mapping, KubeconfigMapping):
        return KubeconfigCredentials(_parsed(mapping.kubeconfig, mapping.context))
    via = await _own_kubeconfig(settings, cluster)
    if isinstance(mapping, ServiceAccountMapping):
        return ServiceAccountCredentials(mapping.namespace, mapping.name, via)
    return ImpersonationCredentials(mapping.user, mapping.groups, via)


@lru_cache(maxsize=256)
def _parsed(text: str, context: str | None) -> Kubeconfig:
    """Parsing YAML takes longer than all else that a mention needs, and a kubeconfig seldom changes."""
    return check_kubeconfig(text, context=context)


async def _own_kubeconfig(settings: Settings, cluster: str) -> Kubeconfig:
    """The bot's own way in, from the file that the settings name. Read each time, so that a renewed file counts at once."""
    known = settings.clusters.get(cluster)
    if known is None or known.kubeconfig_file is None:
        raise NoBotAccess(
            f"clusters.{cluster}.kubeconfig_file is not set, and this mapping needs the bot's own way into {cluster}."
        )
    try:
        text = await asyncio.to_thread(known.kubeconfig_file.expanduser().read_text, "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NoBotAccess(f"clusters.{cluster}.kubeconfig_file cannot be read: {error}") from error
    return _parsed(text, known.context)


def _checked(mapping: Mapping) -> tuple[str, str]:
    """What the cluster will be told, and the default namespace."""
    if isinstance(mapping, KubeconfigMapping):
        kubeconfig = check_kubeconfig(mapping.kubeconfig, context=mapping.context)
        credential = kubeconfig.token or kubeconfig.endpoint.client_certificate
        return f"kubeconfig:{hashlib.sha256(credential.encode()).hexdigest()[:16]}", kubeconfig.namespace
    if isinstance(mapping, ServiceAccountMapping):
        return f"system:serviceaccount:{mapping.namespace}:{mapping.name}", mapping.namespace
    return mapping.user, "default"


def _opened(database: Database, row: AccessRow) -> tuple[Access, Mapping]:
    """What is sealed opens only in its own row."""
    kept = database.open_sealed(row.sealed, "access", row.user_key, row.cluster)
    access = Access(row.user_key, row.cluster, kept["kind"], kept["identity"], kept["namespace"])
    return access, _mapping(kept["kind"], kept["fields"])


def _mapping(kind: str, fields: dict[str, Any]) -> Mapping:
    if kind == "kubeconfig":
        return KubeconfigMapping(**fields)
    if kind == "serviceaccount":
        return ServiceAccountMapping(**fields)
    return ImpersonationMapping(fields["user"], tuple(fields["groups"]))
