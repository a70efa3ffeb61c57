"""A real Kubernetes control plane for the tests: etcd, API server, controllers and scheduler on the loopback address,
with nodes and pods played by kwok. Authorization is RBAC alone, and nobody but the admin has any rights at first.

    python -m tests.controlplane.cluster --hold --kubeconfigs DIR      # start one by hand, until Ctrl-C
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.controlplane import build, certificates

# Who there is, and each one's groups. Rights beyond the admin's are given by each test.
PEOPLE: Mapping[str, Sequence[str]] = {
    "admin": ("system:masters",),
    "alice": ("developers",),
    "bob": ("developers", "approvers"),
    "carol": (),
    "dave": ("approvers",),
    "grace": ("developers",),
}
BY_CERTIFICATE = frozenset({"grace"})  # all others come with a token
NODES = ("node-1", "node-2", "node-3")
START_LIMIT = 120.0  # seconds; many times what two busy cores need
LOG_LINES = ("listening on port 8080", "GET /healthz 200", "WARN slow query took 1.2s", "GET /checkout 500")
PREVIOUS_LOG_LINES = ("listening on port 8080", "ERROR out of memory")


class ControlPlaneFailed(RuntimeError):
    """A program of the control plane ended or never became ready; the message carries the end of its log."""


class KubectlFailed(RuntimeError):
    """kubectl ended with another status than 0; the message is what it said."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server, and the people who may call it."""

    server: str
    authority: str  # PEM
    credentials: Mapping[str, Mapping[str, Any]] = field(repr=False)  # by person: the user part of a kubeconfig
    kubectl_program: Path
    folder: Path
    missing: tuple[str, ...] = ()  # programs that are not there; what they play does not happen

    def kubeconfig(self, person: str, namespace: str = "default") -> dict[str, Any]:
        """A kubeconfig with everything inline, for one of `credentials`."""
        context = {"cluster": "test", "user": person, "namespace": namespace}
        cluster = {"server": self.server, "certificate-authority-data": base64(self.authority.encode())}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": person, "user": dict(self.credentials[person])}],
            "contexts": [{"name": "test", "context": context}],
        }

    def kubeconfig_file(self, person: str) -> Path:
        """The same as a file (JSON, which is YAML) in a folder that only this user may enter."""
        path = self.folder / f"{person}.kubeconfig"
        if not path.exists():
            path.write_text(json.dumps(self.kubeconfig(person)))
        return path

    def kubectl(self, person: str, *arguments: str, stdin: str = "") -> str:
        """What kubectl prints for this person. Raises KubectlFailed. Blocks: in async tests, call it in a thread."""
        command: list[str | Path] = [self.kubectl_program, f"--kubeconfig={self.kubeconfig_file(person)}", *arguments]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise KubectlFailed(done.stderr.strip())
        return done.stdout


