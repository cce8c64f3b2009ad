"""The events of an object, oldest first, as rows. Called by `describe` and `explain`."""

from __future__ import annotations

from datetime import UTC, datetime

from springtide.api.core import Event
from springtide.cli.ages import age
from springtide.cli.output import columns
from springtide.client import Client

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def events_of(client: Client, uid: str, namespace: str) -> list[Event]:
    """All kept events about the object with this uid; those of cluster-scoped objects lie in `default`."""
    listing = await client.list(Event, namespace or "default", field_selector=f"involvedObject.uid={uid}")
    return sorted(listing.items, key=when)


def when(event: Event) -> tuple[datetime, int]:
    """What events are sorted by: time, and within the same second the order in which they were written."""
    version = event.metadata.resource_version
    return last_seen(event) or _LONG_AGO, int(version) if version.isdecimal() else 0


def last_seen(event: Event) -> datetime | None:
    series = event.series.last_observed_time if event.series is not None else None
    precise = event.event_time if event.series is None else series
    return precise or event.last_timestamp or event.metadata.creation_timestamp


def event_table(events: list[Event], at: datetime) -> str:
    """Aligned lines, "" for no events."""
    rows = [[age(last_seen(e), at), e.type, e.reason, _origin(e), e.message + _times(e)] for e in events]
    return columns(["AGE", "TYPE", "REASON", "FROM", "MESSAGE"], rows) if rows else ""


def _origin(event: Event) -> str:
    return (event.reporting_component or event.source.component).rpartition("/")[2]


def _times(event: Event) -> str:
    count = event.series.count if event.series is not None else event.count
    return f" (×{count})" if count > 1 else ""
