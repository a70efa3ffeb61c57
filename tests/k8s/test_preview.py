"""What is shown before an approval: the server's dry run, and nothing changed by it."""

import json
import re

import pytest

from k8s.errors import ApiError, explain
from k8s.live import dig
from k8s.types import FieldChange
from tests.clusters import SECRET_VALUE, SHOP, LiveCluster, until


@pytest.fixture(scope="module")
async def shop(cluster: LiveCluster) -> str:
    """A namespace in which nothing is changed."""
    return await cluster.namespace({"alice": "edit", "carol": "view"})


CHECKOUT = r"deployment\.apps/checkout in test-\w+"
PODS = r"checkout-[\w-]+, checkout-[\w-]+, checkout-[\w-]+"

PREVIEWS: list[tuple[str, list[str], str | None]] = [
    ("scale deploy checkout --replicas=5", [rf"{CHECKOUT}: replicas 3 → 5", r"2 more pods will start\."],
     "scale deployment checkout -n {} --replicas=3"),
    ("scale deploy checkout --replicas=1", [rf"{CHECKOUT}: replicas 3 → 1", rf"2 of its 3 pods will go, out of: {PODS}\."],
     "scale deployment checkout -n {} --replicas=3"),
    ("scale deploy checkout --replicas=0", [rf"{CHECKOUT}: replicas 3 → 0", rf"All its pods go \(3 pods\): {PODS}\."],
     "scale deployment checkout -n {} --replicas=3"),
    ("scale deploy checkout --replicas=3", [r"Nothing would change\.", rf"{CHECKOUT} is as wished already\."], None),
    ("set image deploy/checkout web=shop/checkout:2.0",
     [rf"{CHECKOUT}: containers\[web\]\.image shop/checkout:1\.0 → shop/checkout:2\.0",
      rf"All its pods are replaced one after the other \(3 pods\): {PODS}\."],
     "set image deployment checkout web=shop/checkout:1.0 -n {}"),
    ("patch deploy checkout -p 'spec: {replicas: 5}'", [rf"{CHECKOUT}: replicas 3 → 5", r"2 more pods will start\."],
     """patch deployment checkout -n {} --type=strategic '--patch={{"spec":{{"replicas":3}}}}'"""),
    ("patch deploy checkout -p 'spec: {replicas: 3}'", [r"Nothing would change\.", rf"{CHECKOUT}: no change\."], None),
    ("patch secret db --type=merge -p 'data: {password: b3RoZXI=}'",
     [r"secret/db in test-\w+: password changes \(the value is not shown\)"], None),
    ("set env deploy/checkout -c sidecar LEVEL=debug",
     [rf"{CHECKOUT}: containers\[sidecar\]\.env\[LEVEL\]\.name is set to LEVEL",
      rf"{CHECKOUT}: containers\[sidecar\]\.env\[LEVEL\]\.value is set to debug",
      rf"All its pods are replaced one after the other \(3 pods\): {PODS}\."],
     "set env deployment checkout LEVEL- -n {} --containers=sidecar"),
    ("set resources deploy/checkout -c web --limits=cpu=200m",
     [rf"{CHECKOUT}: containers\[web\]\.resources\.limits\.cpu is set to 200m",
      rf"All its pods are replaced one after the other \(3 pods\): {PODS}\."],
     """patch deployment checkout -n {} --type=strategic """
     """'--patch={{"spec":{{"template":{{"spec":{{"containers":[{{"name":"web","resources":{{"limits":null}}}}]}}}}}}}}'"""),
    ("rollout restart deploy/checkout",
     [rf"Restarts {CHECKOUT}\.", rf"All its pods are replaced one after the other \(3 pods\): {PODS}\."], None),
    ("rollout pause deploy/checkout", [rf"Holds back further rollouts of {CHECKOUT}\."], "rollout resume deployment checkout -n {}"),
    ("label deploy checkout tier- owner=a", [rf"{CHECKOUT}: labels\.tier web is removed", rf"{CHECKOUT}: labels\.owner is set to a"],
     "label deployment checkout owner- tier=web -n {} --overwrite"),
    ("delete deploy checkout", [rf"Deletes {CHECKOUT}\.", rf"With it go 3 pods: {PODS}\."], None),
    ("delete deploy checkout --cascade=orphan", [rf"Deletes {CHECKOUT}\."], None),
    ("delete svc checkout", [r"Deletes service/checkout in test-\w+\."], "apply --server-side -f -"),
    ("delete secret db", [r"Deletes secret/db in test-\w+\."], None),
    ("delete pods --all", [r"Deletes pod/checkout-[\w-]+ in test-\w+\."] * 3, None),
    ("delete cm -l a=b", [r"There is nothing that this command means\."], None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "summary", "undo"), PREVIEWS)
async def test_preview_says_what_would_happen_and_how_to_take_it_back(
    cluster: LiveCluster, shop: str, line: str, summary: list[str], undo: str | None
) -> None:
    preview = await cluster.preview("alice", f"{line} -n {shop}")
    assert len(preview.summary) == len(summary), preview.summary
    for said, expected in zip(sorted(preview.summary), sorted(summary), strict=True):
        assert re.fullmatch(expected, said), preview.summary
    assert preview.undo == (f"kubectl {undo.format(shop)}" if undo else None)
    live = await cluster.get(f"/apis/apps/v1/namespaces/{shop}/deployments/checkout")
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (3, 1)
    assert SECRET_VALUE not in repr(preview)


