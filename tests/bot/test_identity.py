"""Whose hands a command runs with: the three ways of mapping, on both clusters, and what is kept of them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot import identity
from bot.identity import ImpersonationMapping, KubeconfigMapping, ServiceAccountMapping
from bot.settings import Settings
from k8s.kubeconfig import KubeconfigRefused
from tests.bot.dialogue import CLUSTER, Dialogue, dialogue, thread, user
from tests.clusters import LiveCluster


def own_way(folder: Path, d: Dialogue, cluster: LiveCluster) -> dict[str, Any]:
    """Settings that give the bot a kubeconfig of its own."""
    file = folder / "bot.kubeconfig"
    file.write_text(d.edge.kubeconfig(cluster.kubeconfig("admin")))
    return {"clusters": {CLUSTER: {"kubeconfig_file": str(file)}}}


@pytest.mark.parametrize(
    ("mapping", "hands"),
    [
        (ImpersonationMapping("alice", ("developers",)), "alice"),
        (ServiceAccountMapping("NS", "robot"), "system:serviceaccount:NS:robot"),
    ],
)
async def test_the_bots_own_way_in_never_lends_its_rights(
    tmp_path: Path, cluster: LiveCluster, namespace: str, mapping: Any, hands: str
) -> None:
    """The bot is an administrator here; whoever is mapped through it is still only themselves."""
    async with dialogue(tmp_path, cluster, namespace, people=()) as d:
        if isinstance(mapping, ServiceAccountMapping):
            mapping = await robot(cluster, namespace)
        await identity.map_user(d.database, user("erin").key, CLUSTER, mapping, namespace=namespace)
        await d.say("erin", "list pods in NS")
        d.expect("failure", "cannot be used", "kubeconfig_file is not set")
        d.configure(Settings(**await asyncio.to_thread(own_way, tmp_path, d, cluster)))
        await d.say("erin", "list pods in NS")
        d.expect("result", "checkout", f"as {hands}")
        for line in ("kubectl get secrets -n kube-system", "kubectl delete namespace NS", "kubectl get nodes"):
            await d.say("erin", line)
            d.expect("denial", f"{hands} may not")
        d.assert_nothing_ran()


async def robot(cluster: LiveCluster, namespace: str) -> ServiceAccountMapping:
    """A service account that may view the namespace."""
    admin, name = await cluster.client("admin"), "robot"
    await admin.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body={"metadata": {"name": name}})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    where = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    await admin.request("POST", where, body=binding)
    return ServiceAccountMapping(namespace, name)


async def test_taken_access_is_gone_at_once(d: Dialogue) -> None:
    await d.say("alice", "list pods in NS")
    d.expect("result")
    assert await identity.unmap_user(d.database, user("alice").key, CLUSTER) == 1
    await d.say("alice", "list pods in NS")
    d.expect("denial", "no access")
    assert await identity.unmap_user(d.database, user("alice").key, None) == 0


async def test_the_account_goes_with_its_last_access(d: Dialogue) -> None:
    assert (await identity.account_of(d.database, user("bob").key)).roles == {"approver"}
    await identity.unmap_user(d.database, user("bob").key, None)
    assert (await identity.account_of(d.database, user("bob").key)).roles == frozenset()
    await d.say("alice", "delete configmap colours in NS")
    await d.press("bob", "approve")
    d.expect("refusal", "role approver")


async def test_what_is_given_changes_and_the_rest_stays(d: Dialogue) -> None:
    await d.person("erin", is_person="Erin", roles=["a", "b", "a"])
    await d.person("erin", roles=["c"])
    account = await identity.account_of(d.database, user("erin").key)
    assert (account.person, set(account.roles)) == ("Erin", {"c"})
    await d.person("erin", is_person="Someone Else")
    account = await identity.account_of(d.database, user("erin").key)
    assert (account.person, set(account.roles)) == ("Someone Else", {"c"})


async def test_lists_hold_no_credentials(d: Dialogue, cluster: LiveCluster) -> None:
    found = await identity.list_access(d.database)
    token = json.loads(cluster.kubeconfig("alice"))["users"][0]["user"]["token"]
    assert {account.user_key for account, _ in found} == {user(name).key for name in ("alice", "bob", "carol", "dave")}
    assert token not in repr(found)
    database = Path(d.url.removeprefix("sqlite:///"))
    at_rest = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in database.parent.glob("kubechat.db*")))
    assert token.encode() not in at_rest


async def test_sealed_access_opens_only_for_its_own_account(d: Dialogue) -> None:
    """A row copied to another account gives that one nothing."""
    copy = text(
        "UPDATE access SET sealed = (SELECT sealed FROM access WHERE user_key = 'test/T1/alice') WHERE user_key = 'test/T1/carol'"
    )
    await d.database.write(lambda session: session.connection().execute(copy))
    await d.say("carol", "list pods in NS")
    d.expect("failure", "cannot be decrypted")
    assert (await d.kinds())[-1] == "access.unreadable"
    assert d.edge.seen == []


async def test_who_has_several_clusters_is_asked_which(d: Dialogue, cluster: LiveCluster) -> None:
    await d.map(cluster, "alice", name="staging")
    await d.say("alice", "list pods in NS")
    d.expect("question", "prod, staging")
    d.configure(Settings(default_cluster="staging"))
    await d.say("alice", "list pods in NS", where=thread("two"))
    d.expect("result")
    assert ((await d.rows("execution.started"))[0].payload or {})["cluster"] == "staging"


BAD: list[dict[str, Any]] = [
    {"exec": {"command": "sh"}},
    {"auth-provider": {"name": "x"}},
    {"tokenFile": "/etc/passwd"},
    {"client-key": "/etc/key"},
]


@pytest.mark.parametrize("credentials", BAD)
async def test_a_kubeconfig_that_runs_or_reads_is_refused_when_mapped(
    d: Dialogue, cluster: LiveCluster, credentials: dict[str, Any]
) -> None:
    """Case 10."""
    config = json.loads(cluster.kubeconfig("alice"))
    config["users"][0]["user"] |= credentials
    with pytest.raises(KubeconfigRefused):
        await identity.map_user(d.database, user("alice").key, CLUSTER, KubeconfigMapping(json.dumps(config)))
    await d.say("alice", "list pods in NS")
    d.expect("result")
