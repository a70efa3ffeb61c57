"""A practice cluster per test module, clients that speak to it, and kubectl where there is one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from k8s.sandbox import Sandbox, write_kubeconfigs
from tests.k8s.sandbox.conversation import Peer
from tests.k8s.sandbox.kubectl import KubectlRunner, program


@pytest.fixture(scope="module")
async def cluster() -> AsyncIterator[Sandbox]:
    async with await Sandbox.start() as started:
        await started.settle()
        yield started


@pytest.fixture
def admin(cluster: Sandbox) -> Peer:
    return Peer(cluster.kubeconfig("admin"))


@pytest.fixture(scope="module")
def kubectl(cluster: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> KubectlRunner:
    found = program()
    if found is None:
        if os.environ.get("KUBECHAT_REQUIRE_CONTROL_PLANE") == "1":
            pytest.fail("there is no kubectl")
        pytest.skip("there is no kubectl on PATH and none is built")
    folder = tmp_path_factory.mktemp("kubectl")
    write_kubeconfigs(cluster, folder, ("admin", "alice", "bob", "carol", "dave", "erin"))
    return KubectlRunner(found, folder)
