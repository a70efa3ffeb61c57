"""May this person do it? The API server is asked before anything is proposed, and a denial says which role is missing."""

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from k8s.access import whoami
from k8s.client import ClusterClient
from k8s.discovery import ApiResource, resolve, resolve_object
from k8s.errors import ApiError
from k8s.generate import GENERATORS
from k8s.live import namespace_of, resources_of
from k8s.manifests import ManifestBroken, read_manifest
from k8s.redact import clean_text
from k8s.types import Command

READ_CACHE_SECONDS = 5.0
"""How long an answer about a read is believed; about a write the server is asked every time."""

_READS = frozenset({"get", "list", "watch"})


@dataclass(frozen=True, slots=True)
class Need:
    """One right: a verb on a resource. `namespace` None is all of them (or a resource without namespaces), `name` None any."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """A right that is missing. `resource` includes the subresource; `role` is the least built-in role that has it."""

    verb: str
    resource: str
    group: str
    namespace: str | None
    name: str | None
    role: str
    user: str = ""

    @property
    def qualified(self) -> str:
        """`deployments.apps/scale`, as `kubectl create role --resource` takes it."""
        plural, slash, subresource = self.resource.partition("/")
        return f"{plural}.{self.group}{slash}{subresource}" if self.group else self.resource

    @property
    def grant(self) -> str:
        """The kubectl line by which an administrator could give the right: a built-in role, or where only cluster-admin has it
        a role of its own.
        """
        return _grant(self.role, self.namespace, self.user, (self,))

    @property
    def sentence(self) -> str:
        """What is missing, where, and what would give it."""
        return explain_denials((self,))


_ROLE_ORDER = ("view", "edit", "admin", "cluster-admin")


def explain_denials(missing: Sequence[Denial]) -> str:
    """One sentence for all rights that a command lacks, namespace by namespace, each with the least role that has them all."""
    said: list[str] = []
    for namespace in dict.fromkeys(denial.namespace for denial in missing):
        part = [denial for denial in missing if denial.namespace == namespace]
        role = max((denial.role for denial in part), key=_ROLE_ORDER.index)
        rights = ", ".join(f"{denial.verb} {denial.qualified}{f' {denial.name}' if denial.name else ''}" for denial in part)
        where = f"in namespace {namespace}" if namespace else "in the whole cluster"
        allows = "Of the built-in roles only cluster-admin allows it" if role == "cluster-admin" else f"The role {role} allows it"
        line = _grant(role, namespace, part[0].user, part)
        said.append(f"{part[0].user or 'You'} may not {rights} {where}. {allows}; an administrator can grant it with: {line}")
    return clean_text("\n".join(said))


def _grant(role: str, namespace: str | None, user: str, part: Sequence[Denial]) -> str:
    account = user.split(":")
    if user.startswith("system:serviceaccount:") and len(account) == 4:
        subject, short = f"--serviceaccount={account[2]}:{account[3]}", account[3]
    else:
        subject, short = f"--user={user}", user
    scope = ("-n", namespace) if namespace else ()
    binding = "rolebinding" if namespace else "clusterrolebinding"
    if role != "cluster-admin":
        return shlex.join(("kubectl", "create", binding, f"{short}-{role}", f"--clusterrole={role}", subject, *scope))
    # Nobody should become cluster-admin for one right: a role that has this one and no more.
    own = "role" if namespace else "clusterrole"
    name = f"{short}-{part[0].verb}-{part[0].resource.replace('/', '-')}"
    verbs = ",".join(dict.fromkeys(denial.verb for denial in part))
    resources = ",".join(dict.fromkeys(denial.qualified for denial in part))
    make = shlex.join(("kubectl", "create", own, name, f"--verb={verbs}", f"--resource={resources}", *scope))
    return f"{make} && {shlex.join(('kubectl', 'create', binding, name, f'--{own}={name}', subject, *scope))}"


async def denials(client: ClusterClient, command: Command) -> tuple[Denial, ...]:
    """The rights that the command needs and the person lacks, by SelfSubjectAccessReview. Empty means: may.

    Raises ClusterError; UnknownResource where the command names a type that the cluster does not have.
    """
    needs = tuple(dict.fromkeys(await needed(client, command)))
    allowed = await asyncio.gather(*(may(client, need) for need in needs))
    missing = [need for need, yes in zip(needs, allowed, strict=True) if not yes]
    if not missing:
        return ()
    person = await whoami(client)
    return tuple(_denial(need, person.user) for need in missing)


def _denial(need: Need, user: str) -> Denial:
    resource = f"{need.resource}/{need.subresource}" if need.subresource else need.resource
    return Denial(need.verb, resource, need.group, need.namespace, need.name, least_role(need), user)


async def may(client: ClusterClient, need: Need) -> bool:
    """Whether the API server allows it."""
    key = (need.verb, need.group, need.resource, need.subresource, need.namespace or "", need.name or "")
    known = client.reviews.get(key)
    if known is not None and need.verb in _READS and time.monotonic() - known[0] < READ_CACHE_SECONDS:
        return known[1]
    attributes = {"verb": need.verb, "group": need.group, "resource": need.resource}
    attributes |= {"subresource": need.subresource, "namespace": need.namespace or "", "name": need.name or ""}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
    }
    answer = await client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    status = answer.get("status") or {}
    yes = status.get("allowed") is True and status.get("denied") is not True
    if len(client.reviews) > 1000:
        client.reviews.clear()
    client.reviews[key] = (time.monotonic(), yes, str(status.get("reason") or ""))
    return yes


# --- what a command needs -------------------------------------------------------------------------------------------------


async def needed(client: ClusterClient, command: Command) -> list[Need]:
    """Every right that carrying the command out takes."""
    special = _SPECIAL.get(command.verb)
    if special is not None:
        return await special(client, command)
    verb, subresource = _VERBS.get(command.verb, (None, ""))
    needs = await _reads(client, command)
    if command.verb == "patch":
        subresource = command.flag("subresource") or ""
    only_lists = command.has("list") and not command.args
    if verb is not None and not only_lists:
        needs += [Need(verb, need.group, need.resource, subresource, need.namespace, need.name) for need in needs]
    if command.manifest is not None:
        needs += await _manifest_needs(client, command)
    if command.verb in {"rollout undo", "rollout history"}:
        needs += await _history_needs(client, command)
    return needs


_VERBS: dict[str, tuple[str, str]] = {
    "scale": ("patch", "scale"),
    "delete": ("delete", ""),
    **dict.fromkeys(("label", "annotate", "patch", "taint", "cordon", "uncordon"), ("patch", "")),
    **dict.fromkeys(("set image", "set resources", "set serviceaccount", "set selector", "set subject"), ("patch", "")),
    **dict.fromkeys(("rollout restart", "rollout undo", "rollout pause", "rollout resume"), ("patch", "")),
}
"""What a verb takes besides reading its objects: the API's verb and subresource."""


