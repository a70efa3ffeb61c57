"""Renderings kept beside the tests. KUBECHAT_GOLDEN=write writes them anew; look at the difference before committing it."""

import os
from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    path = _FOLDER / name
    if os.environ.get("KUBECHAT_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
