"""Cron schedules: read, checked, and asked for the next time. For CronJobs.

Called by the server, which refuses what cannot be read, and by the CronJob controller. Read and meant as by
Kubernetes, whose library is robfig/cron: five fields, `?` for `*`, Sunday is 0 and never 7, `@every`, and a
schedule that restricts the day of the month and the day of the week holds on either. (The kept Python
libraries follow Vixie cron in these; hence a reader of our own.) A time that a zone skips in spring does not
come, one that it repeats in autumn comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

YEARS_AHEAD = 5
"""A schedule without a time in so many years has none (31 February)."""
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_UNIT_SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART_OF_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class BadSchedule(ValueError):
    """A schedule that cannot be read; the text says which part and why."""


class UnknownZone(ValueError):
    """A time zone that this machine has no data of."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: its range and its words."""

    low: int
    high: int
    words: Mapping[str, int]


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field(0, 59, {}),
    _Field(0, 23, {}),
    _Field(1, 31, {}),
    _Field(1, 12, {word: number for number, word in enumerate(_MONTHS, 1)}),
    _Field(0, 6, {word: number for number, word in enumerate(_WEEKDAYS)}),
)


@dataclass(frozen=True, slots=True)
class Every:
    """`@every 1h30m`: so long after the last time."""

    seconds: int

    def next(self, after: datetime) -> datetime | None:
        """The first time later than `after`."""
        return after.replace(microsecond=0) + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Minutes, hours, days, months and weekdays, in a zone."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """Sunday is 0."""
    either_day: bool
    """Both kinds of days are restricted, so one that fits is enough."""
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        """The first time later than `after`, in UTC; None if there is none in the next years."""
        first = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        day = first.astimezone(self.zone).date()
        last_year = day.year + YEARS_AHEAD
        while day.year <= last_year:
            if day.month not in self.months:
                day = _next_month(day)
                continue
            found = self._first_on(day, first) if self._is_day(day) else None
            if found is not None:
                return found
            day += _DAY
        return None

    def matches(self, moment: datetime) -> bool:
        """Whether this minute, on the clocks of the zone, is one of the schedule's."""
        local = moment.astimezone(self.zone)
        fits = local.minute in self.minutes and local.hour in self.hours and local.month in self.months
        return fits and self._is_day(local.date())

    def _is_day(self, day: date) -> bool:
        by_number, by_name = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_number or by_name if self.either_day else by_number and by_name

    def _first_on(self, day: date, first: datetime) -> datetime | None:
        """The first time of a fitting day that is not before `first`."""
        begin, end = self._midnight(day), self._midnight(day + _DAY)
        start = max(begin, first)
        if end - begin != _DAY:  # the clocks change: minute by minute
            while start < end:
                if start.astimezone(self.zone).date() == day and self.matches(start):
                    return start
                start += _MINUTE
            return None
        earliest = int((start - begin) / _MINUTE)
        for hour in self.hours:
            if hour * 60 + 59 < earliest:
                continue
            for minute in self.minutes:
                if hour * 60 + minute >= earliest:
                    return begin + timedelta(hours=hour, minutes=minute)
        return None

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)


Schedule = Calendar | Every


@lru_cache(maxsize=1024)
def parse(schedule: str, zone: str = "") -> Schedule:
    """Read a schedule; its times are those of `zone`, or of UTC. Raises BadSchedule, UnknownZone."""
    if not schedule:
        raise BadSchedule("empty spec string")
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        head, space, schedule = schedule.partition(" ")
        zone = head.partition("=")[2]
        if not space:
            raise BadSchedule(f"invalid schedule format: nothing follows {head}")
        schedule = schedule.strip()
    if schedule.startswith(_EVERY):
        return Every(max(1, int(duration_seconds(schedule.removeprefix(_EVERY)))))
    if schedule.startswith("@"):
        if schedule not in _MACROS:
            raise BadSchedule(f"unrecognized descriptor: {schedule}")
        schedule = _MACROS[schedule]
    texts = schedule.split()
    if len(texts) != len(_FIELDS):
        raise BadSchedule(f"expected exactly {len(_FIELDS)} fields, found {len(texts)}: [{' '.join(texts)}]")
    read = [_read_field(text, field) for text, field in zip(texts, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _ in read)
    return Calendar(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=weekdays,
        either_day=not read[2][1] and not read[4][1],
        zone=find_zone(zone),
    )


def find_zone(name: str) -> tzinfo:
    """The zone of an IANA name; "" is UTC. Raises UnknownZone."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZone(f"unknown time zone {name}") from None


def _read_field(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it is unrestricted."""
    numbers: set[int] = set()
    everything = False
    for part in filter(None, text.split(",")):
        found, is_star = _read_range(part, field)
        numbers.update(found)
        everything = everything or is_star
    return frozenset(numbers), everything


def _read_range(text: str, field: _Field) -> tuple[range, bool]:
    span, *steps = text.split("/")
    if len(steps) > 1:
        raise BadSchedule(f"too many slashes: {text}")
    low, high, is_star = _read_span(span, text, field)
    step = 1
    if steps:
        step = _number(steps[0])
        if "-" not in span:
            high = field.high  # "5/10" means "5-59/10"
        is_star = is_star and step <= 1
    if low < field.low:
        raise BadSchedule(f"beginning of range ({low}) below minimum ({field.low}): {text}")
    if high > field.high:
        raise BadSchedule(f"end of range ({high}) above maximum ({field.high}): {text}")
    if low > high:
        raise BadSchedule(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise BadSchedule(f"step of range should be a positive number: {text}")
    return range(low, high + 1, step), is_star


def _read_span(span: str, text: str, field: _Field) -> tuple[int, int, bool]:
    ends = span.split("-")
    if ends[0] in ("*", "?"):
        return field.low, field.high, True
    if len(ends) > 2:
        raise BadSchedule(f"too many hyphens: {text}")
    low = _number_or_word(ends[0], field)
    return low, _number_or_word(ends[1], field) if len(ends) == 2 else low, False


def _number_or_word(text: str, field: _Field) -> int:
    found = field.words.get(text.lower())
    return _number(text) if found is None else found


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise BadSchedule(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise BadSchedule(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


def duration_seconds(text: str) -> Fraction:
    """Seconds of a duration as Go writes it: `1h30m`, `90s`, `1.5h`. Raises BadSchedule, a ValueError."""
    sign = -1 if text.startswith("-") else 1
    rest = text.removeprefix("-").removeprefix("+")
    if rest == "0":
        return Fraction(0)
    parts = list(_PART_OF_DURATION.finditer(rest))
    if not parts or "".join(part[0] for part in parts) != rest:
        raise BadSchedule(f'failed to parse duration {text}: time: invalid duration "{text}"')
    return sign * sum((Fraction(part[1]) * _UNIT_SECONDS[part[2]] for part in parts), Fraction(0))


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