async def _reads(client: ClusterClient, command: Command) -> list[Need]:
    namespace = namespace_of(client, command)
    if command.names:
        words = [(await resolve(client, target.resource), target.name) for target in command.targets]
    else:
        words = [(resource, None) for resource in await resources_of(client, command)]
    return [_need("get" if name else "list", resource, namespace, name) for resource, name in words]


def _need(verb: str, resource: ApiResource, namespace: str | None, name: str | None = None) -> Need:
    if resource.qualified == "namespaces":
        # To the API server a namespace lies within itself, so that a RoleBinding there reaches it.
        return Need(verb, "", "namespaces", "", name, name)
    return Need(verb, resource.group, resource.plural, "", namespace if resource.namespaced else None, name)


async def _manifest_needs(client: ClusterClient, command: Command) -> list[Need]:
    """What create and delete take, and apply: get and patch, and create for what is not there yet."""
    needs: list[Need] = []
    try:
        values = await asyncio.to_thread(read_manifest, command.manifest or "")
    except ManifestBroken:
        return []  # planning says so, with the line
    for value in values:
        resource = await resolve_object(client, value["apiVersion"], value["kind"])
        metadata = value["metadata"]
        namespace = metadata.get("namespace") or namespace_of(client, command)
        name = metadata.get("name")
        if command.verb == "create":
            needs.append(_need("create", resource, namespace))
            continue
        if command.verb == "delete":
            needs += [_need(verb, resource, namespace, name) for verb in ("get", "delete")]
            continue
        if command.verb == "replace":
            put = _need("update", resource, namespace, name)
            needs += [_need("get", resource, namespace, name), replace(put, subresource=command.flag("subresource") or "")]
            continue
        needs += [_need(verb, resource, namespace, name) for verb in ("get", "patch")]
        if not await _exists(client, resource, namespace, name):
            needs.append(_need("create", resource, namespace))
    return needs


