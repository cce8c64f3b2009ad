"""The embedded Kubernetes API: one request in, one answer out, whatever carries them.

`handle` finds what the path addresses, checks that it exists, and calls the verb's file. Failures become
`metav1.Status` answers here and nowhere else. Wired by `up`; carried by `asgi` (HTTPS) and `inprocess`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from ipaddress import IPv4Network

import msgspec
from prometheus_client import CollectorRegistry

from springtide.runtime.clock import Clock
from springtide.runtime.log import logger
from springtide.server import (
    binding,
    documents,
    eviction,
    initial,
    log,
    metrics_api,
    namespaces,
    proxy,
    rbac_bootstrap,
    reviews,
    scale,
    streams,
    token_request,
)
from springtide.server.admission import builtin_kinds
from springtide.server.admit_chain import admission
from springtide.server.audit import AuditLog
from springtide.server.authn import Authenticator
from springtide.server.context import Context, LogSource
from springtide.server.create import create
from springtide.server.customresources import serve_stored
from springtide.server.delete import delete
from springtide.server.deletecollection import deletecollection
from springtide.server.flow import Flow, Limits, is_exempt
from springtide.server.flow_metrics import flow_registry
from springtide.server.forms import written
from springtide.server.get import get
from springtide.server.impersonation import impersonated
from springtide.server.kinds import Kinds, ServedKind
from springtide.server.list import list_
from springtide.server.nodes import NodeAccess
from springtide.server.patch import patch
from springtide.server.persist import unavailable
from springtide.server.request import Answer, Request, Response, Stream, User
from springtide.server.routes import Route, parse, without_watch
from springtide.server.service_block import DEFAULT_BLOCK
from springtide.server.status import BadRequest, InternalError, MethodNotAllowed, NotFound, StatusError
from springtide.server.tokens import SigningKeys
from springtide.server.update import update
from springtide.server.watch import watch
from springtide.store import Store, WriteFailed

Verb = Callable[[Context, Request, Route, ServedKind], Awaitable[Answer]]

_log = logger("server")

_ANY = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ON_COLLECTION: dict[str, Verb] = {"GET": list_, "POST": create, "DELETE": deletecollection}
_ON_COLLECTION_OF_ONES: dict[str, Verb] = {"GET": list_, "POST": create}
_ON_OBJECT: dict[str, Verb] = {"GET": get, "PUT": update, "PATCH": patch, "DELETE": delete}
_ON_STATUS: dict[str, Verb] = {"GET": get, "PUT": update, "PATCH": patch}
_ON_SUBRESOURCE: dict[tuple[str, str], dict[str, Verb]] = {
    ("pods", "binding"): {"POST": binding.bind},
    ("pods", "eviction"): {"POST": eviction.evict},
    ("pods", "log"): {"GET": log.read},
    ("pods", "exec"): {"GET": streams.exec_, "POST": streams.exec_},
    ("pods", "attach"): {"GET": streams.attach, "POST": streams.attach},
    ("pods", "portforward"): {"GET": streams.port_forward, "POST": streams.port_forward},
    ("pods", "ephemeralcontainers"): {"GET": get, "PUT": update, "PATCH": patch},
    ("pods", "resize"): {"GET": get, "PUT": update, "PATCH": patch},
    ("pods", "proxy"): dict.fromkeys(_ANY, proxy.pod),
    ("services", "proxy"): dict.fromkeys(_ANY, proxy.service),
    ("nodes", "proxy"): dict.fromkeys(_ANY, proxy.node),
    ("namespaces", "finalize"): {"PUT": namespaces.finalize},
    ("serviceaccounts", "token"): {"POST": token_request.create},
}
_WRITES = ("POST", "PUT", "PATCH")
_READS = ("GET", "HEAD")


class Server:
    """The API over `store`. Call `start` once before the first request."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        log_source: LogSource | None = None,
        signing_keys: SigningKeys | None = None,
        limits: Limits | None = None,
        service_block: IPv4Network = DEFAULT_BLOCK,
    ) -> None:
        """`signing_keys` sign tokens of service accounts; without lasting ones, pods are given no token.

        Services get addresses of `service_block`, which no other server of this machine may use.
        """
        self.service_block = service_block
        self.context = Context(
            store=store,
            kinds=Kinds(),
            clock=clock,
            log_source=log_source,
            admission=admission(mount_tokens=signing_keys is not None, service_block=service_block),
            signing_keys=signing_keys or SigningKeys(),
        )
        self._metrics = metrics_api.MetricsApi()
        self._flow = Flow(limits or Limits())
        self.measure_too(flow_registry(self._flow))
        self._audit: AuditLog | None = None
        for kind in builtin_kinds():
            self.context.kinds.add(kind)

    async def start(self) -> None:
        """Serve the CRDs the store holds, and make the objects every cluster has."""
        serve_stored(self.context)
        self.context.admission.started(self.context)
        await initial.create(self.context)
        await rbac_bootstrap.reconcile(self.context)

    def audit_to(self, log: AuditLog) -> None:
        """From now on tell the audit log of every answered request; whoever made it closes it."""
        self._audit = log

    async def publish_authority(self, certificate: bytes) -> None:
        """Tell everybody inside the cluster whom to trust: the authority's certificate, as PEM."""
        await initial.publish_authority(self.context, certificate.decode())

    def authenticator(self, tokens: Mapping[str, User]) -> Authenticator:
        """Who knows the users of these tokens, and every service account; token reviews ask it too."""
        made = Authenticator(tokens, self.context.account_tokens)
        self.context.identify_token = made.identity
        return made

    def reach_nodes_through(self, nodes: NodeAccess) -> None:
        """From now on requests about running pods are answered by their nodes, which `nodes` asks."""
        self.context.log_source = self.context.nodes = nodes

    def measure_too(self, registry: CollectorRegistry) -> None:
        """From now on /metrics shows these numbers too: those of the controllers in the same process."""
        self.context.registries.append(registry)

    def shut_down(self) -> None:
        """From now on /readyz fails, so that nobody sends new clients here; requests are still answered."""
        self.context.shutting_down = True

    async def handle(self, request: Request) -> Answer:
        """Answer one authenticated request. Never raises but for cancellation."""
        measures, began = self.context.measures, self.context.clock.monotonic()
        measures.begin(request)
        try:
            answer = await self._audited(request)
        except BaseException:
            measures.abandon(request)
            raise
        measures.end(request, self._served(request.path), answer, self.context.clock.monotonic() - began)
        return answer

    async def _audited(self, request: Request) -> Answer:
        if self._audit is None:
            return (await self._answered(request))[0]
        received = self.context.now()
        answer, acting = await self._answered(request)
        self._note(request, acting, answer, received)
        return answer

    async def _answered(self, request: Request) -> tuple[Answer, User]:
        """The answer, and the user it was given to: another one if the request impersonates."""
        acting = request
        try:
            if request.impersonate:
                acting = impersonated(request, self.context.authorizer)
            return await self._dispatch(acting), acting.user
        except StatusError as error:
            return await self._failed(request, error), acting.user
        except RecursionError:
            why = "the request is nested too deeply: no object of any kind needs hundreds of levels"
            return _answer(BadRequest(why)), acting.user
        except Exception as error:  # noqa: BLE001 - the boundary of the server: a fault of ours is an answer too
            _log.error("request failed", exc_info=error, method=request.method, path=request.path)
            text = f"{type(error).__name__} while handling the request; the server's log has the details"
            return _answer(InternalError(text)), acting.user

    def refused(self, request: Request, answer: Response) -> None:
        """A request that never came here, for want of credentials, is told to the audit log."""
        if self._audit is not None:
            self._note(request, request.user, answer, self.context.now())

    def _note(self, request: Request, acting: User, answer: Answer, received: datetime) -> None:
        if self._audit is not None:
            now, audit_id = self.context.now(), self.context.new_uid()
            self._audit.note(request, acting, answer, audit_id=audit_id, received=received, now=now)

    async def _dispatch(self, request: Request) -> Answer:
        if "/watch/" in request.path:
            request = _watching(request)
        route = parse(request.path)
        self.context.authorizer.require_request(request, route)
        if is_exempt(request.user) or request.path in documents.OPEN_PATHS:
            self._flow.exempt += 1
            return await self._serve(request, route)
        self._flow.check_streams(request)
        async with self._flow.seat(request.user):
            answer = await self._serve(request, route)
        return self._flow.counted(request.user, answer) if isinstance(answer, Stream) else answer

    async def _serve(self, request: Request, route: Route | None) -> Answer:
        if route is None:
            return await documents.serve(self.context, request)
        kind = self.context.kinds.find(route.group, route.version, route.plural)
        if kind is None or (route.namespace and not kind.namespaced):
            return await documents.serve(self.context, request)
        answer = await self._verb(request, route, kind)(self.context, request, route, kind)
        if request.method in _WRITES and isinstance(answer, Response):
            answer = written(request, route, kind, answer, self.context.now)
        if kind.warning:
            answer.warnings = (*answer.warnings, kind.warning)
        return answer

    def _served(self, path: str) -> Route | None:
        """The route of a path, if a kind is served there."""
        route = parse(path)
        if route is None or self.context.kinds.find(route.group, route.version, route.plural) is None:
            return None
        return route

    def _verb(self, request: Request, route: Route, kind: ServedKind) -> Verb:
        if kind.group == metrics_api.GROUP:
            return self._metrics.serve
        if request.method == "GET" and not route.name and "list" in kind.verbs:
            return watch if request.flag("watch") and "watch" in kind.verbs else list_
        verb = _verbs(route, kind).get("GET" if request.method == "HEAD" else request.method)
        if verb is None:
            raise MethodNotAllowed(
                f"{request.method} is not supported on {request.path}; "
                f"supported: {', '.join(sorted(_verbs(route, kind)))}"
            )
        if kind.namespaced and not (route.namespace or route.name) and request.method in ("POST", "DELETE"):
            raise MethodNotAllowed(f"{kind.kind} is namespaced: the path needs namespaces/<namespace>")
        if kind.namespaced and route.name and not route.namespace:
            raise NotFound(f"{kind.kind} is namespaced: the path needs namespaces/<namespace>")
        return verb

    async def _failed(self, request: Request, error: StatusError) -> Response:
        """A refusal may rest on a write that is not durable yet; say it only once that write is."""
        if request.method not in _READS:
            try:
                await self.context.store.settle()
            except WriteFailed as failed:
                return _answer(unavailable(failed))
        return _answer(error)


