"""Controllers leave behind what the real ones leave: the same steps on both clusters, then the same objects."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from typing import Any

from k8s.sandbox import Sandbox
from tests.controlplane.cluster import ControlPlane
from tests.k8s.sandbox.cases import Json, deployment, service
from tests.k8s.sandbox.conversation import Peer, Say, differences, plain
from tests.k8s.sandbox.test_fidelity import furnish

BASE = "/apis/apps/v1/namespaces/NS"
WEB = f"{BASE}/deployments/web"
TEMPLATE: Json = {
    "metadata": {"labels": {"app": "db"}},
    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "db", "image": "db:1"}]},
}
STATEFUL: Json = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
    "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": TEMPLATE}}  # fmt: skip
JOB: Json = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {
    "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "busybox"}]}}}}  # fmt: skip


def image(name: str, tag: str) -> Json:
    return {"spec": {"template": {"spec": {"containers": [{"name": name, "image": tag}]}}}}


STEPS: list[tuple[str, list[Say]]] = [
    ("created", [Say("POST", f"{BASE}/deployments", deployment(replicas=2)), Say("POST", "/api/v1/namespaces/NS/services", service())]),
    ("new image", [Say("PATCH", WEB, image("web", "nginx:2"), "strategic")]),
    ("scaled", [Say("PATCH", f"{WEB}/scale", {"spec": {"replicas": 3}}, "merge")]),
    ("rolled back", [Say("PATCH", WEB, image("web", "nginx:1.27"), "strategic")]),
    ("paused and changed", [Say("PATCH", WEB, {"spec": {"paused": True}}, "merge"), Say("PATCH", WEB, image("web", "nginx:3"), "strategic")]),
    ("resumed", [Say("PATCH", WEB, {"spec": {"paused": None}}, "merge")]),
    ("scaled to nothing", [Say("PATCH", f"{WEB}/scale", {"spec": {"replicas": 0}}, "merge")]),
    ("stateful set and job", [Say("POST", f"{BASE}/statefulsets", STATEFUL), Say("POST", "/apis/batch/v1/namespaces/NS/jobs", JOB)]),
    ("stateful set's new image", [Say("PATCH", f"{BASE}/statefulsets/db", image("db", "db:2"), "strategic")]),
]  # fmt: skip
LOOKED_AT = [f"{BASE}/{one}" for one in ("deployments", "replicasets", "statefulsets", "controllerrevisions")] + [
    "/apis/batch/v1/namespaces/NS/jobs"
]


def comparable(value: Any, namespace: str) -> Any:
    """Without generated names, and without what depends on how long pods take."""
    text = json.dumps(plain(value, ("uid", "managedFields", "terminatingReplicas"))).replace(namespace, "NS")
    text = re.sub(r"\b(web|db|once)-[a-z0-9]{5,10}\b", r"\1-H", text)
    return json.loads(
        re.sub(r'"(pod-template-hash|controller-revision-hash|controller.kubernetes.io/hash)": "[^"]*"', r'"\1": "H"', text)
    )


def settled(items: list[Json]) -> list[Json]:
    """In an order that generated names have no part in, conditions by type."""
    for one in items:
        conditions = (one.get("status") or {}).get("conditions")
        if conditions:
            conditions.sort(key=lambda found: str(found["type"]))
    return sorted(
        items, key=lambda one: json.dumps([one.get("revision"), one["metadata"].get("annotations"), one["metadata"]["name"]])
    )


async def left(peer: Peer, namespace: str) -> dict[str, Any]:
    found = {}
    for path in LOOKED_AT:
        _, body, _ = await peer.say(Say("GET", path), namespace)
        found[path.rsplit("/", 1)[1]] = settled(comparable(body["items"], namespace))
    return found


async def test_rollouts_leave_what_the_real_controllers_leave(workloads: ControlPlane) -> None:
    namespace = f"roll-{secrets.token_hex(4)}"
    async with await Sandbox.start() as cluster:
        practice, real = Peer(cluster.kubeconfig("admin")), Peer(workloads.kubeconfig("admin"))
        for peer in (practice, real):
            await furnish(peer, namespace)
        for name, says in STEPS:
            for one in says:
                for peer in (practice, real):
                    status, body, _ = await peer.say(one, namespace)
                    assert status < 300, body
            await cluster.settle()
            ours = await left(practice, namespace)
            found: list[str] = ["nothing compared"]
            for _ in range(120):  # the real one takes a while; what counts is where it ends
                found = differences(ours, await left(real, namespace))
                if not found:
                    break
                await asyncio.sleep(0.25)
            assert not found, f"{name}:\n" + "\n".join(found)
