"""kubectl's JSONPath templates and custom columns, over plain JSON values.

Reference: https://kubernetes.io/docs/reference/kubectl/jsonpath/. As in kubectl, a missing key is nothing and no error;
functions, `&&` and `||` do not exist.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from k8s.redact import clean_line

MAX_LENGTH = 2000
MAX_VALUES = 100_000
"""Values in hand at once: `..*..*` multiplies."""


class JsonPathBroken(ValueError):
    """The expression cannot be read, or means too much; the message says where or why."""


Step = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Path:
    steps: tuple[Step, ...]
    from_root: bool


@dataclass(frozen=True, slots=True)
class _Range:
    path: _Path
    body: tuple["_Node", ...]


_Node = _Text | _Path | _Range


class JsonPath:
    """A template such as `{.items[*].metadata.name}`. Raises JsonPathBroken."""

    def __init__(self, template: str) -> None:
        if len(template) > MAX_LENGTH:
            raise JsonPathBroken(f"it is longer than {MAX_LENGTH} characters")
        self._nodes = _template(template)

    def text(self, value: Any) -> str:
        """What kubectl would print."""
        return "".join(_print(self._nodes, value, value))

    def values(self, value: Any) -> list[Any]:
        """The values of all expressions, for jsonpath-as-json."""
        return [found for node in self._nodes if isinstance(node, _Path) for found in _walk(node, value, value)]


def _print(nodes: tuple[_Node, ...], value: Any, root: Any) -> Iterator[str]:
    for node in nodes:
        match node:
            case _Text(text):
                yield text
            case _Path():
                yield " ".join(shown(found) for found in _walk(node, value, root))
            case _Range(path, body):
                for each in _walk(path, value, root):
                    yield from _print(body, each, root)


def shown(value: Any) -> str:
    """One value as text: strings as they are, objects and lists as JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        case _:
            return str(value)


def _walk(path: _Path, value: Any, root: Any) -> list[Any]:
    values = [root if path.from_root else value]
    for step in path.steps:
        values = step(values)
        if len(values) > MAX_VALUES:
            raise JsonPathBroken("it means too many values at once")
    return values


# --- reading --------------------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_FIELD = re.compile(r"(?:[^\\.\[\]{}\s,'\"()=<>!|&]|\\.)+")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d*))?")


def _template(template: str) -> tuple[_Node, ...]:
    stack: list[list[_Node]] = [[]]
    ranges: list[_Path] = []
    position = 0
    while position < len(template):
        opening = template.find("{", position)
        if opening < 0:
            stack[-1].append(_Text(template[position:]))
            break
        if opening > position:
            stack[-1].append(_Text(template[position:opening]))
        closing = _closing(template, opening)
        inside = template[opening + 1 : closing].strip()
        position = closing + 1
        if inside == "end":
            if not ranges:
                raise JsonPathBroken("{end} without {range}")
            body = tuple(stack.pop())
            stack[-1].append(_Range(ranges.pop(), body))
        elif inside.startswith("range "):
            ranges.append(_path(inside.removeprefix("range ").strip()))
            stack.append([])
        elif quoted := _QUOTED.fullmatch(inside):
            stack[-1].append(_Text(_unescape(quoted)))
        else:
            stack[-1].append(_path(inside))
    if ranges:
        raise JsonPathBroken("{range} without {end}")
    return tuple(stack[0])


def _closing(template: str, opening: int) -> int:
    position = opening + 1
    while position < len(template):
        if template[position] in "'\"":
            quoted = _QUOTED.match(template, position)
            if quoted is None:
                raise JsonPathBroken(f"a quote is not closed at character {position + 1}")
            position = quoted.end()
        elif template[position] == "}":
            return position
        else:
            position += 1
    raise JsonPathBroken(f"a brace is not closed at character {opening + 1}")


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _unescape(quoted: re.Match[str]) -> str:
    text = quoted[1] if quoted[1] is not None else quoted[2]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)


