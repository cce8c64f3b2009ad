"""events.k8s.io/v1: the Event as newer clients write it; stored as the v1 Event (see `server.events`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.events import EventSource
from springtide.api.listtypes import Required
from springtide.api.meta import Object
from springtide.api.references import ObjectReference
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.events.v1"


class EventSeries(Struct):
    """An event that goes on."""

    count: int
    """How often it happened."""
    last_observed_time: datetime
    """When it was last seen, to the microsecond."""


@resource(
    plural="events",
    short_names=("ev",),
    builtin=True,
    columns=(Column("Age", "date", ".metadata.creationTimestamp"),),
)
class Event(Object):
    """Something that happened to an object; kept for a short time."""

    api_version: str = "events.k8s.io/v1"
    kind: str = "Event"
    event_time: Annotated[datetime | None, Required()] = None
    """When it was first seen, to the microsecond."""
    series: EventSeries | None = None
    """Its repetitions."""
    reporting_controller: str = ""
    """Program that reported it, such as `springtide.dev/scheduling`."""
    reporting_instance: str = ""
    """Which instance of the program."""
    action: str = ""
    """What was done about it, one CamelCase word."""
    reason: str = ""
    """What happened, one CamelCase word."""
    regarding: ObjectReference = ObjectReference()
    """What it is about."""
    related: ObjectReference | None = None
    """A second object it is about."""
    note: str = ""
    """What happened, for people."""
    type: str = ""
    """`Normal` or `Warning`."""
    deprecated_source: EventSource = EventSource()
    """Who reported it, in the words of v1."""
    deprecated_first_timestamp: datetime | None = None
    """When it was first seen, in the words of v1."""
    deprecated_last_timestamp: datetime | None = None
    """When it was last seen, in the words of v1."""
    deprecated_count: int = 0
    """How often it was seen, in the words of v1."""
