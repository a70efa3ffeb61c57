"""Roles and bindings, as the RBAC authorizer and the escalation checks of the real API server read them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.people import Caller
from k8s.sandbox.objects.store import Change, Store

GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES = f"roles.{GROUP}", f"clusterroles.{GROUP}"
BINDINGS, CLUSTER_BINDINGS = f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}"
_WATCHED = frozenset((ROLES, CLUSTER_ROLES, BINDINGS, CLUSTER_BINDINGS))
_VERBS = {"read": "get list watch", "write": "create delete deletecollection patch update"}


@dataclass(frozen=True, slots=True)
class Action:
    """What a caller wants to do: to a resource, or to a path that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""  # only for what is not a resource

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def rule_allows(rule: Json, action: Action) -> bool:
    if not _has(rule.get("verbs"), action.verb):
        return False
    if action.path:
        return any(_path_fits(one, action.path) for one in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), action.group) or not _resource_fits(rule.get("resources"), action):
        return False
    names = rule.get("resourceNames")
    return not names or action.name in names


def _has(options: list[str] | None, wanted: str) -> bool:
    return options is not None and ("*" in options or wanted in options)


def _resource_fits(resources: list[str] | None, action: Action) -> bool:
    wanted = action.full_resource
    return _has(resources, wanted) or (bool(action.subresource) and f"*/{action.subresource}" in (resources or ()))


