"""Small schemas shaped like Kubernetes' own, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from springtide.server.schema import Schema

TEXT = {"type": "string"}
TEXT_MAP = {"type": "object", "additionalProperties": TEXT}

ENV = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "x-kubernetes-patch-merge-key": "name",
    "x-kubernetes-patch-strategy": "merge",
    "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT, "value": TEXT}},
}
PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
    "x-kubernetes-patch-merge-key": "containerPort",
    "x-kubernetes-patch-strategy": "merge",
    "items": {
        "type": "object",
        "required": ["containerPort"],
        "properties": {
            "containerPort": {"type": "integer", "format": "int32"},
            "protocol": {"type": "string", "default": "TCP"},
            "name": TEXT,
        },
    },
}
CONTAINER: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": TEXT,
        "image": TEXT,
        "args": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "atomic"},
        "env": ENV,
        "ports": PORTS,
        "resources": {"type": "object", "properties": {"limits": TEXT_MAP, "requests": TEXT_MAP}},
    },
}
CONTAINERS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "x-kubernetes-patch-merge-key": "name",
    "x-kubernetes-patch-strategy": "merge",
    "items": {"$ref": "#/definitions/Container"},
}
DEPLOYMENT_SOURCE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["selector"],
            "properties": {
                "replicas": {"type": "integer", "format": "int32", "minimum": 0, "default": 1},
                "selector": {
                    "type": "object",
                    "x-kubernetes-map-type": "atomic",
                    "properties": {"matchLabels": TEXT_MAP},
                },
                "strategy": {
                    "type": "object",
                    "x-kubernetes-patch-strategy": "retainKeys",
                    "properties": {
                        "type": {"type": "string", "enum": ["Recreate", "RollingUpdate"]},
                        "rollingUpdate": {
                            "type": "object",
                            "properties": {
                                "maxSurge": {
                                    "x-kubernetes-int-or-string": True,
                                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                                }
                            },
                        },
                    },
                },
                "zones": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
                "template": {
                    "type": "object",
                    "properties": {
                        "metadata": {"type": "object", "properties": {"labels": TEXT_MAP}},
                        "spec": {"type": "object", "properties": {"containers": CONTAINERS}},
                    },
                },
                "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": TEXT}},
    },
}
DEPLOYMENT = Schema(DEPLOYMENT_SOURCE, {"Container": CONTAINER})


def deployment(**spec: Any) -> dict[str, Any]:
    """A Deployment-like object; containers go straight into its template."""
    containers = spec.pop("containers", None)
    if containers is not None:
        spec["template"] = {"spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


def containers_of(obj: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of such an object."""
    return list(obj["spec"]["template"]["spec"]["containers"])
