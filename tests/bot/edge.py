"""What stands between KubeChat and a cluster in the tests: it notes every request, and can spoil an answer."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

Meddle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]
"""Looks at a request before it goes on. What it returns is the answer; None lets the request through."""

_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request. `dry` is one that changes nothing: a dry run, a question about rights, the bot's asking for a token."""

    method: str
    path: str
    dry: bool


@dataclass(slots=True)
class Edge:
    """A way into one cluster over plain HTTP on the loopback address."""

    target: str
    authority: str
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    meddle: Meddle | None = None
    session: aiohttp.ClientSession | None = None

    def kubeconfig(self, text: str) -> str:
        """The same kubeconfig with this edge as its server."""
        config = json.loads(text)
        config["clusters"][0]["cluster"] = {"server": self.url}
        return json.dumps(config)

    @property
    def changes(self) -> list[Seen]:
        """The requests that change something."""
        return [one for one in self.seen if one.method != "GET" and not one.dry]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        dry = "dryRun" in request.query_string or b'"dryRun"' in body or "reviews" in request.path
        dry = dry or request.path.endswith("/token")
        self.seen.append(Seen(request.method, request.path, dry))
        if self.meddle is not None and (answer := await self.meddle(request)) is not None:
            return answer
        return await self.forward(request)

    async def forward(self, request: web.BaseRequest) -> web.Response:
        """Send a request on to the cluster, and bring its answer back."""
        body = await request.read()
        assert self.session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = f"{self.target}{request.path_qs}"
        async with self.session.request(request.method, url, headers=headers, data=body or None) as answered:
            kept = {name: value for name, value in answered.headers.items() if name.lower() not in _HOP}
            return web.Response(status=answered.status, body=await answered.read(), headers=kept)


@asynccontextmanager
async def edge_of(kubeconfig: str) -> AsyncIterator[Edge]:
    """An edge before the cluster of a kubeconfig."""
    import base64

    cluster = json.loads(kubeconfig)["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
    edge = Edge(cluster["server"].rstrip("/"), authority)
    trusted: Any = ssl.create_default_context(cadata=authority) if authority else False
    connector = aiohttp.TCPConnector(ssl=trusted, limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=True) as edge.session:
        runner = web.ServerRunner(web.Server(edge.handle, access_log=None), shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        edge.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield edge
        finally:
            await runner.cleanup()


def status(code: int, reason: str = "", message: str = "", **headers: str) -> web.Response:
    """An answer as an API server gives it when something is wrong."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code, headers=headers)
