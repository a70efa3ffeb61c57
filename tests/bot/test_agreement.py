"""Agreement under attack: who may agree, once, to what was shown, and only while all of it still holds."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot import identity
from bot.conversation import Means, recall, remember
from bot.settings import ApprovalRule, Freeze, Settings
from bot.types import Button
from k8s.access import ClusterPool
from tests.bot.dialogue import Dialogue, choices, dialogue, opened, thread, told
from tests.clusters import LiveCluster

DELETE = "delete configmap colours in NS"
TWO_PEOPLE = {"approvals": [{"verdict": "dangerous", "mode": "approve", "needed": 2}]}


# --- 22: one's own request ------------------------------------------------------------------------------------------------


async def administrator(d: Dialogue, cluster: LiveCluster) -> str:
    await d.person("alice", roles=["approver", "admin", "administrator"])
    return "alice"


async def second_account(d: Dialogue, cluster: LiveCluster) -> str:
    await d.person("alice", is_person="Alice Smith")
    await d.person("alice-phone", is_person="Alice Smith", roles=["approver"])
    return "alice-phone"


async def second_account_by_a_slip_of_the_pen(d: Dialogue, cluster: LiveCluster) -> str:
    await d.person("alice", is_person="Alice Smith")
    await d.person("alice-phone", is_person=" alice  SMITH", roles=["approver"])
    return "alice-phone"


async def second_account_named_after_the_first(d: Dialogue, cluster: LiveCluster) -> str:
    await d.person("alice-phone", is_person="test/T1/alice", roles=["approver"])
    return "alice-phone"


async def same_cluster_identity(d: Dialogue, cluster: LiveCluster) -> str:
    await d.map(cluster, "other=alice")
    await d.person("other", roles=["approver"])
    return "other"


@pytest.mark.parametrize(
    "who",
    [
        administrator,
        second_account,
        second_account_by_a_slip_of_the_pen,
        second_account_named_after_the_first,
        same_cluster_identity,
    ],
)
async def test_requester_cannot_approve_own_delete(
    d: Dialogue, cluster: LiveCluster, who: Callable[[Dialogue, LiveCluster], Awaitable[str]]
) -> None:
    """Case 22."""
    account = await who(d, cluster)
    await d.say("alice", DELETE)
    await d.press(account, "approve")
    d.expect("refusal", "Nobody can approve their own request")
    assert (await d.kinds())[-1] == "click.refused"
    d.assert_nothing_ran()


@pytest.mark.parametrize(("account", "person"), [("bob", "test/T1/alice"), ("alice", "test/T1/bob")])
async def test_who_turns_out_to_be_the_requester_does_not_count(d: Dialogue, account: str, person: str) -> None:
    """Case 22: the accounts are joined after the request was made."""
    await d.say("alice", DELETE)
    await d.person(account, is_person=person)
    for word in ("approve", "deny"):
        await d.press("bob", word)
        d.expect("refusal", "own request")


async def test_a_warning_is_confirmed_by_nobody_else(d: Dialogue) -> None:
    await d.say("alice", "restart checkout in NS")
    for other in ("bob", "carol", "mallory"):
        await d.press(other, "confirm")
        d.expect("refusal", "Only who asked can confirm")
    d.assert_nothing_ran()


async def test_who_has_no_role_does_not_count(fresh: Dialogue) -> None:
    d = fresh
    await d.say("alice", DELETE)
    for other in ("carol", "mallory"):
        for word in ("approve", "deny"):
            await d.press(other, word)
            d.expect("refusal", "role approver")
    await d.press("bob", "approve")
    d.expect("result")


# --- 23: one person in several roles --------------------------------------------------------------------------------------


async def test_one_person_counts_once_where_two_are_needed(tmp_path: Path, cluster: LiveCluster) -> None:
    """Case 23: three accounts and three roles are still one person."""
    own = await cluster.namespace()
    async with dialogue(tmp_path, cluster, own, settings=TWO_PEOPLE) as d:
        for account in ("bob", "bob-phone", "bob-tablet"):
            await d.person(account, is_person="bob", roles=["approver", "sre", "admin"])
        await d.say("alice", DELETE)
        await d.press("bob", "approve")
        d.expect("proposal", "Approved by bob; 1 more needed", buttons="approve deny cancel")
        for account in ("bob", "bob-phone", "bob-tablet"):
            await d.press(account, "approve")
            d.expect("refusal", "counted already; another person")
        d.assert_nothing_ran()
        await d.press("dave", "approve")
        d.expect("result", "Agreed to by bob, dave")
        assert len(d.edge.changes) == 1


async def test_who_agreed_may_still_deny(tmp_path: Path, cluster: LiveCluster, namespace: str) -> None:
    async with dialogue(tmp_path, cluster, namespace, settings=TWO_PEOPLE) as d:
        await d.say("alice", DELETE)
        await d.press("bob", "approve")
        await d.press("bob", "deny")
        d.expect("refusal", "Denied by bob")
        await d.press("dave", "approve")
        d.expect("refusal", "A denial is final")
        d.assert_nothing_ran()


# --- 24, 28: at the same moment -------------------------------------------------------------------------------------------


async def test_double_clicks_and_retries_run_once(fresh: Dialogue) -> None:
    """Case 24."""
    d = fresh
    await d.say("alice", DELETE)
    button = d.shown["approve"]
    await asyncio.gather(*(d.press(who, button) for who in ("bob", "dave") * 10))
    await d.press("bob", button)
    d.expect("refusal", "carried out already")
    assert [one.method for one in d.edge.changes] == ["DELETE"]
    assert await d.started() == 1
    d.assert_log_is_whole()


async def test_two_replicas_run_once(fresh: Dialogue, tmp_path: Path) -> None:
    """Case 24: two engines with a pool of database connections each."""
    d = fresh
    async with opened(tmp_path, d.url, d.edge) as other:
        await d.say("alice", DELETE)
        button = d.shown["approve"]
        engines = (d.engine, other.engine) * 5
        await asyncio.gather(*(d.press("bob", button, engine=engine) for engine in engines))
    assert [one.method for one in d.edge.changes] == ["DELETE"]
    assert await d.started() == 1


async def test_approve_and_deny_at_the_same_moment(fresh: Dialogue) -> None:
    """Case 28: one of them wins, and the other is told so."""
    d = fresh
    await d.say("alice", DELETE)
    approve, deny = d.shown["approve"], d.shown["deny"]
    await asyncio.gather(d.press("bob", approve), d.press("dave", deny))
    kinds = await d.kinds()
    assert len({"approval.granted", "approval.denied"} & set(kinds)) == 1
    assert len(d.edge.changes) == ("approval.granted" in kinds)


# --- 26: asked again ------------------------------------------------------------------------------------------------------


async def the_object(d: Dialogue, cluster: LiveCluster) -> None:
    await cluster.run("admin", f"scale deployment checkout --replicas=4 -n {d.namespace}")


async def another_object_of_the_name(d: Dialogue, cluster: LiveCluster) -> None:
    await cluster.run("admin", f"delete configmap colours -n {d.namespace}")
    body = {"metadata": {"name": "colours"}, "data": {"main": "red"}}
    await (await cluster.client("admin")).request("POST", f"/api/v1/namespaces/{d.namespace}/configmaps", body=body)


async def its_content(d: Dialogue, cluster: LiveCluster) -> None:
    """A ConfigMap has no generation; its resourceVersion tells."""
    path = f"/api/v1/namespaces/{d.namespace}/configmaps/colours"
    await (await cluster.client("admin")).request(
        "PATCH", path, body={"data": {"main": "green"}}, content_type="application/merge-patch+json"
    )


async def the_policy(d: Dialogue, cluster: LiveCluster) -> None:
    two = ApprovalRule(verdict="dangerous", mode="approve", needed=2)
    short = ApprovalRule(verdict="warning", mode="confirm", expires=timedelta(minutes=5))
    d.configure(Settings(approvals=(two, short)))


async def the_identity(d: Dialogue, cluster: LiveCluster) -> None:
    await d.map(cluster, "alice=bob")


CHANGED = [
    ("scale checkout in NS to 5", "alice", "confirm", the_object),
    ("restart checkout in NS", "alice", "confirm", the_object),
    (DELETE, "dave", "approve", another_object_of_the_name),
    (DELETE, "dave", "approve", its_content),
    (DELETE, "dave", "approve", the_policy),
    ("scale checkout in NS to 5", "alice", "confirm", the_policy),
    (DELETE, "dave", "approve", the_identity),
]


@pytest.mark.parametrize(("text", "who", "word", "change"), CHANGED)
async def test_what_changed_is_asked_again(
    fresh: Dialogue,
    cluster: LiveCluster,
    text: str,
    who: str,
    word: str,
    change: Callable[[Dialogue, LiveCluster], Awaitable[None]],
) -> None:
    """Case 26: a fresh card, with a fresh approval; the old one is dead."""
    d = fresh
    await d.say("alice", text)
    old, card = d.shown[word], d.replies[-1].card
    await change(d, cluster)
    await d.press(who, old)
    d.expect("proposal")
    assert any("Something has changed" in told(reply) and reply.card == card for reply in d.replies)
    assert d.replies[-1].card != card
    d.assert_nothing_ran()
    await d.press(who, old)
    d.expect("refusal", "has changed since")
    assert (await d.kinds()).count("approval.stale") == 1


async def test_a_change_of_status_alone_does_not_matter(fresh: Dialogue, cluster: LiveCluster) -> None:
    d = fresh
    await d.say("alice", "restart checkout in NS")
    admin = await cluster.client("admin")
    where = f"/apis/apps/v1/namespaces/{d.namespace}/deployments/checkout"
    body = {"metadata": {"labels": {"seen": "yes"}}}
    await admin.request("PATCH", where, body=body, content_type="application/merge-patch+json")
    await d.press("alice", "confirm")
    d.expect("result", "restarted")


async def test_a_change_at_the_last_moment_is_not_run_over(fresh: Dialogue, cluster: LiveCluster) -> None:
    """Case 26: after all has been looked at again, and before the deletion is sent."""
    d = fresh
    await d.say("alice", DELETE)

    async def replace_object(request: web.BaseRequest) -> web.StreamResponse | None:
        if request.path.endswith("/kube-system"):  # the last question before the run: which cluster this is
            d.edge.meddle = None
            await another_object_of_the_name(d, cluster)
        return None

    d.edge.meddle = replace_object
    await d.press("bob", "approve")
    d.expect("failure", "have changed since this was agreed to, so nothing was done")
    d.assert_nothing_ran()


async def test_rights_lost_in_between(fresh: Dialogue, cluster: LiveCluster) -> None:
    """Case 26: the requester's rights."""
    d = fresh
    await d.say("alice", DELETE)
    await cluster.run("admin", f"delete rolebinding alice-edit -n {d.namespace}")
    await d.press("bob", "approve")
    d.expect("denial", "alice may not delete configmaps")
    d.assert_nothing_ran()
    assert (await d.kinds())[-2:] == ["approval.stale", "command.denied"]


