"""Manifests and patches: what is read, what is refused, and that nothing hostile takes long or ends the process."""

import time

import pytest

from k8s.manifests import MAX_BYTES, MAX_OBJECTS, ManifestBroken, read_manifest, read_patch

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
LIMIT = 5.0  # seconds; generous, what is meant to be caught takes minutes or for ever


def test_several_documents_and_lists_within_lists_come_out_flat_and_in_order() -> None:
    item = "{apiVersion: v1, kind: Pod, metadata: {name: %s}}"
    text = f"{HEAD}---\n# nothing\n---\napiVersion: v1\nkind: List\nitems: [{item % 'b'}, {{kind: PodList, items: [{item % 'c'}]}}]\n---\n{item % 'd'}"
    assert [found["metadata"]["name"] for found in read_manifest(text)] == ["a", "b", "c", "d"]


def test_everything_with_items_is_a_list_as_it_is_to_kubectl() -> None:
    text = f"{HEAD}items:\n- {{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: hidden}}}}\n"
    assert [found["kind"] for found in read_manifest(text)] == ["Role"]


def test_scalars_are_read_as_kubectl_reads_them() -> None:
    text = f"{HEAD}data: {{octal: 0644, hex: 0x1F, yes: on, text: '1', date: 2026-01-31, clock: 12:30:00, none: ~, real: 1.5}}"
    assert read_manifest(text.replace("yes:", '"yes":'))[0]["data"] == {
        "octal": 0o644,
        "hex": 31,
        "yes": True,
        "text": "1",
        "date": "2026-01-31",
        "clock": "12:30:00",
        "none": None,
        "real": 1.5,
    }


def test_anchors_and_merges_are_followed_and_the_objects_own_keys_win() -> None:
    text = f"{HEAD}x: &x {{a: 1, b: 1}}\ny: &y {{b: 2, c: 2}}\nz:\n  <<: [*x, *y]\n  a: 3\n"
    assert read_manifest(text)[0]["z"] == {"a": 3, "b": 1, "c": 2}


def test_json_is_read_with_tabs_and_escaped_emoji() -> None:
    text = '{\n\t"apiVersion": "v1", "kind": "Pod",\n\t"metadata": {"name": "a", "annotations": {"n": "\\ud83d\\ude00"}}}'
    assert read_manifest(text)[0]["metadata"]["annotations"] == {"n": "😀"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("words", "not an object"),
        ("[]", "not an object"),
        (HEAD + "a: 1\na: 2\n", "Line 5: the key “a” is there twice"),
        (HEAD + "a: {b: 1, 'b': 2}\n", "twice"),
        (HEAD + "1: a\n", "keys must be text"),
        (HEAD + "yes: a\n", "keys must be text"),
        (HEAD + "? [a]\n: b\n", "keys must be text"),
        (HEAD + "a:\n\tb: 1\n", "Line 5 is not YAML"),
        (HEAD + "a: !!binary aGk=\n", "bytes is not a value of JSON"),
        (HEAD + "a: !!timestamp 2026-01-31\n", "date is not a value of JSON"),
        (HEAD + "a: !!python/name:os.system\n", "not YAML"),
        (HEAD + "a: .nan\n", "not-a-number"),
        (HEAD + "<<: 1\n", "<< takes an object"),
        ('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","x":"\\ud800"}}', "Half a character"),
        ('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"}}', "twice"),
        ("kind: Pod\nmetadata: {name: a}", "no apiVersion"),
        ("apiVersion: 1\nkind: Pod\nmetadata: {name: a}", "apiVersion cannot be '1'"),
        ("apiVersion: v1\nkind: [Pod]\nmetadata: {name: a}", "kind cannot be"),
        ("apiVersion: v1\nkind: Pod\nmetadata: a", "no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 1}", "metadata.name cannot be '1'"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a/exec}", "metadata.name cannot be"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ..}", "metadata.namespace cannot be"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: ../}", "metadata.generateName cannot be"),
        ("\n---\n".join(HEAD for _ in range(MAX_OBJECTS + 1)), "are the most at once"),
        ("#" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, says: str) -> None:
    with pytest.raises(ManifestBroken, match=says.replace("(", r"\(")):
        read_manifest(text)


BOMBS = {
    "brackets": "[" * 400_000,
    "braces": "{a: " * 100_000,
    "dashes": "- " * 200_000,
    "json": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "aliases": HEAD + "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
    "merges": HEAD
    + "a0: &a0 {"
    + ",".join(f"k{i}: 1" for i in range(9000))
    + "}\nb: {<<: ["
    + ",".join(["*a0"] * 50_000)
    + "]}\n",
    "chain of merges": HEAD + "a0: &a0 {a: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 12_000)),
    "itself": HEAD + "a: &a [*a]\n",
    "itself in a merge": HEAD + "a: &a {<<: *a}\n",
    "many keys, the last one twice": HEAD + "data:\n" + "".join(f"  k{i}: 1\n" for i in range(40_000)) + "  k39999: 1\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(ManifestBroken):
        read_manifest(BOMBS[name])
    assert time.monotonic() - began < LIMIT


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"spec":{"replicas":3}}', {"spec": {"replicas": 3}}),
        ("spec: {replicas: 3}", {"spec": {"replicas": 3}}),
        ('[{"op":"remove","path":"/a"}]', [{"op": "remove", "path": "/a"}]),
        ("{}", {}),
    ],
)
def test_a_patch_is_an_object_or_a_list_of_operations(text: str, read: object) -> None:
    assert read_patch(text) == read


@pytest.mark.parametrize(
    "text", ["", "3", "null", "words", "[1]", "[[]]", "{} \n---\n{}", '{"a":1,"a":2}', '{"a":NaN}', "[" * 5000, '{"a":"\\udfff"}']
)
def test_what_is_no_patch_is_refused(text: str) -> None:
    with pytest.raises(ManifestBroken):
        read_patch(text)
