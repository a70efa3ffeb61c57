"""The corpus of judged commands: `verdict  rule  command`, a case a line; a rule of `-` means that any will do."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from k8s.safety import judge
from k8s.types import Command, Level, Verdict

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the corpus."""

    file: str
    line: int
    level: Level
    rule: str
    command: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.command}"

    def judged(self) -> tuple[Command | None, Verdict]:
        """What KubeChat makes of it, with the attached files where the case has some."""
        return judge(self.command, files=attachments() if self.file == "manifests.txt" else None)


@cache
def cases() -> tuple[Case, ...]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line and not line.startswith("#"):
                level, rule, command = line.split(None, 2)
                found.append(Case(path.name, number, Level(level), rule, command))
    return tuple(found)


@cache
def attachments() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "manifests").iterdir()}