async def test_the_requester_is_gone(d: Dialogue) -> None:
    """Case 26: unmapped in between. The approver is not told to get access."""
    await d.say("alice", DELETE)
    await identity.unmap_user(d.database, "test/T1/alice", None)
    await d.press("bob", "approve")
    d.expect("refusal", "the access of alice to prod is gone")
    d.assert_nothing_ran()
    await d.press("bob", "approve")
    d.expect("refusal")


# --- 27: refused ----------------------------------------------------------------------------------------------------------


async def test_an_expired_request_is_refused(d: Dialogue) -> None:
    """Case 27."""
    await d.say("alice", DELETE)
    d.clock.move(minutes=15)
    await d.press("bob", "approve")
    d.expect("refusal", "has expired", buttons="")
    assert (await d.kinds())[-1] == "approval.expired"
    d.clock.move(minutes=-10)
    await d.press("bob", "approve")
    d.expect("refusal", "has expired")
    d.assert_nothing_ran()


async def test_a_clock_set_back_does_not_prolong_a_request(d: Dialogue) -> None:
    await d.say("alice", DELETE)
    d.clock.move(hours=-1)
    await d.press("bob", "approve")
    d.expect("refusal", "has expired")
    d.assert_nothing_ran()


async def test_an_approver_removed_in_between_does_not_count(tmp_path: Path, cluster: LiveCluster, namespace: str) -> None:
    """Case 27: bob agrees, loses the role, and dave's word alone is not enough."""
    async with dialogue(tmp_path, cluster, namespace, settings=TWO_PEOPLE) as d:
        await d.say("alice", DELETE)
        await d.press("bob", "approve")
        await d.person("bob", roles=[])
        await d.press("dave", "approve")
        d.expect("refusal", "may no longer decide")
        d.assert_nothing_ran()
        assert (await d.kinds())[-1] == "approval.stale"


