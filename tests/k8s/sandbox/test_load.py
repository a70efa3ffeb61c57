"""Folders of manifests: what they carry is kept, what they leave out is made, and a broken one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.sandbox import ManifestBroken, Sandbox
from tests.k8s.sandbox.cases import deployment, pod
from tests.k8s.sandbox.conversation import Peer, Say

CRASHED = {
    "phase": "Running",
    "podIP": "10.1.2.3",
    "podIPs": [{"ip": "10.1.2.3"}],
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [{
        "name": "app", "ready": False, "restartCount": 7, "image": "nginx", "imageID": "",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-01T10:00:00Z"}},
    }],
}  # fmt: skip


def write(folder: Path, *objects: dict[str, Any], name: str = "all.yaml") -> Path:
    (folder / name).write_text(yaml.safe_dump_all(objects))
    return folder


async def test_pod_with_a_status_is_kept_as_it_is(tmp_path: Path) -> None:
    given = {**pod(), "status": CRASHED}
    given["metadata"] = {
        "name": "one",
        "uid": "11111111-2222-3333-4444-555555555555",
        "creationTimestamp": "2026-10-01T00:00:00Z",
    }
    given["spec"]["nodeName"] = "elsewhere"
    async with await Sandbox.start(write(tmp_path, given)) as cluster:
        await cluster.settle()
        kept = cluster.get("pods", "one", "default")
    assert kept is not None
    assert {name: kept["status"][name] for name in CRASHED} == CRASHED
    assert kept["metadata"]["uid"] == given["metadata"]["uid"]
    assert kept["metadata"]["creationTimestamp"] == "2026-10-01T00:00:00Z"


async def test_loaded_replica_set_and_pods_are_adopted_rather_than_doubled(tmp_path: Path) -> None:
    whole = deployment("web", replicas=2)
    labels = {"app": "web", "pod-template-hash": "5d4f8c7b9"}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1", "controller": True}
    template = {"metadata": {"labels": labels}, "spec": whole["spec"]["template"]["spec"]}
    replica_set = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web-5d4f8c7b9", "uid": "r-1", "labels": labels, "ownerReferences": [owner],
                     "annotations": {"deployment.kubernetes.io/revision": "4"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}, "status": {"replicas": 2, "readyReplicas": 2},
    }  # fmt: skip
    above = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "uid": "r-1", "controller": True}
    pods = [
        {**pod(f"web-5d4f8c7b9-{mark}"), "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        for mark in ("aaaaa", "bbbbb")
    ]
    for one, refs in zip(pods, ([above], []), strict=True):  # the second is found by its labels
        one["metadata"] |= {"labels": labels, **({"ownerReferences": refs} if refs else {})}
    whole["metadata"]["uid"] = "d-1"
    async with await Sandbox.start(write(tmp_path, whole, replica_set, *pods)) as cluster:
        await cluster.settle()
        found = [one["metadata"]["name"] for one in cluster.snapshot() if one["kind"] in ("Pod", "ReplicaSet")]
        kept = cluster.get("deployments.apps", "web", "default")
    assert sorted(found) == ["web-5d4f8c7b9", "web-5d4f8c7b9-aaaaa", "web-5d4f8c7b9-bbbbb"]
    assert kept is not None
    assert kept["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "4"
    assert kept["status"]["readyReplicas"] == 2


async def test_deployment_alone_gets_its_pods_nodes_and_namespace(tmp_path: Path) -> None:
    given = deployment("web", replicas=3)
    given["metadata"]["namespace"] = "brand-new"
    async with await Sandbox.start(write(tmp_path, given)) as cluster:
        await cluster.settle()
        kinds = [one["kind"] for one in cluster.snapshot() if one["kind"] in ("Pod", "Node")]
        kept = cluster.get("deployments.apps", "web", "brand-new")
        status, _, _ = await Peer(cluster.kubeconfig("anyone")).say(
            Say("DELETE", "/apis/apps/v1/namespaces/brand-new/deployments/web"), ""
        )
    assert (kinds.count("Pod"), kinds.count("Node")) == (3, 3)
    assert kept is not None
    assert kept["status"]["readyReplicas"] == 3
    assert status == 200


async def test_folder_with_a_binding_gives_nobody_more(tmp_path: Path) -> None:
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b", "namespace": "default"},
               "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "eve"}]}  # fmt: skip
    async with await Sandbox.start(write(tmp_path, binding, pod())) as cluster:
        answers = [
            await Peer(cluster.kubeconfig(who)).say(Say("GET", "/api/v1/namespaces/default/pods"), "")
            for who in ("eve", "mallory")
        ]
    assert [one[0] for one in answers] == [200, 403]


async def test_lists_json_subfolders_and_ages_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [pod("a"), {**pod("b"), "metadata": {"name": "b", "annotations": {"kubechat.dev/age": "3d"}}}],
    }
    (tmp_path / "deep" / "list.json").write_text(json.dumps(listed))
    (tmp_path / "typed.yml").write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "c"}, "spec": pod()["spec"]}]})
    )
    (tmp_path / "default.a.app.log").write_text("first line\nsecond line\n")
    async with await Sandbox.start(tmp_path) as cluster:
        await cluster.settle()
        admin = Peer(cluster.kubeconfig("admin"))
        _, table, _ = await admin.say(
            Say("GET", "/api/v1/namespaces/default/pods", accept="application/json;as=Table;v=v1;g=meta.k8s.io"), ""
        )
        _, log, _ = await admin.say(Say("GET", "/api/v1/namespaces/default/pods/a/log"), "")
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b", "c"]
    assert table["rows"][1]["cells"][4] == "3d"
    assert log == "first line\nsecond line\n"


BROKEN = [
    ("a: [", "broken.yaml: line"), ("- 1", "broken.yaml, document 1: an object was expected"), ("kind: Pod", "broken.yaml, document 1: apiVersion is missing"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {}", "broken.yaml, document 1: metadata.name is missing"),
    ("apiVersion: v1\nkind: Pot\nmetadata: {name: x}", "broken.yaml, document 1: no kind 'Pot' is served in apiVersion 'v1'"),
    ("---\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}", 'document 2: Pod "x" is invalid: spec.containers: Required value'),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: {}}", "json: cannot unmarshal object"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {a: 1}}\nspec: {containers: [{name: a, image: b}]}", "cannot unmarshal number"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}", "document 2: there is already a ConfigMap of the name 'x'"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {kubechat.dev/age: soon}}", "'soon' is not an age"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: []", "cannot unmarshal array"),
    ("apiVersion: v1\nkind: List\nitems: [1]", "broken.yaml, document 1, item 1: an object was expected"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BROKEN)
async def test_broken_manifest_is_named_with_its_fault(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(ManifestBroken) as broken:
        await Sandbox.start(tmp_path)
    assert said in str(broken.value)


async def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestBroken, match="there is no such folder"):
        await Sandbox.start(tmp_path / "none")