async def test_preview_binds_to_uid_and_generation(cluster: LiveCluster, shop: str) -> None:
    preview = await cluster.preview("alice", f"scale deploy checkout --replicas=5 -n {shop}")
    live = (await cluster.get(f"/apis/apps/v1/namespaces/{shop}/deployments/checkout"))["metadata"]
    target = preview.targets[0]
    assert (target.resource, target.namespace, target.name) == ("deployments", shop, "checkout")
    assert (target.uid, target.generation, target.resource_version) == (live["uid"], live["generation"], "")
    assert preview.changes == ((target, (FieldChange("spec.replicas", 3, 5),)),)


async def test_preview_binds_to_the_version_of_what_has_no_generation(cluster: LiveCluster, shop: str) -> None:
    preview = await cluster.preview("alice", f"delete cm colours -n {shop}")
    live = (await cluster.get(f"/api/v1/namespaces/{shop}/configmaps/colours"))["metadata"]
    assert preview.targets[0].resource_version == live["resourceVersion"]


async def test_preview_of_apply_shows_what_is_new_and_what_differs(cluster: LiveCluster, shop: str) -> None:
    documents = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fresh"}, "data": {"a": "1"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"main": "red"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "other-" + SECRET_VALUE}},
    ]
    manifest = "\n---\n".join(json.dumps(each) for each in documents)
    preview = await cluster.preview("admin", f"apply -f - -n {shop}", manifest=manifest)
    assert preview.summary == (
        f"Creates configmap/fresh in {shop}.",
        f"configmap/colours in {shop}: main blue → red",
        f"secret/db in {shop}: password changes (the value is not shown)",
    )
    assert preview.undo is None
    assert "no single command takes it back" in preview.warnings[-1]
    assert SECRET_VALUE not in repr(preview)


async def test_what_is_new_is_told_to_its_last_leaf(cluster: LiveCluster, shop: str) -> None:
    more = json.loads(json.dumps(SHOP[0]))
    added = {"name": "z", "image": "x:1", "args": ["pad"] * 100, "securityContext": {"runAsUser": 0}}
    more["spec"]["template"]["spec"]["containers"].append(added)
    preview = await cluster.preview("admin", f"apply -f - -n {shop} --force-conflicts", manifest=json.dumps(more))
    assert any(line.endswith("containers[z].securityContext.runAsUser is set to 0") for line in preview.summary)
    assert any(line.endswith("containers[z].image is set to x:1") for line in preview.summary)


async def test_manifest_with_its_own_namespace_can_be_previewed(cluster: LiveCluster) -> None:
    name = "test-not-there-yet"
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": name}},
    ]
    preview = await cluster.preview("admin", "apply -f -", manifest="\n---\n".join(json.dumps(each) for each in documents))
    assert preview.summary == (f"Creates namespace/{name}.", f"Creates configmap/a in {name}.")
    assert "configmap/a could not be tried, since its namespace is not there yet." in preview.warnings


async def test_quota_is_felt_before_anybody_is_asked(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    admin = await cluster.client("admin")
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"services": "0"}}}
    await admin.request("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", body=quota)

    async def counted() -> bool:
        live = await cluster.get(f"/api/v1/namespaces/{namespace}/resourcequotas/few")
        return bool(dig(live, "status", "hard", "services"))

    await until(counted)
    with pytest.raises(ApiError) as caught:
        await cluster.preview("alice", f"apply -f - -n {namespace}", manifest=json.dumps(SHOP[1]))
    assert explain(caught.value).startswith("The namespace's quota does not allow it: ")


async def test_warnings_of_the_server_are_shown_before_anybody_is_asked(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    await cluster.run("admin", f"label ns {namespace} pod-security.kubernetes.io/warn=restricted")
    manifest = json.dumps(SHOP[0])
    preview = await cluster.preview("alice", f"apply -f - -n {namespace}", manifest=manifest)
    assert any('would violate PodSecurity "restricted' in warning for warning in preview.warnings)
    result = await cluster.run("alice", f"apply -f - -n {namespace}", manifest=manifest)
    assert any("would violate PodSecurity" in note for note in result.notes)


async def test_invalid_change_is_refused_before_anybody_is_asked(cluster: LiveCluster, shop: str) -> None:
    with pytest.raises(ApiError) as caught:
        await cluster.preview("alice", f"label deploy checkout bad/key/twice=x -n {shop}")
    assert caught.value.status == 422
    assert "finds it invalid" in explain(caught.value)


async def test_namespace_delete_warns_of_everything_in_it(cluster: LiveCluster, shop: str) -> None:
    preview = await cluster.preview("admin", f"delete ns {shop}")
    assert preview.summary[0] == f"Deletes namespace/{shop}."
    assert re.fullmatch(rf"With it go 3 pods: {PODS}\.", preview.summary[1])
    assert "Everything in the namespace goes with it." in preview.warnings
    assert preview.undo is None


async def test_pod_of_a_replica_set_is_said_to_come_back(cluster: LiveCluster, shop: str) -> None:
    preview = await cluster.preview("alice", f"delete pods -l app=checkout -n {shop}")
    assert any(re.match(r"ReplicaSet checkout-\w+ owns what is meant here", warning) for warning in preview.warnings)
