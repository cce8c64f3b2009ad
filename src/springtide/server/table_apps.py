"""Columns of the apps kinds, as `kubectl get` shows them. Called by `table_kinds`.

Source of the columns: kube-apiserver's printers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from springtide.api.resources import Column
from springtide.server.table_time import created

Json = dict[str, Any]
_NONE = "<none>"
_OPERATORS = {"In": "in", "NotIn": "notin"}


def _text(name: str, description: str, priority: int = 0) -> Column:
    return Column(name, "string", "", description, priority)


def _count(name: str, description: str) -> Column:
    return Column(name, "integer", "", description)


_AGE = _text("Age", "Time since the object was created")
_TEMPLATE = (
    _text("Containers", "Names of the containers", 1),
    _text("Images", "Images of the containers", 1),
)
_SELECTOR = _text("Selector", "Labels of its pods", 1)

DEPLOYMENT_COLUMNS = (
    _text("Ready", "Pods that are ready, of those wanted"),
    _text("Up-to-date", "Pods made from the present template"),
    _text("Available", "Pods that have been ready long enough"),
    _AGE,
    *_TEMPLATE,
    _SELECTOR,
)
REPLICA_SET_COLUMNS = (
    _count("Desired", "Pods wanted"),
    _count("Current", "Pods there are"),
    _count("Ready", "Pods that are ready"),
    _AGE,
    *_TEMPLATE,
    _SELECTOR,
)
STATEFUL_SET_COLUMNS = (_text("Ready", "Pods that are ready, of those wanted"), _AGE, *_TEMPLATE)
DAEMON_SET_COLUMNS = (
    _count("Desired", "Nodes that should run its pod"),
    _count("Current", "Such nodes that have one"),
    _count("Ready", "Nodes whose pod is ready"),
    _count("Up-to-date", "Nodes whose pod is of the present template"),
    _count("Available", "Nodes whose pod has been ready long enough"),
    _text("Node Selector", "Labels of its nodes"),
    _AGE,
    *_TEMPLATE,
    _SELECTOR,
)
CONTROLLER_REVISION_COLUMNS = (
    _text("Controller", "What it is a revision of"),
    _text("Revision", "Its number"),
    _AGE,
)


def deployment(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        created(obj, now),
        *_template(spec),
        format_selector(spec.get("selector")),
    ]


def replica_set(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        created(obj, now),
        *_template(spec),
        format_selector(spec.get("selector")) or _NONE,
    ]


def stateful_set(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [ready, created(obj, now), *_template(spec)]


def daemon_set(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    chosen = spec["template"]["spec"].get("nodeSelector") or {}
    return [
        *(
            status.get(name, 0)
            for name in (
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            )
        ),
        ",".join(f"{key}={value}" for key, value in sorted(chosen.items())) or _NONE,
        created(obj, now),
        *_template(spec),
        format_selector(spec.get("selector")) or _NONE,
    ]


def controller_revision(obj: Json, now: datetime) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or ()
    owner = next((one for one in owners if one.get("controller")), None)
    return [_qualified(owner) if owner else _NONE, obj.get("revision", 0), created(obj, now)]


def format_selector(selector: Json | None) -> str:
    """A label selector in one line: `a=b,c in (d,e),!f`, keys in order."""
    parts = [(key, f"{key}={value}") for key, value in ((selector or {}).get("matchLabels") or {}).items()]
    parts += [(one["key"], _expression(one)) for one in (selector or {}).get("matchExpressions") or ()]
    return ",".join(text for _, text in sorted(parts))


def _expression(one: Json) -> str:
    if one["operator"] == "Exists":
        return str(one["key"])
    if one["operator"] == "DoesNotExist":
        return f"!{one['key']}"
    return f"{one['key']} {_OPERATORS[one['operator']]} ({','.join(sorted(one.get('values') or ()))})"


def _template(spec: Json) -> tuple[str, str]:
    containers = spec["template"]["spec"].get("containers") or ()
    names = ",".join(str(one.get("name", "")) for one in containers)
    return names, ",".join(str(one.get("image", "")) for one in containers)


def _qualified(owner: Json) -> str:
    group = owner["apiVersion"].rpartition("/")[0]
    kind = owner["kind"].lower()
    return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