def _watching(request: Request) -> Request:
    """A request to a deprecated path of watches, as one to the collection."""
    path, name = without_watch(request.path)
    if path == request.path:
        return request
    query = {**request.query, "watch": "true"}
    if name:
        query["fieldSelector"] = f"metadata.name={name}"
    return msgspec.structs.replace(request, path=path, query=query)


def _verbs(route: Route, kind: ServedKind) -> dict[str, Verb]:
    """What can be done at this path. Raises NotFound for a subresource the kind does not have."""
    review = reviews.ON_COLLECTION.get(kind.resource)
    if review is not None and route.name:
        raise NotFound(f"{kind.qualified_plural} are answered, not stored: post one to the collection")
    if not route.name:
        return review or (_ON_COLLECTION if "deletecollection" in kind.verbs else _ON_COLLECTION_OF_ONES)
    if not route.subresource:
        return _ON_OBJECT
    if route.subresource == "status" and kind.status:
        return _ON_STATUS
    if route.subresource == "scale" and kind.scale:
        return scale.VERBS
    found = _ON_SUBRESOURCE.get((kind.resource, route.subresource))
    if found is None:
        raise NotFound(f"{kind.qualified_plural} have no subresource {route.subresource!r}")
    return found


def _answer(error: StatusError) -> Response:
    headers: tuple[tuple[str, str], ...] = ()
    if "retryAfterSeconds" in error.details:
        headers = (("Retry-After", str(error.details["retryAfterSeconds"])),)
    return Response(error.code, error.encode(), headers=headers)
