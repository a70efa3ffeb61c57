"""Writes: what they leave behind, what they send, and what binds them to the objects that were seen."""

import asyncio
import json
import re
from typing import Any

import pytest

from k8s.change import send
from k8s.denials import denials
from k8s.errors import ApiError, CommandInvalid, PartlyDone, explain
from k8s.execute import send_all
from k8s.live import dig
from k8s.plan import plan_changes
from tests.clusters import SECRET_VALUE, SHOP, LiveCluster, command, exists, until


def deployment(namespace: str, name: str = "checkout") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


IMAGES = ("spec", "template", "spec", "containers")

WRITES: list[tuple[str, str, tuple[str | int, ...], Any]] = [
    ("scale deploy checkout --replicas=5", "deployment.apps/checkout scaled", ("spec", "replicas"), 5),
    ("scale deploy -l app=checkout --replicas=2", "deployment.apps/checkout scaled", ("spec", "replicas"), 2),
    ("scale deploy checkout --replicas=1 --current-replicas=3", "deployment.apps/checkout scaled", ("spec", "replicas"), 1),
    ("label deploy checkout owner=team-a", "deployment.apps/checkout labeled", ("metadata", "labels", "owner"), "team-a"),
    ("label deploy checkout tier=db --overwrite", "deployment.apps/checkout labeled", ("metadata", "labels", "tier"), "db"),
    ("label deploy checkout tier-", "deployment.apps/checkout unlabeled", ("metadata", "labels", "tier"), None),
    ("label deploy checkout tier=web", "deployment.apps/checkout not labeled", ("metadata", "labels", "tier"), "web"),
    ("annotate deploy --all 'note=a b'", "deployment.apps/checkout annotated", ("metadata", "annotations", "note"), "a b"),
    ("set image deploy/checkout web=shop/checkout:2.0", "deployment.apps/checkout image updated", (*IMAGES, 0, "image"),
     "shop/checkout:2.0"),
    ("set image deploy/checkout *=shop/all:1", "deployment.apps/checkout image updated", (*IMAGES, 1, "image"), "shop/all:1"),
    ("rollout pause deploy/checkout", "deployment.apps/checkout paused", ("spec", "paused"), True),
    ("patch deploy checkout -p '{\"spec\":{\"replicas\":4}}'", "deployment.apps/checkout patched", ("spec", "replicas"), 4),
    ("patch deploy checkout -p '{\"spec\":{\"replicas\":3}}'", "deployment.apps/checkout patched (no change)", ("spec", "replicas"), 3),
    ("patch deploy checkout --type=merge -p 'metadata: {labels: {tier: null}}'", "deployment.apps/checkout patched",
     ("metadata", "labels", "tier"), None),
    ("patch deploy checkout --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":2}]'",
     "deployment.apps/checkout patched", ("spec", "replicas"), 2),
    ("patch deploy checkout --subresource=scale --type=merge -p 'spec: {replicas: 1}'", "scale.autoscaling/checkout patched",
     ("spec", "replicas"), 1),
    ("set env deploy/checkout -c sidecar LEVEL=debug", "deployment.apps/checkout env updated", (*IMAGES, 1, "env"),
     [{"name": "LEVEL", "value": "debug"}]),
    ("set env deploy/checkout DB_PASSWORD-", "deployment.apps/checkout env updated", (*IMAGES, 0, "env"), None),
    ("set env deploy/checkout -c sidecar --from=secret/db", "deployment.apps/checkout env updated", (*IMAGES, 1, "env", 0, "valueFrom"),
     {"secretKeyRef": {"name": "db", "key": "password"}}),
    ("set resources deploy/checkout --limits=cpu=200m", "deployment.apps/checkout resource requirements updated",
     (*IMAGES, 1, "resources", "limits"), {"cpu": "200m"}),
    ("set serviceaccount deploy/checkout robot", "deployment.apps/checkout serviceaccount updated",
     ("spec", "template", "spec", "serviceAccountName"), "robot"),
    ("scale deploy checkout --replicas=5 --dry-run=server", "deployment.apps/checkout scaled (server dry run)",
     ("spec", "replicas"), 3),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said", "path", "value"), WRITES)
async def test_write_leaves_what_was_asked(
    cluster: LiveCluster, line: str, said: str, path: tuple[str | int, ...], value: Any
) -> None:
    namespace = await cluster.namespace()
    result = await cluster.run("alice", f"{line} -n {namespace}")
    assert result.text == said
    live = await cluster.get(deployment(namespace))
    assert dig(live, *path) == value
    changes_something = not said.endswith(("not labeled", "(no change)", "(server dry run)"))
    assert [str(ref) for ref in result.changed] == (["deployments/checkout"] if changes_something else [])


