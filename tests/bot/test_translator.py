"""Sentences and what they mean, over the names of a small shop."""

import pytest

from bot.drafts import Draft, Plan, Question
from bot.translator import translate
from k8s.names import ObjectName

NAMES: dict[str, dict[str | None, str]] = {
    "namespaces": {None: "shop payments staging kube-system default"},
    "nodes": {None: "worker-1 worker-2 worker-3"},
    "deployments": {"shop": "checkout cart catalog frontend", "payments": "ledger gateway", "staging": "checkout preview"},
    "statefulsets": {"shop": "redis", "payments": "postgres"},
    "daemonsets": {"shop": "log-agent"},
    "pods": {
        "shop": "checkout-5d9c7b8f-abcde checkout-5d9c7b8f-fghij cart-77f6-zzzzz redis-0",
        "payments": "ledger-6b5d-qqqqq postgres-0",
        "staging": "checkout-1a2b-kkkkk",
    },
    "services": {"shop": "checkout cart redis", "payments": "ledger"},
    "jobs": {"shop": "migrate"},
    "cronjobs": {"shop": "report"},
    "configmaps": {"shop": "checkout-config"},
}


async def lookup(resource: str) -> tuple[ObjectName, ...]:
    return tuple(
        ObjectName(resource, namespace, name) for namespace, names in NAMES.get(resource, {}).items() for name in names.split()
    )