async def test_an_approver_who_became_the_requesters_hands_does_not_count(
    tmp_path: Path, cluster: LiveCluster, namespace: str
) -> None:
    async with dialogue(tmp_path, cluster, namespace, settings=TWO_PEOPLE) as d:
        await d.say("alice", DELETE)
        await d.press("bob", "approve")
        await d.map(cluster, "bob=alice")
        await d.press("dave", "approve")
        d.expect("refusal", "may no longer decide")
        d.assert_nothing_ran()


async def test_a_freeze_that_began_in_between(tmp_path: Path, cluster: LiveCluster, namespace: str) -> None:
    """Case 27."""
    async with dialogue(tmp_path, cluster, namespace) as d:
        begins = d.clock() + timedelta(minutes=5)
        freeze = Freeze(name="closing", begins=begins, until=begins + timedelta(days=1), namespaces=(namespace,))
        d.configure(Settings(freezes=(freeze,)))
        await d.say("alice", DELETE)
        d.expect("proposal")
        d.clock.move(minutes=6)
        await d.press("bob", "approve")
        d.expect("refusal", "Changes are frozen until", "closing")
        d.assert_nothing_ran()
        await d.say("alice", "restart checkout in NS")
        d.expect("refusal", "frozen", "Rule: freeze")
        await d.say("alice", "list pods in NS")
        d.expect("result")


