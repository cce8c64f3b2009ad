"""How long ago, in the words of `kubectl get`.

Called by the tables. Source of the steps: apimachinery `duration.HumanDuration`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

UNKNOWN = "<unknown>"
_DAY = 24


def since(moment: Any, now: datetime) -> float | None:
    """Seconds since an RFC 3339 time; None if there is none or it cannot be read."""
    try:
        then = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return None
    return (now - (then if then.tzinfo is not None else then.replace(tzinfo=UTC))).total_seconds()


def created(obj: dict[str, Any], now: datetime) -> str:
    """The AGE column of an object."""
    return age(since(obj["metadata"].get("creationTimestamp"), now))


def age(seconds: float | None) -> str:
    """A duration with two units at most, fewer the longer it is."""
    if seconds is None:
        return UNKNOWN
    if seconds < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    minutes, hours = whole // 60, whole // 3600
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    return _days(hours)


def _days(hours: int) -> str:
    days = hours // _DAY
    if hours < 2 * _DAY:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % _DAY, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
