"""The real kubectl works against the practice cluster."""

from __future__ import annotations

import pytest

from k8s.sandbox import Sandbox
from tests.k8s.sandbox.kubectl import KubectlFailed, KubectlRunner

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
spec:
  replicas: 2
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: web, image: "nginx:1.27", ports: [{containerPort: 80}]}]}
"""


async def web(kubectl: KubectlRunner, name: str) -> None:
    assert "created" in await kubectl("alice", "apply", "-f", "-", stdin=WEB.replace("NAME", name))
    assert "successfully rolled out" in await kubectl("alice", "rollout", "status", "deploy", name, "-n", "shop", "--timeout=20s")


READS = [
    (["get", "nodes"], "control-plane"), (["get", "nodes", "-o", "wide"], "containerd://"), (["get", "all", "-A"], "deployment.apps/checkout"),
    (["get", "pods", "-A", "-o", "wide"], "worker-1"), (["get", "deploy", "checkout", "-n", "shop", "-o", "yaml"], "kind: Deployment"),
    (["get", "pods", "-n", "shop", "-l", "app=checkout", "-o", "name"], "pod/checkout-"), (["get", "pods", "-n", "shop", "--field-selector", "status.phase=Succeeded"], "migrate-"),
    (["get", "pods", "-n", "shop", "-o", "jsonpath={.items[*].metadata.name}"], "redis-0"), (["get", "pods", "-A", "--sort-by=.metadata.name"], "redis-0"),
    (["get", "events", "-n", "shop"], "ScalingReplicaSet"), (["events", "-n", "shop"], "Scheduled"), (["get", "pvc,pv", "-n", "payments"], "data-postgres-0"),
    (["get", "ingress,svc,ep,endpointslices,netpol", "-n", "shop"], "shop.example.com"), (["get", "cm,secrets,sa,roles,rolebindings", "-n", "shop"], "shop-settings"), (["get", "hpa,pdb,cj,job", "-n", "shop"], "Deployment/catalog"),
    (["get", "clusterroles"], "cluster-admin"), (["get", "sc"], "standard (default)"), (["get", "quota", "-n", "staging"], "requests.cpu: 50m/2"), (["get", "crd"], "No resources found"),
    (["describe", "deploy", "checkout", "-n", "shop"], "MinimumReplicasAvailable"), (["describe", "pod", "redis-0", "-n", "shop"], "Controlled By:  StatefulSet/redis"),
    (["describe", "node", "worker-1"], "Allocated resources"), (["describe", "svc", "checkout", "-n", "shop"], "Endpoints:"), (["describe", "sts", "redis", "-n", "shop"], "2 desired | 2 total"),
    (["describe", "hpa", "catalog", "-n", "shop"], "35% (35m) / 70%"), (["describe", "pvc", "data-postgres-0", "-n", "payments"], "Bound"), (["describe", "quota", "-n", "staging"], "requests.cpu"),
    (["describe", "ns", "shop"], "Status:       Active"), (["describe", "cronjob", "report", "-n", "shop"], "0 2 * * *"), (["describe", "ingress", "shop", "-n", "shop"], "frontend:http"),
    (["logs", "deploy/checkout", "-n", "shop"], "listening on :8080"), (["logs", "redis-0", "-n", "shop", "--timestamps", "--tail=1"], "Z "), (["logs", "-l", "app=checkout", "-n", "shop", "--prefix"], "[pod/checkout-"),
    (["top", "nodes"], "CPU(cores)"), (["top", "pods", "-n", "shop", "--containers"], "checkout"), (["top", "pods", "-A", "--sum"], "Mi"),
    (["rollout", "history", "deploy/checkout", "-n", "shop"], "2         <none>"), (["rollout", "history", "deploy/checkout", "-n", "shop", "--revision=1"], "checkout:2.4.0"), (["rollout", "status", "sts/redis", "-n", "shop"], "complete"), (["rollout", "status", "ds/log-agent", "-n", "shop"], "successfully rolled out"),
    (["explain", "deployment.spec.replicas"], "Number of desired pods"), (["explain", "pods", "--recursive"], "containers"), (["api-resources"], "poddisruptionbudgets"), (["api-versions"], "apps/v1"), (["version"], "Server Version: v1.36"), (["cluster-info"], "is running at"),
    (["auth", "can-i", "delete", "nodes"], "yes"), (["auth", "can-i", "--list"], "*.*"), (["auth", "whoami"], "system:masters"), (["wait", "--for=condition=Available", "deploy/checkout", "-n", "shop", "--timeout=10s"], "condition met"),
    (["get", "--raw", "/healthz"], "ok"), (["diff", "-f", "-"], ""), (["exec", "redis-0", "-n", "shop", "--", "hostname"], "redis-0"), (["exec", "deploy/checkout", "-n", "shop", "--", "sh", "-c", "echo $LOG_LEVEL; cat /etc/hostname"], "info\ncheckout-"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), READS, ids=[" ".join(words) for words, _ in READS])
async def test_kubectl_reads(kubectl: KubectlRunner, words: list[str], said: str) -> None:
    same = await kubectl("admin", "get", "cm", "shop-settings", "-n", "shop", "-o", "yaml")
    assert said in await kubectl("admin", *words, stdin=same)


async def test_kubectl_creates_changes_and_deletes(kubectl: KubectlRunner, cluster: Sandbox) -> None:
    said = {
        "create deployment one --image=nginx:1.27 --replicas=2 -n shop": "created",
        "rollout status deploy/one -n shop --timeout=20s": "successfully",
        "expose deploy/one --port=80 -n shop": "exposed",
        "scale deploy/one --replicas=4 -n shop": "scaled",
        "set image deploy/one nginx=nginx:1.28 -n shop": "image updated",
        "set env deploy/one A=b -n shop": "env updated",
        "set resources deploy/one --limits=memory=64Mi -n shop": "resource requirements updated",
        "label deploy/one tier=x -n shop": "labeled",
        "annotate deploy/one note=hello -n shop": "annotated",
        "autoscale deploy/one --min=1 --max=3 -n shop": "autoscaled",
        "rollout pause deploy/one -n shop": "paused",
        "rollout resume deploy/one -n shop": "resumed",
        "rollout restart deploy/one -n shop": "restarted",
        "rollout status deploy/one -n shop --timeout=20s ": "successfully",
        "rollout undo deploy/one -n shop": "rolled back",
        "create configmap c --from-literal=a=b -n shop": "created",
        "create secret generic s --from-literal=a=b -n shop": "created",
        "create job j --image=busybox -n shop -- echo hello": "created",
        "wait --for=condition=complete job/j -n shop --timeout=20s": "condition met",
        "create job manual --from=cronjob/report -n shop": "created",
        "create serviceaccount robot -n shop": "created",
        "create token default -n shop": "practice-sa-",
        "create quota q --hard=pods=50 -n shop": "created",
        "create role r --verb=get --resource=pods -n shop": "created",
        "create rolebinding rb --role=r --user=erin -n shop": "created",
        "run once --image=busybox --restart=Never -n shop -- date": "created",
        "wait --for=jsonpath={.status.phase}=Succeeded pod/once -n shop --timeout=20s": "condition met",
        "patch deploy one -n shop -p {\"spec\":{\"replicas\":1}}": "patched",
        "patch deploy one -n shop --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":2}]": "patched",
        "delete deploy,svc,hpa one -n shop": "deleted",
        "delete quota,role,rolebinding,cm,secret --all -n staging": "deleted",
        "create namespace brief": "created",
        "delete namespace brief": "deleted",
        "taint nodes worker-3 k=v:NoSchedule": "tainted",
        "taint nodes worker-3 k-": "untainted",
        "cordon worker-3": "cordoned",
        "drain worker-3 --ignore-daemonsets --delete-emptydir-data --timeout=40s": "drained",
        "uncordon worker-3": "uncordoned",
    }  # fmt: skip
    for line, expected in said.items():
        assert expected in await kubectl("admin", *line.split()), line
    await cluster.settle()
    assert cluster.get("deployments.apps", "one", "shop") is None
    assert cluster.get("namespaces", "brief") is None


async def test_rollback_reuses_the_old_replica_set_with_a_new_revision(kubectl: KubectlRunner, cluster: Sandbox) -> None:
    await web(kubectl, "back")
    first = [one for one in cluster.snapshot() if one["kind"] == "ReplicaSet" and one["metadata"]["name"].startswith("back-")]
    await kubectl("alice", "set", "image", "deploy/back", "web=nginx:2", "-n", "shop")
    await kubectl("alice", "rollout", "status", "deploy/back", "-n", "shop", "--timeout=20s")
    await kubectl("alice", "rollout", "undo", "deploy/back", "-n", "shop")
    await kubectl("alice", "rollout", "status", "deploy/back", "-n", "shop", "--timeout=20s")
    again = cluster.get("replicasets.apps", first[0]["metadata"]["name"], "shop")
    assert again is not None
    assert again["spec"]["replicas"] == 2
    assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_apply_three_times_keeps_what_others_set(kubectl: KubectlRunner, cluster: Sandbox) -> None:
    await web(kubectl, "applied")
    await kubectl("alice", "scale", "deploy/applied", "--replicas=5", "-n", "shop")
    without = WEB.replace("NAME", "applied").replace("  replicas: 2\n", "")
    assert "configured" in await kubectl("alice", "apply", "-f", "-", stdin=without + "  minReadySeconds: 1\n")
    found = cluster.get("deployments.apps", "applied", "shop")
    assert found is not None
    assert found["spec"]["minReadySeconds"] == 1
    assert "unchanged" in await kubectl("alice", "apply", "-f", "-", stdin=without + "  minReadySeconds: 1\n")


async def test_server_side_apply_names_the_manager_in_the_way(kubectl: KubectlRunner) -> None:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owned, namespace: shop}\ndata: {a: 'VALUE'}\n"
    apply = ["apply", "--server-side", "-f", "-"]
    assert "serverside-applied" in await kubectl("alice", *apply, "--field-manager=first", stdin=settings.replace("VALUE", "1"))
    with pytest.raises(KubectlFailed, match=r'conflict with "first".*\.data\.a'):
        await kubectl("alice", *apply, "--field-manager=second", stdin=settings.replace("VALUE", "2"))
    await kubectl("alice", *apply, "--field-manager=second", "--force-conflicts", stdin=settings.replace("VALUE", "2"))


DENIED = [
    ("carol", ["delete", "deploy", "checkout", "-n", "shop"],
     'deployments.apps "checkout" is forbidden: User "carol" cannot delete resource "deployments" in API group "apps" in the namespace "shop"'),
    ("carol", ["get", "secrets", "-n", "payments"], 'User "carol" cannot list resource "secrets" in API group "" in the namespace "payments"'),
    ("dave", ["get", "pods", "-n", "payments"], 'User "dave" cannot list resource "pods"'),
    ("alice", ["delete", "deploy", "ledger", "-n", "payments"], 'User "alice" cannot delete resource "deployments"'),
    ("alice", ["drain", "worker-1"], 'User "alice" cannot patch resource "nodes" in API group "" at the cluster scope'),
    ("erin", ["get", "pods"], 'User "erin" cannot list resource "pods" in API group "" in the namespace "default"'),
    ("alice", ["create", "deployment", "bad_name", "--image=x", "-n", "shop"], "a lowercase RFC 1123 subdomain must consist of"),
    ("alice", ["get", "pod", "nothing", "-n", "shop"], 'pods "nothing" not found'),
    ("alice", ["create", "cm", "shop-settings", "-n", "shop"], 'configmaps "shop-settings" already exists'),
    ("alice", ["logs", "redis-0", "-c", "nothing", "-n", "shop"], "container nothing is not valid for pod redis-0"),
    ("alice", ["create", "rolebinding", "x", "--clusterrole=admin", "--user=alice", "-n", "shop"], "cannot create resource"),
]  # fmt: skip


@pytest.mark.parametrize(("person", "words", "said"), DENIED, ids=[" ".join(words) for _, words, _ in DENIED])
async def test_kubectl_is_refused_in_the_servers_words(kubectl: KubectlRunner, person: str, words: list[str], said: str) -> None:
    with pytest.raises(KubectlFailed) as refused:
        await kubectl(person, *words)
    assert said in str(refused.value)


async def test_unknown_field_is_refused_by_kubectl_create(kubectl: KubectlRunner) -> None:
    with pytest.raises(KubectlFailed, match=r'strict decoding error: unknown field "spec\.replica"'):
        await kubectl("alice", "create", "-f", "-", stdin=WEB.replace("NAME", "strict").replace("replicas", "replica"))


async def test_custom_resources_are_served_with_their_own_columns(kubectl: KubectlRunner) -> None:
    crd = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
      additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, required: [size], properties: {size: {type: integer, minimum: 1}, colour: {type: string, default: blue}}}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
    await kubectl("admin", "apply", "-f", "-", stdin=crd)
    await kubectl("admin", "wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {size: 3}\n"
    await kubectl("admin", "apply", "-f", "-", stdin=widget)
    assert "SIZE" in await kubectl("admin", "get", "wd", "-n", "shop")
    assert "blue" in await kubectl("admin", "get", "widget", "w", "-n", "shop", "-o", "jsonpath={.spec.colour}")
    assert "scaled" in await kubectl("admin", "scale", "widget/w", "--replicas=7", "-n", "shop")
    assert "7" in await kubectl("admin", "get", "widget", "w", "-n", "shop", "-o", "jsonpath={.spec.size}")
    with pytest.raises(KubectlFailed, match="should be greater than or equal to 1"):
        await kubectl("admin", "patch", "widget", "w", "-n", "shop", "--type=merge", "-p", '{"spec":{"size":0}}')
    await kubectl("admin", "delete", "crd", "widgets.example.com")
    with pytest.raises(KubectlFailed, match=r"doesn't have a resource type|could not find"):
        await kubectl("admin", "get", "widgets", "-n", "shop")
