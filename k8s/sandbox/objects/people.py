"""Who may knock: people and groups, their tokens, and service accounts' tokens.

A token is minted for any person asked for. The people of the default shop belong to groups; anybody else only to
system:authenticated. Where a folder of manifests carries no binding at all, everybody belongs to `practice` as well,
which is bound to cluster-admin, so that others' folders work as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field

from k8s.sandbox.objects.errors import Json

ADMIN = "admin"
PRACTICE = "practice"
GROUPS: dict[str, tuple[str, ...]] = {
    ADMIN: ("system:masters",),
    "alice": ("developers",),
    "bob": ("sre",),
    "carol": ("viewers",),
    "dave": ("developers-staging",),
    "kubechat": ("kubechat",),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, after authentication and impersonation."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_master(self) -> bool:
        return "system:masters" in self.groups

    def json(self) -> Json:
        found: Json = {"username": self.name, "uid": self.uid, "groups": list(self.groups)}
        found["extra"] = {key: list(values) for key, values in self.extra.items()}
        return {key: value for key, value in found.items() if value}


ANONYMOUS = Caller("system:anonymous", ("system:unauthenticated",))
AUTHENTICATED = "system:authenticated"


class People:
    """Tokens of people and service accounts. Tokens of people last as long as the cluster."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._people: dict[str, str] = {}
        self._accounts: dict[str, tuple[Caller, float]] = {}
        self.everybody: tuple[str, ...] = ()  # groups that all people belong to

    def token(self, person: str) -> str:
        """The person's bearer token, the same each time."""
        digest = hmac.new(self._key, person.encode(), hashlib.sha256).hexdigest()
        token = f"practice-{digest[:40]}"
        self._people[token] = person
        return token

    def account_token(self, namespace: str, name: str, uid: str, seconds: int, extra: dict[str, tuple[str, ...]]) -> str:
        """A service account's token, good for so many seconds."""
        token = f"practice-sa-{secrets.token_urlsafe(32)}"
        expires = time.time() + seconds
        self._accounts = {key: kept for key, kept in self._accounts.items() if kept[1] > time.time()}
        self._accounts[token] = (service_account(namespace, name, uid, extra), expires)
        return token

    def caller(self, person: str) -> Caller:
        groups = (*GROUPS.get(person, ()), *self.everybody, AUTHENTICATED)
        return Caller(person, groups, hashlib.sha256(person.encode()).hexdigest()[:16])

    def who(self, authorization: str | None) -> Caller | None:
        """The caller that an Authorization header names; None when it is not known or has expired."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS if scheme.lower() != "bearer" else None
        if token in self._people:
            return self.caller(self._people[token])
        account = self._accounts.get(token)
        return account[0] if account and account[1] > time.time() else None

    def by_token(self, token: str) -> Caller | None:
        return self.who(f"Bearer {token}")


def service_account(namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None) -> Caller:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return Caller(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})
