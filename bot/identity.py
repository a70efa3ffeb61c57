"""Who is asking, and with whose credentials it runs. Credentials are sealed at rest and leave the database only to connect."""

import asyncio
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from sqlmodel import Session, col, select

from bot.database import AccessRow, AccountRow, Database
from bot.settings import Settings
from bot.types import User
from k8s.access import ClusterAccess, Credentials, ImpersonationCredentials, KubeconfigCredentials, ServiceAccountCredentials
from k8s.kubeconfig import Kubeconfig, check_kubeconfig


class UnmappedUser(Exception):
    """The account has no access to the cluster. `clusters` are those that it does have access to."""

    def __init__(self, user_key: str, cluster: str, clusters: tuple[str, ...]) -> None:
        super().__init__(f"{user_key} has no access to {cluster or 'any cluster'}")
        self.user_key = user_key
        self.cluster = cluster
        self.clusters = clusters


class NoBotAccess(Exception):
    """A person is mapped to a service account or by impersonation, and the settings give the bot no way into the cluster."""


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


async def account_of(database: Database, user_key: str) -> Account:
    """The account; one that nobody has written down is a person of its own without roles."""
    row = await database.read(lambda session: session.get(AccountRow, user_key))
    return Account(user_key, row.person, frozenset(row.roles)) if row else Account(user_key, user_key, frozenset())


async def persons_with_identity(database: Database, cluster: str, identity: str) -> frozenset[str]:
    """All persons who reach the cluster as `identity`: different accounts, but the same hands."""

    def find(session: Session) -> frozenset[str]:
        keys = session.exec(select(AccessRow.user_key).where(AccessRow.cluster == cluster, AccessRow.identity == identity)).all()
        accounts = session.exec(select(AccountRow).where(col(AccountRow.user_key).in_(keys))).all()
        known = {row.user_key: row.person for row in accounts}
        return frozenset(known.get(key, key) for key in keys)

    return await database.read(find)


async def add_account(
    database: Database, user_key: str, person: str | None = None, roles: Iterable[str] | None = None
) -> Account:
    """Write an account down, or change what is given; roles given take the place of those before."""

    def save(session: Session) -> Account:
        row = session.get(AccountRow, user_key) or AccountRow(user_key=user_key, person=person or user_key)
        row.person = person or row.person
        row.roles = row.roles if roles is None else sorted(set(roles))
        session.merge(row)
        return Account(user_key, row.person, frozenset(row.roles))

    return await database.write(save)


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
    row = AccessRow(
        user_key=user_key,
        cluster=cluster,
        kind=type(mapping).__name__.removesuffix("Mapping").lower(),
        identity=identity or presumed,
        namespace=namespace or default_namespace,
        sealed=database.keys.encrypt(_seal(mapping), _bound_to(user_key, cluster)),
    )
    await database.write(lambda session: session.merge(row))


async def unmap_user(database: Database, user_key: str, cluster: str | None) -> int:
    """Take access away, from one cluster or all of them; the account and its roles go with the last. How many went."""

    def remove(session: Session) -> int:
        query = select(AccessRow).where(AccessRow.user_key == user_key)
        rows = session.exec(query).all()
        gone = [row for row in rows if cluster in (None, row.cluster)]
        for row in gone:
            session.delete(row)
        account = session.get(AccountRow, user_key)
        if account and len(gone) == len(rows):
            session.delete(account)
            return max(1, len(gone))
        return len(gone)

    return await database.write(remove)


async def list_access(database: Database, user_key: str | None = None) -> list[tuple[Account, AccessRow | None]]:
    """Accounts with their ways in; an account without any stands once with None. No credentials are opened."""

    def find(session: Session) -> list[tuple[Account, AccessRow | None]]:
        accounts = {
            row.user_key: Account(row.user_key, row.person, frozenset(row.roles)) for row in session.exec(select(AccountRow))
        }
        rows = session.exec(select(AccessRow).order_by(AccessRow.user_key, AccessRow.cluster)).all()
        found: list[tuple[Account, AccessRow | None]] = [
            (accounts.get(row.user_key, Account(row.user_key, row.user_key, frozenset())), row) for row in rows
        ]
        found += [(account, None) for key, account in accounts.items() if key not in {row.user_key for row in rows}]
        return [pair for pair in found if user_key in (None, pair[0].user_key)]

    return await database.read(find)


async def access_for(database: Database, settings: Settings, user: User, cluster: str | None) -> ClusterAccess:
    """The credentials with which the person's commands run.

    `cluster` is the one the thread speaks of; without it the only one mapped, or the settings' default.

    Raises: UnmappedUser; NoBotAccess; audit.keys.KeyUnknown or DecryptionRefused when what is stored cannot be opened.
    """
    rows = [row for _, row in await list_access(database, user.key) if row is not None]
    clusters = tuple(row.cluster for row in rows)
    wanted = cluster or (clusters[0] if len(clusters) == 1 else settings.default_cluster)
    row = next((row for row in rows if row.cluster == wanted), None)
    if row is None:
        raise UnmappedUser(user.key, wanted, clusters)
    mapping = _open(row.kind, database.keys.decrypt(row.sealed, _bound_to(user.key, row.cluster)))
    credentials = await _credentials(settings, row.cluster, mapping)
    return ClusterAccess(row.cluster, row.identity, credentials, row.namespace)


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


def _bound_to(user_key: str, cluster: str) -> bytes:
    """Sealed credentials open only in their own row."""
    return json.dumps(["access", user_key, cluster]).encode()


def _seal(mapping: Mapping) -> bytes:
    fields = {name: getattr(mapping, name) for name in mapping.__slots__}
    return json.dumps(fields).encode()


def _open(kind: str, data: bytes) -> Mapping:
    fields = json.loads(data)
    if kind == "kubeconfig":
        return KubeconfigMapping(**fields)
    if kind == "serviceaccount":
        return ServiceAccountMapping(**fields)
    return ImpersonationMapping(fields["user"], tuple(fields["groups"]))
