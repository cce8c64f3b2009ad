"""A custom kind with one of everything: what several tables create objects of."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Json, crd

GROUP = "machinery.conformance.dev"
WIDGETS = f"/apis/{GROUP}/v1/namespaces/{{ns}}/widgets"
GEARS = f"/apis/{GROUP}/v1/gears"

_TEXT = {"type": "string"}
_PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {
        "port": {"type": "integer"},
        "protocol": {"type": "string", "default": "TCP"},
        "note": _TEXT,
        "weight": {"type": "integer"},
    },
}
_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 0},
                "color": {"type": "string", "default": "red", "enum": ["red", "green", "blue"]},
                "replicas": {"type": "integer"},
                "selector": _TEXT,
                "note": {"type": "string", "nullable": True},
                "limit": {"x-kubernetes-int-or-string": True},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": _PORT,
                },
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": _TEXT},
                "steps": {"type": "array", "items": _TEXT},
                "atom": {
                    "type": "object",
                    "x-kubernetes-map-type": "atomic",
                    "properties": {"a": _TEXT, "b": _TEXT},
                },
                "map": {"type": "object", "additionalProperties": _TEXT},
                "nested": {
                    "type": "object",
                    "properties": {
                        "inner": {"type": "object", "properties": {"value": _TEXT, "other": _TEXT}}
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": _TEXT,
                "replicas": {"type": "integer"},
                "conditions": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": _TEXT, "status": _TEXT},
                    },
                },
            },
        },
    },
}

WIDGET_CRD = crd(
    "widgets",
    GROUP,
    _SCHEMA,
    names={
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "shortNames": ["wd"],
        "categories": ["all"],
    },
    version={
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".spec.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.color"}],
    },
)
"""Namespaced, with status and scale, printer columns, and lists of every kind."""

GEAR_CRD = crd("gears", GROUP, scope="Cluster")
"""Cluster-scoped and without a schema or a status subresource."""


def widget(name: str, *, status: Any = None, metadata: Json | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": name, **(metadata or {})},
        "spec": spec,
        **({"status": status} if status is not None else {}),
    }


def gear(name: str, **fields: Any) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Gear", "metadata": {"name": name}, **fields}
