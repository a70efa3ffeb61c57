"""Running the real kubectl."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.controlplane import build


class KubectlFailed(Exception):
    """kubectl ended with an error; the text is what it wrote."""


class KubectlRunner:
    """Runs the real kubectl as one of the people."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    async def __call__(self, person: str, *words: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            self._program, "--kubeconfig", str(self._folder / f"{person}.yaml"), "--cache-dir", str(self._folder / "cache"), *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        if process.returncode:
            raise KubectlFailed(err.decode() + out.decode())
        return out.decode() + err.decode()


def program() -> str | None:
    """The one built for the control plane, else the system's."""
    try:
        return str(build.find().path("kubectl"))
    except build.ProgramsMissing:
        return shutil.which("kubectl")
