"""From a draft to a run or a card, and from a button back to a run. Nothing runs that was not weighed as it stands now.

draft → weigh → refused | denied | run | card          button → vote → weigh again → stale: card again | claim → run
"""

from collections import Counter
from contextlib import suppress
from dataclasses import replace

from audit.ledger import AuditUnavailable
from bot import approvals, buttons, identity, replies
from bot.approvals import Approval, Request, Voter
from bot.buttons import ClickRefused, Proposal
from bot.conversation import Asked, Means, recall, record, remember
from bot.database import StoreUnavailable
from bot.drafts import Draft
from bot.execution import Task, memories, run
from bot.identity import UNUSABLE
from bot.judgement import Weighed, judged, on_card, placed, shown, weigh
from bot.settings import Freeze
from bot.types import Click, Say
from k8s.access import ClusterAccess
from k8s.client import ClusterClient
from k8s.denials import explain_denials
from k8s.errors import ClusterError, explain
from k8s.grammar import parse
from k8s.types import Level

RECHECKED = "Something has changed since this was shown, so it was not run. Here it is again as it stands now."
NO_LONGER_STANDS = "Somebody who agreed to this may no longer decide it, so it was not run. Ask again."
EXPIRED = "This has expired; ask again."

LAST = len(approvals.NEXT)
"""More steps than a request has: the revision of what is said about a card when its true one cannot be read."""


# --- from a draft ---------------------------------------------------------------------------------------------------------


async def consider(
    means: Means, asked: Asked, access: ClusterAccess, client: ClusterClient, draft: Draft, namespace: str, say: Say
) -> None:
    """Judge a draft, and refuse it, run it, or ask for agreement. `namespace` is where it goes when it names none."""
    commands = tuple(placed(command, access.cluster, namespace) for command in draft.commands)
    verdict = await judged(commands)
    try:
        weighed = await weigh(means.settings, means.clock(), access, client, commands, verdict)
        await _act(means, asked, access, client, weighed, draft.translator, say)
    except ClusterError as error:
        await record(means, "command.failed", asked, access, commands, error=explain(error))
        await say(replies.failure(explain(error), shown(commands), verdict.level.value))


async def _act(
    means: Means, asked: Asked, access: ClusterAccess, client: ClusterClient, weighed: Weighed, translator: str, say: Say
) -> None:
    commands, verdict, policy = weighed.commands, weighed.verdict, weighed.policy
    if refusal := _refusal(weighed):
        rule, reasons = refusal
        await record(means, "command.refused", asked, access, commands, rule=rule, reasons=reasons)
        return await say(replies.refused(rule, reasons, shown(commands)[0].text))
    if weighed.denials:
        sentences = explain_denials(weighed.denials).split("\n")
        await record(means, "command.denied", asked, access, commands, denials=sentences)
        return await say(replies.denied(sentences, shown(commands), verdict.level.value))
    task = Task(asked, access, commands, verdict, translator, expected=weighed.expected)
    if verdict.level is Level.SAFE or (policy is not None and policy.mode == "none"):
        return await run(means, client, task, say)
    await _open(means, task, weighed, say)


def _refusal(weighed: Weighed) -> tuple[str, list[str]] | None:
    if weighed.verdict.level is Level.FORBIDDEN:
        return weighed.verdict.rule, list(weighed.verdict.reasons)
    if shared := _touched_twice(weighed):
        return "overlap", [f"Several of these commands change {', '.join(shared)}: ask for them one after the other."]
    return ("freeze", [_frozen(weighed.freeze)]) if weighed.freeze else None


def _touched_twice(weighed: Weighed) -> list[str]:
    """Objects that several commands change: what the later ones would do to them cannot be shown, nor agreed to."""
    places = Counter((ref.namespace, str(ref)) for one in weighed.previews for ref in one.targets)
    return [name for (_, name), times in places.items() if times > 1] if len(weighed.commands) > 1 else []


def _frozen(freeze: Freeze) -> str:
    return f"Changes are frozen until {freeze.until:%Y-%m-%d %H:%M %Z} ({freeze.name})."


