"""`kubechat users` against a served practice cluster."""

import json
from pathlib import Path

import pytest

from tests.main.test_command_line import kubechat


def test_an_account_is_mapped_tested_listed_used_and_removed(served: Path, tmp_path: Path) -> None:
    account = "terminal/local/ann"
    added = kubechat(
        tmp_path, "users", "add", account, "--cluster", "shop", "--kubeconfig", str(served / "alice.yaml"), "--namespace", "shop"
    )
    assert (added.returncode, added.stdout) == (0, f"{account} now reaches shop as alice\n"), added.stderr
    assert "reached as alice" in kubechat(tmp_path, "users", "test", account).stdout
    listed = json.loads(kubechat(tmp_path, "users", "list", "--json").stdout)
    assert (listed["account"], listed["cluster"], listed["identity"], listed["by"]) == (account, "shop", "alice", "kubeconfig")
    shown = kubechat(tmp_path, "users", "list", COLUMNS="60").stdout
    assert shown == f"{account}  person: {account}  roles: none\n    shop as alice, by kubeconfig, namespace shop\n"
    answer = kubechat(tmp_path, "chat", "--as", "ann", "list deployments")
    assert "checkout" in answer.stdout
    assert kubechat(tmp_path, "users", "remove", account).returncode == 0
    assert kubechat(tmp_path, "chat", "--as", "ann", "list deployments").returncode == 6
    kinds = [json.loads(line)["header"]["kind"] for line in kubechat(tmp_path, "audit", "tail", "--json").stdout.splitlines()]
    assert [kind for kind in kinds if kind.startswith("access")] == ["access.mapped", "access.removed", "access.missing"]


def test_by_impersonation_the_cluster_sees_the_person(served: Path, tmp_path: Path) -> None:
    settings = f"clusters: {{shop: {{kubeconfig_file: {served / 'kubechat.yaml'}}}}}"
    (tmp_path / "kubechat.yaml").write_text(settings)
    added = kubechat(
        tmp_path, "users", "add", "terminal/local/ann", "--cluster", "shop", "--impersonate", "alice", "--group", "developers", "--namespace", "shop"
    )  # fmt: skip
    assert "as alice" in added.stdout, added.stderr
    assert kubechat(tmp_path, "chat", "--as", "ann", "list deployments").returncode == 0
    assert kubechat(tmp_path, "chat", "--as", "ann", "list deployments in kube-system").returncode == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ann", "--cluster", "x", "--impersonate", "a"], "PLATFORM/WORKSPACE/ID"),
        (["a/b/c", "--cluster", "x"], "Give --kubeconfig, --service-account or --impersonate"),
        (["a/b/c", "--impersonate", "a"], "Which cluster?"),
        (["a/b/c", "--cluster", "x", "--impersonate", "a"], "clusters.x.kubeconfig_file is not set"),
        (["a/b/c", "--cluster", "x", "--service-account", "ann"], "NAMESPACE/NAME"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = kubechat(tmp_path, "users", "add", *arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_who_counts_as_the_same_person_is_said_when_it_is_set(tmp_path: Path) -> None:
    first = kubechat(tmp_path, "users", "add", "slack/T1/U1", "--person", "ann")
    assert "No other account is ann yet." in first.stdout
    second = kubechat(tmp_path, "users", "add", "terminal/local/ann", "--person", "ann")
    assert "The same person: slack/T1/U1" in second.stdout


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"exec": {"command": "aws"}}, "exec"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({"tokenFile": "/etc/passwd"}, "tokenFile"),
        ({"client-certificate": "/etc/x", "client-key": "/etc/y"}, "client-certificate"),
    ],
)
def test_a_kubeconfig_with_tricks_is_refused_when_it_is_mapped(tmp_path: Path, user: dict[str, object], said: str) -> None:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://example.com"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    path = tmp_path / "tricky.kubeconfig"
    path.write_text(json.dumps(config))
    done = kubechat(tmp_path, "users", "add", "a/b/c", "--cluster", "x", "--kubeconfig", str(path), "--untested")
    assert done.returncode == 1
    assert said in done.stderr


def test_something_can_be_broken_in_a_served_cluster(served: Path, tmp_path: Path) -> None:
    done = kubechat(tmp_path, "sandbox", "break", "payments/ledger", "oom", "--kubeconfigs", str(served))
    assert done.returncode == 0, done.stderr
    kubechat(tmp_path, "users", "add", "terminal/local/ann", "--cluster", "shop", "--kubeconfig", str(served / "bob.yaml"))
    pods = kubechat(tmp_path, "chat", "--as", "ann", "kubectl get pods -n payments").stdout
    assert "OOMKilled" in pods or "CrashLoopBackOff" in pods
    unknown = kubechat(tmp_path, "sandbox", "break", "payments/ledger", "sneeze", "--kubeconfigs", str(served))
    assert unknown.returncode == 1
    assert "oom" in unknown.stderr, "it names the faults there are"
