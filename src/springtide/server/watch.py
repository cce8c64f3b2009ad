"""GET of a collection with `watch=true`: every change from a revision on, as a stream of JSON lines.

A watch starts where a list ended, or with the collection as it is (`resourceVersion` unset or 0, or
`sendInitialEvents`). Bookmarks tell a watcher how far the store has moved. The stream ends after
`timeoutSeconds`, when the client goes, or when the client is too slow; then it resumes from its last version.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from springtide.server import list_options
from springtide.server.closing import Closing
from springtide.server.context import Context
from springtide.server.forms import Form, accepted, render_one
from springtide.server.kinds import ServedKind
from springtide.server.persist import in_version
from springtide.server.request import Request, Stream
from springtide.server.routes import Route
from springtide.server.selection import Selection
from springtide.server.status import Expired
from springtide.server.traffic import pieces
from springtide.store import Compacted, Event, FutureRevision, Record, Watcher, WatcherTooSlow

BOOKMARK_SECONDS = 30.0
_LONGEST_SECONDS = 3600
_CHUNK_BYTES = 64 * 1024
"""What is made ready for one watcher before it has taken what came before: many of them may be slow."""
_Line = tuple[bytes, bytes, bytes]
"""An event's line: its head, the object, its end. Objects are large, and shared by all who watch."""


@dataclass(frozen=True, slots=True)
class _Watch:
    """One watch request, parsed."""

    context: Context
    request: Request
    kind: ServedKind
    form: Form
    selection: Selection
    bookmarks: bool
    seconds: float


async def watch(context: Context, request: Request, route: Route, kind: ServedKind) -> Stream:
    """Answers 200 with a stream; a revision that is no longer kept is an ERROR event with status 410."""
    options = list_options.parse(request, watch=True)
    this = _Watch(
        context,
        request,
        kind,
        accepted(request),
        Selection(kind, route, request),
        options.bookmarks,
        options.timeout_seconds or _LONGEST_SECONDS,
    )
    start, store, with_state = options.version, context.store, options.send_initial_events
    if with_state is None:
        with_state = start == 0
    after = start if start and not with_state else store.revision
    if start > store.revision:
        return Stream(_only(_error_line(f"Too large resource version: {start}, current: {store.revision}")))
    try:
        watcher = store.watch(kind.resource, this.selection.prefix, after=after)
    except (Compacted, FutureRevision) as error:
        return Stream(_only(_error_line(str(error))))
    initial = store.page(kind.resource, this.selection.prefix).records if with_state else []
    ends_initial = with_state and options.send_initial_events is not None and options.bookmarks
    chunks = _stream(this, watcher, initial, after if ends_initial else None)
    return Stream(Closing(chunks, watcher.close))


async def _stream(
    this: _Watch, watcher: Watcher, initial: list[Record], initial_revision: int | None
) -> AsyncGenerator[bytes, None]:
    clock = this.context.clock
    ends_at = clock.monotonic() + this.seconds
    try:
        for chunk in _chunks(_line(this, "ADDED", r.value) for r in initial if this.selection.matches(r)):
            yield chunk
        if initial_revision is not None:
            yield _bookmark(this, initial_revision, initial_ends=True)
        bookmark_at = clock.monotonic() + BOOKMARK_SECONDS
        while not watcher.closed:
            events = await watcher.batch(min(ends_at, bookmark_at) - clock.monotonic())
            told = this.context.store.revision  # no event up to here waits any more
            served = this.context.kinds.find(this.kind.group, this.kind.version, this.kind.plural)
            if served is not None and served is not this.kind:  # the CRD has changed
                this = replace(this, kind=served)
            for chunk in _chunks(line for event in events if (line := _event_line(this, event)) is not None):
                yield chunk
            if served is None:
                return
            now = clock.monotonic()
            if now >= min(ends_at, bookmark_at):  # also while others' events keep it busy
                if this.bookmarks and not watcher.closed:
                    yield _bookmark(this, told)
                bookmark_at = now + BOOKMARK_SECONDS
            if now >= ends_at:
                return
    except WatcherTooSlow:
        return
    finally:
        watcher.close()


def _event_line(this: _Watch, event: Event) -> _Line | None:
    """The event as this watcher sees it: an object may enter or leave its selection while it lives."""
    record, previous = event.record, event.previous
    before = previous is not None and this.selection.matches(previous)
    if record.deleted:
        return _line(this, "DELETED", record.value) if before else None
    now = this.selection.matches(record)
    if now:
        return _line(this, "MODIFIED" if before else "ADDED", record.value)
    if before and previous is not None:
        return _line(this, "DELETED", _at_revision(previous, record.revision))
    return None


_HEADS = {type_: b'{"type":"%b","object":' % type_.encode() for type_ in ("ADDED", "MODIFIED", "DELETED")}


def _line(this: _Watch, type_: str, value: bytes) -> _Line:
    value = in_version(value, this.kind)
    if this.form is not Form.JSON:
        value = render_one(this.form, this.kind, value, this.context.now(), this.request)
    return _HEADS[type_], value, b"}\n"


def _bookmark(this: _Watch, revision: int, *, initial_ends: bool = False) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if initial_ends:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    if this.form is Form.TABLE:
        head = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": [], "rows": []}
    else:
        head = {"kind": this.kind.kind, "apiVersion": this.kind.api_version}
    return msgspec.json.encode({"type": "BOOKMARK", "object": {**head, "metadata": metadata}}) + b"\n"


def _at_revision(record: Record, revision: int) -> bytes:
    obj = msgspec.json.decode(record.value)
    obj["metadata"]["resourceVersion"] = str(revision)
    return msgspec.json.encode(obj)


def _error_line(why: str) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": Expired(why).status()}) + b"\n"


async def _only(line: bytes) -> AsyncGenerator[bytes, None]:
    yield line


def _chunks(lines: Iterable[_Line]) -> Iterator[bytes]:
    """Lines gathered into pieces worth one write to a socket each; a long line is several."""
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        length = len(line[1])
        if gathered and size + length > _CHUNK_BYTES:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
        if length <= _CHUNK_BYTES:
            gathered += line
            size += length
        else:
            yield line[0]
            yield from pieces(line[1])
            gathered.append(line[2])
    if gathered:
        yield b"".join(gathered)