@contextmanager
def running(programs: build.Programs, people: Mapping[str, Sequence[str]] = PEOPLE) -> Iterator[ControlPlane]:
    """Start a control plane with these people (the admin among them) and end it with the block.

    Raises ControlPlaneFailed. The programs also end if this process is killed. All data is in a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="kubechat-control-plane-") as name, processes() as started:
        folder = Path(name)
        ports = dict(zip(("etcd", "peer", "api", "node"), free_ports(4), strict=True))
        tokens = {person: secrets.token_hex(16) for person in people}
        authority = write_secrets(folder, people, tokens)
        plane = ControlPlane(
            server=f"https://127.0.0.1:{ports['api']}",
            authority=authority.pair.certificate.decode(),
            credentials={name: credentials(authority, name, groups, tokens) for name, groups in people.items()},
            kubectl_program=programs.path("kubectl"),
            folder=folder,
            missing=programs.missing,
        )
        start = Starter(programs, folder, started)
        start("etcd", etcd_flags(folder, ports))
        start("kube-apiserver", api_server_flags(folder, ports))
        await_ready(plane, started)
        start_controllers(start, plane, ports)
        yield plane


@dataclass(frozen=True, slots=True)
class Starter:
    programs: build.Programs
    folder: Path
    started: dict[str, subprocess.Popen[bytes]]

    def __call__(self, name: str, flags: Mapping[str, object]) -> None:
        command: list[str | Path] = [self.programs.path(name), *(f"--{flag}={value}" for flag, value in flags.items())]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.started[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then end these
                preexec_fn=die_with_parent,
            )


def start_controllers(start: Starter, plane: ControlPlane, ports: Mapping[str, int]) -> None:
    """Start all that makes objects come to life, and wait until a pod could be created and would run."""
    folder, there = start.folder, set(build.PACKAGES) - set(plane.missing)
    if "kube-controller-manager" in there:
        start("kube-controller-manager", controller_manager_flags(plane, folder))
    if "kube-scheduler" in there:
        start("kube-scheduler", {**client_flags(plane), "leader-elect": "false", "secure-port": 0})
    if "kwok" in there:
        write_kwok_logs(folder)
        start("kwok", kwok_flags(plane, folder, ports))
        nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}} for node in NODES]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes})
        plane.kubectl("admin", "create", "-f", "-", stdin=manifest)
    limit = f"--timeout={START_LIMIT:.0f}s"
    try:
        if "kwok" in there:
            plane.kubectl("admin", "wait", "node", "--all", "--for=condition=Ready", limit)
        if "kube-controller-manager" in there:
            plane.kubectl("admin", "wait", "serviceaccount/default", "--for=create", limit)
    except KubectlFailed as failed:
        raise ControlPlaneFailed(f"{failed}\n{ended(start.started, folder)}") from failed


def etcd_flags(folder: Path, ports: Mapping[str, int]) -> dict[str, object]:
    client, peer = (f"http://127.0.0.1:{ports[port]}" for port in ("etcd", "peer"))
    return {
        "data-dir": folder / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "unsafe-no-fsync": "true",  # the data is thrown away with the tests
        "log-level": "warn",
    }


def api_server_flags(folder: Path, ports: Mapping[str, int]) -> dict[str, object]:
    return {
        "etcd-servers": f"http://127.0.0.1:{ports['etcd']}",
        "bind-address": "127.0.0.1",
        "secure-port": ports["api"],
        "cert-dir": folder,
        "tls-cert-file": folder / "server.crt",
        "tls-private-key-file": folder / "server.key",
        "client-ca-file": folder / "authority.crt",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "RBAC",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": folder / "accounts.crt",
        "service-account-signing-key-file": folder / "accounts.key",
        "service-cluster-ip-range": "10.96.0.0/16",
        "kubelet-certificate-authority": folder / "authority.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "endpoint-reconciler-type": "none",  # an endpoint may not have a loopback address
        "profiling": "false",
    }


def controller_manager_flags(plane: ControlPlane, folder: Path) -> dict[str, object]:
    return {
        **client_flags(plane),
        "leader-elect": "false",
        "secure-port": 0,
        "root-ca-file": folder / "authority.crt",
        "service-account-private-key-file": folder / "accounts.key",
        "cluster-signing-cert-file": folder / "authority.crt",
        "cluster-signing-key-file": folder / "authority.key",
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        # On a busy machine kwok's heartbeats come late, and a pod once marked unready by the node controller stays so.
        "node-monitor-grace-period": "1h",
    }


def kwok_flags(plane: ControlPlane, folder: Path, ports: Mapping[str, int]) -> dict[str, object]:
    return {
        "kubeconfig": plane.kubeconfig_file("admin"),
        "config": folder / "kwok.yaml",
        "manage-all-nodes": "true",
        "node-ip": "127.0.0.1",
        "node-port": ports["node"],
        "server-address": f"127.0.0.1:{ports['node']}",
        "cidr": "10.244.0.0/16",
        "tls-cert-file": folder / "server.crt",
        "tls-private-key-file": folder / "server.key",
    }


def client_flags(plane: ControlPlane) -> dict[str, object]:
    return {"kubeconfig": plane.kubeconfig_file("admin")}


def write_kwok_logs(folder: Path) -> None:
    """kwok's settings: the stages of kwok.yaml, and the same log for every container, in the runtime's file format."""
    for name, lines in (("container.log", LOG_LINES), ("previous.log", PREVIOUS_LOG_LINES)):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
        (folder / name).write_text("".join(f"{stamp} stdout F {line}\n" for line in lines))
    log = {"logsFile": str(folder / "container.log"), "previousLogsFile": str(folder / "previous.log"), "follow": False}
    every = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterLogs", "metadata": {"name": "every"}}
    stages = (Path(__file__).parent / "kwok.yaml").read_text()
    (folder / "kwok.yaml").write_text(f"{stages}---\n{json.dumps({**every, 'spec': {'logs': [log]}})}\n")


def write_secrets(folder: Path, people: Mapping[str, Sequence[str]], tokens: Mapping[str, str]) -> certificates.Authority:
    authority = certificates.new_authority()
    pairs = {
        "authority": authority.pair,
        "server": certificates.loopback_pair(authority),
        "accounts": certificates.service_account_pair(),
    }
    for name, pair in pairs.items():
        (folder / f"{name}.crt").write_bytes(pair.certificate)
        (folder / f"{name}.key").write_bytes(pair.key)
    (folder / "tokens.csv").write_text("".join(token_row(tokens[name], name, people[name]) for name in people))
    return authority


def token_row(token: str, person: str, groups: Sequence[str]) -> str:
    """A line of the API server's static token file. An empty last column would be a group with an empty name."""
    return f"{token},{person},{person}" + (f',"{",".join(groups)}"' if groups else "") + "\n"


