"""The audit log: who asked for what, from where, and how it was answered. One JSON object a line.

    <data folder>/audit/audit.log, audit.log.1 …   newest first, each up to `max_bytes`

Events have the shape of `audit.k8s.io/v1` Event, which other programs read. `Server` hands over each answered
request; a few times a second a thread writes what has come, so that no request waits for the disk. What that
thread cannot keep up with is dropped and counted in `springtide_server_audit_dropped_total`. Bodies of
Secrets and of anything that carries tokens are never written, whatever the policy says.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from prometheus_client import Counter

from springtide.runtime.log import logger
from springtide.server.audit_policy import Choice, Level, Policy, status_of
from springtide.server.authorize import attributes_of
from springtide.server.rbac_rules import Attributes
from springtide.server.request import Answer, Request, Response, Upgrade, User
from springtide.server.routes import parse, without_watch

Json = dict[str, Any]

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._:-]*")
_FLUSH_SECONDS = 0.25
_WAITING, _WAITING_BYTES = 20_000, 64 * 1024 * 1024
"""Events that may wait for the disk: a policy may ask for whole bodies, and those are large."""
_SECRET = frozenset(("secrets", "serviceaccounts/token", "tokenreviews"))
_dropped = Counter("springtide_server_audit_dropped_total", "Audit events that were not written")

log = logger("server.audit")


class _ObjectRef(msgspec.Struct, omit_defaults=True, rename="camel"):
    """What a request is about; parts that it does not name are left out."""

    resource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""
    api_version: str = ""
    subresource: str = ""


class _Event(msgspec.Struct, rename="camel", kw_only=True, tag_field="kind", tag="Event"):
    """`audit.k8s.io/v1` Event. Every write makes one, so what repeats is JSON already."""

    api_version: str = "audit.k8s.io/v1"
    level: str
    audit_id: str = msgspec.field(name="auditID")
    stage: str
    request_uri: str = msgspec.field(name="requestURI")
    verb: str
    user: msgspec.Raw
    impersonated_user: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    source_ips: tuple[str, ...] = msgspec.field(name="sourceIPs")
    user_agent: str
    object_ref: _ObjectRef | msgspec.UnsetType = msgspec.UNSET
    response_status: msgspec.Raw
    request_object: Any = msgspec.UNSET
    response_object: Any = msgspec.UNSET
    request_received_timestamp: datetime | str
    stage_timestamp: datetime | str
    annotations: msgspec.Raw


_FORBIDDEN = msgspec.Raw(b'{"authorization.k8s.io/decision":"forbid"}')
_ALLOWED = msgspec.Raw(b'{"authorization.k8s.io/decision":"allow"}')


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the log is, and how large it gets."""

    folder: Path
    """Folder of the files; made if missing."""
    policy: Policy = field(default_factory=Policy)
    """What is written."""
    max_bytes: int = 64 * 1024 * 1024
    """Size from which on a file is put aside."""
    keep: int = 4
    """Files put aside that are kept."""


