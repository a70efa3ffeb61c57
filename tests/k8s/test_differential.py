"""The real kubectl and KubeChat run the same commands in two fresh namespaces of the real control plane; the objects left and
the messages must be equal, and what fails must fail for the same reason.

The table is tests/k8s/differential/*.txt: a command a line, in order, for each file its own two namespaces with the objects of
setup.yaml. `{ns}` is the namespace, `-f NAME` a file of differential/manifests. A line that begins with `!` must fail; with `~`
the objects must be equal and the messages are meant to differ (docs/verbs.md says how); with `!~` both must fail, each with
words of its own.
"""

import asyncio
import json
import os
import re
import secrets
import shlex
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from k8s.access import ClusterAccess, KubeconfigCredentials, connect
from k8s.client import ClusterClient, Limits
from k8s.errors import ApiError, ClusterError, PartlyDone, explain
from k8s.execute import execute
from k8s.grammar import CommandRefused, parse
from k8s.kubeconfig import check_kubeconfig
from k8s.render import columns_text
from tests.clusters import exists, until
from tests.controlplane.cluster import ControlPlane

FOLDER = Path(__file__).parent / "differential"
AT_ONCE = 4
"""Files that run at the same time: kubectl keeps a core busy for most of its 65 ms."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    file: str
    number: int
    mark: str
    command: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.command}"


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a line on one side, with `{ns}` for the namespace. `reason` is empty where all went well."""

    said: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both sides of a line. `apart` are the fields in which the objects left differ since this line: mine, theirs."""

    mine: Ran
    theirs: Ran
    apart: dict[str, tuple[Any, Any]]


@cache
def table() -> tuple[Line, ...]:
    lines = []
    for path in sorted(FOLDER.glob("*.txt")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if text and not text.startswith("#"):
                mark = text.split()[0] if text[0] in "!~" else ""
                lines.append(Line(path.stem, number, mark, text.removeprefix(mark).strip()))
    return tuple(lines)


# --- both sides -----------------------------------------------------------------------------------------------------------


async def by_kubectl(plane: ControlPlane, namespace: str, line: Line) -> tuple[str, str]:
    """Output and error."""
    words, files = arguments(line, namespace)
    process = await asyncio.create_subprocess_exec(
        plane.kubectl_program, f"--kubeconfig={plane.kubeconfig_file('admin')}", f"--namespace={namespace}", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(plane.folder)},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate("\n".join(files.values()).encode()), 60)
    failed = err.decode().strip() or "failed" if process.returncode else ""
    return out.decode(), failed


async def by_kubechat(client: ClusterClient, namespace: str, line: Line) -> tuple[str, str]:
    """Text and error."""
    words, files = arguments(line, namespace)
    try:
        command = parse(shlex.join(words), files=files, manifest=next(iter(files.values()), None))
        result = await execute(client, command.within(namespace), limits=Limits(seconds=60))
    except CommandRefused as refused:
        return "", f"refused: {refused.reason}"
    except ClusterError as error:
        cause = error.cause if isinstance(error, PartlyDone) else error
        return "", f"server: {reason_of(cause)}" if isinstance(cause, ApiError) else f"invalid: {explain(error)}"
    return "\n".join([result.text, *(columns_text(each) for each in result.tables)]), ""


def reason_of(error: ApiError) -> str:
    """The server's words: kubectl prints the causes of an invalid object a line each, so they are taken one by one."""
    causes = [cause.get("message", "") for cause in error.details.get("causes") or () if error.reason == "Invalid"]
    return "\n".join(causes or [error.message])


def arguments(line: Line, namespace: str) -> tuple[list[str], dict[str, str]]:
    """The words of the line with -f NAME as -f -, and the file."""
    words = shlex.split(line.command.replace("{ns}", namespace))
    files: dict[str, str] = {}
    for index, word in enumerate(words):
        if word == "-f" and words[index + 1] != "-":
            files[words[index + 1]] = (FOLDER / "manifests" / words[index + 1]).read_text().replace("{ns}", namespace)
            words[index + 1] = "-"
    return words, files


