"""Settings from one YAML file and the environment. A wrong one is named by its path, with what was expected.

`KUBECHAT_HOME` (default `~/.kubechat`) holds the database, the keys and `kubechat.yaml`. Every setting can also be given as
`KUBECHAT_NAME`, parts of a path joined by two underscores (`KUBECHAT_LIMITS__ROWS=50`); the environment wins.
"""

import os
import re
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource
from rapidfuzz import process


class WrongSetting(Exception):
    """A setting is missing, unknown or not of its form; the message names each by its path."""


def home() -> Path:
    """Where KubeChat keeps what is its own, from `KUBECHAT_HOME`."""
    return Path(os.environ.get("KUBECHAT_HOME") or "~/.kubechat").expanduser()


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,6})\s*([smhd])", str(value).strip())
    if not match:
        raise ValueError("expected a duration such as 90s, 15m, 2h or 1d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(lambda value: f"{value.total_seconds():.0f}s")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClusterSettings(_Part):
    """One cluster, and the bot's own way in, needed only for people mapped to a service account or by impersonation."""

    kubeconfig_file: Path | None = None
    context: str | None = None


class ApprovalRule(_Part):
    """Who must agree before a command of this verdict runs.

    `mode` is `none` (runs at once), `confirm` (the requester presses a button) or `approve` (`needed` other people who have the
    role `approvers`). Names of clusters and namespaces may hold `*`.
    """

    verdict: Literal["warning", "dangerous"]
    mode: Literal["none", "confirm", "approve"]
    clusters: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)
    needed: int = Field(default=1, ge=1, le=9)
    approvers: str = "approver"
    expires: Duration = timedelta(minutes=15)

    @model_validator(mode="after")
    def _dangerous_is_never_automatic(self) -> "ApprovalRule":
        if self.verdict == "dangerous" and self.mode == "none":
            raise ValueError("dangerous commands cannot run without anybody's agreement; use confirm or approve")
        if self.expires <= timedelta(0) or self.expires > timedelta(days=1):
            raise ValueError("expires must be more than 0s and at most 1d")
        return self

    def covers(self, cluster: str, namespace: str | None) -> bool:
        """Whether the rule speaks of this place. A thing outside all namespaces is met only by `*`."""
        in_cluster = any(fnmatchcase(cluster, pattern) for pattern in self.clusters)
        where = "" if namespace is None else namespace
        return in_cluster and any(pattern == "*" or fnmatchcase(where, pattern) for pattern in self.namespaces)


class Freeze(_Part):
    """A time in which nothing is changed. Both ends carry their time zone; `until` is not included."""

    name: str
    begins: AwareDatetime
    until: AwareDatetime
    clusters: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "Freeze":
        if self.until <= self.begins:
            raise ValueError("until must be later than begins")
        return self

    def holds(self, cluster: str, namespaces: frozenset[str | None] | None, now: datetime) -> bool:
        """Whether it forbids a change now. `None` stands for a change that may reach any namespace."""
        if not self.begins <= now < self.until or not any(fnmatchcase(cluster, pattern) for pattern in self.clusters):
            return False
        if namespaces is None or "*" in self.namespaces:
            return True
        return any(fnmatchcase(namespace or "", pattern) for namespace in namespaces for pattern in self.namespaces)


class Limits(_Part):
    """How much of an answer a chat gets, and how long a command may take."""

    rows: int = Field(default=100, ge=1, le=5000)
    characters: int = Field(default=12_000, ge=200, le=200_000)
    seconds: float = Field(default=15.0, gt=0, le=300)


DEFAULT_RULES = (
    ApprovalRule(verdict="warning", mode="confirm"),
    ApprovalRule(verdict="dangerous", mode="approve"),
)
"""What holds where no rule of the settings speaks."""


class Settings(BaseSettings):
    """All settings. See `kubechat.example.yaml` for each with its meaning."""

    model_config = SettingsConfigDict(
        env_prefix="KUBECHAT_", env_nested_delimiter="__", extra="forbid", frozen=True, yaml_file_encoding="utf-8"
    )

    database: str = ""
    default_cluster: str = ""
    clusters: dict[str, ClusterSettings] = {}
    approvals: tuple[ApprovalRule, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    limits: Limits = Limits()

    @property
    def database_url(self) -> str:
        """The database, by default a SQLite file in the home folder."""
        return self.database or f"sqlite:///{home() / 'kubechat.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=settings_file())


def settings_file() -> Path:
    """The YAML file: `KUBECHAT_SETTINGS`, else `kubechat.yaml` in the home folder. It need not exist."""
    return Path(os.environ.get("KUBECHAT_SETTINGS") or home() / "kubechat.yaml").expanduser()


def load_settings(**given: Any) -> Settings:
    """Read the settings.

    Raises: WrongSetting, with one line for each setting that is wrong.
    """
    import yaml

    if os.environ.get("KUBECHAT_SETTINGS") and not settings_file().is_file():
        raise WrongSetting(f"KUBECHAT_SETTINGS names {settings_file()}, and there is no such file.")
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [_describe(problem) for problem in error.errors(include_url=False)]
        raise WrongSetting(
            "\n".join([f"The settings ({settings_file()} and KUBECHAT_… variables) are not right:", *lines])
        ) from error
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{settings_file()} cannot be read: {error}") from error
    except (ValueError, TypeError) as error:
        raise WrongSetting(f"{settings_file()} must hold settings by name, such as `database: …`.") from error


def _describe(problem: Any) -> str:
    where = ".".join(str(step) for step in problem["loc"]) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"  {where}: there is no such setting.{_nearest(problem['loc'])}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    said = said.replace("a valid tuple", "a list").replace("should have timezone info", "needs a time zone, such as +01:00")
    found = problem["input"]
    found = found.isoformat() if isinstance(found, datetime) else found
    return f"  {where}: {said[:1].lower()}{said[1:]} (found {found!r:.80})"


def _nearest(path: tuple[int | str, ...]) -> str:
    known: dict[str, type[BaseModel]] = {
        "approvals": ApprovalRule,
        "freezes": Freeze,
        "limits": Limits,
        "clusters": ClusterSettings,
    }
    model = known.get(str(path[0]), Settings) if len(path) > 1 else Settings
    found = process.extractOne(str(path[-1]), list(model.model_fields), score_cutoff=60)
    return f" Did you mean {found[0]}?" if found else ""
