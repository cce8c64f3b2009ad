"""What a plan may ask for: the commands every controller's pure `plan` returns.

A plan is a tuple of commands: data that prints, compares, stores and replays. The one place that
executes them is `springtide.client.execute`. Every command is idempotent: a second run of the same
plan against the state the first one left writes nothing or fails its precondition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from springtide.api.meta import Object


@dataclass(frozen=True)
class Create:
    """Create `obj`; an object of that name that already exists is left alone."""

    obj: Object


@dataclass(frozen=True)
class Apply:
    """Server-side apply exactly these fields with the room as field manager (forced).

    `fields` is a partial JSON object: what the room owns, and nothing else. A field the room applied
    before and leaves out now is removed. `subresource` is "" or "status".
    """

    kind: type[Object]
    namespace: str
    name: str
    fields: dict[str, Any]
    subresource: str = ""
    uid: str = ""
    """Precondition: only while the object has this uid; gone or replaced objects are left alone."""


@dataclass(frozen=True)
class Delete:
    """Delete the object while it still has this uid; one that is gone already is fine."""

    kind: type[Object]
    namespace: str
    name: str
    uid: str
    grace_period_seconds: int | None = None
    propagation: str = "Background"


@dataclass(frozen=True)
class Bind:
    """Bind a pod to a node through the Binding API."""

    namespace: str
    pod: str
    uid: str
    node: str
    notes: Mapping[str, str] = field(default_factory=dict)
    """Annotations that the pod gets with its node."""


@dataclass(frozen=True)
class Emit:
    """Record an Event about `regarding`. `type` is Normal or Warning; `reason` is CamelCase."""

    regarding: Object
    reason: str
    note: str
    type: str = "Normal"
    action: str = ""


Command = Create | Apply | Delete | Bind | Emit


@dataclass(frozen=True)
class Plan:
    """The decision of one look at the world: what to do, and when to look again at the latest."""

    commands: tuple[Command, ...] = ()
    requeue_after_seconds: float | None = None
    """Look again after this long even if nothing changes (a deadline, a TTL); None: only on change."""
    notes: dict[str, str] = field(default_factory=dict)
    """Why, per object key: what `springtide explain` prints and events repeat."""
