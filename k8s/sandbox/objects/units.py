"""Times, durations and quantities in the API's own notation.

Durations follow k8s.io/apimachinery/pkg/util/duration, quantities k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?$")
QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class QuantityMalformed(ValueError):
    """The text is not a quantity such as 250m or 1Gi."""


def now() -> datetime:
    return datetime.now(UTC)


def stamp(at: datetime | None = None) -> str:
    """RFC 3339 in whole seconds: metav1.Time."""
    return (at or now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(at: datetime | None = None) -> str:
    """RFC 3339 with microseconds: metav1.MicroTime."""
    return (at or now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime:
    """The moment that an RFC 3339 text names; ValueError when it names none."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def since(text: str | None, at: datetime | None = None) -> str:
    """Age as kubectl's columns show it, or <unknown>."""
    if not text:
        return "<unknown>"
    return human_duration((at or now()).timestamp() - parse_time(text).timestamp())


def _pair(whole: int, unit: str, rest: int, rest_unit: str) -> str:
    return f"{whole}{unit}{rest}{rest_unit}" if rest else f"{whole}{unit}"


def human_duration(seconds: float) -> str:
    """Two or three significant figures: 90s, 5m10s, 3h, 2d5h, 3y40d."""
    whole = int(seconds)
    minutes, hours = whole // 60, whole // 3600
    days = hours // 24
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _pair(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 365 * 8:
        return _pair(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


@lru_cache(maxsize=4096)
def quantity(text: str | int | float) -> Decimal:
    """The number that a quantity stands for; QuantityMalformed otherwise."""
    match = _QUANTITY.match(str(text).strip())
    if not match:
        raise QuantityMalformed(QUANTITY_RULE)
    suffix = match[2] or ""
    try:
        number = Decimal(match[1])
    except InvalidOperation as bad:
        raise QuantityMalformed(QUANTITY_RULE) from bad
    if suffix in _BINARY:
        return number * (Decimal(1024) ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return number.scaleb(3 * _DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def format_quantity(value: Decimal, like: str = "") -> str:
    """Canonical form: no fraction, the largest suffix that loses nothing, of the family that `like` uses."""
    match = _QUANTITY.match(str(like).strip())
    suffix = (match[2] or "") if match else ""
    if suffix in _BINARY and (value == 0 or abs(value) >= 1024):
        whole = value.to_integral_value(ROUND_CEILING)
        for name, power in reversed(_BINARY.items()):
            if whole and whole % (1024**power) == 0:
                return f"{int(whole / 1024**power)}{name}"
        return str(int(whole))
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return _exponent(value)
    for name, power in reversed(_DECIMAL.items()):
        scaled = value.scaleb(-3 * power)
        if scaled == scaled.to_integral_value() and (value or not name):
            return f"{int(scaled)}{name}"
    return f"{int(value.scaleb(9).to_integral_value(ROUND_CEILING))}n"


def _exponent(value: Decimal) -> str:
    power = 0
    while value and value % 1000 == 0:
        value, power = value / 1000, power + 3
    return f"{int(value)}e{power}" if power else str(int(value))


@lru_cache(maxsize=4096)
def canonical(text: str | int | float) -> str:
    """A quantity as the server writes it back: 0.5 → 500m, 1024Mi → 1Gi."""
    return format_quantity(quantity(text), str(text))