# --- 25, 29: clicks from elsewhere ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("forged", ["", "0" * 32, "approve", "../x", "\x00", "é", "A" * 100_000, "' OR 1=1 --"])
async def test_forged_buttons_are_nothing(d: Dialogue, forged: str) -> None:
    """Case 29."""
    await d.say("alice", DELETE)
    await d.press("bob", Button(forged, "Approve"))
    d.expect("refusal", "not known here")
    assert (await d.kinds())[-1] == "click.refused"


@pytest.mark.parametrize("elsewhere", [thread("two"), thread("one", "C2"), thread("x/one", "C1"), thread("one", "T1/C1")])
async def test_a_click_from_another_thread_is_refused(d: Dialogue, elsewhere: Any) -> None:
    """Case 29: who cannot see the card has no say, even with its ids."""
    await d.say("alice", DELETE)
    await d.press("bob", "approve", where=elsewhere)
    d.expect("refusal", "another conversation")
    d.assert_nothing_ran()


async def test_an_id_of_the_request_is_no_button(d: Dialogue) -> None:
    await d.say("alice", DELETE)
    await d.press("bob", Button(str(d.replies[-1].card), "Approve"))
    d.expect("refusal", "not known here")


async def test_choices_and_undos_grow_old(d: Dialogue) -> None:
    await d.say("alice", "restart chekout in NS")
    d.clock.move(hours=2)
    await d.press("alice", "choice")
    d.expect("refusal", "has expired")


async def test_a_choice_pressed_after_rights_changed_is_denied(fresh: Dialogue, cluster: LiveCluster) -> None:
    d = fresh
    await d.say("alice", "restart chekout in NS")
    await cluster.run("admin", f"delete rolebinding alice-edit -n {d.namespace}")
    await d.press("alice", "choice")
    d.expect("denial", "alice may not")


async def test_an_undo_is_the_pressers_own_request(fresh: Dialogue) -> None:
    d = fresh
    await d.say("alice", "scale checkout in NS to 4")
    await d.press("alice", "confirm")
    await d.press("carol", "undo")
    d.expect("denial", "carol may not")


async def test_an_undo_shows_what_it_would_do_now(fresh: Dialogue, cluster: LiveCluster) -> None:
    d = fresh
    await d.say("alice", "scale checkout in NS to 4")
    await d.press("alice", "confirm")
    await cluster.run("admin", f"scale deployment checkout --replicas=7 -n {d.namespace}")
    await d.press("alice", "undo")
    d.expect("proposal", "replicas 7 → 3")


