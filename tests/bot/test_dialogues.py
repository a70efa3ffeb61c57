"""The main conversations, on the practice cluster and on the real control plane."""

from pathlib import Path

from aiohttp import web

from bot import agreement
from bot.conversation import Asked, Means
from bot.drafts import Draft
from bot.identity import access_for
from bot.settings import Settings
from bot.types import Reply
from k8s.grammar import parse
from tests.bot.dialogue import Dialogue, choices, dialogue, thread, told, user
from tests.bot.edge import status
from tests.clusters import LiveCluster

CONFIGMAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: lunch\n  namespace: NS\ndata:\n  menu: soup\n"


async def test_a_list_is_answered_at_once_and_written_down(d: Dialogue) -> None:
    await d.say("alice", "list deployments in NS")
    d.expect("result", "NAME  READY  UP-TO-DATE  AVAILABLE  AGE", "checkout", "kubectl get deployments -n NS", buttons="")
    assert await d.kinds() == ["execution.started", "execution.finished"]
    started, finished = await d.rows()
    assert started.actor.user == started.actor.identity == "alice"
    assert (started.payload or {})["level"] == "safe"
    assert (finished.payload or {})["outcome"] == "done"
    assert started.execution_id == finished.execution_id
    assert started.command_digest == finished.command_digest
    d.assert_nothing_ran()
    d.assert_log_is_whole()


async def test_scaling_is_confirmed_by_who_asked_and_taken_back_by_a_button(fresh: Dialogue, cluster: LiveCluster) -> None:
    d = fresh
    await d.say("alice", "@kubechat scale checkout in NS to 5")
    card = d.expect(
        "proposal", "kubectl scale deployment checkout -n NS --replicas=5", "replicas 3 → 5", buttons="confirm cancel"
    )
    d.assert_nothing_ran()
    await d.press("alice", "confirm")
    done = d.expect("result", "deployment.apps/checkout scaled", "Agreed to by alice", buttons="undo")
    assert done.card == card.card
    assert [reply.revision for reply in d.replies] == sorted({reply.revision for reply in d.replies})
    assert await replicas(d, cluster) == 5
    await d.press("alice", "undo")
    d.expect("proposal", "--replicas=3", "replicas 5 → 3", buttons="confirm cancel")
    assert await replicas(d, cluster) == 5
    await d.press("alice", "confirm")
    d.expect("result", "scaled")
    assert await replicas(d, cluster) == 3
    assert await d.kinds() == ["approval.requested", "approval.granted", "execution.started", "execution.finished"] * 2
    approval = {row.approval_id for row in await d.rows()}
    assert len(approval) == 2
    d.assert_log_is_whole()


async def replicas(d: Dialogue, cluster: LiveCluster) -> int:
    found = await cluster.get(f"/apis/apps/v1/namespaces/{d.namespace}/deployments/checkout")
    return int(found["spec"]["replicas"])


async def test_a_delete_is_approved_by_another_person(fresh: Dialogue) -> None:
    d = fresh
    await d.say("alice", "delete configmap colours in NS")
    d.expect("proposal", "Needs approval: dangerous", "role approver", buttons="approve deny cancel")
    await d.press("bob", "approve")
    d.expect("result", 'configmap "colours" deleted', "Agreed to by bob", "as alice", buttons="undo")
    assert [one.method for one in d.edge.changes] == ["DELETE"]
    started = (await d.rows("execution.started"))[0]
    assert started.actor.user == "alice"
    assert (started.payload or {})["approvers"] == ["test/T1/bob"]
    await d.press("bob", "undo")
    d.expect("proposal", "main: blue", buttons="confirm cancel")
    await d.press("bob", "confirm")
    d.expect("result", "as bob")


