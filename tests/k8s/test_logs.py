"""Logs: which container, how much, and that nothing goes on for ever."""

import re

import pytest
from aiohttp import web

from k8s import logs
from k8s.client import Limits
from k8s.errors import ApiError, CommandInvalid
from tests.clusters import LiveCluster, command, shown
from tests.k8s.test_client import client_of, serving


@pytest.fixture(scope="module")
async def shop(cluster: LiveCluster) -> str:
    return await cluster.namespace()


async def test_logs_of_a_workload_say_which_pod_and_container(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"logs deploy/checkout -n {shop}")
    assert result.text.strip()
    assert re.fullmatch(r"Found 3 pods, using pod/checkout-[\w-]+; --all-pods reads them all\.", result.notes[0])
    assert re.fullmatch(r"Container web of checkout-[\w-]+; it also has sidecar\.", result.notes[1])


async def test_tail_gives_the_last_lines(cluster: LiveCluster, shop: str) -> None:
    whole = (await cluster.run("alice", f"logs deploy/checkout -c web -n {shop}")).text.splitlines()
    two = (await cluster.run("alice", f"logs deploy/checkout -c web --tail=2 -n {shop}")).text.splitlines()
    assert two == whole[-2:]
    assert (await cluster.run("alice", f"logs deploy/checkout -c web --tail=0 -n {shop}")).text == ""


async def test_timestamps_are_given_when_asked_for(cluster: LiveCluster, shop: str) -> None:
    lines = (await cluster.run("alice", f"logs deploy/checkout -c web --timestamps -n {shop}")).text.splitlines()
    assert lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) ", line) for line in lines)


async def test_all_containers_and_selectors_are_prefixed(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"logs deploy/checkout --all-containers --prefix -n {shop}")
    assert {re.match(r"\[pod/checkout-[\w-]+/(\w+)\] ", line)[1] for line in result.text.splitlines()} == {"web", "sidecar"}  # type: ignore[index]
    result = await cluster.run("alice", f"logs -l app=checkout -c web --tail=1 -n {shop}")
    assert len(result.text.splitlines()) == 3
    assert all(line.startswith("[pod/checkout-") for line in result.text.splitlines())


async def test_too_many_containers_are_named_and_left(cluster: LiveCluster, shop: str) -> None:
    result = await cluster.run("alice", f"logs -l app=checkout --all-containers -n {shop}")
    assert "Logs of 5 of 6 containers; name a pod or a container for the others." in result.notes


async def test_previous_container_is_read_or_said_to_be_missing(cluster: LiveCluster, shop: str) -> None:
    try:
        assert (await cluster.run("alice", f"logs deploy/checkout -c web --previous -n {shop}")).text
    except ApiError as error:
        assert error.status == 400  # noqa: PT017 - either is right, by the cluster
        assert "previous terminated container" in error.message  # noqa: PT017


async def test_selector_without_pods_is_said(cluster: LiveCluster, shop: str) -> None:
    with pytest.raises(CommandInvalid, match="No pods match 'app=nope' in namespace"):
        await cluster.run("alice", f"logs -l app=nope -n {shop}")


POD = {"kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "1"}, "spec": {"containers": [{"name": "web"}]}}


def pod_with_log(write: object) -> object:
    async def handler(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/log"):
            return web.json_response(POD)
        response = web.StreamResponse()
        await response.prepare(request)
        await write(request, response)  # type: ignore[operator]
        return response

    return handler


async def test_gigabytes_are_bounded_and_the_end_is_what_is_kept() -> None:
    async def write(request: web.Request, response: web.StreamResponse) -> None:
        for number in range(20_000):
            await response.write(f"line {number} {'x' * 80}\n".encode())

    async with serving(pod_with_log(write)) as server, client_of(server) as client:  # type: ignore[arg-type]
        result = await logs.logs(client, command("logs p"), Limits(characters=5000))
    assert len(result.text) <= 5000
    assert result.text.splitlines()[-1].startswith("line 19999 ")
    assert result.text.startswith("line ")
    assert result.truncated.startswith("Only the last 5,000 characters")


async def test_follow_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def write(request: web.Request, response: web.StreamResponse) -> None:
        assert request.query["follow"] == "true"
        await response.write(b"first\n")
        await asyncio.sleep(30)

    async with serving(pod_with_log(write)) as server, client_of(server) as client:  # type: ignore[arg-type]
        result = await logs.logs(client, command("logs -f p"), Limits(seconds=0.6))
    assert result.text == "first\n"
    assert re.fullmatch(r"Followed for 0\.\d+ s\.", result.truncated)


async def test_secrets_and_escapes_in_logs_do_not_come_out() -> None:
    async def write(request: web.Request, response: web.StreamResponse) -> None:
        await response.write("\x1b[31mlogin\x1b[0m password=hunter2 \u202eevil\r\n<!channel> \xff".encode("latin-1", "replace"))
        await response.write(b"\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----\n")

    async with serving(pod_with_log(write)) as server, client_of(server) as client:  # type: ignore[arg-type]
        said = shown(await logs.logs(client, command("logs p"), Limits()))
    assert "hunter2" not in said
    assert "MIIEvQ" not in said
    assert "\x1b" not in said
    assert "login password=‹redacted›" in said


async def test_slow_log_that_never_ends_is_cut_in_time() -> None:
    import asyncio

    async def write(request: web.Request, response: web.StreamResponse) -> None:
        await response.write(b"first\n")
        await asyncio.sleep(30)

    async with serving(pod_with_log(write)) as server, client_of(server) as client:  # type: ignore[arg-type]
        result = await logs.logs(client, command("logs p"), Limits(seconds=0.5))
    assert result.text == "first\n"
    assert "Not all came" in result.truncated