# --- the database in other hands ------------------------------------------------------------------------------------------

TAMPERED = [
    ("UPDATE approval SET sealed = (SELECT sealed FROM approval WHERE id <> :id LIMIT 1) WHERE id = :id", "not as it was"),
    (
        "UPDATE approval SET sealed = CAST(substr(sealed, 1, 40) || x'00' || substr(sealed, 42) AS BLOB) WHERE id = :id",
        "not as it was",
    ),
    ("UPDATE approval SET expires_at = '2099-01-01 00:00:00.000000', requested_at = '2020-01-01' WHERE id = :id", "has expired"),
    ("UPDATE button SET sealed = (SELECT sealed FROM button WHERE id <> :button LIMIT 1) WHERE id = :button", "not as it was"),
    ("UPDATE approval SET state = 'approved' WHERE id = :id", "approved already"),
]


@pytest.mark.parametrize(("statement", "said"), TAMPERED)
async def test_rows_that_were_tampered_with_do_not_count(d: Dialogue, statement: str, said: str) -> None:
    await d.say("alice", "delete service checkout in NS", where=thread("two"))
    await d.say("alice", DELETE)
    where = {"id": d.replies[-1].card, "button": d.shown["approve"].id}
    names = [name for name in where if f":{name}" in statement]

    def change() -> None:
        with sqlite3.connect(d.url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement, {name: where[name] for name in names})
        connection.close()

    await asyncio.to_thread(change)
    if "expires_at" in statement:
        d.clock.move(minutes=20)
    await d.press("bob", "approve")
    d.expect("refusal", said)
    d.assert_nothing_ran()


FORGED_VOTES = [
    "INSERT INTO vote SELECT :id, 'dave', sealed, at FROM vote WHERE person <> 'dave' LIMIT 1",
    "UPDATE account SET sealed = (SELECT sealed FROM account WHERE user_key = 'test/T1/bob') WHERE user_key = 'test/T1/carol'",
]


@pytest.mark.parametrize("statement", FORGED_VOTES)
async def test_words_and_roles_cannot_be_written_into_the_database(
    tmp_path: Path, cluster: LiveCluster, namespace: str, statement: str
) -> None:
    async with dialogue(tmp_path, cluster, namespace, settings=TWO_PEOPLE) as d:
        await d.person("carol", roles=["guest"])
        await d.say("alice", DELETE)
        card = d.replies[-1].card
        await d.press("bob", "approve")

        def change() -> None:
            with sqlite3.connect(d.url.removeprefix("sqlite:///")) as connection:
                connection.execute(statement, {"id": card} if ":id" in statement else {})
            connection.close()

        await asyncio.to_thread(change)
        await d.press("carol", "approve")
        assert d.replies[-1].kind in {"refusal", "failure"}
        await d.press("bob", "deny")
        d.assert_nothing_ran()


# --- races in a thread ----------------------------------------------------------------------------------------------------


async def test_messages_of_a_thread_are_answered_in_their_order(d: Dialogue) -> None:
    """The second speaks of what the first was about."""
    order: list[str] = []

    async def say(text: str) -> None:
        await d.say("alice", text)
        order.append(text)

    texts = ["describe deployment checkout in NS", "scale it to 2", "help"]
    await asyncio.gather(*map(say, texts))
    assert order == texts
    requested = (await d.rows("approval.requested"))[0]
    assert "deployment checkout" in str(requested.payload)


async def test_a_choice_of_cluster_is_not_lost_to_a_command_that_ends_later(d: Dialogue, cluster: LiveCluster) -> None:
    means = Means(Settings(), d.database, d.audit, ClusterPool(), d.clock)
    await asyncio.gather(*(remember(means, thread(), **{f"key-{n}": n}) for n in range(20)))
    assert await recall(means, thread()) == {f"key-{n}": n for n in range(20)}


async def test_a_card_is_never_cut_off_from_its_buttons(tmp_path: Path, cluster: LiveCluster, namespace: str) -> None:
    """After the first of two words the card comes again with the same buttons."""
    async with dialogue(tmp_path, cluster, namespace, settings=TWO_PEOPLE) as d:
        before = choices(await d.say("alice", DELETE))
        after = choices(await d.press("bob", "approve"))
        assert before == after
