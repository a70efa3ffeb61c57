"""Commands carried out on a cluster: the same tests on the practice cluster and on the real control plane."""

import json
import re

import pytest

from k8s.client import Limits
from k8s.errors import ApiError, CommandInvalid, NotExecutable, UnknownResource, explain
from tests.clusters import SECRET_VALUE, LiveCluster, shown


@pytest.fixture(scope="module")
async def shop(cluster: LiveCluster) -> str:
    """A namespace that is only read."""
    return await cluster.namespace({"alice": "edit", "carol": "view"})


READS = [
    ("get pods", r"NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\ncheckout-\w+-\w+\s+2/2\s+Running"),
    ("get pods -o wide", r"\sIP\s+NODE\s"),
    ("get po,svc", r"pod/checkout-[\s\S]*service/checkout\s+ClusterIP"),
    ("get deploy checkout --show-labels", r"LABELS\ncheckout\s+3/3\s.*app=checkout,tier=web"),
    ("get deploy -L tier", r"TIER\ncheckout\s.*\sweb"),
    ("get deploy checkout -o name", r"^deployment\.apps/checkout\s*$"),
    ("get deploy,cm -o name", r"deployment\.apps/checkout[\s\S]*configmap/colours"),
    ("get all", r"pod/checkout[\s\S]*service/checkout[\s\S]*deployment\.apps/checkout[\s\S]*replicaset\.apps/checkout"),
    ("get cm colours -o yaml", r"data:\n  main: blue\nkind: ConfigMap"),
    ("get cm colours -o json", r'"data": \{\s+"main": "blue"'),
    ("get pods -l app=checkout -o jsonpath='{.items[*].status.phase}'", r"^Running Running Running\s*$"),
    ("get pods -l app=nothing", r"^No resources found in test-\w+ namespace\.\s*$"),
    ("get pods --field-selector=status.phase=Failed", r"^No resources found in"),
    ("get deploy -o custom-columns=N:.metadata.name,I:.spec.template.spec.containers[*].image",
     r"N\s+I\ncheckout\s+shop/checkout:1.0,shop/proxy:1.0"),
    ("get pods --sort-by=.metadata.name --no-headers", r"^\s*checkout-"),
    ("get namespaces", r"(?m)^default\s+Active"),
    ("get pods -w", r"A chat cannot watch"),
    ("get pods nope --ignore-not-found", r"^\s*$"),
    ("rollout history deployment/checkout", r"REVISION\s+CHANGE-CAUSE\n1\s+<none>"),
    ("rollout history deployment/checkout --revision=1", r"image: shop/checkout:1.0"),
    ("rollout status deployment/checkout", r'deployment "checkout" successfully rolled out'),
    ("events", r"LAST SEEN\s+TYPE\s+REASON\s+OBJECT\s+MESSAGE\n"),
    ("events --for=deployment/checkout", r"ScalingReplicaSet\s+deployment/checkout"),
    ("auth can-i delete pods", r"^yes\s*$"),
    ("auth can-i delete nodes", r"^no\n"),
    ("auth can-i --list", r"(?m)^pods\s+.*get"),
    ("auth whoami", r"Username\s+alice"),
    ("version", r"^Server Version: v1\.\d+"),
    ("api-resources", r"(?m)^deployments\s+deploy\s+apps/v1\s+true\s+Deployment"),
    ("api-resources --namespaced=false -o name", r"(?m)^nodes$"),
    ("api-resources --api-group=apps -o wide --verbs=watch", r"(?m)^deployments\s.*create,delete.*\ball\b"),
    ("api-versions", r"(?m)^apps/v1$"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), READS)
async def test_read_answers_as_kubectl_does(cluster: LiveCluster, shop: str, line: str, expected: str) -> None:
    person = "admin" if line == "get namespaces" else "alice"
    result = await cluster.run(person, f"{line} -n {shop}" if line != "get namespaces" else line)
    assert re.search(expected, shown(result)), shown(result)