async def _open(means: Means, task: Task, weighed: Weighed, say: Say) -> None:
    """Write the request down, then show its card."""
    asked, policy = task.asked, weighed.policy
    if policy is None:
        raise ValueError("what is not safe has a policy")
    card = replies.card_of(task.commands, task.verdict, weighed.previews, policy, asked.text)
    request = Request(
        requester=asked.user,
        person=(await identity.account_of(means.database, asked.user.key)).person,
        identity=task.access.identity,
        thread=asked.thread,
        cluster=task.access.cluster,
        commands=task.commands,
        bound=weighed.bound,
        policy=policy,
        card={**card, "translator": task.translator},
        requested_at=means.clock(),
    )
    approval, choices = await approvals.open_approval(means.database, request)
    more = {"card": card, "bound": weighed.bound, "policy": policy.model_dump(mode="json")}
    await record(means, "approval.requested", asked, task.access, task.commands, approval_id=approval.id, **more)
    await remember(means, asked.thread, **memories(task))
    await say(replies.proposal(on_card(approval), choices, asked.name))


# --- from a button --------------------------------------------------------------------------------------------------------


async def press(means: Means, click: Click, say: Say) -> None:
    """Act on a button: a word on a request, or a proposal that is considered like anything said.

    Raises: ClickRefused when it does not count.
    """
    pressed = await buttons.press(means.database, click.button, click.thread, click.user, means.clock())
    if pressed.proposal is not None:
        await _propose(means, click, pressed.proposal, pressed.role, say)
    elif pressed.approval_id is not None:
        await _decide(means, pressed.approval_id, pressed.role, click, say)


async def _propose(means: Means, click: Click, proposal: Proposal, role: str, say: Say) -> None:
    """With the rights of whoever pressed, in the cluster that the button was made for."""
    asked = Asked(click.user, click.thread, proposal.line, await recall(means, click.thread))
    access = await identity.access_for(means.database, means.settings, click.user, proposal.cluster)
    draft = Draft((parse(proposal.line, manifest=proposal.manifest),), proposal.line, 1.0, role)
    async with means.pool.client(access) as client:
        await consider(means, asked, access, client, draft, proposal.namespace or access.namespace, say)


async def _decide(means: Means, approval_id: str, choice: str, click: Click, say: Say) -> None:
    request = (await approvals.find(means.database, approval_id)).request
    voter = await _voter(means, request, click.user.key)
    approval = await approvals.vote(means.database, approval_id, voter, choice, means.clock())
    if approval.state != "approved":
        return await _tell_decided(means, approval, voter, choice, click, say)
    try:
        await _record_word(means, approval, voter, choice, click)
        agreed_by = replies.people(vote.user_key for vote in await approvals.votes(means.database, approval_id))
        await say(replies.decided(on_card(approval), f"Agreed to by {agreed_by}. Running …"))
        await _carry_out(means, approval, say)
    except (AuditUnavailable, StoreUnavailable):
        last = replace(on_card(approval), version=approval.version + LAST)
        await say(replies.decided(last, "Not run.", "failure"))
        raise
    finally:  # whatever kept it from being begun: it is not begun later, when nobody expects it
        with suppress(StoreUnavailable):
            await approvals.settle(means.database, approval_id, "approved", "stale")


async def _tell_decided(means: Means, approval: Approval, voter: Voter, choice: str, click: Click, say: Say) -> None:
    await _record_word(means, approval, voter, choice, click)
    card, name = on_card(approval), click.user.name or click.user.id
    if approval.state == "pending":
        missing = approval.policy.needed - len(await approvals.votes(means.database, approval.id))
        said = f"Approved by {name}; {missing} more needed."
        choices = await buttons.of_card(means.database, approval.id)
        return await say(replies.decided(card, said, "proposal", choices))
    said = {"denied": f"Denied by {name}.", "cancelled": f"Cancelled by {name}.", "expired": EXPIRED}[approval.state]
    await say(replies.decided(card, said, "refusal"))


