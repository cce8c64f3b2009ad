"""How long ago something was, as kubectl writes it: 12s, 3m, 5h, 2d. The wall clock is for display only."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, as people's displays need it; nothing is decided with it."""
    return datetime.now(UTC)


def age(moment: datetime | None, at: datetime) -> str:
    """The time from `moment` to `at`, coarse; `-` if it is unknown."""
    if moment is None:
        return "-"
    seconds = max(0, int((at - moment).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"
