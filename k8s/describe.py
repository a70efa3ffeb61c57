"""`describe`: what matters about an object, laid out for reading, with its latest events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from k8s.client import ClusterClient, Limits
from k8s.describe_kinds import KIND_FIELDS, Field, secret_sizes
from k8s.discovery import resolve
from k8s.errors import ApiError, ClusterError
from k8s.events import events_about, last_seen
from k8s.jsonpath import shown
from k8s.live import Found, dig, namespace_of, read_list, read_one, resources_of, selectors
from k8s.logs import pod_selector
from k8s.redact import LAST_APPLIED, clean_line, redact_object
from k8s.render import columns_text, cut
from k8s.rollout import owned_by
from k8s.types import Command, ExecutionResult, Table

MAX_DESCRIBED = 20
"""Objects described at once; more are named and left."""


async def describe(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `describe`. As in kubectl, a name that does not exist means all names that begin with it."""
    found = await _found(client, command)
    if not found:
        where = f" in {namespace_of(client, command)} namespace" if namespace_of(client, command) else ""
        return ExecutionResult(text=f"No resources found{where}.")
    with_events = command.flag("show-events") != "false"
    described = found[:MAX_DESCRIBED]
    texts = await asyncio.gather(*(_describe_one(client, each, with_events=with_events) for each in described))
    text, truncated = cut("\n\n\n".join(texts), limits)
    if len(found) > len(described):
        truncated = f"{len(described)} of {len(found)} objects described; name one of the others. {truncated}".strip()
    return ExecutionResult(text=text, truncated=truncated)


async def _found(client: ClusterClient, command: Command) -> list[Found]:
    namespace = namespace_of(client, command)
    if not command.names:
        lists = [
            read_list(client, each, namespace, selectors(command), at_most=500) for each in await resources_of(client, command)
        ]
        return [found for part in await asyncio.gather(*lists) for found in part]
    parts = [_named(client, target.resource, namespace, target.name or "") for target in command.targets]
    return [found for part in await asyncio.gather(*parts) for found in part]


async def _named(client: ClusterClient, word: str, namespace: str | None, name: str) -> list[Found]:
    resource = await resolve(client, word)
    try:
        return [await read_one(client, resource, namespace, name)]
    except ApiError as error:
        if error.status != 404 or not error.details.get("name"):
            raise
        try:
            alike = [each for each in await read_list(client, resource, namespace) if each.name.startswith(name)]
        except ApiError:
            raise error from None
        if not alike:
            raise
        return alike


async def _describe_one(client: ClusterClient, found: Found, *, with_events: bool) -> str:
    extra, events = await asyncio.gather(_extra(client, found), _event_fields(client, found) if with_events else _no_fields())
    value = redact_object(found.value)
    kind_fields = KIND_FIELDS.get(found.resource.qualified)
    details = kind_fields(value) if kind_fields is not None else _generic(value)
    if found.resource.qualified == "secrets":
        details = [*details, ("Data", secret_sizes(found.value))]
    return layout([*_head(found, value), *details, *extra, *events])


async def _no_fields() -> list[Field]:
    return []


def _head(found: Found, value: Mapping[str, Any]) -> list[Field]:
    metadata = value["metadata"]
    annotations = {key: item for key, item in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    owner = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    fields: list[Field] = [("Name", metadata["name"])]
    fields += [("Namespace", metadata["namespace"])] if found.namespace else []
    fields += [
        ("Labels", [f"{key}={item}" for key, item in sorted((metadata.get("labels") or {}).items())] or "<none>"),
        ("Annotations", [f"{key}: {item}" for key, item in sorted(annotations.items())] or "<none>"),
    ]
    fields += [("Controlled By", f"{owner['kind']}/{owner['name']}")] if owner else []
    fields += [("Created", metadata.get("creationTimestamp", ""))]
    fields += [("Deleted", f"{metadata['deletionTimestamp']} (terminating)")] if metadata.get("deletionTimestamp") else []
    return fields


def _generic(value: Mapping[str, Any]) -> list[Field]:
    """Everything but the metadata, for kinds that are not known here."""
    return [(_title(key), _tree(item)) for key, item in value.items() if key not in {"apiVersion", "kind", "metadata"}]


def _title(key: str) -> str:
    """`maxReplicas` → `Max Replicas`."""
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in key)
    return spaced[:1].upper() + spaced[1:]


def _tree(value: Any) -> Any:
    if isinstance(value, dict):
        return [(_title(key), _tree(item)) for key, item in value.items()] or "<none>"
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return [(f"[{index}]", _tree(item)) for index, item in enumerate(value)]
        return [shown(item) for item in value] or "<none>"
    return shown(value)


# --- layout ---------------------------------------------------------------------------------------------------------------


def layout(fields: Sequence[Field], indent: str = "") -> str:
    """Labels and values in two columns; a list of texts goes one below the other, a list of fields is indented."""
    width = max((len(label) for label, value in fields if not _is_nested(value)), default=0) + 3
    lines: list[str] = []
    for label, value in fields:
        if _is_nested(value):
            lines += [f"{indent}{clean_line(label)}:", layout(value, indent + "  ")]
        elif isinstance(value, Table):
            lines += [f"{indent}{label}:", *(f"{indent}  {line}" for line in columns_text(value).splitlines())]
        else:
            texts = [text for each in ([value] if isinstance(value, str) else value) for text in each.splitlines() or [""]]
            first = f"{indent}{clean_line(label) + ':':<{width}}"
            lines += [f"{first if number == 0 else ' ' * len(first)}{text}".rstrip() for number, text in enumerate(texts)]
    return "\n".join(lines)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], tuple)


