"""Reading through KubeChat against the kubectl process, on the same API server and with the same person's credentials."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

from k8s.access import ClusterAccess, KubeconfigCredentials, connect
from k8s.execute import execute
from k8s.grammar import parse
from k8s.kubeconfig import check_kubeconfig
from tests.controlplane import build, cluster

PODS = 20
AT_ONCE = 16


async def run() -> list[dict[str, Any]]:
    """Milliseconds for one `get pods`, and how many a second with 16 at once."""
    try:
        programs = build.find()
    except build.ProgramsMissing as missing:
        print(f"  left out: {missing}")
        return []
    with cluster.running(programs) as plane:
        await asyncio.to_thread(_fill, plane)
        kubeconfig = plane.kubeconfig_file("admin")
        return await _measure(plane.kubectl_program, kubeconfig)


def _fill(plane: cluster.ControlPlane) -> None:
    plane.kubectl("admin", "create", "namespace", "bench")
    plane.kubectl("admin", "create", "deployment", "web", "--image=nginx:1.27", f"--replicas={PODS}", "-n", "bench")
    plane.kubectl("admin", "rollout", "status", "deployment/web", "-n", "bench", "--timeout=60s")


async def _measure(kubectl: Path, kubeconfig: Path) -> list[dict[str, Any]]:
    text = await asyncio.to_thread(kubeconfig.read_text)
    access = ClusterAccess("bench", "admin", KubeconfigCredentials(check_kubeconfig(yaml.safe_dump(yaml.safe_load(text)))))
    client = await connect(access)
    command = parse("get pods -n bench")

    async def natively() -> None:
        result = await execute(client, command)
        assert len(result.tables[0].rows) == PODS

    async def process() -> None:
        arguments = ("--kubeconfig", str(kubeconfig), "get", "pods", "-n", "bench")
        started = await asyncio.create_subprocess_exec(str(kubectl), *arguments, stdout=asyncio.subprocess.PIPE)
        output, _ = await started.communicate()
        assert len(output.splitlines()) == PODS + 1

    try:
        ours, theirs = await _milliseconds(natively, 200), await _milliseconds(process, 20)
        our_rate, their_rate = await _rate(natively, 3.0), await _rate(process, 5.0)
    finally:
        await client.close()
    return [
        {"name": "get pods, one at a time (median)", "value": ours, "unit": "ms", "reference": theirs, "ratio": theirs / ours},
        {
            "name": f"get pods, {AT_ONCE} at once",
            "value": our_rate,
            "unit": "1/s",
            "reference": their_rate,
            "ratio": our_rate / their_rate,
        },
    ]


async def _milliseconds(work: Callable[[], Awaitable[None]], times: int) -> float:
    await work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


async def _rate(work: Callable[[], Awaitable[None]], seconds: float) -> float:
    """How many a second, with AT_ONCE callers who ask again as soon as they have their answer."""
    done = 0
    started = time.perf_counter()

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            await work()
            done += 1

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - started)
