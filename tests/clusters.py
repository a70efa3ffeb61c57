"""One fixture, two clusters: `cluster` is the practice cluster first and the real control plane then, so that the same tests
run on both. The real one is skipped with its reason where it is not built (KUBECHAT_REQUIRE_CONTROL_PLANE=1 fails instead)."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from k8s.access import ClusterAccess, KubeconfigCredentials, connect
from k8s.client import ClusterClient, Limits
from k8s.errors import ApiError
from k8s.execute import execute
from k8s.grammar import parse
from k8s.kubeconfig import check_kubeconfig
from k8s.preview import preview
from k8s.render import columns_text
from k8s.sandbox import Sandbox
from k8s.types import Command, ExecutionResult, Preview

SECRET_VALUE = "hunter2-never-shown"

SHOP: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "checkout", "labels": {"app": "checkout", "tier": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": {
                "metadata": {"labels": {"app": "checkout"}},
                "spec": {
                    "containers": [
                        {"name": "web", "image": "shop/checkout:1.0", "env": [{"name": "DB_PASSWORD", "value": SECRET_VALUE}]},
                        {"name": "sidecar", "image": "shop/proxy:1.0"},
                    ]
                },
            },
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "checkout"},
        "spec": {"selector": {"app": "checkout"}, "ports": [{"port": 80}]},
    },
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"main": "blue"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": SECRET_VALUE}},
)
"""What a fresh namespace holds."""


PRACTICE = """
{apiVersion: v1, kind: Node, metadata: {name: practice-1}, status: {capacity: {cpu: 8, memory: 32Gi, pods: 200}}}
---
{apiVersion: v1, kind: Node, metadata: {name: practice-2}, status: {capacity: {cpu: 8, memory: 32Gi, pods: 200}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: nobody-views}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: nobody}]
"""
"""The practice cluster of the tests: without a binding of any kind it would make everybody an administrator."""


@dataclass(slots=True)
class LiveCluster:
    """A running cluster. `admin` may do anything; the others have the rights that a namespace gives them."""

    name: str
    kubeconfig: Callable[[str], str]
    stack: AsyncExitStack
    clients: dict[str, ClusterClient] = field(default_factory=dict)
    namespaces: list[str] = field(default_factory=list)

    def access(self, person: str, namespace: str = "default") -> ClusterAccess:
        """A person's own kubeconfig."""
        credentials = KubeconfigCredentials(check_kubeconfig(self.kubeconfig(person)))
        return ClusterAccess(self.name, person, credentials, namespace)

    async def client(self, person: str) -> ClusterClient:
        """A connection in the person's name, closed with the fixture."""
        if person not in self.clients:
            self.clients[person] = await connect(self.access(person))
            self.stack.push_async_callback(self.clients[person].close)
        return self.clients[person]

    async def namespace(self, rights: Mapping[str, str] | None = None, objects: tuple[dict[str, Any], ...] = SHOP) -> str:
        """A namespace of its own with the shop in it and pods ready; `rights` binds people to built-in roles (alice to edit)."""
        admin, name = await self.client("admin"), f"test-{secrets.token_hex(4)}"
        await admin.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
        self.namespaces.append(name)
        for person, role in ({"alice": "edit"} if rights is None else rights).items():
            await admin.request(
                "POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings", body=_binding(person, role)
            )
        await until(lambda: exists(admin, f"/api/v1/namespaces/{name}/serviceaccounts/default"))
        if objects:
            manifest = "\n---\n".join(json.dumps(value) for value in objects)
            await self.run("admin", f"apply -f - -n {name}", manifest=manifest)
            await self.rolled_out(name)
        return name

    async def rolled_out(self, namespace: str) -> None:
        """Wait until every Deployment's pods are ready and no old one is left."""
        admin = await self.client("admin")

        async def all_ready() -> bool:
            deployments = await admin.items(f"/apis/apps/v1/namespaces/{namespace}/deployments")
            pods = await admin.items(f"/api/v1/namespaces/{namespace}/pods", query=(("labelSelector", "pod-template-hash"),))
            wished = sum(each["spec"]["replicas"] for each in deployments)
            return all(_settled(each) for each in deployments) and len(pods) == wished

        await until(all_ready)

    async def run(self, person: str, line: str, *, manifest: str | None = None, limits: Limits | None = None) -> ExecutionResult:
        """Carry out one kubectl line in the person's name."""
        return await execute(await self.client(person), parse(line, manifest=manifest), limits=limits or Limits())

    async def preview(self, person: str, line: str, *, manifest: str | None = None) -> Preview:
        """Preview one kubectl line in the person's name."""
        return await preview(await self.client(person), parse(line, manifest=manifest))

    async def get(self, path: str) -> dict[str, Any]:
        """An object as the admin sees it."""
        return await (await self.client("admin")).get(path)


def _binding(person: str, role: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{person}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}],
    }


def _settled(deployment: dict[str, Any]) -> bool:
    status, wished = deployment.get("status") or {}, deployment["spec"]["replicas"]
    observed = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = [status.get(key) or 0 for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return observed and counts == [wished] * 4


async def exists(client: ClusterClient, path: str) -> bool:
    """Whether there is such an object."""
    try:
        await client.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for a condition; TimeoutError when it never comes."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition lies in another process
            await asyncio.sleep(0.05)


def shown(result: ExecutionResult) -> str:
    """Everything of a result that a person would read."""
    return "\n".join([result.text, *(columns_text(table) for table in result.tables), result.truncated, *result.notes])


def command(line: str, manifest: str | None = None) -> Command:
    """One kubectl line, read."""
    return parse(line, manifest=manifest)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["practice", "real"])
async def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveCluster]:
    """The practice cluster, then the real control plane."""
    async with AsyncExitStack() as stack:
        if request.param == "practice":
            folder = tmp_path_factory.mktemp("practice")
            (folder / "cluster.yaml").write_text(PRACTICE)
            sandbox = await stack.enter_async_context(await Sandbox.start(folder))
            live = LiveCluster("practice", lambda person: _text(sandbox.kubeconfig(person)), stack)
        else:
            plane = request.getfixturevalue("workloads")
            live = LiveCluster("real", lambda person: _text(plane.kubeconfig(person)), stack)
        yield live
        admin = await live.client("admin")
        for name in live.namespaces:
            await admin.request("DELETE", f"/api/v1/namespaces/{name}", body={"kind": "DeleteOptions", "apiVersion": "v1"})


def _text(kubeconfig: Any) -> str:
    return kubeconfig if isinstance(kubeconfig, str) else json.dumps(kubeconfig)
