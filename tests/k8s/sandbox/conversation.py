"""The same requests, put to two API servers, and their answers made comparable."""

from __future__ import annotations

import base64
import io
import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any

import aiohttp

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KINDS = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
         "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Say:
    """One request. `NS` in the path stands for the namespace that both servers were given."""

    method: str
    path: str
    body: Any = None
    media: str = "application/json"
    accept: str = "application/json"
    ignore: tuple[str, ...] = ()  # fields, wherever they stand, that may differ
    why: str = field(default="", compare=False)


class Peer:
    """One API server, by a kubeconfig with a token or a client certificate."""

    def __init__(self, kubeconfig: dict[str, Any]) -> None:
        found = kubeconfig["clusters"][0]["cluster"]
        self.url, user = found["server"], kubeconfig["users"][0]["user"]
        authority = base64.b64decode(found["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}

    async def say(self, one: Say, namespace: str) -> tuple[int, Any, list[str]]:
        """Status, body and warnings of the answer."""
        body = one.body
        if body is not None and not isinstance(body, str | bytes):
            body = json.dumps(body)
        headers = {**self.headers, "Accept": one.accept, "User-Agent": "fidelity/1.0"}
        if body is not None:
            headers["Content-Type"] = KINDS.get(one.media, one.media)
        url = self.url + one.path.replace("NS", namespace)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                one.method,
                url,
                data=io.BytesIO(body.encode() if isinstance(body, str) else body) if body is not None else None,
                headers=headers,
                ssl=self.tls,
            ) as answer,
        ):
            text = await answer.text()
            try:
                value = json.loads(text)
            except ValueError:
                value = text
            return answer.status, value, answer.headers.getall("Warning", [])


_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VOLATILE = ("resourceVersion", "selfLink")
_AGE = re.compile(r"^(\d+[smhdy])+$")


def plain(value: Any, ignore: tuple[str, ...] = ()) -> Any:
    """A value without what differs from one moment or one cluster to another."""
    if isinstance(value, dict):
        if "managedFields" in value:
            value = {**value, "managedFields": managed(value["managedFields"])}
        return {name: plain(inner, ignore) for name, inner in sorted(value.items()) if name not in (*VOLATILE, *ignore)}
    if isinstance(value, list):
        return [plain(one, ignore) for one in value]
    if isinstance(value, str):
        if _TIME.match(value):
            return "<time>"
        if _AGE.match(value):
            return "<age>"
        value = re.sub(r"kube-api-access-\w{5}", "kube-api-access-<x>", value)
        value = re.sub(r'User \\?"[^"\\]+\\?"', "User <u>", value)
        return _UUID.sub("<uid>", value)
    return value


def managed(entries: Any) -> Any:
    """Managed fields in a settled order, without those of controllers, which come when they come."""
    kept = [one for one in entries or () if one["manager"] != "kube-controller-manager"]
    return sorted(kept, key=lambda one: (one["manager"], one["operation"], one.get("subresource", "")))


def differences(left: Any, right: Any, at: str = "") -> list[str]:
    """Where two plain values differ, the first named `practice`, the second `real`."""
    if isinstance(left, dict) and isinstance(right, dict):
        found = []
        for name in sorted({*left, *right}):
            if name not in left:
                found.append(f"{at}.{name}: only real has it: {short(right[name])}")
            elif name not in right:
                found.append(f"{at}.{name}: only practice has it: {short(left[name])}")
            else:
                found += differences(left[name], right[name], f"{at}.{name}")
        return found
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [one for place, pair in enumerate(zip(left, right, strict=True)) for one in differences(*pair, f"{at}[{place}]")]
    return [] if left == right and type(left) is type(right) else [f"{at}: practice {short(left)}, real {short(right)}"]


def short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:420]
