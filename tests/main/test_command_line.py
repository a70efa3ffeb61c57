"""`kubechat` as people and programs call it: real processes, a home of their own, nobody at the keyboard."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KUBECHAT = Path(sys.executable).with_name("kubechat")
MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: site}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1.27"}]}
"""


def kubechat(home: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KUBECHAT), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "KUBECHAT_HOME": str(home), "COLUMNS": "120", **environment},
        check=False,
    )


def said(home: Path, *arguments: str) -> dict[str, Any]:
    """What `kubechat chat --practice --json` answers."""
    done = kubechat(home, "chat", "--practice", "--json", *arguments)
    assert done.stdout.count("\n") == 1, (done.stdout, done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer | {"status": done.returncode}


@pytest.mark.parametrize(
    "command", ["", "chat", "demo", "users", "users add", "safety", "safety check", "sandbox serve", "audit", "audit verify"]
)
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    done = kubechat(tmp_path, *command.split(), "--help")
    assert done.returncode == 0
    assert "Usage: kubechat" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_help_keeps_the_lines_of_its_examples(tmp_path: Path) -> None:
    assert "\n  Try it:        kubechat demo\n" in kubechat(tmp_path, "--help").stdout
    assert "\n  kubechat chat --practice\n" in kubechat(tmp_path, "chat", "--help").stdout


def test_verdicts_for_people_are_shown_literally(tmp_path: Path) -> None:
    done = kubechat(tmp_path, "safety", "check", "-", stdin="\ufeffkubectl get pods [/x] [red]\n")
    assert done.returncode == 0, done.stderr
    assert "get pods [/x] [red]" in done.stdout


def test_a_home_that_is_no_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = kubechat(file, "users", "list")
    assert done.returncode == 1
    assert f"{file} cannot be used" in done.stderr
    assert "KUBECHAT_HOME" in done.stderr


def test_audit_reads_the_database_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "kubechat.yaml").write_text(f"database: sqlite:///{tmp_path}/other.db\n")
    assert said(tmp_path, "list pods")["outcome"] == "done"
    assert not (tmp_path / "kubechat.db").exists()
    assert kubechat(tmp_path, "audit", "verify").stdout.startswith("ok: ")
    (tmp_path / "kubechat.yaml").write_text("databas: x\n")
    assert "databas: there is no such setting" in kubechat(tmp_path, "audit", "verify").stderr


