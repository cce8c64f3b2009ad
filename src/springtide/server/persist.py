"""The last step of every write: stamp the revision, encode once, hand to the store, wait until it is durable.

Called by the create, update and delete verbs, always in the same event-loop step in which they read the
latest state: nothing else can have been written in between, so no write is ever lost or silently
overwritten.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.status import InsufficientStorage, NotFound, ServiceUnavailable, TooLarge
from springtide.store import ObjectTooLarge, Record, SpaceExceeded, WriteFailed

Json = dict[str, Any]


def key_of(kind: ServedKind, namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if kind.namespaced else name


def latest(context: Context, kind: ServedKind, namespace: str, name: str) -> Record:
    """The state a write builds on. Raises NotFound."""
    record = context.store.latest(kind.resource, key_of(kind, namespace, name))
    if record is None:
        raise not_found(kind, name)
    return record


def not_found(kind: ServedKind, name: str) -> NotFound:
    return NotFound(
        f'{kind.qualified_plural} "{name}" not found', name=name, group=kind.group, kind=kind.plural
    )


def decode(record: Record, kind: ServedKind) -> Json:
    """The object of a record, in the version of `kind`."""
    obj: Json = msgspec.json.decode(record.value)
    if kind.conversion is not None:
        obj = kind.conversion.from_stored(obj)
    obj["apiVersion"] = kind.api_version
    if kind.on_read is not None:
        kind.on_read(obj)
    return obj


def in_version(value: bytes, kind: ServedKind) -> bytes:
    """Stored bytes as served in the version of `kind`; the bytes themselves for the stored version."""
    if kind.api_version == kind.stored_api_version and kind.on_read is None:
        return value
    obj: Json = msgspec.json.decode(value)
    if kind.conversion is not None:
        obj = kind.conversion.from_stored(obj)
    obj["apiVersion"] = kind.api_version
    if kind.on_read is not None:
        kind.on_read(obj)
    return msgspec.json.encode(obj)


async def persist(
    context: Context, kind: ServedKind, obj: Json, *, expected: int, deleted: bool = False
) -> bytes:
    """Write `obj` as the revision after `expected` (0: it is new); returns its JSON once durable."""
    store, metadata = context.store, obj["metadata"]
    metadata["resourceVersion"] = str(store.next_revision)
    if obj["apiVersion"] != kind.stored_api_version:
        obj = kind.conversion.to_stored(obj) if kind.conversion is not None else obj
        obj = {**obj, "apiVersion": kind.stored_api_version}
        if kind.on_store is not None:
            kind.on_store(obj)
    key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
    try:
        written = store.write(
            kind.resource,
            key,
            msgspec.json.encode(obj),
            expected=expected,
            deleted=deleted,
            frees="deletionTimestamp" in metadata,
        )
        context.admission.accepted(kind.resource, obj, context, deleted=deleted)
        record = await written
    except ObjectTooLarge as error:
        raise TooLarge(f"Request entity too large: {error}") from error
    except SpaceExceeded as error:
        raise InsufficientStorage(str(error)) from error
    except WriteFailed as error:
        context.admission.lost(context)
        raise unavailable(error) from error
    kind.strategy.after_write(obj, context, deleted=deleted)
    return in_version(record.value, kind)


def unavailable(error: WriteFailed) -> ServiceUnavailable:
    hint = f"; {error.hint}" if error.hint else ""
    return ServiceUnavailable(f"the write was not stored: {error}{hint}", retry_after_seconds=1)
