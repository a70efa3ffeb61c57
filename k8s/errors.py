"""Everything that can go wrong between KubeChat and a cluster, in one tree, and the sentence for each.

The library's own error, where there is one, is the cause (`__cause__`). The classes are not frozen because Python itself writes
`__traceback__` to an exception on its way, and they compare by identity as exceptions do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k8s.redact import clean_line, redact_text


class ClusterError(Exception):
    """A command could not be carried out. `explain` puts it into words."""


@dataclass(eq=False)
class ClusterUnreachable(ClusterError):
    """No connection, or it broke before an answer came."""

    cluster: str
    why: str


@dataclass(eq=False)
class ClusterUntrusted(ClusterError):
    """The server's certificate is not one that the access trusts; nothing was sent."""

    cluster: str
    why: str


@dataclass(eq=False)
class ClusterTimeout(ClusterError):
    """No answer in time. `wrote` says that a change was under way, so that its outcome is unknown."""

    cluster: str
    seconds: float
    wrote: bool = False


@dataclass(eq=False)
class AnswerBroken(ClusterError):
    """The answer broke off, was not JSON, or pointed elsewhere."""

    cluster: str
    why: str
    wrote: bool = False


@dataclass(eq=False)
class AnswerTooLarge(ClusterError):
    """The answer was larger than `limit` bytes and was not read to its end."""

    cluster: str
    limit: int
    wrote: bool = False


@dataclass(eq=False)
class ApiError(ClusterError):
    """The API server answered with an error: a Status object, or what could be made of the body.

    `retry_after` is what the server asked for in seconds, or None.
    """

    status: int
    reason: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


@dataclass(eq=False)
class UnknownResource(ClusterError):
    """The cluster serves no such resource. `nearest` are words that it would know, `missing` groups that do not answer now."""

    word: str
    cluster: str
    nearest: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(eq=False)
class PartlyDone(ClusterError):
    """Some objects of a command were changed before one failed; the failure is the cause. `done` are kubectl's words for each."""

    done: tuple[str, ...]
    left: int
    cause: ClusterError


@dataclass(eq=False)
class NotExecutable(ClusterError):
    """A command that KubeChat understands and does not carry out; `why` is a whole sentence."""

    why: str


@dataclass(eq=False)
class CommandInvalid(ClusterError):
    """A command that cannot be carried out as written; `why` is a whole sentence, as kubectl would say it where it has one."""

    why: str


def explain(error: ClusterError) -> str:
    """One plain sentence: what happened and what to do. Safe to show: cleaned and without credentials."""
    return redact_text(clean_line(_sentence(error)))


def _sentence(error: ClusterError) -> str:
    match error:
        case ApiError():
            return _STATUS_SENTENCES.get(error.status, _other)(error)
        case ClusterUnreachable():
            return (
                f"I cannot reach the cluster {error.cluster} ({error.why}):"
                " check that it is up and that its address is right, then ask again."
            )
        case ClusterUntrusted():
            return (
                f"The cluster {error.cluster} showed a certificate that your access does not trust ({error.why}),"
                " so nothing was sent: ask an administrator to renew your mapping."
            )
        case ClusterTimeout():
            return f"The cluster {error.cluster} did not answer within {error.seconds:g} s: {_look_first(error.wrote)}."
        case AnswerBroken():
            return f"The answer of the cluster {error.cluster} could not be read ({error.why}): {_look_first(error.wrote)}."
        case AnswerTooLarge():
            limit = f"{error.limit / 2**20:g} MiB"
            return (
                f"The answer of the cluster {error.cluster} was larger than {limit} and was dropped:"
                " ask for less, with a name, a namespace or a label selector."
            )
        case UnknownResource():
            return f"The cluster {error.cluster} has no resource type {error.word!r}{_did_you_mean(error)}"
        case PartlyDone():
            return f"Only partly done ({', '.join(error.done)}; {error.left} not): {_sentence(error.cause)}"
        case NotExecutable() | CommandInvalid():
            return error.why
        case _:
            return f"That did not work ({type(error).__name__}): ask again, and tell whoever runs KubeChat if it stays so."


