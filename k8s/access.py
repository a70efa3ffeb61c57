"""Whose credentials reach which cluster, and connections made from them."""

import asyncio
import hashlib
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from k8s.client import ClusterClient, open_transport
from k8s.discovery import DiscoveredResources, api_path
from k8s.errors import ApiError, ClusterUntrusted, CommandInvalid
from k8s.kubeconfig import Kubeconfig
from k8s.redact import clean_line

TOKEN_LIFETIME = 3600
"""Seconds asked for in a TokenRequest. The server may give another; it refuses less than 600."""


@dataclass(frozen=True, slots=True)
class KubeconfigCredentials:
    """The person's own kubeconfig."""

    kubeconfig: Kubeconfig


@dataclass(frozen=True, slots=True)
class ServiceAccountCredentials:
    """A service account, in whose name the bot asks for short-lived tokens with its own kubeconfig `via`."""

    namespace: str
    name: str
    via: Kubeconfig


@dataclass(frozen=True, slots=True)
class ImpersonationCredentials:
    """A user and groups that the bot impersonates with its own kubeconfig `via`."""

    user: str
    groups: tuple[str, ...]
    via: Kubeconfig


Credentials = KubeconfigCredentials | ServiceAccountCredentials | ImpersonationCredentials


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """One person's way into one cluster. `identity` is what is shown and audited; `namespace` is the default one."""

    cluster: str
    identity: str
    credentials: Credentials = field(repr=False)
    namespace: str = "default"


@dataclass(frozen=True, slots=True)
class Person:
    """Who the cluster says that one is."""

    user: str
    groups: tuple[str, ...] = ()


async def connect(
    access: ClusterAccess,
    *,
    seconds: float = 15.0,
    max_bytes: int = 32 * 2**20,
    connections: int = 16,
    trust_env: bool = False,
    discovered: DiscoveredResources | None = None,
) -> ClusterClient:
    """A client for an access; nothing is sent yet. `seconds` bounds each request, `connections` the pool.

    Raises: ClusterUntrusted for certificates that cannot be read, CommandInvalid for a name that cannot be impersonated.
    """
    credentials = access.credentials
    kubeconfig = credentials.kubeconfig if isinstance(credentials, KubeconfigCredentials) else credentials.via
    endpoint = kubeconfig.endpoint
    headers: tuple[tuple[str, str], ...] = ()
    token = _fixed(kubeconfig.token)
    if isinstance(credentials, ImpersonationCredentials):
        headers = _impersonation(credentials)
    elif isinstance(credentials, ServiceAccountCredentials):
        token = ServiceAccountToken(access.cluster, credentials, trust_env=trust_env)
        # The bot's own certificate must not travel with the account's token: the server would take the certificate's name.
        endpoint = replace(endpoint, client_certificate="", client_key="")
    try:
        start = await asyncio.to_thread(open_transport, endpoint, connections=connections, trust_env=trust_env)
    except ssl.SSLError as error:
        raise ClusterUntrusted(access.cluster, "its certificates cannot be read") from error
    return ClusterClient(
        start(),
        endpoint.server,
        cluster=access.cluster,
        identity=access.identity,
        namespace=access.namespace,
        authority=endpoint.authority,
        headers=headers,
        token=token,
        seconds=seconds,
        max_bytes=max_bytes,
        discovered=discovered,
    )


def _fixed(token: str) -> Callable[[], Awaitable[str]] | None:
    async def give() -> str:
        return token

    return give if token else None


def _impersonation(credentials: ImpersonationCredentials) -> tuple[tuple[str, str], ...]:
    """The headers of Kubernetes user impersonation; a group a header."""
    pairs = (("Impersonate-User", credentials.user), *(("Impersonate-Group", group) for group in credentials.groups))
    for _, value in pairs:
        if not value or clean_line(value) != value:
            raise CommandInvalid(
                f"{clean_line(value)!r} cannot be impersonated: a user or group has a name without control characters."
            )
    return pairs


