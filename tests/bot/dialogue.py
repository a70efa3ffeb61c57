"""Tests as dialogues: somebody says or presses something, and the replies, buttons, requests and audit rows are looked at.

    await d.say("alice", "scale checkout in NS to 5")
    d.expect("proposal", "replicas 3 → 5", buttons="confirm cancel")
    await d.press("alice", "confirm")
    d.expect("result", "scaled", buttons="undo")

`NS` stands for the dialogue's namespace in what is said and what is expected. Everything is real: database, audit log, engine and
cluster; only the clock stands still until it is moved.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.keys import Keyring
from audit.rows import AuditRow
from audit.store import AuditLog
from audit.verify import Status, verify
from bot import identity
from bot.database import Database
from bot.engine import Engine
from bot.identity import KubeconfigMapping
from bot.settings import Settings
from bot.types import Actions, Block, Button, Click, Code, Context, Fields, File, Header, Message, Reply, TableBlock, Text, Thread
from bot.types import User as ChatUser
from k8s.access import ClusterPool
from tests.bot.edge import Edge, edge_of
from tests.clusters import LiveCluster

CLUSTER = "prod"
APPROVERS = ("bob", "dave")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def user(name: str) -> ChatUser:
    return ChatUser("test", "T1", name, name)


def thread(name: str = "one", channel: str = "C1") -> Thread:
    return Thread("test", "T1", channel, name)


def told(reply: Reply) -> str:
    """Everything of a reply that somebody reads."""
    return "\n".join([reply.text, *filter(None, map(_text, reply.blocks)), *(file.text for file in reply.files)])


def _text(block: Block) -> str:
    match block:
        case Header() | Text() | Context() | Code():
            return block.text
        case Fields():
            return "\n".join(f"{label}: {value}" for label, value in block.pairs)
        case TableBlock():
            return "\n".join("  ".join(row) for row in (block.columns, *block.rows))
        case Actions():
            return ""


def choices(reply: Reply) -> tuple[Button, ...]:
    """The buttons of a reply."""
    return tuple(button for block in reply.blocks if isinstance(block, Actions) for button in block.buttons)


@dataclass(slots=True)
class Dialogue:
    """One conversation, or several, with one installation of KubeChat."""

    engine: Engine
    database: Database
    audit: AuditLog
    pool: ClusterPool
    clock: Clock
    edge: Edge
    url: str
    keys: Keyring
    witness: Path
    namespace: str = ""
    replies: list[Reply] = field(default_factory=list)
    """What the last entry brought."""
    shown: dict[str, Button] = field(default_factory=dict)
    """The latest button of each role, and of each label."""
    card: str = ""
    """The latest card."""

    async def say(self, who: str | ChatUser, text: str, *, where: Thread | None = None, **more: Any) -> Reply:
        """Say something; the last reply."""
        self.replies = []
        files = tuple(File(name, body) for name, body in more.pop("files", {}).items())
        message = Message(
            id=more.pop("id", secrets.token_hex(4)),
            user=who if isinstance(who, ChatUser) else user(who),
            thread=where or thread(),
            text=self._here(text),
            at=self.clock(),
            files=files,
        )
        await (more.pop("engine", None) or self.engine).handle_message(message, self.take)
        assert not more
        return self.replies[-1] if self.replies else Reply("answer", "(silence)")

    async def press(self, who: str | ChatUser, what: str | Button, *, where: Thread | None = None, **more: Any) -> Reply:
        """Press the latest button of a role or a label; the last reply."""
        self.replies = []
        button = what.id if isinstance(what, Button) else self.shown[self._here(what)].id
        presser = who if isinstance(who, ChatUser) else user(who)
        click = Click(button, presser, where or thread(), self.clock(), more.pop("reason", ""))
        await (more.pop("engine", None) or self.engine).handle_click(click, self.take)
        assert not more
        return self.replies[-1] if self.replies else Reply("answer", "(silence)")

    async def take(self, reply: Reply) -> None:
        """What the engine says."""
        self.replies.append(reply)
        self.card = reply.card or self.card
        for button in choices(reply):
            self.shown[button.role] = self.shown[button.label] = button

    def expect(self, kind: str, *parts: str, buttons: str | None = None) -> Reply:
        """The last reply is of this kind, holds these parts, and has buttons with these roles."""
        assert self.replies, "nothing was said"
        last = self.replies[-1]
        assert last.kind == kind, f"{last.kind}: {told(last)}"
        for part in parts:
            assert self._here(part) in told(last), told(last)
        if buttons is not None:
            assert [button.role for button in choices(last)] == buttons.split()
        return last

    def _here(self, text: str) -> str:
        return text.replace("NS", self.namespace) if self.namespace else text

    async def rows(self, kind: str | None = None) -> list[AuditRow]:
        """The audit log, or one kind of its rows."""
        return await self.audit.rows(kind=kind)

    async def kinds(self) -> list[str]:
        """What the audit log holds, in order."""
        return [row.kind for row in await self.rows()]

    async def started(self) -> int:
        """How many commands that change something were begun."""
        return sum((row.payload or {})["level"] != "safe" for row in await self.rows("execution.started"))

    def assert_nothing_ran(self) -> None:
        """No request reached the cluster that could change it."""
        assert self.edge.changes == []

    def assert_log_is_whole(self) -> None:
        """`kubechat audit verify` finds nothing wrong."""
        verdict = verify(self.url, self.keys, self.witness)
        assert verdict.status is Status.OK, verdict

    def configure(self, settings: Settings) -> None:
        """Start anew with other settings, as after a change of the file."""
        self.engine = Engine(settings, self.database, self.audit, self.pool, self.clock)

    async def map(self, cluster: LiveCluster, *people: str, name: str = CLUSTER, namespace: str | None = None) -> None:
        """Give people their own way into a cluster; `account=person` maps an account to somebody else's credentials."""
        for entry in people:
            account, _, hands = entry.partition("=")
            config = self.edge.kubeconfig(cluster.kubeconfig(hands or account))
            where = namespace or self.namespace or None
            mapping = KubeconfigMapping(config)
            await identity.map_user(self.database, user(account).key, name, mapping, identity=hands or account, namespace=where)

    async def person(self, account: str, *, is_person: str | None = None, roles: Sequence[str] | None = None) -> None:
        """Say who is behind an account, and what roles it has."""
        await identity.add_account(self.database, user(account).key, is_person, roles)