def _path(text: str) -> _Path:
    """`$.a['b'][0]`, also without its leading dot."""
    from_root = text.startswith("$")
    rest = text[1:] if text[:1] in {"$", "@"} else text
    if rest and rest[0] not in ".[":
        rest = "." + rest
    steps: list[Step] = []
    position = 0
    while position < len(rest):
        step, position = _step(rest, position)
        steps.append(step)
    return _Path(tuple(steps), from_root)


def _step(text: str, position: int) -> tuple[Step, int]:
    if text.startswith("..", position):
        return (_descend, position + (1 if _FIELD.match(text, position + 2) else 2))
    if text[position] == ".":
        if position + 1 == len(text) or text[position + 1] == "[":
            return _same, position + 1
        field = _FIELD.match(text, position + 1)
        if field is None:
            raise JsonPathBroken(f"a name is missing at character {position + 2} of {clean_line(text)!r}")
        return _key(re.sub(r"\\(.)", r"\1", field[0])), field.end()
    if text[position] == "[":
        closing = _bracket(text, position)
        return _subscript(text[position + 1 : closing].strip()), closing + 1
    raise JsonPathBroken(f"{text[position]!r} is not expected at character {position + 1} of {clean_line(text)!r}")


def _bracket(text: str, opening: int) -> int:
    depth, position = 0, opening
    while position < len(text):
        if text[position] in "'\"":
            quoted = _QUOTED.match(text, position)
            if quoted is None:
                break
            position = quoted.end()
            continue
        depth += {"[": 1, "]": -1}.get(text[position], 0)
        if depth == 0:
            return position
        position += 1
    raise JsonPathBroken(f"a bracket is not closed in {clean_line(text)!r}")


def _subscript(inside: str) -> Step:
    if inside.startswith("?(") and inside.endswith(")"):
        return _filter(inside[2:-1].strip())
    if inside == "*":
        return _children
    if span := _SLICE.fullmatch(inside):
        start, stop, stride = (int(part) if part else None for part in span.groups())
        if stride is not None and stride <= 0:
            raise JsonPathBroken("the step of a slice must be above 0")
        return _slice(slice(start, stop, stride))
    parts = [_one_subscript(part.strip()) for part in _split(inside)]
    return parts[0] if len(parts) == 1 else lambda values: [found for part in parts for found in part(values)]


def _split(inside: str) -> list[str]:
    parts, start, position = [], 0, 0
    while position < len(inside):
        if inside[position] in "'\"" and (quoted := _QUOTED.match(inside, position)):
            position = quoted.end()
            continue
        if inside[position] == ",":
            parts.append(inside[start:position])
            start = position + 1
        position += 1
    return [*parts, inside[start:]]


def _one_subscript(part: str) -> Step:
    if quoted := _QUOTED.fullmatch(part):
        return _key(_unescape(quoted))
    if re.fullmatch(r"-?\d{1,9}", part):
        return _index(int(part))
    if _FIELD.fullmatch(part):
        return _key(re.sub(r"\\(.)", r"\1", part))
    raise JsonPathBroken(f"[{clean_line(part)}] is not an index, a name, a slice or a filter")


# --- steps ----------------------------------------------------------------------------------------------------------------


def _same(values: list[Any]) -> list[Any]:
    return values


def _key(name: str) -> Step:
    if name == "*":
        return _children

    def step(values: list[Any]) -> list[Any]:
        return [value[name] for value in values if isinstance(value, dict) and name in value]

    return step


def _index(number: int) -> Step:
    def step(values: list[Any]) -> list[Any]:
        return [value[number] for value in values if isinstance(value, list) and -len(value) <= number < len(value)]

    return step


def _slice(span: slice) -> Step:
    def step(values: list[Any]) -> list[Any]:
        return [each for value in values if isinstance(value, list) for each in value[span]]

    return step


