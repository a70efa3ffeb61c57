"""pods/exec over a websocket, for a few commands that a newcomer tries first.

The protocol is v4/v5.channel.k8s.io: a byte for the channel (1 output, 2 errors, 3 the final Status), then the data.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable

from aiohttp import WSMsgType, web

from k8s.sandbox.api.logs import container_of
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.api.server import Server
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import errors, units
from k8s.sandbox.objects.errors import ApiRefused, Json

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
MISSING = "OCI runtime exec failed: exec failed: unable to start container process: exec: "
MISSING += '"{}": executable file not found in $PATH: unknown'
Result = tuple[int, str, str]  # exit code, output, errors


def install(server: Server, loop: Loop) -> None:
    async def run(ask: Ask) -> web.StreamResponse:
        return await _exec(server, loop, ask)

    server.special["get pods/exec"] = server.special["create pods/exec"] = run


async def _exec(server: Server, loop: Loop, ask: Ask) -> web.StreamResponse:
    asked = ask.asked
    server.authorize(ask.caller, asked.action_of("create"))
    pod = server.store.get("pods", asked.namespace, asked.name)
    if pod is None:
        raise errors.not_found("pods", "", asked.name)
    container = container_of(pod, asked.query.get("container", ""))
    listed = (pod.get("status") or {}).get("containerStatuses") or ()
    running = any(one["name"] == container["name"] and "running" in (one.get("state") or {}) for one in listed)
    if not running:
        text = f'unable to upgrade connection: container not found ("{container["name"]}")'
        raise ApiRefused(500, "InternalError", f"Internal error occurred: {text}")
    words = ask.http.query.getall("command", [])
    if not words:
        raise errors.bad_request("you must specify at least 1 command for the container")
    socket = web.WebSocketResponse(protocols=PROTOCOLS)
    if not socket.can_prepare(ask.http).ok:
        raise errors.bad_request("unable to upgrade: the practice cluster speaks websockets only")
    await socket.prepare(ask.http)
    code, out, err = Shell(loop, pod, container).run(words)
    if asked.flag("stdin") and words[0].rsplit("/", 1)[-1] in ("sh", "bash") and len(words) == 1:
        code = await _converse(socket, Shell(loop, pod, container))
    for channel, text in ((1, out), (2, err)):
        if text and asked.query.get("stdout" if channel == 1 else "stderr", "") not in ("", "false", "0"):
            await socket.send_bytes(bytes([channel]) + text.encode())
    await socket.send_bytes(b"\x03" + json.dumps(_status(code)).encode())
    await socket.close()
    return socket


async def _converse(socket: web.WebSocketResponse, shell: Shell) -> int:
    """A shell that is typed at: a line in, its output back, until `exit` or the end."""
    pending = ""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or message.data[:1] != b"\x00":
            if message.type is WSMsgType.BINARY and message.data[:1] == b"\xff":
                break  # v5 says that the input has ended
            continue
        pending += message.data[1:].decode("utf-8", "replace")
        while "\n" in pending:
            line, _, pending = pending.partition("\n")
            if line.strip() in ("exit", "logout"):
                return 0
            _, out, err = shell.line(line)
            await socket.send_bytes(b"\x01" + (out + err).encode())
        await asyncio.sleep(0)
    return 0


def _status(code: int) -> Json:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    cause = {"reason": "ExitCode", "message": str(code)}
    text = f"command terminated with non-zero exit code: exit status {code}"
    return {"metadata": {}, "status": "Failure", "message": text, "reason": "NonZeroExitCode", "details": {"causes": [cause]}}


class Shell:
    """Pretends to be a container's programs. Nothing is run."""

    def __init__(self, loop: Loop, pod: Json, container: Json) -> None:
        self._loop, self._pod, self._container = loop, pod, container
        self._programs: dict[str, Callable[[list[str]], Result]] = {
            "env": lambda words: self._said(self._env()),
            "printenv": self._printenv,
            "hostname": lambda words: self._said(self._host()),
            "date": lambda words: self._said(units.now().strftime("%a %b %d %H:%M:%S UTC %Y")),
            "echo": lambda words: self._said(" ".join(words)),
            "whoami": lambda words: self._said("root"),
            "id": lambda words: self._said("uid=0(root) gid=0(root) groups=0(root)"),
            "pwd": lambda words: self._said("/"),
            "ls": self._ls,
            "cat": self._cat,
            "true": lambda words: (0, "", ""),
            "false": lambda words: (1, "", ""),
            "sh": self._shell,
            "bash": self._shell,
        }

    @staticmethod
    def _said(text: str) -> Result:
        return 0, f"{text}\n", ""

    def run(self, words: list[str]) -> Result:
        program = self._programs.get(words[0].rsplit("/", 1)[-1])
        if program is None:
            return 126, "", MISSING.format(words[0]) + "\n"
        return program(words[1:])

    def line(self, line: str) -> Result:
        """A shell's line: simple commands joined by ; or &&."""
        code, out, err = 0, "", ""
        for part in line.replace("&&", ";").split(";"):
            try:
                words = shlex.split(part)
            except ValueError:
                return 2, out, "sh: syntax error: unterminated quoted string\n"
            if not words:
                continue
            if words[0] == "exit":
                return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0, out, err
            values = self._values()
            words = [values.get(word.removeprefix("$"), "") if word.startswith("$") else word for word in words]
            code, said, failed = self.run(words)
            out += said
            err += f"sh: {words[0]}: not found\n" if code == 126 else failed
        return (127 if code == 126 else code), out, err

    def _shell(self, words: list[str]) -> Result:
        return self.line(words[words.index("-c") + 1]) if "-c" in words[:-1] else (0, "", "")

    def _host(self) -> str:
        return str(self._pod["spec"].get("hostname") or self._pod["metadata"]["name"])

    def _values(self) -> dict[str, str]:
        """The container's environment, with values from ConfigMaps and Secrets."""
        found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": self._host()}
        found |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        namespace = self._pod["metadata"]["namespace"]
        for one in self._container.get("envFrom") or ():
            name = (one.get("configMapRef") or {}).get("name", "")
            found |= (self._loop.get("configmaps", namespace, name) or {}).get("data") or {}
        for one in self._container.get("env") or ():
            found[one["name"]] = one.get("value") or self._referred(one.get("valueFrom") or {})
        return {**found, "HOME": "/root"}

    def _referred(self, source: Json) -> str:
        if "configMapKeyRef" in source:
            ref = source["configMapKeyRef"]
            held = self._loop.get("configmaps", self._pod["metadata"]["namespace"], ref["name"]) or {}
            return str((held.get("data") or {}).get(ref["key"], ""))
        return "(hidden in the practice cluster)" if "secretKeyRef" in source else ""

    def _env(self) -> str:
        return "\n".join(f"{name}={value}" for name, value in self._values().items())

    def _printenv(self, words: list[str]) -> Result:
        if not words:
            return self._said(self._env())
        value = self._values().get(words[0])
        return (1, "", "") if value is None else self._said(value)

    def _ls(self, words: list[str]) -> Result:
        paths = [word for word in words if not word.startswith("-")]
        if not paths or paths[0] == "/":
            return self._said(
                "\n".join(["bin", "dev", "etc", "home", "lib", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"])
            )
        mounts = [one["mountPath"] for one in self._container.get("volumeMounts") or ()]
        if paths[0].rstrip("/") in mounts or paths[0].rstrip("/") in ("/tmp", "/etc", "/var"):  # noqa: S108 - only a name
            return 0, "", ""
        return 1, "", f"ls: {paths[0]}: No such file or directory\n"

    def _cat(self, words: list[str]) -> Result:
        zone = "svc.cluster.local"
        files = {
            "/etc/hostname": self._host(),
            "/etc/os-release": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\nPRETTY_NAME="Alpine Linux v3.22"',
            "/etc/resolv.conf": f"search {self._pod['metadata']['namespace']}.{zone} {zone}\nnameserver 10.96.0.10",
        }
        if words and words[0] in files:
            return self._said(files[words[0]])
        return 1, "", f"cat: can't open '{words[0] if words else ''}': No such file or directory\n"
