"""Admission: a pod's priority is what its PriorityClass says, and only one class is the default.

Part of the chain in `admit_chain`. Behaviour: Kubernetes' Priority admission plug-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from springtide.server.admit import CREATE, UPDATE, Change, Plugin, refused
from springtide.store import Record

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]

_CLASSES = "scheduling.k8s.io/priorityclasses"
_WITHOUT_CLASS: Json = {"metadata": {"name": ""}, "value": 0, "preemptionPolicy": "PreemptLowerPriority"}
_KEPT = 256
_COMPUTED = (
    ("priority", "the integer value of priority"),
    ("preemptionPolicy", "the string value of PreemptionPolicy"),
)


class PriorityPlugin(Plugin):
    """Fills in `spec.priority` and `spec.preemptionPolicy` of new pods; guards the default class."""

    operations = (CREATE, UPDATE)
    resources = frozenset({"pods", _CLASSES})

    def __init__(self) -> None:
        self._seen = -1
        self._default: Json | None = None
        self._classes: dict[str, tuple[int, Json]] = {}
        """By name: the revision of a class, and the class."""

    def admit(self, change: Change, context: Context) -> None:
        if change.kind.resource != "pods" or change.obj is None:
            return
        spec: Json = change.obj["spec"]
        if change.old is not None:
            for field, _ in _COMPUTED:
                if field not in spec and field in change.old["spec"]:
                    spec[field] = change.old["spec"][field]
            return
        chosen = self._class_of(spec.get("priorityClassName", ""), change, context)
        values = {"priority": int(chosen.get("value", 0)), "preemptionPolicy": chosen.get("preemptionPolicy")}
        for field, what in _COMPUTED:
            computed = values[field]
            if computed is None:
                continue
            if spec.get(field, computed) != computed:
                raise refused(
                    change,
                    f"{what} ({spec[field]}) must not be provided in pod spec; priority admission controller "
                    f"computed {computed} from the given PriorityClass name",
                )
            spec[field] = computed
        if chosen["metadata"]["name"]:
            spec["priorityClassName"] = chosen["metadata"]["name"]

    def validate(self, change: Change, context: Context) -> None:
        if change.kind.resource != _CLASSES or change.obj is None or not change.obj.get("globalDefault"):
            return
        default = self._default_class(context)
        if default is not None and default["metadata"]["name"] != change.name:
            name = default["metadata"]["name"]
            raise refused(
                change, f"PriorityClass {name} is already marked as default. Only one default can exist"
            )

    def _class_of(self, name: str, change: Change, context: Context) -> Json:
        if not name:
            return self._default_class(context) or _WITHOUT_CLASS
        record = context.store.latest(_CLASSES, name)
        if record is None:
            raise refused(change, f"no PriorityClass with name {name} was found")
        known = self._classes.get(name)
        if known is None or known[0] != record.revision:
            if len(self._classes) >= _KEPT:
                self._classes.clear()
            known = self._classes[name] = (record.revision, _decode(record))
        return known[1]

    def _default_class(self, context: Context) -> Json | None:
        """The class marked as default; of several the lowest. Looked for again when any class changed."""
        seen = context.store.revision_of(_CLASSES)
        if seen != self._seen:
            classes = map(_decode, context.store.page(_CLASSES).records)
            marked = [one for one in classes if one.get("globalDefault")]
            self._default = min(marked, key=lambda one: int(one.get("value", 0)), default=None)
            self._seen = seen
        return self._default


def _decode(record: Record) -> Json:
    found: Json = msgspec.json.decode(record.value)
    return found
