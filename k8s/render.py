"""Answers of the API server → tables and text, cleaned, redacted and within bounds."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from k8s.client import Limits
from k8s.redact import clean_line, safe_text
from k8s.types import Table

MAX_CELL = 500
"""Characters of one cell: a custom resource's column may hold anything."""


class _Dumper(yaml.CSafeDumper):
    """YAML as kubectl writes it: keys sorted, text of several lines as a block."""


def _text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text.rstrip("\n") or text.endswith("\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]


def to_yaml(value: Any) -> str:
    """One YAML document."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, width=2**16, sort_keys=True)


def to_json(value: Any) -> str:
    """Indented JSON, as `kubectl -o json`."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def cut(text: str, limits: Limits) -> tuple[str, str]:
    """The text within its bound, cut at a line, and what is to be said about the cut (empty if there is none)."""
    if len(text) <= limits.characters:
        return text, ""
    kept = text[: limits.characters]
    kept = kept[: kept.rfind("\n") + 1] or kept
    return kept, f"Cut after {len(kept):,} of {len(text):,} characters."


def cell(value: Any) -> str:
    """One cell of a Table as kubectl prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    first, newline, _ = text.partition("\n")
    text = f"{first}..." if newline else text
    return safe_text(clean_line(text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"))


def server_table(
    answer: Mapping[str, Any],
    *,
    wide: bool = False,
    namespaces: bool = False,
    labels: Sequence[str] = (),
    show_labels: bool = False,
    prefix: str = "",
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of a Table answer. `prefix` (`pod/`) goes before each name; `labels` become columns of their own."""
    definitions = answer.get("columnDefinitions") or ()
    kept = [index for index, definition in enumerate(definitions) if wide or not definition.get("priority")]
    columns = [clean_line(definitions[index]["name"]).upper() for index in kept]
    columns += [label.rpartition("/")[2].upper() for label in labels]
    rows: list[tuple[str, ...]] = []
    for row in answer.get("rows") or ():
        cells = row["cells"]
        printed = [cell(cells[index]) for index in kept]
        if prefix and printed:
            printed[0] = prefix + printed[0]
        if labels or show_labels or namespaces:
            metadata = (row.get("object") or {}).get("metadata") or {}
            printed += [cell((metadata.get("labels") or {}).get(label, "")) for label in labels]
            if show_labels:
                printed.append(label_text(metadata.get("labels") or {}))
            if namespaces:
                printed.insert(0, cell(metadata.get("namespace", "")))
        rows.append(tuple(printed))
    return (*(("NAMESPACE",) if namespaces else ()), *columns, *(("LABELS",) if show_labels else ())), rows


def label_text(labels: Mapping[str, Any]) -> str:
    """`app=shop,tier=web`, or `<none>`."""
    return clean_line(",".join(f"{key}={value}" for key, value in sorted(labels.items()))) or "<none>"


def plain_table(values: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """A Table answer made here, for a server that does not print one: name and age, as kubectl does it."""
    return {
        "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Age", "priority": 0}],
        "rows": [
            {
                "cells": [value["metadata"]["name"], age(value["metadata"].get("creationTimestamp"), now)],
                "object": {"metadata": value["metadata"]},
            }
            for value in values
        ],
    }


def parse_time(text: str | None) -> datetime | None:
    """A Kubernetes time, or None for none."""
    return datetime.fromisoformat(text) if text else None


def age(text: str | None, now: datetime | None = None) -> str:
    """How long ago, in kubectl's short form (`3d4h`); `<unknown>` without a time."""
    at = parse_time(text)
    return "<unknown>" if at is None else human_duration(((now or datetime.now(UTC)) - at).total_seconds())


def human_duration(seconds: float) -> str:
    """Kubernetes' short duration: two units at most, fewer as it grows (apimachinery's duration.HumanDuration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def columns_text(table: Table) -> str:
    """A table as text with aligned columns, three spaces apart."""
    lines = ([table.columns] if any(table.columns) else []) + list(table.rows)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))] if lines else []
    return "\n".join("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)
