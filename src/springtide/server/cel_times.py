"""Points in time and spans of time in CEL: reading, writing, arithmetic and their parts.

Called by `cel_functions` and `cel_schema`. Texts are RFC 3339 and Go's durations, to the nanosecond.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

from springtide.server.cel_values import LARGEST, SMALLEST, CelError, Duration, Timestamp

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_135_596_800 * _SECOND
_LAST = 253_402_300_799 * _SECOND + _SECOND - 1


@lru_cache(maxsize=1024)
def timestamp_of(text: str) -> Timestamp:
    """Read RFC 3339. Raises CelError."""
    found = _STAMP.match(text)
    if found is None:
        raise CelError(f'invalid timestamp "{text}": must be RFC 3339, such as 2006-01-02T15:04:05Z')
    day, time, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as error:
        raise CelError(f'invalid timestamp "{text}": {error}') from None
    since = moment - _EPOCH
    nanos = int((fraction or ".0")[1:10].ljust(9, "0"))
    return Timestamp((since.days * 86_400 + since.seconds) * _SECOND + nanos)


@lru_cache(maxsize=1024)
def duration_of(text: str) -> Duration:
    """Read a duration the way Go writes it: 1h30m, -1.5s. Raises CelError."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return Duration(0)
    at, total = 0, 0
    for part in _PART.finditer(body):
        if part.start() != at:
            break
        whole, _, fraction = part[1].partition(".")
        unit = _UNITS[part[2]]
        total += int(whole or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        at = part.end()
    if not body or at != len(body):
        raise CelError(f'invalid duration "{text}": must be numbers with units, such as 1h30m or 2.5s')
    return duration(sign * total)


def duration(ns: int) -> Duration:
    if not SMALLEST <= ns <= LARGEST:
        raise CelError("duration overflow")
    return Duration(ns)


def timestamp(ns: int) -> Timestamp:
    if not _FIRST <= ns <= _LAST:
        raise CelError("timestamp overflow")
    return Timestamp(ns)


def timestamp_text(value: Timestamp) -> str:
    seconds, nanos = divmod(value.ns, _SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return text + (f".{nanos:09d}".rstrip("0") if nanos else "") + "Z"


def duration_text(value: Duration) -> str:
    seconds, nanos = divmod(abs(value.ns), _SECOND)
    sign = "-" if value.ns < 0 else ""
    return f"{sign}{seconds}" + (f".{nanos:09d}".rstrip("0") if nanos else "") + "s"


def seconds_of(value: Timestamp | Duration) -> int:
    """Whole seconds: of a timestamp downwards, of a duration towards zero."""
    if isinstance(value, Timestamp):
        return value.ns // _SECOND
    return abs(value.ns) // _SECOND * (1 if value.ns >= 0 else -1)


def add(one: Any, other: Any) -> Timestamp | Duration | None:
    if isinstance(one, Duration) and isinstance(other, Duration):
        return duration(one.ns + other.ns)
    kinds = {type(one), type(other)}
    if kinds == {Timestamp, Duration}:
        return timestamp(one.ns + other.ns)
    return None


def subtract(one: Any, other: Any) -> Timestamp | Duration | None:
    if isinstance(other, Duration) and isinstance(one, Timestamp):
        return timestamp(one.ns - other.ns)
    if type(one) is type(other) and isinstance(one, Timestamp | Duration):
        return duration(one.ns - other.ns)
    return None


def _moment(value: Timestamp, zone: str = "") -> datetime:
    return (_EPOCH + timedelta(microseconds=value.ns // 1000)).astimezone(_zone(zone))


def _zone(name: str) -> tzinfo:
    if not name or name == "UTC":
        return UTC
    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if offset:
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-span if offset[1] == "-" else span)
    from zoneinfo import ZoneInfo  # seldom needed, and slow to import

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise CelError(f"unknown time zone {name}") from None


def _part(of_moment: Callable[[datetime], int], unit: int = 0) -> Callable[..., int]:
    def part(value: Timestamp | Duration, zone: str = "") -> int:
        if isinstance(value, Duration):
            return abs(value.ns) // unit * (1 if value.ns >= 0 else -1)
        return of_moment(_moment(value, zone))

    return part


PARTS: dict[str, tuple[Callable[..., int], bool]] = {
    "getFullYear": (_part(lambda at: at.year), False),
    "getMonth": (_part(lambda at: at.month - 1), False),
    "getDayOfYear": (_part(lambda at: at.timetuple().tm_yday - 1), False),
    "getDayOfMonth": (_part(lambda at: at.day - 1), False),
    "getDate": (_part(lambda at: at.day), False),
    "getDayOfWeek": (_part(lambda at: at.isoweekday() % 7), False),
    "getHours": (_part(lambda at: at.hour, 3600 * _SECOND), True),
    "getMinutes": (_part(lambda at: at.minute, 60 * _SECOND), True),
    "getSeconds": (_part(lambda at: at.second, _SECOND), True),
    "getMilliseconds": (_part(lambda at: at.microsecond // 1000, 1_000_000), True),
}
"""Method -> (how to compute it, whether durations have it too)."""
