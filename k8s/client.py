"""One identity's connection to one cluster, over the transport of `kubernetes.aio`.

The transport is kept from everything a mapping or an environment could add: no proxy from the environment, no redirect is
followed, no file of the host is read, and an answer has a bound in size and in time.
"""

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from k8s.discovery import DiscoveredResources
from k8s.errors import (
    AnswerBroken,
    AnswerTooLarge,
    ApiError,
    ClusterTimeout,
    ClusterUnreachable,
    ClusterUntrusted,
)
from k8s.redact import clean_line

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio.client.rest import RESTClientObject

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"

type_of_patch = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
"""Content types of PATCH by the name that kubectl's --type gives them; `apply` is server-side apply."""

MAX_RETRY_AFTER = 5.0
"""Seconds. A server that asks a read to wait longer gets no second try; the person is told instead."""

_CHANNEL_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""Of a stream with several channels; v5 since Kubernetes 1.30."""

Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one command: rows of all tables together, characters of text, seconds in all."""

    rows: int = 500
    characters: int = 200_000
    seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a cluster is and what proves either side: PEM texts, never paths. No `authority` means the system's."""

    server: str
    authority: str = ""
    tls_server_name: str = ""
    client_certificate: str = field(default="", repr=False)
    client_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Query = ()
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    seconds: float = 15.0

    @property
    def wrote(self) -> bool:
        """Whether a missing answer leaves it unknown if something has changed."""
        return self.method != "GET"


