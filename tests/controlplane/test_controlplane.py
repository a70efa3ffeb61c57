"""The control plane of the tests is a real one, and gives nobody a right that was not bound."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.controlplane import build, cluster
from tests.controlplane.cluster import ControlPlane, KubectlFailed
from tests.controlplane.given import given


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    name = f"test-{uuid4().hex[:8]}"
    control_plane.kubectl("admin", "create", "namespace", name)
    yield name
    control_plane.kubectl("admin", "delete", "namespace", name, "--wait=false")


def test_server_reports_a_version_next_to_kubectls(control_plane: ControlPlane) -> None:
    versions = json.loads(control_plane.kubectl("carol", "version", "--output=json"))
    client, server = (int(versions[side]["minor"].rstrip("+")) for side in ("clientVersion", "serverVersion"))
    assert abs(client - server) <= 1


def test_every_person_is_known_by_name_and_groups(control_plane: ControlPlane) -> None:
    for person, groups in cluster.PEOPLE.items():
        who = json.loads(control_plane.kubectl(person, "auth", "whoami", "--output=json"))["status"]["userInfo"]
        assert who["username"] == person
        assert set(who["groups"]) == {*groups, "system:authenticated"}


def test_alice_may_what_was_bound_to_her_and_carol_may_nothing(control_plane: ControlPlane, namespace: str) -> None:
    here = ("--namespace", namespace)
    control_plane.kubectl("admin", "create", "role", "viewer", "--verb=list", "--resource=pods", *here)
    control_plane.kubectl("admin", "create", "rolebinding", "viewers", "--role=viewer", "--group=developers", *here)
    control_plane.kubectl("alice", "get", "pods", *here)
    with pytest.raises(KubectlFailed, match='User "carol" cannot list resource "pods"'):
        control_plane.kubectl("carol", "get", "pods", *here)
    with pytest.raises(KubectlFailed, match='User "alice" cannot list resource "secrets"'):
        control_plane.kubectl("alice", "get", "secrets", *here)


def test_a_requested_token_authenticates_its_service_account(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("admin", "create", "serviceaccount", "robot", "--namespace", namespace)
    token = control_plane.kubectl("admin", "create", "token", "robot", "--namespace", namespace).strip()
    robot = f"robot-{namespace}"
    theirs = dataclasses.replace(control_plane, credentials={robot: {"token": token}})
    who = json.loads(theirs.kubectl(robot, "auth", "whoami", "--output=json"))
    assert who["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:robot"


def test_a_deployment_rolls_out_and_its_logs_can_be_read(workloads: ControlPlane, namespace: str) -> None:
    here = ("--namespace", namespace)
    workloads.kubectl("admin", "create", "deployment", "web", "--image=nginx", "--replicas=2", *here)
    workloads.kubectl("admin", "wait", "deployment/web", "--for=condition=Available", "--timeout=60s", *here)
    available = workloads.kubectl("admin", "get", "deployment/web", "--output=jsonpath={.status.availableReplicas}", *here)
    assert available == "2"
    assert len(workloads.kubectl("admin", "logs", "deployment/web", "--tail=2", *here).splitlines()) == 2


def test_an_image_that_cannot_be_pulled_is_played(workloads: ControlPlane, namespace: str) -> None:
    here, reason = ("--namespace", namespace), "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    workloads.kubectl("admin", "wait", "serviceaccount/default", "--for=create", *here)
    workloads.kubectl("admin", "run", "broken", "--image=registry.invalid/web:1", *here)
    workloads.kubectl("admin", "wait", "pod/broken", f"--for={reason}=ImagePullBackOff", "--timeout=60s", *here)


def test_a_cluster_given_by_its_admins_kubeconfig_knows_the_same_people(workloads: ControlPlane) -> None:
    admins, people = workloads.kubeconfig_file("admin"), {"admin": (), "erin": ("developers", "night-shift")}
    with given(admins, workloads.kubectl_program, people) as theirs:
        who = json.loads(theirs.kubectl("erin", "auth", "whoami", "--output=json"))["status"]["userInfo"]
        requests = theirs.kubectl("admin", "get", "csr", "--output=name")
    assert who["username"] == "erin"
    assert set(who["groups"]) == {"developers", "night-shift", "system:authenticated"}
    assert "erin" not in requests


def test_a_program_that_cannot_start_is_named_with_its_own_words(tmp_path: Path) -> None:
    for name in build.ESSENTIAL:
        (tmp_path / name).write_text("#!/bin/sh\necho no room left >&2\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    with (
        pytest.raises(cluster.ControlPlaneFailed, match=r"ended: .*etcd(.|\n)*no room left"),
        cluster.running(build.Programs(tmp_path)),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent's death")
def test_the_programs_die_even_when_the_tests_are_killed(tmp_path: Path) -> None:
    program = tmp_path / "stays"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from tests.controlplane import build, cluster; here = Path(sys.argv[1]);"
        "started = {}; cluster.Starter(build.Programs(here), here, started)('stays', {});"
        "print(started['stays'].pid, flush=True); sys.stdin.read()"
    )
    command: list[str | Path] = [sys.executable, "-c", code, tmp_path]
    with subprocess.Popen(command, cwd=build.HERE.parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tests:
        assert tests.stdout
        played = os.pidfd_open(int(tests.stdout.readline()))
        tests.kill()
    try:
        ended, _, _ = select.select([played], [], [], 30)  # readable once the process has ended
        assert ended == [played]
    finally:
        os.close(played)