class ServiceAccountToken:
    """Called for each request: the account's token, asked for anew when four fifths of its life are over."""

    def __init__(self, cluster: str, credentials: ServiceAccountCredentials, *, trust_env: bool = False) -> None:
        self._cluster = cluster
        self._credentials = credentials
        self._trust_env = trust_env
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                await self._renew()
        return self._token

    async def _renew(self) -> None:
        account = self._credentials
        bot = ClusterAccess(self._cluster, "kubechat", KubeconfigCredentials(account.via))
        client = await connect(bot, connections=1, trust_env=self._trust_env)
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFETIME},
        }
        try:
            where = api_path("api", "v1", "namespaces", account.namespace, "serviceaccounts", account.name, "token")
            status = (await client.request("POST", where, body=request))["status"]
        finally:
            await client.close()
        left = (datetime.fromisoformat(status["expirationTimestamp"]) - datetime.now(UTC)).total_seconds()
        self._token, self._renew_at = status["token"], time.monotonic() + 0.8 * left


@dataclass(slots=True)
class _Lease:
    client: "asyncio.Future[ClusterClient]"
    users: int = 0
    since: float = 0.0


class ClusterPool:
    """Clients kept for their next use, one an access. What clusters serve is discovered once a cluster and shared.

    At most `size` idle clients are kept, each for at most `idle` seconds. Those in use are never closed and not counted.
    """

    def __init__(
        self, *, size: int = 64, idle: float = 300.0, seconds: float = 15.0, connections: int = 16, trust_env: bool = False
    ) -> None:
        self._size = size
        self._idle = idle
        self._seconds = seconds
        self._connections = connections
        self._trust_env = trust_env
        self._leases: OrderedDict[ClusterAccess, _Lease] = OrderedDict()
        self._discovered: dict[tuple[str, str], DiscoveredResources] = {}

    @asynccontextmanager
    async def client(self, access: ClusterAccess) -> AsyncIterator[ClusterClient]:
        """The client of an access, for as long as the block lasts."""
        lease = self._leases.get(access)
        if lease is None:
            lease = self._leases[access] = _Lease(asyncio.ensure_future(self._connect(access)))
        lease.users += 1
        try:
            yield await asyncio.shield(lease.client)
        finally:
            lease.users -= 1
            lease.since = time.monotonic()
            if lease.client.done() and not lease.client.cancelled() and lease.client.exception() is not None:
                self._leases.pop(access, None)
            elif access in self._leases:
                self._leases.move_to_end(access)
            await self._close_idle()

    async def close(self) -> None:
        """Close all clients."""
        leases, self._leases = self._leases, OrderedDict()
        for lease in leases.values():
            await (await lease.client).close()

    async def _connect(self, access: ClusterAccess) -> ClusterClient:
        credentials = access.credentials
        kubeconfig = credentials.kubeconfig if isinstance(credentials, KubeconfigCredentials) else credentials.via
        known = self._discovered.setdefault((access.cluster, kubeconfig.endpoint.server), DiscoveredResources())
        return await connect(
            access, seconds=self._seconds, connections=self._connections, trust_env=self._trust_env, discovered=known
        )

    async def _close_idle(self) -> None:
        idle = [access for access, lease in self._leases.items() if lease.users == 0]
        too_old = time.monotonic() - self._idle
        surplus = set(idle[: max(0, len(idle) - self._size)])
        for access in idle:
            if access in surplus or self._leases[access].since < too_old:
                lease = self._leases.pop(access)
                await (await lease.client).close()


async def cluster_uid(client: ClusterClient) -> str:
    """What tells this cluster from every other, whatever it is called: the UID of its kube-system namespace.

    Who may not read that namespace gets `server:` and a hash of address and authority, which changes when either does.
    Raises ClusterError for anything but a refusal.
    """
    try:
        namespace = await client.get("/api/v1/namespaces/kube-system")
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        digest = hashlib.sha256(f"{client.server}\n{client.authority}".encode()).hexdigest()
        return f"server:{digest[:32]}"
    uid: str = namespace["metadata"]["uid"]
    return uid


async def whoami(client: ClusterClient) -> Person:
    """Who the cluster says that the client is, by SelfSubjectReview (v1 since 1.28, v1beta1 since 1.27, v1alpha1 since 1.26).

    An older server has no such question; then the identity of the mapping is all there is, and groups stay empty.
    """
    for version in ("v1", "v1beta1", "v1alpha1"):
        review = {"apiVersion": f"authentication.k8s.io/{version}", "kind": "SelfSubjectReview"}
        try:
            answer = await client.request("POST", f"/apis/authentication.k8s.io/{version}/selfsubjectreviews", body=review)
        except ApiError as error:
            if error.status != 404:
                raise
            continue
        info = answer["status"]["userInfo"]
        return Person(info.get("username", ""), tuple(info.get("groups") or ()))
    return Person(client.identity)
