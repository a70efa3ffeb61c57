"""All that must be known before a command runs or a card is shown: verdict, rights, preview, policy, freezes, bound digest."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from bot.approvals import Approval
from bot.policy import bind, freeze_for, policy_for, reach_of
from bot.settings import ApprovalRule, Freeze, Settings
from k8s.access import ClusterAccess, cluster_uid
from k8s.client import ClusterClient
from k8s.denials import Denial, denials
from k8s.errors import AnswerBroken, AnswerTooLarge, ClusterTimeout
from k8s.execute import READERS
from k8s.kinds import find_kind
from k8s.manifests import ManifestBroken, read_manifest
from k8s.preview import preview
from k8s.redact import REDACTED, looks_secret, redact_object
from k8s.render import to_yaml
from k8s.safety import classify
from k8s.types import Command, Level, ObjectRef, Preview, Verdict

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Commands as they stand now. What comes after `denials` is there only for what is neither safe nor out of the question."""

    commands: tuple[Command, ...]
    verdict: Verdict
    denials: tuple[Denial, ...] = ()
    previews: tuple[Preview, ...] = ()
    policy: ApprovalRule | None = None
    freeze: Freeze | None = None
    bound: str = ""

    @property
    def expected(self) -> tuple[tuple[ObjectRef, ...], ...]:
        """The objects that each command may touch."""
        return tuple(one.targets for one in self.previews)


@contextmanager
def expecting_sense(cluster: str, *, wrote: bool = False) -> Iterator[None]:
    """An answer that is JSON and not what an API server says trips up whoever reads it: that is an answer broken, too."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        _logger.exception("the cluster %s gave an answer that could not be used", cluster)
        raise AnswerBroken(cluster, "it is not what was asked for", wrote) from error


async def judged(commands: Sequence[Command]) -> Verdict:
    """The worst verdict of all. Reading a manifest takes time, so it is done in a thread, for judging and for showing."""
    verdicts = []
    for command in commands:
        if command.manifest or command.flag("overrides"):
            verdicts.append(await asyncio.to_thread(classify, command))
            await asyncio.to_thread(_without_values, command)
        else:
            verdicts.append(classify(command))
    worst = max(verdicts, key=lambda verdict: verdict.level.rank)
    reasons = dict.fromkeys(reason for verdict in verdicts if verdict.level is worst.level for reason in verdict.reasons)
    return replace(worst, reasons=tuple(reasons))


async def weigh(
    settings: Settings,
    now: datetime,
    access: ClusterAccess,
    client: ClusterClient,
    commands: tuple[Command, ...],
    verdict: Verdict,
) -> Weighed:
    """Ask the cluster whether this person may, and for what is not safe, what would happen.

    Raises: ClusterError; what the server's dry run refuses is raised as it would be in earnest.
    """
    try:
        with expecting_sense(access.cluster):
            return await _weigh(settings, now, access, client, commands, verdict)
    except (ClusterTimeout, AnswerBroken, AnswerTooLarge) as error:
        error.wrote = False  # reviews and dry runs are sent like writes and change nothing
        raise


async def _weigh(
    settings: Settings,
    now: datetime,
    access: ClusterAccess,
    client: ClusterClient,
    commands: tuple[Command, ...],
    verdict: Verdict,
) -> Weighed:
    if verdict.level is Level.FORBIDDEN:
        return Weighed(commands, verdict)
    missing = [denial for command in commands for denial in await denials(client, command)]
    if missing or verdict.level is Level.SAFE:
        return Weighed(commands, verdict, tuple(missing))
    previews = tuple([await _previewed(client, command) for command in commands])
    reach = reach_of(commands, previews)
    policy = policy_for(settings, verdict.level.value, access.cluster, reach)
    freeze = freeze_for(settings, access.cluster, reach, now) if any(c.verb not in READERS for c in commands) else None
    bound = bind(
        commands,
        cluster_uid=await cluster_uid(client),
        identity=access.identity,
        policy=policy,
        targets=[ref for one in previews for ref in one.targets],
    )
    return Weighed(commands, verdict, (), previews, policy, freeze, bound)


async def _previewed(client: ClusterClient, command: Command) -> Preview:
    """What reads changes nothing, even where reading needs agreement."""
    if command.verb in READERS:
        return Preview(summary=("This only reads.",))
    return await preview(client, command)


_NO_NAMESPACE = frozenset(
    {"cordon", "uncordon", "drain", "top nodes", "explain", "api-resources", "api-versions", "version", "cluster-info",
     "config get-contexts", "config current-context", "auth whoami", "create namespace", "create clusterrole",
     "create clusterrolebinding", "create priorityclass"}
)  # fmt: skip


def placed(command: Command, cluster: str, namespace: str) -> Command:
    """The command with its cluster, and with its namespace where it has one."""
    inside = command.namespace
    if inside is None and not command.all_namespaces and needs_namespace(command):
        inside = namespace
    return replace(command, namespace=inside, cluster=cluster)


def needs_namespace(command: Command) -> bool:
    """Whether the command means something in a namespace. Custom kinds may, so they count."""
    if command.verb in _NO_NAMESPACE:
        return False
    kinds = [find_kind(resource) for resource in command.resources]
    return not kinds or any(kind is None or kind.namespaced for kind in kinds)


# --- what others may see of a command -------------------------------------------------------------------------------------

_LITERALS = frozenset({"from-literal", "docker-password"})
_SETS_ENV = frozenset({"set env", "run"})


def shown(commands: Sequence[Command]) -> tuple[Command, ...]:
    """The commands as they may be shown: names and keys of Secrets, not their values. Never what runs or is agreed to."""
    return tuple(_without_values(command) for command in commands)


def on_card(approval: Approval) -> Approval:
    """The same for a request."""
    return replace(approval, request=replace(approval.request, commands=shown(approval.commands)))


@lru_cache(maxsize=16)
def _without_values(command: Command) -> Command:
    secret = command.verb.startswith("create secret") or "secrets" in command.resources
    if secret:
        command = replace(command, flags=tuple((name, _masked(name, value)) for name, value in command.flags))
    if command.verb in _SETS_ENV:
        flags = tuple((name, _variable(value) if name == "env" else value) for name, value in command.flags)
        command = replace(command, args=tuple(map(_variable, command.args)), flags=flags)
    if command.manifest is None or "secret" not in command.manifest.casefold():
        return command
    try:
        objects = read_manifest(command.manifest)
    except ManifestBroken:
        return command  # it is refused with a reason, and nobody else is asked to read it
    if not any(str(value.get("kind")).casefold() == "secret" for value in objects):
        return command
    return replace(command, manifest="---\n".join(to_yaml(redact_object(value)) for value in objects))


def _variable(pair: str) -> str:
    """`DB_PASSWORD=‹redacted›`: a variable whose name speaks of a secret."""
    name, equals, _ = pair.partition("=")
    return f"{name}={REDACTED}" if equals and looks_secret(name) else pair


def _masked(flag: str, value: str) -> str:
    if flag == "patch":
        return REDACTED
    key, equals, _ = value.partition("=")
    return (f"{key}={REDACTED}" if equals else REDACTED) if flag in _LITERALS else value
