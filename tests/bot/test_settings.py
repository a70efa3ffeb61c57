"""Settings: read from YAML and the environment, and every wrong one named by its path."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.settings import Freeze, Settings, WrongSetting, load_settings

EXAMPLE = Path(__file__).parents[2] / "kubechat.example.yaml"


Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Load settings from a YAML text and variables."""

    def load(text: str, **environment: str) -> Settings:
        (tmp_path / "kubechat.yaml").write_text(text)
        monkeypatch.setenv("KUBECHAT_HOME", str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return load


def test_without_a_file_the_defaults_hold(read: Read) -> None:
    settings = read("")
    assert settings.limits.rows == 100
    assert settings.database_url.endswith("/kubechat.db")


def test_the_annotated_example_is_valid(read: Read) -> None:
    settings = read(EXAMPLE.read_text())
    assert settings.approvals[0].needed == 2
    assert settings.freezes[0].begins.tzinfo is not None


def test_the_environment_wins(read: Read) -> None:
    settings = read(
        "limits: {rows: 10}\ndatabase: sqlite:///a.db", KUBECHAT_LIMITS__ROWS="20", KUBECHAT_DATABASE="sqlite:///b.db"
    )
    assert (settings.limits.rows, settings.database) == (20, "sqlite:///b.db")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: {rows: many}", "limits.rows: input should be a valid integer"),
        ("limits: {row: 10}", "limits.row: there is no such setting. Did you mean rows?"),
        ("databse: x", "databse: there is no such setting. Did you mean database?"),
        ("approvals: [{verdict: dangerous, mode: none}]", "dangerous commands cannot run without anybody's agreement"),
        ("approvals: [{verdict: warning, mode: confirm, expires: soon}]", "approvals.0.expires: expected a duration such as 90s"),
        ("approvals: [{verdict: warning, mode: confirm, expires: 2d}]", "at most 1d"),
        (
            "approvals: [{verdict: warning, mode: confirm, needed: 0}]",
            "approvals.0.needed: input should be greater than or equal to 1",
        ),
        ("approvals: [{verdict: safe, mode: confirm}]", "approvals.0.verdict: input should be 'warning' or 'dangerous'"),
        (
            "freezes: [{name: x, begins: 2026-01-01T00:00:00, until: 2026-01-02T00:00:00Z}]",
            "freezes.0.begins: input needs a time zone, such as +01:00 (found '2026-01-01T00:00:00')",
        ),
        ("freezes: [{name: x, begins: 2026-01-02T00:00:00Z, until: 2026-01-01T00:00:00Z}]", "until must be later than begins"),
        ("limits: [", "cannot be read"),
        ("- a list", "must hold settings by name"),
        ("approvals: x", "approvals: input should be a list (found 'x')"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(read: Read, text: str, said: str) -> None:
    with pytest.raises(WrongSetting) as caught:
        read(text)
    assert said in str(caught.value)


def test_a_settings_file_that_is_named_must_exist(read: Read) -> None:
    with pytest.raises(WrongSetting, match="no such file"):
        read("", KUBECHAT_SETTINGS="/nowhere/kubechat.yaml")


def test_a_freeze_holds_from_its_beginning_to_just_before_its_end() -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    freeze = Freeze(name="x", begins=begins, until=begins + timedelta(hours=1), clusters=("prod*",), namespaces=("payments",))
    here = frozenset({"payments"})
    assert not freeze.holds("prod-1", here, begins - timedelta(seconds=1))
    assert freeze.holds("prod-1", here, begins)
    assert not freeze.holds("prod-1", here, begins + timedelta(hours=1))
    assert not freeze.holds("staging", here, begins)
    assert not freeze.holds("prod-1", frozenset({"shop", None}), begins)
    assert freeze.holds("prod-1", None, begins), "a change that may reach any namespace reaches this one"
