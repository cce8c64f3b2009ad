"""Cron schedules: what is read and refused; the next time against a slow model, clock changes included."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.cron import BadSchedule, Calendar, Every, UnknownZone, find_zone, parse


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00", "2026-01-01T00:01"),
        ("* * * * *", "2026-01-01T00:00:59", "2026-01-01T00:01"),
        ("*/15 * * * *", "2026-01-01T00:14", "2026-01-01T00:15"),
        ("5/20 * * * *", "2026-01-01T00:05", "2026-01-01T00:25"),
        ("30 4 1,15 * *", "2026-01-01T04:30", "2026-01-15T04:30"),
        ("0 22 * * 1-5", "2026-01-02T22:00", "2026-01-05T22:00"),
        ("0 0 * * SUN", "2026-01-01T00:00", "2026-01-04T00:00"),
        ("0 0 ? feb-apr ?", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 0 13 * fri", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("0 0 */2 * fri", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("0 0 */1 * fri", "2026-01-03T00:00", "2026-01-09T00:00"),
        ("59 23 31 12 *", "2025-12-31T23:59", "2026-12-31T23:59"),
        ("@yearly", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("@annually", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("@monthly", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("@weekly", "2026-01-01T00:00", "2026-01-04T00:00"),
        ("@daily", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("@midnight", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("@hourly", "2026-01-01T00:00", "2026-01-01T01:00"),
        ("@every 1h30m", "2026-01-01T00:00:10.5", "2026-01-01T01:30:10"),
        ("@every 10ms", "2026-01-01T00:00:10", "2026-01-01T00:00:11"),
        ("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("CRON_TZ=UTC @daily", "2026-01-01T00:00", "2026-01-02T00:00"),
    ],
)
def test_the_next_time(schedule: str, after: str, expected: str) -> None:
    assert parse(schedule).next(moment(after)) == moment(expected)


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "0 0 30 feb *", ", * * * *"])
def test_a_day_that_never_comes(schedule: str) -> None:
    assert parse(schedule).next(moment("2026-01-01T00:00")) is None


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* 24 * * *", "end of range (24) above maximum (23): 24"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * 13 *", "end of range (13) above maximum (12): 13"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * * * mon-", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every soon", 'failed to parse duration soon: time: invalid duration "soon"'),
        ("TZ=UTC", "invalid schedule format: nothing follows TZ=UTC"),
    ],
)
def test_what_cannot_be_read(schedule: str, fault: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        parse(schedule)
    assert str(caught.value) == fault


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe/"])
def test_zones_nobody_knows(name: str) -> None:
    with pytest.raises(UnknownZone, match="unknown time zone"):
        find_zone(name)


def test_an_hour_that_is_skipped_does_not_come() -> None:
    schedule = parse("30 2 * * *", "Europe/Berlin")
    times = _times(schedule, moment("2026-03-28T00:00"), 3)
    assert times == [
        moment("2026-03-28T01:30"),
        moment("2026-03-30T00:30"),
        moment("2026-03-31T00:30"),
    ]


def test_an_hour_that_is_repeated_comes_twice() -> None:
    schedule = parse("30 2 * * *", "Europe/Berlin")
    times = _times(schedule, moment("2026-10-24T12:00"), 3)
    assert times == [
        moment("2026-10-25T00:30"),
        moment("2026-10-25T01:30"),
        moment("2026-10-26T01:30"),
    ]


def test_a_zone_without_a_midnight_on_the_day_of_the_change() -> None:
    schedule = parse("0 0,1 * * *", "America/Asuncion")
    times = _times(schedule, moment("2023-10-01T00:00"), 3)
    assert [one.astimezone(ZoneInfo("America/Asuncion")).strftime("%d %H") for one in times] == [
        "01 01",
        "02 00",
        "02 01",
    ]


def _times(schedule: Calendar | Every, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    for _ in range(count):
        following = schedule.next(found[-1] if found else after)
        assert following is not None
        found.append(following)
    return found


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Asuncion",
)
CHANGES = tuple(map(moment, ("2026-03-29T00:30", "2026-10-25T00:30", "2026-03-08T06:30", "2026-11-01T05:30")))


@st.composite
def numbers(draw: st.DrawFn, low: int, high: int) -> str:
    shape = draw(st.sampled_from(["*", "one", "range", "step", "list"]))
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high))
    return {
        "*": "*",
        "one": str(first),
        "range": f"{first}-{last}",
        "step": f"{draw(st.sampled_from(['*', f'{first}-{last}', str(first)]))}/{step}",
        "list": f"{first},{last}",
    }[shape]


@st.composite
def schedules(draw: st.DrawFn) -> str:
    fields = [numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(0, 6)]
    return " ".join(draw(one) for one in fields)


@settings(max_examples=150, deadline=None)
@given(
    schedules(),
    st.sampled_from(ZONES),
    st.one_of(
        st.sampled_from(CHANGES),
        st.integers(0, 6 * 366 * 24 * 60).map(lambda count: CHANGES[0] + timedelta(minutes=count)),
    ),
)
def test_the_next_time_is_the_first_minute_that_matches(schedule: str, zone: str, after: datetime) -> None:
    calendar = parse(schedule, zone)
    assert isinstance(calendar, Calendar)
    minute = after.replace(second=0, microsecond=0)
    slow = next(
        (
            minute + timedelta(minutes=count)
            for count in range(1, 60 * 72)
            if calendar.matches(minute + timedelta(minutes=count))
        ),
        None,
    )
    fast = calendar.next(after)
    if slow is not None:
        assert fast == slow
    else:
        assert fast is None or fast > minute + timedelta(hours=71)
        assert fast is None or calendar.matches(fast)


def test_zones_are_known_on_a_machine_without_data_of_them() -> None:
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    try:
        zone = find_zone("Europe/Berlin")
        assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=2)
    finally:
        zoneinfo.reset_tzpath()
        ZoneInfo.clear_cache()
