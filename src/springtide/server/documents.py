"""Everything that is no object: version, health, discovery, OpenAPI, metrics.

Called by `Server` for paths that are no resource path of a served kind.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping

import msgspec

from springtide.api.version import GIT_VERSION, KUBERNETES_MAJOR, KUBERNETES_MINOR
from springtide.server import discovery, exposition, openapi, readiness
from springtide.server.context import Context
from springtide.server.request import Request, Response
from springtide.server.status import MethodNotAllowed, NotFound
from springtide.server.token_accounts import ISSUER

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""What may be read without credentials: a probe has none."""


async def serve(context: Context, request: Request) -> Response:
    """Answer a document, or raise NotFound."""
    if "//" in request.path:
        raise _unknown(request.path)
    if request.method not in ("GET", "HEAD"):
        if _is_document(request.path) or discovery.serve(context, request, request.path) is not None:
            raise MethodNotAllowed(f"{request.method} is not supported on {request.path}; supported: GET")
        raise _unknown(request.path)
    path = request.path.rstrip("/") or "/"
    simple = _SIMPLE.get(path)
    if simple is not None:
        return simple(context)
    if path.split("/")[1] in ("livez", "readyz", "healthz"):
        return _health(context, request, path)
    if path == "/openapi/v2":
        return _cached(context, request, path, lambda: msgspec.json.encode(openapi.v2(tuple(context.kinds))))
    if path == "/openapi/v3":
        return _cached(
            context, request, path, lambda: msgspec.json.encode(openapi.v3_index(tuple(context.kinds)))
        )
    if path.startswith("/openapi/v3/"):
        return _openapi_v3(context, request, path)
    found = discovery.serve(context, request, path)
    if found is None:
        raise _unknown(request.path)
    return found


def _openapi_v3(context: Context, request: Request, path: str) -> Response:
    """`/openapi/v3/api/v1` or `/openapi/v3/apis/<group>/<version>`."""
    wanted = path.removeprefix("/openapi/v3/")
    try:
        return _cached(
            context, request, path, lambda: msgspec.json.encode(openapi.v3(tuple(context.kinds), wanted))
        )
    except KeyError:
        raise _unknown(path) from None


def _cached(context: Context, request: Request, path: str, make: Callable[[], bytes]) -> Response:
    """Big documents are made once for each state of the served kinds, and not sent again to who has them."""
    generation = context.kinds.generation
    known = context.documents.get(path)
    if known is None or known[0] != generation:
        known = context.documents[path] = (generation, make())
        context.etags[path] = f'"{hashlib.sha256(known[1]).hexdigest().upper()}"'
    headers = (("Etag", context.etags[path]), ("Vary", "Accept"))
    if request.headers.get("if-none-match") == context.etags[path]:
        return Response(304, b"", headers=headers)
    return Response(200, known[1], headers=headers)


def _health(context: Context, request: Request, path: str) -> Response:
    """`ok`, or 500 and what is wrong; what stands behind the first name picks one check."""
    which, _, name = path.strip("/").partition("/")
    checks = readiness.READINESS if which == "readyz" else readiness.LIVENESS
    if name:
        if name not in checks:
            raise _unknown(path)
        checks = {name: checks[name]}
    left_out = request.query.get("exclude", "")
    wrong = readiness.failures(context, {key: check for key, check in checks.items() if key != left_out})
    verbose = "verbose" in request.query
    if not wrong and not verbose:
        return _text("ok")
    lines = [_check_line(check, wrong, left_out) for check in checks if verbose or check in wrong]
    ends = f"{which} check {'failed' if wrong else 'passed'}\n"
    body = "\n".join([*lines, ends]).encode()
    return Response(500 if wrong else 200, body, "text/plain; charset=utf-8")


def _check_line(check: str, wrong: Mapping[str, str], left_out: str) -> str:
    if check in wrong:
        return f"[-]{check} failed: {wrong[check]}"
    return f"[+]{check} excluded: ok" if check == left_out else f"[+]{check} ok"


def _version(context: Context) -> Response:
    body = {
        "major": KUBERNETES_MAJOR,
        "minor": KUBERNETES_MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
    return Response(200, msgspec.json.encode(body))


def _paths(context: Context) -> Response:
    groups = sorted({f"/apis/{kind.group}" for kind in context.kinds if kind.group})
    versions = sorted({f"/apis/{kind.api_version}" for kind in context.kinds if kind.group})
    fixed = [
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
    ]
    return Response(200, msgspec.json.encode({"paths": sorted([*fixed, "/version", *groups, *versions])}))


def _metrics(context: Context) -> Response:
    return Response(200, exposition.expose(context), content_type=exposition.CONTENT_TYPE)


def _jwks(context: Context) -> Response:
    """The keys that verify tokens of service accounts."""
    return Response(200, context.signing_keys.jwks(), content_type="application/jwk-set+json")


def _issuer(context: Context) -> Response:
    body = {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    return Response(200, msgspec.json.encode(body))


def _text(text: str) -> Response:
    return Response(200, text.encode(), content_type="text/plain; charset=utf-8")


_SIMPLE: dict[str, Callable[[Context], Response]] = {
    "/": _paths,
    "/version": _version,
    "/metrics": _metrics,
    "/openid/v1/jwks": _jwks,
    "/.well-known/openid-configuration": _issuer,
}


def _is_document(path: str) -> bool:
    return path in _SIMPLE or path in OPEN_PATHS or path.startswith("/openapi/")


def _unknown(path: str) -> NotFound:
    return NotFound(f"the server could not find the requested resource: {path}")
