"""Make k8s/sandbox/objects/schema.json anew: which fields each API type has, read from Kubernetes' own OpenAPI v3 documents.

    python -m tests.k8s.sandbox.make_schema <kubernetes source>/api/openapi-spec/v3 <folder with k8s.io's Go modules>

Only facts are kept (name, type, required, list keys, merge keys, protobuf field numbers); the descriptions that
`kubectl explain` shows come from the installed client when they are asked for.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

GROUPS = [
    "api__v1",
    "apis__apps__v1",
    "apis__batch__v1",
    "apis__autoscaling__v1",
    "apis__autoscaling__v2",
    "apis__networking.k8s.io__v1",
    "apis__policy__v1",
    "apis__rbac.authorization.k8s.io__v1",
    "apis__storage.k8s.io__v1",
    "apis__scheduling.k8s.io__v1",
    "apis__coordination.k8s.io__v1",
    "apis__node.k8s.io__v1",
    "apis__discovery.k8s.io__v1",
    "apis__events.k8s.io__v1",
    "apis__apiextensions.k8s.io__v1",
    "apis__apiregistration.k8s.io__v1",
    "apis__authentication.k8s.io__v1",
    "apis__authorization.k8s.io__v1",
    "apis__admissionregistration.k8s.io__v1",
    "apis__certificates.k8s.io__v1",
    "apis__flowcontrol.apiserver.k8s.io__v1",
    "apis__resource.k8s.io__v1",
]

SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intstr",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
ANY = ("JSON", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrStringArray")


def short(name: str) -> str:
    """`io.k8s.api.core.v1.Pod` → `core.v1.Pod`."""
    for prefix in ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apimachinery.pkg.", "io.k8s."):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def type_of(prop: dict[str, Any]) -> str:
    ref = prop.get("$ref") or next((one["$ref"] for one in prop.get("allOf", []) if "$ref" in one), None)
    if ref:
        name = ref.rsplit("/", 1)[1]
        if name.rsplit(".", 1)[1] in ANY:
            return "any"
        return SCALARS.get(name, short(name))
    kind, form = prop.get("type"), prop.get("format")
    if kind == "array":
        return f"[{type_of(prop['items'])}]"
    if kind == "object" and "additionalProperties" in prop:
        return f"{{{type_of(prop['additionalProperties'])}}}"
    if kind == "string":
        return {"byte": "bytes", "date-time": "time"}.get(form or "", "string")
    return {"integer": form or "int64", "number": "double", "boolean": "boolean"}.get(kind or "", "any")


def field(prop: dict[str, Any], required: bool) -> str:
    words = [type_of(prop)]
    list_type = prop.get("x-kubernetes-list-type")
    if list_type == "map":
        words.append("map=" + ",".join(prop["x-kubernetes-list-map-keys"]))
    elif list_type:
        words.append(list_type)
    if prop.get("x-kubernetes-map-type") == "atomic":
        words.append("atomic")
    strategy = prop.get("x-kubernetes-patch-strategy", "")
    if "merge" in strategy:
        words.append(f"merge={prop.get('x-kubernetes-patch-merge-key', '')}")
    if "retainKeys" in strategy:
        words.append("retainKeys")
    if required:
        words.append("required")
    return " ".join(words)


_MESSAGE = re.compile(r"^message (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"^  (?:optional|repeated)? ?(map<[^>]*>|[.\w]+) (\w+) = (\d+);", re.MULTILINE)


def numbers(modules: Path, types: dict[str, dict[str, str]]) -> dict[str, str]:
    """Field numbers of every message of the types, and of messages that JSON shows inline in their parent."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path in sorted(modules.glob("*/**/generated.proto")):
        text = path.read_text()
        package = re.search(r"^package (.*);", text, re.MULTILINE)
        assert package
        prefix = short("io.k8s." + package[1].removeprefix("k8s.io."))
        for name, body in _MESSAGE.findall(text):
            found[f"{prefix}.{name}"] = [(kind, field, number) for kind, field, number in _NUMBER.findall(body)]
    wanted, lines = list(types), {}
    while wanted:
        name = wanted.pop()
        if name not in found or name in lines:
            continue
        words = []
        for kind, field, number in found[name]:
            inline = field not in types.get(name, {field: ""}) and not kind.startswith("map")
            inner = (
                short("io.k8s." + kind.removeprefix(".k8s.io.")) if kind.startswith(".") else f"{name.rpartition('.')[0]}.{kind}"
            )
            words.append(f"{number}={field}" + (f":{inner}" if inline and inner in found else ""))
            if inline and inner in found:
                wanted.append(inner)
        lines[name] = " ".join(words)
    return lines


def main(folder: Path, modules: Path) -> None:
    types: dict[str, dict[str, str]] = {}
    atomic: list[str] = []
    for group in GROUPS:
        doc = json.loads((folder / f"{group}_openapi.json").read_text())
        for name, schema in doc["components"]["schemas"].items():
            if name in SCALARS or name.rsplit(".", 1)[1] in ANY:
                continue
            required = schema.get("required", [])
            types[short(name)] = {key: field(prop, key in required) for key, prop in sorted(schema.get("properties", {}).items())}
            if schema.get("x-kubernetes-map-type") == "atomic":
                atomic.append(short(name))
    lines = [f"{json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(types.items())]
    out = Path(__file__).parents[3] / "k8s" / "sandbox" / "objects" / "schema.json"
    wire = [f"{json.dumps(name)}: {json.dumps(words)}" for name, words in sorted(numbers(modules, types).items())]
    out.write_text(
        f'{{"atomic": {json.dumps(sorted(set(atomic)))},\n"types": {{\n' + ",\n".join(lines)
        + '\n},\n"numbers": {\n' + ",\n".join(wire) + "\n}}\n"
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