UNDOABLE = [
    "scale deploy checkout --replicas=0",
    "label deploy checkout tier=db new=label --overwrite",
    "label deploy checkout tier-",
    "annotate deploy checkout note=hello",
    "set image deploy/checkout web=shop/checkout:9 sidecar=shop/proxy:9",
    "rollout pause deploy/checkout",
    'patch deploy checkout -p \'{"spec":{"replicas":1,"minReadySeconds":5},"metadata":{"labels":{"tier":"db"}}}\'',
    "patch deploy checkout --type=merge -p 'metadata: {labels: {tier: null, new: label}}'",
    'patch deploy checkout --type=json -p \'[{"op":"remove","path":"/metadata/labels/tier"}]\'',
    "patch deploy checkout --subresource=scale --type=merge -p 'spec: {replicas: 1}'",
    "patch deploy checkout -p 'spec: {template: {spec: {containers: [{name: sidecar, image: x:9}]}}}'",
    "set env deploy/checkout LEVEL=debug",
    "set resources deploy/checkout --limits=cpu=200m,memory=1Gi --requests=cpu=100m",
]


@pytest.mark.parametrize("line", UNDOABLE)
async def test_undo_gives_back_what_was(cluster: LiveCluster, line: str) -> None:
    namespace = await cluster.namespace()
    before = await cluster.get(deployment(namespace))
    result = await cluster.run("alice", f"{line} -n {namespace}")
    assert result.undo is not None
    assert wishes(await cluster.get(deployment(namespace))) != wishes(before)
    await cluster.run("alice", result.undo)
    assert wishes(await cluster.get(deployment(namespace))) == wishes(before)


def wishes(value: dict[str, Any]) -> Any:
    """What people set, without what controllers write."""
    annotations = {key: item for key, item in (value["metadata"].get("annotations") or {}).items() if "kubernetes.io" not in key}
    spec = {key: item for key, item in value["spec"].items() if key != "paused" or item}
    return spec, value["metadata"].get("labels"), annotations


