"""The fixture `control_plane`: our own (see build.py), or the cluster that KUBECHAT_TEST_KUBECONFIG names.

Where there is neither, the tests that need it are skipped with the reason; with KUBECHAT_REQUIRE_CONTROL_PLANE=1 they
fail instead, so that the project's own checks can't pass without it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.controlplane import build, cluster
from tests.controlplane.given import given


@pytest.fixture(scope="session")
def control_plane() -> Iterator[cluster.ControlPlane]:
    """A running API server and its people, one for the whole run. It may lack controllers: see `workloads`."""
    kubeconfig = os.environ.get("KUBECHAT_TEST_KUBECONFIG")
    try:
        if kubeconfig:
            opened = given(Path(kubeconfig), any_kubectl(), cluster.PEOPLE)
        else:
            opened = cluster.running(build.find())
    except build.ProgramsMissing as reason:
        unavailable(str(reason))
    with opened as plane:
        yield plane


@pytest.fixture(scope="session")
def workloads(control_plane: cluster.ControlPlane) -> cluster.ControlPlane:
    """The control plane, where Deployments roll out and pods run."""
    if control_plane.missing:
        unavailable(f"nothing runs on this control plane without {', '.join(control_plane.missing)}")
    return control_plane


def any_kubectl() -> Path:
    """Ours if it is built, else the system's. Raises ProgramsMissing."""
    try:
        return build.find().path("kubectl")
    except build.ProgramsMissing:
        if system := shutil.which("kubectl"):
            return Path(system)
        raise


def unavailable(reason: str) -> NoReturn:
    required = os.environ.get("KUBECHAT_REQUIRE_CONTROL_PLANE") == "1"
    raise (pytest.fail if required else pytest.skip).Exception(reason, pytrace=False) from None
