"""The conversation: a message or a click comes in, replies go out. Nothing runs that was not judged, allowed and written down.

message → who (identity) → what (planner) → how dangerous (k8s.safety) → allowed? (k8s.denials)
    safe: run          not safe: preview → approval → card
click → decide (approvals) → all of it checked again → claim → run
run: "started" is durable first → k8s.execute → "finished" → reply
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from audit.keys import DecryptionRefused, KeyUnknown
from audit.ledger import AuditUnavailable
from audit.rows import STARTED, Actor, AuditRow
from audit.store import AuditLog
from bot import approvals, identity, replies
from bot.approvals import Approval, ClickRefused, Voter
from bot.database import Database, SeenRow, StoreUnavailable, ThreadRow
from bot.drafts import Draft, Question, Remark
from bot.execution import Outcome, Task, carry_out, mark_unknown
from bot.identity import NoBotAccess, UnmappedUser
from bot.planner import plan, read_request
from bot.settings import ApprovalRule, Settings
from bot.types import Button, Click, Fields, Message, Reply, Say, Thread, User
from k8s.access import ClusterAccess, ClusterPool, cluster_uid
from k8s.client import ClusterClient
from k8s.client import Limits as ClusterLimits
from k8s.denials import denials
from k8s.errors import ClusterError, explain
from k8s.grammar import CommandRefused, parse
from k8s.kinds import find_kind
from k8s.kubeconfig import KubeconfigRefused
from k8s.names import ObjectName, list_names
from k8s.preview import preview
from k8s.safety import classify
from k8s.types import Command, ExecutionResult, Level, ObjectRef, Preview, Verdict

RECHECKED = "Something has changed since this was shown, so it was not run. Here it is again as it stands now."

_WHO = re.compile(r"who ?am ?i|whoami|who am i\??", re.IGNORECASE)
_MAY = re.compile(r"what (may|can) i do|my (rights|permissions|access)", re.IGNORECASE)
_HELP = re.compile(r"help|\?|what can you do|commands", re.IGNORECASE)
_CANCEL = re.compile(r"cancel|never ?mind|stop|forget it|cancel (it|that)", re.IGNORECASE)
_UNDO = re.compile(r"undo|undo (it|that|this)|take (it|that) back|revert (it|that)", re.IGNORECASE)
_USE = re.compile(r"use (?:the )?(cluster|namespace) ([a-z0-9][\w.-]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked what, where, and what the thread remembers."""

    user: User
    thread: Thread
    text: str
    memory: dict[str, Any]

    @property
    def actor(self) -> Actor:
        return Actor(self.user.platform, self.user.workspace, self.user.id)


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
        self._settings = settings
        self._database = database
        self._audit = audit
        self._pool = pool
        self._clock = clock
        limits = settings.limits
        self._limits = ClusterLimits(limits.rows, limits.characters, limits.seconds)

    # --- what comes in ----------------------------------------------------------------------------------------------------

    async def handle_message(self, message: Message, say: Say) -> None:
        """Answer one message. Whatever goes wrong becomes a sentence."""
        try:
            memory = await self._take(message)
            if memory is not None:
                await self._answer(message, Asked(message.user, message.thread, message.text, memory), say)
        except _KNOWN as error:
            await say(await self._explained(error, message.user, message.text))

    async def handle_click(self, click: Click, say: Say) -> None:
        """Act on one button. Whatever goes wrong becomes a sentence."""
        try:
            await self._press(click, say)
        except _KNOWN as error:
            await say(await self._explained(error, click.user, f"button {click.button}"))

    async def _take(self, message: Message) -> dict[str, Any] | None:
        """The thread's memory; None when this very message was taken before."""
        key = f"{message.thread.platform}/{message.thread.workspace}/{message.thread.channel}/{message.id}"

        def take(session: Session) -> dict[str, Any] | None:
            if session.get(SeenRow, key) is not None:
                return None
            session.add(SeenRow(message_key=key, at=self._clock()))
            row = session.get(ThreadRow, message.thread.key)
            return dict(row.memory) if row else {}

        return await self._database.write(take)

    async def _remember(self, asked: Asked, **news: Any) -> None:
        row = ThreadRow(thread_key=asked.thread.key, memory={**asked.memory, **news}, at=self._clock())
        await self._database.write(lambda session: session.merge(row))

    # --- messages ---------------------------------------------------------------------------------------------------------

    async def _answer(self, message: Message, asked: Asked, say: Say) -> None:
        request = read_request(message)
        words = request.words.strip(" .!")
        if (not words and request.block is None and not request.files) or _HELP.fullmatch(words):
            return await say(replies.help_reply())
        if _WHO.fullmatch(words):
            return await say(await self._who_am_i(asked))
        if _CANCEL.fullmatch(words):
            return await say(await self._cancel(asked))
        if match := _USE.fullmatch(words):
            return await self._use(asked, match[1].lower(), match[2], say)
        access = await self._access(asked)
        if _UNDO.fullmatch(words) and asked.memory.get("undo"):
            return await self._press(Click(asked.memory["undo"], asked.user, asked.thread, self._clock()), say)
        async with self._pool.client(access) as client:
            if _MAY.fullmatch(words.rstrip("?")):
                drafted: Any = Draft((parse("auth can-i --list"),), words, 1.0, "built-in")
            else:
                drafted = await plan(
                    request,
                    memory=asked.memory,
                    namespace=self._namespace(asked, access),
                    lookup=self._lookup(client, asked, access),
                )
            if isinstance(drafted, Remark):
                await say(replies.say(drafted.text, "refusal" if drafted.kind == "refusal" else "answer"))
            elif isinstance(drafted, Question):
                await say(await self._ask_back(asked, drafted))
            else:
                await self._consider(asked, access, client, drafted, say)

    def _namespace(self, asked: Asked, access: ClusterAccess) -> str:
        return str(asked.memory.get("namespace") or access.namespace)

    def _lookup(self, client: ClusterClient, asked: Asked, access: ClusterAccess) -> Any:
        """Names for the translator, each resource read once for a message and with the asker's own access."""
        known: dict[str, tuple[ObjectName, ...]] = {}
        mentioned = re.findall(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", asked.text.lower())
        namespaces = [self._namespace(asked, access), access.namespace, *mentioned[:30]]

        async def names(resource: str) -> Sequence[ObjectName]:
            if resource not in known:
                known[resource] = await list_names(client, resource, namespaces)
            return known[resource]

        return names

    async def _access(self, asked: Asked) -> ClusterAccess:
        return await identity.access_for(self._database, self._settings, asked.user, asked.memory.get("cluster"))

    async def _who_am_i(self, asked: Asked) -> Reply:
        account = await identity.account_of(self._database, asked.user.key)
        rows = [row for _, row in await identity.list_access(self._database, asked.user.key) if row is not None]
        pairs = [("account", asked.user.key), ("person", account.person), ("roles", ", ".join(sorted(account.roles)) or "none")]
        pairs += [(f"cluster {row.cluster}", f"{row.identity} ({row.kind}), namespace {row.namespace}") for row in rows]
        text = f"You are {account.person}, with access to {', '.join(row.cluster for row in rows) or 'no cluster'}."
        return replies.say(text, "answer", Fields(tuple(pairs)))

    async def _cancel(self, asked: Asked) -> Reply:
        waiting = await approvals.in_state(self._database, "pending")
        mine = [one for one in waiting if one.requester == asked.user.key and one.thread == asked.thread]
        gone = [one for one in mine if await approvals.settle(self._database, one.id, "pending", "cancelled")]
        for one in gone:
            await self._audit.append("approval.cancelled", asked.actor, {"by": asked.user.key}, approval_id=one.id)
        lines = "; ".join(command.text for one in gone for command in one.commands)
        return replies.say(f"Cancelled: {lines}" if gone else "Nothing of yours is waiting in this thread.")

    async def _use(self, asked: Asked, what: str, name: str, say: Say) -> None:
        if what == "cluster":
            rows = [row for _, row in await identity.list_access(self._database, asked.user.key) if row is not None]
            if name not in {row.cluster for row in rows}:
                raise UnmappedUser(asked.user.key, name, tuple(row.cluster for row in rows))
            await self._remember(asked, cluster=name, namespace=None, targets=None, undo=None)
        else:
            parse(f"get pods -n {name}")
            await self._remember(asked, namespace=name)
        await say(replies.say(f"This thread now speaks of the {what} {name}."))

    async def _ask_back(self, asked: Asked, question: Question) -> Reply:
        buttons: tuple[Button, ...] = ()
        if question.choices:
            choices = [(label, line, None) for label, line in question.choices]
            buttons = await approvals.propose(
                self._database, asked.thread, "choice", choices, user_key=asked.user.key, now=self._clock()
            )
        return replies.question(question, buttons)

    # --- from a draft to a run or a card ----------------------------------------------------------------------------------

    async def _consider(self, asked: Asked, access: ClusterAccess, client: ClusterClient, draft: Draft, say: Say) -> None:
        commands = tuple(self._placed(command, asked, access) for command in draft.commands)
        verdict = await _judged(commands)
        if verdict.level is Level.FORBIDDEN:
            await self._record("command.refused", asked, access, commands, rule=verdict.rule, reasons=list(verdict.reasons))
            return await say(replies.refused(verdict.rule, verdict.reasons, commands[0].text))
        try:
            await self._allow(asked, access, client, commands, verdict, draft, say)
        except ClusterError as error:
            await self._record("command.failed", asked, access, commands, error=explain(error))
            await say(replies.failure(explain(error), commands, verdict.level.value))
        return None

    async def _allow(
        self,
        asked: Asked,
        access: ClusterAccess,
        client: ClusterClient,
        commands: tuple[Command, ...],
        verdict: Verdict,
        draft: Draft,
        say: Say,
    ) -> None:
        """Ask the cluster whether this person may, and run what is safe or open a card."""
        if await self._is_denied(asked, access, client, commands, verdict, say):
            return None
        task = Task(asked.user, asked.thread, access, asked.text, commands, verdict, draft.translator)
        if verdict.level is Level.SAFE:
            return await self._run(asked, client, task, say)
        previews = [await preview(client, command) for command in commands]
        policy = approvals.policy_for(self._settings, verdict.level.value, access.cluster, _reach(commands, previews))
        if await self._is_frozen(asked, access, commands, previews, say):
            return None
        if policy.mode == "none":
            return await self._run(asked, client, replace(task, expected=_expected(previews)), say)
        await self._open(asked, access, client, task, previews, policy, say)
        return None

    def _placed(self, command: Command, asked: Asked, access: ClusterAccess) -> Command:
        """The command with its cluster, and its namespace where it has one."""
        namespace = command.namespace
        if namespace is None and not command.all_namespaces and needs_namespace(command):
            namespace = self._namespace(asked, access)
        return replace(command, namespace=namespace, cluster=access.cluster)

    async def _is_denied(
        self, asked: Asked, access: ClusterAccess, client: ClusterClient, commands: Sequence[Command], verdict: Verdict, say: Say
    ) -> bool:
        found = [denial for command in commands for denial in await denials(client, command)]
        if not found:
            return False
        sentences = list(dict.fromkeys(denial.sentence for denial in found))
        await self._record("command.denied", asked, access, commands, denials=sentences)
        await say(replies.denied(sentences, commands, verdict.level.value))
        return True

    async def _is_frozen(
        self, asked: Asked, access: ClusterAccess, commands: Sequence[Command], previews: Sequence[Preview], say: Say
    ) -> bool:
        freeze = approvals.freeze_for(self._settings, access.cluster, _reach(commands, previews), self._clock())
        if freeze is None:
            return False
        await self._record("command.refused", asked, access, commands, rule="freeze", reasons=[freeze.name])
        until = freeze.until.strftime("%Y-%m-%d %H:%M %Z")
        await say(replies.refused("freeze", [f"Changes are frozen until {until} ({freeze.name})."], commands[0].text))
        return True

    async def _open(
        self,
        asked: Asked,
        access: ClusterAccess,
        client: ClusterClient,
        task: Task,
        previews: Sequence[Preview],
        policy: ApprovalRule,
        say: Say,
    ) -> None:
        account = await identity.account_of(self._database, asked.user.key)
        bound = await _bound(client, task.commands, previews, policy, access)
        approval, buttons = await approvals.open_approval(
            self._database,
            task.commands,
            requester=asked.user,
            person=account.person,
            identity=access.identity,
            thread=asked.thread,
            cluster=access.cluster,
            bound=bound,
            policy=policy,
            card={
                **replies.card_of(task.commands, task.verdict, previews, policy, asked.text),
                "user": [asked.user.platform, asked.user.workspace, asked.user.id, asked.user.name],
                "translator": task.translator,
            },
            now=self._clock(),
        )
        await self._record("approval.requested", asked, access, task.commands, approval.id, card=approval.card, bound=bound)
        await self._remember(asked, targets=None)
        await say(replies.proposal(approval, buttons, asked.user.name or asked.user.id))

    # --- clicks -----------------------------------------------------------------------------------------------------------

    async def _press(self, click: Click, say: Say) -> None:
        button = await approvals.pressed(self._database, click.button, click.thread, click.user, self._clock())
        if button.approval_id is not None:
            return await self._decide(button.approval_id, button.role, click, say)
        line, manifest = approvals.proposed(self._database, button)
        asked = Asked(click.user, click.thread, line, await self._memory(click.thread))
        access = await self._access(asked)
        async with self._pool.client(access) as client:
            await self._consider(asked, access, client, Draft((parse(line, manifest=manifest),), line, 1.0, button.role), say)

    async def _memory(self, thread: Thread) -> dict[str, Any]:
        row = await self._database.read(lambda session: session.get(ThreadRow, thread.key))
        return dict(row.memory) if row else {}

    async def _decide(self, approval_id: str, choice: str, click: Click, say: Say) -> None:
        account = await identity.account_of(self._database, click.user.key)
        voter = Voter(click.user.key, account.person, account.roles)
        before = await approvals.find(self._database, approval_id)
        same = frozenset[str]()
        if before is not None:
            same = await identity.persons_with_identity(self._database, before.cluster, before.identity)
        approval = await approvals.vote(self._database, approval_id, voter, choice, same, self._clock())
        actor = Actor(click.user.platform, click.user.workspace, click.user.id)
        verb = {"expired": "expired", "denied": "denied", "cancelled": "cancelled"}.get(approval.state, "granted")
        await self._audit.append(
            f"approval.{verb}",
            actor,
            {"person": account.person, "choice": choice, "reason": click.reason},
            approval_id=approval_id,
        )
        name = click.user.name or click.user.id
        if approval.state == "pending":
            return await say(replies.decided(approval, f"Approved by {name}; waiting for more.", "progress"))
        if approval.state != "approved":
            said = {
                "denied": f"Denied by {name}.",
                "cancelled": f"Cancelled by {name}.",
                "expired": "This has expired; ask again.",
            }
            return await say(replies.decided(approval, said[approval.state], "refusal"))
        await self._carry_out_approved(approval, say)

    async def _carry_out_approved(self, approval: Approval, say: Say) -> None:
        """Check everything again as it is now, take the request for execution, and run it."""
        requester = User(*approval.card["user"])
        asked = Asked(requester, approval.thread, approval.card["question"], await self._memory(approval.thread))
        try:
            access = await identity.access_for(self._database, self._settings, requester, approval.cluster)
            async with self._pool.client(access) as client:
                await self._recheck_and_run(approval, asked, access, client, say)
        except _KNOWN:
            await approvals.settle(self._database, approval.id, "approved", "stale")
            raise

    async def _recheck_and_run(
        self, approval: Approval, asked: Asked, access: ClusterAccess, client: ClusterClient, say: Say
    ) -> None:
        verdict = await _judged(approval.commands)
        draft = Draft(approval.commands, asked.text, 1.0, approval.card["translator"])
        voters = await self._standing_voters(approval)
        previews = [] if verdict.level is Level.FORBIDDEN else [await preview(client, command) for command in approval.commands]
        policy = approvals.policy_for(
            self._settings, _needs_agreement(verdict.level), access.cluster, _reach(approval.commands, previews)
        )
        bound = await _bound(client, approval.commands, previews, policy, access)
        if bound != approval.bound or voters is None or await self._frozen_now(access, approval, previews):
            stale = await approvals.settle(self._database, approval.id, "approved", "stale")
            await self._record("approval.stale", asked, access, approval.commands, approval.id, bound=bound)
            await say(replies.decided(stale or approval, RECHECKED, "progress"))
            return await self._consider(asked, access, client, draft, say)
        if await self._is_denied(asked, access, client, approval.commands, verdict, say):
            await approvals.settle(self._database, approval.id, "approved", "stale")
            return None
        claimed = await approvals.claim(self._database, approval.id, approvals.new_id(), self._clock())
        if claimed is None:
            raise ClickRefused("decided", "This has expired, or somebody was faster.")
        await say(replies.decided(claimed, f"Agreed to by {replies.people(voters)}. Running …", "progress"))
        task = Task(
            asked.user, asked.thread, access, asked.text, approval.commands, verdict, draft.translator, approval.id, voters,
            _expected(previews),
        )  # fmt: skip
        await self._run(asked, client, task, say, claimed)
        return None

    async def _standing_voters(self, approval: Approval) -> tuple[str, ...] | None:
        """Who agreed, if all of them still may; None when somebody's role is gone."""
        cast = await approvals.votes(self._database, approval.id)
        for row in cast:
            account = await identity.account_of(self._database, row.user_key)
            if account.person != row.person:
                return None
            if approval.policy.mode == "approve" and approval.policy.approvers not in account.roles:
                return None
        return tuple(row.user_key for row in cast)

    async def _frozen_now(self, access: ClusterAccess, approval: Approval, previews: Sequence[Preview]) -> bool:
        reach = _reach(approval.commands, previews)
        return approvals.freeze_for(self._settings, access.cluster, reach, self._clock()) is not None

    # --- running ----------------------------------------------------------------------------------------------------------

    async def _run(self, asked: Asked, client: ClusterClient, task: Task, say: Say, approval: Approval | None = None) -> None:
        try:
            outcome = await carry_out(self._audit, client, task, self._limits)
        except AuditUnavailable:
            if approval is not None:
                await approvals.settle(self._database, approval.id, "executing", "failed")
            raise
        state = "unknown" if outcome.unknown else "failed" if outcome.failure else "done"
        settled = None
        if approval is not None:
            settled = await approvals.settle(self._database, approval.id, "executing", state)  # type: ignore[arg-type]
        undo = await self._undo_button(asked, outcome.results) if not outcome.failure else None
        await self._remember(asked, **_memories(task, undo))
        await say(self._told(task, outcome, undo, settled or approval))

    async def _undo_button(self, asked: Asked, results: Sequence[ExecutionResult]) -> Button | None:
        """The inverse of the last command, as a command that is proposed like any other. Anybody in the thread may press it."""
        last = results[-1] if results else None
        if last is None or last.undo is None or len(results) > 1:
            return None
        choices = [("Undo", last.undo, last.undo_manifest)]
        return (await approvals.propose(self._database, asked.thread, "undo", choices, user_key=None, now=self._clock()))[0]

    def _told(self, task: Task, outcome: Outcome, undo: Button | None, approval: Approval | None) -> Reply:
        place = {"card": approval.id, "revision": approval.version} if approval else {}
        level = task.verdict.level.value
        if outcome.failure:
            before = "It is not known whether the change happened: " if outcome.unknown else ""
            failed = replies.failure(before + outcome.failure, task.commands, level)
            return replace(failed, **place)  # type: ignore[arg-type]
        heading = f"*Done.* Agreed to by {replies.people(task.approvers)}." if task.approvers else ""
        return replies.result(
            task.commands,
            outcome.results,
            level=level,
            who=task.access.identity,
            undo=undo,
            recorded=outcome.recorded,
            heading=heading,
            **place,  # type: ignore[arg-type]
        )

    # --- a new start ------------------------------------------------------------------------------------------------------

    async def recover(self) -> list[tuple[Thread, Reply]]:
        """What an earlier process left unfinished: marked as unknown, never tried again. Replies for the threads concerned."""
        now = self._clock()
        told: list[tuple[Thread, Reply]] = []
        for row in await mark_unknown(self._audit, now):
            if row.approval_id:
                await approvals.settle(self._database, row.approval_id, "executing", "unknown")
            payload = row.payload or {}
            thread = Thread(*payload.get("thread", ("", "", "", "")))
            told.append(
                (thread, replies.unknown_outcome([str(payload.get("command", "?"))], row.actor.user, f"{row.at:%H:%M:%S} UTC"))
            )
        return told + await self._recover_unstarted(now)

    async def _recover_unstarted(self, now: datetime) -> list[tuple[Thread, Reply]]:
        """Requests taken for execution of which no start is on record: nothing ran, because the record comes first."""
        told = []
        for approval in await approvals.in_state(self._database, "executing", "approved"):
            if approval.state == "executing" and (approval.expires_at > now or await self._has_begun(approval)):
                continue
            if approval.state == "approved" and approval.expires_at > now:
                continue
            after: approvals.State = "failed" if approval.state == "executing" else "expired"
            if moved := await approvals.settle(self._database, approval.id, approval.state, after):
                told.append(
                    (approval.thread, replies.decided(moved, "This was agreed to and never begun. Ask again.", "failure"))
                )
        return told

    async def _has_begun(self, approval: Approval) -> bool:
        return bool(await self._audit.rows(approval_id=approval.id, kind=STARTED, limit=1))

    # --- records and sentences --------------------------------------------------------------------------------------------

    async def _record(
        self,
        kind: str,
        asked: Asked,
        access: ClusterAccess,
        commands: Sequence[Command],
        approval_id: str | None = None,
        **more: Any,
    ) -> AuditRow:
        payload = {
            "question": asked.text,
            "commands": [command.text for command in commands],
            "manifests": [command.manifest for command in commands if command.manifest],
            "cluster": access.cluster,
            **more,
        }
        actor = replace(asked.actor, identity=access.identity)
        digest = commands[0].digest if len(commands) == 1 else None
        return await self._audit.append(kind, actor, payload, command_digest=digest, approval_id=approval_id)

    async def _explained(self, error: Exception, user: User, text: str) -> Reply:
        """The sentence for an error, and an audit row where somebody was turned away."""
        kind, reply = _sentence(error)
        if kind:
            actor = Actor(user.platform, user.workspace, user.id)
            rule = getattr(error, "rule", type(error).__name__)
            try:
                await self._audit.append(kind, actor, {"text": text, "rule": rule, "reply": reply.text})
            except AuditUnavailable as unavailable:
                return replies.failure(f"{reply.text} (And the audit log is out of reach: {unavailable})")
        return reply


_KNOWN = (
    CommandRefused, ClickRefused, UnmappedUser, NoBotAccess, KubeconfigRefused, ClusterError, AuditUnavailable, StoreUnavailable,
    KeyUnknown, DecryptionRefused,
)  # fmt: skip


def _sentence(error: Exception) -> tuple[str, Reply]:
    """The kind of audit row, if one is due, and the reply."""
    match error:
        case CommandRefused():
            return "command.refused", replies.refused(error.rule, [error.reason])
        case ClickRefused():
            return "click.refused", replies.say(error.reason, "refusal")
        case UnmappedUser():
            return "access.missing", replies.unmapped(error.user_key, error.cluster, error.clusters)
        case ClusterError():
            return "", replies.failure(explain(error))
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


async def _judged(commands: Sequence[Command]) -> Verdict:
    """The worst verdict of all. Reading a manifest takes time, so it is done in a thread."""
    verdicts = [
        await asyncio.to_thread(classify, command) if command.manifest or command.flag("overrides") else classify(command)
        for command in commands
    ]
    worst = max(verdicts, key=lambda verdict: verdict.level.rank)
    reasons = dict.fromkeys(reason for verdict in verdicts if verdict.level is worst.level for reason in verdict.reasons)
    return replace(worst, reasons=tuple(reasons))


def _needs_agreement(level: Level) -> str:
    """The level whose policy holds; what has become forbidden has none and is refused when it is considered again."""
    return "warning" if level is Level.WARNING else "dangerous"


async def _bound(
    client: ClusterClient, commands: Sequence[Command], previews: Sequence[Preview], policy: ApprovalRule, access: ClusterAccess
) -> str:
    return approvals.bind(
        commands,
        cluster_uid=await cluster_uid(client),
        identity=access.identity,
        policy=policy,
        targets=[ref for one in previews for ref in one.targets],
    )


def _expected(previews: Sequence[Preview]) -> tuple[tuple[ObjectRef, ...], ...]:
    return tuple(one.targets for one in previews)


def _reach(commands: Sequence[Command], previews: Sequence[Preview]) -> frozenset[str | None] | None:
    """The namespaces that a change touches: those of its objects, a deleted namespace itself included. None for any."""
    found: set[str | None] = set()
    for ref in (ref for one in previews for ref in one.targets):
        found.add(ref.name if ref.resource == "namespaces" else ref.namespace)
    if any(command.all_namespaces for command in commands):
        return None
    return frozenset(found | {command.namespace for command in commands if command.namespace})


_NO_NAMESPACE = frozenset(
    {"cordon", "uncordon", "drain", "top nodes", "explain", "api-resources", "api-versions", "version", "cluster-info",
     "config get-contexts", "config current-context", "auth whoami", "create namespace", "create clusterrole",
     "create clusterrolebinding", "create priorityclass"}
)  # fmt: skip


def needs_namespace(command: Command) -> bool:
    """Whether the command means something in a namespace. Custom kinds may, so they count."""
    if command.verb in _NO_NAMESPACE:
        return False
    kinds = [find_kind(resource) for resource in command.resources]
    return not kinds or any(kind is None or kind.namespaced for kind in kinds)


def _memories(task: Task, undo: Button | None) -> dict[str, Any]:
    """What the thread should know next time."""
    last = task.commands[-1]
    named = [[target.resource, last.namespace, target.name] for target in last.targets if target.name]
    return {
        "last": last.text,
        "targets": named or None,
        "namespace": last.namespace,
        "cluster": last.cluster,
        "undo": undo.id if undo else None,
    }