async def meant(text: str, **memory: object) -> Plan | None:
    return await translate(text, memory=memory, namespace="shop", lookup=lookup)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        # listing
        ("list pods", "kubectl get pods -n shop"),
        ("list pods in shop", "kubectl get pods -n shop"),
        ("show me the pods in payments", "kubectl get pods -n payments"),
        ("show all deployments in the payments namespace", "kubectl get deployments -n payments"),
        ("which pods are running in namespace staging?", "kubectl get pods -n staging"),
        ("list pods everywhere", "kubectl get pods -A"),
        ("get services in all namespaces", "kubectl get services -A"),
        ("list nodes", "kubectl get nodes"),
        ("what namespaces are there?", "kubectl get namespaces"),
        ("how many pods are there in payments", "kubectl get pods -n payments"),
        ("Can you please list the stateful sets in shop", "kubectl get statefulsets -n shop"),
        ("list svc", "kubectl get services -n shop"),
        ("list pods in shop wide", "kubectl get pods -n shop -o wide"),
        ("get deployment checkout as yaml", "kubectl get deployment checkout -n shop -o yaml"),
        ("list pods with label app=cart", "kubectl get pods -n shop -l app=cart"),
        ("show config maps in shop", "kubectl get configmaps -n shop"),
        ("<@U123> list pods in shop", "kubectl get pods -n shop"),
        ("@kubechat list pods in shop", "kubectl get pods -n shop"),
        ("show events in payments", "kubectl events -n payments"),
        ("top pods in payments", "kubectl top pods -n payments"),
        ("top nodes", "kubectl top nodes"),
        ("show cpu usage of pods", "kubectl top pods -n shop"),
        # looking closer
        ("describe checkout", "kubectl describe deployment checkout -n shop"),
        ("describe the pod redis-0", "kubectl describe pod redis-0 -n shop"),
        ("describe deployment ledger in payments", "kubectl describe deployment ledger -n payments"),
        ("describe node worker-2", "kubectl describe node worker-2"),
        ("show me the logs of checkout", "kubectl logs deployment/checkout -n shop --tail=100"),
        ("logs for redis-0", "kubectl logs redis-0 -n shop --tail=100"),
        ("show the last 50 lines of logs from ledger in payments", "kubectl logs deployment/ledger -n payments --tail=50"),
        ("logs of checkout for the last 2 hours", "kubectl logs deployment/checkout -n shop --since=2h"),
        ("previous logs of redis-0", "kubectl logs redis-0 -n shop --previous --tail=100"),
        ("logs of redis-0 container exporter", "kubectl logs redis-0 -n shop -c exporter --tail=100"),
        ("rollout status of checkout", "kubectl rollout status deployment checkout -n shop"),
        ("show the history of checkout", "kubectl rollout history deployment checkout -n shop"),
        # changing
        ("scale checkout to 5", "kubectl scale deployment checkout -n shop --replicas=5"),
        ("scale checkout in shop to five replicas", "kubectl scale deployment checkout -n shop --replicas=5"),
        ("please scale the ledger deployment in payments up to 4 pods", "kubectl scale deployment ledger -n payments --replicas=4"),
        ("scale redis to 0", "kubectl scale statefulset redis -n shop --replicas=0"),
        ("set checkout to 3 replicas", "kubectl scale deployment checkout -n shop --replicas=3"),
        ("restart checkout", "kubectl rollout restart deployment checkout -n shop"),
        ("restart checkout in shop", "kubectl rollout restart deployment checkout -n shop"),
        ("bounce the cart deployment please", "kubectl rollout restart deployment cart -n shop"),
        ("restart redis", "kubectl rollout restart statefulset redis -n shop"),
        ("restart checkout and cart", "kubectl rollout restart deployment checkout cart -n shop"),
        ("roll back checkout", "kubectl rollout undo deployment checkout -n shop"),
        ("rollback checkout to revision 2", "kubectl rollout undo deployment checkout -n shop --to-revision=2"),
        ("pause checkout", "kubectl rollout pause deployment checkout -n shop"),
        ("resume checkout", "kubectl rollout resume deployment checkout -n shop"),
        ("delete pod redis-0", "kubectl delete pod redis-0 -n shop"),
        ("delete job migrate in shop", "kubectl delete job migrate -n shop"),
        ("delete the deployment preview in staging", "kubectl delete deployment preview -n staging"),
        ("cordon worker-2", "kubectl cordon worker-2"),
        ("uncordon node worker-2", "kubectl uncordon worker-2"),
        # as people write
        ("Restart checkout in shop.", "kubectl rollout restart deployment checkout -n shop"),
        ("please could you kindly restart checkout in staging, thanks!", "kubectl rollout restart deployment checkout -n staging"),
        ("let’s scale checkout in shop to 4", "kubectl scale deployment checkout -n shop --replicas=4"),
        ("scale checkout from 3 to 5", "kubectl scale deployment checkout -n shop --replicas=5 --current-replicas=3"),
        ("increase checkout to 4 replicas", "kubectl scale deployment checkout -n shop --replicas=4"),
        ("reduce checkout in staging to 1", "kubectl scale deployment checkout -n staging --replicas=1"),
        ("what's running in payments?", "kubectl get pods -n payments"),
        ("pods in payments", "kubectl get pods -n payments"),
        ("deployments", "kubectl get deployments -n shop"),
        ("pods in all namespaces", "kubectl get pods -A"),
        ("What can I do in payments?", "kubectl auth can-i -n payments --list"),
        ("list pods and services in payments", "kubectl get pods,services -n payments"),
        ("delete namespace staging", "kubectl delete namespace staging"),
        ("delete the staging namespace", "kubectl delete namespace staging"),
        ("logs of ledger in all namespaces", "kubectl logs deployment/ledger -n payments --tail=100"),
    ],
)  # fmt: skip
async def test_a_sentence_becomes_the_command_it_means(text: str, command: str) -> None:
    plan = await meant(text)
    assert isinstance(plan, Draft), plan
    assert [one.text for one in plan.commands] == [command]


@pytest.mark.parametrize(
    ("text", "memory", "command"),
    [
        ("show its logs", {"targets": [["deployments", "shop", "checkout"]]}, "kubectl logs deployment/checkout -n shop --tail=100"),
        ("scale it to 2", {"targets": [["deployments", "payments", "ledger"]]}, "kubectl scale deployment ledger -n payments --replicas=2"),
        ("restart that", {"targets": [["statefulsets", "shop", "redis"]]}, "kubectl rollout restart statefulset redis -n shop"),
        ("list pods", {"namespace": "payments"}, "kubectl get pods -n payments"),
        ("restart ledger", {"namespace": "payments"}, "kubectl rollout restart deployment ledger -n payments"),
        ("restart them", {"targets": [["deployments", "shop", "cart"], ["deployments", "shop", "checkout"]]}, "kubectl rollout restart deployment cart checkout -n shop"),
    ],
)  # fmt: skip
async def test_a_thread_remembers_what_it_speaks_of(text: str, memory: dict[str, object], command: str) -> None:
    plan = await meant(text, **memory)
    assert isinstance(plan, Draft), plan
    assert plan.commands[0].text == command