async def _exists(client: ClusterClient, resource: ApiResource, namespace: str | None, name: str) -> bool:
    try:
        await client.get(resource.path(namespace, name))
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return error.status == 403
    return True


async def _history_needs(client: ClusterClient, command: Command) -> list[Need]:
    namespace = namespace_of(client, command)
    kinds = {"deployments": "replicasets", "statefulsets": "controllerrevisions", "daemonsets": "controllerrevisions"}
    return [Need("list", "apps", kinds[word], "", namespace) for word in command.resources if word in kinds]


async def _env_needs(client: ClusterClient, command: Command) -> list[Need]:
    """What is read is listed or named; --from reads the keys of its source."""
    needs = await _reads(client, command)
    if not command.has("list"):
        needs += [Need("patch", need.group, need.resource, "", need.namespace, need.name) for need in needs]
    if source := command.flag("from"):
        word, _, name = source.partition("/")
        resource = await resolve(client, word)
        needs.append(_need("get" if name else "list", resource, namespace_of(client, command), name or None))
    return needs


async def _maker_needs(client: ClusterClient, command: Command) -> list[Need]:
    """`create KIND`, `run`, `expose`, `autoscale`: to read what they start from, and to create."""
    namespace = namespace_of(client, command)
    needs = await _reads(client, command) if command.targets else []
    if command.verb == "create job" and (source := command.flag("from")):
        word, _, name = source.partition("/")
        needs.append(_need("get", await resolve(client, word), namespace, name))
    made = [GENERATORS[command.verb][0], *(["services"] if command.has("expose") else [])]
    return [*needs, *[_need("create", await resolve(client, word), namespace) for word in made]]


async def _drain_needs(client: ClusterClient, command: Command) -> list[Need]:
    """The node, and its pods wherever they are."""
    nodes = await _reads(client, command)
    goes = Need("delete", "", "pods") if command.has("disable-eviction") else Need("create", "", "pods", "eviction")
    pods = [Need("list", "", "pods"), Need("get", "", "pods"), Need("get", "apps", "daemonsets"), goes]
    return [*nodes, *(Need("patch", "", "nodes", name=need.name) for need in nodes), *pods]


async def _exec_needs(client: ClusterClient, command: Command) -> list[Need]:
    """Older servers ask for `get`, newer ones for `create`."""
    namespace = namespace_of(client, command)
    needs = await _reads(client, command)
    named = command.names[0] if command.resources == ("pods",) else None
    if named is None:
        needs.append(Need("list", "", "pods", "", namespace))
    return [*needs, *(Need(verb, "", "pods", "exec", namespace, named) for verb in ("get", "create"))]


async def _log_needs(client: ClusterClient, command: Command) -> list[Need]:
    namespace = namespace_of(client, command)
    needs = await _reads(client, command)
    by_name = command.resources == ("pods",) and command.names
    if not by_name:
        needs.append(Need("list", "", "pods", "", namespace))
    return [*needs, Need("get", "", "pods", "log", namespace, command.names[0] if by_name else None)]


