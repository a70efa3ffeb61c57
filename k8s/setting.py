"""`set …`: the fields that kubectl sets by name, each a strategic merge patch of what really changes."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any

from k8s.change import Change, key_values, nested, patch, pod_spec_of, pod_spec_path, unchanged
from k8s.client import ClusterClient, Limits
from k8s.discovery import resolve
from k8s.errors import CommandInvalid
from k8s.live import Found, chosen, dig, namespace_of, read_list, read_one, selectors
from k8s.redact import clean_line, redact_object, safe_text
from k8s.render import cut
from k8s.types import Command, ExecutionResult

Container = dict[str, Any]
GROUPS = ("containers", "initContainers")
_HAS_PODS = frozenset(
    {"pods", "replicationcontrollers", "deployments", "daemonsets", "replicasets", "statefulsets", "jobs", "cronjobs"}
)


def containers_of(command: Command, found: Found) -> list[tuple[str, Container]]:
    """The containers that -c means (all without it), each with the list it is in. Raises CommandInvalid where there are none."""
    if found.resource.word not in _HAS_PODS:
        raise CommandInvalid(f"{found.display} runs no pods of its own.")
    wished = command.flag("containers") or "*"
    pattern = re.compile(".*".join(re.escape(part) for part in wished.split("*")))
    spec = pod_spec_of(found.resource.word, found.value)
    chosen_ones = [(group, each) for group in GROUPS for each in spec.get(group) or () if pattern.fullmatch(each["name"])]
    if not chosen_ones:
        have = ", ".join(each["name"] for group in GROUPS for each in spec.get(group) or ())
        raise CommandInvalid(f"{found.display} has no container {wished!r}: it has {have}.")
    return chosen_ones


def _of_containers(found: Found, pieces: Iterable[tuple[str, Container, dict[str, Any]]], done: str) -> Change:
    """A patch that gives each container its piece."""
    new: dict[str, list[dict[str, Any]]] = {}
    for group, container, piece in pieces:
        if piece:
            new.setdefault(group, []).append({"name": container["name"], **piece})
    if not new:
        return unchanged(found, f"{done} unchanged")
    return patch(found, nested(pod_spec_path(found.resource.word), new), f"{done} updated", kind="strategic")


# --- image ----------------------------------------------------------------------------------------------------------------


def set_image(command: Command, found: Found) -> Change:
    """`set image`: `*` means every container."""
    wished, _ = key_values(command)
    there = containers_of(command, found)
    present = sorted(container["name"] for _, container in there)
    if missing := sorted(wished.keys() - set(present) - {"*"}):
        raise CommandInvalid(f"{found.display} has no container {missing[0]!r}: it has {', '.join(present)}.")
    pieces = []
    for group, container in there:
        image = wished.get(container["name"], wished.get("*"))
        pieces.append((group, container, {"image": image} if image not in {None, container.get("image")} else {}))
    return _of_containers(found, pieces, "image")


# --- env ------------------------------------------------------------------------------------------------------------------

_ENV_NAME = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
_REFS = {"secrets": "secretKeyRef", "configmaps": "configMapKeyRef"}


async def plan_env(client: ClusterClient, command: Command) -> list[Change]:
    """`set env`, with its values from operands, -e and --from."""
    if command.has("list"):
        if env_pairs(command) != ([], []) or command.flag("from"):
            raise CommandInvalid("--list shows what is there: leave out what is to be set.")
        return [unchanged(found, "is only listed") for found in await chosen(client, command)]
    if command.flag("keys") and not command.flag("from"):
        raise CommandInvalid("--keys needs --from=configmap/NAME or --from=secret/NAME.")
    wished, removed = env_pairs(command)
    wished += await _env_from(client, command)
    prefix = command.flag("prefix") or ""
    wished = [{**entry, "name": prefix + entry["name"]} for entry in wished]
    if not wished and not removed:
        raise CommandInvalid("At least one environment variable must be given: KEY=VALUE, or KEY- to remove one.")
    return [_set_env(command, found, wished, removed) for found in await chosen(client, command)]


def env_pairs(command: Command) -> tuple[list[dict[str, Any]], list[str]]:
    """The variables to set, in order, and the names to remove. Raises CommandInvalid."""
    wished: list[dict[str, Any]] = []
    removed: list[str] = []
    for word in (*command.flag_values("env"), *command.args):
        name, equals, value = word.partition("=")
        name = name if equals else name.removesuffix("-")
        if not _ENV_NAME.fullmatch(name) or not (equals or word.endswith("-")):
            raise CommandInvalid(f"{word[:100]!r} is not NAME=VALUE, nor NAME- to remove one.")
        if equals:
            wished.append({"name": name, "value": value})
        else:
            removed.append(name)
    if both := sorted({entry["name"] for entry in wished} & set(removed)):
        raise CommandInvalid(f"{both[0]} is both set and removed: leave one out.")
    return wished, removed


async def _env_from(client: ClusterClient, command: Command) -> list[dict[str, Any]]:
    """References to the keys of the ConfigMap or Secret that --from names; of a Secret only the keys are looked at."""
    source = command.flag("from")
    if source is None:
        return []
    word, slash, name = source.partition("/")
    resource = await resolve(client, word)
    if resource.word not in _REFS:
        raise CommandInvalid("--from takes configmap/NAME or secret/NAME.")
    namespace = namespace_of(client, command)
    if slash:
        found = [await read_one(client, resource, namespace, name)]
    else:
        found = await read_list(client, resource, namespace, selectors(command))
    keys = (command.flag("keys") or "").split(",") if command.flag("keys") else None
    entries = []
    for each in found:
        for key in sorted(dig(each.value, "data", default={})):
            if keys is None or key in keys:
                reference = {_REFS[resource.word]: {"name": each.name, "key": key}}
                entries.append({"name": re.sub(r"[^A-Za-z0-9_]", "_", key).upper(), "valueFrom": reference})
    return entries


def _set_env(command: Command, found: Found, wished: list[dict[str, Any]], removed: list[str]) -> Change:
    pieces = []
    for group, container in containers_of(command, found):
        present = {entry["name"]: entry for entry in container.get("env") or ()}
        if command.flag("overwrite") == "false" and (both := [e["name"] for e in wished if e["name"] in present]):
            raise CommandInvalid(f"{found.display} has {both[0]} already, and --overwrite is false.")
        first = {entry["name"]: entry for entry in reversed(wished)}  # as in kubectl, the first of a name counts
        # Variables may refer to those before them, so the order counts; kubectl puts new ones last.
        names = [name for name in dict.fromkeys((*present, *(entry["name"] for entry in wished))) if name not in removed]
        new = [name for name in names if name in first and first[name] != present.get(name)]
        entries = [_instead(present.get(name, {}), first[name]) for name in new]
        entries += [{"name": name, "$patch": "delete"} for name in dict.fromkeys(removed) if name in present]
        order = [{"name": name} for name in names]
        pieces.append((group, container, {"env": entries, "$setElementOrder/env": order} if entries else {}))
    return _of_containers(found, pieces, "env")


def _instead(before: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry, with whatever else was there taken away: a merge alone would leave it."""
    result = {**dict.fromkeys(before.keys() - entry.keys()), **entry}
    if "valueFrom" in entry and isinstance(before.get("valueFrom"), dict):
        result["valueFrom"] = {**dict.fromkeys(before["valueFrom"].keys() - entry["valueFrom"].keys()), **entry["valueFrom"]}
    return result


