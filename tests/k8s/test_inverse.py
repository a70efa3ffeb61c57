"""Patches that take patches back, without a cluster."""

import copy
from typing import Any

import pytest

from k8s.inverse import NoInverse, inverse

WEB = {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}]}
BEFORE: dict[str, Any] = {
    "metadata": {"labels": {"app": "shop", "tier": "web"}, "uid": "u"},
    "spec": {"replicas": 3, "template": {"spec": {"containers": [WEB, {"name": "proxy", "image": "proxy:1"}]}}},
}


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(items)}}}}


INVERSES: list[tuple[str, Any, dict[str, Any], str]] = [
    ("merge", {"spec": {"replicas": 5}}, {"spec": {"replicas": 3}}, "merge"),
    ("merge", {"spec": {"paused": True}}, {"spec": {"paused": None}}, "merge"),
    ("merge", {"spec": {"strategy": {"type": "Recreate"}}}, {"spec": {"strategy": None}}, "merge"),
    ("merge", {"metadata": {"labels": {"tier": None, "gone": None, "new": "x"}, "uid": "u"}},
     {"metadata": {"labels": {"tier": "web", "new": None}}}, "merge"),
    ("merge", {"data": {"uid": "x"}, "metadata": {"uid": "u"}}, {"data": None}, "merge"),
    ("merge", containers({"name": "other"}), containers(*BEFORE["spec"]["template"]["spec"]["containers"]), "merge"),
    ("strategic", containers({"name": "proxy", "image": "proxy:2"}), containers({"name": "proxy", "image": "proxy:1"}), "strategic"),
    ("strategic", containers({"name": "web", "env": [{"name": "A", "value": "2"}]}),
     containers({"name": "web", "env": [{"name": "A", "value": "1"}]}), "strategic"),
    ("strategic", containers({"name": "new", "image": "x"}), containers(*BEFORE["spec"]["template"]["spec"]["containers"]), "merge"),
    ("json", [{"op": "replace", "path": "/spec/replicas", "value": 9}], {"spec": {"replicas": 3}}, "merge"),
    ("json", [{"op": "add", "path": "/metadata/annotations/a~1b", "value": "c"}], {"metadata": {"annotations": None}}, "merge"),
    ("json", [{"op": "test", "path": "/spec/replicas", "value": 3}, {"op": "remove", "path": "/metadata/labels/tier"}],
     {"metadata": {"labels": {"tier": "web"}}}, "merge"),
    ("json", [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"}],
     containers(*BEFORE["spec"]["template"]["spec"]["containers"]), "merge"),
    ("json", [{"op": "move", "from": "/metadata/labels/tier", "path": "/metadata/labels/level"}],
     {"metadata": {"labels": {"level": None, "tier": "web"}}}, "merge"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "patch", "back", "kind_back"), INVERSES)
def test_inverse_gives_the_touched_fields_back(kind: str, patch: Any, back: dict[str, Any], kind_back: str) -> None:
    before = copy.deepcopy(BEFORE)
    found, found_kind = inverse(before, patch, kind)
    assert (found, found_kind) == (back, kind_back)
    assert before == BEFORE


NONE = [
    ("strategic", {"spec": {"$patch": "replace", "replicas": 1}}),
    ("strategic", {"$retainKeys": ["spec"], "spec": {"replicas": 1}}),
    ("json", [{"op": "replace", "path": "", "value": {}}]),
]


@pytest.mark.parametrize(("kind", "patch"), NONE)
def test_directives_and_whole_objects_have_no_inverse(kind: str, patch: Any) -> None:
    with pytest.raises(NoInverse):
        inverse(BEFORE, patch, kind)
