"""Dialogues for the tests: `d` in a namespace that all tests of a module share, `fresh` in one of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.dialogue import Dialogue, dialogue
from tests.clusters import LiveCluster


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings of whoever runs it."""
    monkeypatch.setenv("KUBECHAT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECHAT_SETTINGS", raising=False)


@pytest.fixture(scope="module")
async def namespace(cluster: LiveCluster) -> str:
    """A namespace with the shop in it. Who changes it leaves it as it was, or takes one of its own."""
    return await cluster.namespace({"alice": "edit", "bob": "edit", "dave": "view"})


@pytest.fixture
async def d(cluster: LiveCluster, namespace: str, tmp_path: Path) -> AsyncIterator[Dialogue]:
    async with dialogue(tmp_path, cluster, namespace) as opened:
        yield opened


@pytest.fixture
async def fresh(cluster: LiveCluster, tmp_path: Path) -> AsyncIterator[Dialogue]:
    own = await cluster.namespace({"alice": "edit", "bob": "edit"})
    async with dialogue(tmp_path, cluster, own) as opened:
        yield opened