async def test_restart_replaces_every_pod_and_rollback_takes_a_revision_back(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    before = {pod["metadata"]["uid"] for pod in await pods(cluster, namespace)}
    assert (
        await cluster.run("alice", f"rollout restart deploy/checkout -n {namespace}")
    ).text == "deployment.apps/checkout restarted"
    await cluster.rolled_out(namespace)
    assert not before & {pod["metadata"]["uid"] for pod in await pods(cluster, namespace)}
    await cluster.run("alice", f"set image deploy/checkout web=shop/checkout:2.0 -n {namespace}")
    await cluster.rolled_out(namespace)
    undone = await cluster.run("alice", f"rollout undo deploy/checkout -n {namespace}")
    assert undone.text == "deployment.apps/checkout rolled back"
    assert dig(await cluster.get(deployment(namespace)), *IMAGES, 0, "image") == "shop/checkout:1.0"
    assert undone.undo == f"kubectl rollout undo deployment checkout -n {namespace} --to-revision=3"
    await cluster.rolled_out(namespace)
    await cluster.run("alice", undone.undo)
    assert dig(await cluster.get(deployment(namespace)), *IMAGES, 0, "image") == "shop/checkout:2.0"


async def pods(cluster: LiveCluster, namespace: str) -> list[dict[str, Any]]:
    return await (await cluster.client("admin")).items(f"/api/v1/namespaces/{namespace}/pods")


async def test_broken_rollout_ends_in_time_and_says_so(cluster: LiveCluster) -> None:
    from k8s.client import Limits

    namespace = await cluster.namespace()
    await cluster.run("alice", f"set image deploy/checkout web=registry.invalid/x:1 -n {namespace}")
    result = await cluster.run("alice", f"rollout status deploy/checkout -n {namespace}", limits=Limits(seconds=2.0))
    assert "out of 3 new replicas have been updated" in result.text or "pending termination" in result.text
    assert result.truncated.startswith("Not finished after")


async def test_nodes_are_cordoned_and_uncordoned(cluster: LiveCluster) -> None:
    admin = await cluster.client("admin")
    name = (await admin.items("/api/v1/nodes"))[0]["metadata"]["name"]
    assert (await cluster.run("admin", f"cordon {name}")).text == f"node/{name} cordoned"
    assert (await cluster.get(f"/api/v1/nodes/{name}"))["spec"]["unschedulable"] is True
    assert (await cluster.run("admin", f"cordon {name}")).text == f"node/{name} already cordoned"
    done = await cluster.run("admin", f"uncordon {name}")
    assert done.text == f"node/{name} uncordoned"
    assert done.undo == f"kubectl cordon {name}"
    assert not (await cluster.get(f"/api/v1/nodes/{name}"))["spec"].get("unschedulable")


async def test_taints_of_a_node_come_and_go(cluster: LiveCluster) -> None:
    admin = await cluster.client("admin")
    name = (await admin.items("/api/v1/nodes"))[0]["metadata"]["name"]

    async def taints() -> set[str]:
        found = dig(await cluster.get(f"/api/v1/nodes/{name}"), "spec", "taints", default=[])
        return {f"{each['key']}={each.get('value', '')}:{each['effect']}" for each in found if each["key"].startswith("test")}

    done = await cluster.run("admin", f"taint node {name} test=a:PreferNoSchedule")
    assert (done.text, await taints()) == (f"node/{name} tainted", {"test=a:PreferNoSchedule"})
    with pytest.raises(CommandInvalid, match="add --overwrite"):
        await cluster.run("admin", f"taint node {name} test=b:PreferNoSchedule")
    over = await cluster.run("admin", f"taint node {name} test=b:PreferNoSchedule test-2:PreferNoSchedule --overwrite")
    assert await taints() == {"test=b:PreferNoSchedule", "test-2=:PreferNoSchedule"}
    await cluster.run("admin", over.undo or "")
    assert await taints() == {"test=a:PreferNoSchedule"}
    assert done.undo == f"kubectl taint node {name} test:PreferNoSchedule- --overwrite"
    gone = await cluster.run("admin", f"taint node {name} test-")
    assert (gone.text, await taints()) == (f"node/{name} untainted", set())


SUBJECTS = "set subject rolebinding alice-edit --user=bob --serviceaccount=elsewhere:robot"


async def test_selector_and_subjects_are_set_and_taken_back(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    service, binding = (
        f"/api/v1/namespaces/{namespace}/services/checkout",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/alice-edit",
    )
    done = await cluster.run("alice", f"set selector svc/checkout app=other,tier=web -n {namespace}")
    assert done.text == "service/checkout selector updated"
    assert (await cluster.get(service))["spec"]["selector"] == {"app": "other", "tier": "web"}
    await cluster.run("alice", done.undo or "")
    assert (await cluster.get(service))["spec"]["selector"] == {"app": "checkout"}
    done = await cluster.run("admin", f"{SUBJECTS} -n {namespace}")
    assert done.text == "rolebinding.rbac.authorization.k8s.io/alice-edit subjects updated"
    assert [each["name"] for each in (await cluster.get(binding))["subjects"]] == ["alice", "bob", "robot"]
    await cluster.run("admin", done.undo or "")
    assert [each["name"] for each in (await cluster.get(binding))["subjects"]] == ["alice"]


async def test_variables_are_listed_without_what_is_secret(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    listed = await cluster.run("alice", f"set env deploy/checkout --list -n {namespace}")
    assert listed.text.splitlines()[::2] == ["# Deployment checkout, container web", "# Deployment checkout, container sidecar"]
    assert SECRET_VALUE not in listed.text
    assert "DB_PASSWORD=" in listed.text


async def test_labels_are_listed_by_who_may_only_read(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace({"carol": "view"})
    line = f"label deploy checkout --list -n {namespace}"
    assert await denials(await cluster.client("carol"), command(line)) == ()
    assert (await cluster.run("carol", line)).text == "app=checkout\ntier=web"


async def test_strategic_patch_of_a_kind_without_one_names_the_way(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    crd = "customresourcedefinitions"
    manifest = json.dumps(WIDGETS)
    await cluster.run("admin", "apply -f -", manifest=manifest)
    await until(lambda: exists_kind(cluster))
    await cluster.run("admin", f"apply -f - -n {namespace}", manifest=json.dumps(WIDGET))
    with pytest.raises(ApiError) as caught:
        await cluster.run("admin", f"patch widgets.patch.example.com one -p 'spec: {{size: 2}}' -n {namespace}")
    assert "--type=merge" in explain(caught.value)
    done = await cluster.run("admin", f"patch widgets.patch.example.com one --type=merge -p 'spec: {{size: 2}}' -n {namespace}")
    assert done.text == "widget.patch.example.com/one patched"
    await cluster.run("admin", f"delete {crd} widgets.patch.example.com")


async def exists_kind(cluster: LiveCluster) -> bool:
    return await exists(await cluster.client("admin"), "/apis/patch.example.com/v1/widgets")


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.patch.example.com"},
    "spec": {
        "group": "patch.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
WIDGET = {"apiVersion": "patch.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}

NOT_UNDOABLE = [
    ("note=one\ntwo", "cannot be written in one command line"),
    (f"db-password={SECRET_VALUE}", "holds secret values"),
]


@pytest.mark.parametrize(("before", "why"), NOT_UNDOABLE)
async def test_value_that_may_not_or_cannot_be_written_out_offers_no_undo(cluster: LiveCluster, before: str, why: str) -> None:
    namespace = await cluster.namespace(objects=())
    key, _, value = before.partition("=")
    noted = {**config_map("one"), "metadata": {"name": "one", "annotations": {key: value}}}
    await cluster.run("alice", f"apply -f - -n {namespace}", manifest=documents(noted))
    line = f"annotate cm one {key}=new --overwrite -n {namespace}"
    preview = await cluster.preview("alice", line)
    assert preview.undo is None
    assert why in preview.warnings[0]
    assert (await cluster.run("alice", line)).undo is None
    assert SECRET_VALUE not in repr(preview)
    with pytest.raises(CommandInvalid) as caught:
        await cluster.run("alice", f"annotate cm one {key}=other -n {namespace}")
    assert SECRET_VALUE not in explain(caught.value)


# --- create, run, expose, autoscale ---------------------------------------------------------------------------------------

MADE = [
    ("create configmap one --from-literal=a=b", "configmap/one created", "/api/v1/{}/configmaps/one"),
    ("create secret generic two --from-literal=password=hunter2-never-shown", "secret/two created", "/api/v1/{}/secrets/two"),
    ("create secret docker-registry pull --docker-username=a --docker-password=hunter2-never-shown", "secret/pull created",
     "/api/v1/{}/secrets/pull"),
    ("create deployment shop --image=shop/web:1 --replicas=2", "deployment.apps/shop created", "/apis/apps/v1/{}/deployments/shop"),
    ("create job once --image=a -- true", "job.batch/once created", "/apis/batch/v1/{}/jobs/once"),
    ("create cronjob hourly --image=a --schedule='0 * * * *'", "cronjob.batch/hourly created", "/apis/batch/v1/{}/cronjobs/hourly"),
    ("create job manual --from=cronjob/hourly", "job.batch/manual created", "/apis/batch/v1/{}/jobs/manual"),
    ("create service clusterip inner --tcp=80:8080", "service/inner created", "/api/v1/{}/services/inner"),
    ("create ingress way --rule=shop.example.com/=inner:80", "ingress.networking.k8s.io/way created",
     "/apis/networking.k8s.io/v1/{}/ingresses/way"),
    ("create quota small --hard=pods=50", "resourcequota/small created", "/api/v1/{}/resourcequotas/small"),
    ("create pdb half --selector=app=shop --min-available=50%", "poddisruptionbudget.policy/half created",
     "/apis/policy/v1/{}/poddisruptionbudgets/half"),
    ("create serviceaccount robot", "serviceaccount/robot created", "/api/v1/{}/serviceaccounts/robot"),
    ("create role reader --verb=get --resource=pods", "role.rbac.authorization.k8s.io/reader created",
     "/apis/rbac.authorization.k8s.io/v1/{}/roles/reader"),
    ("create rolebinding readers --role=reader --user=zoe", "rolebinding.rbac.authorization.k8s.io/readers created",
     "/apis/rbac.authorization.k8s.io/v1/{}/rolebindings/readers"),
    ("run box --image=busybox -- sleep 5", "pod/box created", "/api/v1/{}/pods/box"),
    ("expose deployment shop --port=80", "service/shop exposed", "/api/v1/{}/services/shop"),
    ("autoscale deployment shop --max=3", "horizontalpodautoscaler.autoscaling/shop autoscaled",
     "/apis/autoscaling/v2/{}/horizontalpodautoscalers/shop"),
]  # fmt: skip


async def test_everything_that_is_made_is_there_and_goes_by_its_undo(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    admin = await cluster.client("admin")
    for line, said, path in MADE:
        preview = await cluster.preview("admin", f"-n {namespace} {line}")
        assert preview.summary[0] == f"Creates {said.split()[0]} in {namespace}."
        head, dashes, remote = line.partition(" -- ")
        dry = await cluster.run("admin", f"-n {namespace} {head} --dry-run=server{dashes}{remote}")
        assert dry.text == f"{said} (server dry run)"
        done = await cluster.run("admin", f"-n {namespace} {line}")
        assert done.text == said
        assert await exists(admin, path.format(f"namespaces/{namespace}"))
        assert SECRET_VALUE not in repr((preview, dry, done))
        assert done.undo is not None
        if line.startswith(("create job", "create cronjob", "create deployment", "create service clusterip")):
            continue  # the next lines start from them
        await cluster.run("admin", done.undo)

        async def gone(path: str = path) -> bool:
            return not await exists(admin, path.format(f"namespaces/{namespace}"))

        await until(gone)


async def test_namespace_that_was_made_offers_no_undo(cluster: LiveCluster) -> None:
    name = f"{await cluster.namespace(objects=())}-more"
    done = await cluster.run("admin", f"create namespace {name}")
    cluster.namespaces.append(name)
    assert (done.text, done.undo) == (f"namespace/{name} created", None)


async def test_written_objects_are_printed_when_asked_without_their_values(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    line = f"create secret generic two --from-literal=password={SECRET_VALUE} --dry-run=client -n {namespace}"
    printed = await cluster.run("alice", f"{line} -o yaml")
    assert "kind: Secret" in printed.text
    assert "password: " in printed.text
    assert SECRET_VALUE not in printed.text
    assert (await cluster.run("alice", f"{line} -o name")).text == "secret/two"
    assert json.loads((await cluster.run("alice", f"{line} -o json")).text)["metadata"]["name"] == "two"


# --- delete ---------------------------------------------------------------------------------------------------------------


async def test_delete_by_name_by_label_and_of_several_kinds(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    admin = await cluster.client("admin")
    result = await cluster.run("alice", f"delete cm/colours secret/db -n {namespace}")
    assert result.text.splitlines() == [
        f'configmap "colours" deleted from {namespace} namespace',
        f'secret "db" deleted from {namespace} namespace',
    ]
    assert not await exists(admin, f"/api/v1/namespaces/{namespace}/configmaps/colours")
    result = await cluster.run("alice", f"delete deploy -l app=checkout -n {namespace}")
    assert result.text == f'deployment.apps "checkout" deleted from {namespace} namespace'

    async def all_gone() -> bool:
        return not await pods(cluster, namespace)

    await until(all_gone)  # the cascade


async def test_delete_of_what_is_not_there_can_be_ignored(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    assert (await cluster.run("alice", f"delete cm nope -n {namespace} --ignore-not-found")).text == "No resources found"
    assert (await cluster.run("alice", f"delete secrets --all -n {namespace}")).changed == ()


async def test_orphaning_delete_leaves_the_pods(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    sets = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    await cluster.run("alice", f"delete deploy checkout --cascade=orphan -n {namespace}")
    admin = await cluster.client("admin")

    async def orphaned() -> bool:
        return not await exists(admin, deployment(namespace)) and all(
            not each["metadata"].get("ownerReferences") for each in await admin.items(sets)
        )

    await until(orphaned)
    assert len(await pods(cluster, namespace)) == 3


async def test_deleted_object_comes_back_by_its_undo(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace({"alice": "edit"})
    result = await cluster.run("alice", f"delete svc checkout -n {namespace}")
    assert result.undo == "kubectl apply --server-side -f -"
    await cluster.run("alice", result.undo, manifest=result.undo_manifest)
    live = await cluster.get(f"/api/v1/namespaces/{namespace}/services/checkout")
    assert live["spec"]["selector"] == {"app": "checkout"}


@pytest.mark.parametrize("what", ["secret db", "deploy checkout", "pods --all"])
async def test_delete_of_what_holds_secrets_or_state_offers_no_undo(cluster: LiveCluster, what: str) -> None:
    namespace = await cluster.namespace()
    result = await cluster.run("alice", f"delete {what} -n {namespace}")
    assert (result.undo, result.undo_manifest) == (None, None)


DRY = [
    "scale deploy checkout --replicas=0",
    "delete deploy checkout",
    "delete deploy,svc,cm,secret --all",
    "delete pods -l app=checkout --force",
    "label deploy checkout a=b",
    "annotate deploy checkout a=b",
    "set image deploy/checkout *=x:1",
    "patch deploy checkout -p 'spec: {replicas: 9}'",
    "set env deploy/checkout A=1",
    "set resources deploy/checkout --limits=cpu=1",
    "set serviceaccount deploy/checkout robot",
    "apply -f -",
    "create -f -",
    "delete -f -",
]


@pytest.mark.parametrize("kind", ["server", "client"])
async def test_dry_run_of_every_change_changes_nothing(cluster: LiveCluster, kind: str) -> None:
    namespace = await cluster.namespace()
    kinds = ("deployments.apps", "services", "configmaps", "secrets", "pods")

    async def versions() -> list[tuple[str, str]]:
        found = [await cluster.run("admin", f"get {word} -o json -n {namespace}") for word in kinds]
        items = [item for result in found for item in json.loads(result.text)["items"]]
        return [(item["metadata"]["uid"], json.dumps(item.get("spec"))) for item in items]

    before = await versions()
    for line in DRY:
        new = documents(config_map("fresh" if "delete" not in line else "colours", a="1"))
        manifest = new if line.endswith("-f -") else None
        result = await cluster.run("alice", f"{line} -n {namespace} --dry-run={kind}", manifest=manifest)
        assert all(said.endswith(" (server dry run)") for said in result.text.splitlines()), line
        assert (result.changed, result.undo) == ((), None)
    assert await versions() == before


# --- what binds a request to the object seen ------------------------------------------------------------------------------


BOUND = [
    "delete deploy checkout",
    "label deploy checkout a=b --overwrite",
    "annotate deploy checkout a=b --overwrite",
    "scale deploy checkout --replicas=9",
    "set image deploy/checkout web=x:1",
    "rollout restart deploy/checkout",
    "rollout pause deploy/checkout",
    "apply -f -",
]


async def test_change_does_not_reach_another_object_of_the_same_name(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    client, manifest = await cluster.client("alice"), documents(SHOP[0])
    planned = {
        line: (await plan_changes(client, command(f"{line} -n {namespace}", manifest if line.endswith("-f -") else None)))[0]
        for line in BOUND
    }
    await cluster.run("alice", f"delete deploy checkout -n {namespace}")
    await cluster.run("alice", f"apply -f - -n {namespace}", manifest=manifest)
    refused = {}
    for line, change in planned.items():
        try:
            await send(client, change)
        except ApiError as error:
            refused[line] = error.status in {409, 422}
    assert [line for line in BOUND if not refused.get(line)] == []
    assert (await cluster.get(deployment(namespace)))["metadata"]["generation"] == 1


async def test_rollback_does_not_reach_another_object_of_the_same_name(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    client = await cluster.client("alice")
    await cluster.run("alice", f"set image deploy/checkout web=shop/checkout:2.0 -n {namespace}")
    await cluster.rolled_out(namespace)
    planned = await plan_changes(client, command(f"rollout undo deploy/checkout -n {namespace}"))
    await cluster.run("alice", f"delete deploy checkout -n {namespace}")
    await cluster.run("alice", f"apply -f - -n {namespace}", manifest=documents(SHOP[0]))
    with pytest.raises(ApiError) as caught:
        await send(client, planned[0])
    assert caught.value.status in {409, 422}


async def test_config_map_changed_meanwhile_is_not_deleted(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    client = await cluster.client("alice")
    planned = await plan_changes(client, command(f"delete cm colours -n {namespace}"))
    await cluster.run("alice", f"annotate cm colours a=b -n {namespace}")
    with pytest.raises(ApiError) as caught:
        await send(client, planned[0])
    assert caught.value.status == 409
    assert "changed by someone else" in explain(caught.value)


async def test_dry_run_of_a_delete_deletes_nothing(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    client = await cluster.client("alice")
    for change in await plan_changes(client, command(f"delete deploy/checkout cm/colours -n {namespace}")):
        await send(client, change, dry_run=True)
    for path in (deployment(namespace), f"/api/v1/namespaces/{namespace}/configmaps/colours"):
        assert "deletionTimestamp" not in (await cluster.get(path))["metadata"]


async def test_failure_in_the_middle_says_what_was_done(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    client = await cluster.client("alice")
    planned = await plan_changes(client, command(f"delete cm/colours secret/db -n {namespace}"))
    await cluster.run("admin", f"delete secret db -n {namespace}")
    with pytest.raises(PartlyDone) as caught:
        await send_all(client, planned)
    said = explain(caught.value)
    assert f'configmap "colours" deleted from {namespace} namespace; 1 not' in said
    assert 'secrets "db" not found' in said


async def test_targets_that_were_agreed_to_must_be_those_found(cluster: LiveCluster) -> None:
    from k8s.execute import execute

    namespace = await cluster.namespace()
    client = await cluster.client("alice")
    asked = command(f"scale deploy checkout --replicas=1 -n {namespace}")
    agreed = (await cluster.preview("alice", asked.text)).targets
    await cluster.run("alice", f"scale deploy checkout --replicas=2 -n {namespace}")
    with pytest.raises(CommandInvalid, match="have changed since this was agreed to"):
        await execute(client, asked, expected=agreed)
    assert (await cluster.get(deployment(namespace)))["spec"]["replicas"] == 2


# --- apply ----------------------------------------------------------------------------------------------------------------


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def documents(*values: dict[str, Any]) -> str:
    return "\n---\n".join(json.dumps(value) for value in values)


async def test_apply_makes_changes_and_takes_back(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    admin = await cluster.client("admin")
    two = documents(config_map("one", a="1"), config_map("two", b="2"))
    result = await cluster.run("alice", f"apply -f - -n {namespace}", manifest=two)
    assert result.text.splitlines() == ["configmap/one serverside-applied", "configmap/two serverside-applied"]
    assert result.undo == f"kubectl delete configmap one two -n {namespace}"
    changed = await cluster.run("alice", f"apply -f - -n {namespace}", manifest=documents(config_map("one", a="5", c="3")))
    assert (await cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/one"))["data"] == {"a": "5", "c": "3"}
    assert changed.undo is not None
    await cluster.run("alice", changed.undo, manifest=changed.undo_manifest)
    assert (await cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/one"))["data"] == {"a": "1"}
    await cluster.run("alice", result.undo)
    assert not await exists(admin, f"/api/v1/namespaces/{namespace}/configmaps/two")


APPLY_REFUSALS = [
    (documents({**config_map("one"), "metadata": {"name": "one", "namespace": "elsewhere"}}), "is elsewhere and -n says"),
    ("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, namespace: y}", "A Namespace has no namespace"),
    ("kind: [", "is not YAML"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}", "apply needs metadata.name"),
    ("apiVersion: nope.example.com/v1\nkind: Nope\nmetadata: {name: x}", "has no resource type 'Nope.v1.nope.example.com'"),
    ("apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: x}", "does not serve Deployment in apps/v1beta1"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspec: {a: 1}", "spec"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_Valid}", "finds it invalid"),
]


@pytest.mark.parametrize(("manifest", "sentence"), APPLY_REFUSALS)
async def test_manifest_that_cannot_be_applied_is_refused_with_the_reason(
    cluster: LiveCluster, manifest: str, sentence: str
) -> None:
    from k8s.errors import ClusterError

    namespace = await cluster.namespace(objects=())
    with pytest.raises(ClusterError) as caught:
        await cluster.run("alice", f"apply -f - -n {namespace}", manifest=manifest)
    assert sentence in explain(caught.value)


async def test_field_that_another_tool_owns_is_a_conflict_unless_forced(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    admin = await cluster.client("admin")
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    await admin.request(
        "PATCH",
        path,
        query=(("fieldManager", "helm"),),
        body=config_map("one", a="1"),
        content_type="application/apply-patch+yaml",
    )
    mine = documents(config_map("one", a="2"))
    with pytest.raises(ApiError) as caught:
        await cluster.run("alice", f"apply -f - -n {namespace}", manifest=mine)
    assert explain(caught.value).startswith('Other tools own fields that this would change: .data.a ("helm")')
    await cluster.run("alice", f"apply -f - --force-conflicts -n {namespace}", manifest=mine)
    assert (await cluster.get(path))["data"] == {"a": "2"}


async def test_undo_of_apply_gives_back_a_key_that_is_called_uid(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    await cluster.run("alice", f"apply -f - -n {namespace}", manifest=documents(config_map("one", uid="1")))
    done = await cluster.run("alice", f"apply -f - -n {namespace}", manifest=documents(config_map("one", uid="2")))
    await cluster.run("alice", done.undo or "", manifest=done.undo_manifest)
    assert (await cluster.get(path))["data"] == {"uid": "1"}


async def test_create_and_delete_take_manifests_too(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    one = documents(config_map("one", a="1"))
    assert (await cluster.run("alice", f"create -f - -n {namespace}", manifest=one)).text == "configmap/one created"
    with pytest.raises(ApiError) as caught:
        await cluster.run("alice", f"create -f - -n {namespace}", manifest=one)
    assert "already exists: choose another name" in explain(caught.value)
    done = await cluster.run("alice", f"delete -f - -n {namespace}", manifest=one)
    assert done.text == f'configmap "one" deleted from {namespace} namespace'


# --- replace, diff, wait --------------------------------------------------------------------------------------------------


async def test_replace_puts_the_whole_object_and_takes_it_back(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    await cluster.run("alice", f"create configmap one --from-literal=a=1 --from-literal=b=2 -n {namespace}")
    line, manifest = f"replace -f - -n {namespace}", documents(config_map("one", c="3"))
    preview = await cluster.preview("alice", line, manifest=manifest)
    assert sorted(preview.summary) == [
        f"configmap/one in {namespace}: a 1 is removed",
        f"configmap/one in {namespace}: b 2 is removed",
        f"configmap/one in {namespace}: c is set to 3",
    ]
    done = await cluster.run("alice", line, manifest=manifest)
    assert (done.text, (await cluster.get(path))["data"]) == ("configmap/one replaced", {"c": "3"})
    await cluster.run("alice", done.undo or "", manifest=done.undo_manifest)
    assert (await cluster.get(path))["data"] == {"a": "1", "b": "2"}
    with pytest.raises(ApiError, match="not found"):
        await cluster.run("alice", line, manifest=documents(config_map("other", c="3")))
    with pytest.raises(CommandInvalid, match="deletes the object"):
        await cluster.run("alice", f"{line} --force", manifest=manifest)


async def test_replace_does_not_reach_an_object_that_has_changed(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    client = await cluster.client("alice")
    planned = await plan_changes(client, command(f"replace -f - -n {namespace}", documents(config_map("colours", main="red"))))
    await cluster.run("alice", f"label cm colours a=b -n {namespace}")
    with pytest.raises(ApiError) as caught:
        await send_all(client, planned)
    assert caught.value.status == 409


async def test_diff_shows_what_applying_would_change_and_no_secret(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": "bm90LXRoYXQ="}}
    manifest = documents(config_map("colours", main="red"), config_map("fresh", a="1"), secret)
    result = await cluster.run("alice", f"diff -f - -n {namespace} --force-conflicts", manifest=manifest)
    lines = result.text.splitlines()
    assert {"-  main: blue", "+  main: red", "+  name: fresh"} <= set(lines)
    assert "secret/db: values differ that are not shown." in lines
    assert "bm90LXRoYXQ=" not in result.text
    assert (await cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/colours"))["data"] == {"main": "blue"}
    same = await cluster.run("admin", f"diff -f - -n {namespace}", manifest=documents(config_map("colours", main="blue")))
    assert same.text == "No differences."


async def test_wait_ends_when_it_is_so_or_when_time_is_up(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace()
    for line, said in (
        ("wait deploy/checkout --for=condition=Available", "deployment.apps/checkout condition met"),
        ("wait deploy --all --for=jsonpath='{.status.readyReplicas}'=3", "deployment.apps/checkout condition met"),
        ("wait cm/nope --for=delete", ""),
    ):
        result = await cluster.run("alice", f"{line} -n {namespace}")
        assert (result.text, result.truncated) == (said, "")
    late = await cluster.run("alice", f"wait deploy/checkout --for=condition=Nope --timeout=0.1s -n {namespace}")
    assert late.truncated.startswith("Not reached after 0.1 s: deployment.apps/checkout.")
    with pytest.raises(ApiError, match="not found"):
        await cluster.run("alice", f"wait deploy/nope --for=condition=Available -n {namespace}")
    waiting = asyncio.create_task(cluster.run("alice", f"wait cm/colours --for=delete -n {namespace}"))
    await cluster.run("alice", f"delete cm colours -n {namespace}")
    assert (await waiting).truncated == ""


# --- drain ----------------------------------------------------------------------------------------------------------------


async def busy_node(cluster: LiveCluster, namespace: str) -> str:
    """A node on which a pod of the namespace runs; its Deployment is called as the namespace."""
    await cluster.run("admin", f"create deployment {namespace} --image=a --replicas=2 -n {namespace}")
    await cluster.rolled_out(namespace)
    name: str = (await pods(cluster, namespace))[0]["spec"]["nodeName"]
    return name


async def test_drain_evicts_what_its_budget_allows_and_says_what_stays(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    node = await busy_node(cluster, namespace)
    await cluster.run("admin", f"create pdb all --selector=app={namespace} --min-available=100% -n {namespace}")
    budget = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/all"

    async def counted() -> bool:
        return bool(dig(await cluster.get(budget), "status", "expectedPods"))

    await until(counted)
    before = {pod["metadata"]["name"] for pod in await pods(cluster, namespace) if pod["spec"]["nodeName"] == node}
    line = f"drain {node} --pod-selector=app={namespace}"
    preview = await cluster.preview("admin", line)
    assert f"Starts no new pods on node/{node}." in preview.summary
    assert {f"Evicts pod/{name} in {namespace}." for name in before} <= set(preview.summary)
    assert any("is kept for now" in warning and "disruption budget" in warning for warning in preview.warnings)
    try:
        kept = await cluster.run("admin", f"{line} --timeout=1s")
        assert kept.text == f"node/{node} cordoned"
        assert kept.truncated.startswith("Not drained after 1 s; still there: ")
        assert before <= {pod["metadata"]["name"] for pod in await pods(cluster, namespace)}
        await cluster.run("admin", f"delete pdb all -n {namespace}")
        done = await cluster.run("admin", line)
        assert done.truncated == ""
        assert set(done.text.splitlines()) == {
            f"node/{node} already cordoned", *(f"pod/{name} evicted" for name in before), f"node/{node} drained"
        }  # fmt: skip
        assert not before & {pod["metadata"]["name"] for pod in await pods(cluster, namespace)}
    finally:
        await cluster.run("admin", f"uncordon {node}")


async def test_drain_leaves_alone_what_needs_a_flag(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace(objects=())
    await cluster.run("admin", f"run lone --image=a --labels=app={namespace} -n {namespace}")
    path = f"/api/v1/namespaces/{namespace}/pods/lone"

    async def placed() -> bool:
        return bool(dig(await cluster.get(path), "status", "phase") == "Running")

    await until(placed)
    node = (await cluster.get(path))["spec"]["nodeName"]
    line = f"drain {node} --pod-selector=app={namespace}"
    with pytest.raises(CommandInvalid) as caught:
        await cluster.run("admin", line)
    assert f"Pods that declare no controller (use --force to override): {namespace}/lone" in explain(caught.value)
    assert not (await cluster.get(f"/api/v1/nodes/{node}"))["spec"].get("unschedulable")
    preview = await cluster.preview("admin", f"{line} --force")
    assert "pod/lone has no controller, so nothing starts it again." in preview.warnings
    dry = await cluster.run("admin", f"{line} --force --dry-run=server")
    assert "pod/lone evicted (server dry run)" in dry.text
    assert await placed()


# --- exec -----------------------------------------------------------------------------------------------------------------


async def test_program_runs_in_the_container_that_is_meant(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace({"alice": "edit", "carol": "view"})
    line = f"-n {namespace} exec deploy/checkout"
    preview = await cluster.preview("alice", f"{line} -c sidecar -- echo 'a b'")
    assert len(preview.summary) == 1
    assert re.fullmatch(
        r"Runs echo 'a b' in container sidecar of pod/checkout-\S+ in test-\w+\. What it does cannot be tried beforehand\.",
        preview.summary[0],
    )
    assert preview.undo is None
    with pytest.raises(CommandInvalid, match="has no container 'nope': it has web, sidecar"):
        await cluster.run("alice", f"{line} -c nope -- true")
    needs = [denial.qualified for denial in await denials(await cluster.client("carol"), command(f"{line} -- true"))]
    assert needs == ["pods/exec", "pods/exec"]
    if cluster.name == "real":
        pytest.skip("the pods of this control plane are played, and run no programs")
    done = await cluster.run("alice", f"{line} -c sidecar -- echo 'a b'")
    assert (done.text, done.notes, done.truncated) == ("a b\n", (), "")
    assert (await cluster.run("alice", f"{line} -- false")).notes == ("command terminated with exit code 1",)
    shown = await cluster.run("alice", f"{line} -- env")
    assert "DB_PASSWORD=" in shown.text
    assert SECRET_VALUE not in shown.text
    with pytest.raises(ApiError) as caught:
        await cluster.run("carol", f"{line} -- true")
    assert caught.value.status == 403


NEEDS = [
    ("patch deploy checkout -p 'spec: {}'", ["patch deployments.apps"]),
    ("patch deploy checkout --subresource=scale --type=merge -p 'spec: {}'", ["patch deployments.apps/scale"]),
    ("set env deploy/checkout --from=secret/db", ["patch deployments.apps", "get secrets"]),
    ("set env deploy/checkout --list", []),
    ("create configmap one", ["create configmaps"]),
    ("create job one --from=cronjob/nightly", ["create jobs.batch"]),
    ("run box --image=a --port=80 --expose", ["create pods", "create services"]),
    ("expose deploy checkout --port=80", ["create services"]),
    ("autoscale deploy checkout --max=3", ["create horizontalpodautoscalers.autoscaling"]),
    ("create rolebinding one --clusterrole=view --user=zoe", ["create rolebindings.rbac.authorization.k8s.io"]),
    ("wait deploy/checkout --for=condition=Available", []),
    ("drain node-x", ["get nodes", "patch nodes", "list pods", "get pods", "get daemonsets.apps", "create pods/eviction"]),
    ("taint node node-x a=b:NoSchedule", ["get nodes", "patch nodes"]),
]


async def test_what_a_viewer_lacks_is_named_before_anything_is_proposed(cluster: LiveCluster) -> None:
    namespace = await cluster.namespace({"carol": "view"})
    carol = await cluster.client("carol")
    for line, missing in NEEDS:
        found = await denials(carol, command(f"{line} -n {namespace}"))
        assert sorted(f"{denial.verb} {denial.qualified}" for denial in found) == sorted(missing), line