class AuditLog:
    """Writes events until `close`. Used on one event loop."""

    def __init__(self, settings: AuditSettings) -> None:
        self._settings = settings
        self._policy = settings.policy
        settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lines: list[bytes] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._lock = threading.Lock()

    def note(
        self,
        request: Request,
        acting: User,
        answer: Answer,
        *,
        audit_id: str,
        received: datetime,
        now: datetime,
    ) -> None:
        """Keep a request that was answered; `acting` is whom it counted for, its own user who sent it."""
        code = 101 if isinstance(answer, Upgrade) else answer.status
        if self._policy.ignores(request, code):
            return
        stage = "ResponseComplete" if isinstance(answer, Response) else "ResponseStarted"
        sender, path = request.user, request.path
        wanted = attributes_of(request, parse(without_watch(path)[0] if "/watch/" in path else path))
        choice = self._policy.choose(sender, wanted, code)
        level = choice.level
        if level is Level.NONE or stage in choice.omitted:
            return
        event = _Event(
            level=level.text,
            audit_id=audit_id,
            stage=stage,
            request_uri=_uri(request),
            verb=wanted.verb,
            user=_user(sender),
            source_ips=(request.remote,) if request.remote else (),
            user_agent=request.headers.get("user-agent", ""),
            response_status=_failure(answer, code) if code >= 400 else _success(code),
            request_received_timestamp=_micro(received),
            stage_timestamp=_micro(now),
            annotations=_FORBIDDEN if code in (401, 403) else _ALLOWED,
        )
        if acting is not sender:
            event.impersonated_user = _user(acting)
        if wanted.resource:
            event.object_ref = _object(wanted)
        if level >= Level.REQUEST and wanted.whole_resource not in _SECRET:
            _add_bodies(event, request, answer, choice)
        self._put(msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
        lines = self._taken()
        if lines:
            self._write(lines)

    def _put(self, line: bytes) -> None:
        if len(self._lines) >= _WAITING or self._bytes >= _WAITING_BYTES:
            _dropped.inc()
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """Hand what waits to a thread, unless it is still busy with the last batch."""
        loop = asyncio.get_running_loop()
        if self._writing is not None and not self._writing.done():
            self._timer = loop.call_later(_FLUSH_SECONDS, self._flush)
            return
        self._timer = None
        self._writing = loop.run_in_executor(None, self._write, self._taken())

    def _taken(self) -> list[bytes]:
        """What waits, to be written now."""
        lines, self._lines, self._bytes = self._lines, [], 0
        return lines

    def _write(self, lines: list[bytes]) -> None:
        file = self._settings.folder / "audit.log"
        with self._lock:
            try:
                if file.exists() and file.stat().st_size >= self._settings.max_bytes:
                    self._put_aside(file)
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "ab") as out:
                    out.write(b"".join(lines))
            except OSError as error:
                _dropped.inc(len(lines))
                log.error("audit events lost", file=str(file), events=len(lines), error=str(error))

    def _put_aside(self, file: Path) -> None:
        for number in range(self._settings.keep, 0, -1):
            older = file.with_name(f"{file.name}.{number}")
            newer = file if number == 1 else file.with_name(f"{file.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)


def _uri(request: Request) -> str:
    path = request.path
    if _PLAIN_PATH.fullmatch(path) is None:
        path = quote(path, safe="/:@!$&'()*+,;=~")
    return f"{path}?{request.raw_query}" if request.raw_query else path


@lru_cache(maxsize=512)
def _user(user: User) -> msgspec.Raw:
    """UserInfo; the same users ask again and again."""
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra}
    return _raw(info)


def _object(wanted: Attributes) -> _ObjectRef:
    return _ObjectRef(
        wanted.resource, wanted.namespace, wanted.name, wanted.group, wanted.version, wanted.subresource
    )


@lru_cache(maxsize=16)
def _success(code: int) -> msgspec.Raw:
    return _raw({"metadata": {}, "code": code})


def _failure(answer: Answer, code: int) -> msgspec.Raw:
    if isinstance(answer, Response):
        try:
            status = status_of(msgspec.json.decode(answer.body, type=dict[str, Any]))
            return _raw({"metadata": {}, **status})
        except msgspec.MsgspecError:
            pass
    return _raw({"metadata": {}, "code": code})


def _add_bodies(event: _Event, request: Request, answer: Answer, choice: Choice) -> None:
    if request.body and request.media_type.endswith("json"):
        event.request_object = _json(request.body)
    whole = choice.level is Level.REQUEST_RESPONSE
    if whole and isinstance(answer, Response) and answer.body.startswith(b"{"):
        event.response_object = _json(answer.body)
    if choice.omit_managed_fields:
        for part in (event.request_object, event.response_object):
            _forget_managed_fields(part)


def _forget_managed_fields(obj: Any) -> None:
    """Of an object, or of every item of a list, in place."""
    if not isinstance(obj, dict):
        return
    items = obj.get("items")
    for one in (obj, *(items if isinstance(items, list) else ())):
        metadata = one.get("metadata") if isinstance(one, dict) else None
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)


def _json(body: bytes) -> Any:
    """The body as it is, if it is JSON."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None


def _raw(value: Json) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _micro(moment: datetime) -> datetime | str:
    """`metav1.MicroTime` of a time in UTC; a Struct writes it so by itself, unless the fraction is zero."""
    return moment if moment.microsecond else f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"