async def test_a_denial_is_final(d: Dialogue) -> None:
    await d.say("alice", "delete configmap colours in NS")
    card = d.shown["approve"]
    await d.press("bob", "deny", reason="we need it")
    d.expect("refusal", "Denied by bob", buttons="")
    await d.press("dave", card)
    d.expect("refusal", "A denial is final")
    assert await d.kinds() == ["approval.requested", "approval.denied", "click.refused"]
    assert ((await d.rows())[1].payload or {})["reason"] == "we need it"
    d.assert_nothing_ran()


async def test_a_restart_an_image_and_a_rollback(fresh: Dialogue, cluster: LiveCluster) -> None:
    d = fresh
    await d.say("alice", "restart checkout in NS")
    await d.press("alice", "confirm")
    d.expect("result", "deployment.apps/checkout restarted")
    await d.say("alice", "kubectl set image deployment/checkout web=shop/checkout:2.0 -n NS")
    d.expect("proposal", "shop/checkout:1.0 → shop/checkout:2.0")
    await d.press("alice", "confirm")
    d.expect("result", "image updated", buttons="undo")
    await cluster.rolled_out(d.namespace)
    await d.say("alice", "roll back checkout")
    d.expect("proposal", "shop/checkout:2.0 → shop/checkout:1.0")
    await d.press("alice", "confirm")
    d.expect("result", "rolled back")


async def test_a_manifest_in_a_code_block_is_applied(fresh: Dialogue) -> None:
    d = fresh
    await d.say("alice", f"apply this\n```yaml\n{CONFIGMAP}```")
    d.expect("proposal", "menu: soup", "kubectl apply", buttons="confirm cancel")
    await d.press("alice", "confirm")
    d.expect("result", "configmap/lunch")
    await d.say("alice", "kubectl get cm lunch -n NS -o yaml")
    d.expect("result", "menu: soup")


async def test_an_attached_manifest_is_applied(fresh: Dialogue) -> None:
    await fresh.say("alice", "kubectl apply -f lunch.yaml", files={"lunch.yaml": CONFIGMAP.replace("NS", fresh.namespace)})
    fresh.expect("proposal", "menu: soup", buttons="confirm cancel")


async def test_who_may_not_is_told_which_role_would_allow_it(d: Dialogue) -> None:
    await d.say("dave", "restart checkout in NS")
    d.expect("denial", "dave may not patch deployments.apps", "namespace NS", "The role edit allows it", buttons="")
    await d.say("carol", "list pods in NS")
    d.expect("denial", "carol may not list pods")
    assert await d.kinds() == ["command.denied"] * 2
    d.assert_nothing_ran()


async def test_who_is_not_mapped_is_told_how_to_be(d: Dialogue) -> None:
    for text in ("list pods in NS", "kubectl delete ns NS", "what may I do", "hello"):
        await d.say("mallory", text, where=thread(text))
        d.expect("denial", "test/T1/mallory", "kubechat users add", buttons="")
    assert await d.kinds() == ["access.missing"] * 4
    assert d.edge.seen == []


async def test_a_question_is_answered_by_pressing_a_choice(d: Dialogue) -> None:
    await d.say("alice", "restart chekout in NS")
    asked = d.expect("question", "Did you mean checkout")
    assert [button.role for button in choices(asked)] == ["choice"]
    await d.press("bob", "choice")
    d.expect("refusal", "put to somebody else")
    await d.press("alice", "choice")
    d.expect("proposal", "kubectl rollout restart deployment checkout -n NS")
    await d.press("alice", choices(asked)[0])
    d.expect("refusal", "used already")


async def test_a_thread_remembers_what_it_is_about(fresh: Dialogue) -> None:
    d = fresh
    await d.say("alice", "describe deployment checkout in NS")
    d.expect("result", "checkout")
    await d.say("alice", "now its logs")
    d.expect("result", "kubectl logs")
    await d.say("alice", "scale it to 2")
    d.expect("proposal", "kubectl scale deployment checkout -n NS --replicas=2")
    await d.press("alice", "confirm")
    await d.say("alice", "list pods")
    d.expect("result", "kubectl get pods -n NS")
    await d.say("alice", "undo it")
    d.expect("proposal", "--replicas=3")


