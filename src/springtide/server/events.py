"""Events: found by what they are about, and forgotten an hour after they were last seen.

Nobody deletes events, so the server does, as kube-apiserver (`--event-ttl`, one hour): now and then, when a
new one is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from springtide.server.context import Context
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, required
from springtide.server.strategy import Strategy

Json = dict[str, Any]

KEPT = timedelta(hours=1)
_LOOK_EVERY = timedelta(minutes=5)
_RESOURCE = "events"
_SAID = ("reportingController", "reportingInstance", "action", "reason")
_OLD = {
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "source": "deprecatedSource",
}
"""What only v1 sets, by the names messages use."""
_FIXED = {
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    "type": "type",
    "eventTime": "eventTime",
    "action": "action",
    "related": "related",
    "reportingController": "reportingController",
    "reportingInstance": "reportingInstance",
    **{served: stored for stored, served in _OLD.items()},
}
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
        return list(_about_errors(obj, obj.get("involvedObject") or {}))

    def after_write(self, obj: Json, context: Context, *, deleted: bool) -> None:
        now = context.timestamp()
        if deleted or now < self._look_again:
            return
        self._look_again = _stamp(context, _LOOK_EVERY)
        expire(context)


class EventV1Strategy(EventStrategy):
    """events.k8s.io/v1 Event: stricter at its creation, and later only its series changes."""

    selectable_fields = {
        **{f"regarding.{part}": f"involvedObject.{part}" for part in _ABOUT},
        "reason": "reason",
        "reportingController": "reportingComponent",
        "type": "type",
    }

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_about_errors(obj, obj.get("regarding") or {}))

    def validate_create(self, obj: Json) -> Sequence[FieldError]:
        errors = list(_series_errors(obj))
        if not obj.get("eventTime"):
            errors.append(required("eventTime"))
        else:
            errors += [required(name) for name in _SAID if not obj.get(name)]
        if obj.get("type") not in ("Normal", "Warning"):
            errors.append(bad_value("type", "", f"has invalid value: {obj.get('type') or ''}"))
        errors += [
            bad_value(name, "", "needs to be unset") for name, served in _OLD.items() if obj.get(served)
        ]
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        errors = [
            bad_value(stored, new.get(served), "field is immutable")
            for served, stored in _FIXED.items()
            if (new.get(served) or None) != (old.get(served) or None)
        ]
        if new.get("series") != old.get("series"):
            errors += _series_errors(new)
        return errors


def _about_errors(event: Json, regarding: Json) -> Iterator[FieldError]:
    """An event stands in the namespace of what it is about; of what has none, in `default`."""
    namespace, own = regarding.get("namespace") or "", event["metadata"]["namespace"]
    anywhere = ("default", "kube-system") if event.get("eventTime") else ("default",)
    if (namespace and namespace != own) or (not namespace and own not in anywhere):
        yield bad_value("involvedObject.namespace", namespace, "does not match event.namespace")


def _series_errors(event: Json) -> Iterator[FieldError]:
    series = event.get("series")
    if series is not None and (series.get("count") or 0) < 2:
        yield bad_value("series.count", "", "should be at least 2")


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
