"""OpenAPI documents of the kinds served at this moment, version 2 and version 3.

Called by the server for `/openapi/v2`, `/openapi/v3` and `/openapi/v3/<path>`. kubectl reads them to know
which verbs take `fieldValidation`, to explain fields and to merge what it applies; so they say just that
much: paths with their group-version-kind and parameters, and the models. The caller caches the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from springtide import __version__
from springtide.server import openapi_models, openapi_paths
from springtide.server.openapi_models import V2, V3, Dialect

Json = dict[str, Any]


class DocumentedKind(openapi_paths.Addressed, Protocol):
    """What the documents need to know of a kind."""

    @property
    def schema(self) -> dict[str, Any]: ...
    @property
    def definitions(self) -> dict[str, Any]: ...


def v2(kinds: Sequence[DocumentedKind]) -> Json:
    """The one document of version 2: every kind."""
    return {
        "swagger": "2.0",
        "info": _info(),
        "paths": _paths(kinds, V2),
        "definitions": _models(kinds, V2),
    }


def v3_index(kinds: Sequence[DocumentedKind]) -> Json:
    """Where the documents of version 3 are, each with a hash of its content for caching."""
    paths: Json = {}
    for path, members in _by_path(kinds).items():
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(members)}"}
    return {"paths": paths}


def v3(kinds: Sequence[DocumentedKind], path: str) -> Json:
    """The document of one group and version, such as `apis/trainer.kubeflow.org/v1alpha1` or `api/v1`.

    Raises KeyError if no kind is served there.
    """
    members = _by_path(kinds)[path]
    return {
        "openapi": "3.0.0",
        "info": _info(),
        "paths": _paths(members, V3),
        "components": {"schemas": _models(members, V3)},
    }


def _info() -> Json:
    return {"title": "Springtide", "version": __version__}


def _by_path(kinds: Iterable[DocumentedKind]) -> dict[str, list[DocumentedKind]]:
    groups: dict[str, list[DocumentedKind]] = {}
    for kind in kinds:
        root = f"apis/{kind.group}" if kind.group else "api"
        groups.setdefault(f"{root}/{kind.version}", []).append(kind)
    return dict(sorted(groups.items()))


def _hash(members: Iterable[DocumentedKind]) -> str:
    digest = hashlib.sha256(__version__.encode())
    for kind in members:
        digest.update(msgspec.json.encode([kind.plural, kind.namespaced, kind.all_subresources, kind.schema]))
    return digest.hexdigest().upper()


def _paths(kinds: Iterable[DocumentedKind], dialect: Dialect) -> Json:
    paths: Json = {}
    for kind in kinds:
        model = openapi_models.model_name(kind.group, kind.version, kind.kind, kind.schema, kind.definitions)
        paths.update(openapi_paths.paths_of(kind, model, dialect))
    return paths


def _models(kinds: Iterable[DocumentedKind], dialect: Dialect) -> Mapping[str, Json]:
    models: dict[str, Json] = {}
    for kind in kinds:
        openapi_models.collect(
            kind.group, kind.version, kind.kind, kind.schema, kind.definitions, dialect, models
        )
    return dict(sorted(models.items()))
