"""DELETE on a collection: every object the selectors choose, each as `delete` would.

What is created while it runs is left alone; what is gone by its turn is fine.
"""

from __future__ import annotations

import asyncio

import msgspec

from springtide.server import list_options
from springtide.server.context import Context
from springtide.server.delete import DeleteOptions, delete_record, parse_options
from springtide.server.kinds import ServedKind
from springtide.server.list import find
from springtide.server.request import Request, Response, User
from springtide.server.routes import Route
from springtide.server.selection import Selection
from springtide.store import Record


async def deletecollection(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200 with a list of what was deleted or is on its way."""
    options = parse_options(request)
    chosen = find(context, list_options.parse(request), Selection(kind, route, request), kind).records
    bodies = await asyncio.gather(
        *(_delete(context, kind, record, options, request.user) for record in chosen)
    )
    head = {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version,
        "metadata": {"resourceVersion": str(context.store.revision)},
    }
    items = b",".join(body for body in bodies if body)
    return Response(200, msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}")


async def _delete(
    context: Context, kind: ServedKind, record: Record, options: DeleteOptions, user: User
) -> bytes:
    latest = context.store.latest(kind.resource, record.key)
    if latest is None:
        return b""
    _, body = await delete_record(context, kind, latest, options, user)
    return body
