"""The practice cluster as KubeChat uses it: started, its people mapped, broken on request."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from bot import identity
from bot.database import Database
from bot.identity import KubeconfigMapping
from bot.settings import home
from k8s.sandbox import Sandbox, break_remote

CLUSTER = "practice"
WORKSPACE = "practice"
APPROVERS = frozenset({"bob"})


@asynccontextmanager
async def practice_cluster(
    database: Database, manifests: Path | None, people: Iterable[str], approvers: Iterable[str] = ()
) -> AsyncIterator[Sandbox]:
    """A practice cluster with everybody mapped who belongs to it.

    Of the shop that comes with KubeChat, only its own people are mapped, so that a stranger meets what a stranger meets. In
    a folder of one's own, everybody named is.
    """
    sandbox = await Sandbox.start(manifests)
    try:
        known = set(sandbox.people) | (set(people) if manifests else set())
        for person in sorted(known):
            key = f"terminal/{WORKSPACE}/{person}"
            roles = ["approver"] if person in {*APPROVERS, *approvers} else []
            await identity.add_account(database, key, person, roles)
            kubeconfig = sandbox.kubeconfig(person)
            await identity.map_user(database, key, CLUSTER, KubeconfigMapping(json.dumps(kubeconfig)), identity=person)
        yield sandbox
    finally:
        await sandbox.stop()


def _folder(kubeconfigs: Path | None) -> Path:
    return kubeconfigs or home() / "sandbox"


async def serve(manifests: Path | None, port: int, kubeconfigs: Path | None) -> int:
    """Serve until interrupted, with a kubeconfig a person in a folder."""
    folder = _folder(kubeconfigs)
    sandbox = await Sandbox.start(manifests, port=port)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for person in (*sandbox.people, "admin"):
            path = folder / f"{person}.kubeconfig"
            path.touch(mode=0o600)
            path.write_text(yaml.safe_dump(sandbox.kubeconfig(person)), encoding="utf-8")
        print(f"Practice cluster at {sandbox.url}; kubeconfigs in {folder}", flush=True)  # noqa: T201
        print(f"  kubectl --kubeconfig {folder / 'alice.kubeconfig'} get pods -A", flush=True)  # noqa: T201
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()
    finally:
        await sandbox.stop()
    return 0


async def break_served(target: str, fault: str, kubeconfigs: Path | None) -> int:
    """Break something in the cluster that `serve` started."""
    config = yaml.safe_load((_folder(kubeconfigs) / "admin.kubeconfig").read_text("utf-8"))
    print(await break_remote(config, target, fault))  # noqa: T201
    return 0