# --- what is left ---------------------------------------------------------------------------------------------------------

NAMESPACED = (
    *(f"/api/v1/{kind}" for kind in ("configmaps", "secrets", "services", "serviceaccounts", "pods", "resourcequotas")),
    "/apis/apps/v1/deployments", "/apis/apps/v1/statefulsets", "/apis/apps/v1/daemonsets",
    "/apis/batch/v1/jobs", "/apis/batch/v1/cronjobs", "/apis/networking.k8s.io/v1/ingresses",
    "/apis/rbac.authorization.k8s.io/v1/roles", "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/policy/v1/poddisruptionbudgets", "/apis/autoscaling/v2/horizontalpodautoscalers",
)  # fmt: skip
CLUSTER_WIDE = (
    "/api/v1/nodes", "/api/v1/namespaces", "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
)  # fmt: skip


async def left(client: ClusterClient, *namespaces: str) -> list[dict[str, Any]]:
    """For each namespace all fields of its objects, and of those of the cluster whose names hold its name, by their paths."""
    everywhere = await asyncio.gather(*(client.items(path) for path in CLUSTER_WIDE))
    inside = await asyncio.gather(*(_inside(client, namespace) for namespace in namespaces))
    found = []
    for namespace, items in zip(namespaces, inside, strict=True):
        items += [item for part in everywhere for item in part if namespace in item["metadata"]["name"]]
        fields: dict[str, Any] = {}
        for item in items:
            if not is_made_by_a_controller(item):
                value = json.loads(json.dumps(normalised(item)).replace(namespace, "{ns}"))
                fields |= leaves(f"{value['kind']}/{value['metadata']['name']}", value)
        found.append(fields)
    return found


async def _inside(client: ClusterClient, namespace: str) -> list[dict[str, Any]]:
    paths = [re.sub(r"/v[12]/", lambda version: f"{version[0]}namespaces/{namespace}/", path) for path in NAMESPACED]
    return [item for part in await asyncio.gather(*(client.items(path) for path in paths)) for item in part]


