"""What is said to both API servers: a name, and a conversation."""

from __future__ import annotations

from typing import Any

from tests.k8s.sandbox.conversation import TABLE, Say

Json = dict[str, Any]
DEPLOYMENTS = "/apis/apps/v1/namespaces/NS/deployments"
PODS = "/api/v1/namespaces/NS/pods"
CONFIGMAPS = "/api/v1/namespaces/NS/configmaps"
SERVICES = "/api/v1/namespaces/NS/services"
SECRETS = "/api/v1/namespaces/NS/secrets"
ROLLING = ("status", "generation", "annotations")  # what controllers change meanwhile


def deployment(name: str = "web", **spec: Any) -> Json:
    labels = {"app": name}
    container = {"name": "web", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    body: Json = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}


def pod(name: str = "one", **spec: Any) -> Json:
    body: Json = {"containers": [{"name": "app", "image": "nginx"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def config(name: str = "settings", **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}, **more}


def service(name: str = "web", **spec: Any) -> Json:
    body: Json = {"selector": {"app": name}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def created(path: str, *bodies: Json, ignore: tuple[str, ...] = ()) -> list[Say]:
    return [Say("POST", path + "?dryRun=All", body, why=str(place), ignore=ignore) for place, body in enumerate(bodies)]


FULL: Json = {
    "volumes": [
        {"name": "c", "configMap": {"name": "x"}}, {"name": "s", "secret": {"secretName": "y"}}, {"name": "e", "emptyDir": {}},
        {"name": "h", "hostPath": {"path": "/x"}}, {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "d", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ],
    "initContainers": [{"name": "i", "image": "busybox:1.36", "resources": {"limits": {"cpu": "0.5"}}}],
    "containers": [{
        "name": "app", "image": "nginx:1.27", "env": [{"name": "A", "value": ""}, {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"containerPort": 80, "name": "http"}], "resources": {"limits": {"memory": "1024Mi", "cpu": "1500m"}, "requests": {"cpu": 0.1}},
        "livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"tcpSocket": {"port": "http"}, "initialDelaySeconds": 3},
        "startupProbe": {"grpc": {"port": 9000}}, "volumeMounts": [{"name": "e", "mountPath": "/e", "readOnly": False}],
    }],
    "nodeSelector": {}, "tolerations": [], "hostNetwork": False,
}  # fmt: skip

ACCESS: list[Json] = [
    {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "x"}},
    {"nonResourceAttributes": {"verb": "get", "path": "/x"}},
    {},
    {"resourceAttributes": {}, "nonResourceAttributes": {}},
]
DISCOVERY = [Say("GET", path) for path in ("/apis/apps", "/apis/apps/v1", "/apis/batch/v1", "/apis/autoscaling", "/apis/nothing",
             "/apis/nothing/v1", "/apis/apps/v9", "/api/v2", "/nowhere")]  # fmt: skip

CASES: dict[str, list[Say]] = {
    "discovery": [
        *(Say(one.method, one.path, ignore=("storageVersionHash",)) for one in DISCOVERY),
        Say("GET", "/api/v1", ignore=("storageVersionHash",)),
    ],
    "not found": [
        Say("GET", f"{PODS}/none"), Say("GET", f"{DEPLOYMENTS}/none"), Say("DELETE", f"{DEPLOYMENTS}/none"),
        Say("PATCH", f"{DEPLOYMENTS}/none", {}, "merge"), Say("GET", "/api/v1/nodes/none"), Say("GET", "/api/v1/nothings"),
        Say("GET", "/api/v1/namespaces/NS/nothings/x"), Say("GET", "/apis/apps/v1/namespaces/NS/pods"),
        Say("GET", "/apis/foo.example.com/v1/bars"), Say("POST", "/api/v1/namespaces/no-such-namespace/configmaps", config()),
        Say("GET", "/api/v1/namespaces/no-such-namespace"), Say("POST", f"{DEPLOYMENTS}/x/scale", {}), Say("GET", f"{PODS}/none/log"),
        Say("PUT", f"{CONFIGMAPS}/none", config("none")), Say("GET", f"{DEPLOYMENTS}/none/scale"),
    ],
    "methods": [
        Say("POST", f"{CONFIGMAPS}/x", config("x")), Say("PUT", CONFIGMAPS, config()), Say("PATCH", CONFIGMAPS, {}, "merge"),
        Say("DELETE", "/api/v1/namespaces"), Say("POST", "/api/v1/configmaps", config()), Say("POST", "/api/v1/pods", pod()),
    ],
    "deployment defaults": created(
        DEPLOYMENTS, deployment(), deployment(strategy={"type": "Recreate"}), deployment(strategy={"rollingUpdate": {"maxSurge": 1}}),
        deployment(template={"metadata": {"labels": {"app": "web"}}, "spec": FULL}),
    ),
    "pod defaults": created(PODS, pod(), pod(**FULL), pod(hostNetwork=True, containers=[{"name": "a", "image": "a:1", "ports": [{"containerPort": 8}]}]),
                            pod(restartPolicy="Never", terminationGracePeriodSeconds=0, priorityClassName="system-node-critical"),
                            pod(automountServiceAccountToken=False)),
    "service defaults": created(
        SERVICES, service(), service(type="NodePort"), service(type="LoadBalancer"), service(clusterIP="None"),
        service(type="ExternalName", externalName="x.example.com", ports=[]), service(sessionAffinity="ClientIP"),
        service(ports=[{"port": 80, "targetPort": "http", "name": "a"}, {"port": 81, "protocol": "UDP", "name": "b"}]),
        ignore=("clusterIP", "clusterIPs", "nodePort"),
    ),
    "other defaults": [
        *created(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}),
        *created("/apis/batch/v1/namespaces/NS/jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "busybox"}]}}}}),
        *created("/apis/batch/v1/namespaces/NS/cronjobs", {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j"}, "spec": {
            "schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "busybox"}]}}}}}}),
        *created("/apis/apps/v1/namespaces/NS/statefulsets", {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
            **deployment()["spec"], "serviceName": "db", "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}}),
        *created("/apis/apps/v1/namespaces/NS/daemonsets", {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "db"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "template": deployment()["spec"]["template"]}}),
        *created("/apis/apps/v1/namespaces/NS/replicasets", {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "db"}, "spec": deployment()["spec"]}),
        *created("/api/v1/namespaces/NS/replicationcontrollers", {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"},
            "spec": {"template": deployment()["spec"]["template"]}}, ignore=("managedFields",)),
        *created("/api/v1/namespaces/NS/persistentvolumeclaims", {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1024Mi"}}}}, ignore=("managedFields",)),
        *created("/apis/networking.k8s.io/v1/namespaces/NS/networkpolicies", {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}}),
        *created("/apis/networking.k8s.io/v1/namespaces/NS/ingresses", {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"},
            "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]}}),
        *created("/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers", {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}}}, ignore=("managedFields",)),
        *created("/apis/autoscaling/v1/namespaces/NS/horizontalpodautoscalers", {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}}}, ignore=("managedFields",)),
        *created("/apis/policy/v1/namespaces/NS/poddisruptionbudgets", {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
        *created("/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "x"}, {"kind": "ServiceAccount", "name": "y"}]}),
        *created("/api/v1/namespaces/NS/resourcequotas", {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "4", "requests.cpu": "0.5"}}}),
        *created("/api/v1/namespaces/NS/limitranges", {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "q"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
        *created("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brand-new"}}, ignore=("managedFields",)),
        *created("/api/v1/namespaces/NS/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "q"}}),
        *created("/api/v1/persistentvolumes", {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "q"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}),
        *created("/apis/storage.k8s.io/v1/storageclasses", {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "q"}, "provisioner": "x.example.com/y"}),
        *created("/apis/scheduling.k8s.io/v1/priorityclasses", {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "q"}, "value": 5}),
    ],
    "deployment faults": created(
        DEPLOYMENTS, deployment(replicas=-1), deployment(selector={"matchLabels": {"app": "other"}}), deployment("Bad_Name"), deployment(template={}),
        deployment(selector=None), deployment(selector={}), deployment(strategy={"type": "Other"}), deployment(strategy={"type": "Recreate", "rollingUpdate": {}}),
        deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), deployment(strategy={"rollingUpdate": {"maxSurge": "a%"}}),
        deployment(minReadySeconds=-1), deployment(progressDeadlineSeconds=0), deployment("x" * 63),
        deployment(template={"metadata": {"labels": {"app": "web"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}),
        {**deployment(), "metadata": {"name": "web", "labels": {"a b": "c"}}}, {**deployment(), "metadata": {"name": "web", "labels": {"d": "e f"}}}, {**deployment(), "metadata": {}},
        {**deployment(), "metadata": {"name": "web", "namespace": "elsewhere"}}, {**deployment(), "apiVersion": "apps/v2"}, {**deployment(), "kind": "Pod"},
        *({**deployment(), "metadata": {"name": "web", "labels": {key: value}}} for key, value in (("/a", "c"), ("a/", "b"), ("a/b/c", "d"), ("-", "x"), ("a", "x" * 64))),
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}},
    ),
    "pod faults": created(
        PODS, pod(containers=[]), pod(containers=[{"name": "A", "image": "b"}]), pod(containers=[{"name": "a"}]), pod(containers=[{"image": "a"}]),
        pod(containers=[{"name": "a", "image": "b"}, {"name": "a", "image": "c"}]), pod(restartPolicy="Sometimes"), pod(dnsPolicy="x"),
        pod(containers=[{"name": "a", "image": "b", "imagePullPolicy": "Maybe"}]), pod(containers=[{"name": "a", "image": "b", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]),
        pod(containers=[{"name": "a", "image": "b", "ports": [{"containerPort": 0}]}]), pod(containers=[{"name": "a", "image": "b", "ports": [{"containerPort": 70000, "protocol": "X"}]}]),
        pod(containers=[{"name": "a", "image": "b", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]),
        pod(containers=[{"name": "a", "image": "b", "env": [{"name": ""}, {"name": "a=b"}]}]), pod(serviceAccountName="none"), pod(priorityClassName="none"),
        pod(containers=[{"name": "a", "image": "b", "livenessProbe": {}}]), pod(terminationGracePeriodSeconds=-1), pod(nodeSelector={"a b": "c"}),
        pod(volumes=[{"name": "v"}]), pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]), pod(containers=[{"name": "a", "image": " b"}]),
        pod(containers=[{"name": "a", "image": "b", "ports": [{"containerPort": 80, "name": "much-too-long-a-name"}]}]), pod("x.y"), pod("a" * 300),
        pod(containers=[{"name": "a", "image": "b", "resources": {"requests": {"cpu": "-1"}}}]), pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
    ),
    "wrong types": [*created(
        DEPLOYMENTS, deployment(replicas="three"), deployment(replicas=1.5), deployment(template=[]), deployment(paused="yes"), {**deployment(), "metadata": []},
        deployment(template={"spec": {"containers": {}}}), deployment(template={"spec": {"containers": [{"name": 5}]}}),
        deployment(template={"spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": "much"}}}]}}), {**deployment(), "spec": "x"},
        {**deployment(), "metadata": {"name": "x", "labels": {"a": 1}}}, {**deployment(), "metadata": {"name": "x", "annotations": {"a": True}}},
        {**deployment(), "metadata": {"name": "x", "creationTimestamp": "today"}},
    ), Say("POST", DEPLOYMENTS, "{"), Say("POST", DEPLOYMENTS, "[]"), Say("POST", DEPLOYMENTS, ""), Say("POST", DEPLOYMENTS, "null"), Say("POST", DEPLOYMENTS, "{}"),
         Say("POST", DEPLOYMENTS, {"kind": "Deployment"}), Say("POST", DEPLOYMENTS, {"apiVersion": "apps/v1"}), Say("POST", DEPLOYMENTS, "x", "text/plain"),
         Say("POST", DEPLOYMENTS, "{]"), Say("POST", DEPLOYMENTS, "a: [", "application/yaml")],
    "unknown fields": [
        *(Say("POST", f"{DEPLOYMENTS}?dryRun=All&fieldValidation={how}", body, why=how) for how in ("Strict", "Warn", "Ignore", "Other") for body in (
            deployment(replica=3), deployment(template={"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b", "imag": "c"}], "x": 1}}))),
        Say("POST", f"{CONFIGMAPS}?dryRun=All&fieldValidation=Strict", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}'),
        Say("POST", f"{CONFIGMAPS}?dryRun=Some", config()),
    ],
    "service faults": created(
        SERVICES, service("1abc"), service(ports=[]), service(type="Other"), service(ports=[{"port": 0}]), service(ports=[{"port": 80}, {"port": 81}]),
        service(ports=[{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]), service(type="ExternalName"), service(ports=[{"port": 80, "nodePort": 30000}]),
        service(type="NodePort", ports=[{"port": 80, "nodePort": 80}]), service(ports=[{"port": 80, "targetPort": 0}, {"port": 99999, "name": "x"}]), service(clusterIP="x"),
        service(ports=[{"port": 80, "protocol": "HTTP"}]), service(ports=[{"port": 80, "name": "A_b"}]),
        ignore=("clusterIP", "clusterIPs"),
    ),
    "other faults": [
        *created(CONFIGMAPS, config("A"), config(data={"a b": "c"}), config(data=[]), config(binaryData={"a": "!"}), {**config(), "metadata": {"name": "x", "generateName": "y"}}),
        *created(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/tls"},
                 {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "not base64!"}}, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a b": "YQ=="}}),
        *created("/apis/batch/v1/namespaces/NS/jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}},
                 {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"parallelism": -1, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}}}),
        *(Say("POST", "/apis/batch/v1/namespaces/NS/cronjobs?dryRun=All", {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": {"schedule": schedule,
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": policy, "containers": [{"name": "a", "image": "b"}]}}}}}}, why=schedule)
          for name, schedule, policy in (("j", "x", "Never"), ("j", "* * * *", "Never"), ("j", "* * * * *", "Always"), ("j" * 60, "@daily", "Never"), ("j", "99 * * * *", "Never"), ("j", "@sometimes", "Never"), ("j", "", "Never"))),
        *(Say("POST", "/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers?dryRun=All", {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": scaler})
          for scaler in ({"maxReplicas": 0, "scaleTargetRef": {"kind": "Deployment", "name": "w"}}, {"maxReplicas": 2, "minReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "w"}},
                       {"maxReplicas": 2, "scaleTargetRef": {}}, {"maxReplicas": 2, "minReplicas": 0, "scaleTargetRef": {"kind": "Deployment", "name": "w"}})),
        *created("/apis/policy/v1/namespaces/NS/poddisruptionbudgets", {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}},
                 {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": {"minAvailable": "x"}}),
        *created("/apis/networking.k8s.io/v1/namespaces/NS/ingresses", {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {}},
                 {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"rules": [{"http": {"paths": [{"path": "/", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]}}),
        *created("/api/v1/namespaces/NS/persistentvolumeclaims", {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {}},
                 {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"accessModes": ["x"], "resources": {"requests": {"storage": "0"}}}}),
        *created("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}}, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}),
        *created("/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "Nothing", "name": ""}, "subjects": [{"kind": "Robot", "name": "x"}]}),
        *created("/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "b"}, "rules": [{"verbs": []}, {"verbs": ["get"]}]},
                 {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "b/c"}, "rules": [{"verbs": ["get"], "resources": ["x"]}]}),
        *created("/apis/apps/v1/namespaces/NS/statefulsets", {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {**deployment()["spec"], "podManagementPolicy": "x"}}),
        *created("/apis/apps/v1/namespaces/NS/daemonsets", {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "db"}, "spec": {"selector": {}, "template": deployment()["spec"]["template"]}}),
    ],
    "changes": [
        Say("POST", CONFIGMAPS, config(), why="create"), Say("POST", CONFIGMAPS, config(), why="again"), Say("GET", f"{CONFIGMAPS}/settings"),
        Say("PATCH", f"{CONFIGMAPS}/settings", {"data": {"b": "2", "a": None}}, "merge"), Say("PATCH", f"{CONFIGMAPS}/settings", {"data": {"c": "3"}}, "strategic"),
        Say("PATCH", f"{CONFIGMAPS}/settings", [{"op": "replace", "path": "/data/b", "value": "x"}], "json"), Say("PATCH", f"{CONFIGMAPS}/settings", [{"op": "test", "path": "/data/b", "value": "y"}], "json"),
        Say("PATCH", f"{CONFIGMAPS}/settings", [{"op": "remove", "path": "/data/none"}], "json"), Say("PATCH", f"{CONFIGMAPS}/settings", [{"op": "replace", "path": "/data/none", "value": "1"}], "json"),
        Say("PATCH", f"{CONFIGMAPS}/settings", [{"op": "add", "path": "/nope/none", "value": "1"}], "json"), Say("PATCH", f"{CONFIGMAPS}/settings", [{"op": "wrong", "path": "/data"}], "json"),
        Say("PATCH", f"{CONFIGMAPS}/settings", {}, "json"), Say("PATCH", f"{CONFIGMAPS}/settings", [], "merge"), Say("PATCH", f"{CONFIGMAPS}/settings", "{", "merge"),
        Say("PATCH", f"{CONFIGMAPS}/settings", {}, "application/json"), Say("PATCH", f"{CONFIGMAPS}/settings", {"metadata": {"name": "other"}}, "merge"),
        Say("PATCH", f"{CONFIGMAPS}/settings", {"metadata": {"resourceVersion": "1"}}, "merge"), Say("PATCH", f"{CONFIGMAPS}/settings", {"metadata": {"uid": "1"}}, "merge"),
        Say("PUT", f"{CONFIGMAPS}/settings", config("other")), Say("PUT", f"{CONFIGMAPS}/settings", {**config(), "metadata": {"name": "settings", "resourceVersion": "1"}}),
        Say("PATCH", f"{CONFIGMAPS}/settings", {"immutable": True}, "merge"), Say("PATCH", f"{CONFIGMAPS}/settings", {"data": {"z": "1"}}, "merge"), Say("PATCH", f"{CONFIGMAPS}/settings", {"immutable": None}, "merge"),
        Say("DELETE", f"{CONFIGMAPS}/settings?dryRun=All"), Say("DELETE", f"{CONFIGMAPS}/settings", {"preconditions": {"uid": "x"}}), Say("DELETE", f"{CONFIGMAPS}/settings", {"propagationPolicy": "Never"}),
        Say("DELETE", f"{CONFIGMAPS}/settings"), Say("DELETE", f"{CONFIGMAPS}/settings"), Say("POST", SERVICES, service(), ignore=("clusterIP", "clusterIPs")),
        Say("PATCH", f"{SERVICES}/web", {"spec": {"ports": [{"port": 81, "name": "b"}]}}, "strategic", ignore=("clusterIP", "clusterIPs")), Say("PATCH", f"{SERVICES}/web", {"spec": {"type": "NodePort"}}, "merge", ignore=("clusterIP", "clusterIPs", "nodePort")),
        Say("PATCH", f"{SERVICES}/web", {"spec": {"clusterIP": "10.1.2.3"}}, "merge", ignore=("clusterIP", "clusterIPs")), Say("DELETE", f"{SERVICES}/web", ignore=("clusterIP", "clusterIPs", "nodePort")),
        Say("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}), Say("PATCH", f"{SECRETS}/s", {"type": "x"}, "merge"),
        Say("PATCH", f"{SECRETS}/s", {"stringData": {"n": "m"}}, "merge"),
        Say("DELETE", SECRETS),
    ],
    "deployment changes": [
        Say("POST", DEPLOYMENTS, deployment(), ignore=ROLLING), Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, "merge"),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": -2}}, "merge"), Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}, {"name": "b", "image": "c"}]}}}}, "strategic", ignore=ROLLING),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [{"name": "b", "$patch": "delete"}], "$setElementOrder/containers": [{"name": "web"}]}}}}, "strategic", ignore=ROLLING),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [{"image": "c"}]}}}}, "strategic"), Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, "strategic", ignore=ROLLING),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [{"name": "web", "ports": [{"containerPort": 81}], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}}}}, "strategic", ignore=ROLLING),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A", "$patch": "delete"}]}]}}}}, "strategic", ignore=ROLLING),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"unknown": 1}}, "merge", ignore=ROLLING), Say("PATCH", f"{DEPLOYMENTS}/web?fieldValidation=Strict", {"spec": {"unknown": 1}}, "merge", ignore=("message",)),
        Say("GET", f"{DEPLOYMENTS}/web/scale"), Say("PATCH", f"{DEPLOYMENTS}/web/scale", {"metadata": {"uid": "x"}, "spec": {"replicas": 2}}, "merge"), Say("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 2}}, "merge"), Say("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": -2}}, "merge"),
        Say("PUT", f"{DEPLOYMENTS}/web/scale", {"metadata": {"name": "web"}, "spec": {"replicas": 1}, "apiVersion": "autoscaling/v1", "kind": "Scale"}, ignore=("status",)),
        Say("PUT", f"{DEPLOYMENTS}/web/scale", {"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 1}, "apiVersion": "autoscaling/v1", "kind": "Scale"}),
        Say("PUT", f"{DEPLOYMENTS}/web/scale?dryRun=All", {"metadata": {"name": "web"}, "spec": {}, "apiVersion": "autoscaling/v1", "kind": "Scale"}, ignore=("status",)),
        Say("PATCH", f"{DEPLOYMENTS}/web", {"status": {"replicas": 99}}, "merge", ignore=(*ROLLING, "managedFields")), Say("DELETE", f"{DEPLOYMENTS}/web"),
    ],
    "apply": [
        Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=a", config("one"), "apply"), Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=a", config("one"), "apply", why="again"),
        Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=b", config("one", data={"a": "2"}), "apply", why="conflict"), Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=b&force=true", config("one", data={"a": "2"}), "apply"),
        Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=a", config("one", data={"b": "2"}), "apply", why="removed"), Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=b", config("one", data={"c": "2"}), "apply", why="removed too"),
        Say("PATCH", f"{CONFIGMAPS}/one", config("one"), "apply", why="no manager"), Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=u", {"data": {"b": "9", "c": "9"}}, "merge"),
        Say("PATCH", f"{CONFIGMAPS}/one?fieldManager=a", config("one", data={"b": "2", "c": "1"}), "apply", why="conflict with an update"),
        Say("PATCH", f"{DEPLOYMENTS}/web?fieldManager=a", deployment(), "apply", ignore=ROLLING), Say("PATCH", f"{DEPLOYMENTS}/web?fieldManager=b", deployment(replicas=1), "apply"),
        Say("PATCH", f"{DEPLOYMENTS}/web?fieldManager=b&dryRun=All", {**deployment(), "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x", "env": [{"name": "A", "value": "b"}]}]}}}}, "apply"),
        Say("PATCH", f"{DEPLOYMENTS}/web?fieldManager=a", {**deployment(), "metadata": {"name": "other"}}, "apply"), Say("PATCH", f"{DEPLOYMENTS}/web?fieldManager=a", {"spec": {}}, "apply"),
        Say("PATCH", f"{DEPLOYMENTS}/web?fieldManager=a", deployment(unknown=1), "apply", why="unknown field", ignore=ROLLING),
    ],
    "lists": [
        Say("POST", CONFIGMAPS, config("a", metadata={"name": "a", "labels": {"x": "1"}})), Say("POST", CONFIGMAPS, config("b", metadata={"name": "b", "labels": {"x": "2"}})),
        Say("GET", f"{CONFIGMAPS}?labelSelector=x%3D1"), Say("GET", f"{CONFIGMAPS}?labelSelector=x+in+(1,2)&limit=1", ignore=("continue",)), Say("GET", f"{CONFIGMAPS}?labelSelector=x!%3D1", ignore=("ca.crt", "managedFields")), Say("GET", f"{CONFIGMAPS}?labelSelector=!x", ignore=("items",)),
        Say("GET", f"{CONFIGMAPS}?labelSelector=x%3D%3D%3D"), Say("GET", f"{CONFIGMAPS}?labelSelector=a+b"), Say("GET", f"{CONFIGMAPS}?labelSelector=x+in+1"), Say("GET", f"{CONFIGMAPS}?labelSelector=,"), Say("GET", f"{CONFIGMAPS}?labelSelector=x+in+("),
        Say("GET", f"{CONFIGMAPS}?fieldSelector=metadata.name%3Da"), Say("GET", f"{CONFIGMAPS}?fieldSelector=data.a%3D1"), Say("GET", f"{PODS}?fieldSelector=spec.foo%3D1"), Say("GET", f"{PODS}?fieldSelector=x"), Say("GET", f"{DEPLOYMENTS}?fieldSelector=spec.replicas%3D1"),
        Say("GET", "/api/v1/namespaces/NS/events?fieldSelector=foo%3Dbar"), Say("GET", f"{CONFIGMAPS}?limit=x"), Say("GET", f"{CONFIGMAPS}?continue=zzz", ignore=("message",)), Say("GET", "/api/v1/namespaces/no-such/pods"), Say("GET", f"{CONFIGMAPS}?limit=1", ignore=("continue", "items")),
        Say("GET", f"{CONFIGMAPS}?watch=1&resourceVersion=x"), Say("GET", f"{CONFIGMAPS}/a?as=Table"), Say("GET", f"{CONFIGMAPS}", accept="text/html"), Say("GET", f"{SECRETS}?fieldSelector=type%3DOpaque"), Say("GET", "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue"),
    ],
    "reviews": [
        *(Say("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec})
          for spec in ACCESS),
        *(Say("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}, ignore=("reason",))
          for spec in ({"user": "nobody", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "x"}}, {"user": "x", "groups": ["system:authenticated"], "nonResourceAttributes": {"verb": "get", "path": "/version"}}, {"user": "nobody"},
                       {"user": "x", "groups": ["system:authenticated"], "resourceAttributes": {"verb": "create", "resource": "selfsubjectaccessreviews", "group": "authorization.k8s.io"}})),
        Say("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {}}),
        Say("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "no"}}),
        Say("POST", "/api/v1/namespaces/NS/serviceaccounts/none/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
        Say("POST", "/api/v1/namespaces/NS/serviceaccounts/default/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 5}}),
    ],
    "tables": [
        *(Say("GET", path, accept=TABLE, ignore=("rows", "description", "remainingItemCount")) for path in (
            "/api/v1/namespaces/NS/" + one for one in ["pods", "services", "configmaps", "secrets", "serviceaccounts", "endpoints", "events", "limitranges", "resourcequotas", "persistentvolumeclaims", "replicationcontrollers", "podtemplates"])),
        *(Say("GET", path, accept=TABLE, ignore=("rows", "description", "remainingItemCount")) for path in (
            "/api/v1/nodes", "/api/v1/namespaces", "/api/v1/persistentvolumes", "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets", "/apis/apps/v1/statefulsets", "/apis/apps/v1/daemonsets", "/apis/apps/v1/controllerrevisions",
            "/apis/batch/v1/jobs", "/apis/batch/v1/cronjobs", "/apis/autoscaling/v2/horizontalpodautoscalers", "/apis/policy/v1/poddisruptionbudgets", "/apis/networking.k8s.io/v1/ingresses", "/apis/networking.k8s.io/v1/ingressclasses",
            "/apis/networking.k8s.io/v1/networkpolicies", "/apis/rbac.authorization.k8s.io/v1/roles", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/apis/rbac.authorization.k8s.io/v1/rolebindings", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            "/apis/storage.k8s.io/v1/storageclasses", "/apis/storage.k8s.io/v1/csidrivers", "/apis/storage.k8s.io/v1/csinodes", "/apis/storage.k8s.io/v1/volumeattachments", "/apis/storage.k8s.io/v1/csistoragecapacities", "/apis/scheduling.k8s.io/v1/priorityclasses",
            "/apis/coordination.k8s.io/v1/leases", "/apis/discovery.k8s.io/v1/endpointslices", "/apis/events.k8s.io/v1/events", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/apiregistration.k8s.io/v1/apiservices", "/apis/node.k8s.io/v1/runtimeclasses",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations")),
    ],
    "pod security": [
        Say("PATCH", "/api/v1/namespaces/NS", {"metadata": {"labels": {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}}}, "merge", ignore=("managedFields",)),
        *created(PODS, pod(), pod(containers=[{"name": "a", "image": "b", "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}}}, {"name": "b", "image": "b"}]),
                 pod(hostNetwork=True, hostPID=True, volumes=[{"name": "v", "hostPath": {"path": "/"}}]), pod(securityContext={"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}})),
        *created(DEPLOYMENTS, deployment()),
        Say("PATCH", "/api/v1/namespaces/NS", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": None}}}, "merge", ignore=("managedFields",)),
        *created(PODS, pod(), pod(hostNetwork=True, hostPID=True, volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
                 pod(containers=[{"name": "a", "image": "b", "ports": [{"containerPort": 8, "hostPort": 8}], "securityContext": {"capabilities": {"add": ["NET_ADMIN", "KILL"]}}}])),
    ],
}  # fmt: skip
