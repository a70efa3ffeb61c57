"""A command and the live objects → the exact requests that carry it out. Nothing is changed here."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from k8s.apply import documents, plan_apply, plan_create, plan_replace
from k8s.change import Change, cordon, key_values, nested, patch, unchanged
from k8s.client import JSON, ClusterClient
from k8s.drain import plan_drain
from k8s.errors import CommandInvalid, NotExecutable
from k8s.generate import GENERATORS, plan_generated
from k8s.inside import plan_exec
from k8s.live import Found, chosen, dig, read_or_none
from k8s.patching import given_patch, taint
from k8s.redact import redact_object
from k8s.rollout import target_revision, undo_patch
from k8s.setting import plan_env, plan_subjects, set_image, set_resources, set_selector, set_service_account
from k8s.types import Command


async def plan_changes(client: ClusterClient, command: Command) -> tuple[Change, ...]:
    """The requests that carry the command out, computed from the live objects; nothing is changed.

    Raises: NotExecutable for a verb that changes nothing or is not carried out; CommandInvalid for what kubectl itself would
    refuse (`--overwrite` missing, no such container); ClusterError from the reads.
    """
    planner = PLANNERS.get(command.verb)
    if planner is None:
        raise NotExecutable(f"KubeChat does not carry out `{command.verb}` yet: use kubectl for it.")
    return tuple(await planner(client, command))


Planner = Callable[[ClusterClient, Command], Awaitable[list[Change]]]


def each(plan: Callable[[Command, Found], Change]) -> Planner:
    """A planner from a function of one object."""

    async def planner(client: ClusterClient, command: Command) -> list[Change]:
        return [plan(command, found) for found in await chosen(client, command)]

    return planner


# --- scale ----------------------------------------------------------------------------------------------------------------

_SCALABLE = frozenset({"deployments", "statefulsets", "replicasets", "replicationcontrollers"})


def _scale(command: Command, found: Found) -> Change:
    if found.resource.word not in _SCALABLE and not _is_custom(found):
        raise CommandInvalid(f"{found.resource.word} cannot be scaled: a Deployment, StatefulSet or ReplicaSet can.")
    replicas = int(command.flag("replicas") or 0)
    current = int(dig(found.value, "spec", "replicas", default=1))
    expected = int(command.flag("current-replicas") or -1)
    if expected >= 0 and expected != current:
        raise CommandInvalid(f"{found.display} has {current} replicas and not {expected}, so it was not scaled.")
    version = command.flag("resource-version")
    if version and version != dig(found.value, "metadata", "resourceVersion"):
        raise CommandInvalid(f"{found.display} has changed since version {version}, so it was not scaled.")
    if current == replicas:
        return unchanged(found, "scaled")
    hold = expected >= 0 or version is not None
    return patch(found, {"spec": {"replicas": replicas}}, "scaled", subresource="scale", hold=hold)


def _is_custom(found: Found) -> bool:
    """Whether the kind is one that not every cluster has; such a one may well be scaled."""
    return "." in found.resource.word


# --- delete ---------------------------------------------------------------------------------------------------------------


async def _plan_delete(client: ClusterClient, command: Command) -> list[Change]:
    if command.manifest is None:
        return [_delete(command, found) for found in await chosen(client, command)]
    named = await documents(client, command)
    ignore = command.has("ignore-not-found")
    live = await asyncio.gather(*(read_or_none(client, each.resource, each.namespace, each.name, ignore) for each in named))
    return [_delete(command, found) for found in live if found is not None]


def _delete(command: Command, found: Found) -> Change:
    options: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": (command.flag("cascade") or "background").capitalize(),
        "preconditions": {"uid": found.ref.uid}
        | ({"resourceVersion": found.ref.resource_version} if found.ref.resource_version else {}),
    }
    grace, forced = _grace_period(command)
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    where = f" from {found.namespace} namespace" if found.namespace else ""
    done = f'{found.resource.display} "{found.name}" {"force deleted" if forced else "deleted"}{where}'
    return Change("DELETE", found.path(), found.ref, done, (), options, JSON, found.value, found.display)


def _grace_period(command: Command) -> tuple[int | None, bool]:
    """kubectl's rules: 0 only together with --force, else it counts as 1; --now is 1; -1 is the object's own."""
    grace = int(command.flag("grace-period") or -1)
    if command.has("now"):
        if grace >= 0:
            raise CommandInvalid("--now and --grace-period cannot be given together.")
        grace = 1
    if command.has("force"):
        if grace > 0:
            raise CommandInvalid("--force and a --grace-period greater than 0 cannot be given together.")
        return 0, True
    return (None if grace < 0 else max(grace, 1)), False


# --- label, annotate ------------------------------------------------------------------------------------------------------

_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


def _keyed(field_name: str, done: str, removed_only: str) -> Callable[[Command, Found], Change]:
    def plan(command: Command, found: Found) -> Change:
        wished, removed = key_values(command)
        if field_name == "labels":
            _check_label_values(wished)
        present = dig(found.value, "metadata", field_name, default={})
        for key, value in wished.items():
            if key in present and present[key] != value and not command.has("overwrite"):
                has = redact_object({"metadata": {field_name: present}})["metadata"][field_name][key]
                raise CommandInvalid(f"{found.display} has {key} already ({has}): add --overwrite to replace it.")
        new: dict[str, str | None] = {key: value for key, value in wished.items() if present.get(key) != value}
        new |= {key: None for key in removed if key in present}
        if not new:
            return unchanged(found, f"not {done}" if field_name == "labels" else done)
        word = removed_only if all(value is None for value in new.values()) else done
        hold = not command.has("overwrite") or command.flag("resource-version") is not None
        return patch(found, {"metadata": {field_name: new}}, word, hold=hold and "status" not in found.value)

    return plan


def _check_label_values(wished: dict[str, str]) -> None:
    for key, value in wished.items():
        if not _LABEL_VALUE.fullmatch(value):
            raise CommandInvalid(
                f"{value!r} cannot be the value of the label {key}: at most 63 letters, digits, -, _ and ., beginning and ending"
                " with a letter or digit."
            )


# --- rollouts -------------------------------------------------------------------------------------------------------------


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_ROLLS = frozenset({"deployments", "statefulsets", "daemonsets"})


def _restart(command: Command, found: Found) -> Change:
    if found.resource.word not in _ROLLS:
        raise CommandInvalid(f"{found.resource.word} cannot be restarted: a Deployment, StatefulSet or DaemonSet can.")
    if dig(found.value, "spec", "paused", default=False):
        raise CommandInvalid(f"{found.display} is paused and cannot be restarted: resume it first with `kubectl rollout resume`.")
    annotations = {"kubectl.kubernetes.io/restartedAt": _now()}
    return patch(found, nested(("spec", "template", "metadata", "annotations"), annotations), "restarted")


def _pause(wished: bool) -> Callable[[Command, Found], Change]:
    word = "paused" if wished else "resumed"

    def plan(command: Command, found: Found) -> Change:
        if found.resource.word != "deployments":
            raise CommandInvalid(f"{found.resource.word} cannot be {word}: only a Deployment can.")
        if bool(dig(found.value, "spec", "paused", default=False)) == wished:
            raise CommandInvalid(f"{found.display} is {'already' if wished else 'not'} paused, so there is nothing to do.")
        return patch(found, {"spec": {"paused": True if wished else None}}, word)

    return plan


async def _undo(client: ClusterClient, command: Command) -> list[Change]:
    found = await chosen(client, command)
    return list(await asyncio.gather(*(_undo_one(client, command, each_found) for each_found in found)))


async def _undo_one(client: ClusterClient, command: Command, found: Found) -> Change:
    if dig(found.value, "spec", "paused", default=False):
        raise CommandInvalid(
            f"{found.display} is paused and cannot be rolled back: resume it first with `kubectl rollout resume`."
        )
    current, revision = await target_revision(client, found, int(command.flag("to-revision") or 0))
    if revision.number == current.number:
        return unchanged(found, f"skipped rollback (current template already matches revision {revision.number})")
    body, content_type = undo_patch(found, revision)
    done = f"{found.display} rolled back"
    return Change("PATCH", found.path(), found.ref, done, (), body, content_type, found.value, found.display, current.number)


PLANNERS: dict[str, Planner] = {
    "scale": each(_scale),
    "delete": _plan_delete,
    "apply": plan_apply,
    "create": plan_create,
    "replace": plan_replace,
    **dict.fromkeys(GENERATORS, plan_generated),
    "label": each(_keyed("labels", "labeled", "unlabeled")),
    "annotate": each(_keyed("annotations", "annotated", "annotated")),
    "cordon": each(lambda command, found: cordon(found, wished=True)),
    "uncordon": each(lambda command, found: cordon(found, wished=False)),
    "drain": plan_drain,
    "exec": plan_exec,
    "patch": each(given_patch),
    "taint": each(taint),
    "set image": each(set_image),
    "set env": plan_env,
    "set resources": each(set_resources),
    "set serviceaccount": each(set_service_account),
    "set selector": each(set_selector),
    "set subject": plan_subjects,
    "rollout restart": each(_restart),
    "rollout undo": _undo,
    "rollout pause": each(_pause(True)),
    "rollout resume": each(_pause(False)),
}
"""How each verb that changes something is planned."""
