"""The operations of a kind as OpenAPI paths, with the marks by which clients find them.

Called by `openapi`. What clients look for: `x-kubernetes-group-version-kind`, `x-kubernetes-action`, and
the query parameters `dryRun`, `fieldManager`, `fieldValidation` and `force`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from springtide.server.openapi_models import Dialect

Json = dict[str, Any]

_CUSTOM_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
_BUILTIN_PATCHES = (*_CUSTOM_PATCHES, "application/strategic-merge-patch+json")
"""kubectl reads from here whether a kind takes strategic merge patches; those of CRDs do not."""
_SUBRESOURCE_METHODS = {
    "status": ("get", "put", "patch"),
    "scale": ("get", "put", "patch"),
    "log": ("get",),
    "binding": ("post",),
    "eviction": ("post",),
    "attach": ("get", "post"),
    "exec": ("get", "post"),
    "portforward": ("get", "post"),
    "finalize": ("put",),
}
_LIST_PARAMETERS = (
    ("labelSelector", "string", "Only objects whose labels match."),
    ("fieldSelector", "string", "Only objects whose fields match."),
    ("limit", "integer", "At most this many objects; the answer says where to continue."),
    ("continue", "string", "Where an earlier list stopped."),
    ("resourceVersion", "string", "The state to list or to watch from."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("timeoutSeconds", "integer", "How long the call may take."),
    ("watch", "boolean", "Stream changes instead of a list."),
    ("allowWatchBookmarks", "boolean", "Send bookmarks while nothing changes."),
)
_DRY_RUN = ("dryRun", "string", "All: do everything but store the result.")
_WRITE_PARAMETERS = (
    _DRY_RUN,
    ("fieldManager", "string", "Who makes the change, in managedFields."),
    ("fieldValidation", "string", "What becomes of unknown fields: Ignore, Warn or Strict."),
)
_PATCH_PARAMETERS = (*_WRITE_PARAMETERS, ("force", "boolean", "Take fields that others own (apply only)."))
_DELETE_PARAMETERS = (
    _DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds until the object goes for good."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
)
_GET, _LIST, _POST, _PUT, _PATCH, _DELETE, _DELETE_MANY = (
    ("get", "get", ()),
    ("get", "list", _LIST_PARAMETERS),
    ("post", "post", _WRITE_PARAMETERS),
    ("put", "put", _WRITE_PARAMETERS),
    ("patch", "patch", _PATCH_PARAMETERS),
    ("delete", "delete", _DELETE_PARAMETERS),
    ("delete", "deletecollection", (*_LIST_PARAMETERS, *_DELETE_PARAMETERS)),
)
_BY_METHOD = {operation[0]: operation for operation in (_GET, _POST, _PUT, _PATCH)}
_Operation = tuple[str, str, tuple[tuple[str, str, str], ...]]


class Addressed(Protocol):
    """How a kind is addressed."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def all_subresources(self) -> tuple[str, ...]: ...
    @property
    def builtin(self) -> bool: ...


def paths_of(kind: Addressed, model: str, dialect: Dialect) -> Json:
    """All paths of a kind: its collection, its objects, their subresources."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    one = f"{scope}/{kind.plural}/{{name}}"
    paths = {
        f"{scope}/{kind.plural}": _item(kind, model, dialect, (_LIST, _POST, _DELETE_MANY), one=False),
        one: _item(kind, model, dialect, (_GET, _PUT, _PATCH, _DELETE), one=True),
    }
    if kind.namespaced:
        everywhere = _item(kind, model, dialect, (_LIST,), one=False, suffix="ForAllNamespaces")
        everywhere["parameters"] = []
        paths[f"{root}/{kind.plural}"] = everywhere
    for name in kind.all_subresources:
        methods = _SUBRESOURCE_METHODS.get(name, ("get",))
        operations = [_BY_METHOD[method] for method in methods]
        paths[f"{one}/{name}"] = _item(kind, model, dialect, operations, one=True, suffix=name.capitalize())
    return paths


def _item(
    kind: Addressed,
    model: str,
    dialect: Dialect,
    operations: Iterable[_Operation],
    *,
    one: bool,
    suffix: str = "",
) -> Json:
    where = (["namespace"] if kind.namespaced else []) + (["name"] if one else [])
    item: Json = {"parameters": [_parameter("path", name, "string", "", dialect) for name in where]}
    for operation in operations:
        item[operation[0]] = _operation(kind, model, dialect, operation, suffix)
    return item


def _operation(kind: Addressed, model: str, dialect: Dialect, operation: _Operation, suffix: str) -> Json:
    method, action, parameters = operation
    answer = f"{model}List" if action == "list" else model
    group = "".join(part.capitalize() for part in kind.group.split(".")) or "Core"
    made: Json = {
        "operationId": f"{action}{group}{kind.version.capitalize()}{kind.kind}{suffix}",
        "parameters": [_parameter("query", *parameter, dialect) for parameter in parameters],
        "responses": {"200": _answer(dialect, answer)},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.kind,
        },
    }
    if method in ("post", "put", "patch"):
        patches = _BUILTIN_PATCHES if kind.builtin else _CUSTOM_PATCHES
        _add_body(made, dialect, model, patches if method == "patch" else ("application/json",))
    return made


def _parameter(place: str, name: str, type_: str, description: str, dialect: Dialect) -> Json:
    made: Json = {"name": name, "in": place}
    if description:
        made["description"] = description
    if place == "path":
        made["required"] = True
    return {**made, "type": type_} if dialect.inline_body else {**made, "schema": {"type": type_}}


def _answer(dialect: Dialect, model: str) -> Json:
    schema = {"$ref": dialect.prefix + model}
    if dialect.inline_body:
        return {"description": "OK", "schema": schema}
    return {"description": "OK", "content": {"application/json": {"schema": schema}}}


def _add_body(operation: Json, dialect: Dialect, model: str, media_types: Iterable[str]) -> None:
    media_types = tuple(media_types)
    patch = len(media_types) > 1
    schema: Json = {"type": "object"} if patch else {"$ref": dialect.prefix + model}
    if dialect.inline_body:
        operation["consumes"] = list(media_types)
        operation["parameters"].append({"name": "body", "in": "body", "required": True, "schema": schema})
    else:
        content = {media_type: {"schema": schema} for media_type in media_types}
        operation["requestBody"] = {"required": True, "content": content}