def test_practices_at_the_same_time_keep_to_their_own_clusters(tmp_path: Path) -> None:
    with (tmp_path / "practice.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "terminal/practice-2/alice" in json.dumps(said(tmp_path, "who am I"))
    assert "terminal/practice/alice" in json.dumps(said(tmp_path, "who am I"))


def test_a_name_that_is_empty_is_nobody(tmp_path: Path) -> None:
    done = kubechat(tmp_path, "chat", "--practice", "--as", "", "who am I")
    assert done.returncode == 1
    assert "is no name" in done.stderr


def test_a_closed_standard_input_is_an_empty_script(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" chat --practice --script - <&-', str(KUBECHAT)],
        capture_output=True, text=True, timeout=120, env={**os.environ, "KUBECHAT_HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_help_loads_neither_database_nor_cluster_client(tmp_path: Path) -> None:
    script = "import sys; from bot.main import kubechat; print([m for m in ('sqlalchemy', 'aiohttp', 'pydantic', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_safety_check_prints_a_verdict_a_line_in_order(tmp_path: Path) -> None:
    lines = [
        "get pods",
        "kubectl scale deploy web --replicas=3",
        "delete ns prod",
        "get pods; rm -rf /",
        "get pods --server=https://x",
    ]
    path = tmp_path / "commands.txt"
    path.write_text("\n".join(lines) + "\n\n")
    done = kubechat(tmp_path, "safety", "check", str(path), "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["command"] for each in found] == lines
    assert [each["verdict"] for each in found] == ["safe", "warning", "dangerous", "forbidden", "forbidden"]
    assert all(set(each) == {"command", "verdict", "rule", "reasons"} and each["reasons"] for each in found)
    assert done.returncode == 0


def test_safety_check_is_readable_without_json(tmp_path: Path) -> None:
    done = kubechat(tmp_path, "safety", "check", "-", stdin="delete pod [red]x\n")
    assert "dangerous" in done.stdout or "forbidden" in done.stdout


def test_one_question_one_line_of_json(tmp_path: Path) -> None:
    answer = said(tmp_path, "--as", "alice", "list deployments in shop")
    assert (answer["outcome"], answer["level"], answer["status"]) == ("done", "safe", 0)
    assert answer["commands"] == ["kubectl get deployments -n shop"]
    table = next(block for block in answer["replies"][-1]["blocks"] if block["type"] == "table")
    assert "checkout" in {row[0] for row in table["rows"]}


def test_a_change_waits_without_an_approver_and_runs_with_one(tmp_path: Path) -> None:
    waiting = said(tmp_path, "--as", "alice", "scale checkout in shop to 5")
    assert (waiting["outcome"], waiting["status"]) == ("waiting", 3)
    done = said(tmp_path, "--as", "alice", "--approve-as", "bob", "scale checkout in shop to 5")
    assert (done["outcome"], done["pressed"][0]["user"]) == ("done", "alice")
    deleted = said(tmp_path, "--as", "alice", "--approve-as", "bob", "delete deployment cart in shop")
    assert (deleted["outcome"], deleted["level"], deleted["pressed"][0]["user"]) == ("done", "dangerous", "bob")


@pytest.mark.parametrize(
    ("user", "text", "outcome", "status"),
    [
        ("carol", "restart checkout in shop", "denied", 6),
        ("mallory", "list pods in shop", "denied", 6),
        ("alice", "kubectl get pods; id", "refused", 5),
        ("alice", "kubectl get pods --token=x", "refused", 5),
        ("alice", "restart chekout in shop", "question", 4),
        ("alice", "kubectl get deployment nope -n shop", "failed", 7),
        ("alice", "help", "answer", 0),
    ],
)
def test_the_exit_status_tells_what_came_of_it(tmp_path: Path, user: str, text: str, outcome: str, status: int) -> None:
    answer = said(tmp_path, "--as", user, text)
    assert (answer["outcome"], answer["status"]) == (outcome, status), answer


def test_a_folder_of_ones_own_works_for_anybody_named(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(MANIFESTS)
    arguments = ("--manifests", str(folder), "--as", "zoe", "--approve-as", "yan")
    assert said(tmp_path, *arguments, "scale web in site to 4")["outcome"] == "done"
    assert said(tmp_path, *arguments, "kubectl delete deployment web -n site")["pressed"][0]["user"] == "yan"


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "broken.yaml").write_text("kind: [")
    done = kubechat(tmp_path, "chat", "--practice", "--manifests", str(folder), "list pods")
    assert done.returncode == 1
    assert "broken.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_asked_is_in_the_audit_log_and_verifies(tmp_path: Path) -> None:
    said(tmp_path, "--as", "alice", "--approve-as", "bob", "delete deployment cart in shop")
    rows = [json.loads(line) for line in kubechat(tmp_path, "audit", "tail", "--json").stdout.splitlines()]
    kinds = [row["header"]["kind"] for row in rows]
    assert [kind for kind in kinds if kind.startswith(("approval", "execution"))] == [
        "approval.requested", "approval.granted", "execution.started", "execution.finished",
    ]  # fmt: skip
    assert kubechat(tmp_path, "audit", "verify").returncode == 0


def test_a_wrong_setting_stops_everything_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "kubechat.yaml").write_text("limits: {row: 3}")
    done = kubechat(tmp_path, "chat", "help")
    assert done.returncode == 1
    assert "limits.row" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_plays_through_and_leaves_when_nobody_is_there(tmp_path: Path) -> None:
    done = kubechat(tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    for sign in ("kubectl scale deployment checkout", "Agreed to by bob", "You may not do that", "No shell runs here", "ok: "):
        assert sign in done.stdout


def test_the_demo_can_be_saved_as_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    assert kubechat(tmp_path, "demo", "--svg", str(picture)).returncode == 0
    assert picture.read_text().startswith("<svg")
