"""What the conversation engine adds to a mention: time without cluster or model, mentions a second, start-up and memory."""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from audit.keys import Keyring
from audit.store import AuditLog
from bot.database import Database
from bot.engine import Engine
from bot.identity import KubeconfigMapping, map_user
from bot.settings import Settings
from bot.types import Message, Reply, Thread, User
from k8s.access import ClusterPool

SECONDS = 1.0
"""How long each figure is measured."""

PEOPLE = 100

COLUMNS = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
ROWS = [
    {"cells": [f"checkout-{n}"], "object": {"kind": "PartialObjectMetadata", "metadata": {"name": f"checkout-{n}"}}}
    for n in range(20)
]
TABLE = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": COLUMNS, "rows": ROWS}
ALLOWED = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": {"allowed": True}}


class Stub:
    """An API server that answers at once, and adds up how long that took it."""

    def __init__(self) -> None:
        self.url = ""
        self.spent = 0.0
        self.requests = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        await request.read()
        answer = web.json_response(ALLOWED if "reviews" in request.path else TABLE)
        self.requests += 1
        self.spent += time.perf_counter() - began
        return answer

    def kubeconfig(self, person: str) -> str:
        return (
            f"{{apiVersion: v1, kind: Config, clusters: [{{name: c, cluster: {{server: '{self.url}'}}}}], "
            f"users: [{{name: u, user: {{token: {person}}}}}], contexts: [{{name: c, context: {{cluster: c, user: u, namespace: shop}}}}], "
            "current-context: c}"
        )


@asynccontextmanager
async def stub() -> AsyncIterator[Stub]:
    server = Stub()
    runner = web.ServerRunner(web.Server(server.handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def run() -> list[dict[str, Any]]:
    """The figures. SQLite as it comes, in a temporary folder: every mention is durable before it is answered."""
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(stub())
            engine = await _engine(stack, Path(name), server)
            figures = []
            for what, text in (("who am I", "who am I"), ("a refused command", "kubectl get pods --as=admin")):
                figures += _times(f"mention: {what}", await _one_after_another(engine, text))
            figures += await _with_cluster(engine, server)
            figures += await _all_at_once(engine)
        return figures + await _process(Path(name))


async def _engine(stack: AsyncExitStack, folder: Path, server: Stub) -> Engine:
    keys, url = Keyring.load(folder / "keys" / "keyring"), f"sqlite:///{folder / 'kubechat.db'}"
    database = await Database.open(url, keys)
    stack.push_async_callback(database.close)
    audit = await AuditLog.open(url, keys, witness=folder / "witness.json")
    stack.push_async_callback(audit.close)
    pool = ClusterPool(size=PEOPLE)
    stack.push_async_callback(pool.close)
    for number in range(PEOPLE):
        mapping = KubeconfigMapping(server.kubeconfig(f"person-{number}"))
        await map_user(database, _user(number).key, "prod", mapping, identity=f"person-{number}")
    return Engine(Settings.model_construct(database=url), database, audit, pool)


def _user(number: int) -> User:
    return User("bench", "T1", f"person-{number}", "")


_numbers = iter(range(10**9))


async def _mention(engine: Engine, text: str, person: int = 0) -> float:
    """One mention in a thread of its own; seconds until it was answered."""
    number = next(_numbers)
    thread = Thread("bench", "T1", "C1", f"t{number}")
    message = Message(f"m{number}", _user(person), thread, text, datetime.now(UTC))
    spoken: list[Reply] = []

    async def say(reply: Reply) -> None:
        spoken.append(reply)

    began = time.perf_counter()
    await engine.handle_message(message, say)
    ended = time.perf_counter() - began
    if len(spoken) != 1 or spoken[0].kind not in {"answer", "refusal", "result"}:
        raise RuntimeError(f"{text!r} was answered with {spoken}")
    return ended


async def _one_after_another(engine: Engine, text: str) -> list[float]:
    await _mention(engine, text)
    times, began = [], time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        times.append(await _mention(engine, text))
    return times


async def _with_cluster(engine: Engine, server: Stub) -> list[dict[str, Any]]:
    """A safe command. What the stub took for itself is subtracted from each mention."""
    text = "kubectl get pods -n shop"
    await _mention(engine, text)
    times, began = [], time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        before = server.spent
        took = await _mention(engine, text)
        times.append(took - (server.spent - before))
    return _times("mention: get pods, without the server's time", times)


def _times(name: str, times: list[float]) -> list[dict[str, Any]]:
    cuts = statistics.quantiles(times, n=100)
    return [_figure(f"{name}, {label}", 1000 * value, "ms") for label, value in (("p50", cuts[49]), ("p99", cuts[98]))]


def _figure(name: str, value: float, unit: str, reference: float | None = None) -> dict[str, Any]:
    ratio = None if reference is None else round(value / reference, 2)
    return {"name": name, "value": round(value, 2), "unit": unit, "reference": reference, "ratio": ratio}


async def _all_at_once(engine: Engine) -> list[dict[str, Any]]:
    """A hundred people, each with their next mention as soon as the last one is answered. All are connected before."""
    figures = []
    for person in range(PEOPLE):
        await _mention(engine, "kubectl get pods -n shop", person)
    for what, text in (("who am I", "who am I"), ("get pods", "kubectl get pods -n shop")):
        began = time.perf_counter()

        async def talk(person: int, text: str = text, began: float = began) -> int:
            count = 0
            while time.perf_counter() - began < SECONDS:
                await _mention(engine, text, person)
                count += 1
            return count

        counts = await asyncio.gather(*(talk(person) for person in range(PEOPLE)))
        rate = sum(counts) / (time.perf_counter() - began)
        figures.append(_figure(f"mentions, {PEOPLE} people at once, {what}", rate, "/s"))
    return figures


# --- the process ----------------------------------------------------------------------------------------------------------


async def _process(folder: Path) -> list[dict[str, Any]]:
    """`kubechat chat --as alice help`, from nothing to its end, against a Python that does nothing; and its largest memory."""
    program = Path(sys.executable).with_name("kubechat")
    environment = {**os.environ, "KUBECHAT_HOME": str(folder / "home")}
    chat = [str(program), "chat", "--as", "alice", "help"]
    await _process_times(chat, environment, 1)
    took, memory = await _process_times(chat, environment, 3)
    bare, _ = await _process_times([sys.executable, "-c", "pass"], environment, 3)
    return [
        _figure("start, answer help, end", took, "s", round(bare, 3)),
        _figure("largest memory of that process", memory, "MiB"),
    ]


_MEASURED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(json.dumps([time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""
"""Run by a small process of its own: a child counts the memory of whoever started it until it has become itself."""


async def _process_times(command: list[str], environment: dict[str, str], times: int) -> tuple[float, float]:
    """The median time in seconds, and the largest resident set in MiB (ru_maxrss is in KiB on Linux)."""
    found = []
    for _ in range(times):
        arguments = [sys.executable, "-c", _MEASURED, *command]
        process = await asyncio.create_subprocess_exec(*arguments, env=environment, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{command} did not end well")
        found.append(json.loads(output))
    return statistics.median(took for took, _ in found), max(memory for _, memory in found)
