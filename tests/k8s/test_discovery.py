"""Which resource a word means: on new and old servers, and with a part of the API down."""

from typing import Any

import pytest
from aiohttp import web

from k8s.client import Limits
from k8s.discovery import discovered, resolve, resolve_object
from k8s.errors import UnknownResource, explain
from k8s.get import get
from tests.clusters import LiveCluster, command
from tests.k8s.test_client import Handler, client_of, serving, status

WORDS = [
    ("pods", "", "v1", "Pod"),
    ("po", "", "v1", "Pod"),
    ("deploy", "apps", "v1", "Deployment"),
    ("deployments.apps", "apps", "v1", "Deployment"),
    ("deployment.v1.apps", "apps", "v1", "Deployment"),
    ("hpa", "autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("crd", "apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
]


@pytest.mark.parametrize(("word", "group", "version", "kind"), WORDS)
async def test_word_means_the_same_to_us_and_to_the_server(
    cluster: LiveCluster, word: str, group: str, version: str, kind: str
) -> None:
    client = await cluster.client("admin")
    ours, theirs = await resolve(client, word), await discovered(client, word)
    for found in (ours, theirs):
        assert (found.group, found.version, found.kind) == (group, version, kind)
    assert (ours.plural, ours.namespaced, ours.singular) == (theirs.plural, theirs.namespaced, theirs.singular)
    assert set(ours.short_names) == set(theirs.short_names)


async def test_discovery_is_asked_once_for_many_words(cluster: LiveCluster) -> None:
    client = await cluster.client("admin")
    await discovered(client, "pods")
    at = client.discovered.at
    for word in ("services", "deployments", "ingresses"):
        await discovered(client, word)
    assert client.discovered.at == at


def old_server(*, down: tuple[str, ...] = ()) -> Handler:
    """Kubernetes 1.24 in small: no aggregated discovery, flow schemas in v1beta2 only, and an aggregated API."""
    groups = {"flowcontrol.apiserver.k8s.io": "v1beta2", "up.dev": "v1", "down.dev": "v1"}
    versions = {name: {"groupVersion": f"{name}/{version}", "version": version} for name, version in groups.items()}
    answers: dict[str, Any] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [{"name": name, "versions": [each], "preferredVersion": each} for name, each in versions.items()],
        },
        "/api/v1": {"kind": "APIResourceList", "resources": []},
        "/apis/flowcontrol.apiserver.k8s.io/v1beta2": {
            "resources": [
                {"name": "flowschemas", "singularName": "", "namespaced": False, "kind": "FlowSchema", "verbs": ["list"]}
            ]
        },
        "/apis/flowcontrol.apiserver.k8s.io/v1beta2/flowschemas": {
            "kind": "FlowSchemaList",
            "items": [{"metadata": {"name": "exempt", "creationTimestamp": "2020-01-01T00:00:00Z"}}],
        },
        "/apis/up.dev/v1": {
            "resources": [
                {
                    "name": "widgets",
                    "singularName": "widget",
                    "namespaced": True,
                    "kind": "Widget",
                    "shortNames": ["wd"],
                    "verbs": [],
                },
                {"name": "widgets/scale", "singularName": "", "namespaced": True, "kind": "Scale", "verbs": []},
            ]
        },
        "/apis/down.dev/v1": {"resources": []},
    }

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path in down:
            return web.json_response(status(503, "ServiceUnavailable", "down"), status=503)
        if request.path not in answers:
            return web.Response(status=404, text="404 page not found")
        return web.json_response(answers[request.path])

    return handler


async def test_kind_in_an_older_version_is_found_on_an_old_server() -> None:
    async with serving(old_server()) as server, client_of(server) as client:
        result = await get(client, command("get flowschemas"), Limits())
        assert result.tables[0].columns == ("NAME", "AGE")  # printed here, since the server answers without a table
        assert result.tables[0].rows[0][0] == "exempt"


async def test_aggregated_api_that_is_down_leaves_the_others() -> None:
    async with serving(old_server(down=("/apis/down.dev/v1",))) as server, client_of(server) as client:
        for word in ("widgets.up.dev", "wd", "widget", "widgets.v1.up.dev"):
            found = await resolve(client, word)
            assert (found.group, found.version, found.kind, found.subresources) == ("up.dev", "v1", "Widget", ("scale",))
        assert client.discovered.missing == ("down.dev",)
        with pytest.raises(UnknownResource) as caught:
            await resolve(client, "gizmos.down.dev")
        assert "a part of its API that does not answer now (down.dev): ask again in a minute." in explain(caught.value)


async def test_unknown_words_get_the_nearest() -> None:
    async with serving(old_server()) as server, client_of(server) as client:
        with pytest.raises(UnknownResource) as caught:
            await resolve(client, "wigdets")
        assert explain(caught.value).endswith("has no resource type 'wigdets': did you mean widgets?")


async def test_manifest_of_a_custom_kind_finds_its_resource() -> None:
    async with serving(old_server()) as server, client_of(server) as client:
        found = await resolve_object(client, "up.dev/v1", "Widget")
        assert found.path("shop", "one") == "/apis/up.dev/v1/namespaces/shop/widgets/one"
        assert found.word == "widgets.up.dev"
        assert found.display == "widget.up.dev"