def _path_fits(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


class Rights:
    """Answers whether a caller may do something, and why."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[tuple[str, tuple[str, ...], str], list[tuple[Json, str]]] = {}
        store.listeners.append(self._forget)

    def _forget(self, change: Change) -> None:
        if change.resource in _WATCHED:
            self._found.clear()

    def allows(self, caller: Caller, action: Action) -> tuple[bool, str]:
        """Whether RBAC allows it, and the reason as SubjectAccessReview words it."""
        if caller.is_master:
            return True, ""
        for rule, reason in self.rules(caller, action.namespace):
            if rule_allows(rule, action):
                return True, reason
        return False, ""

    def rules(self, caller: Caller, namespace: str) -> list[tuple[Json, str]]:
        """Every rule that holds for the caller: cluster-wide ones, and those of the namespace if one is named."""
        key = (caller.name, caller.groups, namespace)
        if key not in self._found:
            if len(self._found) > 5000:
                self._found.clear()
            self._found[key] = list(self._gather(caller, namespace))
        return self._found[key]

    def _gather(self, caller: Caller, namespace: str) -> Iterator[tuple[Json, str]]:
        for binding in self._store.each(CLUSTER_BINDINGS):
            yield from self._bound(binding, caller, "")
        if namespace:
            for binding in self._store.each(BINDINGS, namespace):
                yield from self._bound(binding, caller, namespace)

    def _bound(self, binding: Json, caller: Caller, namespace: str) -> Iterator[tuple[Json, str]]:
        subject = next((one for one in binding.get("subjects") or () if _is(one, caller, namespace)), None)
        if subject is None:
            return
        ref = binding["roleRef"]
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        where = f"{binding['metadata']['name']}/{namespace}" if namespace else binding["metadata"]["name"]
        reason = f'RBAC: allowed by {kind} "{where}" of {ref["kind"]} "{ref["name"]}" to {_subject_text(subject, namespace)}'
        for rule in self.role_rules(ref, namespace) or ():
            yield rule, reason

    def role_rules(self, ref: Json, namespace: str) -> list[Json] | None:
        """The rules of the role referred to, or None when there is no such role."""
        if ref["kind"] == "ClusterRole":
            role = self._store.get(CLUSTER_ROLES, "", ref["name"])
        else:
            role = self._store.get(ROLES, namespace, ref["name"])
        return None if role is None else role.get("rules") or []

    def uncovered(self, caller: Caller, namespace: str, wanted: list[Json]) -> list[Json]:
        """The single rules among those wanted that the caller does not hold: what would be an escalation."""
        held = [rule for rule, _ in self.rules(caller, namespace)]
        return [one for rule in wanted for one in _single(rule) if not any(_covers(own, one) for own in held)]


def _is(subject: Json, caller: Caller, namespace: str) -> bool:
    if subject["kind"] == "User":
        return bool(subject["name"] == caller.name)
    if subject["kind"] == "Group":
        return subject["name"] in caller.groups
    where = subject.get("namespace") or namespace
    return caller.name == f"system:serviceaccount:{where}:{subject['name']}"


def _subject_text(subject: Json, namespace: str) -> str:
    if subject["kind"] == "ServiceAccount":
        return f'ServiceAccount "{subject["name"]}/{subject.get("namespace") or namespace}"'
    return f'{subject["kind"]} "{subject["name"]}"'


def _single(rule: Json) -> Iterator[Json]:
    """A rule as rules of one verb and one resource or path each."""
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield {"nonResourceURLs": [path], "verbs": [verb]}
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                one: Json = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                for name in rule.get("resourceNames") or [None]:
                    yield {**one, "resourceNames": [name]} if name else one


def _covers(own: Json, one: Json) -> bool:
    if not _has(own.get("verbs"), one["verbs"][0]):
        return False
    if "nonResourceURLs" in one:
        return any(_path_fits(pattern, one["nonResourceURLs"][0]) for pattern in own.get("nonResourceURLs") or ())
    resource, _, sub = one["resources"][0].partition("/")
    if not _has(own.get("apiGroups"), one["apiGroups"][0]):
        return False
    if not _resource_fits(own.get("resources"), Action("", resource=resource, subresource=sub)):
        return False
    names = own.get("resourceNames")
    return not names or (bool(one.get("resourceNames")) and one["resourceNames"][0] in names)


def rule_text(rule: Json) -> str:
    """A rule as the escalation message shows it (rbac.PolicyRule.CompactString)."""
    order = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")
    names = {"apiGroups": "APIGroups", "resources": "Resources", "nonResourceURLs": "NonResourceURLs"}
    names |= {"resourceNames": "ResourceNames", "verbs": "Verbs"}
    parts = [f"{names[key]}:[{' '.join(_go(one) for one in rule[key])}]" for key in order if rule.get(key)]
    return "{" + ", ".join(parts) + "}"


def _go(text: str) -> str:
    return f'"{text}"'


# the roles that every cluster starts with


@cache
def bootstrap() -> tuple[tuple[str, Json], ...]:
    """(resource id, object) of the default ClusterRoles and ClusterRoleBindings."""
    listed = yaml.safe_load(files("k8s.sandbox.objects").joinpath("roles.yaml").read_text())
    roles = [(CLUSTER_ROLES, _role(one)) for one in listed]
    bound = [(CLUSTER_BINDINGS, _binding(*one)) for one in DEFAULT_BINDINGS]
    return tuple(roles + bound)


DEFAULT_BINDINGS = (
    ("cluster-admin", "cluster-admin", (("Group", "system:masters"),)),
    ("system:basic-user", "system:basic-user", (("Group", "system:authenticated"),)),
    ("system:discovery", "system:discovery", (("Group", "system:authenticated"),)),
    ("system:public-info-viewer", "system:public-info-viewer",
     (("Group", "system:authenticated"), ("Group", "system:unauthenticated"))),
    ("system:monitoring", "system:monitoring", (("Group", "system:monitoring"),)),
    ("system:kube-controller-manager", "system:kube-controller-manager", (("User", "system:kube-controller-manager"),)),
    ("system:kube-scheduler", "system:kube-scheduler", (("User", "system:kube-scheduler"),)),
    ("system:node", "system:node", ()),
    ("system:node-proxier", "system:node-proxier", (("User", "system:kube-proxy"),)),
)  # fmt: skip


def _meta(name: str) -> Json:
    return {
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    }


def _role(one: Json) -> Json:
    role: Json = {"kind": "ClusterRole", "apiVersion": f"{GROUP}/v1", "metadata": _meta(one["role"])}
    if "into" in one:
        role["metadata"]["labels"][f"{GROUP}/aggregate-to-{one['into']}"] = "true"
    role["rules"] = [_rule(*row) for row in one["rules"]]
    if "from" in one:
        wanted = {"matchLabels": {f"{GROUP}/aggregate-to-{one['from']}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [wanted]}
    return role


def _rule(groups: str, resources: str, verbs: str, names: str = "") -> Json:
    listed = " ".join(_VERBS.get(word, word) for word in verbs.split()).split()
    if groups == "urls":
        return {"nonResourceURLs": resources.split(), "verbs": listed}
    rule: Json = {
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
        "verbs": sorted(listed),
    }
    return {**rule, "resourceNames": names.split()} if names else rule


def _binding(name: str, role: str, subjects: tuple[tuple[str, str], ...]) -> Json:
    listed: list[Json] = [{"kind": kind, "apiGroup": GROUP, "name": who} for kind, who in subjects]
    body: Json = {"kind": "ClusterRoleBinding", "apiVersion": f"{GROUP}/v1", "metadata": _meta(name)}
    return {**body, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}, "subjects": listed}


def aggregated(store: Store, role: Json) -> list[Json] | None:
    """The rules that an aggregated ClusterRole should have, or None when it has no aggregationRule."""
    wanted: Any = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if not wanted:
        return None
    tests = [selectors.from_object(one) for one in wanted]
    rules: list[Json] = []
    for other in sorted(store.each(CLUSTER_ROLES), key=lambda one: str(one["metadata"]["name"])):
        labels = other["metadata"].get("labels")
        if other["metadata"]["name"] != role["metadata"]["name"] and any(selectors.matches(t, labels) for t in tests):
            rules += [copy.deepcopy(rule) for rule in other.get("rules") or () if rule not in rules]
    return rules
