"""What every object has, whatever its schema says: apiVersion, kind and metadata.

Called by `schema.Schema` for the root of a kind and for embedded resources, so that CRD schemas, which
say only `metadata: {type: object}`, still know its fields and how its lists merge.
Source of names: Kubernetes `metav1.ObjectMeta`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = {"type": "string"}
_TEXT_MAP = {"type": "object", "nullable": True, "additionalProperties": _TEXT}
_TIME = {"type": "string", "format": "date-time", "nullable": True}

OBJECT_META: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "selfLink": _TEXT,
        "uid": _TEXT,
        "resourceVersion": _TEXT,
        "generation": {"type": "integer", "format": "int64"},
        "creationTimestamp": _TIME,
        "deletionTimestamp": _TIME,
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64", "nullable": True},
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "finalizers": {
            "type": "array",
            "nullable": True,
            "items": _TEXT,
            "x-kubernetes-list-type": "set",
            "x-kubernetes-patch-strategy": "merge",
        },
        "ownerReferences": {
            "type": "array",
            "nullable": True,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-patch-merge-key": "uid",
            "x-kubernetes-patch-strategy": "merge",
            "items": {
                "type": "object",
                "required": ["apiVersion", "kind", "name", "uid"],
                "x-kubernetes-map-type": "atomic",
                "properties": {
                    "apiVersion": _TEXT,
                    "kind": _TEXT,
                    "name": _TEXT,
                    "uid": _TEXT,
                    "controller": {"type": "boolean", "nullable": True},
                    "blockOwnerDeletion": {"type": "boolean", "nullable": True},
                },
            },
        },
        "managedFields": {
            "type": "array",
            "nullable": True,
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
}


def with_object_fields(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of an object with its common fields filled in; the schema of anything else as it is."""
    if source.get("type", "object") != "object":
        return source
    properties = source.get("properties", {})
    meta = properties.get("metadata", {})
    if "$ref" not in meta and "allOf" not in meta:
        own = meta.get("properties", {})
        merged = {key: {**OBJECT_META["properties"].get(key, {}), **own[key]} for key in own}
        meta = {**meta, **OBJECT_META, "properties": {**OBJECT_META["properties"], **merged}}
    common = {"apiVersion": _TEXT, "kind": _TEXT}
    return {**source, "properties": {**common, **properties, "metadata": meta}}
