"""The tables of docs/verbs.md, written from the code: `python -m tests.k8s.verbs_document` renews them."""

import re
from pathlib import Path

from k8s.execute import READERS
from k8s.plan import PLANNERS
from k8s.undo import RULES
from k8s.verbs import VERBS, Flag, Verb

DOCUMENT = Path(__file__).parents[2] / "docs" / "verbs.md"
_COMMON = frozenset({"namespace", "request-timeout"})


def tables() -> dict[str, str]:
    """The two tables by their names in the document."""
    done = [verb for verb in VERBS.values() if verb.name in READERS or verb.name in PLANNERS]
    rest = [verb for verb in VERBS.values() if verb not in done]
    return {"carried-out": _table([_row(verb) for verb in done]), "judged-only": _table([_row(verb) for verb in rest])}


def _table(rows: list[str]) -> str:
    return "\n".join(["| Verb | Judged at least | Undo | Flags |", "| --- | --- | --- | --- |", *rows])


def _row(verb: Verb) -> str:
    undo = "offered" if verb.name in RULES else "–"
    flags = " ".join(f"`{_shown(flag)}`" for flag in verb.flags if flag.name not in _COMMON)
    return f"| `{verb.name}` | {verb.level.value} | {undo} | {flags or '–'} |"


def _shown(flag: Flag) -> str:
    return f"--{flag.name}" + (f", -{flag.short}" if flag.short else "")


def renewed(text: str) -> str:
    """The document with its tables as the code has them."""
    for name, table in tables().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        found = re.search(pattern, text, re.DOTALL)
        assert found is not None, f"docs/verbs.md has no place for {name}"
        text = f"{text[: found.start()]}{found[1]}{table}\n{found[2]}{text[found.end() :]}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
