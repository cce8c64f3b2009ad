"""Counters of devices that only ever rise: what is told of an increase, and how seldom.

The first reading is where counting begins, so that errors of before the collectors' start are not told as
new; a counter that fell was reset. A counter that goes on rising is told again after some minutes, or as soon
as it rises much faster. Called by the sources of devices.
"""

from __future__ import annotations

from dataclasses import dataclass

AGAIN_SECONDS = 600.0
FASTER = 10.0
"""So much more than was told last, and it is told before its time."""


@dataclass
class _Known:
    value: int
    at: float
    told_value: int
    told_at: float
    told_increase: int = 0


class Counters:
    """All counters of one source, by any key."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def line(
        self, key: str, name: str, value: int, monotonic: float, *, least: int = 1, first: int | None = None
    ) -> str:
        """`name value (+increase in N s)` if this increase is to be told, else empty.

        `least`: smaller increases are gathered until they come to so many. `first`: where a counter begins
        that is known to have begun there.
        """
        known = self._known.get(key)
        if known is None:
            start = value if first is None else first
            known = self._known[key] = _Known(start, monotonic, start, monotonic)
        if value < known.value:
            self._known[key] = _Known(value, monotonic, value, monotonic)
            return ""
        known.value, known.at = value, monotonic
        increase = value - known.told_value
        if increase < least:
            return ""
        early = known.told_increase and monotonic - known.told_at < AGAIN_SECONDS
        if early and increase < FASTER * known.told_increase:
            return ""
        seconds = max(1, round(monotonic - known.told_at))
        known.told_value, known.told_at, known.told_increase = value, monotonic, increase
        return f"{name} {value} (+{increase} in {seconds} s)"


class Standing:
    """States that last, such as a full file system: told when they begin, and again while they last."""

    def __init__(self, again_seconds: float = AGAIN_SECONDS) -> None:
        self._again_seconds = again_seconds
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def lasts(self, key: str, holds: bool, monotonic: float, after_seconds: float = 0.0) -> float | None:
        """Seconds it has lasted, if that is to be told now: it held for so long, and was not just told."""
        if not holds:
            self._since.pop(key, None)
            self._told.pop(key, None)
            return None
        lasted = monotonic - self._since.setdefault(key, monotonic)
        told = self._told.get(key)
        if lasted < after_seconds or (told is not None and monotonic - told < self._again_seconds):
            return None
        self._told[key] = monotonic
        return lasted
