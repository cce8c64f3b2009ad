"""A tiny API server in memory, as a scriptable transport: the fake of all client and runtime tests.

It stores dicts, counts resourceVersions, lists in pages and streams watches; and it misbehaves on request:
outages, broken or silent watches, swallowed events, compaction, slow answers, scripted answers.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from springtide.client import Request, Response, Unreachable, error_from_response

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What a path addresses."""

    plural: str
    namespace: str
    name: str
    subresource: str


@dataclass
class Change:
    version: int
    plural: str
    type: str
    obj: Json


@dataclass
class FakeApi:
    """A Transport. Every field may be changed at any time."""

    latency_seconds: float = 0.0
    """How long each answer takes (watch events are immediate)."""
    down: bool = False
    """Refuse every request."""
    script: deque[Callable[[Request], Response | None]] = field(default_factory=deque)
    """Each answers one request in place of the server; None lets the server answer."""
    swallow: int = 0
    """Lose so many of the next watch events, as a faulty proxy would."""
    requests: list[Request] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self.version = 0
        self.compacted = 0
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.history: list[Change] = []
        self._snapshots: dict[str, tuple[int, list[Json]]] = {}
        self._changed = asyncio.Event()
        self._forgotten = 0
        self._cuts = 0
        self._ends = 0

    # -- the world behind the API --------------------------------------------------------------------

    def put(self, plural: str, obj: Json) -> Json:
        """Create or replace an object, as someone else would."""
        self.version += 1
        metadata = obj["metadata"]
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        old = self.objects.get(key)
        uid = metadata.get("uid") or (old["metadata"]["uid"] if old else f"uid-{self.version}")
        stored = {**obj, "metadata": {**metadata, "uid": uid, "resourceVersion": str(self.version)}}
        self.objects[key] = stored
        self._happen(plural, "MODIFIED" if old else "ADDED", stored)
        return stored

    def remove(self, plural: str, namespace: str, name: str) -> Json:
        """Delete an object, as someone else would."""
        self.version += 1
        old = self.objects.pop((plural, namespace, name))
        gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
        self._happen(plural, "DELETED", gone)
        return gone

    def bookmark(self, plural: str, kind: str, api_version: str = "v1") -> None:
        """Send a bookmark at the current version to the watches of a kind."""
        obj = {"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": str(self.version)}}
        self._happen(plural, "BOOKMARK", obj)

    def compact(self) -> None:
        """Forget all history: older resourceVersions answer 410."""
        self.compacted = self.version
        self._forgotten += len(self.history)
        self.history.clear()

    def cut_watches(self) -> None:
        """Break all open watches in the middle."""
        self._cuts += 1
        self._wake()

    def end_watches(self) -> None:
        """End all open watches politely."""
        self._ends += 1
        self._wake()

    def keys(self, plural: str) -> set[str]:
        """`namespace/name` of all objects of a kind."""
        return {f"{ns}/{name}" if ns else name for kind, ns, name in self.objects if kind == plural}

    def _happen(self, plural: str, type_: str, obj: Json) -> None:
        if self.swallow and type_ != "BOOKMARK":
            self.swallow -= 1
        else:
            self.history.append(Change(self.version, plural, type_, obj))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- the transport ---------------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        await asyncio.sleep(self.latency_seconds)
        if self.down:
            raise Unreachable("fake: down")
        if self.script and (scripted := self.script.popleft()(request)) is not None:
            return scripted
        target = _target(request.path)
        if request.method == "GET":
            return self._read(target, request)
        return self._write(target, request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._stream(request)

    async def close(self) -> None:
        self.closed = True

    @asynccontextmanager
    async def _stream(self, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        self.requests.append(request)
        if self.down:
            raise Unreachable("fake: down")
        if self.script and (scripted := self.script.popleft()(request)) is not None:
            raise error_from_response(scripted.status, scripted.body)
        yield self._watch(_target(request.path), request)

    async def _watch(self, target: Target, request: Request) -> AsyncIterator[bytes]:
        after = int(request.query["resourceVersion"])
        if after < self.compacted:
            yield _line("ERROR", _status(410, "Expired", "too old resource version"))
            return
        cuts, ends = self._cuts, self._ends
        until = asyncio.get_running_loop().time() + float(request.query["timeoutSeconds"])
        position = self._forgotten + sum(change.version <= after for change in self.history)
        while True:
            if position < self._forgotten:  # compacted before it was delivered
                yield _line("ERROR", _status(410, "Expired", "too old resource version"))
                return
            while position < self._forgotten + len(self.history):
                change = self.history[position - self._forgotten]
                position += 1
                if change.plural == target.plural and _inside(target, change.obj):
                    yield _line(change.type, change.obj)
            if self._cuts != cuts:
                raise Unreachable("fake: the connection broke")
            if self._ends != ends:
                return
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _read(self, target: Target, request: Request) -> Response:
        if target.name:
            found = self.objects.get((target.plural, target.namespace, target.name))
            return _answer(found) if found else _failure(404, "NotFound", f"{target.name} not found")
        token, limit = request.query.get("continue", ""), int(request.query.get("limit", "0"))
        version, items = self._snapshots.pop(token) if token else (self.version, self._all(target))
        if version < self.compacted:
            return _failure(410, "Expired", "the continue token is too old")
        page, rest = (items[:limit], items[limit:]) if limit else (items, [])
        metadata = {"resourceVersion": str(version)}
        if rest:
            metadata["continue"] = f"{version}-{len(rest)}"
            self._snapshots[metadata["continue"]] = (version, rest)
        return _answer({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page})

    def _all(self, target: Target) -> list[Json]:
        return [
            obj
            for (plural, _, _), obj in sorted(self.objects.items())
            if plural == target.plural and _inside(target, obj)
        ]

    def _write(self, target: Target, request: Request) -> Response:
        body: Json = json.loads(request.body) if request.body else {}
        key = (target.plural, target.namespace, target.name)
        old = self.objects.get(key)
        match request.method:
            case "POST" if target.subresource == "binding":
                assert old is not None
                self.put(
                    target.plural,
                    {**old, "spec": {**old.get("spec", {}), "nodeName": body["target"]["name"]}},
                )
                return _answer({"kind": "Status", "status": "Success"}, 201)
            case "POST":
                name = body["metadata"]["name"]
                if (target.plural, target.namespace, name) in self.objects:
                    return _failure(409, "AlreadyExists", f"{target.plural} {name!r} already exists")
                return _answer(self.put(target.plural, body), 201)
            case _ if old is None:
                return self._absent(target, request, body)
            case "DELETE":
                uid = body.get("preconditions", {}).get("uid", "")
                if uid and uid != old["metadata"]["uid"]:
                    return _failure(409, "Conflict", "the UID in the precondition does not match")
                self.remove(*key)
                return _answer({"kind": "Status", "status": "Success"})
            case "PUT":
                version = body["metadata"].get("resourceVersion", "")
                if version and version != old["metadata"]["resourceVersion"]:
                    return _failure(409, "Conflict", "the object has been modified")
                return _answer(self.put(target.plural, body))
            case _:
                return self._patch(target, body, old)

    def _absent(self, target: Target, request: Request, body: Json) -> Response:
        applying = "apply-patch" in request.headers.get("content-type", "")
        if not applying or target.subresource:
            return _failure(404, "NotFound", f"{target.name} not found")
        if body["metadata"].get("uid"):
            return _failure(409, "Conflict", "uid mismatch: no existing object was found")
        return _answer(self.put(target.plural, body), 201)

    def _patch(self, target: Target, body: Json, old: Json) -> Response:
        uid = body.get("metadata", {}).get("uid", "")
        if uid and uid != old["metadata"]["uid"]:
            return _failure(409, "Conflict", "uid mismatch")
        merged = _merge(old, body)
        return _answer(old if merged == old else self.put(target.plural, merged))


def _target(path: str) -> Target:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = [*parts, "", ""][:3]
    return Target(plural, namespace, name, subresource)


def _inside(target: Target, obj: Json) -> bool:
    return not target.namespace or obj["metadata"].get("namespace", "") == target.namespace


def _merge(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    return {**old, **{name: _merge(old.get(name), value) for name, value in patch.items()}}


def _line(type_: str, obj: Json) -> bytes:
    return json.dumps({"type": type_, "object": obj}).encode() + b"\n"


def _status(code: int, reason: str, message: str) -> Json:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _answer(obj: Json, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(obj).encode())


def _failure(code: int, reason: str, message: str) -> Response:
    return _answer(_status(code, reason, message), code)


def failing(
    code: int, reason: str = "", message: str = "", **headers: str
) -> Callable[[Request], Response | None]:
    """A script entry that answers with this failure."""
    body = json.dumps(_status(code, reason, message)).encode()
    return lambda _: Response(code, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def answering(body: Json) -> Callable[[Request], Response | None]:
    """A script entry that answers with this body."""
    return lambda _: _answer(body)


def config_map(name: str, namespace: str = "default", **data: str) -> Json:
    """A ConfigMap as JSON."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
