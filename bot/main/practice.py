"""The practice cluster as KubeChat uses it: started, its people mapped, broken on request."""

import asyncio
import fcntl
import itertools
import json
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bot import identity
from bot.database import Database
from bot.identity import KubeconfigMapping
from bot.main.parts import PracticeUnusable
from bot.settings import home
from k8s.sandbox import GROUPS, FaultUnknown, ManifestBroken, Sandbox, break_remote
from k8s.sandbox import serve as start_serving

CLUSTER = "practice"
WORKSPACE = "practice"
SHOP_PEOPLE = frozenset(GROUPS) - {"admin", "kubechat"}
"""Those who chat in the shop that comes with KubeChat: alice develops, bob approves, carol looks on, dave is new."""
APPROVERS = frozenset({"bob"})


async def _start(manifests: Path | None, **options: Any) -> Sandbox:
    try:
        return await start_serving(manifests, **options)
    except ManifestBroken as error:
        raise PracticeUnusable(f"The practice cluster cannot be filled: {error}") from error


@contextmanager
def _own_workspace() -> Iterator[str]:
    """A workspace that no other practice of this home uses now, else one would speak to the other's cluster."""
    for number in itertools.count(1):
        name = WORKSPACE if number == 1 else f"{WORKSPACE}-{number}"
        with (home() / f"{name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return


@asynccontextmanager
async def practice_cluster(
    database: Database, manifests: Path | None, people: Iterable[str], approvers: Iterable[str] = ()
) -> AsyncIterator[str]:
    """A practice cluster with everybody mapped who belongs to it; gives the workspace that they chat in.

    Of the shop that comes with KubeChat, only its own people are mapped, so that a stranger meets what a stranger meets. In
    a folder of one's own, everybody named is.
    """
    sandbox = await _start(manifests)
    try:
        with _own_workspace() as workspace:
            await _map_people(database, sandbox, workspace, manifests, people, approvers)
            yield workspace
    finally:
        await sandbox.stop()


async def _map_people(
    database: Database,
    sandbox: Sandbox,
    workspace: str,
    manifests: Path | None,
    people: Iterable[str],
    approvers: Iterable[str],
) -> None:
    known = SHOP_PEOPLE | (set(people) if manifests else set())
    for person in sorted(known):
        key = f"terminal/{workspace}/{person}"
        roles = ["approver"] if person in {*APPROVERS, *approvers} else []
        await identity.add_account(database, key, person, roles)
        kubeconfig = sandbox.kubeconfig(person, namespace="default" if manifests else "shop")
        await identity.map_user(database, key, CLUSTER, KubeconfigMapping(json.dumps(kubeconfig)), identity=person)


def _folder(kubeconfigs: Path | None) -> Path:
    return kubeconfigs or home() / "sandbox"


async def serve(manifests: Path | None, port: int, kubeconfigs: Path | None) -> int:
    """Serve until interrupted, with a kubeconfig a person in a folder."""
    folder = _folder(kubeconfigs)
    sandbox = await _start(manifests, port=port, kubeconfigs=folder)
    try:
        print(f"Practice cluster at {sandbox.url}; kubeconfigs in {folder}", flush=True)  # noqa: T201
        print(f"  kubectl --kubeconfig {folder / 'alice.yaml'} get pods -n shop", flush=True)  # noqa: T201
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()
    finally:
        await sandbox.stop()
    return 0


async def break_served(target: str, fault: str, kubeconfigs: Path | None) -> int:
    """Break something in the cluster that `serve` started."""
    admin = _folder(kubeconfigs) / "admin.yaml"
    if not admin.exists():
        raise PracticeUnusable(
            f"No practice cluster was started here: {admin} is missing. Start one with `kubechat sandbox serve`."
        )
    try:
        print(await break_remote(admin, target, fault))  # noqa: T201
    except FaultUnknown as error:
        raise PracticeUnusable(str(error)) from error
    except aiohttp.ClientError as error:
        raise PracticeUnusable(
            f"The practice cluster does not answer: {error}. Start it again with `kubechat sandbox serve`."
        ) from error
    return 0