async def test_undo_means_the_last_change(fresh: Dialogue) -> None:
    d = fresh
    await d.say("alice", "undo")
    d.expect("answer", "nothing in this thread that I can undo")
    await d.say("alice", "scale checkout in NS to 4")
    await d.press("alice", "confirm")
    await d.say("alice", "list pods in NS")
    await d.say("alice", "delete configmap colours in NS")
    await d.press("alice", "cancel")
    await d.say("alice", "undo it")
    d.expect("proposal", "--replicas=3")
    await d.press("alice", "cancel")
    await d.say("alice", "restart checkout in NS")
    await d.press("alice", "confirm")
    d.expect("result")
    await d.say("alice", "undo that")
    assert d.replies[-1].kind in {"answer", "proposal"}
    assert "--replicas" not in told(d.replies[-1])


async def test_other_threads_know_nothing_of_it(d: Dialogue) -> None:
    await d.say("alice", "describe deployment checkout in NS")
    await d.say("alice", "scale it to 2", where=thread("two"))
    assert d.replies[-1].kind == "question"


async def test_small_talk_reaches_no_cluster(d: Dialogue) -> None:
    for text in ("help", "@kubechat", "?", "who am I", "WhoAmI?", "cancel"):
        await d.say("alice", text)
        assert d.replies[-1].kind == "answer", text
    assert "test/T1/alice" in told(await d.say("alice", "who am i?"))
    assert d.edge.seen == []
    assert set(await d.kinds()) == {"message.answered"}


async def test_what_may_i_do_is_answered_by_the_cluster(d: Dialogue) -> None:
    await d.say("alice", "what may I do?")
    d.expect("result", "kubectl auth can-i", "deployments.apps")


async def test_cancel_withdraws_only_ones_own_in_this_thread(d: Dialogue) -> None:
    await d.say("alice", "restart checkout in NS", where=thread("two"))
    await d.say("bob", "restart checkout in NS")
    other = d.shown["confirm"]
    await d.say("alice", "restart checkout in NS")
    mine = d.expect("proposal")
    await d.say("alice", "cancel")
    gone = d.expect("refusal", "Cancelled by alice", buttons="")
    assert gone.card == mine.card
    assert gone.revision > mine.revision
    await d.press("alice", "confirm")
    d.expect("refusal", "was cancelled")
    await d.say("alice", "cancel")
    d.expect("answer", "Nothing of yours")
    await d.press("bob", other)
    d.expect("result", "restarted")


async def test_a_cancel_button_withdraws(d: Dialogue) -> None:
    await d.say("alice", "delete configmap colours in NS")
    await d.press("carol", "cancel")
    d.expect("refusal", "Only who asked, or an approver")
    await d.press("alice", "cancel")
    d.expect("refusal", "Cancelled by alice")
    d.assert_nothing_ran()


async def test_the_namespace_and_the_cluster_can_be_chosen(d: Dialogue, cluster: LiveCluster) -> None:
    await d.map(cluster, "alice", name="staging", namespace="default")
    where = thread("new")
    await d.say("alice", "list configmaps", where=where)
    d.expect("question", "prod, staging", "use cluster")
    await d.say("alice", "use cluster staging", where=where)
    d.expect("answer", "staging")
    await d.say("alice", "use namespace NS", where=where)
    await d.say("alice", "list configmaps", where=where)
    d.expect("result", "colours", "-n NS")
    assert ((await d.rows("execution.started"))[-1].payload or {})["cluster"] == "staging"
    await d.say("alice", "use cluster moon", where=where)
    d.expect("denial", "no access to moon")
    await d.say("bob", "list configmaps", where=where)
    d.expect("denial", "no access to staging")


async def test_a_button_stays_in_its_cluster(d: Dialogue, cluster: LiveCluster) -> None:
    """A question asked about one cluster is not answered in another that the thread has gone over to."""
    await d.map(cluster, "alice", name="staging")
    await d.say("alice", "use cluster staging")
    await d.say("alice", "restart chekout in NS")
    await d.say("alice", "use cluster prod")
    await d.press("alice", "choice")
    d.expect("proposal")
    assert ((await d.rows("approval.requested"))[-1].payload or {})["cluster"] == "staging"


