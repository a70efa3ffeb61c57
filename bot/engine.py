"""The conversation: a message or a click comes in, replies go out. Nothing runs that was not judged, allowed and written down.

message → who (identity) → what (planner) → how dangerous, allowed? (judgement) → run, or a card (agreement)
click → decide (approvals) → all of it checked again → claim → run (agreement)
run: "started" is durable first → k8s.execute → "finished" → reply (execution)
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from audit.keys import DecryptionRefused, KeyUnknown
from audit.ledger import AuditUnavailable
from audit.rows import Actor
from audit.store import AuditLog
from bot import agreement, approvals, buttons, identity, recovery, replies
from bot.buttons import ClickRefused, Proposal
from bot.conversation import Asked, Means, remember, take, tidy
from bot.database import Database, StoreUnavailable
from bot.drafts import Draft, Question, Remark
from bot.identity import NoBotAccess, UnmappedUser
from bot.judgement import expecting_sense, on_card
from bot.planner import Request, is_typed, plan, read_request
from bot.settings import Settings
from bot.translator import Lookup
from bot.types import Button, Click, Fields, Message, Reply, Say, Thread, User
from k8s.access import ClusterAccess, ClusterPool
from k8s.client import ClusterClient
from k8s.errors import ClusterError, explain
from k8s.grammar import CommandRefused, parse
from k8s.kubeconfig import KubeconfigRefused
from k8s.names import ObjectName, list_names

TIDY_EVERY = timedelta(hours=1)
LONGEST_SENTENCE = 1000
"""Characters of English that are looked at. Nobody asks for one command in more, and a translator's time grows with them."""
NAMESPACES_GUESSED = 8
"""Words of a message that are tried as namespaces for who may not list these; each costs a request a kind."""

_WHO = re.compile(r"who ?am ?i", re.IGNORECASE)
_MAY = re.compile(r"what (may|can) i do|my (rights|permissions|access)", re.IGNORECASE)
_HELP = re.compile(r"help|what can you do|commands", re.IGNORECASE)
_CANCEL = re.compile(r"cancel|never ?mind|stop|forget it|cancel (it|that|this|(the|my) .{1,60})", re.IGNORECASE)
_UNDO = re.compile(r"undo|undo (it|that|this)|take (it|that) back|revert (it|that)", re.IGNORECASE)
_USE = re.compile(r"use (?:the )?(cluster|namespace) ([a-z0-9][\w.-]*)", re.IGNORECASE)