def _children(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found


def _descend(values: list[Any]) -> list[Any]:
    """Each value and all below it."""
    found: list[Any] = []
    waiting = list(reversed(values))
    while waiting:
        value = waiting.pop()
        found.append(value)
        if len(found) > MAX_VALUES:
            raise JsonPathBroken("it means too many values at once")
        waiting += reversed(_children([value]))
    return found


_COMPARISON = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def _filter(condition: str) -> Step:
    compared = _COMPARISON.fullmatch(condition)
    if compared is None:
        path = _path(condition)
        return _where(lambda item: bool(_walk(path, item, item)))
    left, compare, right = _operand(compared[1]), _OPERATORS[compared[2]], _operand(compared[3])

    def holds(item: Any) -> bool:
        try:
            return any(compare(one, other) for one in left(item) for other in right(item))
        except TypeError:
            return False

    return _where(holds)


def _operand(text: str) -> Callable[[Any], list[Any]]:
    text = text.strip()
    if quoted := _QUOTED.fullmatch(text):
        literal = _unescape(quoted)
        return lambda _: [literal]
    if text in {"true", "false"}:
        return lambda _: [text == "true"]
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text):
        number = float(text)
        return lambda _: [number]
    path = _path(text)
    return lambda item: _walk(path, item, item)


def _where(holds: Callable[[Any], bool]) -> Step:
    def step(values: list[Any]) -> list[Any]:
        return [item for value in values if isinstance(value, list) for item in value if holds(item)]

    return step


# --- what is built on it --------------------------------------------------------------------------------------------------


def relaxed(expression: str) -> JsonPath:
    """`metadata.name`, `.metadata.name` and `{.metadata.name}` alike, as kubectl takes columns and sort keys."""
    text = expression.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return JsonPath("{" + (text if text.startswith((".", "$", "@", "[")) else f".{text}") + "}")


def sort_key(expression: str) -> Callable[[dict[str, Any]], tuple[int, float, str]]:
    """The key of --sort-by: missing first, numbers and quantities by size, then text. Raises JsonPathBroken."""
    path = relaxed(expression)

    def key(value: dict[str, Any]) -> tuple[int, float, str]:
        found = path.values(value)
        if not found or found[0] is None:
            return (0, 0.0, "")
        first = found[0]
        number = float(first) if isinstance(first, int | float) else quantity(str(first))
        return (1, number, "") if number is not None else (2, 0.0, shown(first))

    return key


_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|\.\d+)([numkKMGTPE]|[KMGTPE]i|e[+-]?\d+)?")
_SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIXES |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}


def quantity(text: str) -> float | None:
    """A Kubernetes quantity (`250m`, `1Gi`) as a number, or None."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    suffix = match[2] or ""
    return float(match[1]) * (float(f"1{suffix}") if suffix.startswith("e") else _SUFFIXES[suffix])


class Columns:
    """`NAME:.metadata.name,IMAGE:.spec.containers[*].image`. Raises JsonPathBroken."""

    def __init__(self, spec: str) -> None:
        if not spec or len(spec) > MAX_LENGTH:
            raise JsonPathBroken(f"it is empty or longer than {MAX_LENGTH} characters")
        pairs = [part.partition(":") for part in _split_columns(spec)]
        if not all(header and colon and path for header, colon, path in pairs):
            raise JsonPathBroken("each column is HEADER:PATH, separated by commas")
        self.headers = tuple(header for header, _, _ in pairs)
        self._paths = [relaxed(path) for _, _, path in pairs]

    def text(self, value: Any) -> str:
        """A table of one object or of a List's items, as kubectl aligns it."""
        items = value["items"] if isinstance(value, dict) and value.get("kind") == "List" else [value]
        lines = [self.headers, *(tuple(self._cell(path, item) for path in self._paths) for item in items)]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.headers))]
        return "\n".join(
            "   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _cell(self, path: JsonPath, item: Any) -> str:
        found = path.values(item)
        return clean_line(",".join(shown(value) for value in found)) if found else "<none>"


def _split_columns(spec: str) -> list[str]:
    """At commas outside brackets, since a union or a filter may hold one."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(spec):
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth <= 0:
            parts.append(spec[start:position])
            start = position + 1
    return [*parts, spec[start:]]