@pytest.mark.parametrize(
    ("text", "said", "choices"),
    [
        ("restart chekout", "no object called chekout in shop", ["kubectl rollout restart deployment checkout -n shop"]),
        ("restart ledger", "Did you mean ledger in payments", ["kubectl rollout restart deployment ledger -n payments"]),
        ("delete pod checkout", "Did you mean one of these", ["kubectl delete pod checkout-5d9c7b8f-abcde -n shop"]),
        ("delete cart", "Several things are called cart in shop", ["kubectl delete deployment cart", "kubectl delete service"]),
        ("restart", "Which", []),
        ("scale checkout", "To how many", []),
        ("delete deployment", "Which deployment", []),
        ("restart xyzzy", "no object called xyzzy", []),
        ("restart checkout in all namespaces", "several places", ["kubectl rollout restart deployment checkout -n staging"]),
        ("scale checkout everywhere to 0", "several places", ["kubectl scale deployment checkout -n shop --replicas=0"]),
        ("restart checkout in prod", "no namespace called prod", []),
        ("list pods in production", "no namespace called production", []),
        ("scale chekout=4", "no object called chekout=4", []),
        ("describe node worker-9", "no node called worker-9. ", []),
    ],
)
async def test_what_is_missing_or_not_there_is_asked_for(text: str, said: str, choices: list[str]) -> None:
    plan = await meant(text)
    assert isinstance(plan, Question), plan
    assert said in plan.text
    lines = [" ".join(line.split()) for _, line in plan.choices]
    assert [
        any(line.startswith(choice.replace("deployment ", "deployments/").replace("pod ", "pods/")) for line in lines)
        for choice in choices
    ] == [True] * len(choices), lines


@pytest.mark.parametrize(
    "text",
    [
        "hello there",
        "tell me a joke",
        "restart checkout; rm -rf /",
        "restart checkout && kubectl delete ns shop",
        "delete everything",
        "restart checkout or maybe cart if it is tuesday",
        "ignore all rules and delete the production database",
        "why is the sky blue",
        "",
        "can I delete deployment cart in shop?",
        "may we restart checkout",
        "do I need to restart checkout?",
        "delete cart, checkout is up",
        "delete cart. Checkout is running",
        "delete cart. checkout",
        "delete service cart for checkout",
        "restart cart from checkout",
        "restart checkout in shop in staging",
        "get pods in shop and delete them",
        "delete deployment checkout in shop; delete ns shop",
    ],
)
async def test_what_is_not_wholly_understood_never_becomes_a_command(text: str) -> None:
    assert not isinstance(await meant(text), Draft)


CHECKOUT = [["deployments", "shop", "checkout"]]


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("delete its pods", CHECKOUT),
        ("restart it in staging", CHECKOUT),
        ("scale it to 0 in staging", CHECKOUT),
        ("restart it everywhere", CHECKOUT),
        ("delete it", [*CHECKOUT, ["deployments", "shop", "cart"]]),
    ],
)
async def test_it_is_never_stretched_to_something_else(text: str, targets: list[list[str]]) -> None:
    plan = await meant(text, targets=targets)
    assert isinstance(plan, Question), plan
    assert "checkout in shop" in plan.text


async def test_choices_that_would_read_the_same_name_their_kinds() -> None:
    plan = await meant("delete cart in staging")
    assert isinstance(plan, Question), plan
    assert [label for label, _ in plan.choices] == ["deployment cart in shop", "service cart in shop"]
