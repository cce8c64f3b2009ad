"""Lay `spec.runtimePatches` over a runtime's JobSet template: a strategic merge of JSON objects.

Called by `merge`. Works on plain JSON on purpose: fields no type here knows are merged like any other.
Lists of named things merge by name, as Kubernetes' struct tags of JobSetSpec and PodSpec say
(`patchMergeKey`); every other list is replaced. The runtime's order of named things is kept.
"""

from __future__ import annotations

from typing import Any

MERGE_KEYS = {
    "replicatedJobs": "name",
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "schedulingGates": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
"""The key by which a list of this name is merged. Tolerations, args and command are replaced whole."""


def overlay(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`base` with `patch` over it; null in the patch removes a field. Neither argument is changed."""
    merged = dict(base)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _overlay_value(name, merged.get(name), value)
    return merged


def upsert(items: list[dict[str, Any]], additions: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """`items` with each addition in the place of the item of the same key, or behind them all."""
    merged = list(items)
    places = {item.get(key): place for place, item in enumerate(merged)}
    for addition in additions:
        place = places.get(addition.get(key))
        if place is None:
            places[addition.get(key)] = len(merged)
            merged.append(addition)
        else:
            merged[place] = addition
    return merged


def _overlay_value(name: str, old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return overlay(old if isinstance(old, dict) else {}, new)
    key = MERGE_KEYS.get(name)
    if key is not None and isinstance(new, list) and isinstance(old, list):
        return _overlay_list(old, new, key)
    return new


def _overlay_list(old: list[dict[str, Any]], new: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    by_key = {item.get(key): item for item in old}
    return upsert(old, [overlay(by_key.get(item.get(key), {}), item) for item in new], key)