async def _top_pod_needs(client: ClusterClient, command: Command) -> list[Need]:
    return _metrics(command, namespace_of(client, command), "pods")


async def _top_node_needs(client: ClusterClient, command: Command) -> list[Need]:
    return [
        *_metrics(command, None, "nodes"),
        *(Need(need.verb, "", "nodes", "", None, need.name) for need in _metrics(command, None, "nodes")),
    ]


def _metrics(command: Command, namespace: str | None, resource: str) -> list[Need]:
    names: Iterable[str | None] = command.names or (None,)
    return [Need("get" if name else "list", "metrics.k8s.io", resource, "", namespace, name) for name in names]


async def _event_needs(client: ClusterClient, command: Command) -> list[Need]:
    return [Need("list", "", "events", "", namespace_of(client, command))]


async def _nothing(client: ClusterClient, command: Command) -> list[Need]:
    return []


_SPECIAL: dict[str, Callable[[ClusterClient, Command], Awaitable[list[Need]]]] = {
    "logs": _log_needs,
    "set env": _env_needs,
    "drain": _drain_needs,
    "exec": _exec_needs,
    **dict.fromkeys(GENERATORS, _maker_needs),
    "top pods": _top_pod_needs,
    "top nodes": _top_node_needs,
    "events": _event_needs,
    **dict.fromkeys(("auth can-i", "auth whoami", "version", "cluster-info", "api-resources", "api-versions"), _nothing),
}


# --- the built-in roles ---------------------------------------------------------------------------------------------------

# The default ClusterRoles view, edit and admin of Kubernetes (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go), written
# `group: resources`; core is the empty group. cluster-admin has everything.
_VIEW = """
core: bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims
core: persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale
core: replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status
apps: controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets
apps: replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status
autoscaling: horizontalpodautoscalers horizontalpodautoscalers/status
batch: cronjobs cronjobs/status jobs jobs/status
discovery.k8s.io: endpointslices
events.k8s.io: events
networking.k8s.io: ingresses ingresses/status networkpolicies
policy: poddisruptionbudgets poddisruptionbudgets/status
resource.k8s.io: resourceclaims resourceclaims/status resourceclaimtemplates
metrics.k8s.io: pods nodes
"""
_EDIT = """
core: configmaps events persistentvolumeclaims pods pods/attach pods/eviction pods/exec pods/portforward pods/proxy
core: replicationcontrollers replicationcontrollers/scale secrets serviceaccounts serviceaccounts/token services services/proxy
apps: daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale
autoscaling: horizontalpodautoscalers
batch: cronjobs jobs
coordination.k8s.io: leases
events.k8s.io: events
networking.k8s.io: ingresses networkpolicies
policy: poddisruptionbudgets
resource.k8s.io: resourceclaims resourceclaimtemplates
"""
_ADMIN = """
authorization.k8s.io: localsubjectaccessreviews
rbac.authorization.k8s.io: roles rolebindings
"""


def _resources(table: str) -> frozenset[tuple[str, str]]:
    lines = (line.split(": ") for line in table.strip().splitlines())
    return frozenset(("" if group == "core" else group, resource) for group, names in lines for resource in names.split())


_VIEWED, _EDITED, _ADMINISTERED = _resources(_VIEW), _resources(_EDIT), _resources(_ADMIN)


def least_role(need: Need) -> str:
    """The least of view, edit, admin and cluster-admin that has the right, where cluster-wide ones are bound cluster-wide."""
    resource = (need.group, f"{need.resource}/{need.subresource}" if need.subresource else need.resource)
    if need.verb in _READS and resource in _VIEWED:
        return "view"
    if resource in _EDITED:
        return "edit"
    if resource in _ADMINISTERED:
        return "admin"
    return "cluster-admin"
