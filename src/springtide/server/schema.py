"""The schema of a kind, ready for work: default, prune, validate, and say how lists and maps merge.

Built once per kind (built-in or CRD version) and used on every write: by the create, update and patch
verbs, by server-side apply and by strategic merge patch. The source is a structural OpenAPI v3 schema
(Kubernetes' `x-kubernetes-*` extensions included); `$ref`s are looked up in the definitions given.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from springtide.server.schema_meta import with_object_fields
from springtide.server.schema_rules import (
    BLOCKING,
    INVALID,
    QUANTITY,
    REQUIRED,
    SECONDS,
    Check,
    Enough,
    Faults,
    FieldError,
    Path,
    compile_rules,
    has_rules,
)
from springtide.server.status import TooLarge

if TYPE_CHECKING:
    from springtide.server.cel_rules import RuleTree

__all__ = ["FieldError", "Schema"]

ListType = Literal["atomic", "set", "map"]
_MISSING = object()
_CONTAINERS = (dict, list)
_NOTHING: Mapping[str, Any] = {}
_NOT_CHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)

_MOST_DEFAULTED_BYTES = 3 * 1024 * 1024
"""As much as a body may have: a long default in each item of a long list makes a thousand times that."""

_LOOSE_SCALARS: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": QUANTITY},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True},
}
"""Types that OpenAPI documents call strings although their JSON may be a number."""


class Schema:
    """One node of a schema, with its children. The root describes a whole object.

    `null_is_absent` is how built-in kinds read JSON null for any field; CRD kinds take null only where
    the schema says `nullable` (or drop it where the field has a default).
    """

    __slots__ = (
        "_checks",
        "_defaults",
        "_has_defaults",
        "_own_rules",
        "_tree",
        "_types",
        "_unwritten",
        "additional",
        "items",
        "key_defaults",
        "list_map_keys",
        "list_type",
        "map_atomic",
        "open",
        "patch_merge_key",
        "patch_strategies",
        "properties",
        "source",
    )

    properties: dict[str, Schema]
    """Declared fields of an object."""
    additional: Schema | None
    """What an undeclared key of a map holds."""
    items: Schema | None
    """What a list holds."""
    open: bool
    """Whether undeclared keys are kept as they are (`x-kubernetes-preserve-unknown-fields`, no type)."""
    list_type: ListType
    list_map_keys: tuple[str, ...]
    key_defaults: tuple[tuple[str, Any], ...]
    """The keys of a list-map in alphabetical order, with what an item that leaves one out means."""
    map_atomic: bool
    patch_merge_key: str
    """The one key by which strategic merge patch matches list items; empty: the list is not matched."""
    patch_strategies: frozenset[str]
    """Of strategic merge patch: merge, replace, retainKeys."""

    def __init__(
        self,
        source: Mapping[str, Any],
        definitions: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        null_is_absent: bool = False,
    ) -> None:
        types = _Types(definitions or {}, null_is_absent)
        self._take(with_object_fields(types.resolve(source)), types)

    def _take(self, source: Mapping[str, Any], types: _Types) -> None:
        if source.get("x-kubernetes-embedded-resource"):
            source = with_object_fields(source)
        self.source, self._types = source, types
        self._has_defaults: bool | None = None

    def __getattr__(self, name: str) -> Any:
        """A slot that is empty yet: nodes are read from their source when an object first reaches them,
        as most fields of most kinds never occur."""
        if name in _OF_RULES:
            self._compile(self.source)
        elif name in _OF_FIELDS:
            self._read(self.source, self._types)
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, name)

    def _compile(self, source: Mapping[str, Any]) -> None:
        own = {key: source[key] for key in source.keys() - {"properties", "additionalProperties"}}
        self._own_rules: Check = compile_rules(own, self._types.rules)
        self._checks: dict[str, Check] = {}
        self._tree: RuleTree | None = None
        if not self._types.null_is_absent and has_rules(source):
            from springtide.server.cel_rules import (
                RuleTree,
            )  # CEL is loaded with the first schema that has rules

            self._tree = RuleTree(source)

    def _read(self, source: Mapping[str, Any], types: _Types) -> None:
        self.properties = {key: types.node(child) for key, child in source.get("properties", {}).items()}
        self._defaults = [
            (key, _copier(child.source["default"], types))
            for key, child in self.properties.items()
            if "default" in child.source
        ]
        self._unwritten = frozenset(_unwritten(self.properties, source) if types.null_is_absent else ())
        extra = source.get("additionalProperties")
        self.additional = types.node(extra) if isinstance(extra, Mapping) and extra else None
        untyped = "type" not in source and "properties" not in source
        self.open = bool(source.get("x-kubernetes-preserve-unknown-fields") or untyped or extra in (True, {}))
        self.items = types.node(source["items"]) if isinstance(source.get("items"), Mapping) else None
        self.list_type = source.get("x-kubernetes-list-type", "atomic")
        self.list_map_keys = tuple(source.get("x-kubernetes-list-map-keys", ()))
        keyed = types.resolve(source["items"]).get("properties", {}) if self.list_map_keys else {}
        self.key_defaults = tuple(
            (key, keyed.get(key, {}).get("default")) for key in sorted(self.list_map_keys)
        )
        self.map_atomic = source.get("x-kubernetes-map-type") == "atomic"
        self.patch_merge_key = source.get("x-kubernetes-patch-merge-key", "")
        strategy = source.get("x-kubernetes-patch-strategy", "")
        self.patch_strategies = frozenset(filter(None, strategy.split(",")))

    @property
    def null_is_absent(self) -> bool:
        """Whether this is a built-in kind's, which Go's types hold."""
        return self._types.null_is_absent

    def child(self, key: str) -> Schema | None:
        """The schema of a key: declared, or that of the map's values; None where nothing is known."""
        return self.properties.get(key, self.additional)

    def default(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fill in defaults, in place, at every depth that exists; returns `obj`.

        Parts that it shares with `old`, the stored object it was made from, have theirs and are passed by.
        """
        if not self._types.null_is_absent and b":null" in msgspec.json.encode(obj):
            self._drop_nulls(obj)
        self._types.defaulted_bytes = 0
        if self._types.null_is_absent or self.has_defaults:
            self._default(obj, old)
        return obj

    def _drop_nulls(self, value: Any) -> None:
        """Take away null where a schema does not allow it; a default may come in its place."""
        if isinstance(value, list) and self.items is not None:
            for item in value:
                self.items._drop_nulls(item)
        if not isinstance(value, dict):
            return
        for key in list(value):
            child = self.child(key)
            if child is None:
                continue
            if value[key] is None and not child.source.get("nullable"):
                del value[key]
            elif isinstance(value[key], _CONTAINERS):
                child._drop_nulls(value[key])

    @property
    def has_defaults(self) -> bool:
        """Whether a default stands anywhere below (recursive types count as if)."""
        if self._has_defaults is None:
            self._has_defaults = True  # met again below: a recursive type
            children = [*self.properties.values(), self.additional, self.items]
            below = any(child is not None and child.has_defaults for child in children)
            self._has_defaults = below or bool(self._defaults)
        return self._has_defaults

    def unknown_fields(self, obj: Any) -> list[str]:
        """Dotted paths of the fields that the schema does not declare and would prune."""
        found: list[str] = []
        self._prune(obj, "", found, remove=False)
        return found

    def prune(self, obj: Any, old: Any = None) -> list[str]:
        """Remove undeclared fields, in place; returns dotted paths. What is shared with `old` has none."""
        found: list[str] = []
        self._prune(obj, "", found, remove=True, old=old)
        return found

    def validate(self, obj: Any, old: Any = None) -> list[FieldError]:
        """Every broken rule. With `old`, faults in parts that did not change are let through (ratcheting),
        so that a schema that became stricter does not freeze the objects it finds; and what the schema
        calls immutable must be as it was."""
        ends = math.inf if self._types.null_is_absent else time.thread_time() + SECONDS
        equal: dict[tuple[int, int], bool] = {}
        errors = Faults(ends, None if old is None else lambda one: self._unchanged(one, old, obj, equal))
        try:
            self._own_rules(obj, None, errors)
            for key, value in obj.items() if isinstance(obj, dict) else ():
                if old is None or old.get(key, _MISSING) != value:
                    self._field_rules(key)(value, (None, key), errors)
        except Enough as end:
            return [*errors, *end.faults]
        if self._tree is not None and isinstance(obj, dict):
            self._run_rules(self._tree, obj, old, errors)
        return errors

    def _run_rules(self, tree: RuleTree, obj: dict[str, Any], old: Any, errors: list[FieldError]) -> None:
        """Rules are run on what has its right types and sizes only: else they have nothing useful to say."""
        if any(error.reason in BLOCKING for error in errors):
            errors.append(FieldError(INVALID, "<nil>", _NOT_CHECKED))
        else:
            tree.check(obj, old, errors)

    def _unchanged(self, error: FieldError, old: Any, new: Any, equal: dict[tuple[int, int], bool]) -> bool:
        """Whether the part that an error is about, or one that holds it, is as it was.
        `equal` remembers what was compared, by identity."""

        def same() -> bool:
            if not isinstance(new, _CONTAINERS):
                return bool(old == new)
            key = (id(old), id(new))
            if key not in equal:
                equal[key] = bool(old == new)
            return equal[key]

        tokens = error.tokens[:-1] if error.reason == REQUIRED else error.tokens
        node: Schema | None = self
        for token in tokens:
            if same():
                return True
            if isinstance(token, int):
                old, new = _was_item(node, old, new, token), new[token]
                node = node.items if node is not None else None
            else:
                old = old.get(token, _MISSING) if isinstance(old, dict) else _MISSING
                new = new.get(token, _MISSING) if isinstance(new, dict) else _MISSING
                node = node.child(token) if node is not None else None
            if old is _MISSING or new is _MISSING:
                return False
        return same()

    def _field_rules(self, key: str) -> Check:
        """The check of one field and all below it, compiled when the field is first seen."""
        declared = self.source.get("properties", {})
        name = key if key in declared else ""
        if name not in self._checks:
            child = declared.get(name, self.source.get("additionalProperties"))
            self._checks[name] = compile_rules(child if isinstance(child, Mapping) else {}, self._types.rules)
        return self._checks[name]

    def _default(self, value: Any, old: Any = None) -> None:
        if isinstance(value, dict):
            self._default_fields(value, old if isinstance(old, dict) else _NOTHING)
        elif isinstance(value, list) and self.items is not None and self._descends(self.items):
            for item in value:
                self.items._default(item)

    def _default_fields(self, value: dict[str, Any], old: Mapping[str, Any]) -> None:
        for key, make in self._defaults:
            found = value.get(key, _MISSING)
            if found is _MISSING or (found is None and not self.properties[key].source.get("nullable")):
                value[key] = make()
        if self._types.null_is_absent and None in value.values():
            texts = self.additional is not None and self.additional.source.get("type") == "string"
            for key in [key for key, member in value.items() if member is None and self.child(key)]:
                if texts and key not in self.properties:
                    value[key] = ""  # what Go's maps of strings make of it
                else:
                    del value[key]
        if self._unwritten and not all(value.values()):
            for key in [key for key, member in value.items() if not member and key in self._unwritten]:
                if isinstance(value[key], _CONTAINERS):
                    del value[key]
        for key, member in value.items():
            if isinstance(member, _CONTAINERS) and member is not (was := old.get(key)):
                child = self.properties.get(key, self.additional)
                if child is not None and self._descends(child):
                    child._default(member, was)

    def _descends(self, child: Schema) -> bool:
        return self._types.null_is_absent or child.has_defaults

    def _prune(self, value: Any, where: str, found: list[str], *, remove: bool, old: Any = None) -> None:
        if isinstance(value, dict):
            known: Mapping[str, Any] = old if isinstance(old, dict) else _NOTHING
            unknown: list[str] = []
            for key, member in value.items():
                child = self.properties.get(key, self.additional)
                if child is None:
                    if not self.open:
                        unknown.append(key)
                elif isinstance(member, _CONTAINERS) and member is not (was := known.get(key)):
                    child._prune(member, f"{where}.{key}" if where else key, found, remove=remove, old=was)
            if unknown and self._takes_keys():
                for key in unknown:
                    found.append(f"{where}.{key}" if where else key)
                    if remove:
                        del value[key]
        elif isinstance(value, list) and self.items is not None:
            for index, item in enumerate(value):
                if isinstance(item, _CONTAINERS):
                    self.items._prune(item, f"{where}[{index}]", found, remove=remove)

    def _takes_keys(self) -> bool:
        """An object where the schema wants another type is a type error, not an unknown field."""
        return bool(self.source.get("type", "object") == "object")


_OF_RULES = frozenset({"_checks", "_own_rules", "_tree"})
_OF_FIELDS = frozenset(Schema.__slots__) - _OF_RULES - {"_has_defaults", "_types", "source"}


class _Types:
    """The named definitions of one document, each built once, so that recursive types end."""

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]], null_is_absent: bool) -> None:
        self.null_is_absent = null_is_absent
        self._definitions = definitions
        self._nodes: dict[str, Schema] = {}
        self._checks: dict[str, Check] = {}
        self.defaulted_bytes = 0
        """What the defaults have added to the object that is being defaulted."""

    def resolve(self, source: Mapping[str, Any]) -> Mapping[str, Any]:
        """The source itself, or the definition it refers to (extensions beside a `$ref` are kept)."""
        name = _reference(source)
        if not name:
            return source
        if name in _LOOSE_SCALARS:
            return {**_LOOSE_SCALARS[name], **_beside(source)}
        if name not in self._definitions:
            raise KeyError(f"schema refers to {name!r}, which is not among its definitions")
        return {**self._definitions[name], **_beside(source)}

    def node(self, source: Mapping[str, Any]) -> Schema:
        name = _reference(source)
        if not name:
            return _fresh(source, self)
        identity = name + json.dumps(_beside(source), sort_keys=True)
        if identity not in self._nodes:
            self._nodes[identity] = _fresh(self.resolve(source), self)
        return self._nodes[identity]

    def rules(self, reference: str) -> Check:
        name = reference.rpartition("/")[2]

        def check(value: Any, path: Path, errors: Faults) -> None:
            if name not in self._checks:
                source = self.resolve({"$ref": reference})
                if source.get("x-kubernetes-embedded-resource"):
                    source = with_object_fields(source)
                self._checks[name] = compile_rules(source, self.rules)
            self._checks[name](value, path, errors)

        return check


def _fresh(source: Mapping[str, Any], types: _Types) -> Schema:
    node = Schema.__new__(Schema)
    node._take(source, types)
    return node


def _reference(source: Mapping[str, Any]) -> str:
    """The name a node refers to: `$ref`, or OpenAPI v3's `allOf` with one `$ref` beside a default."""
    parts = source.get("allOf", ())
    if "$ref" not in source and len(parts) == 1 and "$ref" in parts[0] and "type" not in source:
        return str(parts[0]["$ref"]).rpartition("/")[2]
    return str(source.get("$ref", "")).rpartition("/")[2]


def _beside(source: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside a reference and matters here."""
    return {key: value for key, value in source.items() if key not in ("$ref", "allOf", "description")}


def _unwritten(properties: Mapping[str, Schema], source: Mapping[str, Any]) -> Iterator[str]:
    """The lists and maps that a built-in kind, written by Go's types, leaves out when they are empty."""
    for key, child in properties.items():
        is_map = "additionalProperties" in child.source and "properties" not in child.source
        if (is_map or child.source.get("type") == "array") and key not in source.get("required", ()):
            yield key


def _copier(value: Any, types: _Types) -> Callable[[], Any]:
    """A function that gives a default that nobody else holds. Raises TooLarge if they are too many."""
    text = json.dumps(value)

    def copy() -> Any:
        types.defaulted_bytes += len(text)
        if types.defaulted_bytes > _MOST_DEFAULTED_BYTES:
            raise TooLarge(
                "Request entity too large: the defaults of its schema make more than "
                f"{_MOST_DEFAULTED_BYTES} bytes of the object"
            )
        return json.loads(text) if isinstance(value, dict | list) else value

    return copy


def _was_item(node: Schema | None, old: Any, new: Any, index: int) -> Any:
    """The item of the old list that the new one's item stands for: known by its keys, in a list-map only."""
    if node is None or node.list_type != "map" or not isinstance(old, list):
        return _MISSING
    item = new[index]
    keys = [item.get(key) for key in node.list_map_keys] if isinstance(item, dict) else None
    same = (
        one for one in old if isinstance(one, dict) and [one.get(key) for key in node.list_map_keys] == keys
    )
    return next(same, _MISSING)