async def test_all_namespaces_gives_a_namespace_column(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("admin", "get pods -A -l app=checkout")
    assert result.tables[0].columns[:2] == ("NAMESPACE", "NAME")
    assert shop in {row[0] for row in result.tables[0].rows}


FAILURES = [
    ("get pods nope", ApiError, 'pods "nope" not found: check the name, the namespace and the cluster.'),
    ("get gadgets", UnknownResource, "has no resource type 'gadgets'"),
    ("get deploymnts.apps", UnknownResource, "did you mean deployments"),
    ("get pods -o jsonpath='{.items[}'", CommandInvalid, "cannot be read: a bracket is not closed"),
    ("scale deploy checkout --replicas=4 --current-replicas=9", CommandInvalid, "has 3 replicas and not 9"),
    ("scale cm colours --replicas=4", CommandInvalid, "configmaps cannot be scaled"),
    ("set image deploy/checkout nope=x:1", CommandInvalid, "has no container 'nope': it has sidecar, web."),
    ("label deploy checkout tier=db", CommandInvalid, "has tier already (web): add --overwrite"),
    ("label deploy checkout a=b a-", CommandInvalid, "both set and removed"),
    ("rollout undo deploy/checkout", CommandInvalid, "has no earlier revision"),
    ("rollout undo deploy/checkout --to-revision=7", CommandInvalid, "has no revision 7: it has 1."),
    ("rollout resume deploy/checkout", CommandInvalid, "is not paused"),
    ("rollout restart cm/colours", CommandInvalid, "configmaps cannot be restarted"),
    ("logs deploy/checkout -c nope", CommandInvalid, "container nope is not valid"),
    ("logs cm/colours", CommandInvalid, "has no pods of its own"),
    ("delete pod nope", ApiError, 'pods "nope" not found'),
    ("delete pod nope --now --grace-period=3", ApiError, "not found"),
    ("explain pods", NotExecutable, "does not carry out `explain` yet"),
]


@pytest.mark.parametrize(("line", "kind", "sentence"), FAILURES)
async def test_what_cannot_be_done_is_said_in_one_sentence(
    cluster: LiveCluster, shop: str, line: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        await cluster.run("alice", f"{line} -n {shop}")
    said = explain(caught.value)  # type: ignore[arg-type]
    assert sentence in said
    assert "\n" not in said


SECRET_READS = [
    "get secret db -o yaml",
    "get secrets -o json",
    "get secrets.v1. db -o jsonpath='{.data.password}'",
    "get secrets db -o jsonpath='{..password}'",
    "get secrets -o jsonpath='{.items[*].data}'",
    "get secrets -o custom-columns=N:.metadata.name,P:.data.password",
    "get secrets,cm -o yaml",
    "get secret db -o yaml --show-managed-fields",
    "describe secret db",
    "get deploy checkout -o yaml",
    "get pods -o json",
    "describe deploy checkout",
    "describe pods",
    "get deploy -o jsonpath='{.items[*].spec.template.spec.containers[*].env[*].value}'",
    "rollout history deploy/checkout --revision=1",
]


@pytest.mark.parametrize("line", SECRET_READS)
async def test_secret_values_never_come_out(cluster: LiveCluster, shop: str, line: str) -> None:
    import base64

    said = shown(await cluster.run("alice", f"{line} -n {shop}"))
    assert SECRET_VALUE not in said
    assert base64.b64encode(SECRET_VALUE.encode()).decode() not in said
    assert "db" in said or "‹redacted›" in said


async def test_names_and_sizes_of_a_secret_are_told(cluster: LiveCluster, shop: str) -> None:
    said = shown(await cluster.run("alice", f"describe secret db -n {shop}"))
    assert re.search(rf"password:\s+{len(SECRET_VALUE)} bytes", said)


async def test_long_list_is_cut_and_said(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"get pods -n {shop}", limits=Limits(rows=2))
    assert len(result.tables[0].rows) == 2
    assert result.truncated == "2 of 3 rows shown. Ask for less with -n, -l or a name."


async def test_list_of_a_selector_is_cut_and_said_without_a_count(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"get pods -l app=checkout -n {shop}", limits=Limits(rows=2))
    assert len(result.tables[0].rows) == 2
    if result.truncated != "2 of 3 rows shown. Ask for less with -n, -l or a name.":  # a server may count or not
        assert result.truncated == "The first 2 rows shown; there are more. Ask for less with -n, -l or a name."


async def test_sorting_reaches_beyond_what_is_shown(cluster: LiveCluster, shop: str) -> None:
    names = sorted(row[0] for row in (await cluster.run("alice", f"get pods -n {shop}")).tables[0].rows)
    result = await cluster.run("alice", f"get pods --sort-by=.metadata.name -n {shop}", limits=Limits(rows=2))
    assert [row[0] for row in result.tables[0].rows] == names[:2]
    assert result.truncated.startswith("2 of 3 rows shown.")


async def test_long_text_is_cut_and_said(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"get pods -n {shop} -o yaml", limits=Limits(characters=1000))
    assert len(result.text) <= 1000
    assert re.fullmatch(r"1 of 3 objects shown\. Cut after [\d,]+ of [\d,]+ characters\.", result.truncated)


async def test_one_missing_name_leaves_the_others(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"get cm colours nope -n {shop}")
    assert [row[0] for row in result.tables[0].rows] == ["colours"]
    assert result.notes == ('configmaps "nope" not found: check the name, the namespace and the cluster.',)


async def test_reader_cannot_write_and_is_told_by_the_server(cluster: LiveCluster, shop: str) -> None:
    with pytest.raises(ApiError) as caught:
        await cluster.run("carol", f"delete cm colours -n {shop}")
    assert caught.value.status == 403
    assert "an administrator can grant you the right" in explain(caught.value)


async def test_top_without_metrics_says_what_is_missing_or_prints_usage(cluster: LiveCluster, shop: str) -> None:
    if cluster.name == "practice":
        result = await cluster.run("admin", f"top pods -n {shop}")
        assert result.tables[0].columns == ("NAME", "CPU(cores)", "MEMORY(bytes)")
        assert all(re.fullmatch(r"\d+m", row[1]) and re.fullmatch(r"\d+Mi", row[2]) for row in result.tables[0].rows)
    else:
        with pytest.raises(NotExecutable, match="no working metrics API"):
            await cluster.run("admin", f"top pods -n {shop}")


async def test_custom_resources_work_as_any_other(cluster: LiveCluster) -> None:
    admin = await cluster.client("admin")
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.shop.example.com"},
        "spec": {
            "group": "shop.example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                }
            ],
        },
    }
    namespace = await cluster.namespace(objects=())
    await cluster.run("admin", "apply -f -", manifest=json.dumps(definition))
    try:
        widget = {"apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}}
        from tests.clusters import exists, until

        await until(lambda: exists(admin, f"/apis/shop.example.com/v1/namespaces/{namespace}/widgets"))
        await cluster.run("admin", f"apply -f - -n {namespace}", manifest=json.dumps(widget))
        for word in ("widgets", "wd", "widget.shop.example.com", "widgets.v1.shop.example.com"):
            result = await cluster.run("admin", f"get {word} -n {namespace}")
            assert result.tables[0].columns == ("NAME", "SIZE")
            assert result.tables[0].rows == (("one", "3"),)
        described = await cluster.run("admin", f"describe widget one -n {namespace}")
        assert re.search(r"Spec:\n  Size:\s+3", described.text)
        done = await cluster.run("admin", f"delete wd one -n {namespace}")
        assert done.text == f'widget.shop.example.com "one" deleted from {namespace} namespace'
    finally:
        await cluster.run("admin", "delete crd widgets.shop.example.com")


async def test_cluster_info_names_the_server_and_the_services_of_the_cluster(cluster: LiveCluster) -> None:
    client, admin = await cluster.client("carol"), await cluster.client("admin")
    assert (await cluster.run("carol", "cluster-info")).text == f"Kubernetes control plane is running at {client.server}"
    metadata = {"name": "kube-dns", "labels": {"kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}}
    service = {"metadata": metadata, "spec": {"ports": [{"name": "dns", "port": 53}]}}
    await admin.request("POST", "/api/v1/namespaces/kube-system/services", body=service)
    try:
        text = (await cluster.run("admin", "cluster-info")).text
    finally:
        await admin.request("DELETE", "/api/v1/namespaces/kube-system/services/kube-dns")
    where = f"{admin.server}/api/v1/namespaces/kube-system/services/kube-dns:dns/proxy"
    assert text.splitlines()[1] == f"CoreDNS is running at {where}"
