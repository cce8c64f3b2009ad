"""Events: found by what they are about, and forgotten an hour after they were last seen.

Nobody deletes events, so the server does, as kube-apiserver (`--event-ttl`, one hour): now and then, when a
new one is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from springtide.server.context import Context
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value
from springtide.server.strategy import Strategy

Json = dict[str, Any]

KEPT = timedelta(hours=1)
_LOOK_EVERY = timedelta(minutes=5)
_RESOURCE = "events"
_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


class EventStrategy(Strategy):
    """v1 Event."""

    selectable_fields = {
        **{f"involvedObject.{part}": f"involvedObject.{part}" for part in _ABOUT},
        "reason": "reason",
        "reportingComponent": "reportingComponent",
        "source": "source.component",
        "type": "type",
    }

    def __init__(self) -> None:
        self._look_again = ""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        regarding = (obj.get("involvedObject") or {}).get("namespace") or ""
        if regarding and regarding != obj["metadata"]["namespace"]:
            return [bad_value("involvedObject.namespace", regarding, "does not match event.namespace")]
        return ()

    def after_write(self, obj: Json, context: Context, *, deleted: bool) -> None:
        now = context.timestamp()
        if deleted or now < self._look_again:
            return
        self._look_again = _stamp(context, _LOOK_EVERY)
        expire(context)


def expire(context: Context) -> None:
    """Delete the events that were last seen too long ago."""
    limit = _stamp(context, -KEPT)
    for record in context.store.page(_RESOURCE).records:
        latest = context.store.latest(_RESOURCE, record.key)
        if latest is None:
            continue
        event = msgspec.json.decode(latest.value)
        if _last_seen(event) < limit:
            context.store.write(_RESOURCE, record.key, latest.value, expected=latest.revision, deleted=True)
            context.admission.accepted(_RESOURCE, event, context, deleted=True)


def _last_seen(event: Json) -> str:
    """To the second; times of this form sort as text."""
    series = event.get("series") or {}
    times = (
        event["metadata"]["creationTimestamp"],
        event.get("lastTimestamp"),
        event.get("eventTime"),
        series.get("lastObservedTime"),
    )
    return max(str(time)[:19] for time in times if time)


def _stamp(context: Context, offset: timedelta) -> str:
    return (context.now() + offset).strftime("%Y-%m-%dT%H:%M:%S")
