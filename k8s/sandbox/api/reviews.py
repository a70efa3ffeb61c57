"""Who am I, what may I do: access reviews, token requests and reviews, and the checks against escalation."""

from __future__ import annotations

import copy
from datetime import timedelta

from aiohttp import web

from k8s.sandbox.api import answers, bodies
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.api.server import Server
from k8s.sandbox.objects import apply, errors, rbac, units
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.people import Caller
from k8s.sandbox.objects.rbac import Action
from k8s.sandbox.objects.store import encode


def install(server: Server) -> None:
    """Add the handlers to a server."""
    auth, authn = "authorization.k8s.io", "authentication.k8s.io"

    async def self_access(ask: Ask) -> web.StreamResponse:
        return _access(server, ask, ask.caller)

    async def subject_access(ask: Ask) -> web.StreamResponse:
        return _access(server, ask, None)

    async def rules(ask: Ask) -> web.StreamResponse:
        return _rules(server, ask)

    async def self_subject(ask: Ask) -> web.StreamResponse:
        body = _body(server, ask)
        return answers.reply(ask, {**body, "status": {"userInfo": ask.caller.json()}}, 201)

    async def token_review(ask: Ask) -> web.StreamResponse:
        body = _body(server, ask)
        found = server.people.by_token((body.get("spec") or {}).get("token", ""))
        status: Json = {"authenticated": True, "user": found.json()} if found else {"user": {}}
        if found is None:
            status["error"] = "invalid bearer token"
        return answers.reply(ask, {**body, "status": status}, 201)

    async def token(ask: Ask) -> web.StreamResponse:
        return _token(server, ask)

    server.special |= {
        f"create selfsubjectaccessreviews.{auth}": self_access,
        f"create subjectaccessreviews.{auth}": subject_access,
        f"create localsubjectaccessreviews.{auth}": subject_access,
        f"create selfsubjectrulesreviews.{auth}": rules,
        f"create selfsubjectreviews.{authn}": self_subject,
        f"create tokenreviews.{authn}": token_review,
        "create serviceaccounts/token": token,
    }
    server.before_write.append(lambda ask, obj, old: _no_escalation(server, ask, obj, old))


def _body(server: Server, ask: Ask, kind: Kind | None = None) -> Json:
    body = bodies.body(server, ask, bodies.write_options(ask), kind)
    apply.record(body, None, bodies.manager(ask), ask.kind, server.objects.root(ask.kind))
    return body


def _access(server: Server, ask: Ask, caller: Caller | None) -> web.StreamResponse:
    body = _body(server, ask)
    spec = body.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        shown = {"Path": path.get("path", ""), "Verb": path.get("verb", "")}
        cause = errors.invalid("spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes")
        raise errors.invalid_object("", ask.kind.group, "", [cause])
    if resource is None and path is None:
        fault = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = errors.invalid("spec.resourceAttributes", None, fault)
        raise errors.invalid_object("", ask.kind.group, "", [cause])
    if caller is None:
        caller = Caller(spec.get("user", ""), tuple(spec.get("groups") or ()))
    action = _action(resource, path or {})
    allowed, reason = server.rights.allows(caller, action)
    status: Json = {"allowed": allowed}
    if reason:
        status["reason"] = reason
    return answers.reply(ask, {**body, "status": status}, 201)


def _action(resource: Json | None, path: Json) -> Action:
    if resource is None:
        return Action(path.get("verb", ""), path=path.get("path", "") or "/")
    return Action(
        resource.get("verb", ""),
        resource.get("group", ""),
        resource.get("resource", ""),
        resource.get("subresource", ""),
        resource.get("namespace", ""),
        resource.get("name", ""),
    )