class ClusterClient:
    """Requests to one cluster in the name of one identity. Made by `k8s.access.connect`; close it when done.

    Raises, from every request: ClusterUnreachable, ClusterUntrusted, ClusterTimeout, AnswerBroken, AnswerTooLarge, ApiError.
    """

    def __init__(
        self,
        rest: "RESTClientObject",
        server: str,
        *,
        cluster: str,
        identity: str,
        namespace: str = "default",
        authority: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        token: Callable[[], Awaitable[str]] | None = None,
        seconds: float = 15.0,
        max_bytes: int = 32 * 2**20,
        discovered: DiscoveredResources | None = None,
    ) -> None:
        self.cluster = cluster
        self.identity = identity
        self.namespace = namespace
        self.server = server.rstrip("/")
        self.authority = authority
        self.seconds = seconds
        self.max_bytes = max_bytes
        self.discovered = discovered if discovered is not None else DiscoveredResources()
        self.reviews: dict[tuple[str, ...], tuple[float, bool, str]] = {}
        """Answers of access reviews by what was asked: (monotonic time, allowed, reason). Kept by `k8s.denials`."""
        self._rest = rest
        self._headers = headers
        self._token = token

    async def close(self) -> None:
        """Close the connections."""
        connector = self._rest.configuration.client_session_kwargs["connector"]
        await self._rest.close()
        await connector.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float | None = None,
        warnings: list[str] | None = None,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object of the answer. `seconds` bounds all of it.

        What the server warns of (a deprecated version, a pod that is less secure than wished) is added to `warnings`.

        A read is tried a second time when the server asks for that with Retry-After of at most MAX_RETRY_AFTER seconds.
        """
        request = _Request(method, path, query, body, content_type, accept, self.seconds if seconds is None else seconds)
        try:
            return await self._request_once(request, warnings)
        except ApiError as error:
            wait = error.retry_after
            if request.wrote or error.status not in {429, 503} or wait is None or wait > MAX_RETRY_AFTER:
                raise
        await asyncio.sleep(wait)
        return await self._request_once(request, warnings)

    async def get(self, path: str, *, query: Query = (), accept: str = JSON, seconds: float | None = None) -> dict[str, Any]:
        """Read one object or list."""
        return await self.request("GET", path, query=query, accept=accept, seconds=seconds)

    async def pages(
        self, path: str, *, query: Query = (), accept: str = JSON, page: int = 500
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Read a list page by page. The pages are of one moment; `metadata.remainingItemCount` says what is left."""
        going_on: Query = ()
        while True:
            answer = await self.get(path, query=(*query, ("limit", str(page)), *going_on), accept=accept)
            yield answer
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            going_on = (("continue", token),)

    async def items(self, path: str, *, query: Query = (), at_most: int = 5000) -> list[dict[str, Any]]:
        """Read a whole list, up to `at_most` objects; each gets the kind that a list leaves out."""
        found: list[dict[str, Any]] = []
        async for answer in self.pages(path, query=query):
            kind, version = str(answer.get("kind", "")).removesuffix("List"), answer.get("apiVersion", "")
            found += [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items") or ()]
            if len(found) >= at_most:
                break
        return found[:at_most]

    async def stream(self, path: str, *, query: Query = (), seconds: float) -> AsyncGenerator[bytes, None]:
        """The bytes of an answer as they come, for at most `seconds`. The end in time is not an error: it just ends."""
        deadline = time.monotonic() + seconds
        response = await self._send(_Request("GET", path, query, accept="*/*", seconds=seconds))
        try:
            while (left := deadline - time.monotonic()) > 0:
                async with asyncio.timeout(left):
                    chunk = await self._read_chunk(response, wrote=False)
                if not chunk:
                    return
                yield chunk
        except TimeoutError:
            return
        finally:
            response.close()

    async def channels(self, path: str, *, query: Query = (), seconds: float) -> AsyncGenerator[tuple[int, bytes], None]:
        """The messages of a websocket as they come, each with its channel, for at most `seconds`; it just ends then."""
        import aiohttp
        from yarl import URL

        if self._rest.pool_manager is None:  # what is connected to has been read before
            raise ClusterUnreachable(self.cluster, "there is no connection yet")
        headers = dict(self._headers) | ({"Authorization": f"Bearer {await self._token()}"} if self._token is not None else {})
        url = URL(f"{self.server}{path}?{urlencode(query)}", encoded=True)
        try:
            async with (
                asyncio.timeout(seconds),
                self._rest.pool_manager.ws_connect(
                    url, headers=headers, protocols=_CHANNEL_PROTOCOLS, max_msg_size=self.max_bytes
                ) as socket,
            ):
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.BINARY:
                        raise AnswerBroken(self.cluster, "it is not what a stream should be", wrote=True)
                    if message.data:
                        yield message.data[0], message.data[1:]
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 400:
                raise AnswerBroken(self.cluster, "it is no stream", wrote=True) from error
            raise ApiError(error.status, error.message, error.message) from error
        except TimeoutError:
            return
        except (aiohttp.ClientError, OSError) as error:
            raise self._transport_error(error, seconds, wrote=True) from error

    async def _request_once(self, request: "_Request", warnings: list[str] | None) -> dict[str, Any]:
        response = await self._send(request)
        try:
            data = await self._read(response, self.max_bytes, request.seconds, wrote=request.wrote)
        finally:
            response.release()
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise AnswerBroken(self.cluster, "it is not JSON", request.wrote) from error
        except RecursionError as error:
            raise AnswerBroken(self.cluster, "it is nested too deeply", request.wrote) from error
        if not isinstance(answer, dict):
            raise AnswerBroken(self.cluster, "it is not a JSON object", request.wrote)
        if warnings is not None:
            warnings += [text for header in response.headers.getall("Warning", ()) for text in _warning_texts(header)]
        return answer

    async def _send(self, request: "_Request") -> "aiohttp.ClientResponse":
        """Send and return the answer once its status is known to be good."""
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        headers = CIMultiDict((*self._headers, ("Accept", request.accept), ("Content-Type", request.content_type)))
        if self._token is not None:
            headers["Authorization"] = f"Bearer {await self._token()}"
        url = URL(f"{self.server}{request.path}" + (f"?{urlencode(request.query)}" if request.query else ""), encoded=True)
        timeout = aiohttp.ClientTimeout(total=request.seconds, sock_connect=min(request.seconds, 10.0))
        try:
            sent = await self._rest.request(request.method, url, headers=headers, body=request.body, _request_timeout=timeout)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._transport_error(error, request.seconds, wrote=request.wrote) from error
        response: aiohttp.ClientResponse = sent.response
        if response.status >= 400:
            try:
                raise await self._api_error(response, request.seconds)
            finally:
                response.release()
        return response

    async def _api_error(self, response: "aiohttp.ClientResponse", seconds: float) -> ApiError:
        data = b""
        with suppress(AnswerBroken, ClusterUnreachable, ClusterTimeout, AnswerTooLarge):
            data = await self._read(response, 2**20, seconds, wrote=False)
        retry_after = _seconds(response.headers.get("Retry-After", ""))
        return api_error(response.status, response.reason or "", data, retry_after)

    async def _read(self, response: "aiohttp.ClientResponse", limit: int, seconds: float, *, wrote: bool) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := await self._read_chunk(response, wrote=wrote):
                size += len(chunk)
                if size > limit:
                    response.close()
                    raise AnswerTooLarge(self.cluster, limit, wrote)
                chunks.append(chunk)
        except TimeoutError as error:
            raise ClusterTimeout(self.cluster, seconds, wrote) from error
        return b"".join(chunks)

    async def _read_chunk(self, response: "aiohttp.ClientResponse", *, wrote: bool) -> bytes:
        import aiohttp

        try:
            return await response.content.readany()
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise AnswerBroken(self.cluster, "it broke off in the middle", wrote) from error

    def _transport_error(self, error: Exception, seconds: float, *, wrote: bool) -> Exception:
        import aiohttp

        match error:
            case aiohttp.ConnectionTimeoutError():
                return ClusterUnreachable(self.cluster, "no connection came about in time")
            case TimeoutError():
                return ClusterTimeout(self.cluster, seconds, wrote)
            case aiohttp.ClientConnectorCertificateError():
                return ClusterUntrusted(
                    self.cluster, getattr(error.certificate_error, "verify_message", "") or "not valid for this address"
                )
            case aiohttp.ClientSSLError():
                return ClusterUntrusted(self.cluster, getattr(error.os_error, "reason", None) or "TLS failed")
            case aiohttp.ClientConnectorError():
                return ClusterUnreachable(self.cluster, error.os_error.strerror or "no connection")
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
                return ClusterUnreachable(self.cluster, "the connection broke before an answer came")
            case _:
                return AnswerBroken(self.cluster, str(error) or "it is not HTTP as expected", wrote)


def api_error(status: int, reason: str, data: bytes, retry_after: float | None = None) -> ApiError:
    """What an error answer says: its Status object, or the first words of a body that is none."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "Status":
        text = clean_line(data[:300].decode("utf-8", "replace")).strip()
        return ApiError(status, reason, text or reason, {}, retry_after)
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    return ApiError(status, str(answer.get("reason") or reason), str(answer.get("message") or ""), details, retry_after)


_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""RFC 9110's form of the header, with the one code that Kubernetes uses."""


def _warning_texts(header: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(header)]


def _seconds(header: str) -> float | None:
    try:
        return max(0.0, float(header))
    except ValueError:
        return None


def open_transport(endpoint: Endpoint, *, connections: int, trust_env: bool = False) -> Callable[[], "RESTClientObject"]:
    """Prepare the TLS side, which may block for some milliseconds: call this in a thread, and the result in the event loop."""
    import aiohttp
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.client.rest import RESTClientObject

    configuration = Configuration(
        host=endpoint.server, ca_cert_data=endpoint.authority or None, connection_pool_maxsize=connections
    )
    configuration.tls_server_name = endpoint.tls_server_name or None
    # Go's verifier, and so kubectl, takes authorities without the key identifiers that VERIFY_X509_STRICT asks for.
    configuration.disable_strict_ssl_verification = True
    rest = RESTClientObject(configuration)
    if endpoint.client_certificate:
        _load_client_certificate(rest, endpoint)

    async def once_and_here(request: "aiohttp.ClientRequest", handler: "aiohttp.ClientHandlerType") -> "aiohttp.ClientResponse":
        try:
            response = await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if request.method == "GET" and "Upgrade" not in request.headers:
                raise
            # aiohttp sends a DELETE (or the GET that opens a websocket) once more when a kept-alive connection dies under it;
            # a change is never sent twice, and no program run twice.
            raise aiohttp.ClientPayloadError("the connection broke before an answer came") from error
        if 300 <= response.status < 400:
            response.close()
            raise aiohttp.ClientPayloadError("it points to another address, which is not followed")
        return response

    def start() -> "RESTClientObject":
        connector = aiohttp.TCPConnector(limit=connections, ssl=rest.ssl_context, keepalive_timeout=60)
        configuration.client_session_kwargs = {
            "connector": connector,
            "trust_env": trust_env,
            "cookie_jar": aiohttp.DummyCookieJar(),
            "middlewares": (once_and_here,),
        }
        return rest

    return start


def _load_client_certificate(rest: "RESTClientObject", endpoint: Endpoint) -> None:
    """OpenSSL takes certificate and key from a file only: one that only we can read, gone before the first request."""
    with tempfile.NamedTemporaryFile("w", prefix="kubechat-") as file:  # made with mode 0600
        file.write(f"{endpoint.client_certificate}\n{endpoint.client_key}\n")
        file.flush()
        os.fsync(file.fileno())
        rest.ssl_context.load_cert_chain(file.name)
