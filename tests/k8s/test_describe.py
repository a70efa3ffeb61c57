"""Describe: what a person looks for is there, for each built-in kind, and nothing that should not be."""

import json
import re
from typing import Any

import pytest

from k8s.describe import layout
from k8s.render import human_duration
from k8s.types import Table
from tests.clusters import SECRET_VALUE, SHOP, LiveCluster

POD_TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "main",
                "image": "shop/x:1",
                "command": ["run", "--password", SECRET_VALUE],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
                "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "10m"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
            }
        ],
        "volumes": [{"name": "conf", "configMap": {"name": "colours"}}],
    },
}
ALWAYS = {**POD_TEMPLATE, "spec": {**POD_TEMPLATE["spec"], "restartPolicy": "Always"}}  # type: ignore[dict-item]
SELECTOR = {"matchLabels": {"app": "x"}}


def thing(api_version: str, kind: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "thing"}, "spec": spec, **more}


OBJECTS = (
    *SHOP,
    thing("apps/v1", "StatefulSet", {"replicas": 1, "serviceName": "thing", "selector": SELECTOR, "template": ALWAYS}),
    thing("apps/v1", "DaemonSet", {"selector": SELECTOR, "template": ALWAYS}),
    thing("batch/v1", "Job", {"template": POD_TEMPLATE}),
    thing("batch/v1", "CronJob", {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": POD_TEMPLATE}}}),
    thing("v1", "PersistentVolumeClaim", {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
    thing(
        "networking.k8s.io/v1",
        "Ingress",
        {
            "tls": [{"hosts": ["shop.example.com"], "secretName": "cert"}],
            "rules": [
                {
                    "host": "shop.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "checkout", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ],
        },
    ),
    thing(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "maxReplicas": 5,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
            ],
        },
    ),
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "thing"}},
)


@pytest.fixture(scope="module")
async def shop(cluster: LiveCluster) -> str:
    return await cluster.namespace({"alice": "edit"}, OBJECTS)


DESCRIBED = [
    ("pod checkout",
     [r"Controlled By:\s+ReplicaSet/checkout-", r"Containers:\n  web:\n    Image:\s+shop/checkout:1\.0", r"State:\s+Running",
      r"DB_PASSWORD: ‹redacted›", r"Ready\s+True", r"QoS Class:\s+BestEffort", r"Events:\n  Type\s+Reason\s+Age\s+From\s+Message"]),
    ("deploy checkout",
     [r"Selector:\s+app=checkout", r"Replicas:\s+3 desired \| 3 total \| 3 updated \| 3 available \| 0 unavailable",
      r"Strategy:\s+RollingUpdate", r"Pod Template:\n  Labels:\s+app=checkout", r"NewReplicaSet:\s+checkout-\w+ \(3/3 replicas created\)",
      r"Available\s+True", r"ScalingReplicaSet"]),
    ("rs", [r"Replicas:\s+3 current / 3 desired, 3 ready", r"Controlled By:\s+Deployment/checkout"]),
    ("sts thing", [r"Replicas:\s+\d current / 1 desired", r"Strategy:\s+RollingUpdate"]),
    ("ds thing", [r"Replicas:\s+\d desired, \d current"]),
    ("job thing", [r"Pods Statuses:\s+\d active / \d succeeded / \d failed", r"Backoff Limit:\s+6", r"Args|Command:\s+run\n\s+--password\n\s+‹redacted›",
                   r"KEY: <set to the key 'password' in secret 'db'>", r"Limits:\s+memory: 64Mi", r"Readiness:\s+http-get http://:8080/ready delay=0s",
                   r"/conf from conf \(rw\)", r"Volumes:\n\s+conf:\s+configMap: name colours"]),
    ("cronjob thing", [r"Schedule:\s+0 3 \* \* \*", r"Last Schedule Time:\s+<unset>", r"Active Jobs:\s+<none>"]),
    ("svc checkout", [r"Type:\s+ClusterIP", r"IP:\s+\d+\.", r"<unset> 80/TCP → 80", r"Endpoints:\s+\d+\.\d+\.\d+\.\d+:80,"]),
    ("cm colours", [r"Data:\n  main:\s+blue"]),
    ("secret db", [r"Type:\s+Opaque", rf"password:\s+{len(SECRET_VALUE)} bytes"]),
    ("ingress thing", [r"Host\s+Path\s+Backends\n\s+shop\.example\.com\s+/\s+checkout:80", r"TLS:\s+cert terminates shop\.example\.com"]),
    ("pvc thing", [r"Status:\s+Pending", r"Requested:\s+1Gi", r"Access Modes:\s+ReadWriteOnce", r"Used By:\s+<none>"]),
    ("hpa thing", [r"Reference:\s+Deployment/checkout", r"cpu: .* / 80%", r"Max replicas:\s+5"]),
    ("sa thing", [r"Name:\s+thing"]),
    ("rolebinding alice-edit", [r"Role Ref:\n", r"Name:\s+edit", r"Subjects:\n"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "expected"), DESCRIBED)
async def test_description_holds_what_a_person_looks_for(cluster: LiveCluster, shop: str, what: str, expected: list[str]) -> None:
    text = (await cluster.run("admin", f"describe {what} -n {shop}")).text
    for pattern in expected:
        assert re.search(pattern, text), f"{pattern} not in:\n{text}"
    assert SECRET_VALUE not in text
    assert not re.search(r"\{'|\[\{|None", text.replace("Affinity:  None", "")), text  # no Python shows through


async def test_node_and_namespace_are_described(cluster: LiveCluster, shop: str) -> None:
    nodes = await (await cluster.client("admin")).items("/api/v1/nodes")
    text = (await cluster.run("admin", f"describe node {nodes[0]['metadata']['name']}")).text
    for pattern in (
        r"Unschedulable:\s+false",
        r"Conditions:\n  Type\s+Status",
        r"Allocatable:\s+",
        r"Non-terminated Pods \(\d+ in total",
    ):
        assert re.search(pattern, text), text
    text = (await cluster.run("admin", f"describe ns {shop}")).text
    assert re.search(r"Status:\s+Active", text)
    assert "Resource Quotas:" in text


async def test_what_may_not_be_read_around_the_object_is_said_or_left(cluster: LiveCluster, shop: str) -> None:
    """A Role with pods and nothing else: no events."""
    admin = await cluster.client("admin")
    role = {"metadata": {"name": "pods"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]}
    binding = {
        "metadata": {"name": "dave-pods"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "dave"}],
    }
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{shop}"
    await admin.request("POST", f"{rbac}/roles", body=role)
    await admin.request("POST", f"{rbac}/rolebindings", body=binding)
    text = (await cluster.run("dave", f"describe pods -l app=checkout -n {shop}")).text
    assert re.search(r"Events:\s+<cannot be read with your rights>", text)


async def test_secret_text_in_a_config_map_is_hidden(cluster: LiveCluster) -> None:
    data = {"app.conf": f"db_password={SECRET_VALUE}", "API_TOKEN": SECRET_VALUE, "colour": "blue"}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mixed"}, "data": data}
    namespace = await cluster.namespace(objects=())
    await cluster.run("alice", f"apply -f - -n {namespace}", manifest=json.dumps(config_map))
    for line in ("describe cm mixed", "get cm mixed -o yaml"):
        text = (await cluster.run("alice", f"{line} -n {namespace}")).text
        assert SECRET_VALUE not in text
        assert "blue" in text


def test_layout_aligns_and_nests() -> None:
    fields = [
        ("Name", "x"),
        ("Labels", ["a=b", "c=d"]),
        ("Inner", [("One", "1"), ("Another", "two\nlines")]),
        ("Table", Table(("A", "B"), (("1", "2"),))),
    ]
    assert layout(fields) == (
        "Name:    x\nLabels:  a=b\n         c=d\nInner:\n  One:      1\n  Another:  two\n            lines\nTable:\n  A   B\n  1   2"
    )


AGES = [(0, "0s"), (119, "119s"), (120, "2m"), (185, "3m5s"), (600, "10m"), (10_799, "179m"), (10_800, "3h"), (28_800, "8h"), (90_000, "25h"),
        (172_800, "2d"), (180_000, "2d2h"), (86400 * 9, "9d"), (86400 * 800, "2y70d"), (86400 * 365 * 9, "9y"), (-5, "<invalid>")]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), AGES)
def test_durations_are_kubernetes_own(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text
