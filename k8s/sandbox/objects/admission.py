"""What happens to an object between its defaults and the store: namespaces, service accounts, limits, quotas, addresses.

These are the admission plugins that a cluster runs by default, as far as they show: NamespaceLifecycle, ServiceAccount,
DefaultTolerationSeconds, Priority, LimitRanger, ResourceQuota, DefaultStorageClass, and the Service address allocators.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from decimal import Decimal

from k8s.sandbox.objects import errors, units
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.podsecurity import violations
from k8s.sandbox.objects.store import Store

KUBE_ACCESS = "/var/run/secrets/kubernetes.io/serviceaccount"
STATIC_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
# resource id → quota names that count its objects, beside count/<resource>.<group>
COUNTED = {
    name: name for name in ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers")
} | {"resourcequotas": "resourcequotas"}
NODE_PORTS = range(30000, 32768)


class Admission:
    """Looks at the rest of the cluster to complete or refuse an object."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next_ip = 0
        self.default_accounts = True  # off while manifests are loaded

    # NamespaceLifecycle

    def namespace_open(self, kind: Kind, obj: Json) -> None:
        """404 where the namespace is missing, 403 where it is being deleted."""
        if not kind.namespaced:
            return
        name = obj["metadata"].get("namespace", "")
        namespace = self._store.get("namespaces", "", name)
        if namespace is None:
            raise errors.not_found("namespaces", "", name)
        if namespace["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {name} because it is being terminated"
            refused = errors.forbidden(kind.resource, kind.group, obj["metadata"].get("name", ""), why)
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated"}
            refused.details = {**(refused.details or {}), "causes": [{**cause, "field": "metadata.namespace"}]}
            raise refused

    # changes made to new objects

    def change(self, kind: Kind, obj: Json) -> None:
        """Complete a new object, in place."""
        if kind.id == "pods":
            self._service_account(obj)
            self._tolerations(obj["spec"])
            self._priority(obj)
            self._limit_ranges(obj)
            obj.setdefault("status", {})["qosClass"] = qos_class(obj["spec"])
        elif kind.id == "persistentvolumeclaims":
            self._storage_class(obj)
        elif kind.id == "services":
            self._reuse_addresses(obj, None)

    def keep(self, kind: Kind, obj: Json, old: Json) -> None:
        """Complete a replaced object with what was allotted to the old one, in place."""
        if kind.id == "services":
            self._reuse_addresses(obj, old)

    def _service_account(self, pod: Json) -> None:
        spec, meta = pod["spec"], pod["metadata"]
        name = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = name
        account = self._store.get("serviceaccounts", meta["namespace"], name)
        if account is None and (name != "default" or self.default_accounts):
            why = f'error looking up service account {meta["namespace"]}/{name}: serviceaccount "{name}" not found'
            raise errors.forbidden("pods", "", meta.get("name", ""), why)
        account = account or {}
        if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)) is not False:
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = copy.deepcopy(account["imagePullSecrets"])

    @staticmethod
    def _tolerations(spec: Json) -> None:
        listed = spec.setdefault("tolerations", [])
        for state in ("not-ready", "unreachable"):
            key = f"node.kubernetes.io/{state}"
            if not any(one.get("key") in (key, None, "") and one.get("effect") in ("NoExecute", None, "") for one in listed):
                listed.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})

    def _priority(self, pod: Json) -> None:
        spec = pod["spec"]
        name = spec.get("priorityClassName")
        policy = "PreemptLowerPriority"
        if name in STATIC_PRIORITIES:
            spec["priority"] = STATIC_PRIORITIES[name]
        elif name:
            found = self._store.get("priorityclasses.scheduling.k8s.io", "", name)
            if found is None:
                why = f"no PriorityClass with name {name} was found"
                raise errors.forbidden("pods", "", pod["metadata"].get("name", ""), why)
            spec["priority"], policy = found["value"], found.get("preemptionPolicy", policy)
        else:
            spec.setdefault("priority", 0)
        spec.setdefault("preemptionPolicy", policy)

    def _limit_ranges(self, pod: Json) -> None:
        """LimitRanger's defaults and bounds for containers."""
        for limits in self._store.each("limitranges", pod["metadata"]["namespace"]):
            for item in limits["spec"].get("limits") or ():
                if item.get("type") == "Container":
                    for one in pod["spec"].get("containers") or ():
                        _default_limits(one, item)
                    self._within(pod, item)

    @staticmethod
    def _within(pod: Json, item: Json) -> None:
        faults: list[str] = []
        for one in pod["spec"].get("containers") or ():
            resources = one.get("resources") or {}
            for name, bound in (item.get("max") or {}).items():
                limit = (resources.get("limits") or {}).get(name)
                if limit is None:
                    faults.append(f"maximum {name} usage per Container is {bound}.  No limit is specified")
                elif units.quantity(limit) > units.quantity(bound):
                    faults.append(f"maximum {name} usage per Container is {bound}, but limit is {limit}")
            for name, bound in (item.get("min") or {}).items():
                request = (resources.get("requests") or {}).get(name)
                if request is None:
                    faults.append(f"minimum {name} usage per Container is {bound}.  No request is specified")
                elif units.quantity(request) < units.quantity(bound):
                    faults.append(f"minimum {name} usage per Container is {bound}, but request is {request}")
        if faults:
            text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
            raise errors.forbidden("pods", "", pod["metadata"].get("name", ""), text)

    def _storage_class(self, claim: Json) -> None:
        if claim["spec"].get("storageClassName") is not None:
            return
        for one in self._store.each("storageclasses.storage.k8s.io"):
            if (one["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true":
                claim["spec"]["storageClassName"] = one["metadata"]["name"]

    # Service addresses

    def _reuse_addresses(self, service: Json, old: Json | None) -> None:
        spec, was = service["spec"], (old or {}).get("spec") or {}
        if spec.get("type") == "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
            return
        if spec.get("clusterIP") is None and was.get("clusterIP"):
            spec["clusterIP"] = was["clusterIP"]
        if spec.get("clusterIP"):
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            before = {(one.get("name"), one.get("port")): one.get("nodePort") for one in was.get("ports") or ()}
            for port in spec.get("ports") or ():
                kept = before.get((port.get("name"), port.get("port")))
                if not port.get("nodePort") and kept:
                    port["nodePort"] = kept
        elif was.get("type") in ("NodePort", "LoadBalancer"):
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)

    def allot(self, kind: Kind, obj: Json) -> None:
        """Give a Service that is about to be kept its addresses and ports, in place."""
        if kind.id != "services" or obj["spec"].get("type") == "ExternalName":
            return
        spec = obj["spec"]
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._address()
        spec["clusterIPs"] = spec.get("clusterIPs") or [spec["clusterIP"]]
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            self._node_ports(spec, obj["metadata"]["name"])

    def _address(self) -> str:
        taken = {one["spec"].get("clusterIP") for one in self._store.each("services")}
        while True:
            self._next_ip += 37
            place = self._next_ip % 65000 + 2
            address = f"10.96.{place // 256}.{place % 256}"
            if address not in taken:
                return address

    def _node_ports(self, spec: Json, name: str) -> None:
        listed = [port for one in self._store.each("services") for port in one["spec"].get("ports") or ()]
        taken = {port.get("nodePort") for port in listed}
        for place, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort")
            if wanted and wanted not in NODE_PORTS:
                fault = "provided port is not in the valid range. The range of valid ports is 30000-32767"
                cause = errors.invalid(f"spec.ports[{place}].nodePort", wanted, fault)
                raise errors.invalid_object("Service", "", name, [cause])
            if not wanted:
                start = secrets.randbelow(len(NODE_PORTS))
                free = (NODE_PORTS[(start + step) % len(NODE_PORTS)] for step in range(len(NODE_PORTS)))
                port["nodePort"] = next(one for one in free if one not in taken)
                taken.add(port["nodePort"])

    # PodSecurity

    def secure(self, kind: Kind, obj: Json, warnings: list[str]) -> None:
        """403 for a pod that breaks its namespace's standard; warnings where it, or what will make it, would."""
        spec = obj.get("spec") if kind.id == "pods" else _template_spec(obj)
        if not spec or not kind.namespaced:
            return
        namespace = self._store.get("namespaces", "", obj["metadata"].get("namespace", "")) or {"metadata": {}}
        labels = namespace["metadata"].get("labels") or {}
        broken = violations(labels, "enforce", spec) if kind.id == "pods" else ""
        if broken:
            why = broken.replace("violate ", "violates ", 1)
            raise errors.forbidden(kind.resource, kind.group, obj["metadata"].get("name", ""), why)
        warned = violations(labels, "warn", spec)
        if warned:
            warnings.append(f"would {warned}")

    # ResourceQuota

    def check(self, kind: Kind, obj: Json, old: Json | None) -> None:
        """403 where a quota of the namespace would be passed."""
        if not kind.namespaced or (kind.id == "resourcequotas" and old is not None):
            return
        namespace = obj["metadata"].get("namespace", "")
        for quota in self._store.each("resourcequotas", namespace):
            hard = quota["spec"].get("hard") or {}
            more = usage(kind.id, obj)
            less = usage(kind.id, old) if old else {}
            wanted = {name: more.get(name, Decimal(0)) - less.get(name, Decimal(0)) for name in hard if name in more}
            self._must_say(kind, obj, hard, quota)
            self._within_quota(kind, obj, quota, {name: one for name, one in wanted.items() if one > 0})

    @staticmethod
    def _must_say(kind: Kind, obj: Json, hard: Json, quota: Json) -> None:
        """A quota of compute resources wants every container to state them."""
        if kind.id != "pods":
            return
        missing: dict[str, list[str]] = {}
        for name in hard:
            field, resource = _compute(name)
            for one in obj["spec"].get("containers") or () if field else ():
                if resource not in ((one.get("resources") or {}).get(field) or {}):
                    missing.setdefault(name, []).append(one["name"])
        if missing:
            listed = "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
            why = f"failed quota: {quota['metadata']['name']}: must specify {listed}"
            raise errors.forbidden("pods", "", obj["metadata"].get("name", ""), why)

    def _within_quota(self, kind: Kind, obj: Json, quota: Json, wanted: dict[str, Decimal]) -> None:
        if not wanted:
            return
        hard = quota["spec"]["hard"]
        used = self.used(obj["metadata"]["namespace"], set(wanted))
        over = sorted(name for name in wanted if used[name] + wanted[name] > units.quantity(hard[name]))
        if over:
            asked = ",".join(f"{name}={units.format_quantity(wanted[name], hard[name])}" for name in over)
            have = ",".join(f"{name}={units.format_quantity(used[name], hard[name])}" for name in over)
            limit = ",".join(f"{name}={hard[name]}" for name in over)
            name = quota["metadata"]["name"]
            why = f"exceeded quota: {name}, requested: {asked}, used: {have}, limited: {limit}"
            raise errors.forbidden(kind.resource, kind.group, obj["metadata"].get("name", ""), why)

    def used(self, namespace: str, names: set[str]) -> dict[str, Decimal]:
        """What the namespace uses now of each quota name."""
        total = dict.fromkeys(names, Decimal(0))
        for resource in {_counted_resource(name) for name in names}:
            for obj in self._store.each(resource, namespace):
                for name, amount in usage(resource, obj).items():
                    if name in total:
                        total[name] += amount
        return total


def _template_spec(obj: Json) -> Json:
    """The pod spec in a workload's template; {} for what has none."""
    spec = obj.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    inner = (spec.get("jobTemplate") or {}).get("spec") or spec
    template = inner.get("template")
    found: Json = (template.get("spec") if isinstance(template, dict) else None) or {}
    return found if "containers" in found else {}


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, from what the containers ask for and may use."""
    listed = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asks = [(one.get("resources") or {}) for one in listed]
    if not any((one.get("requests") or one.get("limits")) for one in asks):
        return "BestEffort"
    for one in asks:
        limits, requests = one.get("limits") or {}, one.get("requests") or {}
        for name in ("cpu", "memory"):
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                return "Burstable"
    return "Guaranteed"


def _mount_token(spec: Json) -> None:
    """The volume with the service account's token, mounted into every container that has none there."""
    if any(one["name"].startswith("kube-api-access-") for one in spec.get("volumes") or ()):
        return
    name = "kube-api-access-" + secrets.token_hex(3)[:5]
    mounted = False
    for one in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = one.setdefault("volumeMounts", [])
        if not any(mount.get("mountPath") == KUBE_ACCESS for mount in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": KUBE_ACCESS})
            mounted = True
    if not mounted:
        return
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    authority = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    field = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [token, authority, {"downwardAPI": {"items": [field]}}]
    spec.setdefault("volumes", []).append({"name": name, "projected": {"sources": sources, "defaultMode": 420}})


def _default_limits(container: Json, item: Json) -> None:
    resources = container.setdefault("resources", {})
    for target, source in (("limits", "default"), ("requests", "defaultRequest")):
        for name, value in (item.get(source) or {}).items():
            resources.setdefault(target, {}).setdefault(name, value)


def _compute(name: str) -> tuple[str, str]:
    """(`requests`, `cpu`) for a quota name of compute resources, else two empty strings."""
    field, _, resource = name.partition(".")
    if name in ("cpu", "memory"):
        return "requests", name
    return (field, resource) if field in ("requests", "limits") and resource in ("cpu", "memory") else ("", "")


def _counted_resource(name: str) -> str:
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name.startswith("services."):
        return "services"
    if "storage" in name:
        return "persistentvolumeclaims"
    return COUNTED.get(name, "pods")


def usage(resource: str, obj: Json | None) -> dict[str, Decimal]:
    """What one object counts for in every quota name."""
    if obj is None or (resource == "pods" and (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed")):
        return {}
    found = {f"count/{resource}": Decimal(1)}
    if resource in COUNTED:
        found[COUNTED[resource]] = Decimal(1)
    if resource == "pods":
        found |= dict(_pod_usage(obj["spec"]))
    elif resource == "services":
        kind = obj["spec"].get("type")
        found["services.nodeports"] = Decimal(len(obj["spec"].get("ports") or ()) if kind != "ClusterIP" else 0)
        found["services.loadbalancers"] = Decimal(kind == "LoadBalancer")
    elif resource == "persistentvolumeclaims":
        asked = ((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
        found["requests.storage"] = units.quantity(asked)
    return found


def _pod_usage(spec: Json) -> Iterator[tuple[str, Decimal]]:
    for field in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            total = pod_amount(spec, field, resource)
            yield f"{field}.{resource}", total
            if field == "requests":
                yield resource, total


def pod_amount(spec: Json, field: str, resource: str) -> Decimal:
    """What a pod asks for (`requests`) or may use (`limits`) of a resource, over all its containers."""

    def of(one: Json) -> Decimal:
        return units.quantity(((one.get("resources") or {}).get(field) or {}).get(resource, "0"))

    running = sum((of(one) for one in spec.get("containers") or ()), Decimal(0))
    return max([running, *(of(one) for one in spec.get("initContainers") or ())])
