"""Every command of the README is run here, or by .ci/run."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]


def test_the_ci_script_runs_the_make_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    makes = [command for command in COMMANDS if command.startswith("make")]
    assert makes == ["make demo", "make test"]
    assert all(command in script for command in makes)


def test_every_other_command_of_the_readme_works(served: Path, tmp_path: Path) -> None:
    """They run in the README's order, with the program of this environment and a practice cluster as the reader's own."""
    environment = {
        **os.environ, "KUBECHAT_HOME": str(tmp_path / "home"), "USER": "reader", "LOGNAME": "reader",
        "KUBECONFIG": str(served / "bob.yaml"),
    }  # fmt: skip
    for command in (command for command in COMMANDS if not command.startswith("make")):
        line = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        if line.startswith("kubectl"):  # what kubectl prints; there may be none here
            line = f"cat {served / 'bob.yaml'} > me.kubeconfig"
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
