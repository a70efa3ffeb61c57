"""Faults befall what they are told to, look as they do in a real cluster, and end when the cause is mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from k8s.sandbox import FaultUnknown, Sandbox, break_remote, write_kubeconfigs
from tests.k8s.sandbox.conversation import TABLE, Peer, Say

PODS = "/api/v1/namespaces/payments/pods?labelSelector=app%3Dledger"
LEDGER = "/apis/apps/v1/namespaces/payments/deployments/ledger"


@pytest.fixture
async def cluster() -> AsyncIterator[Sandbox]:
    async with await Sandbox.start() as started:
        await started.settle()
        yield started


async def rows(cluster: Sandbox, path: str = PODS) -> list[list[Any]]:
    _, table, _ = await Peer(cluster.kubeconfig("admin")).say(Say("GET", path, accept=TABLE), "")
    return [row["cells"] for row in table["rows"]]


async def reasons(cluster: Sandbox, namespace: str = "payments") -> set[tuple[str, str]]:
    return {
        (one["type"], one["reason"])
        for one in cluster.snapshot()
        if one["kind"] == "Event" and one["metadata"]["namespace"] == namespace
    }


SHOWN = [
    ("oom", "CrashLoopBackOff", {("Warning", "BackOff")}), ("crashloop", "CrashLoopBackOff", {("Warning", "BackOff")}), ("image", "ImagePullBackOff", {("Warning", "Failed"), ("Normal", "BackOff")}),
    ("pending", "Pending", {("Warning", "FailedScheduling")}), ("notready", "Running", {("Warning", "Unhealthy")}), ("liveness", "CrashLoopBackOff", {("Warning", "Unhealthy"), ("Normal", "Killing")}),
    ("config", "CreateContainerConfigError", {("Warning", "Failed")}), ("evicted", "Evicted", {("Warning", "Evicted")}), ("stuck", "Terminating", {("Normal", "Killing")}),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "state", "events"), SHOWN)
async def test_fault_shows_in_the_pods_and_events(cluster: Sandbox, fault: str, state: str, events: set[tuple[str, str]]) -> None:
    assert "payments/ledger" in await cluster.break_("payments/ledger", fault)
    await cluster.settle()
    assert state in {cells[2] for cells in await rows(cluster)}
    assert events <= await reasons(cluster)


async def test_memory_fault_outlives_a_restart_and_ends_with_a_higher_limit(cluster: Sandbox) -> None:
    await cluster.break_("payments/ledger", "oom")
    admin = Peer(cluster.kubeconfig("admin"))
    note = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    await admin.say(Say("PATCH", LEDGER, note, "merge"), "")
    await cluster.settle()
    assert {cells[1] for cells in await rows(cluster)} == {"0/1"}
    _, log, _ = await admin.say(
        Say("GET", f"/api/v1/namespaces/payments/pods/{(await rows(cluster))[0][0]}/log?previous=true"), ""
    )
    assert "heap 99% full" in str(log)
    limits = {"spec": {"template": {"spec": {"containers": [{"name": "ledger", "resources": {"limits": {"memory": "1Gi"}}}]}}}}
    await admin.say(Say("PATCH", LEDGER, limits, "strategic"), "")
    await cluster.settle()
    assert {(cells[1], cells[2]) for cells in await rows(cluster)} == {("1/1", "Running")}


async def test_broken_image_is_mended_by_going_back(cluster: Sandbox) -> None:
    before = cluster.get("deployments.apps", "ledger", "payments")
    await cluster.break_("payments/ledger", "image")
    await cluster.settle()
    stuck = cluster.get("deployments.apps", "ledger", "payments")
    assert before is not None
    assert stuck is not None
    assert stuck["status"]["readyReplicas"] == 2  # the old pods stay
    patch = {"spec": {"template": {"spec": {"containers": before["spec"]["template"]["spec"]["containers"]}}}}
    await Peer(cluster.kubeconfig("admin")).say(Say("PATCH", LEDGER, patch, "merge"), "")
    await cluster.settle()
    assert {cells[2] for cells in await rows(cluster)} == {"Running"}


async def test_node_that_is_down_shows_and_loses_its_pods(cluster: Sandbox) -> None:
    await cluster.break_("nodes/worker-1", "node-down")
    await cluster.settle()
    states = {cells[0]: cells[1] for cells in await rows(cluster, "/api/v1/nodes")}
    assert states["worker-1"] == "NotReady"
    assert states["worker-2"] == "Ready"
    slices = [one for one in cluster.snapshot() if one["kind"] == "Endpoints"]
    ready = {
        address["nodeName"] for one in slices for part in one.get("subsets") or () for address in part.get("addresses") or ()
    }
    assert "worker-1" not in ready


async def test_container_that_lacks_its_settings_starts_when_they_come(cluster: Sandbox) -> None:
    admin = Peer(cluster.kubeconfig("admin"))
    given = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "wants"}, "spec": {"containers": [
        {"name": "app", "image": "nginx:1", "envFrom": [{"configMapRef": {"name": "later"}}]}]}}  # fmt: skip
    await admin.say(Say("POST", "/api/v1/namespaces/default/pods", given), "")
    await cluster.settle()
    assert (await rows(cluster, "/api/v1/namespaces/default/pods"))[0][2] == "CreateContainerConfigError"
    await admin.say(
        Say(
            "POST",
            "/api/v1/namespaces/default/configmaps",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}},
        ),
        "",
    )
    await cluster.settle()
    assert (await rows(cluster, "/api/v1/namespaces/default/pods"))[0][2] == "Running"


@pytest.mark.parametrize(("target", "fault", "said"), [
    ("payments/ledgr", "oom", "Nearest: payments/ledger"), ("payments/ledger", "sadness", "There are: oom"), ("ledger", "oom", "names nothing to break"),
    ("nodes/worker-9", "node-down", "There are: control-plane"), ("payments/ledger", "node-down", "befalls a node"),
])  # fmt: skip
async def test_what_cannot_be_broken_is_said(cluster: Sandbox, target: str, fault: str, said: str) -> None:
    with pytest.raises(FaultUnknown) as unknown:
        await cluster.break_(target, fault)
    assert said in str(unknown.value)


async def test_fault_can_be_injected_from_another_process_by_the_admin_alone(cluster: Sandbox, tmp_path: Path) -> None:
    admin, alice = write_kubeconfigs(cluster, tmp_path, ("admin", "alice"))
    assert "more memory than its limit" in await break_remote(admin, "payments/ledger", "oom")
    with pytest.raises(FaultUnknown, match="cannot post path"):
        await break_remote(alice, "payments/ledger", "oom")
    with pytest.raises(FaultUnknown, match="There is no workload"):
        await break_remote(admin, "payments/nothing", "oom")
    assert admin.stat().st_mode & 0o077 == 0