@asynccontextmanager
async def opened(
    folder: Path, url: str, edge: Edge, settings: Mapping[str, Any] | None = None, clock: Clock | None = None
) -> AsyncIterator[Dialogue]:
    """KubeChat on a database, as one process of it."""
    keys, witness = Keyring.load(folder / "keys" / "keyring"), folder / "audit" / "witness.json"
    clock = clock or Clock()
    async with AsyncExitStack() as stack:
        database = await Database.open(url, keys)
        stack.push_async_callback(database.close)
        audit = await AuditLog.open(url, keys, witness=witness)
        stack.push_async_callback(audit.close)
        pool = ClusterPool(seconds=5)
        stack.push_async_callback(pool.close)
        engine = Engine(Settings(**dict(settings or {})), database, audit, pool, clock)
        yield Dialogue(engine, database, audit, pool, clock, edge, url, keys, witness)


@asynccontextmanager
async def dialogue(
    folder: Path,
    cluster: LiveCluster,
    namespace: str,
    *,
    url: str = "",
    settings: Mapping[str, Any] | None = None,
    people: Sequence[str] = ("alice", "bob", "carol", "dave"),
) -> AsyncIterator[Dialogue]:
    """A dialogue on a cluster: everybody mapped, bob and dave approvers."""
    url = url or f"sqlite:///{folder / 'kubechat.db'}"
    async with edge_of(cluster.kubeconfig("admin")) as edge, opened(folder, url, edge, settings) as d:
        d.namespace = namespace
        await d.map(cluster, *people)
        for name in APPROVERS:
            await d.person(name, roles=["approver"])
        yield d
