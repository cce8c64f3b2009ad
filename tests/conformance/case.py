"""The vocabulary of the tables: a case is data, made of requests and of what must be true of the answers.

    Case(
        "a merge patch removes what it says is null",
        given=[configmap("a", data={"x": "1", "y": "2"})],
        steps=[patch(f"{CONFIGMAPS}/a", {"data": {"x": None}}, fields={"data": {"y": "2"}})],
    )

Every case has a namespace of its own. In paths, bodies, headers and expectations `{ns}` stands for it, `{id}`
for a word nobody else uses, and `{name}` for what an earlier step saved under that name. Paths into answers
read `spec.containers[0].image`, `spec.containers[name=web].image`, `metadata.labels["a.b/c"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

Json = dict[str, Any]

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE_FORM = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA_FORM = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST_FORM = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

CORE = "/api/v1"
CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
SECRETS = "/api/v1/namespaces/{ns}/secrets"
SERVICES = "/api/v1/namespaces/{ns}/services"
PODS = "/api/v1/namespaces/{ns}/pods"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Like:
    """A text in which this regular expression is found."""

    pattern: str


@dataclass(frozen=True)
class Has:
    """A list that has all these items, or a map that has all these entries, whatever else it has."""

    wanted: Any


@dataclass(frozen=True)
class Length:
    """A list, map or text of this length."""

    of: int


@dataclass(frozen=True)
class Not:
    """Anything but this value; `Not(Like("x"))` is a text without x."""

    unwanted: Any


PRESENT = Not(None)
"""Any value at all."""


@dataclass(frozen=True)
class Step:
    """One request, and what its answer must be."""

    method: str
    path: str
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the request; `Accept` and `Content-Type` have sensible defaults."""
    user: str = "admin"
    """Whose token is sent: a key of `users.USERS`; empty: none."""

    status: int | tuple[int, ...] = 0
    """The code or codes allowed; 0: 201 for POST, else 200."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Paths into the JSON answer, and what is there: a value, or Like, Has, Length, Not, PRESENT."""
    absent: Sequence[str] = ()
    reason: str = ""
    message: str | Sequence[str] = ()
    """Fragments of the Status' message."""
    causes: Sequence[str] | None = None
    """The fields that the Status' causes name, in any order; upstream names some of them twice."""
    warnings: Sequence[str] | None = None
    """A fragment of each `Warning` header, in order; () means that there must be none."""
    answer_headers: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    """What the body as text must contain."""
    events: Sequence[Mapping[str, Any]] | None = None
    """For a watch: what the first so many events hold, by path. The watch is closed after the last."""
    save: Mapping[str, str] = field(default_factory=dict)
    """Remember for later steps: name -> path into the answer."""
    within: float = 0.0
    """Seconds in which it must come true, for what happens behind the answer."""


@dataclass(frozen=True)
class Case:
    """Something every API server does, in words, and the requests that show it."""

    name: str
    steps: Sequence[Step]
    given: Sequence[Json] = ()
    """Objects created first. A CRD whose name has no `{id}` is created once and shared by all cases."""
    table: str = ""

    def __str__(self) -> str:
        return f"{self.table}: {self.name}"


def table(name: str, cases: Iterable[Case]) -> list[Case]:
    """A module's cases, each knowing where it stands. Raises ValueError if two have the same name."""
    listed = [replace(case, table=name) for case in cases]
    names = [case.name for case in listed]
    if twice := {one for one in names if names.count(one) > 1}:
        raise ValueError(f"table {name}: two cases are called {sorted(twice)}")
    return listed


def each(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrize a test over a table."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def get(path: str, **expected: Any) -> Step:
    return Step("GET", path, **expected)


def post(path: str, body: Any, **expected: Any) -> Step:
    return Step("POST", path, body, **expected)


def put(path: str, body: Any, **expected: Any) -> Step:
    return Step("PUT", path, body, **expected)


def patch(path: str, body: Any, media_type: str = MERGE, **expected: Any) -> Step:
    headers = {"Content-Type": media_type, **expected.pop("headers", {})}
    return Step("PATCH", path, body, headers=headers, **expected)


def apply(path: str, body: Any, manager: str = "applier", *, force: bool = False, **expected: Any) -> Step:
    """A server-side apply."""
    query = {"fieldManager": manager, **({"force": "true"} if force else {}), **expected.pop("query", {})}
    return patch(path, body, APPLY, query=query, **expected)


def delete(path: str, body: Any = None, **expected: Any) -> Step:
    return Step("DELETE", path, body, **expected)


def watch(path: str, *events: Mapping[str, Any], **expected: Any) -> Step:
    """A watch that must bring these events first. Without events: it must end by itself and bring none."""
    query = {"watch": "true", "timeoutSeconds": "5" if events else "1", **expected.pop("query", {})}
    return Step("GET", path, query=query, events=events, **expected)


def event(type_: str, name: str = "", **fields: Any) -> Json:
    """What a watch event holds; further fields are paths below `object` with `__` for dots."""
    named = {"object.metadata.name": name} if name else {}
    below = {f"object.{key.replace('__', '.')}": value for key, value in fields.items()}
    return {"type": type_, **named, **below}


def configmap(name: str, *, data: Mapping[str, Any] | None = None, **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        **({"data": dict(data)} if data is not None else {}),
    }


def pod(name: str, *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Json:
    """A pod of one container `main` that nobody will schedule."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"containers": [{"name": "main", "image": "busybox:1.36"}], **spec},
    }


def crd(
    plural: str,
    group: str,
    schema: Mapping[str, Any] | None = None,
    *,
    scope: str = "Namespaced",
    version: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Json:
    """A definition with one version v1. Without a schema its objects keep every field."""
    kind = re.sub(r"s$", "", plural).capitalize()
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    first = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema or free},
        **(version or {}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [first],
            **spec,
        },
    }
