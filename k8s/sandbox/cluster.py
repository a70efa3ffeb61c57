"""The practice cluster: its parts put together, started and stopped."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import ssl
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

from k8s.sandbox import load
from k8s.sandbox.api import certificates, eviction, execute, logs, metrics, reviews
from k8s.sandbox.api.server import Misbehaviour, Server
from k8s.sandbox.controllers import breaking
from k8s.sandbox.controllers.faults import FaultUnknown
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.controllers.wiring import wire
from k8s.sandbox.objects import people
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kinds
from k8s.sandbox.objects.rbac import Rights
from k8s.sandbox.objects.registry import Objects
from k8s.sandbox.objects.store import Store

NAME = "practice"


class Sandbox:
    """A running practice cluster. Make one with `await Sandbox.start(…)`; it is an async context manager.

    A folder of manifests that carries no RoleBinding and no ClusterRoleBinding makes everybody cluster-admin (through
    the group `practice`), so that others' folders work as they are. Where it has bindings, only these count.
    """

    def __init__(self) -> None:
        self.store, self.kinds, self.people = Store(), Kinds(), people.People()
        self.objects = Objects(self.store, self.kinds)
        self.objects.on_crd = self._crd
        self.rights = Rights(self.store)
        self.loop = Loop(self.objects)
        self.server = Server(self.objects, self.people, self.rights)
        self.server.control["break"] = self._break
        self.url = ""
        self.authority = ""  # the PEM that the server's certificate is checked against
        self._runner: web.ServerRunner | None = None

    @classmethod
    async def start(cls, manifests: Path | None = None, *, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Load the manifests (the default shop without a folder) and serve. ManifestBroken, OSError."""
        cluster = cls()
        found = await asyncio.to_thread(load.read, manifests)
        wire(cluster.loop)
        reviews.install(cluster.server)
        eviction.install(cluster.server, cluster.loop)
        logs.install(cluster.server, cluster.loop, found.logs)
        metrics.install(cluster.server, cluster.loop)
        execute.install(cluster.server, cluster.loop)
        cluster.objects.admission.default_accounts = False
        await load.Loader(cluster.objects, cluster.loop, cluster.people).load(found, practice=manifests is not None)
        cluster.objects.admission.default_accounts = True
        await cluster._serve(host, port)
        cluster.loop.memory["authority"] = cluster.authority
        cluster.loop.start()
        return cluster

    async def _serve(self, host: str, port: int) -> None:
        runner = web.ServerRunner(web.Server(self.server.handle, access_log=None), shutdown_timeout=0.2)
        await runner.setup()
        context, self.authority = await asyncio.to_thread(certificates.server_context, host)
        site = web.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        address = runner.addresses[0]
        self.url = f"https://{address[0]}:{address[1]}"

    async def stop(self) -> None:
        """Stop serving and forget everything."""
        await self.loop.stop()
        for resource in self.kinds.stored_ids():
            self.store.drop_resource(resource)
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _crd(self, name: str, crd: Json | None) -> None:
        if crd is not None:
            self.kinds.serve(crd)
            return
        spec = (self.store.get("customresourcedefinitions.apiextensions.k8s.io", "", name) or {}).get("spec")
        gone = name if spec is None else f"{spec['names']['plural']}.{spec['group']}"
        for one in list(self.store.each(gone)):
            self.store.remove(gone, one["metadata"].get("namespace", ""), one["metadata"]["name"])
        self.store.drop_resource(gone)
        self.kinds.withdraw(name)

    # for people and tests

    def kubeconfig(self, person: str, namespace: str = "default") -> dict[str, Any]:
        """A kubeconfig for a person, with everything in it. The token is made when it is first asked for."""
        authority = base64.b64encode(self.authority.encode()).decode()
        user = {"name": person, "user": {"token": self.people.token(person)}}
        context = {"name": NAME, "context": {"cluster": NAME, "user": person, "namespace": namespace}}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [user],
            "contexts": [context],
            "current-context": NAME,
        }

    def snapshot(self) -> list[Json]:
        """A copy of every object, in a settled order."""
        listed = [one.body for kind in sorted(self.kinds.stored_ids()) for _, one in self.store.ordered(kind, None)]
        return copy.deepcopy(listed)

    def get(self, resource: str, name: str, namespace: str = "") -> Json | None:
        """A copy of one object by resource id (`pods`, `deployments.apps`), or None."""
        return copy.deepcopy(self.store.get(resource, namespace, name))

    async def settle(self) -> None:
        """Wait until the controllers have nothing left to do now or within two seconds."""
        await self.loop.settle()

    async def break_(self, target: str, fault: str) -> str:
        """Let a fault befall `namespace/workload` (or `nodes/NAME`); what was done, in a sentence. FaultUnknown."""
        return breaking.inject(self.loop, target, fault)

    def misbehave(
        self,
        match: str,
        status: int = 0,
        *,
        times: int = 1,
        delay: float = 0.0,
        truncate: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> Misbehaviour:
        """Answer the next `times` requests that match (`PATCH */deployments/*`) badly; delay in seconds."""
        one = Misbehaviour(match, status, times, delay, truncate, headers or {})
        self.server.misbehaviours.append(one)
        return one

    async def _break(self, body: Json) -> Json:
        try:
            return {"message": await self.break_(str(body.get("target", "")), str(body.get("fault", "")))}
        except FaultUnknown as unknown:
            return {"error": str(unknown)}


def write_kubeconfigs(cluster: Sandbox, folder: Path, names: tuple[str, ...] = tuple(people.GROUPS)) -> list[Path]:
    """Write one kubeconfig per person into a folder, readable by its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        path = folder / f"{name}.yaml"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(yaml.safe_dump(cluster.kubeconfig(name), sort_keys=False))
        written.append(path)
    return written


async def serve(manifests: Path | None, *, host: str = "127.0.0.1", port: int = 0, kubeconfigs: Path | None = None) -> Sandbox:
    """Start a practice cluster and write its kubeconfigs; the caller waits and stops it."""
    cluster = await Sandbox.start(manifests, host=host, port=port)
    if kubeconfigs is not None:
        await asyncio.to_thread(write_kubeconfigs, cluster, kubeconfigs)
    return cluster


async def break_remote(kubeconfig: Path, target: str, fault: str) -> str:
    """Let a fault befall something in a practice cluster of another process, with its admin kubeconfig.

    Raises FaultUnknown where the cluster says that it cannot, and aiohttp.ClientError where it is not there.
    """
    config = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text))
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    trusted = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{cluster['server']}/kubechat.dev/break", json={"target": target, "fault": fault}, ssl=trusted) as answer,
    ):
        body = json.loads(await answer.text())
    if "message" not in body or body.get("error"):
        raise FaultUnknown(body.get("error") or "the practice cluster gave no answer")
    if body.get("kind") == "Status":
        raise FaultUnknown(body["message"])
    return str(body["message"])
