"""What clients meet at the API: watches, pages, patches, rights, quotas, deletion, logs, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from k8s.sandbox import Sandbox
from tests.k8s.sandbox.cases import config, deployment, pod
from tests.k8s.sandbox.conversation import TABLE, Peer, Say

MAPS = "/api/v1/namespaces/NS/configmaps"
PODS = "/api/v1/namespaces/NS/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/NS/deployments"


async def ask(
    peer: Peer, method: str, path: str, body: Any = None, media: str = "application/json", namespace: str = "shop"
) -> Any:
    """The body of an answer that must not be a refusal."""
    status, found, _ = await peer.say(Say(method, path, body, media), namespace)
    assert status < 300, found
    return found


@asynccontextmanager
async def watching(peer: Peer, path: str, accept: str = "application/json") -> AsyncIterator[AsyncIterator[Any]]:
    """The events of a watch, one after the other."""
    async with (
        aiohttp.ClientSession(headers=peer.headers) as session,
        session.get(peer.url + path, ssl=peer.tls, headers={"Accept": accept}, timeout=aiohttp.ClientTimeout(20)) as answer,
    ):

        async def lines() -> AsyncIterator[Any]:
            async for line in answer.content:
                yield json.loads(line)

        yield lines()


async def test_watch_tells_of_what_enters_changes_and_leaves_a_selection(admin: Peer) -> None:
    start = (await ask(admin, "GET", MAPS))["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/shop/configmaps?watch=1&resourceVersion={start}&labelSelector=in%3Dyes"
    async with watching(admin, path) as events:
        await ask(admin, "POST", MAPS, config("seen", metadata={"name": "seen"}))
        await ask(admin, "PATCH", f"{MAPS}/seen", {"metadata": {"labels": {"in": "yes"}}}, "merge")
        await ask(admin, "PATCH", f"{MAPS}/seen", {"data": {"b": "1"}}, "merge")
        await ask(admin, "PATCH", f"{MAPS}/seen", {"metadata": {"labels": {"in": "no"}}}, "merge")
        await ask(admin, "DELETE", f"{MAPS}/seen")
        found = [await anext(events) for _ in range(3)]
    assert [one["type"] for one in found] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in found]
    assert versions == sorted(set(versions))


async def test_watch_as_table_gives_rows_and_its_columns_once(admin: Peer) -> None:
    async with watching(admin, "/api/v1/namespaces/shop/services?watch=1", TABLE) as events:
        first, second = await anext(events), await anext(events)
    assert first["object"]["kind"] == "Table"
    assert [one["name"] for one in first["object"]["columnDefinitions"]][:2] == ["Name", "Type"]
    assert not second["object"].get("columnDefinitions")
    assert second["object"]["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_watch_from_too_long_ago_says_that_it_has_expired(admin: Peer, cluster: Sandbox) -> None:
    for number in range(10_100):
        cluster.store.put("leases.coordination.k8s.io", {"metadata": {"name": "x", "namespace": "default", "uid": str(number)}})
    async with watching(admin, "/api/v1/namespaces/shop/pods?watch=1&resourceVersion=2") as events:
        event = await anext(events)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_watch_list_ends_its_initial_events_with_a_bookmark(admin: Peer) -> None:
    path = "/api/v1/namespaces/shop/services?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with watching(admin, path) as events:
        async for event in events:
            if event["type"] == "BOOKMARK":
                break
            assert event["type"] == "ADDED"
    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_pages_together_hold_everything_once(admin: Peer) -> None:
    whole = [one["metadata"]["name"] for one in (await ask(admin, "GET", PODS))["items"]]
    pages: list[str] = []
    token = ""
    while True:
        page = await ask(admin, "GET", f"{PODS}?limit=4&continue={token}")
        pages += [one["metadata"]["name"] for one in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == len(whole) - len(pages)
    assert pages == whole


async def test_dry_run_leaves_nothing_behind(admin: Peer, cluster: Sandbox) -> None:
    before = cluster.snapshot()
    await ask(admin, "POST", f"{MAPS}?dryRun=All", config("dry"))
    await ask(admin, "PATCH", f"{DEPLOYMENTS}/checkout?dryRun=All", {"spec": {"replicas": 9}}, "merge")
    await ask(admin, "PATCH", f"{DEPLOYMENTS}/checkout/scale?dryRun=All", {"spec": {"replicas": 9}}, "merge")
    await ask(admin, "PATCH", f"{MAPS}/dry-apply?dryRun=All&fieldManager=x", config("dry-apply"), "apply")
    await ask(admin, "DELETE", f"{DEPLOYMENTS}/checkout?dryRun=All")
    await ask(admin, "DELETE", f"{PODS}/redis-0?dryRun=All")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "redis-0"},
        "deleteOptions": {"dryRun": ["All"]},
    }
    await ask(admin, "POST", f"{PODS}/redis-0/eviction", eviction)
    await ask(admin, "DELETE", f"{MAPS}?dryRun=All")
    assert cluster.snapshot() == before


async def test_quota_refuses_what_passes_it(admin: Peer) -> None:
    big = [{"name": "a", "image": "a:1", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
    status, body, _ = await admin.say(Say("POST", PODS, pod("big", containers=big)), "staging")
    assert status == 403
    assert (
        body["message"]
        == 'pods "big" is forbidden: exceeded quota: staging, requested: requests.cpu=3, used: requests.cpu=50m, limited: requests.cpu=2'
    )
    status, body, _ = await admin.say(Say("POST", PODS, pod("mute")), "staging")
    assert status == 403
    assert "must specify requests.cpu for: app; requests.memory for: app" in body["message"]


async def test_eviction_respects_the_disruption_budget(admin: Peer, cluster: Sandbox) -> None:
    names = [one["metadata"]["name"] for one in (await ask(admin, "GET", f"{PODS}?labelSelector=app%3Dcheckout"))["items"]]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction"}
    answers = [
        await admin.say(Say("POST", f"{PODS}/{name}/eviction", {**eviction, "metadata": {"name": name}}), "shop")
        for name in names[:2]
    ]
    assert [one[0] for one in answers] == [201, 429]
    assert answers[1][1]["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert (
        answers[1][1]["details"]["causes"][0]["message"]
        == "The disruption budget checkout needs 2 healthy pods and has 2 currently"
    )
    await cluster.settle()


@pytest.mark.parametrize(("policy", "left"), [("Background", 0), ("Foreground", 0), ("Orphan", 1)])
async def test_deletion_reaches_what_is_owned(admin: Peer, cluster: Sandbox, policy: str, left: int) -> None:
    name = f"gone-{policy.lower()}"
    await ask(admin, "POST", DEPLOYMENTS, deployment(name, replicas=1))
    await cluster.settle()
    await ask(admin, "DELETE", f"{DEPLOYMENTS}/{name}", {"propagationPolicy": policy})
    await cluster.settle()
    assert cluster.get("deployments.apps", name, "shop") is None
    sets = await ask(admin, "GET", f"/apis/apps/v1/namespaces/NS/replicasets?labelSelector=app%3D{name}")
    pods = await ask(admin, "GET", f"{PODS}?labelSelector=app%3D{name}")
    assert (len(sets["items"]), len(pods["items"])) == (left, left)
    assert all("ownerReferences" not in one["metadata"] for one in sets["items"])


async def test_finalizer_keeps_an_object_until_it_is_taken_off(admin: Peer) -> None:
    await ask(admin, "POST", MAPS, {**config("held"), "metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    assert "deletionTimestamp" in (await ask(admin, "DELETE", f"{MAPS}/held"))["metadata"]
    await ask(admin, "GET", f"{MAPS}/held")
    await ask(admin, "PATCH", f"{MAPS}/held", {"metadata": {"finalizers": None}}, "merge")
    assert (await admin.say(Say("GET", f"{MAPS}/held"), "shop"))[0] == 404


async def test_service_accounts_token_has_its_rights_and_no_more(admin: Peer, cluster: Sandbox) -> None:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    found = await ask(admin, "POST", "/api/v1/namespaces/NS/serviceaccounts/default/token", request)
    account = Peer(cluster.kubeconfig("admin"))
    account.headers["Authorization"] = f"Bearer {found['status']['token']}"
    status, body, _ = await account.say(Say("GET", PODS), "shop")
    assert status == 403
    assert 'User "system:serviceaccount:shop:default" cannot list resource "pods"' in body["message"]
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "sa"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
               "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "shop"}]}  # fmt: skip
    await ask(admin, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings", binding)
    assert (await account.say(Say("GET", PODS), "shop"))[0] == 200
    assert (await account.say(Say("GET", "/api/v1/namespaces/NS/secrets"), "shop"))[0] == 403


async def test_nobody_hands_out_rights_that_they_do_not_have(admin: Peer, cluster: Sandbox) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "grower"}}
    rules = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create"]},
             {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]  # fmt: skip
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/NS"
    await ask(admin, "POST", f"{base}/roles", {**role, "rules": rules})
    ref: dict[str, Any] = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "grower"}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "grower"}, "roleRef": ref,
               "subjects": [{"kind": "User", "name": "frank"}]}  # fmt: skip
    await ask(admin, "POST", f"{base}/rolebindings", binding)
    frank = Peer(cluster.kubeconfig("frank"))
    more = {
        **role,
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}],
    }
    status, body, _ = await frank.say(Say("POST", f"{base}/roles", more), "shop")
    assert status == 403
    assert body["message"] == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "frank" (groups=["system:authenticated"]) is attempting to grant '
        'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
    )
    up: dict[str, Any] = {**binding, "metadata": {"name": "up"}, "roleRef": {**ref, "kind": "ClusterRole", "name": "edit"}}
    assert (await frank.say(Say("POST", f"{base}/rolebindings", up), "shop"))[0] == 403
    same = {**binding, "metadata": {"name": "same"}}
    assert (await frank.say(Say("POST", f"{base}/rolebindings", same), "shop"))[0] == 201


async def test_impersonation_needs_the_right_and_then_counts(cluster: Sandbox) -> None:
    for person, status in (("kubechat", 200), ("carol", 403)):
        peer = Peer(cluster.kubeconfig(person))
        peer.headers.update({"Impersonate-User": "alice", "Impersonate-Group": "developers"})
        assert (await peer.say(Say("GET", PODS), "shop"))[0] == status
    peer = Peer(cluster.kubeconfig("kubechat"))
    peer.headers.update({"Impersonate-User": "alice", "Impersonate-Group": "system:masters"})
    status, body, _ = await peer.say(Say("GET", PODS), "shop")
    assert (status, 'cannot impersonate resource "groups"' in body["message"]) == (403, True)


@pytest.mark.parametrize(("token", "status", "who"), [("Bearer nonsense", 401, ""), ("", 403, "system:anonymous")])
async def test_strangers_are_turned_away(cluster: Sandbox, token: str, status: int, who: str) -> None:
    peer = Peer(cluster.kubeconfig("admin"))
    peer.headers = {"Authorization": token} if token else {}
    code, body, _ = await peer.say(Say("GET", PODS), "shop")
    assert code == status
    assert who in body["message"]


async def test_secret_values_reach_nobody_who_may_only_view(cluster: Sandbox) -> None:
    carol = Peer(cluster.kubeconfig("carol"))
    for path in ("/api/v1/namespaces/payments/secrets", "/api/v1/secrets", "/api/v1/namespaces/payments/secrets/db-credentials"):
        for accept in ("application/json", TABLE):
            assert (await carol.say(Say("GET", path, accept=accept), ""))[0] == 403


async def test_server_can_be_told_to_misbehave(admin: Peer, cluster: Sandbox) -> None:
    for status in (401, 403, 409, 410, 429, 500, 503):
        cluster.misbehave("GET /api/v1/namespaces/shop/configmaps", status)
        found, body, _ = await admin.say(Say("GET", MAPS), "shop")
        assert (found, body["kind"], body["code"]) == (status, "Status", status)
    assert (await admin.say(Say("GET", MAPS), "shop"))[0] == 200
    cluster.misbehave("GET */configmaps", truncate=40)
    with pytest.raises(aiohttp.ClientPayloadError):
        await admin.say(Say("GET", MAPS), "shop")
    cluster.misbehave("GET */configmaps", delay=0.05)
    before = asyncio.get_running_loop().time()
    assert (await admin.say(Say("GET", MAPS), "shop"))[0] == 200
    assert asyncio.get_running_loop().time() - before >= 0.05


async def test_huge_body_is_refused_and_the_server_lives(admin: Peer) -> None:
    status, body, _ = await admin.say(Say("POST", MAPS, "x" * (3 * 1024 * 1024 + 1)), "shop")
    assert (status, body["reason"]) == (413, "RequestEntityTooLarge")
    deep = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"},"data":' + '{"a":' * 50_000 + "1" + "}" * 50_001
    assert (await admin.say(Say("POST", MAPS, deep), "shop"))[0] == 400
    assert (await admin.say(Say("GET", MAPS), "shop"))[0] == 200


LOGS = [("tailLines=2", 2), ("tailLines=0", 0), ("limitBytes=9", 1), ("sinceSeconds=1&tailLines=1", None)]


@pytest.mark.parametrize(("query", "lines"), LOGS)
async def test_logs_are_cut_as_asked(admin: Peer, query: str, lines: int | None) -> None:
    text = await ask(admin, "GET", f"{PODS}/redis-0/log?{query}")
    if lines is not None:
        assert len(str(text).splitlines()) == lines


async def test_previous_log_of_a_container_that_never_ended_is_missing(admin: Peer) -> None:
    status, body, _ = await admin.say(Say("GET", f"{PODS}/redis-0/log?previous=true"), "shop")
    assert (status, body["message"]) == (400, 'previous terminated container "redis" in pod "redis-0" not found')


async def test_idle_cluster_does_nothing(cluster: Sandbox) -> None:
    await cluster.settle()
    before = cluster.store.version
    await asyncio.sleep(0.5)
    assert cluster.store.version == before


async def test_official_client_works(cluster: Sandbox) -> None:
    from kubernetes.aio import client
    from kubernetes.aio import config as loader
    from kubernetes.aio.client import ApiException

    settings = client.Configuration()
    await loader.load_kube_config_from_dict(cluster.kubeconfig("alice"), client_configuration=settings)
    async with client.ApiClient(settings) as api:
        pods = await client.CoreV1Api(api).list_namespaced_pod("shop")
        assert "redis-0" in {one.metadata.name for one in pods.items}
        scale = await client.AppsV1Api(api).patch_namespaced_deployment_scale("cart", "shop", {"spec": {"replicas": 3}})
        assert scale.spec.replicas == 3
        with pytest.raises(ApiException) as refused:
            await client.CoreV1Api(api).list_node_with_http_info(field_selector="nonsense=1")
        assert refused.value.status == 400


async def test_refused_pods_are_not_tried_again_at_once(admin: Peer, cluster: Sandbox) -> None:
    await ask(admin, "POST", DEPLOYMENTS, deployment("refused", replicas=2), namespace="staging")  # the quota wants requests
    async with asyncio.timeout(10):
        await cluster.settle()
    before = cluster.store.version
    await asyncio.sleep(0.3)
    assert cluster.store.version == before