async def _record_word(means: Means, approval: Approval, voter: Voter, choice: str, click: Click) -> None:
    kind = approval.state if approval.state in {"expired", "denied", "cancelled"} else "granted"
    actor = Asked(click.user, click.thread, "", {}).actor
    payload = {"person": voter.person, "choice": choice, "reason": click.reason}
    await means.audit.append(f"approval.{kind}", actor, payload, approval_id=approval.id)


async def _voter(means: Means, request: Request, user_key: str) -> Voter:
    """How an account stands to a request, as of now: whoever has become the same person since counts as the same."""
    account = await identity.account_of(means.database, user_key)
    requester = await identity.account_of(means.database, request.requester.key)
    same_hands = await identity.persons_with_identity(means.database, request.cluster, request.identity)
    asked = user_key == request.requester.key or account.person in {request.person, requester.person}
    return Voter(user_key, account.person, account.roles, asked, account.person in same_hands)


# --- after the last word --------------------------------------------------------------------------------------------------


async def _carry_out(means: Means, approval: Approval, say: Say) -> None:
    """Look at everything again as it is now, take the request for execution, and run it."""
    request = approval.request
    asked = Asked(request.requester, request.thread, approval.card["question"], await recall(means, request.thread))
    try:
        access = await identity.access_for(means.database, means.settings, request.requester, request.cluster)
        async with means.pool.client(access) as client:
            await _recheck(means, approval, asked, access, client, say)
    except UNUSABLE:
        said = f"Not run: the access of {asked.name} to {request.cluster} is gone or cannot be used any more."
        await _not_run(means, approval, asked, said, say)
    except ClusterError as error:
        await _not_run(means, approval, asked, f"Not run. {explain(error)}", say)


async def _recheck(
    means: Means, approval: Approval, asked: Asked, access: ClusterAccess, client: ClusterClient, say: Say
) -> None:
    verdict = await judged(approval.commands)
    weighed = await weigh(means.settings, means.clock(), access, client, approval.commands, verdict)
    said = await _changed(means, approval, weighed)
    if not said:
        return await _claim_and_run(means, approval, asked, access, client, weighed, say)
    await _not_run(means, approval, asked, said, say)
    if said != NO_LONGER_STANDS:
        await _act(means, asked, access, client, weighed, approval.card["translator"], say)


async def _changed(means: Means, approval: Approval, weighed: Weighed) -> str:
    """Why it may not run as agreed; empty when all is as it was shown."""
    if weighed.freeze:
        return f"Not run. {_frozen(weighed.freeze)}"
    if weighed.denials:
        return "Not run: whoever asked may not do this any more."
    cast = await approvals.votes(means.database, approval.id)
    for vote in cast:
        voter = await _voter(means, approval.request, vote.user_key)
        if voter.person != vote.person or approvals.objection(approval.policy, voter, vote.choice):
            return NO_LONGER_STANDS
    if not approvals.agreed(approval.policy, cast):
        return NO_LONGER_STANDS
    return "" if weighed.bound == approval.request.bound else RECHECKED


async def _not_run(means: Means, approval: Approval, asked: Asked, said: str, say: Say) -> None:
    stale = await approvals.settle(means.database, approval.id, "approved", "stale")
    payload = {"why": said, "commands": [command.text for command in approval.commands]}
    await means.audit.append("approval.stale", asked.actor, payload, approval_id=approval.id)
    await say(replies.decided(on_card(stale or approval), said, "refusal"))


async def _claim_and_run(
    means: Means, approval: Approval, asked: Asked, access: ClusterAccess, client: ClusterClient, weighed: Weighed, say: Say
) -> None:
    claimed = await approvals.claim(means.database, approval.id, means.clock())
    if claimed is None:
        if late := await approvals.settle(means.database, approval.id, "approved", "expired"):
            return await say(replies.decided(on_card(late), EXPIRED, "refusal"))
        raise ClickRefused("decided", "Somebody was faster.")
    voters = tuple(vote.user_key for vote in await approvals.votes(means.database, approval.id))
    task = Task(
        asked, access, claimed.commands, weighed.verdict, approval.card["translator"], approval.id, voters, weighed.expected
    )
    await run(means, client, task, say, claimed)
