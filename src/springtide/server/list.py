"""GET of a collection: one consistent answer, or a page of one.

A page's `continue` token names the revision of the first page and the last key given, so all pages together
are the collection as it was at one moment. Stored bytes are spliced into the answer unparsed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from springtide.server import list_options
from springtide.server.context import Context
from springtide.server.forms import Form, accepted, partial, table_of
from springtide.server.kinds import ServedKind
from springtide.server.list_options import ListOptions, too_large_version
from springtide.server.persist import in_version
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.selection import Selection
from springtide.server.status import BadRequest, Expired
from springtide.store import Compacted, FutureRevision, Record


@dataclass(frozen=True, slots=True)
class Found:
    """What a list is about, at one revision."""

    records: Sequence[Record]
    revision: int
    continue_: str
    remaining: int | None


class _Token(msgspec.Struct, frozen=True):
    """What a `continue` token says: the revision of the first page, and the last key given so far."""

    revision: int
    after: str


async def list_(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200 with a list object, a Table or a PartialObjectMetadataList."""
    form = accepted(request)
    found = find(context, list_options.parse(request), Selection(kind, route, request), kind)
    values = [in_version(record.value, kind) for record in found.records]
    list_metadata: dict[str, object] = {"resourceVersion": str(found.revision)}
    if found.continue_:
        list_metadata["continue"] = found.continue_
        if found.remaining is not None:
            list_metadata["remainingItemCount"] = found.remaining
    if form is Form.TABLE:
        table = table_of(kind, [msgspec.json.decode(value) for value in values], context.now(), request)
        return Response(200, msgspec.json.encode({**table, "metadata": list_metadata}))
    if form is Form.METADATA:
        values = [partial(value) for value in values]
        head = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": list_metadata,
        }
    else:
        head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": list_metadata}
    return Response(200, msgspec.json.encode(head)[:-1] + b',"items":[' + b",".join(values) + b"]}")


def find(context: Context, options: ListOptions, selection: Selection, kind: ServedKind) -> Found:
    """Read it. Raises Expired, BadRequest, or Timeout for a revision that has not come to be."""
    revision, after = _where_to_read(options, context.store.revision)
    limit = options.limit
    paged = limit if selection.selects_all else 0
    try:
        page = context.store.page(
            kind.resource, selection.prefix, after=after, limit=paged, revision=revision
        )
    except Compacted as error:
        raise Expired(
            "The provided continue parameter or resourceVersion is too old for a consistent list result: "
            f"{error}. Start a new list without them."
        ) from error
    except FutureRevision as error:
        raise too_large_version(revision or 0, context.store.revision) from error
    records, remaining = page.records, page.remaining
    if not selection.selects_all:
        records = [record for record in records if selection.matches(record)]
        if limit:
            remaining = max(0, len(records) - limit)
            records = records[:limit]
    token = _encode_token(_Token(page.revision, records[-1].key)) if remaining else ""
    return Found(records, page.revision, token, remaining if selection.selects_all else None)


def _where_to_read(options: ListOptions, newest: int) -> tuple[int | None, str]:
    """The revision to read at (None: the newest) and the key to start behind."""
    if options.continue_:
        if options.version:
            raise BadRequest("specifying resource version is not allowed when using continue")
        decoded = _decode_token(options.continue_)
        return decoded.revision, decoded.after
    if options.version > newest:
        raise too_large_version(options.version, newest)
    return (options.version if options.exact else None), ""


def _encode_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()


def _decode_token(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=_Token)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadRequest(f"continue key is not valid: {text!r} is no token of this server") from error
