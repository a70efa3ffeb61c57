"""`make bench`: speed as ratios taken in one run. Prints a table and writes build/bench.json."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = list[dict[str, Any]]
BUILD = Path("build")


async def _figures(only: set[str]) -> Figures:
    from tests.bench import audit, cluster, engine

    parts: dict[str, Callable[[], Awaitable[Figures]]] = {"engine": engine.run, "cluster": cluster.run, "audit": audit.run}
    found: Figures = []
    for name, run in parts.items():
        if only and name not in only:
            continue
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        found += await run()
    return found


def _table(figures: Figures) -> Table:
    table = Table("what", "value", "unit", "against", "ratio")
    for figure in figures:
        ratio = "" if figure["ratio"] is None else f"{figure['ratio']:.1f}×"
        reference = "" if figure["reference"] is None else f"{figure['reference']:,.2f}"
        table.add_row(figure["name"], f"{figure['value']:,.2f}", figure["unit"], reference, ratio)
    return table


def main() -> None:
    """Measure all of it, or only the parts named as arguments."""
    figures = asyncio.run(_figures(set(sys.argv[1:])))
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    Console(markup=False, width=None if sys.stdout.isatty() else 130).print(_table(figures))


if __name__ == "__main__":
    main()
