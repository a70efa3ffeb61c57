"""kubectl's JSONPath and custom columns. Expected texts are what kubectl prints for the same object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.jsonpath import Columns, JsonPath, JsonPathBroken, quantity, sort_key

VALUE = {
    "kind": "List",
    "items": [
        {
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}},
            "spec": {"n": 1, "on": True},
            "tags": ["p", "q", "r"],
        },
        {"metadata": {"name": "b"}, "spec": {"n": 12, "on": False, "nothing": None}, "tags": []},
    ],
}

TEXTS = [
    ("{.items[0].metadata.name}", "a"),
    ("{.items[*].metadata.name}", "a b"),
    ("{$.items[-1].metadata.name}", "b"),
    ("{.items[0].tags[0:2]}", "p q"),
    ("{.items[0].tags[::2]}", "p r"),
    ("{.items[0].tags[0,2]}", "p r"),
    ("{.items[0].tags[-1:]}", "r"),
    ("{.items[0]['metadata']['name']}", "a"),
    (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
    ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x"),
    ("{..name}", "a b"),
    ("{.items[*]['metadata.name']}", ""),
    ("{range .items[*]}{.metadata.name}{'\\t'}{.spec.n}{'\\n'}{end}", "a\t1\nb\t12\n"),
    ('{range .items[*]}[{.metadata.name}{"]"}{end}', "[a][b]"),
    ("{range .items[*]}{range .tags[*]}{@}-{end};{end}", "p-q-r-;;"),
    ("names: {.items[*].metadata.name}!", "names: a b!"),
    ("{.items[?(@.spec.n>5)].metadata.name}", "b"),
    ("{.items[?(@.spec.n>=1)].metadata.name}", "a b"),
    ('{.items[?(@.metadata.name=="a")].spec.n}', "1"),
    ("{.items[?(@.metadata.name!='a')].spec.n}", "12"),
    ("{.items[?(@.spec.on==true)].metadata.name}", "a"),
    ("{.items[?(@.metadata.labels)].metadata.name}", "a"),
    ("{.items[0].spec}", '{"n":1,"on":true}'),
    ("{.items[0].tags}", '["p","q","r"]'),
    ("{.items[0].spec.on}", "true"),
    ("{.items[1].spec.nothing}", ""),
    ("{.missing.at.all}", ""),
    ("{.items[99].x}", ""),
    (".items[0].metadata.name", ".items[0].metadata.name"),
    ("", ""),
]


@pytest.mark.parametrize(("template", "text"), TEXTS)
def test_template_prints_what_kubectl_prints(template: str, text: str) -> None:
    assert JsonPath(template).text(VALUE) == text


BROKEN = ["{.items[}", "{.items", "{end}", "{range .items[*]}", "{.a b}", "{.items[0}", "{'x}", "{.}}{", "{.a[1:2:0]}", "{..}{.a..}x{", "{.[?(]}",
          "x" * 3000]  # fmt: skip


@pytest.mark.parametrize("template", BROKEN)
def test_expression_that_cannot_be_read_is_named(template: str) -> None:
    with pytest.raises(JsonPathBroken):
        JsonPath(template)


@given(st.text(st.sampled_from("{}[]().*?@$'\"abc01,:=<>! \\\n"), max_size=40))
def test_no_expression_fails_otherwise(template: str) -> None:
    try:
        path = JsonPath(template)
    except JsonPathBroken:
        return
    path.text(VALUE)


def test_expression_that_multiplies_is_stopped() -> None:
    deep: object = "x"
    for _ in range(12):
        deep = [deep] * 3
    with pytest.raises(JsonPathBroken, match="too many values"):
        JsonPath("{..*..*..*}").text({"a": deep})


def test_custom_columns_align_and_join() -> None:
    text = Columns("NAME:.metadata.name,TAGS:.tags[*],NONE:.nope").text(VALUE)
    assert text.splitlines() == ["NAME   TAGS     NONE", "a      p,q,r    <none>", "b      <none>   <none>"]


@pytest.mark.parametrize("spec", ["", "NAME", "NAME:", ":.x", "A:.b,,"])
def test_columns_that_cannot_be_read_are_named(spec: str) -> None:
    with pytest.raises(JsonPathBroken):
        Columns(spec)


def test_sorting_goes_by_size_for_numbers_and_quantities() -> None:
    items = [{"v": each} for each in ("1Gi", "500Mi", 7, "2", "100m", "z", "a")] + [{}]
    assert [each.get("v") for each in sorted(items, key=sort_key(".v"))] == [None, "100m", "2", 7, "500Mi", "1Gi", "a", "z"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", 0.25), ("1Ki", 1024), ("1k", 1000), ("1e3", 1000), ("5", 5), ("x", None), ("1.5Gi", 1.5 * 2**30)],
)
def test_quantities_are_numbers(text: str, number: float | None) -> None:
    assert quantity(text) == number
