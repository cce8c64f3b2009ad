"""core/v1: the Event. Part of `springtide.api.core`; written through `springtide.runtime`, read by people."""

from __future__ import annotations

from datetime import datetime

from springtide.api.meta import Object
from springtide.api.references import ObjectReference
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class EventSource(Struct):
    """Who reported an event."""

    component: str = ""
    """Name of the program."""
    host: str = ""
    """Node it ran on."""


class EventSeries(Struct):
    """An event that goes on."""

    count: int = 0
    """How often it happened."""
    last_observed_time: datetime | None = None
    """When it was last seen."""


@resource(
    plural="events",
    short_names=("ev",),
    builtin=True,
    columns=(
        Column("Last Seen", "date", ".lastTimestamp"),
        Column("Type", "string", ".type"),
        Column("Reason", "string", ".reason"),
        Column("Object", "string", ".involvedObject.name"),
        Column("Message", "string", ".message"),
    ),
)
class Event(Object):
    """Something that happened to an object; kept for a short time."""

    api_version: str = "v1"
    kind: str = "Event"
    involved_object: ObjectReference
    """What it is about."""
    reason: str = ""
    """What happened, one CamelCase word."""
    message: str = ""
    """What happened, for people."""
    source: EventSource = EventSource()
    """Who reported it."""
    first_timestamp: datetime | None = None
    """When it was first seen."""
    last_timestamp: datetime | None = None
    """When it was last seen."""
    count: int = 0
    """How often it was seen."""
    type: str = ""
    """`Normal` or `Warning`."""
    event_time: datetime | None = None
    """When it was first seen, to the microsecond (`springtide.api.meta.micro_time`)."""
    series: EventSeries | None = None
    """Its repetitions."""
    action: str = ""
    """What was done about it, one CamelCase word."""
    related: ObjectReference | None = None
    """A second object it is about."""
    reporting_component: str = always("", required=False)
    """Program that reported it, such as `springtide.dev/scheduling`."""
    reporting_instance: str = always("", required=False)
    """Which instance of the program."""
