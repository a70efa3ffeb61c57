"""`auth can-i` and `auth whoami`: what the API server says about the person."""

from typing import Any

from k8s.access import whoami as who
from k8s.client import ClusterClient, Limits
from k8s.denials import Need, may
from k8s.discovery import resolve
from k8s.errors import CommandInvalid, UnknownResource
from k8s.live import namespace_of
from k8s.redact import clean_line
from k8s.types import Command, ExecutionResult, Table


async def can_i(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `auth can-i VERB RESOURCE` and `auth can-i --list`."""
    if command.has("list"):
        return await _list(client, command, limits)
    if len(command.args) not in {2, 3}:
        raise CommandInvalid("auth can-i takes a verb and a resource, such as `auth can-i delete pods`.")
    verb, word, *names = command.args
    word, slash, name = word.partition("/")
    if slash and not word:
        raise CommandInvalid("auth can-i about URL paths is not supported: name a resource, such as pods.")
    wished = name or (names[0] if names else "")
    need, notes = await _need(client, command, verb, word, wished)
    return ExecutionResult(text="yes" if await may(client, need) else "no", notes=notes)


async def _need(client: ClusterClient, command: Command, verb: str, word: str, name: str) -> tuple[Need, tuple[str, ...]]:
    namespace = namespace_of(client, command)
    subresource = command.flag("subresource") or ""
    if word == "*":
        return Need(verb, "*", "*", subresource, namespace, name or None), ()
    try:
        resource = await resolve(client, word)
    except UnknownResource:
        plural, _, group = word.partition(".")
        note = f"The cluster has no resource type {clean_line(word)!r}; the answer is about rules that name it."
        return Need(verb, group, plural, subresource, namespace, name or None), (note,)
    if not resource.namespaced:
        note = f"{resource.plural} have no namespace, so the answer is for the whole cluster."
        return Need(verb, resource.group, resource.plural, subresource, None, name or None), (note,)
    return Need(verb, resource.group, resource.plural, subresource, namespace, name or None), ()


async def _list(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """What the person may do in a namespace, by SelfSubjectRulesReview."""
    namespace = namespace_of(client, command) or client.namespace
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = await client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=review)
    status = answer.get("status") or {}
    rows = _rows(status)
    notes = ("The list may be incomplete: the server cannot tell all rules.",) if status.get("incomplete") else ()
    columns = ("RESOURCES", "NON-RESOURCE URLS", "RESOURCE NAMES", "VERBS")
    truncated = f"{limits.rows:,} of {len(rows):,} rows shown." if len(rows) > limits.rows else ""
    table = Table(() if command.has("no-headers") else columns, tuple(rows[: limits.rows]))
    return ExecutionResult(tables=(table,), truncated=truncated, notes=notes)


def _rows(status: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each resource, with the verbs of all rules about it together, as kubectl compacts them; URL paths last."""
    verbs: dict[tuple[str, str, str], dict[str, None]] = {}
    for rule in status.get("resourceRules") or ():
        names = _bracket(rule.get("resourceNames"))
        for group in rule.get("apiGroups") or ("",):
            for name in rule.get("resources") or ():
                resource = clean_line(f"{name}.{group}" if group else name)
                verbs.setdefault((resource, "[]", names), {}).update(dict.fromkeys(rule.get("verbs") or ()))
    for rule in status.get("nonResourceRules") or ():
        for url in rule.get("nonResourceURLs") or ():
            verbs.setdefault(("", _bracket((url,)), "[]"), {}).update(dict.fromkeys(rule.get("verbs") or ()))
    rows = [(*key, _bracket(found)) for key, found in verbs.items()]
    return sorted(rows, key=lambda row: (row[0] == "", row))


def _bracket(words: Any) -> str:
    return clean_line(f"[{' '.join(words or ())}]")


async def whoami(client: ClusterClient, command: Command, limits: Limits) -> ExecutionResult:
    """Carry out `auth whoami`."""
    person = await who(client)
    rows = [("Username", clean_line(person.user))]
    rows += [("Groups", clean_line(f"[{' '.join(person.groups)}]"))] if person.groups else []
    return ExecutionResult(tables=(Table(("ATTRIBUTE", "VALUE"), tuple(rows)),))
