"""JSON Merge Patch (RFC 7386): `application/merge-patch+json`.

Called by the server's patch verb; `diff` is the inverse, used where a change must be said as a patch.
"""

from __future__ import annotations

from typing import Any

from springtide.server.json_patch import PatchError, json_equal

__all__ = ["PatchError", "apply_merge_patch", "diff"]


def apply_merge_patch(doc: Any, patch: Any) -> Any:
    """The document with the patch's members put in its place; null deletes a member, a list replaces whole.

    API objects are objects, so a patch that is not one is refused. `doc` is not changed.
    """
    if not isinstance(patch, dict):
        raise PatchError("", "a merge patch must be an object", malformed=True)
    return _merge(doc, patch)


def diff(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The smallest merge patch from `old` to `new`. Members that are null in `new` cannot be expressed."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            if inner := diff(old[key], value):
                patch[key] = inner
        elif not json_equal(old[key], value):
            patch[key] = value
    return patch


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