async def test_what_is_not_understood_is_not_guessed(d: Dialogue) -> None:
    await d.say("alice", "make it all better, please")
    d.expect("answer", "did not understand")
    d.assert_nothing_ran()
    assert await d.kinds() == ["message.answered"]


async def test_a_message_delivered_five_times_is_answered_once(d: Dialogue) -> None:
    spoken: list[Reply] = []
    for _ in range(5):
        await d.say("alice", "restart checkout in NS", id="same")
        spoken += d.replies
    assert [reply.kind for reply in spoken] == ["proposal"]


# --- several commands, and policies ---------------------------------------------------------------------------------------


async def test_what_needs_nobodys_agreement_runs_at_once(tmp_path: Path, cluster: LiveCluster) -> None:
    own = await cluster.namespace()
    settings = {"approvals": [{"verdict": "warning", "mode": "none", "namespaces": [own]}]}
    async with dialogue(tmp_path, cluster, own, settings=settings) as d:
        await d.say("alice", "scale checkout in NS to 2")
        d.expect("result", "scaled", buttons="undo")
        assert await d.kinds() == ["execution.started", "execution.finished"]
        await d.say("alice", "delete configmap colours in NS")
        d.expect("proposal", buttons="approve deny cancel")


async def consider(d: Dialogue, *lines: str) -> None:
    """As a translator's draft of several commands would be."""
    means = Means(Settings(), d.database, d.audit, d.pool, d.clock)
    asked = Asked(user("alice"), thread(), "several things", {})
    access = await access_for(d.database, means.settings, asked.user, None)
    draft = Draft(tuple(parse(line) for line in lines), "?", 1.0, "test")
    d.replies = []
    async with d.pool.client(access) as client:
        await agreement.consider(means, asked, access, client, draft, d.namespace, d.take)


async def test_several_commands_are_agreed_to_together_and_run_in_order(fresh: Dialogue) -> None:
    d = fresh
    await consider(d, "scale deployment checkout --replicas=2", "delete configmap colours")
    d.expect("proposal", "dangerous", "replicas 3 → 2", "delete configmap colours", buttons="approve deny cancel")
    await d.press("bob", "approve")
    d.expect("result", "scaled", "deleted", buttons="")
    assert [one.method for one in d.edge.changes] == ["PATCH", "DELETE"]
    assert (await d.kinds())[-4:] == ["execution.started", "execution.finished"] * 2


async def test_the_first_that_fails_ends_it(fresh: Dialogue, cluster: LiveCluster) -> None:
    d = fresh
    await consider(d, "scale deployment checkout --replicas=2", "delete configmap colours")
    d.edge.meddle = refuse_patches
    await d.press("bob", "approve")
    d.expect("failure", "a rule")
    assert [one.method for one in d.edge.changes] == ["PATCH"]
    assert await replicas(d, cluster) == 3


async def refuse_patches(request: web.BaseRequest) -> web.StreamResponse | None:
    patch = request.method == "PATCH" and "dryRun" not in request.query_string
    return status(403, "Forbidden", "a rule") if patch else None


async def test_the_worst_of_several_decides(d: Dialogue) -> None:
    await consider(d, "get pods", "rollout restart deployment checkout")
    d.expect("proposal", buttons="confirm cancel")
    await consider(d, "get pods", "get configmaps")
    d.expect("result")


async def test_commands_that_touch_the_same_thing_are_asked_for_one_by_one(d: Dialogue) -> None:
    """What the second would do could not be shown: the first changes what it acts on."""
    await consider(d, "scale deployment checkout --replicas=2", "rollout restart deployment checkout")
    d.expect("refusal", "deployments/checkout", "one after the other")
    d.assert_nothing_ran()
