"""The client against a server that misbehaves: each fault is one plain sentence, and nothing is sent where it should not go."""

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from k8s.access import ClusterAccess, ImpersonationCredentials, KubeconfigCredentials, connect
from k8s.client import ClusterClient, Endpoint
from k8s.discovery import api_path
from k8s.errors import (
    AnswerBroken,
    AnswerTooLarge,
    ApiError,
    ClusterError,
    ClusterTimeout,
    ClusterUnreachable,
    ClusterUntrusted,
    CommandInvalid,
    explain,
)
from k8s.kubeconfig import Kubeconfig
from tests.controlplane import certificates

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server with one handler for everything, on the loopback address."""
    app = web.Application()
    app.router.add_route("*", r"/{path:[\s\S]*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(
    server: str, *, seconds: float = 5.0, max_bytes: int = 2**20, authority: str = ""
) -> AsyncIterator[ClusterClient]:
    """A client with a token for a server."""
    kubeconfig = Kubeconfig(Endpoint(server, authority), token="the-token")
    client = await connect(
        ClusterAccess("shop", "alice", KubeconfigCredentials(kubeconfig)), seconds=seconds, max_bytes=max_bytes
    )
    try:
        yield client
    finally:
        await client.close()


def answering(status: int, body: object, headers: dict[str, str] | None = None) -> Handler:
    """A handler that always gives the same answer."""
    text = body if isinstance(body, str) else json.dumps(body)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")

    return handler


def status(code: int, reason: str, message: str, **details: object) -> dict[str, object]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details}


RBAC = 'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "shop"'
CAUSES = [{"reason": "FieldManagerConflict", "message": 'conflict with "helm" using apps/v1', "field": ".spec.replicas"}]
ANSWERS = [
    (400, status(400, "BadRequest", "unable to parse the requirement"), "does not understand the request: unable to parse"),
    (401, status(401, "Unauthorized", "Unauthorized"), "does not accept your credentials (401): they may have expired, so ask"),
    (403, status(403, "Forbidden", RBAC), "an administrator can grant you the right with a Role and a RoleBinding."),
    (403, status(403, "Forbidden", "exceeded quota: few, requested: pods=1"), "quota does not allow it: exceeded quota: few"),
    (
        403,
        status(403, "Forbidden", 'violates PodSecurity "restricted"'),
        "A rule of the cluster refuses it: violates PodSecurity",
    ),
    (
        404,
        status(404, "NotFound", 'pods "x" not found', name="x"),
        'pods "x" not found: check the name, the namespace and the cluster.',
    ),
    (404, "404 page not found", "check the name and the resource type."),
    (409, status(409, "AlreadyExists", 'pods "x" already exists', name="x"), "already exists: choose another name"),
    (409, status(409, "Conflict", "the object has been modified"), "changed by someone else in the meantime"),
    (
        409,
        status(409, "Conflict", "Apply failed", causes=CAUSES),
        'Other tools own fields that this would change: .spec.replicas ("helm"',
    ),
    (410, status(410, "Expired", "too old resource version"), "(410): ask again, and I will start afresh."),
    (422, status(422, "Invalid", "spec.replicas: must be >= 0"), "finds it invalid: spec.replicas: must be >= 0; correct it"),
    (429, status(429, "TooManyRequests", "too many requests"), "busy and turned the request away (429): ask again in a minute."),
    (
        429,
        status(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget."),
        "wait until more of its",
    ),
    (500, status(500, "InternalError", "etcd is on fire"), "failed inside (500: etcd is on fire): ask again"),
    (502, "<html>bad gateway</html>", "not available now (502: <html>bad gateway</html>): ask again in a minute."),
    (503, status(503, "ServiceUnavailable", "starting"), "not available now (503: starting): ask again in a minute."),
    (418, "teapot", "answered 418: teapot"),
]


@pytest.mark.parametrize(("code", "body", "sentence"), ANSWERS)
async def test_error_answer_becomes_one_sentence_with_what_to_do(code: int, body: object, sentence: str) -> None:
    async with serving(answering(code, body)) as server, client_of(server) as client:
        with pytest.raises(ApiError) as caught:
            await client.request("PATCH", "/api/v1/pods", body={})
    assert caught.value.status == code
    said = explain(caught.value)
    assert sentence in said
    assert "\n" not in said
    assert said.endswith(".")


async def half_a_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"kind": "PodList", "items": [')
    assert request.transport is not None
    request.transport.close()
    return response


async def half_a_chunk(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(b'{"kind": "PodList", "items": [')
    assert request.transport is not None
    request.transport.close()
    return response


async def no_answer(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def slow_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"{")
    await asyncio.sleep(30)
    return response


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


async def gzip_bomb(request: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"})


BROKEN = [
    (half_a_body, AnswerBroken, "could not be read (it broke off in the middle): ask again in a minute"),
    (half_a_chunk, AnswerBroken, "could not be read (it broke off in the middle): ask again in a minute"),
    (no_answer, ClusterTimeout, "The cluster shop did not answer within 0.5 s: ask again in a minute"),
    (slow_body, ClusterTimeout, "The cluster shop did not answer within 0.5 s: ask again in a minute"),
    (hangs_up, ClusterUnreachable, "I cannot reach the cluster shop (the connection broke before an answer came)"),
    (endless, AnswerTooLarge, "was larger than 1 MiB and was dropped: ask for less"),
    (gzip_bomb, AnswerTooLarge, "was larger than 1 MiB and was dropped: ask for less"),
    (answering(200, "<html>hello</html>"), AnswerBroken, "could not be read (it is not JSON)"),
    (answering(200, "[1, 2]"), AnswerBroken, "could not be read (it is not a JSON object)"),
    (
        answering(302, "", {"Location": "http://127.0.0.1:1/steal"}),
        AnswerBroken,
        "points to another address, which is not followed",
    ),
]


@pytest.mark.parametrize(("handler", "kind", "sentence"), BROKEN)
async def test_broken_answer_becomes_one_sentence_with_what_to_do(
    handler: Handler, kind: type[ClusterError], sentence: str
) -> None:
    async with serving(handler) as server, client_of(server, seconds=0.5) as client:
        with pytest.raises(kind) as caught:
            await client.get("/api/v1/pods")
    assert sentence in explain(caught.value)


@pytest.mark.parametrize("handler", [half_a_body, no_answer, hangs_up, endless])
async def test_change_that_got_no_answer_is_said_to_be_unknown_and_sent_once(handler: Handler) -> None:
    sent = 0

    async def counting(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        sent += 1
        return await handler(request)

    async with serving(counting) as server, client_of(server, seconds=0.5) as client:
        for method in ("DELETE", "PATCH"):
            with pytest.raises(ClusterError) as caught:
                await client.request(method, "/api/v1/pods/x", body={})
            assert getattr(caught.value, "wrote", False)
    assert sent == 2


@pytest.mark.parametrize(
    "handler", [hangs_up, answering(200, "{}"), answering(302, "", {"Location": "http://127.0.0.1:1/steal"})]
)
async def test_program_is_not_run_again_when_no_stream_comes(handler: Handler) -> None:
    opened = 0

    async def counting(request: web.Request) -> web.StreamResponse:
        nonlocal opened
        if "Upgrade" not in request.headers:
            return web.json_response({})
        opened += 1
        return await handler(request)

    async with serving(counting) as server, client_of(server) as client:
        await client.get("/api/v1/pods/x")  # the connection that is then used again
        with pytest.raises(AnswerBroken) as caught:
            async for _ in client.channels("/api/v1/pods/x/exec", query=(("command", "true"),), seconds=5):
                pass
    assert (opened, caught.value.wrote) == (1, True)


async def test_stream_that_is_refused_keeps_its_status() -> None:
    async with serving(answering(403, "{}")) as server, client_of(server) as client:
        with pytest.raises(ApiError):
            await client.get("/api/v1/pods/x")
        with pytest.raises(ApiError) as caught:
            async for _ in client.channels("/api/v1/pods/x/exec", seconds=5):
                pass
    assert caught.value.status == 403


async def test_delete_is_not_sent_again_on_a_connection_that_died() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        if request.method == "DELETE":
            assert request.transport is not None
            request.transport.close()
        return web.json_response({})

    async with serving(handler) as server, client_of(server) as client:
        await client.get("/api/v1/pods")  # leaves a kept-alive connection
        with pytest.raises(AnswerBroken):
            await client.request("DELETE", "/api/v1/pods/x", body={})
    assert seen == ["GET", "DELETE"]


async def test_nobody_listening_is_said() -> None:
    async with client_of("http://127.0.0.1:1") as client:
        with pytest.raises(ClusterUnreachable) as caught:
            await client.get("/api")
    assert explain(caught.value).startswith("I cannot reach the cluster shop (Connect")
    assert "check that it is up and that its address is right" in explain(caught.value)


async def test_redirect_takes_no_token_elsewhere() -> None:
    stolen: list[str] = []

    async def thief(request: web.Request) -> web.StreamResponse:
        stolen.append(request.headers.get("Authorization", ""))
        return web.json_response({})

    async with (
        serving(thief) as elsewhere,
        serving(answering(307, "", {"Location": f"{elsewhere}/x"})) as server,
        client_of(server) as client,
    ):
        for method in ("GET", "POST"):
            with pytest.raises(AnswerBroken):
                await client.request(method, "/api", body=None)
    assert stolen == []


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(answering(200, {"ok": True})) as server, client_of(server) as client:
        assert await client.get("/api") == {"ok": True}


@pytest.mark.parametrize(("wait", "calls"), [("0", 2), ("0.05", 2), ("60", 1), ("soon", 1)])
async def test_retry_after_is_honoured_once_for_reads_and_bounded(wait: str, calls: int) -> None:
    seen = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        return web.json_response(status(429, "TooManyRequests", "busy"), status=429, headers={"Retry-After": wait})

    async with serving(handler) as server, client_of(server) as client:
        with pytest.raises(ApiError):
            await client.get("/api")
        assert seen == calls
        with pytest.raises(ApiError):
            await client.request("POST", "/api", body={})
        assert seen == calls + 1


async def test_impersonation_sends_user_and_each_group() -> None:
    seen: list[tuple[str | None, list[str]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.headers.get("Impersonate-User"), request.headers.getall("Impersonate-Group", [])))
        return web.json_response({})

    async with serving(handler) as server:
        via = Kubeconfig(Endpoint(server), token="bot")
        client = await connect(ClusterAccess("shop", "alice", ImpersonationCredentials("alice@shop", ("dev", "ops team"), via)))
        await client.get("/api")
        await client.close()
        with pytest.raises(CommandInvalid, match="cannot be impersonated"):
            await connect(ClusterAccess("shop", "alice", ImpersonationCredentials("alice\r\nX: y", (), via)))
    assert seen == [("alice@shop", ["dev", "ops team"])]


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a%2fb", "%2e%2e"])
def test_name_that_could_walk_to_another_path_is_refused(name: str) -> None:
    with pytest.raises(CommandInvalid):
        api_path("api", "v1", "namespaces", name)


async def test_path_segments_reach_the_server_quoted() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.json_response({})

    async with serving(handler) as server, client_of(server) as client:
        await client.get(api_path("api", "v1", "x?y#z &ü"), query=(("labelSelector", "a in (b,c)&x"),))
    assert seen == ["/api/v1/x%3Fy%23z%20%26%C3%BC?labelSelector=a+in+%28b%2Cc%29%26x"]


async def test_certificate_that_is_not_trusted_gets_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.json_response({})

    folder = tmp_path_factory.mktemp("tls")
    ours, other = certificates.new_authority(), certificates.new_authority()
    pair = certificates.loopback_pair(ours)
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    async with serving(handler, tls=context) as server:
        async with client_of(server, authority=other.pair.certificate.decode()) as client:
            with pytest.raises(ClusterUntrusted) as caught:
                await client.get("/api")
        assert "so nothing was sent: ask an administrator to renew your mapping" in explain(caught.value)
        assert seen == []
        async with client_of(server, authority=ours.pair.certificate.decode()) as client:
            assert await client.get("/api") == {}


async def test_stream_ends_in_time_and_gives_what_came() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await asyncio.sleep(30)
        return response

    async with serving(handler) as server, client_of(server) as client:
        assert [chunk async for chunk in client.stream("/log", seconds=0.3)] == [b"one\n"]