def _look_first(wrote: bool) -> str:
    if wrote:
        return "whether the change was made is unknown, so look before you ask again"
    return "ask again in a minute, and tell whoever runs the cluster if it stays so"


def _did_you_mean(error: UnknownResource) -> str:
    if error.nearest:
        return f": did you mean {' or '.join(error.nearest)}?"
    if error.missing:
        return f", or it is in a part of its API that does not answer now ({', '.join(error.missing)}): ask again in a minute."
    return ": `kubectl api-resources` lists what it has."


def _said(error: ApiError) -> str:
    """The server's message without a full stop, or its reason."""
    return (error.message or error.reason or f"status {error.status}").strip().rstrip(".")[:600]


def _bad_request(error: ApiError) -> str:
    return f"The cluster does not understand the request: {_said(error)}; correct the command and ask again."


def _unauthorized(error: ApiError) -> str:
    return (
        "The cluster does not accept your credentials (401): they may have expired,"
        " so ask an administrator to renew your mapping."
    )


def _forbidden(error: ApiError) -> str:
    said = _said(error)
    if "exceeded quota" in said:
        return f"The namespace's quota does not allow it: {said}; ask for less, or have the quota raised."
    if "is forbidden: User " in said or "cannot " in said:
        return f"The cluster refuses it: {said}; an administrator can grant you the right with a Role and a RoleBinding."
    return f"A rule of the cluster refuses it: {said}; change the request so that it fits, or ask whoever set the rule."


def _not_found(error: ApiError) -> str:
    if error.details.get("name"):
        return f"{_said(error)}: check the name, the namespace and the cluster."
    return f"The cluster does not have what was asked for ({_said(error)}): check the name and the resource type."


def _conflict(error: ApiError) -> str:
    if error.reason == "AlreadyExists":
        return f"{_said(error)}: choose another name, or change the one that is there."
    causes = [cause for cause in error.details.get("causes") or () if cause.get("reason") == "FieldManagerConflict"]
    if causes:
        owned = [f"{cause.get('field')} ({cause.get('message', '').removeprefix('conflict with ')})" for cause in causes]
        more = f" and {len(owned) - 5} more" if len(owned) > 5 else ""
        return (
            f"Other tools own fields that this would change: {', '.join(owned[:5])}{more};"
            " leave those fields out, change them where they are managed, or take them over with --force-conflicts."
        )
    return f"The object was changed by someone else in the meantime ({_said(error)}): look at it and ask again."


def _gone(error: ApiError) -> str:
    return "The cluster has dropped the version of the list I was reading (410): ask again, and I will start afresh."


def _invalid(error: ApiError) -> str:
    return f"The cluster finds it invalid: {_said(error)}; correct it and ask again."


def _unsupported(error: ApiError) -> str:
    return f"The cluster takes no patch of this type for this kind ({_said(error)}): add --type=merge."


def _too_many(error: ApiError) -> str:
    if "disruption budget" in error.message:
        return f"{_said(error)}: wait until more of its pods are ready, or have the budget changed."
    wait = f"{error.retry_after:g} s" if error.retry_after else "a minute"
    return f"The cluster is busy and turned the request away (429): ask again in {wait}."


def _internal(error: ApiError) -> str:
    said = f"{error.status}: {_said(error)}"
    return f"The cluster failed inside ({said}): ask again, and tell whoever runs the cluster if it stays so."


def _unavailable(error: ApiError) -> str:
    return f"The cluster, or a part of it, is not available now ({error.status}: {_said(error)}): ask again in a minute."


def _other(error: ApiError) -> str:
    if error.status >= 500:
        return _internal(error)
    return f"The cluster answered {error.status}: {_said(error)}; correct the command, or tell whoever runs the cluster."


_STATUS_SENTENCES = {
    400: _bad_request,
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    410: _gone,
    415: _unsupported,
    422: _invalid,
    429: _too_many,
    500: _internal,
    502: _unavailable,
    503: _unavailable,
    504: _unavailable,
}
