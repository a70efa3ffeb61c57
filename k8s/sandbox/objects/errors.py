"""What the API server answers when it refuses: Status objects, in the real server's words.

Wording and details follow k8s.io/apimachinery/pkg/api/errors and k8s.io/apiserver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class ApiRefused(Exception):
    """The request is answered with this Status and HTTP code."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Json | None = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.headers = details, headers or {}

    def status(self) -> Json:
        body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        if self.message:
            body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group."""
    return f"{resource}.{group}" if group else resource


def _details(name: str, group: str, kind: str, **more: Any) -> Json:
    details = {"name": name, "group": group, "kind": kind, **more}
    return {key: value for key, value in details.items() if value not in ("", None, [])}


def not_found(resource: str, group: str, name: str) -> ApiRefused:
    text = f'{qualified(resource, group)} "{name}" not found'
    return ApiRefused(404, "NotFound", text, _details(name, group, resource))


def already_exists(resource: str, group: str, name: str) -> ApiRefused:
    text = f'{qualified(resource, group)} "{name}" already exists'
    return ApiRefused(409, "AlreadyExists", text, _details(name, group, resource))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: str, group: str, name: str, why: str = MODIFIED) -> ApiRefused:
    text = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return ApiRefused(409, "Conflict", text, _details(name, group, resource))


def forbidden(resource: str, group: str, name: str, why: str) -> ApiRefused:
    subject = f'{qualified(resource, group)} "{name}"' if name else qualified(resource, group)
    if not resource:
        return ApiRefused(403, "Forbidden", f"forbidden: {why}", {})
    return ApiRefused(403, "Forbidden", f"{subject} is forbidden: {why}", _details(name, group, resource))


def bad_request(text: str) -> ApiRefused:
    return ApiRefused(400, "BadRequest", text)


def unknown_path() -> ApiRefused:
    return ApiRefused(404, "NotFound", "the server could not find the requested resource", {})


def unauthorized() -> ApiRefused:
    return ApiRefused(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiRefused:
    return ApiRefused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def expired(text: str) -> ApiRefused:
    return ApiRefused(410, "Expired", text)


def too_many(text: str, seconds: int = 0, causes: list[Json] | None = None) -> ApiRefused:
    details: Json = {}
    if causes:
        details["causes"] = causes
    if seconds:
        details["retryAfterSeconds"] = seconds
    headers = {"Retry-After": str(seconds)} if seconds else None
    return ApiRefused(429, "TooManyRequests", text, details, headers=headers)


def too_large(limit: int) -> ApiRefused:
    return ApiRefused(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of one field, as field.Error of apimachinery words it."""

    reason: str  # FieldValueInvalid, FieldValueRequired, …
    field: str
    message: str

    def text(self) -> str:
        return f"{self.field}: {self.message}"

    def json(self) -> Json:
        return {"reason": self.reason, "message": self.message, "field": self.field}


def quoted(value: Any) -> str:
    """A value as Go's field errors show it: strings quoted, objects as JSON."""
    import json

    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, why: str = "") -> Cause:
    return Cause("FieldValueRequired", field, "Required value" + (f": {why}" if why else ""))


def invalid(field: str, value: Any, why: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {quoted(value)}: {why}")


def unsupported(field: str, value: Any, options: list[str]) -> Cause:
    listed = ", ".join(f'"{option}"' for option in options)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {quoted(value)}: supported values: {listed}")


def duplicate(field: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {quoted(value)}")


def prohibited(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def missing(field: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", field, f"Not found: {quoted(value)}")


def too_long(field: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def invalid_object(kind: str, group: str, name: str, causes: list[Cause]) -> ApiRefused:
    """422 for an object: every cause once, in the order found."""
    texts = list(dict.fromkeys(cause.text() for cause in causes))
    body = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    text = f'{qualified(kind, group)} "{name}" is invalid: {body}'
    return ApiRefused(422, "Invalid", text, _details(name, group, kind, causes=[cause.json() for cause in causes]))