def leaves(path: str, value: Any) -> dict[str, Any]:
    """Every field at every depth."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    parts = [leaves(f"{path}.{key}", item) for key, item in pairs]
    return {key: item for part in parts for key, item in part.items()} or {path: value}


def is_made_by_a_controller(item: dict[str, Any]) -> bool:
    owned = any(owner.get("controller") and owner["kind"] != "CronJob" for owner in item["metadata"].get("ownerReferences") or ())
    return owned or item["metadata"]["name"] == "kube-root-ca.crt"


MADE_UP = frozenset(
    {"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields", "selfLink"}
)
MADE_UP_KEYS = frozenset(
    {
        "clusterIP",
        "clusterIPs",
        "nodePort",
        "healthCheckNodePort",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "nodeName",
    }
    | {"deployment.kubernetes.io/revision", "kubectl.kubernetes.io/restartedAt", "timeAdded", "podCIDR", "podCIDRs", "finalizers"}
)


def normalised(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in MADE_UP}
    kept = {key: value for key, value in item.items() if key != "status"}
    result: dict[str, Any] = without_chance({**kept, "metadata": metadata})
    return result


def without_chance(value: Any) -> Any:
    if isinstance(value, list):
        return [without_chance(each) for each in value if not is_chance(each)]
    if isinstance(value, dict):
        kept = {key: without_chance(item) if key not in MADE_UP_KEYS else item == "None" for key, item in value.items()}
        kept.pop("uid", None)  # of an owner
        return {key: item for key, item in kept.items() if item not in ({}, [], None)}
    return re.sub(r"kube-api-access-\w+", "kube-api-access", value) if isinstance(value, str) else value


def is_chance(value: Any) -> bool:
    """Taints that the node controller writes when it likes."""
    return isinstance(value, dict) and str(value.get("key", "")).startswith("node.kubernetes.io/") and "effect" in value


# --- the run --------------------------------------------------------------------------------------------------------------


async def one_file(plane: ControlPlane, client: ClusterClient, lines: list[Line]) -> dict[Line, Outcome]:
    """All lines of a file, on both sides."""
    mine, theirs = f"diff-{secrets.token_hex(4)}", f"diff-{secrets.token_hex(4)}"
    await asyncio.gather(set_up(client, mine), set_up(client, theirs))
    found: dict[Line, Outcome] = {}
    before: dict[str, tuple[Any, Any]] = {}
    for line in lines:
        done = await asyncio.gather(by_kubechat(client, mine, line), by_kubectl(plane, theirs, line))
        my_side, their_side = (
            Ran(*(text.replace(name, "{ns}").strip() for text in said)) for name, said in zip((mine, theirs), done, strict=True)
        )
        apart = await differences(client, mine, theirs, before)
        new = {path: values for path, values in apart.items() if before.get(path) != values}
        found[line], before = Outcome(my_side, their_side, new), apart
    for name in (mine, theirs):
        await client.request("DELETE", f"/api/v1/namespaces/{name}", body={"kind": "DeleteOptions", "apiVersion": "v1"})
    return found


async def differences(
    client: ClusterClient, mine: str, theirs: str, before: dict[str, tuple[Any, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Fields that differ once controllers have had the time to be equally far on both sides: at most 3 seconds."""
    deadline = time.monotonic() + 3
    while True:
        one, other = await left(client, mine, theirs)
        apart = {path: (one.get(path), other.get(path)) for path in one.keys() | other.keys() if one.get(path) != other.get(path)}
        if not apart.keys() - before.keys() or time.monotonic() > deadline:
            return apart
        await asyncio.sleep(0.1)


async def set_up(client: ClusterClient, namespace: str) -> None:
    await client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
    await until(lambda: exists(client, f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
    manifest = (FOLDER / "setup.yaml").read_text().replace("{ns}", namespace)
    for value in yaml.safe_load_all(manifest):
        command = parse("create -f -", manifest=json.dumps(value)).within(namespace if value["kind"] != "Node" else None)
        await execute(client, command)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outcomes(workloads: ControlPlane) -> dict[Line, Outcome]:
    """Every line of the table, run."""
    credentials = KubeconfigCredentials(check_kubeconfig(json.dumps(workloads.kubeconfig("admin"))))
    client = await connect(ClusterAccess("real", "admin", credentials))
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(file: str) -> dict[Line, Outcome]:
        async with gate:
            return await one_file(workloads, client, [line for line in table() if line.file == file])

    try:
        parts = await asyncio.gather(*(run(file) for file in sorted({line.file for line in table()})))
    finally:
        await client.close()
    return {line: both for part in parts for line, both in part.items()}


@pytest.mark.parametrize("line", table(), ids=str)
def test_same_as_kubectl(outcomes: dict[Line, Outcome], line: Line) -> None:
    outcome = outcomes[line]
    mine, theirs = outcome.mine, outcome.theirs
    assert (bool(mine.reason), bool(theirs.reason)) == (line.mark.startswith("!"),) * 2, (mine.reason, theirs.reason)
    assert outcome.apart == {}
    if line.mark == "!":
        check_reasons(mine.reason, theirs.reason)
    elif line.mark != "~":
        assert mine.said.splitlines() == theirs.said.splitlines()


def check_reasons(mine: str, theirs: str) -> None:
    """What the server refuses must be refused in the server's words on both sides; the rest both refuse by themselves."""
    where, _, message = mine.partition(": ")
    if where == "server":
        assert all(line in theirs for line in message.splitlines()), (mine, theirs)
    else:
        assert not theirs.startswith("Error from server"), (mine, theirs)
