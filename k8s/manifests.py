"""Manifests and patches as they come with a message: YAML or JSON text → plain objects, within limits.

What is judged is what is sent: the executor takes its objects from here too, never from the text again.
"""

import json
import math
import re
from typing import Any

import yaml

MAX_BYTES = 512 * 1024
"""A third of what the API server takes for one request (3 MiB, etcd 1.5 MiB); larger manifests belong in a pipeline."""
MAX_OBJECTS = 100
MAX_NODES = 100_000
"""Values after aliases are expanded: what keeps a YAML bomb small."""
MAX_DEPTH = 100
"""The deepest built-in kind, a CustomResourceDefinition with its schema, stays far below."""


class ManifestBroken(Exception):
    """The manifest cannot be read; the message says where and why."""


def read_manifest(text: str) -> tuple[dict[str, Any], ...]:
    """The objects of a manifest, Lists taken apart, in order.

    Raises: ManifestBroken, naming the document or line and what is wrong with it.
    """
    documents = [document for document in _read(text) if document is not None]
    objects: list[dict[str, Any]] = []
    for number, document in enumerate(documents, 1):
        objects += _objects(document, f"Document {number}")
    if not objects:
        raise ManifestBroken("The manifest is empty.")
    if len(objects) > MAX_OBJECTS:
        raise ManifestBroken(f"The manifest has {len(objects)} objects; {MAX_OBJECTS} are the most at once.")
    return tuple(objects)


def read_patch(text: str) -> dict[str, Any] | list[dict[str, Any]]:
    """What `patch -p` and `--overrides` carry: an object, or the operations of a JSON Patch.

    Raises: ManifestBroken.
    """
    documents = _read(text)
    patch = documents[0] if len(documents) == 1 else None
    if isinstance(patch, dict) or (isinstance(patch, list) and all(isinstance(operation, dict) for operation in patch)):
        return patch
    raise ManifestBroken("A patch is one object, or a list of JSON Patch operations, in JSON or YAML.")


# --- objects --------------------------------------------------------------------------------------------------------------

_API_VERSION = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[a-z0-9]+")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:@-]{1,253}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _objects(document: Any, where: str) -> list[dict[str, Any]]:
    """One object, or those of a List. To kubectl everything with `items` is a List, whatever its kind."""
    if not isinstance(document, dict):
        raise ManifestBroken(f"{where} is not an object with apiVersion and kind.")
    if isinstance(document.get("items"), list):
        return [found for number, item in enumerate(document["items"], 1) for found in _objects(item, f"{where}, item {number}")]
    _check_word(document, "apiVersion", _API_VERSION, where)
    _check_word(document, "kind", _KIND, where)
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise ManifestBroken(f"{where} ({document['kind']}) has no metadata.name.")
    for field, pattern in (("name", _NAME), ("generateName", _NAME), ("namespace", _NAMESPACE)):
        if metadata.get(field) is not None:
            _check_word(metadata, field, pattern, f"{where} ({document['kind']})", "metadata.")
    return [document]


def _check_word(owner: dict[str, Any], field: str, pattern: re.Pattern[str], where: str, under: str = "") -> None:
    """These become part of a path of the API, so nothing in them may leave its place in that path."""
    value = owner.get(field)
    if value is None or value == "":
        raise ManifestBroken(f"{where} has no {under}{field}.")
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ManifestBroken(f"{where}: {under}{field} cannot be {str(value)[:100]!r}.")


# --- text -----------------------------------------------------------------------------------------------------------------


class _Loader(yaml.CSafeLoader):
    """YAML as kubectl reads it, but no dates, no base-60 numbers, no key twice, and merges that cannot grow for ever."""

    merged = 0


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*|0[0-7]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        value = loader.construct_object(value_node, deep=True)
        if key_node.tag == "tag:yaml.org,2002:merge":
            for part in value if isinstance(value, list) else [value]:
                for name, item in _mergeable(loader, part, key_node).items():
                    merged.setdefault(name, item)
            continue
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise ManifestBroken(f"Line {line}: keys must be text; put quotes around numbers and yes/no.")
        if key in own:
            raise ManifestBroken(f"Line {line}: the key “{key[:100]}” is there twice.")
        own[key] = value
    return {**merged, **own}


def _mergeable(loader: _Loader, part: Any, key: yaml.ScalarNode) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise ManifestBroken(f"Line {key.start_mark.line + 1}: << takes an object or a list of objects.")
    loader.merged += len(part) + 1
    if loader.merged > MAX_NODES:
        raise ManifestBroken("The manifest is too large once its merges (<<) are done.")
    return part


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _read(text: str) -> list[Any]:
    """All documents of the text."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ManifestBroken(f"The manifest is larger than {MAX_BYTES // 1024} KiB. Split it.")
    documents = _read_json(text) if text.lstrip()[:1] in {"{", "["} else None
    if documents is None:
        documents = _read_yaml(text)
    _check_values(documents)
    return documents


def _read_json(text: str) -> list[Any] | None:
    """One JSON document, or None: YAML in braces and several documents are for the YAML reader."""
    try:
        return [json.loads(text, object_pairs_hook=_once)]
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, value in pairs:
        if key in built:
            raise ManifestBroken(f"The key “{key[:100]}” is there twice in one object.")
        built[key] = value
    return built


def _read_yaml(text: str) -> list[Any]:
    try:
        _check_depth(text)
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ManifestBroken(f"Line {line} is not YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestBroken(f"This is not YAML: {error}.") from error


def _check_depth(text: str) -> None:
    """Before anything is built: libyaml's composer recurses, and 100,000 open brackets would end the whole process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ManifestBroken(f"The manifest is nested more than {MAX_DEPTH} levels deep.")


def _check_values(documents: list[Any]) -> None:
    """Count values with aliases expanded, without expanding them; an alias that holds itself never ends, and is caught too."""
    waiting: list[tuple[Any, int]] = [(document, 0) for document in documents]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise ManifestBroken("The manifest is too large or too deep once its aliases are expanded.")
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for item in value.values()]
            _check_text("".join(value))
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ManifestBroken("Infinity and not-a-number are not values of a manifest.")
        elif value is not None and not isinstance(value, bool | int | float):
            raise ManifestBroken(f"A {type(value).__name__} is not a value of JSON; leave out tags such as !!binary.")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ManifestBroken("Half a character (a lone surrogate) is not text.") from error