# --- what lies around the object ------------------------------------------------------------------------------------------


async def _event_fields(client: ClusterClient, found: Found) -> list[Field]:
    try:
        events = await events_about(client, found)
    except ClusterError:
        return [("Events", "<cannot be read with your rights>")]
    if not events:
        return [("Events", "<none>")]
    shown_events = [redact_object(event) for event in events]
    rows = tuple(
        (
            clean_line(event.get("type") or ""),
            clean_line(event.get("reason") or ""),
            last_seen(event),
            clean_line(dig(event, "source", "component", default="") or event.get("reportingComponent") or ""),
            clean_line((event.get("message") or "").strip()),
        )
        for event in shown_events
    )
    return [("Events", Table(("Type", "Reason", "Age", "From", "Message"), rows))]


async def _extra(client: ClusterClient, found: Found) -> list[Field]:
    """What lies in other objects. What the person may not read is left out."""
    read = _EXTRAS.get(found.resource.qualified)
    if read is None:
        return []
    try:
        return await read(client, found)
    except ClusterError:
        return []


async def _replica_sets(client: ClusterClient, found: Found) -> list[Field]:
    query = (("labelSelector", pod_selector(found)),)
    sets = await read_list(client, await resolve(client, "replicasets"), found.namespace, query)
    own = [each for each in sets if owned_by(each.value, found.ref.uid)]
    revision = dig(found.value, "metadata", "annotations", "deployment.kubernetes.io/revision")
    lines: dict[str, list[str]] = {"NewReplicaSet": [], "OldReplicaSets": []}
    for each in own:
        new = dig(each.value, "metadata", "annotations", "deployment.kubernetes.io/revision") == revision
        wished, made = (dig(each.value, *path, default=0) for path in (("spec", "replicas"), ("status", "replicas")))
        if new or wished or made:
            lines["NewReplicaSet" if new else "OldReplicaSets"].append(f"{each.name} ({made}/{wished} replicas created)")
    return [(label, texts or "<none>") for label, texts in reversed(lines.items())]


async def _endpoints(client: ClusterClient, found: Found) -> list[Field]:
    query = (("labelSelector", f"kubernetes.io/service-name={found.name}"),)
    slices = await read_list(client, await resolve(client, "endpointslices"), found.namespace, query)
    addresses: list[str] = []
    for each in slices:
        ready = [end for end in each.value.get("endpoints") or () if dig(end, "conditions", "ready", default=True)]
        hosts = [host for endpoint in ready for host in endpoint.get("addresses") or ()]
        ports = [port.get("port") for port in each.value.get("ports") or ()] or [None]
        addresses += [host if port is None else f"{host}:{port}" for port in ports for host in hosts]
    more = f" + {len(addresses) - 10} more" if len(addresses) > 10 else ""
    return [("Endpoints", clean_line(",".join(addresses[:10])) + more if addresses else "<none>")]


async def _node_pods(client: ClusterClient, found: Found) -> list[Field]:
    query = (("fieldSelector", f"spec.nodeName={found.name},status.phase!=Succeeded,status.phase!=Failed"),)
    pods = await read_list(client, await resolve(client, "pods"), None, query, at_most=500)
    rows = tuple((clean_line(pod.namespace or ""), clean_line(pod.name)) for pod in pods[:30])
    more = f", {len(rows)} of them here" if len(pods) > len(rows) else ""
    return [(f"Non-terminated Pods ({len(pods)} in total{more})", Table(("Namespace", "Name"), rows) if rows else "<none>")]


async def _claim_users(client: ClusterClient, found: Found) -> list[Field]:
    pods = await read_list(client, await resolve(client, "pods"), found.namespace)
    users = [
        pod.name
        for pod in pods
        for volume in dig(pod.value, "spec", "volumes", default=[])
        if dig(volume, "persistentVolumeClaim", "claimName") == found.name
    ]
    return [("Used By", sorted(users) or "<none>")]


async def _namespace_bounds(client: ClusterClient, found: Found) -> list[Field]:
    quotas = await read_list(client, await resolve(client, "resourcequotas"), found.name)
    fields: list[Field] = []
    for quota in quotas:
        hard, used = (dig(quota.value, "status", key, default={}) for key in ("hard", "used"))
        rows = tuple((clean_line(name), str(used.get(name, "0")), str(limit)) for name, limit in sorted(hard.items()))
        fields.append((f"Quota {quota.name}", Table(("Resource", "Used", "Hard"), rows) if rows else "<none>"))
    return fields or [("Resource Quotas", "<none>")]


_EXTRAS: dict[str, Callable[[ClusterClient, Found], Awaitable[list[Field]]]] = {
    "deployments.apps": _replica_sets,
    "services": _endpoints,
    "nodes": _node_pods,
    "persistentvolumeclaims": _claim_users,
    "namespaces": _namespace_bounds,
}
