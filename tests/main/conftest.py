"""A practice cluster in a process of its own."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.main.test_command_line import KUBECHAT


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the kubeconfigs of its people."""
    folder = tmp_path_factory.mktemp("served")
    command = [str(KUBECHAT), "sandbox", "serve", "--kubeconfigs", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "Practice cluster at https://127.0.0.1:" in process.stdout.readline()
            yield folder
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
