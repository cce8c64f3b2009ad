"""A server over a log in memory, and a short way to ask it: what every test of this folder drives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from springtide.runtime.clock import LoopClock
from springtide.server import ADMIN, LogSource, Request, Response, Server, SigningKeys, Stream, User
from springtide.server.flow import Limits
from springtide.store import History, MemoryLog, Store

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

PODS = "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GADGETS = "/apis/example.dev/v1/namespaces/default/gadgets"


class Answer:
    """What came back."""

    def __init__(self, response: Response) -> None:
        self.status, self.warnings, self.body = response.status, response.warnings, response.body
        self.headers = dict(response.headers)

    @property
    def json(self) -> Json:
        decoded: Json = msgspec.json.decode(self.body)
        return decoded

    @property
    def version(self) -> str:
        return str(self.json["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.json["items"]]

    @property
    def refusal(self) -> tuple[int, str]:
        assert self.json["kind"] == "Status", self.json
        return self.status, str(self.json["reason"])

    @property
    def wrong_fields(self) -> list[str]:
        return [cause["field"] for cause in self.json["details"]["causes"]]


class Api:
    """Asks one server."""

    def __init__(self, server: Server, store: Store, log: MemoryLog) -> None:
        self.server, self.store, self.log = server, store, log

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        media_type: str = "application/json",
        accept: str = "application/json",
        agent: str = "tester/1.0",
        user: User = ADMIN,
    ) -> Answer:
        response = await self.server.handle(
            self._request(method, path, body, query or {}, media_type, accept, agent, user)
        )
        assert isinstance(response, Response)
        return Answer(response)

    async def get(self, path: str, **query: str) -> Answer:
        return await self.ask("GET", path, query=query)

    async def post(self, path: str, body: Any, **query: str) -> Answer:
        return await self.ask("POST", path, body, query=query)

    async def put(self, path: str, body: Any, **query: str) -> Answer:
        return await self.ask("PUT", path, body, query=query)

    async def patch(self, path: str, body: Any, media_type: str = MERGE, **query: str) -> Answer:
        return await self.ask("PATCH", path, body, media_type=media_type, query=query)

    async def delete(self, path: str, body: Any = None, **query: str) -> Answer:
        return await self.ask("DELETE", path, body, query=query)

    async def watch(
        self, path: str, *, seconds: int = 1, accept: str = "application/json", **query: str
    ) -> list[Json]:
        """All events until the watch ends after `seconds`."""
        request = self._request(
            "GET",
            path,
            None,
            {"watch": "true", "timeoutSeconds": str(seconds), **query},
            "application/json",
            accept,
            "tester",
            ADMIN,
        )
        stream = await self.server.handle(request)
        assert isinstance(stream, Stream), stream
        data = b"".join([chunk async for chunk in stream.chunks])
        return [msgspec.json.decode(line) for line in data.splitlines()]

    def _request(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str],
        media_type: str,
        accept: str,
        agent: str,
        user: User,
    ) -> Request:
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"content-type": media_type, "accept": accept, "user-agent": agent}
        return Request(method, path, query, headers, data, user)


@asynccontextmanager
async def serving(
    log: MemoryLog | None = None,
    *,
    history: History | None = None,
    log_source: LogSource | None = None,
    signing_keys: SigningKeys | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Api]:
    """A started server; on `log` if given, so that a test can restart it."""
    clock, log = LoopClock(seed=7), log or MemoryLog()
    store = Store(log, monotonic=clock.monotonic, history=history)
    server = Server(store, clock=clock, log_source=log_source, signing_keys=signing_keys, limits=limits)
    await server.start()
    try:
        yield Api(server, store, log)
    finally:
        await store.close()


def configmap(name: str, /, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, /, *, labels: dict[str, str] | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": [{"name": "main", "image": "busybox:1.36"}], **spec},
    }


def gadget_crd(**changes: Any) -> Json:
    """A CRD with a default, a required field, a status subresource, scale and a printer column."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        "selectableFields": [{"jsonPath": ".spec.color"}],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.dev"},
        "spec": {
            "group": "example.dev",
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]},
            "versions": [version],
            **changes,
        },
    }


def gadget(name: str, /, size: Any = 1, **spec: Any) -> Json:
    return {
        "apiVersion": "example.dev/v1",
        "kind": "Gadget",
        "metadata": {"name": name},
        "spec": {"size": size, **spec},
    }
