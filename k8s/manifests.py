"""Manifests as they come with a message: YAML or JSON text → plain objects, within limits."""

import math
import re
from typing import Any

import yaml

MAX_BYTES = 512 * 1024
"""A third of what the API server takes for one request (3 MiB, etcd 1.5 MiB); larger manifests belong in a pipeline."""
MAX_OBJECTS = 100
MAX_NODES = 100_000
"""Values after aliases are expanded: what keeps a YAML bomb small."""


class ManifestBroken(Exception):
    """The manifest cannot be read; the message says where and why."""


class _Loader(yaml.CSafeLoader):
    """YAML as kubectl reads it: no dates, no base-60 numbers, no key twice."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*|0[0-7]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(keys) != len(set(keys)) else None
    if twice is not None:
        raise ManifestBroken(f"Line {node.start_mark.line + 1}: the key “{twice}” is there twice.")
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_manifest(text: str) -> tuple[dict[str, Any], ...]:
    """The objects of a manifest, Lists taken apart, in order.

    Raises: ManifestBroken, naming the document or line and what is wrong with it.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ManifestBroken(f"The manifest is larger than {MAX_BYTES // 1024} KiB. Split it.")
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ManifestBroken(f"Line {line} is not YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestBroken(f"This is not YAML: {error}.") from error
    _check_size(documents)
    objects: list[dict[str, Any]] = []
    for number, document in enumerate(documents, 1):
        objects += _objects(document, f"Document {number}")
    if not objects:
        raise ManifestBroken("The manifest is empty.")
    if len(objects) > MAX_OBJECTS:
        raise ManifestBroken(f"The manifest has {len(objects)} objects; {MAX_OBJECTS} are the most at once.")
    return tuple(objects)


def _objects(document: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        raise ManifestBroken(f"{where} is not an object with apiVersion and kind.")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        return [found for number, item in enumerate(document["items"], 1) for found in _objects(item, f"{where}, item {number}")]
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise ManifestBroken(f"{where} has no {field}.")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise ManifestBroken(f"{where} ({document['kind']}) has no metadata.name.")
    return [document]


def _check_size(documents: list[Any]) -> None:
    """Count values with aliases expanded, without expanding them; an alias that holds itself never ends, and is caught too."""
    waiting: list[tuple[Any, int]] = [(document, 0) for document in documents]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_NODES or depth > 100:
            raise ManifestBroken("The manifest is too large or too deep once its aliases are expanded.")
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise ManifestBroken("Keys must be text; put quotes around numbers and yes/no.")
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ManifestBroken("Infinity and not-a-number are not values of a manifest.")
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