class Engine:
    """One conversation engine for all platforms and threads. It keeps nothing in memory that a restart would lose."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        audit: AuditLog,
        pool: ClusterPool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._means = Means(settings, database, audit, pool, clock)
        self._turns: WeakValueDictionary[Thread, asyncio.Lock] = WeakValueDictionary()
        self._tidied: datetime | None = None

    async def handle_message(self, message: Message, say: Say) -> None:
        """Answer one message. Whatever goes wrong becomes a sentence. Messages of a thread are answered in their order."""
        turn = self._turns.setdefault(message.thread, asyncio.Lock())
        async with turn:
            try:
                _require_plain(message.user)
                await self._tidy()
                memory = await take(self._means, message)
                if memory is not None:
                    await self._answer(message, Asked(message.user, message.thread, message.text, memory), say)
            except KNOWN as error:
                await say(await self._explained(error, message.user, message.text))

    async def handle_click(self, click: Click, say: Say) -> None:
        """Act on one button. Whatever goes wrong becomes a sentence."""
        try:
            _require_plain(click.user)
            await agreement.press(self._means, click, say)
        except KNOWN as error:
            await say(await self._explained(error, click.user, f"button {click.button}"))

    async def recover(self) -> list[tuple[Thread, Reply]]:
        """What an earlier process left unfinished: said, never tried again. Replies for the threads concerned."""
        return await recovery.recover(self._means)

    async def _tidy(self) -> None:
        now = self._means.clock()
        if self._tidied is None or now - self._tidied > TIDY_EVERY:
            self._tidied = now
            await tidy(self._means)

    # --- what was said ----------------------------------------------------------------------------------------------------

    async def _answer(self, message: Message, asked: Asked, say: Say) -> None:
        request = read_request(message)
        if not is_typed(request.words):
            request = replace(request, words=" ".join(request.words.split()))
        words = request.words.strip(" .!?")
        if (not words and request.block is None and not request.files) or _HELP.fullmatch(words):
            return await self._tell(asked, replies.help_reply(), say)
        if _WHO.fullmatch(words):
            return await self._tell(asked, await self._who_am_i(asked), say)
        if _CANCEL.fullmatch(words):
            return await self._cancel(asked, say)
        if match := _USE.fullmatch(words):
            return await self._use(asked, match[1].lower(), match[2], say)
        if _UNDO.fullmatch(words):
            return await self._undo(asked, say)
        access = await self._access(asked)
        if len(words) > LONGEST_SENTENCE and not is_typed(words):
            too_long = replies.say(f"That is too long: say it in less than {LONGEST_SENTENCE} characters.", "refusal")
            return await self._tell(asked, too_long, say)
        async with self._means.pool.client(access) as client:
            await self._translate(asked, request, words, access, client, say)

    async def _translate(
        self, asked: Asked, request: Request, words: str, access: ClusterAccess, client: ClusterClient, say: Say
    ) -> None:
        """Find out what is meant, and go on from there."""
        namespace = str(asked.memory.get("namespace") or access.namespace)
        if _MAY.fullmatch(words):
            drafted: Draft | Question | Remark = Draft((parse("auth can-i --list"),), words, 1.0, "built-in")
        else:
            lookup = _lookup(client, asked.text, (namespace, access.namespace))
            with expecting_sense(access.cluster):
                drafted = await plan(request, memory=asked.memory, namespace=namespace, lookup=lookup)
        if isinstance(drafted, Draft):
            await agreement.consider(self._means, asked, access, client, drafted, namespace, say)
        elif isinstance(drafted, Question):
            await self._tell(asked, await self._ask_back(asked, drafted, access, namespace), say)
        else:
            await self._tell(asked, replies.say(drafted.text, drafted.kind), say)

    async def _tell(self, asked: Asked, reply: Reply, say: Say) -> None:
        """Answer what leads to no command. It is a row as well: the log says who asked what, and not only what ran."""
        kind = "command.refused" if reply.kind == "refusal" else "message.answered"
        payload = {"text": asked.text, "reply": reply.text, "choices": list(reply.commands)}
        await self._means.audit.append(kind, asked.actor, payload)
        await say(reply)

    async def _access(self, asked: Asked) -> ClusterAccess:
        cluster = asked.memory.get("cluster")
        return await identity.access_for(self._means.database, self._means.settings, asked.user, cluster)

    # --- about the asker and the thread -----------------------------------------------------------------------------------

    async def _who_am_i(self, asked: Asked) -> Reply:
        account = await identity.account_of(self._means.database, asked.user.key)
        ways = [way for _, way in await identity.list_access(self._means.database, asked.user.key) if way is not None]
        pairs = [("account", asked.user.key), ("person", account.person), ("roles", ", ".join(sorted(account.roles)) or "none")]
        pairs += [(f"cluster {way.cluster}", f"{way.identity} ({way.kind}), namespace {way.namespace}") for way in ways]
        text = f"You are {account.person}, with access to {', '.join(way.cluster for way in ways) or 'no cluster'}."
        return replies.say(text, "answer", Fields(tuple(pairs)))

    async def _cancel(self, asked: Asked, say: Say) -> None:
        """Withdraw what the asker has waiting in this thread; their cards say so."""
        waiting = await approvals.in_state(self._means.database, "pending", requester=asked.user.key)
        here = [each.id for each in waiting if each.request.thread == asked.thread]
        gone = [await approvals.settle(self._means.database, each, "pending", "cancelled") for each in here]
        for one in filter(None, gone):
            await self._means.audit.append("approval.cancelled", asked.actor, {"choice": "cancel"}, approval_id=one.id)
            await say(replies.decided(on_card(one), f"Cancelled by {asked.name}.", "refusal"))
        if not any(gone):
            await self._tell(asked, replies.say("Nothing of yours is waiting in this thread."), say)

    async def _undo(self, asked: Asked, say: Say) -> None:
        """Press the Undo of the last change, in words."""
        if undo := asked.memory.get("undo"):
            return await agreement.press(self._means, Click(undo, asked.user, asked.thread, self._means.clock()), say)
        await say(replies.say("There is nothing in this thread that I can undo."))

    async def _use(self, asked: Asked, what: str, name: str, say: Say) -> None:
        if what == "cluster":
            ways = [way for _, way in await identity.list_access(self._means.database, asked.user.key) if way is not None]
            if name not in {way.cluster for way in ways}:
                raise UnmappedUser(asked.user.key, name, tuple(way.cluster for way in ways))
            await remember(self._means, asked.thread, cluster=name, namespace=None, targets=None, undo=None)
        else:
            parse(f"get pods -n {name}")
            await remember(self._means, asked.thread, namespace=name)
        await self._tell(asked, replies.say(f"This thread now speaks of the {what} {name}."), say)

    async def _ask_back(self, asked: Asked, question: Question, access: ClusterAccess, namespace: str) -> Reply:
        proposals = [Proposal(label, line, None, access.cluster, namespace) for label, line in question.choices]
        choices: tuple[Button, ...] = ()
        if proposals:
            choices = await buttons.propose(
                self._means.database, asked.thread, "choice", proposals, user=asked.user, now=self._means.clock()
            )
        return replies.question(question, choices)

    # --- what went wrong --------------------------------------------------------------------------------------------------

    async def _explained(self, error: Exception, user: User, text: str) -> Reply:
        """The sentence for an error, and an audit row where somebody was turned away."""
        kind, reply = _sentence(error)
        if kind:
            rule = getattr(error, "rule", type(error).__name__)
            try:
                await self._means.audit.append(kind, _actor(user), {"text": text, "rule": rule, "reply": reply.text})
            except AuditUnavailable as unavailable:
                return replies.failure(f"{reply.text} (And the audit log is out of reach: {unavailable})")
        return reply


class AccountRefused(Exception):
    """A platform, workspace or id that is empty or holds a slash: two accounts could then be written the same."""


KNOWN = (
    CommandRefused, ClickRefused, AccountRefused, UnmappedUser, NoBotAccess, KubeconfigRefused, ClusterError, AuditUnavailable,
    StoreUnavailable, KeyUnknown, DecryptionRefused,
)  # fmt: skip
"""What may go wrong and is said in a sentence."""


def _require_plain(user: User) -> None:
    for part in (user.platform, user.workspace, user.id):
        if not part or "/" in part or len(part) > 200 or not part.isprintable():
            raise AccountRefused("This account has no usable id, so nothing is done for it.")


def _actor(user: User) -> Actor:
    return Actor(user.platform[:200], user.workspace[:200], user.id[:200])


def _sentence(error: Exception) -> tuple[str, Reply]:
    """The kind of audit row, if one is due, and the reply."""
    match error:
        case CommandRefused():
            return "command.refused", replies.refused(error.rule, [error.reason])
        case ClickRefused():
            return "click.refused", replies.say(error.reason, "refusal")
        case AccountRefused():
            return "access.missing", replies.say(str(error), "denial")
        case UnmappedUser():
            return "access.missing", replies.unmapped(error.user_key, error.cluster, error.clusters)
        case ClusterError():
            return "command.failed", replies.failure(explain(error))
        case AuditUnavailable():
            return "", replies.failure(
                f"Nothing was run, because it could not be written to the audit log: {error}. Tell an administrator."
            )
        case StoreUnavailable():
            return "", replies.failure(f"Nothing was run. {error}. Tell an administrator.")
        case KeyUnknown() | DecryptionRefused():
            return "access.unreadable", replies.failure(
                "Your stored access cannot be decrypted. Ask an administrator to map you again."
            )
        case _:
            return "access.unusable", replies.failure(
                f"Your access cannot be used: {error} Ask an administrator to map you again."
            )


def _lookup(client: ClusterClient, text: str, namespaces: Sequence[str]) -> Lookup:
    """Names for the translator, each resource read once for a message and with the asker's own access.

    Who may list a kind only in some namespaces is helped by those that the message speaks of.
    """
    known: dict[str, tuple[ObjectName, ...]] = {}
    words = dict.fromkeys(re.findall(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", text.lower()[:2000]))

    async def names(resource: str) -> Sequence[ObjectName]:
        if resource not in known:
            there = {each.name for each in await names("namespaces")} if resource != "namespaces" else set()
            mentioned = [word for word in words if word in there] if there else list(words)[-NAMESPACES_GUESSED:]
            known[resource] = await list_names(client, resource, (*namespaces, *mentioned))
        return known[resource]

    return names
