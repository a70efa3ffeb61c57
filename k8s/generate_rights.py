"""Roles and Bindings out of flags."""

from typing import Any

from k8s.client import ClusterClient
from k8s.discovery import resolve
from k8s.errors import CommandInvalid, UnknownResource
from k8s.setting import subjects
from k8s.types import Command

_RBAC = "rbac.authorization.k8s.io"
_ONLY_ON: dict[str, frozenset[tuple[str, str]]] = {
    "use": frozenset({("policy", "podsecuritypolicies"), ("extensions", "podsecuritypolicies")}),
    "bind": frozenset({(_RBAC, "roles"), (_RBAC, "clusterroles")}),
    "escalate": frozenset({(_RBAC, "roles"), (_RBAC, "clusterroles")}),
    "impersonate": frozenset({("", "users"), ("", "serviceaccounts"), ("", "groups"), ("authentication.k8s.io", "userextras")}),
}
"""Verbs that mean something for these resources alone. Source: kubectl pkg/cmd/create/create_role.go."""
_URL_VERBS = frozenset({"*", "get", "post", "put", "delete", "patch", "head", "options"})


async def role(client: ClusterClient, command: Command) -> dict[str, Any]:
    """The rules of `create role`."""
    return {"rules": await _rules(client, command)}


async def cluster_role(client: ClusterClient, command: Command) -> dict[str, Any]:
    """The rules of `create clusterrole`, or the labels by which others are gathered."""
    given = any(command.flag(name) for name in ("verb", "resource", "resource-name", "non-resource-url"))
    if gathered := command.flag("aggregation-rule"):
        if given:
            raise CommandInvalid("--aggregation-rule stands alone: leave verbs, resources and URLs out.")
        labels = dict(part.partition("=")[::2] for part in gathered.split(","))
        return {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]}}
    urls = _split(command, "non-resource-url")
    if not _split(command, "resource") and not urls:
        raise CommandInvalid("`create clusterrole` needs --resource=… or --non-resource-url=….")
    rules = await _rules(client, command) if _split(command, "resource") else []
    if urls:
        verbs = _verbs(command)
        if odd := [verb for verb in verbs if verb not in _URL_VERBS]:
            raise CommandInvalid(f"{odd[0]!r} is no verb of a URL.")
        if any(url != "*" and (not url.startswith("/") or "*" in url[:-1]) for url in urls):
            raise CommandInvalid("A --non-resource-url begins with /, and may have a * at its end only.")
        rules.append({"verbs": verbs, "nonResourceURLs": urls})
    return {"rules": rules}


def _split(command: Command, flag: str) -> list[str]:
    return list(dict.fromkeys(part for value in command.flag_values(flag) for part in value.split(",")))


def _verbs(command: Command) -> list[str]:
    verbs = _split(command, "verb")
    if not verbs:
        raise CommandInvalid("At least one --verb=… is needed.")
    return ["*"] if "*" in verbs else verbs


async def _rules(client: ClusterClient, command: Command) -> list[dict[str, Any]]:
    """One rule for each group of the API, in the order of their names."""
    verbs, names = _verbs(command), list(dict.fromkeys(command.flag_values("resource-name")))
    groups: dict[str, list[str]] = {}
    words = _split(command, "resource")
    for word in ["*"] if "*" in words else words:
        group, plural, subresource = await _resource(client, word, verbs)
        name = f"{plural}/{subresource}" if subresource else plural
        if name not in groups.setdefault(group, []):
            groups[group].append(name)
    rest = {"resourceNames": names} if names else {}
    return [{"verbs": verbs, "apiGroups": [group], "resources": groups[group], **rest} for group in sorted(groups)]


async def _resource(client: ClusterClient, word: str, verbs: list[str]) -> tuple[str, str, str]:
    """Group, plural and subresource of `deployments.apps/scale`."""
    head, _, subresource = word.partition("/")
    plural, _, group = head.partition(".")
    if not plural:
        raise CommandInvalid(f"{word!r} names no resource.")
    if plural == "*":
        return group, plural, subresource
    unknown: UnknownResource | None = None
    try:
        found = await resolve(client, head)
        plural, group = found.plural, found.group
    except UnknownResource as error:
        unknown = error
    special = [verb for verb in verbs if verb in _ONLY_ON]
    if odd := [verb for verb in special if (group, plural) not in _ONLY_ON[verb]]:
        raise CommandInvalid(f"{odd[0]!r} cannot be done to {plural}.")
    if unknown is not None and not special:
        raise unknown
    return group, plural, subresource


def role_binding(command: Command) -> dict[str, Any]:
    """Role and subjects of `create rolebinding`."""
    if bool(command.flag("role")) == bool(command.flag("clusterrole")):
        raise CommandInvalid("Give one of --role and --clusterrole.")
    kind, name = ("Role", command.flag("role")) if command.flag("role") else ("ClusterRole", command.flag("clusterrole"))
    return {"roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name}, "subjects": subjects(command, None)}


def cluster_role_binding(command: Command) -> dict[str, Any]:
    """Role and subjects of `create clusterrolebinding`."""
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": command.flag("clusterrole")}
    return {"roleRef": reference, "subjects": subjects(command, None)}
