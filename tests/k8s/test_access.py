"""Kubeconfigs that may be mapped, and the three ways in: a kubeconfig, a service account, an impersonated user."""

import asyncio
import base64
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from k8s.access import (
    ClusterAccess,
    ClusterPool,
    ImpersonationCredentials,
    KubeconfigCredentials,
    Person,
    ServiceAccountCredentials,
    cluster_uid,
    connect,
    whoami,
)
from k8s.client import Endpoint
from k8s.denials import Denial, Need, denials, explain_denials, least_role
from k8s.errors import ApiError
from k8s.kubeconfig import Kubeconfig, KubeconfigRefused, check_kubeconfig
from tests.clusters import LiveCluster, command, until
from tests.controlplane import certificates
from tests.k8s.test_client import client_of, serving

AUTHORITY = certificates.new_authority()
PAIR, OTHER = (certificates.person_pair(AUTHORITY, name, []) for name in ("alice", "bob"))


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


PEM = encoded(AUTHORITY.pair.certificate)
NOT_A_CERTIFICATE = encoded(b"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
CLIENT = {"client-certificate-data": encoded(PAIR.certificate), "client-key-data": encoded(PAIR.key)}


def config(
    cluster: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    current: str = "prod",
    **top: Any,
) -> str:
    """A good kubeconfig with some parts changed."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": current,
            "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443", **(cluster or {})}}],
            "users": [{"name": "u", "user": {"token": "abc", **(user or {})}}],
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u", **(context or {})}}],
            **top,
        }
    )


def test_plain_kubeconfig_is_taken() -> None:
    text = config({"certificate-authority-data": PEM, "tls-server-name": "api.shop"}, context={"namespace": "shop"})
    taken = check_kubeconfig(text)
    assert taken == Kubeconfig(
        Endpoint("https://10.0.0.1:6443", base64.b64decode(PEM).decode(), "api.shop"), "shop", "prod", "abc"
    )


def test_credentials_do_not_show_in_repr() -> None:
    taken = check_kubeconfig(config(user={"token": "s3cr3t-token", **CLIENT}))
    access = ClusterAccess("shop", "alice", KubeconfigCredentials(taken))
    for shown in (repr(taken), repr(access), repr(taken.endpoint)):
        assert "s3cr3t-token" not in shown
        assert "BEGIN" not in shown.partition("authority")[2].partition("client")[2]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
TWO = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")]

REFUSED = [
    (config(user={"exec": {"command": "sh"}}), "users[u].exec is refused: it starts a program"),
    (config(user={"auth-provider": {"name": "gcp"}}), "users[u].auth-provider is refused"),
    (
        config({"certificate-authority": "/etc/ca"}),
        "clusters[c].certificate-authority is refused: it names a file of the bot's host",
    ),
    (config(user={"client-certificate": "x.pem"}), "users[u].client-certificate is refused"),
    (config(user={"client-key": "x.pem"}), "users[u].client-key is refused"),
    (config(user={"tokenFile": "/var/run/token"}), "users[u].tokenFile is refused"),
    (config({"proxy-url": "http://evil"}), "clusters[c].proxy-url is refused"),
    (config({"insecure-skip-tls-verify": True}), "clusters[c].insecure-skip-tls-verify is refused"),
    (config(user={"as": "admin"}), "users[u].as is refused"),
    (config(user={"as-groups": ["system:masters"]}), "users[u].as-groups is refused"),
    (config(user={"username": "x", "password": "y"}), "users[u].username is refused"),
    (config(user={"x-new-field": "y"}), "users[u].x-new-field is not a field that KubeChat knows"),
    (config({"server": "http://10.0.0.1:8080"}), "clusters[c].server uses http"),
    (config({"server": "ftp://10.0.0.1"}), "clusters[c].server is not an address"),
    (config({"server": "https://user:pw@10.0.0.1"}), "clusters[c].server holds a login"),
    (config({"server": "https://h/?x=1"}), "clusters[c].server is not an address"),
    (config({"server": "https://h:notaport"}), "clusters[c].server is not an address"),
    (config({"server": 5}), "clusters[c].server should be a text"),
    (config(user={"token": ""}), "users[u] has no credentials"),
    (config(user={"token": "a b\n"}), "users[u].token holds spaces"),
    (config(user={"client-certificate-data": CLIENT["client-certificate-data"]}), "users[u].client-key-data cannot be read"),
    (config(user={"client-key-data": CLIENT["client-key-data"]}), "users[u].client-certificate-data cannot be read"),
    (config(user={**CLIENT, "client-key-data": encoded(OTHER.key)}), "users[u] has a client-key-data that is not of its"),
    (config({"certificate-authority-data": NOT_A_CERTIFICATE}), "clusters[c].certificate-authority-data cannot be read"),
    (config({"certificate-authority-data": "!!!"}), "certificate-authority-data is not base64"),
    (config({"certificate-authority-data": base64.b64encode(b"x").decode()}), "certificate-authority-data is not a PEM"),
    (config(contexts=TWO, current=""), "has several contexts (one, two) and no current-context"),
    (config(contexts=[]), "has no entry 'prod' in contexts"),
    (config(contexts="x"), "has no list of contexts"),
    (
        config(clusters=[{"name": "c", "cluster": {"server": "https://a"}}] * 2),
        "no usable or more than one entry 'c' in clusters",
    ),
    (config(context={"user": "other"}), "has no entry 'other' in users"),
    (BOMB, "uses YAML aliases"),
    ("x: " + "[" * 50 + "]" * 50, "nested too deeply"),
    (config() + "\n---\n" + config(), "several documents"),
    ("a" * 300_000, "larger than 256 KiB"),
    ("[1, 2", "is not valid YAML"),
    ("hello", "This is not a kubeconfig"),
    ("!!python/object/apply:os.system ['id']", "is not valid YAML"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_kubeconfig_that_reaches_for_the_host_is_refused_when_mapped(text: str, sentence: str) -> None:
    with pytest.raises(KubeconfigRefused) as caught:
        check_kubeconfig(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_of_several_contexts_can_be_chosen() -> None:
    assert check_kubeconfig(config(contexts=TWO), context="two").context == "two"
    with pytest.raises(KubeconfigRefused, match="has no context 'three'; it has: one, two"):
        check_kubeconfig(config(contexts=TWO), context="three")


def test_loopback_may_use_http() -> None:
    for host in ("127.0.0.1:80", "localhost", "[::1]:8080"):
        assert check_kubeconfig(config({"server": f"http://{host}"})).endpoint.server == f"http://{host}"


# --- on a cluster ---------------------------------------------------------------------------------------------------------


async def test_cluster_knows_who_comes(cluster: LiveCluster) -> None:
    person = await whoami(await cluster.client("alice"))
    assert person.user == "alice"
    assert "developers" in person.groups


async def test_client_certificate_is_used(cluster: LiveCluster) -> None:
    if cluster.name == "practice":
        pytest.skip("the practice cluster knows tokens only")
    client = await connect(cluster.access("grace"))
    try:
        assert (await whoami(client)).user == "grace"
    finally:
        await client.close()


def test_client_certificate_is_in_a_file_for_an_instant_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder's time of change tells that a file was there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    authority = certificates.new_authority()
    pair = certificates.person_pair(authority, "grace", ["developers"])
    endpoint = Endpoint("https://127.0.0.1:1", client_certificate=pair.certificate.decode(), client_key=pair.key.decode())
    before = tmp_path.stat().st_mtime_ns

    async def come_and_go() -> None:
        await (await connect(ClusterAccess("shop", "grace", KubeconfigCredentials(Kubeconfig(endpoint))))).close()

    asyncio.run(come_and_go())
    assert tmp_path.stat().st_mtime_ns > before
    assert list(tmp_path.iterdir()) == []


async def test_impersonated_user_acts_as_that_user(cluster: LiveCluster) -> None:
    via = check_kubeconfig(cluster.kubeconfig("admin"))
    client = await connect(ClusterAccess(cluster.name, "zoe", ImpersonationCredentials("zoe", ("qa", "ops"), via)))
    try:
        person = await whoami(client)
        assert person.user == "zoe"
        assert {"qa", "ops"} <= set(person.groups)
        assert "system:masters" not in person.groups
        with pytest.raises(ApiError) as caught:
            await client.get("/api/v1/nodes")
        assert caught.value.status == 403
    finally:
        await client.close()


async def test_service_account_gets_a_token_of_its_own(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    via = check_kubeconfig(cluster.kubeconfig("admin"))
    client = await connect(ClusterAccess(cluster.name, "robot", ServiceAccountCredentials(namespace, "default", via)))
    try:
        assert (await whoami(client)).user == f"system:serviceaccount:{namespace}:default"
        missing = await denials(client, command(f"get pods -n {namespace}"))
        assert missing[0].grant == (
            f"kubectl create rolebinding default-view --clusterrole=view --serviceaccount={namespace}:default -n {namespace}"
        )
    finally:
        await client.close()


async def test_token_of_a_service_account_is_renewed_before_it_ends() -> None:
    asked: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.path.rpartition("/")[2], request.headers["Authorization"]))
        if not request.path.endswith("/token"):
            return web.json_response({})
        assert (await request.json())["spec"]["expirationSeconds"] == 3600
        ends = datetime.now(UTC) + timedelta(seconds=0.3)
        return web.json_response({"status": {"token": f"t{len(asked)}", "expirationTimestamp": ends.isoformat()}}, status=201)

    async with serving(handler) as server:
        via = Kubeconfig(Endpoint(server), token="bot")
        client = await connect(ClusterAccess("shop", "robot", ServiceAccountCredentials("ns", "robot", via)))
        await asyncio.gather(client.get("/one"), client.get("/two"))
        async with asyncio.timeout(10):
            while [what for what, _ in asked].count("token") < 2:
                await client.get("/three")
        await client.close()
    assert asked[0] == ("token", "Bearer bot")
    assert set(asked[1:3]) == {("one", "Bearer t1"), ("two", "Bearer t1")}
    assert asked[-1] == ("three", f"Bearer t{len(asked) - 1}")


async def test_cluster_has_one_uid_for_all_who_may_read_it(cluster: LiveCluster) -> None:
    uid = await cluster_uid(await cluster.client("admin"))
    assert uid == (await cluster.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
    hashed = await cluster_uid(await cluster.client("carol"))
    assert hashed.startswith("server:")
    assert hashed == await cluster_uid(await cluster.client("carol"))


async def test_pool_gives_one_client_an_access_and_closes_idle_ones(cluster: LiveCluster) -> None:
    pool = ClusterPool(size=1)
    alice, carol = cluster.access("alice"), cluster.access("carol")
    async with pool.client(alice) as first, pool.client(alice) as second, pool.client(carol) as third:
        assert first is second
        assert first is not third
        assert first.discovered is third.discovered
        assert (await whoami(first)).user == "alice"
        assert (await whoami(third)).user == "carol"
    async with pool.client(carol) as again:  # alice's went: one idle client is kept, the one used last
        assert (await whoami(again)).user == "carol"
    async with pool.client(alice) as fresh:
        assert fresh is not first
    await pool.close()


# --- denials --------------------------------------------------------------------------------------------------------------

DENIED = [
    ("alice", "get pods", []),
    ("alice", "scale deploy checkout --replicas=2", []),
    ("alice", "delete deploy checkout", []),
    ("alice", "logs deploy/checkout", []),
    ("alice", "get all", []),
    ("alice", "describe secret db", []),
    ("alice", "delete rolebinding alice-edit", [("get", "rolebindings", "admin"), ("delete", "rolebindings", "admin")]),
    ("carol", "get pods", []),
    ("carol", "logs checkout-1", []),
    ("carol", "get secrets", [("list", "secrets", "edit")]),
    ("carol", "get secret db", [("get", "secrets", "edit")]),
    ("carol", "scale deploy checkout --replicas=2", [("patch", "deployments/scale", "edit")]),
    ("carol", "rollout restart deploy/checkout", [("patch", "deployments", "edit")]),
    ("carol", "label pods -l app=x a=b", [("patch", "pods", "edit")]),
    ("carol", "delete cm colours", [("delete", "configmaps", "edit")]),
    ("carol", "cordon n", [("get", "nodes", "cluster-admin"), ("patch", "nodes", "cluster-admin")]),
    ("dave", "logs deploy/checkout", [("get", "deployments", "view"), ("list", "pods", "view"), ("get", "pods/log", "view")]),
    ("dave", "rollout undo deploy/checkout",
     [("get", "deployments", "view"), ("patch", "deployments", "edit"), ("list", "replicasets", "view")]),
    ("dave", "auth can-i get pods", []),
]  # fmt: skip


@pytest.fixture(scope="module")
async def shop(cluster: LiveCluster) -> str:
    return await cluster.namespace({"alice": "edit", "carol": "view"})


@pytest.mark.parametrize(("person", "line", "expected"), DENIED)
async def test_missing_rights_are_named_with_the_role_that_has_them(
    cluster: LiveCluster, shop: str, person: str, line: str, expected: list[tuple[str, str, str]]
) -> None:
    missing = await denials(await cluster.client(person), command(f"{line} -n {shop}"))
    assert [(denial.verb, denial.resource, denial.role) for denial in missing] == expected
    assert {denial.user for denial in missing} <= {person}


async def test_right_in_one_namespace_is_none_in_all(cluster: LiveCluster, shop: str) -> None:
    missing = await denials(await cluster.client("alice"), command("get pods -A"))
    assert [(denial.verb, denial.namespace) for denial in missing] == [("list", None)]
    assert missing[0].grant == "kubectl create clusterrolebinding alice-view --clusterrole=view --user=alice"


async def test_apply_needs_create_for_what_is_new(cluster: LiveCluster, shop: str) -> None:
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}})
    missing = await denials(await cluster.client("carol"), command(f"apply -f - -n {shop}", manifest))
    assert [(denial.verb, denial.resource) for denial in missing] == [("patch", "configmaps"), ("create", "configmaps")]


async def test_granting_what_is_proposed_gives_the_right(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    line = f"delete rolebinding x -n {namespace}"
    carol, admin = await cluster.client("carol"), await cluster.client("admin")
    assert await denials(carol, command(line))
    binding = {
        "metadata": {"name": "carol-admin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"}],
    }
    await admin.request("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", body=binding)
    carol.reviews.clear()

    async def allowed() -> bool:
        carol.reviews.clear()
        return await denials(carol, command(line)) == ()

    await until(allowed)


def test_denials_are_told_in_one_sentence_a_namespace() -> None:
    missing = (
        Denial("get", "deployments", "apps", "shop", "checkout", "view", "alice"),
        Denial("patch", "deployments/scale", "apps", "shop", "checkout", "edit", "alice"),
    )
    assert explain_denials(missing) == (
        "alice may not get deployments.apps checkout, patch deployments.apps/scale checkout in namespace shop."
        " The role edit allows it; an administrator can grant it with:"
        " kubectl create rolebinding alice-edit --clusterrole=edit --user=alice -n shop"
    )


def test_nobody_is_told_to_become_cluster_admin() -> None:
    denial = Denial("patch", "nodes", "", None, "n", "cluster-admin", "al ice")
    assert denial.sentence.startswith(
        "al ice may not patch nodes n in the whole cluster. Of the built-in roles only cluster-admin"
    )
    assert denial.grant == (
        "kubectl create clusterrole 'al ice-patch-nodes' --verb=patch --resource=nodes && kubectl create clusterrolebinding"
        " 'al ice-patch-nodes' '--clusterrole=al ice-patch-nodes' '--user=al ice'"
    )


async def test_static_knowledge_of_roles_agrees_with_the_cluster(cluster: LiveCluster) -> None:
    """The least role that we name must have the right, by the rules of the cluster's own ClusterRoles."""
    rules = {
        name: (await cluster.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"))["rules"]
        for name in ("view", "edit", "admin")
    }

    def has(role: str, need: Need) -> bool:
        resource = f"{need.resource}/{need.subresource}" if need.subresource else need.resource
        return any(
            need.verb in rule["verbs"] and need.group in rule.get("apiGroups", ()) and resource in rule.get("resources", ())
            for rule in rules[role]
        )

    wrong = []
    for rule in rules["admin"]:
        for group in set(rule["apiGroups"]) - {"extensions"}:  # a group that no server serves any more
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    need = Need(verb, group, *resource.partition("/")[::2])
                    true_least = next(role for role in ("view", "edit", "admin") if has(role, need))
                    if verb in {"get", "list", "create", "patch", "delete"} and least_role(need) != true_least:
                        wrong.append((verb, group, resource, least_role(need), true_least))
    assert wrong == []


async def test_person_without_the_question_is_who_the_mapping_says() -> None:
    """Kubernetes before 1.26 has no SelfSubjectReview."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)

    async with serving(handler) as server, client_of(server) as client:
        assert await whoami(client) == Person("alice")