async def list_env(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `set env --list`: the variables of every container, without what usually is secret."""
    if command.has("resolve"):
        raise CommandInvalid(
            "--resolve is not supported, since it prints the values of Secrets: `get configmap -o yaml` shows others."
        )
    lines: list[str] = []
    for found in await chosen(client, command):
        for _, container in containers_of(command, found):
            lines.append(f"# {found.resource.kind} {found.name}, container {container['name']}")
            lines += [_listed(entry) for entry in redact_object({"env": container.get("env") or []})["env"]]
    text, truncated = cut("\n".join(clean_line(line) for line in lines), limits)
    return ExecutionResult(text=safe_text(text), truncated=truncated)


async def list_keys(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `label --list` and `annotate --list`."""
    field = "labels" if command.verb == "label" else "annotations"
    found = await chosen(client, command)
    lines: list[str] = []
    for each in found:
        values = redact_object({"metadata": {field: dig(each.value, "metadata", field, default={})}})["metadata"][field]
        if len(found) > 1:
            lines.append(f"Listing {field} for {each.resource.kind}.{each.resource.group}/{each.name}:")
        indent = " " if len(found) > 1 else ""
        lines += [f"{indent}{key}={value}" for key, value in sorted(values.items())]
    text, truncated = cut("\n".join(clean_line(line) for line in lines), limits)
    return ExecutionResult(text=text, truncated=truncated)


def _listed(entry: Mapping[str, Any]) -> str:
    if "valueFrom" not in entry:
        return f"{entry['name']}={entry.get('value', '')}"
    return f"# {entry['name']} from {_reference(entry['valueFrom'])}"


def _reference(source: Mapping[str, Any]) -> str:
    match source:
        case {"configMapKeyRef": ref}:
            return f"configmap {ref.get('name')}, key {ref.get('key')}"
        case {"secretKeyRef": ref}:
            return f"secret {ref.get('name')}, key {ref.get('key')}"
        case {"fieldRef": ref}:
            return f"field path {ref.get('fieldPath')}"
        case {"resourceFieldRef": ref}:
            inside = f"{ref['containerName']}, " if ref.get("containerName") else ""
            return f"resource field {inside}{ref.get('resource')}"
        case _:
            return "an unknown source"


# --- resources, service account, selector, subjects -----------------------------------------------------------------------


def quantities(command: Command, flag: str) -> dict[str, str]:
    """`cpu=200m,memory=512Mi` of --limits and the like. Raises CommandInvalid."""
    wished: dict[str, str] = {}
    for part in (command.flag(flag) or "").split(","):
        name, equals, amount = part.partition("=")
        if part and (not equals or not name or not QUANTITY.fullmatch(amount)):
            raise CommandInvalid(f"{part!r} of --{flag} is not RESOURCE=AMOUNT, such as cpu=200m or memory=512Mi.")
        if part:
            wished[name] = amount
    return wished


QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
"""A resource quantity. Source: Kubernetes, apimachinery pkg/api/resource."""


def set_resources(command: Command, found: Found) -> Change:
    """`set resources`."""
    wished = {name: values for name in ("limits", "requests") if (values := quantities(command, name))}
    if not wished:
        raise CommandInvalid("`set resources` needs --limits=… or --requests=….")
    pieces = []
    for group, container in containers_of(command, found):
        new = {
            name: {key: amount for key, amount in values.items() if dig(container, "resources", name, key) != amount}
            for name, values in wished.items()
        }
        new = {name: values for name, values in new.items() if values}
        pieces.append((group, container, {"resources": new} if new else {}))
    return _of_containers(found, pieces, "resource requirements")


def set_service_account(command: Command, found: Found) -> Change:
    """`set serviceaccount`."""
    if found.resource.word not in _HAS_PODS:
        raise CommandInvalid(f"{found.display} runs no pods of its own.")
    (name,) = command.args
    if pod_spec_of(found.resource.word, found.value).get("serviceAccountName") == name:
        return unchanged(found, "serviceaccount updated")
    body = nested(pod_spec_path(found.resource.word), {"serviceAccountName": name})
    return patch(found, body, "serviceaccount updated", kind="strategic")


def selector_pairs(command: Command) -> dict[str, str]:
    """The labels of `set selector … KEY=VALUE[,KEY=VALUE]`. Raises CommandInvalid."""
    if len(command.args) != 1:
        raise CommandInvalid("`set selector` takes one selector: KEY=VALUE,KEY=VALUE.")
    pairs = [part.partition("=") for part in command.args[0].split(",")]
    if any(not equals or not key.strip() or key.endswith("!") for key, equals, _ in pairs):
        raise CommandInvalid("The selector of a Service can only name labels: KEY=VALUE,KEY=VALUE.")
    return {key.strip(): value.removeprefix("=").strip() for key, _, value in pairs}


def set_selector(command: Command, found: Found) -> Change:
    """`set selector`: the labels given, and no others."""
    wished = selector_pairs(command)
    if found.resource.word != "services":
        raise CommandInvalid(f"{found.resource.word} cannot be given a selector: only Services can.")
    version = command.flag("resource-version")
    if version and version != found.value["metadata"]["resourceVersion"]:
        raise CommandInvalid(f"{found.display} has changed since version {version}, so its selector was not set.")
    before = dig(found.value, "spec", "selector", default={})
    if wished == before:
        return unchanged(found, "selector updated")
    body = {"spec": {"selector": {**dict.fromkeys(before.keys() - wished.keys()), **wished}}}
    return patch(found, body, "selector updated", kind="strategic", hold=True)


async def plan_subjects(client: ClusterClient, command: Command) -> list[Change]:
    """`set subject`: adds to those that a Binding has."""
    found = await chosen(client, command)
    return list(await asyncio.gather(*(_set_subject(client, command, each) for each in found)))


async def _set_subject(client: ClusterClient, command: Command, found: Found) -> Change:
    if found.resource.word not in {"rolebindings", "clusterrolebindings"}:
        raise CommandInvalid(f"{found.resource.word} have no subjects: RoleBindings and ClusterRoleBindings do.")
    here = namespace_of(client, command) if found.resource.namespaced else None
    wished = subjects(command, here, sort=True)
    if not wished:
        raise CommandInvalid("`set subject` needs --user=…, --group=… or --serviceaccount=NAMESPACE:NAME.")
    before = dig(found.value, "subjects", default=[])
    new = [each for each in wished if each not in before]
    if not new:
        return unchanged(found, "subjects unchanged")
    return patch(found, {"subjects": [*before, *new]}, "subjects updated", hold=True)


def subjects(command: Command, here: str | None, *, sort: bool = False) -> list[dict[str, str]]:
    """Users, groups and service accounts that flags name, as RBAC writes them. `here` stands for a namespace left out."""
    found: list[dict[str, str]] = []
    for flag, kind in (("user", "User"), ("group", "Group")):
        names = command.flag_values(flag)
        found += [
            {"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": name}
            for name in (sorted(set(names)) if sort else names)
        ]
    accounts = command.flag_values("serviceaccount")
    for account in sorted(set(accounts)) if sort else accounts:
        namespace, colon, name = account.partition(":")
        namespace = namespace or here or ""
        if not colon or not namespace or not name or ":" in name:
            raise CommandInvalid(f"A service account is written NAMESPACE:NAME, not {account!r}.")
        found.append({"kind": "ServiceAccount", "namespace": namespace, "name": name})
    return found
