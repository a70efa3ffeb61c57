"""`kubechat audit …`, run as people and scripts run it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection

from audit.cli import audit, key_file
from audit.keys import Keyring
from audit.rows import Actor
from audit.store import AuditLog
from audit.verify import EXIT_CODES, Status
from audit.witness import witness_path
from tests.audit import test_attacks as attacks
from tests.audit.logs import written


@dataclass(frozen=True, slots=True)
class Place:
    """An installation: its home folder and its database."""

    home: Path
    url: str

    def run(self, command: str, *arguments: str, answer: str | None = None) -> Result:
        options = ["--home", str(self.home), "--database", self.url]
        return CliRunner(env={"COLUMNS": "300"}).invoke(audit, [command, *options, *arguments], input=answer)

    def json_lines(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        outcome = self.run(command, "--json", *arguments)
        assert outcome.exit_code == 0, outcome.output
        return [json.loads(line) for line in outcome.stdout.splitlines()]

    @property
    def keys(self) -> Keyring:
        return Keyring.load(key_file(self.home))

    @property
    def witness(self) -> Path:
        return witness_path(self.home, self.url)


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """An installation whose log has ten rows."""
    found = Place(tmp_path / "home", database_url)
    written(found.url, found.keys, found.witness)
    return found


async def append(place: Place, user: str, payload: dict[str, Any]) -> None:
    log = await AuditLog.open(place.url, place.keys, witness=place.witness)
    await log.append("command.asked", Actor("slack", "T1", user), payload)
    await log.close()


def test_tail_shows_the_last_rows(place: Place) -> None:
    shown = place.run("tail", "-n", "3").stdout
    assert [line.split()[0] for line in shown.splitlines() if line[:1].isdigit()] == ["8", "9", "10"]
    assert "test.row" in shown
    assert "how are" in shown


def test_tail_gives_json_and_filters(place: Place) -> None:
    asyncio.run(append(place, "U9", {"question": "?"}))
    assert [line["header"]["seq"] for line in place.json_lines("tail", "-n", "2")] == [10, 11]
    cases = [
        (["--actor", "U9"], [11]),
        (["--actor", "slack/T1/U9"], [11]),
        (["--actor", "teams/T1/U9"], []),
        (["--kind", "test.row", "-n", "1"], [10]),
        (["--approval", "a1", "-n", "2"], [9, 10]),
        (["--since", "2999-01-01"], []),
        (["--until", "2999-01-01T00:00:00+0100", "-n", "1"], [11]),
    ]
    for arguments, expected in cases:
        assert [line["header"]["seq"] for line in place.json_lines("tail", *arguments)] == expected, arguments


def test_tail_gives_each_row_two_lines_and_what_matters_first(place: Place) -> None:
    asyncio.run(append(place, "U9", {"cluster": "prod", "nothing": None, "outcome": "done", "command": "kubectl get pods"}))
    head, what = place.run("tail", "-n", "1").stdout.splitlines()
    assert head.startswith("11  ")
    assert head.endswith("  command.asked  slack/T1/U9")
    assert what == "    command=kubectl get pods  outcome=done  cluster=prod"


def test_a_database_that_is_none_cannot_be_verified(place: Place) -> None:
    verdict = place.run("verify", "--database", "elsewhere")
    assert verdict.exit_code == EXIT_CODES[Status.CANNOT_VERIFY]
    assert "'elsewhere' is no database URL" in verdict.stdout


def test_show_prints_a_row_whole(place: Place) -> None:
    shown = place.run("show", "3")
    assert '"approval_id": "a1"' in shown.stdout
    assert '"question": "how are my pods? 0"' in shown.stdout
    missing = place.run("show", "11")
    assert (missing.exit_code, missing.stderr) == (1, "Error: there is no row 11; the log ends at row 10\n")


def test_text_of_rows_cannot_drive_the_terminal(place: Place) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\u202e\u200b\x9b31m[red]x[/red]"
    asyncio.run(append(place, hostile, {"question": hostile, hostile: [hostile]}))
    for command in (["tail"], ["show", "11"], ["tail", "--json"], ["export", "--format", "csv"]):
        shown = place.run(*command).stdout
        assert all(line.isprintable() for line in shown.split("\n")), command
        assert "[red]" in shown, command


def test_rows_can_be_read_and_verified_without_keys(place: Place) -> None:
    key_file(place.home).unlink()
    assert place.json_lines("tail", "-n", "1")[0]["payload_state"] == "unreadable"
    assert "unreadable" in place.run("show", "1").stdout
    verdict = place.run("verify")
    assert verdict.exit_code == 0
    assert "payloads were not checked" in verdict.stdout
    assert not key_file(place.home).exists()


VERDICTS: list[tuple[Callable[[Connection], None], Status, int | None]] = [
    (attacks.change_nothing, Status.OK, None),
    (attacks.edit_header, Status.TAMPERED, 5),
    (attacks.cut_the_tail, Status.TRUNCATED, 9),
    (attacks.rewrite_everything, Status.FORKED, 4),
    (attacks.cut_the_tail_and_the_head, Status.STALE, 9),
    (attacks.drop_everything, Status.CANNOT_VERIFY, None),
]


@pytest.mark.parametrize(("attack", "status", "first_bad"), VERDICTS, ids=[case[1].name for case in VERDICTS])
def test_verify_exits_with_a_status_of_its_own(
    place: Place, attack: Callable[[Connection], None], status: Status, first_bad: int | None
) -> None:
    with attacks.behind(place.url) as connection:
        attack(connection)
    shown = place.run("verify")
    assert shown.exit_code == EXIT_CODES[status]
    assert shown.stdout.startswith(f"{status}: ")
    assert (f"First bad row: {first_bad}" in shown.stdout) == (first_bad is not None)
    as_json = place.run("verify", "--json")
    assert as_json.exit_code == EXIT_CODES[status]
    verdict = json.loads(as_json.stdout)
    assert (verdict["status"], verdict["first_bad_seq"], verdict["exit_code"]) == (status, first_bad, shown.exit_code)


def test_verify_takes_an_end_known_from_elsewhere(place: Place) -> None:
    digest = place.json_lines("show", "4")[0]["hash"]
    assert place.run("verify", "--expect-seq", "4", "--expect-hash", digest.upper()).exit_code == 0
    assert place.run("verify", "--expect-seq", "3", "--expect-hash", digest).exit_code == EXIT_CODES[Status.FORKED]
    assert place.run("verify", "--expect-seq", "11").exit_code == EXIT_CODES[Status.STALE]
    assert place.run("verify", "--expect-hash", digest).exit_code == 2


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_an_export_is_verified_without_database_and_keys(place: Place, tmp_path: Path, form: str) -> None:
    path = tmp_path / "bundle"
    assert place.run("export", "--format", form, "-o", str(path)).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    elsewhere = Place(tmp_path / "nowhere", "sqlite:////nowhere/kubechat.db")
    assert elsewhere.run("verify", "--bundle", str(path)).exit_code == 0
    path.write_text(path.read_text().replace("how are my pods? 1", "how are my pods? 2", 1))
    assert elsewhere.run("verify", "--bundle", str(path)).exit_code == EXIT_CODES[Status.TAMPERED]
    again = place.run("export", "-o", str(path))
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_a_part_of_the_log_can_be_exported_and_verified(place: Place, tmp_path: Path) -> None:
    path, filtered = tmp_path / "part", tmp_path / "filtered"
    place.run("export", "--after", "4", "-o", str(path))
    assert "6 rows" in place.run("verify", "--bundle", str(path)).stdout
    place.run("export", "--kind", "test.row", "-o", str(filtered))
    verdict = place.run("verify", "--bundle", str(filtered))
    assert verdict.exit_code == EXIT_CODES[Status.CANNOT_VERIFY]
    assert "leaves rows out" in verdict.stdout


def test_accept_goes_on_after_a_restore_and_keeps_the_old_witness(place: Place) -> None:
    with attacks.behind(place.url) as connection:
        attacks.cut_the_tail_and_the_head(connection)
    assert place.run("verify").exit_code == EXIT_CODES[Status.STALE]
    assert place.run("accept", "--reason", "restored", answer="n\n").exit_code == 1
    accepted = place.run("accept", "--reason", "restored from last night's backup", answer="y\n")
    assert accepted.exit_code == 0, accepted.output
    assert place.run("verify").exit_code == 0
    row = place.json_lines("tail", "-n", "1")[0]
    assert row["header"]["kind"] == "audit.accepted"
    assert (row["payload"]["witness"]["seq"], row["payload"]["found"]["seq"]) == (10, 8)
    assert [path.name.endswith(".kept") for path in place.witness.parent.glob("*.kept")] == [True]
    asyncio.run(append(place, "U1", {}))


def test_migrate_makes_the_tables(database_url: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "home", database_url)
    assert place.run("tail").exit_code == 1
    assert "ends at row 0" in place.run("migrate").stdout
    assert place.run("verify").exit_code == 0


@pytest.mark.parametrize("command", [["tail"], ["show", "1"], ["export"]])
def test_a_missing_log_is_named_and_not_made(tmp_path: Path, command: list[str]) -> None:
    place = Place(tmp_path / "home", f"sqlite:///{tmp_path / 'none.db'}")
    outcome = place.run(*command)
    assert outcome.exit_code == 1
    assert "there is no database" in outcome.stderr
    assert place.run("verify").exit_code == EXIT_CODES[Status.CANNOT_VERIFY]
    assert not (tmp_path / "none.db").exists()
    assert not place.home.exists()


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from audit.cli import audit; audit()", *arguments]


def test_help_loads_no_database_module() -> None:
    probe = (
        "import sys; from click.testing import CliRunner; from audit.cli import audit;"
        "assert CliRunner().invoke(audit, ['verify', '--help']).exit_code == 0;"
        "print([name for name in ('sqlalchemy', 'alembic', 'cryptography', 'rich') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stdout == "[]\n"


def test_home_comes_from_the_environment_and_a_real_process_exits_with_the_status(tmp_path: Path) -> None:
    home = tmp_path / "home"
    url = f"sqlite:///{home / 'kubechat.db'}"
    written(url, Keyring.load(key_file(home)), witness_path(home, url))
    environment = os.environ | {"KUBECHAT_HOME": str(home)}
    for attack, status in ((attacks.change_nothing, Status.OK), (attacks.edit_header, Status.TAMPERED)):
        with attacks.behind(url) as connection:
            attack(connection)
        outcome = subprocess.run(command_line("verify"), env=environment, capture_output=True, text=True)
        assert outcome.returncode == EXIT_CODES[status], outcome.stderr


def test_tail_follows_what_is_written_later(place: Place) -> None:
    options = ["--home", str(place.home), "--database", place.url]
    command = command_line("tail", "--follow", "--json", "-n", "1", *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["header"]["seq"] == 10
        asyncio.run(append(place, "U1", {"question": "later"}))
        assert json.loads(following.stdout.readline())["payload"] == {"question": "later"}
        following.kill()
