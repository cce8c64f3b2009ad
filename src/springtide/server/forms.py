"""The forms an answer can take: plain JSON, `Table` for kubectl, or metadata only.

Which one, the Accept header says (`application/json;as=Table;v=v1;g=meta.k8s.io, application/json`); the
first form this server has wins. Called by the get, list and watch verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from springtide.server.kinds import ServedKind
from springtide.server.request import JSON, Request, Response
from springtide.server.routes import Route
from springtide.server.status import BadRequest, NotAcceptable
from springtide.server.table import to_table

Json = dict[str, Any]
_INCLUDED = ("None", "Metadata", "Object")
_WILDCARDS = ("*/*", "application/*")


_PARTIAL = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":'


class _Metadata(msgspec.Struct):
    metadata: msgspec.Raw


_metadata_of = msgspec.json.Decoder(_Metadata).decode


class Form(Enum):
    """What an object is answered as."""

    JSON = "JSON"
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"


def accepted(request: Request) -> Form:
    """The first form of the Accept header that this server has. Raises NotAcceptable if there is none."""
    return _negotiate(request.headers.get("accept", "*/*"))


@lru_cache(maxsize=256)
def _negotiate(header: str) -> Form:
    for choice in header.split(","):
        media_type, *parameters = [part.strip() for part in choice.split(";")]
        values = dict(part.partition("=")[::2] for part in parameters)
        if media_type.lower() != JSON and media_type not in _WILDCARDS:
            continue
        wanted = values.get("as", "")
        if wanted == "":
            return Form.JSON
        if wanted == "Table":
            return Form.TABLE
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form.METADATA
    raise NotAcceptable(
        f"only the following media types are accepted: {JSON} (also as=Table or as=PartialObjectMetadata); "
        f"the request accepts {header}"
    )


def render_one(form: Form, kind: ServedKind, value: bytes, now: datetime, request: Request) -> bytes:
    """One object, given as JSON bytes, in the wanted form."""
    if form is Form.JSON:
        return value
    if form is Form.METADATA:
        return partial(value)
    obj: Json = msgspec.json.decode(value)
    table = table_of(kind, [obj], now, request)
    table["metadata"] = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return msgspec.json.encode(table)


def written(
    request: Request, route: Route, kind: ServedKind, answer: Response, now: Callable[[], datetime]
) -> Response:
    """The answer to a write in the form that was asked for; most ask for none and get the object."""
    header = request.headers.get("accept", "*/*")
    if "as=" not in header or answer.status not in (200, 201) or route.subresource not in ("", "status"):
        return answer
    form = accepted(request)
    if form is Form.JSON:
        return answer
    return replace(answer, body=render_one(form, kind, answer.body, now(), request))


def partial(value: bytes) -> bytes:
    """`PartialObjectMetadata` of an object's JSON; nothing but the metadata is looked at."""
    return _PARTIAL + bytes(_metadata_of(value).metadata) + b"}"


def metadata_only(obj: Json) -> Json:
    """`PartialObjectMetadata` of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table_of(kind: ServedKind, objects: Sequence[Json], now: datetime, request: Request) -> Json:
    """A `Table`; its rows carry what `includeObject` asks for: metadata (default), the object, or nothing."""
    table: Json = to_table(kind, list(objects), now=now)
    include = request.query.get("includeObject") or "Metadata"
    if include not in _INCLUDED:
        raise BadRequest(f'includeObject: Invalid value: "{include}": use one of {", ".join(_INCLUDED)}')
    for row, obj in zip(table["rows"], objects, strict=True):
        if include == "None":
            row.pop("object", None)
        else:
            row["object"] = obj if include == "Object" else metadata_only(obj)
    return table
