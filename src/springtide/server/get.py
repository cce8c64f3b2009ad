"""GET of one object: the committed bytes, as JSON, Table or metadata only.

The log and scale subresources have files of their own; `status` reads as the object itself.
"""

from __future__ import annotations

from springtide.server import list_options
from springtide.server.context import Context
from springtide.server.forms import accepted, render_one
from springtide.server.kinds import ServedKind
from springtide.server.persist import in_version, key_of, not_found
from springtide.server.request import Request, Response
from springtide.server.routes import Route


async def get(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200 with the object, or raises NotFound."""
    form = accepted(request)
    wanted = list_options.parse(request).version if request.query else 0
    if wanted > context.store.revision:
        raise list_options.too_large_version(wanted, context.store.revision)
    record = context.store.get(kind.resource, key_of(kind, route.namespace, route.name))
    if record is None:
        raise not_found(kind, route.name)
    return Response(200, render_one(form, kind, in_version(record.value, kind), context.now(), request))