def _rules(server: Server, ask: Ask) -> web.StreamResponse:
    body = _body(server, ask)
    namespace = (body.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise errors.bad_request("no namespace on request")
    listed = [rule for rule, _ in server.rights.rules(ask.caller, namespace)]
    if ask.caller.is_master:
        listed = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    status = {
        "resourceRules": [rule for rule in listed if rule.get("resources")],
        "nonResourceRules": [rule for rule in listed if rule.get("nonResourceURLs")],
        "incomplete": False,
    }
    return answers.reply(ask, {**body, "status": status}, 201)


def _token(server: Server, ask: Ask) -> web.StreamResponse:
    namespace, name = ask.asked.namespace, ask.asked.name
    account = server.store.get("serviceaccounts", namespace, name)
    if account is None:
        raise errors.not_found("serviceaccounts", "", name)
    kind = Kind("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest", True)
    body = _body(server, ask, kind)
    spec = body.setdefault("spec", {})
    seconds = spec.setdefault("expirationSeconds", 3600)
    if seconds < 600:
        cause = errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        raise errors.invalid_object("TokenRequest", "authentication.k8s.io", "", [cause])
    spec.setdefault("audiences", ["https://kubernetes.default.svc.cluster.local"])
    uid = account["metadata"]["uid"]
    token = server.people.account_token(namespace, name, uid, seconds, {})
    expires = units.stamp(units.now() + timedelta(seconds=seconds))
    body["metadata"] |= {"name": name, "namespace": namespace, "creationTimestamp": units.stamp()}
    status = {"token": token, "expirationTimestamp": expires}
    return answers.bytes_reply(ask, encode({**body, "status": status}), 201)


# nobody may hand out rights that they do not have


def _no_escalation(server: Server, ask: Ask, obj: Json, old: Json | None) -> None:
    kind = ask.kind
    if kind.group != rbac.GROUP or ask.caller.is_master:
        return
    if kind.resource in ("roles", "clusterroles"):
        _check_role(server, ask, obj, old)
    else:
        _check_binding(server, ask, obj, old)


def _may(server: Server, ask: Ask, verb: str, resource: str, name: str) -> bool:
    return server.rights.allows(ask.caller, Action(verb, rbac.GROUP, resource, "", ask.asked.namespace, name))[0]


def _check_role(server: Server, ask: Ask, obj: Json, old: Json | None) -> None:
    rules = obj.get("rules") or []
    if old is not None and rules == (old.get("rules") or []):
        return
    name = obj["metadata"].get("name", "")
    if not _may(server, ask, "escalate", ask.kind.resource, name):
        _refuse(server, ask, name, rules)


def _check_binding(server: Server, ask: Ask, obj: Json, old: Json | None) -> None:
    if old is not None and (obj.get("subjects"), obj.get("roleRef")) == (old.get("subjects"), old.get("roleRef")):
        return
    ref = obj.get("roleRef") or {}
    resource = "clusterroles" if ref.get("kind") == "ClusterRole" else "roles"
    if _may(server, ask, "bind", resource, ref.get("name", "")):
        return
    namespace = ask.asked.namespace
    rules = server.rights.role_rules({"kind": ref.get("kind", ""), "name": ref.get("name", "")}, namespace)
    if rules is None:
        raise errors.not_found(resource, rbac.GROUP, ref.get("name", ""))
    _refuse(server, ask, obj["metadata"].get("name", ""), rules)


def _refuse(server: Server, ask: Ask, name: str, rules: list[Json]) -> None:
    missing = server.rights.uncovered(ask.caller, ask.asked.namespace, copy.deepcopy(rules))
    if not missing:
        return
    compact = _compact(missing)
    groups = " ".join(f'"{group}"' for group in ask.caller.groups)
    text = (
        f'user "{ask.caller.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
        + "\n".join(rbac.rule_text(rule) for rule in compact)
    )
    raise errors.forbidden(ask.kind.resource, ask.kind.group, name, text)


def _compact(rules: list[Json]) -> list[Json]:
    """Single rules that differ only in their verb, as one."""
    merged: dict[str, Json] = {}
    for rule in rules:
        key = str({name: value for name, value in rule.items() if name != "verbs"})
        if key in merged:
            merged[key]["verbs"] = [*merged[key]["verbs"], *rule["verbs"]]
        else:
            merged[key] = copy.deepcopy(rule)
    return sorted(merged.values(), key=str)
