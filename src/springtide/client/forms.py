"""How objects of one kind turn into bytes and back: typed for kinds we know, dicts for the others.

A list of a typed kind is decoded in a single msgspec call; only when some object carries a field that
our types do not declare (or a null) are the items decoded one by one. Called by `collection` and `watch`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from springtide.api.meta import Object
from springtide.api.resources import Resource, resource_of
from springtide.api.struct import decode, encode_json

T = TypeVar("T")
K = TypeVar("K", bound=Object)

Untyped = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list, at one consistent `resource_version`."""

    items: list[T]
    resource_version: str = ""
    continue_: str = ""
    """Token of the next page; "" on the last one."""
    remaining_item_count: int | None = None


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """The wire form of one kind."""

    resource: Resource
    decode: Callable[[bytes], T]
    decode_list: Callable[[bytes], Listing[T]]
    encode: Callable[[T], bytes]
    address: Callable[[T], tuple[str, str]]
    """(namespace, name) of an object."""
    version: Callable[[T], str]
    """resourceVersion of an object."""
    unreadable: Callable[[str], None] | None = None
    """Told of an object that does not fit the kind and is left out; None: such an object is an error."""


class _Named(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _Identity(msgspec.Struct, frozen=True):
    metadata: _Named = _Named()


_identity = msgspec.json.Decoder(_Identity).decode


def name_of(body: bytes | msgspec.Raw) -> str:
    """`namespace/name` of an object that cannot be read otherwise."""
    try:
        metadata = _identity(body).metadata
    except msgspec.DecodeError:
        return "one without a name"
    return f"{metadata.namespace}/{metadata.name}".lstrip("/")


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")
    remaining_item_count: int | None = None


class _List(msgspec.Struct, Generic[T], frozen=True, rename="camel"):
    metadata: _ListMeta = _ListMeta()
    items: list[T] | None = None


decode_raw_list = msgspec.json.Decoder(_List[msgspec.Raw]).decode
_untyped_list = msgspec.json.Decoder(_List[Untyped])


@cache
def typed(kind: type[K]) -> Form[K]:
    """The form of a kind declared in `springtide.api`. Raises KeyError for one that was never registered."""
    quick: msgspec.json.Decoder[_List[K]] = msgspec.json.Decoder(_List[kind])  # type: ignore[valid-type]

    def decode_list(body: bytes) -> Listing[K]:
        try:
            found = quick.decode(body)
        except msgspec.ValidationError:
            raw = decode_raw_list(body)
            items = [decode(kind, bytes(item)) for item in raw.items or []]
            found = _List(metadata=raw.metadata, items=items)
        return listing_of(found.metadata, found.items)

    return Form(
        resource=resource_of(kind),
        decode=lambda body: decode(kind, body),
        decode_list=decode_list,
        encode=encode_json,
        address=lambda obj: (obj.metadata.namespace, obj.metadata.name),
        version=lambda obj: obj.metadata.resource_version,
    )


def untyped(resource: Resource) -> Form[Untyped]:
    """The form of a kind that only the server's discovery knows: plain JSON objects."""
    head = {"apiVersion": resource.api_version, "kind": resource.kind}

    def decode_list(body: bytes) -> Listing[Untyped]:
        found = _untyped_list.decode(body)
        # servers leave apiVersion and kind out of list items
        return listing_of(found.metadata, [{**head, **item} for item in found.items or []])

    def address(obj: Untyped) -> tuple[str, str]:
        metadata = obj.get("metadata") or {}
        return metadata.get("namespace", ""), metadata.get("name", "")

    return Form(
        resource=resource,
        decode=lambda body: msgspec.json.decode(body, type=Untyped),
        decode_list=decode_list,
        encode=lambda obj: msgspec.json.encode({**head, **obj}),
        address=address,
        version=lambda obj: (obj.get("metadata") or {}).get("resourceVersion", ""),
    )


def listing_of(meta: _ListMeta, items: list[T] | None) -> Listing[T]:
    """One page from its parts; Go writes null for no items."""
    return Listing(items or [], meta.resource_version, meta.continue_, meta.remaining_item_count)
