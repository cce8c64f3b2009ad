"""Admission: LimitRanges fill in what containers leave open, and bound what pods and claims ask for.

Part of the chain in `admit_chain`. Behaviour and messages: Kubernetes' LimitRanger plug-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from springtide.api.quantity import parse
from springtide.server.admit import CREATE, UPDATE, Change, Plugin, refused
from springtide.server.quota_usage import pod_amounts, written

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]

_RANGES = "limitranges"
_ANNOTATION = "kubernetes.io/limit-ranger"
_WITHIN_POD = (("containers", "container"), ("initContainers", "init container"))
_KEPT = 256


class LimitsPlugin(Plugin):
    """Defaults and bounds of the namespace's LimitRanges."""

    operations = (CREATE, UPDATE)
    resources = frozenset({"pods", "persistentvolumeclaims"})
    subresources = ("", "resize")

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[tuple[int, ...], list[Json]]] = {}

    def admit(self, change: Change, context: Context) -> None:
        if change.kind.resource != "pods" or change.operation != CREATE or change.obj is None:
            return
        for item in self._items(change, context):
            if item.get("type") == "Container":
                _fill_in(change, item.get("default") or {}, item.get("defaultRequest") or {})

    def validate(self, change: Change, context: Context) -> None:
        if change.obj is None or (change.kind.resource == "pods" and _is_plain_update(change)):
            return
        items = self._items(change, context)
        check = _pod_faults if change.kind.resource == "pods" else _claim_faults
        faults = [fault for item in items for fault in check(change.obj["spec"], item)]
        if faults:
            raise refused(change, faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")

    def _items(self, change: Change, context: Context) -> list[Json]:
        """What the LimitRanges of the namespace say; parsed again when one of them changed."""
        if not context.store.count(_RANGES):
            return []
        records = context.store.page(_RANGES, f"{change.namespace}/").records
        seen = tuple(record.revision for record in records)
        known = self._parsed.get(change.namespace)
        if known is None or known[0] != seen:
            if len(self._parsed) >= _KEPT:
                self._parsed.clear()
            found = [
                item
                for record in records
                for item in (msgspec.json.decode(record.value).get("spec") or {}).get("limits") or ()
            ]
            known = self._parsed[change.namespace] = (seen, found)
        return known[1]


def _is_plain_update(change: Change) -> bool:
    """What a pod asks for changes through `resize` alone."""
    return change.operation == UPDATE and change.subresource != "resize"


def _fill_in(change: Change, limits: Json, requests: Json) -> None:
    """Give containers the resources they do not state; their lists and dicts are replaced, not written to."""
    if change.obj is None or not (limits or requests):
        return
    spec, notes = change.obj["spec"], []
    for part, what in _WITHIN_POD:
        filled = []
        for container in spec.get(part) or ():
            resources = container.get("resources") or {}
            stated = {key: resources.get(key) or {} for key in ("limits", "requests")}
            missing = {
                "requests": sorted(requests.keys() - stated["requests"].keys()),
                "limits": sorted(limits.keys() - stated["limits"].keys()),
            }
            for key, word, defaults in (("requests", "request", requests), ("limits", "limit", limits)):
                if missing[key]:
                    stated[key] = {**{name: defaults[name] for name in missing[key]}, **stated[key]}
                    notes.append(f"{', '.join(missing[key])} {word} for {what} {container.get('name')}")
            given = {key: amounts for key, amounts in stated.items() if amounts}
            filled.append({**container, "resources": {**resources, **given}})
        if filled:
            spec[part] = filled
    if notes:
        meta = change.obj["metadata"]
        note = "LimitRanger plugin set: " + "; ".join(notes)
        meta["annotations"] = {**(meta.get("annotations") or {}), _ANNOTATION: note}
        change.recheck = True


def _pod_faults(spec: Json, item: Json) -> Iterator[str]:
    if item.get("type") == "Container":
        for part, _ in _WITHIN_POD:
            for container in spec.get(part) or ():
                resources = container.get("resources") or {}
                requests, limits = (_parsed(resources.get(key) or {}) for key in ("requests", "limits"))
                yield from _faults("Container", item, requests, limits)
    elif item.get("type") == "Pod":
        yield from _faults("Pod", item, pod_amounts(spec, "requests"), pod_amounts(spec, "limits"))


def _claim_faults(spec: Json, item: Json) -> Iterator[str]:
    if item.get("type") != "PersistentVolumeClaim":
        return
    requests = _parsed((spec.get("resources") or {}).get("requests") or {})
    for name, bound in _parsed(item.get("min") or {}).items():
        yield from _least("PersistentVolumeClaim", name, bound, requests, {})
    for name, bound in _parsed(item.get("max") or {}).items():
        head = f"maximum {name} usage per PersistentVolumeClaim is {written(name, bound)}"
        if name not in requests:
            yield f"{head}.  No request is specified"
        elif requests[name] > bound:
            yield f"{head}, but request is {written(name, requests[name])}"


Amounts = dict[str, Fraction]


def _faults(kind: str, item: Json, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in _parsed(item.get("min") or {}).items():
        yield from _least(kind, name, bound, requests, limits)
    for name, bound in _parsed(item.get("max") or {}).items():
        yield from _most(kind, name, bound, requests, limits)
    for name, bound in _parsed(item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(kind, name, bound, requests, limits)


def _least(kind: str, name: str, bound: Fraction, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"minimum {name} usage per {kind} is {written(name, bound)}"
    if name not in requests:
        yield f"{head}.  No request is specified"
    elif requests[name] < bound:
        yield f"{head}, but request is {written(name, requests[name])}"
    elif name in limits and limits[name] < bound:
        yield f"{head}, but limit is {written(name, limits[name])}"


def _most(kind: str, name: str, bound: Fraction, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"maximum {name} usage per {kind} is {written(name, bound)}"
    if name not in limits:
        yield f"{head}.  No limit is specified"
    elif limits[name] > bound:
        yield f"{head}, but limit is {written(name, limits[name])}"
    elif name in requests and requests[name] > bound:
        yield f"{head}, but request is {written(name, requests[name])}"


def _ratio(kind: str, name: str, bound: Fraction, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {kind} is {written(name, bound)}"
    if not requests.get(name):
        yield f"{head}, but no request is specified or request is 0"
    elif not limits.get(name):
        yield f"{head}, but no limit is specified or limit is 0"
    elif limits[name] / requests[name] > bound:
        yield f"{head}, but provided ratio is {float(limits[name] / requests[name]):f}"


def _parsed(amounts: Json) -> Amounts:
    return {name: parse(amount) for name, amount in amounts.items()}