def credentials(
    authority: certificates.Authority, person: str, groups: Sequence[str], tokens: Mapping[str, str]
) -> dict[str, str]:
    if person not in BY_CERTIFICATE:
        return {"token": tokens[person]}
    return inline(certificates.person_pair(authority, person, groups))


def inline(pair: certificates.Pair) -> dict[str, str]:
    return {"client-certificate-data": base64(pair.certificate), "client-key-data": base64(pair.key)}


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def await_ready(plane: ControlPlane, started: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Wait until the API server says it is ready. Raises ControlPlaneFailed."""
    trust = ssl.create_default_context(cadata=plane.authority)
    deadline = time.monotonic() + START_LIMIT
    while not answers(f"{plane.server}/readyz", trust):
        if any(process.poll() is not None for process in started.values()) or time.monotonic() > deadline:
            raise ControlPlaneFailed(ended(started, plane.folder))
        time.sleep(0.05)


def answers(url: str, trust: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=trust, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def ended(started: Mapping[str, subprocess.Popen[bytes]], folder: Path) -> str:
    """Which program ended, or none, and the last lines of its log."""
    gone = [name for name, process in started.items() if process.poll() is not None]
    said = [f"{name}: {(folder / f'{name}.log').read_text(errors='replace')[-2000:]}" for name in gone or started]
    return f"ended: {', '.join(gone) or 'none, but not ready in time'}\n" + "\n".join(said)


@contextmanager
def processes() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Whatever is put in is killed at the end; there is nothing to save, so nothing is asked to end slowly."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        yield started
    finally:
        for process in started.values():
            process.kill()
        for process in started.values():
            process.wait()


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """In the child: have Linux kill it when the tests die, however they die. Elsewhere only an orderly end does."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now. Another program could take one before ours does; then the start fails."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(taken.getsockname()[1]) for taken in held]
    finally:
        for taken in held:
            taken.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane.cluster", description="Start one by hand.")
    parser.add_argument("--hold", action="store_true", required=True, help="keep it until this command is ended")
    parser.add_argument("--kubeconfigs", type=Path, required=True, metavar="DIR", help="where to put one file a person")
    folder: Path = parser.parse_args().kubeconfigs
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        began = time.monotonic()
        with running(build.find()) as plane:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for person in plane.credentials:
                shutil.copyfile(plane.kubeconfig_file(person), folder / person)
                (folder / person).chmod(0o600)
            print(f"{plane.server} is ready after {time.monotonic() - began:.1f} s; kubeconfigs: {folder}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except (build.ProgramsMissing, ControlPlaneFailed) as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
