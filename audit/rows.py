"""What goes into the audit log and what comes out: `Entry` in, `AuditRow` out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from audit import chain

STARTED = "execution.started"
FINISHED = "execution.finished"
UNKNOWN = "execution.unknown"
ERASED = "audit.erased"
ACCEPTED = "audit.accepted"

TEXT_LIMIT = 1000
"""Longest text in a header, in characters. Ids and digests of every platform are far shorter."""

PayloadState = Literal["present", "erased", "unreadable"]

_KIND = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)*")
_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


class InvalidEntry(ValueError):
    """A kind that is no dotted lower-case name, or a header text longer than `TEXT_LIMIT`."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. Identity is (platform, workspace, user); `identity` is who they are to the cluster, if known."""

    platform: str
    workspace: str
    user: str
    identity: str | None = None


KUBECHAT = Actor("kubechat", "", "kubechat")
"""KubeChat itself, for what no person did."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a caller wants recorded.

    Raises:
        InvalidEntry: see there.
    """

    kind: str
    actor: Actor
    payload: Mapping[str, object]
    command_digest: str | None = None
    approval_id: str | None = None
    execution_id: str | None = None

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise InvalidEntry(f"a kind is dotted lower-case words such as {STARTED}, not {self.kind!r}")
        actor = self.actor
        ids = (self.command_digest, self.approval_id, self.execution_id)
        for value in (self.kind, actor.platform, actor.workspace, actor.user, actor.identity, *ids):
            if value is not None and len(value) > TEXT_LIMIT:
                raise InvalidEntry(f"a header text has {len(value)} characters, more than {TEXT_LIMIT}")


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the log. `payload` is None when it was erased or when its key is missing; `payload_state` says which.

    `header` is what was hashed, with escaped texts; `salt` is what `payload_commit` was made with.
    """

    seq: int
    at: datetime
    actor: Actor
    kind: str
    payload: dict[str, Any] | None
    prev_hash: str
    hash: str
    command_digest: str | None
    approval_id: str | None
    execution_id: str | None
    payload_state: PayloadState
    header: dict[str, Any] = field(repr=False)
    salt: bytes | None = field(repr=False)


def header_of(entry: Entry, payload_commit: str, key_id: str, at: datetime) -> dict[str, Any]:
    """The part of a row's header that does not depend on its place in the chain."""
    actor = entry.actor
    ids = {"platform": actor.platform, "workspace": actor.workspace, "user": actor.user, "identity": actor.identity}
    return {
        "version": chain.VERSION,
        "at": instant(at),
        "actor": chain.escape(ids),
        "kind": entry.kind,
        "command_digest": chain.escape(entry.command_digest),
        "approval_id": chain.escape(entry.approval_id),
        "execution_id": chain.escape(entry.execution_id),
        "key_id": key_id,
        "payload_commit": payload_commit,
    }


def row_of(header: dict[str, Any], digest: str, *, payload: bytes | None, salt: bytes | None, state: PayloadState) -> AuditRow:
    """The row of a header, its hash and, where it can be had, its payload in JCS."""
    actor = {name: _text(value) for name, value in header["actor"].items()}
    return AuditRow(
        seq=header["seq"],
        at=datetime.fromisoformat(header["at"]),
        actor=Actor(**actor),
        kind=header["kind"],
        payload=None if payload is None else chain.parse(payload),
        prev_hash=header["prev_hash"],
        hash=digest,
        command_digest=_text(header["command_digest"]),
        approval_id=_text(header["approval_id"]),
        execution_id=_text(header["execution_id"]),
        payload_state=state,
        header=header,
        salt=salt,
    )


def instant(at: datetime) -> str:
    """A time as rows carry it: UTC with microseconds, so that texts order as times do."""
    return at.astimezone(UTC).strftime(_INSTANT)


def microseconds_back(before: str, now: str) -> int:
    """By how much `now` is earlier than `before`, in microseconds; 0 when it is not, or when there is no before."""
    if not before or now >= before:
        return 0
    step = datetime.fromisoformat(before) - datetime.fromisoformat(now)
    return (step.days * 86_400 + step.seconds) * 1_000_000 + step.microseconds


def _text(value: str | None) -> Any:
    return None if value is None else chain.unescape_text(value)
