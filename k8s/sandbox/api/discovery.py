"""What is served, said in the ways that clients ask: /api, /apis, resource lists, and aggregated discovery."""

from __future__ import annotations

from collections.abc import Iterable

from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind, Kinds

VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.3",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.26.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def api_versions(address: str) -> Json:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(kinds: Kinds) -> Json:
    found = [group(name, versions) for name, versions in kinds.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def one_group(kinds: Kinds, name: str) -> Json | None:
    versions = kinds.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **group(name, versions)} if versions else None


def resource_list(kinds: Kinds, group_name: str, version: str) -> Json | None:
    """APIResourceList of one group and version; None when there is none."""
    served = sorted((one for one in kinds if (one.group, one.version) == (group_name, version)), key=lambda k: k.resource)
    if not served:
        return None
    rows = [row for kind in served for row in _rows(kind)]
    group_version = f"{group_name}/{version}" if group_name else version
    head = {"kind": "APIResourceList", "apiVersion": "v1"} if group_name else {"kind": "APIResourceList"}
    return {**head, "groupVersion": group_version, "resources": rows}


def _rows(kind: Kind) -> Iterable[Json]:
    row: Json = {"name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind}
    row["verbs"] = sorted(kind.verbs)
    if kind.short:
        row["shortNames"] = list(kind.short)
    if kind.categories:
        row["categories"] = list(kind.categories)
    yield row
    for sub in sorted(kind.subresources):
        group_name, version, name, verbs = kind.sub(sub)
        row = {"name": f"{kind.resource}/{sub}", "singularName": "", "namespaced": kind.namespaced}
        if (group_name, version) != (kind.group, kind.version):
            row |= {"group": group_name, "version": version}
        yield {**row, "kind": name, "verbs": sorted(verbs)}


def aggregated(kinds: Kinds, *, core: bool) -> Json:
    """APIGroupDiscoveryList of the core group, or of all named groups."""
    names = {"": ["v1"]} if core else kinds.groups()
    items = []
    for name, versions in names.items():
        listed = [
            {
                "version": version,
                "resources": [
                    _aggregated_row(kind)
                    for kind in sorted(kinds, key=lambda one: one.resource)
                    if (kind.group, kind.version) == (name, version)
                ],
                "freshness": "Current",
            }
            for version in versions
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_row(kind: Kind) -> Json:
    row: Json = {
        "resource": kind.resource,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short:
        row["shortNames"] = list(kind.short)
    if kind.categories:
        row["categories"] = list(kind.categories)
    if kind.subresources:
        row["subresources"] = [_aggregated_sub(kind, sub) for sub in sorted(kind.subresources)]
    return row


def _aggregated_sub(kind: Kind, sub: str) -> Json:
    group_name, version, name, verbs = kind.sub(sub)
    answer = {"group": group_name, "version": version, "kind": name}
    return {"subresource": sub, "responseKind": answer, "verbs": sorted(verbs)}
