"""What the cluster is and serves: `version`, `cluster-info`, `api-resources`, `api-versions`."""

from typing import Any

from k8s.client import ClusterClient, Limits
from k8s.discovery import ApiResource, all_resources
from k8s.errors import ApiError, CommandInvalid
from k8s.live import dig
from k8s.redact import clean_line
from k8s.render import to_json, to_yaml
from k8s.types import Command, ExecutionResult, Table


async def version(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `version`. The client is KubeChat, which has no kubectl version."""
    found = await client.get("/version")
    if command.flag("output") in {"yaml", "json"}:
        form = to_yaml if command.flag("output") == "yaml" else to_json
        return ExecutionResult(text=form({"serverVersion": {key: clean_line(str(value)) for key, value in found.items()}}))
    return ExecutionResult(text=f"Server Version: {clean_line(str(found.get('gitVersion', 'unknown')))}")


async def api_resources(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `api-resources`, with its filters; `-o wide` adds verbs and categories, `-o name` gives names only."""
    found = [each for each in await all_resources(client) if _wanted(command, each)]
    order = command.flag("sort-by")
    if order not in {None, "name", "kind"}:
        raise CommandInvalid("--sort-by of api-resources takes name or kind.")
    found.sort(key=lambda each: (each.kind,) if order == "kind" else (each.plural,) if order else (each.group, each.plural))
    missing = client.discovered.missing
    notes = (f"These groups do not answer now and are left out: {clean_line(', '.join(missing))}.",) if missing else ()
    truncated = f"{limits.rows:,} of {len(found):,} rows shown." if len(found) > limits.rows else ""
    shown = found[: limits.rows]
    if command.flag("output") == "name":
        return ExecutionResult(text="\n".join(clean_line(each.qualified) for each in shown), truncated=truncated, notes=notes)
    wide = command.flag("output") == "wide"
    columns = ("NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", *(("VERBS", "CATEGORIES") if wide else ()))
    rows = tuple(tuple(clean_line(text) for text in _row(each, wide=wide)) for each in shown)
    table = Table(() if command.has("no-headers") else columns, rows)
    return ExecutionResult(tables=(table,), truncated=truncated, notes=notes)


def _wanted(command: Command, resource: ApiResource) -> bool:
    group, namespaced = command.flag("api-group"), command.flag("namespaced")
    verbs, categories = (_words(command.flag(name)) for name in ("verbs", "categories"))
    return (
        (group is None or group == resource.group)
        and (namespaced is None or (namespaced == "true") == resource.namespaced)
        and verbs <= set(resource.verbs)
        and categories <= set(resource.categories)
    )


def _words(text: str | None) -> set[str]:
    return {word for word in (text or "").split(",") if word}


def _row(resource: ApiResource, *, wide: bool) -> tuple[str, ...]:
    short = ",".join(resource.short_names)
    row = (resource.plural, short, resource.api_version, "true" if resource.namespaced else "false", resource.kind)
    return (*row, ",".join(sorted(resource.verbs)), ",".join(resource.categories)) if wide else row


async def api_versions(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `api-versions`."""
    found = await client.get("/apis")
    versions = [version["groupVersion"] for group in found.get("groups") or () for version in group.get("versions") or ()]
    return ExecutionResult(text="\n".join(clean_line(version) for version in sorted((*versions, "v1"))))


async def cluster_info(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `cluster-info`: where the API server is, and the services that are marked as the cluster's own."""
    lines, notes = [f"Kubernetes control plane is running at {client.server}"], tuple[str, ...]()
    try:
        query = (("labelSelector", "kubernetes.io/cluster-service=true"),)
        services = await client.items("/api/v1/namespaces/kube-system/services", query=query)
    except ApiError as error:
        if error.status != 403:
            raise
        services, notes = [], ("The cluster's own services cannot be listed with your rights.",)
    lines += [f"{_service_name(each)} is running at {_service_address(client, each)}" for each in services]
    return ExecutionResult(text="\n".join(clean_line(line) for line in lines), notes=notes)


def _service_name(service: dict[str, Any]) -> str:
    return str(dig(service, "metadata", "labels", "kubernetes.io/name", default=service["metadata"]["name"]))


def _service_address(client: ClusterClient, service: dict[str, Any]) -> str:
    """Its load balancer's ports, else its path through the API server. Source: kubectl pkg/cmd/clusterinfo."""
    metadata, ports = service["metadata"], dig(service, "spec", "ports", default=[])
    outside = dig(service, "status", "loadBalancer", "ingress", 0, default={})
    if outside:
        host = outside.get("ip") or outside.get("hostname", "")
        return " ".join(f"http://{host}:{port['port']}" for port in ports)
    name = metadata["name"]
    if ports:
        port = ports[0].get("name", "")
        secure = port == "https" or ports[0]["port"] == 443
        name = f"https:{name}:{port}" if secure else f"{name}:{port}" if port else name
    return f"{client.server}/api/v1/namespaces/{metadata['namespace']}/services/{name}/proxy"
