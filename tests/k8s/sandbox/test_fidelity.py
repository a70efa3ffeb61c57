"""The practice cluster says what the real API server says. Where they differ, the real one is right."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from k8s.sandbox import Sandbox
from tests.controlplane.cluster import ControlPlane
from tests.k8s.sandbox.cases import CASES
from tests.k8s.sandbox.conversation import Peer, Say, differences, plain


@pytest.fixture(scope="module")
async def peers(control_plane: ControlPlane) -> AsyncIterator[tuple[Peer, Peer]]:
    async with await Sandbox.start() as cluster:
        yield Peer(cluster.kubeconfig("admin")), Peer(control_plane.kubeconfig("admin"))


@pytest.mark.parametrize("name", CASES)
async def test_practice_cluster_answers_as_the_real_one(name: str, peers: tuple[Peer, Peer]) -> None:
    namespace = f"fid-{secrets.token_hex(4)}"
    for peer in peers:
        await furnish(peer, namespace)
    found: list[str] = []
    for one in CASES[name]:
        (left_status, left, left_warned), (right_status, right, right_warned) = [await peer.say(one, namespace) for peer in peers]
        where = f"{one.method} {one.path} {one.why}"
        if (left_status, left_warned) != (right_status, right_warned):
            found.append(f"{where}: practice {left_status} {left_warned}, real {right_status} {right_warned} {left} {right}")
            continue
        found += [f"{where}: {text}" for text in differences(plain(left, one.ignore), plain(right, one.ignore))]
    assert not found, "\n".join(found)


async def furnish(peer: Peer, namespace: str) -> None:
    """A fresh namespace with its service account, which a moment passes before."""
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await peer.say(Say("POST", "/api/v1/namespaces", body), namespace)
    for _ in range(100):
        status, _, _ = await peer.say(Say("GET", "/api/v1/namespaces/NS/serviceaccounts/default"), namespace)
        if status == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{peer.url} made no service account in {namespace}")
