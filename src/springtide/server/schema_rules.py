"""Value rules of a structural OpenAPI v3 schema, compiled once into closures.

Called by `schema.Schema`. Messages follow kube-apiserver's field errors (apimachinery `field.Error` and
kube-openapi `validation/errors`), because people and tools know them. CEL rules are not here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from springtide.api.quantity import is_quantity
from springtide.server import regex
from springtide.server.schema_formats import format_of

Path = tuple[Any, ...] | None
"""A field's place as a linked list `(parent, token)`: one cheap tuple a step, spelt out only in an error."""

Check = Callable[[Any, Path, "Faults"], None]
Resolve = Callable[[str], Check]


class MapKey(str):
    """A step of a path that is data, not a field's name: spelt `labels[app]`."""

    __slots__ = ()


INVALID = "FieldValueInvalid"
TYPE_INVALID = "FieldValueTypeInvalid"
QUANTITY = "quantity"
"""A type of built-in kinds: an amount such as `500m`, as text or number."""
_QUANTITY_PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
REQUIRED = "FieldValueRequired"
NOT_SUPPORTED = "FieldValueNotSupported"
DUPLICATE = "FieldValueDuplicate"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"
BLOCKING = frozenset({NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID})
"""Faults after which the rules of a schema are not run."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule. `reason` and `message` are those of a `metav1.StatusCause`."""

    reason: str
    field: str
    message: str
    tokens: tuple[str | int, ...] = ()
    """The field's path, token by token, for looking the place up in an older object."""
    malformed: bool = False
    """The value is not of its format. A built-in kind cannot be read at all then, as with a wrong type."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


SECONDS = 2.0
"""Processor time for the schema's rules of one object: schemas and objects multiply, and all others wait."""
MOST_TOLD = 100
"""Faults of one object that are told; a list of thousands of twins has as many."""
_MOST_TOLD_CHARACTERS = 256 * 1024
_LONG = 64
"""Parts of a rule that make it one to look at the clock for."""
_SHORT, _REMEMBERED = 64, 512
"""Characters of a text that a rule remembers, and how many texts it does."""


class Enough(Exception):
    """There is no use in going on: too much was found, or it takes too long, as the fault it carries says."""

    def __init__(self, *faults: FieldError) -> None:
        super().__init__()
        self.faults = faults


class Faults(list["FieldError"]):
    """What the checks of one object have found. They look at its clock when they do what may take long."""

    __slots__ = ("_characters", "_ends", "_lets_through", "_told")

    def __init__(
        self,
        ends: float = math.inf,
        lets_through: Callable[[FieldError], bool] | None = None,
        *,
        told: bool = True,
    ) -> None:
        """`ends`: the thread's processor time; `lets_through`: which faults are none, as they were there."""
        super().__init__()
        self._ends, self._lets_through, self._told, self._characters = ends, lets_through, told, 0

    def tell(
        self,
        reason: str,
        path: Path,
        message: Callable[[str], str],
        shown: str = "",
        *,
        malformed: bool = False,
    ) -> None:
        """Note a fault; `message` makes its text of the field's name; `shown` is told in the name's place.
        Raises Enough."""
        if not self._told:
            self.append(_UNTOLD)
            return
        field, tokens = spell(path)
        self.look()
        error = FieldError(reason, shown or field or "<root>", "", tokens)
        if self._lets_through is not None and self._lets_through(error):
            return
        text = message(field)
        self._characters += len(text)
        if len(self) >= MOST_TOLD or (self and self._characters > _MOST_TOLD_CHARACTERS):
            raise Enough
        self.append(FieldError(reason, error.field, text, tokens, malformed))

    def silent(self) -> Faults:
        """For a part of a check that only asks whether there is a fault."""
        return Faults(self._ends, told=False)

    def look(self) -> None:
        """Raises Enough once the checks have taken too long."""
        if self._ends is not math.inf and time.thread_time() > self._ends:
            text = (
                f"Invalid value: null: it takes more than {SECONDS:g} s to check the object; make it smaller"
            )
            raise Enough(FieldError(INVALID, "<nil>", f"{text}, or the rules of its schema simpler"))


_UNTOLD = FieldError(INVALID, "", "")


def compile_rules(source: Mapping[str, Any], resolve: Resolve) -> Check:
    """A check of one schema node and all below it; `resolve` gives the check behind a `$ref`."""
    if "$ref" in source:
        return resolve(source["$ref"])
    rules = [*_type_rules(source), *_junctors(source, resolve)]
    kind = source.get("type")
    if kind == "object" or "properties" in source or "required" in source:
        rules.extend(_object_rules(source, resolve))
    if kind == "array" or "items" in source:
        rules.extend(_list_rules(source, resolve))
    rules.extend(_string_rules(source))
    rules.extend(_number_rules(source))
    if "enum" in source:
        rules.append(_enum_rule(source["enum"]))
    return _together(rules, source)


def has_rules(source: Mapping[str, Any]) -> bool:
    """Whether a schema, or anything on its spine, has `x-kubernetes-validations`."""
    if source.get("x-kubernetes-validations"):
        return True
    children = [
        *(source.get("properties") or {}).values(),
        source.get("items"),
        source.get("additionalProperties"),
    ]
    return any(isinstance(child, Mapping) and has_rules(child) for child in children)


def spell(path: Path) -> tuple[str, tuple[str | int, ...]]:
    """A path as text (`spec.containers[0].name`) and as tokens."""
    tokens: list[str | int] = []
    while path is not None:
        path, token = path
        tokens.append(token)
    tokens.reverse()
    text = "".join(f"[{token}]" if isinstance(token, int | MapKey) else f".{token}" for token in tokens)
    return text.removeprefix("."), tuple(tokens)


def show(value: Any) -> str:
    """A value the way field errors quote it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fail(errors: Faults, reason: str, path: Path, message: str) -> None:
    errors.tell(reason, path, lambda _: message)


def _invalid(errors: Faults, path: Path, value: Any, rule: str, *, malformed: bool = False) -> None:
    errors.tell(
        INVALID,
        path,
        lambda field: f"Invalid value: {show(value)}: {field} in body {rule}",
        malformed=malformed,
    )


def _together(rules: Sequence[Check], source: Mapping[str, Any]) -> Check:
    """The rules of a node, first its type: a value of the wrong type is reported once, not by every rule."""
    nullable = bool(source.get("nullable"))
    if not rules:
        return _accept
    if len(rules) == 1 and not nullable:
        return rules[0]

    def check(value: Any, path: Path, errors: Faults) -> None:
        if value is None and nullable:
            return
        before = len(errors)
        for rule in rules:
            rule(value, path, errors)
            if len(errors) > before:
                return

    return check


def _accept(value: Any, path: Path, errors: Faults) -> None:
    """No rule: every value is fine."""


# Types


_CLASSES: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "object": frozenset({dict}),
    "array": frozenset({list}),
    "integer,string": frozenset({int, str}),
    "number,string": frozenset({int, float, str}),
}
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


def _type_rules(source: Mapping[str, Any]) -> list[Check]:
    if source.get("x-kubernetes-int-or-string"):
        return [_type_rule("integer,string")]
    kind = source.get("type")
    if kind == QUANTITY:
        return [_quantity_rule]
    return [_type_rule(kind)] if kind in _CLASSES else []


def _quantity_rule(value: Any, path: Path, errors: Faults) -> None:
    if not is_quantity(value):
        rule = f"quantities must match the regular expression '{_QUANTITY_PATTERN}'"
        _fail(errors, TYPE_INVALID, path, f"Invalid value: {show(value)}: {rule}")


def _type_rule(name: str) -> Check:
    classes = _CLASSES[name]

    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) in classes:
            return
        if not (name == "integer" and type(value) is float and value.is_integer()):
            found = _NAMES.get(type(value), "null")
            rule = f'in body must be of type {name}: "{found}"'
            errors.tell(TYPE_INVALID, path, lambda field: f'Invalid value: "{found}": {field} {rule}')

    return check


def _enum_rule(allowed: Sequence[Any]) -> Check:
    values: Any = list(allowed)
    if all(isinstance(one, str) for one in values):
        values = frozenset(values)

    def check(value: Any, path: Path, errors: Faults) -> None:
        if (isinstance(values, frozenset) and not isinstance(value, str)) or value not in values:
            errors.tell(NOT_SUPPORTED, path, lambda _: f"Unsupported value: {show(value)}: {supported()}")
        if len(allowed) > _LONG and isinstance(values, list):
            errors.look()

    def supported() -> str:
        return f"supported values: {', '.join(map(show, allowed))}"

    return check


# Objects and lists


def _object_rules(source: Mapping[str, Any], resolve: Resolve) -> list[Check]:
    rules: list[Check] = [_object_rule(source, resolve)]
    if "minProperties" in source or "maxProperties" in source:
        rules.append(_size_rule(source, "minProperties", "maxProperties", "properties"))
    return rules


def _object_rule(source: Mapping[str, Any], resolve: Resolve) -> Check:
    properties = {key: compile_rules(child, resolve) for key, child in source.get("properties", {}).items()}
    extra = source.get("additionalProperties")
    other = compile_rules(extra, resolve) if isinstance(extra, Mapping) else _accept
    required = tuple(source.get("required", ()))

    def check(value: Any, path: Path, errors: Faults) -> None:
        if not isinstance(value, dict):
            return
        for key in required:
            if key not in value:
                _fail(errors, REQUIRED, (path, key), "Required value")
        if len(required) > _LONG:
            errors.look()
        for key, child in value.items():
            rule = properties.get(key, other)
            if rule is not _accept:
                rule(child, (path, key), errors)

    return check


def _list_rules(source: Mapping[str, Any], resolve: Resolve) -> list[Check]:
    rules: list[Check] = []
    if "minItems" in source or "maxItems" in source:
        rules.append(_size_rule(source, "minItems", "maxItems", "items"))
    if isinstance(source.get("items"), Mapping):
        item = compile_rules(source["items"], resolve)
        if item is not _accept:
            rules.append(_items_rule(item))
    if source.get("x-kubernetes-list-type") == "map":
        rules.append(_unique_rule(_map_key(source)))
    elif source.get("x-kubernetes-list-type") == "set" or source.get("uniqueItems"):
        rules.append(_unique_rule(lambda item: item))
    return rules


def _items_rule(item: Check) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        if isinstance(value, list):
            for index, child in enumerate(value):
                item(child, (path, index), errors)

    return check


def _map_key(source: Mapping[str, Any]) -> Callable[[Any], Any]:
    keys = tuple(source.get("x-kubernetes-list-map-keys", ()))
    properties = source.get("items", {}).get("properties", {})
    defaults = {key: properties.get(key, {}).get("default") for key in keys}

    def key_of(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        found = {key: item.get(key, defaults[key]) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    return key_of


def _unique_rule(key_of: Callable[[Any], Any]) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        if not isinstance(value, list) or len(value) < 2:
            return
        seen: set[str] = set()
        for index, item in enumerate(value):
            key = key_of(item)
            text = json.dumps(key, sort_keys=True)
            if text in seen:
                _fail(errors, DUPLICATE, (path, index), f"Duplicate value: {show(key)}")
            seen.add(text)

    return check


def _size_rule(source: Mapping[str, Any], least: str, most: str, noun: str) -> Check:
    low, high = source.get(least, 0), source.get(most)

    def check(value: Any, path: Path, errors: Faults) -> None:
        if not isinstance(value, dict | list):
            return
        if len(value) < low:
            _invalid(errors, path, len(value), f"should have at least {low} {noun}")
        elif high is not None and len(value) > high:
            message = f"Too many: {len(value)}: must have at most {high} {'item' if high == 1 else 'items'}"
            _fail(errors, TOO_MANY, path, message)

    return check


# Strings and numbers


def _string_rules(source: Mapping[str, Any]) -> list[Check]:
    rules: list[Check] = []
    least, most = source.get("minLength"), source.get("maxLength")
    if least is not None:
        rules.append(
            _string_rule(lambda value: len(value) >= least, f"should be at least {least} chars long")
        )
    if most is not None:
        rules.append(_length_rule(most))
    if "pattern" in source:
        rules.append(_pattern_rule(source["pattern"]))
    name = source.get("format", "")
    fits = format_of(name) if source.get("type", "string") == "string" else None
    if fits is not None:
        rules.append(_format_rule(name, fits))
    return rules


def _string_rule(fits: Callable[[str], bool], rule: str) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) is str and not fits(value):
            _invalid(errors, path, value, rule)

    return check


def _pattern_rule(text: str) -> Check:
    pattern = regex.compile(text)
    found = _remembering(pattern.found)

    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) is not str:
            return
        if pattern.steps(value) > _LONG * _LONG:
            errors.look()
        try:
            if not found(value):
                _invalid(errors, path, value, f"should match '{text}'")
        except regex.TooCostlyError as error:
            _fail(errors, INVALID, path, f"Invalid value: {error}")

    return check


def _remembering(fits: Callable[[str], bool]) -> Callable[[str], bool]:
    """The same question; short texts that fit are remembered, since objects are looked at again and again."""
    right: set[str] = set()

    def known(text: str) -> bool:
        if text in right:
            return True
        if not fits(text):
            return False
        if len(text) <= _SHORT:
            if len(right) >= _REMEMBERED:
                right.clear()
            right.add(text)
        return True

    return known


def _length_rule(most: int) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) is str and len(value) > most:
            _fail(errors, TOO_LONG, path, f"Too long: may not be more than {most} bytes")

    return check


def _format_rule(name: str, fits: Callable[[str], bool]) -> Check:
    fits = _remembering(fits)

    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) is str and not fits(value):
            _invalid(errors, path, value, f"must be of type {name}: {show(value)}", malformed=True)

    return check


def _number_rules(source: Mapping[str, Any]) -> list[Check]:
    rules: list[Check] = []
    limits = {"int32": 2**31, "int64": 2**63}.get(source.get("format", ""))
    if limits is not None and source.get("type") == "integer":
        rules.append(_range_rule(limits, source["format"]))
    low, high, step = source.get("minimum"), source.get("maximum"), source.get("multipleOf")
    if low is not None:
        rules.append(_minimum_rule(low, bool(source.get("exclusiveMinimum"))))
    if high is not None:
        rules.append(_maximum_rule(high, bool(source.get("exclusiveMaximum"))))
    if step:
        rules.append(_number_rule(lambda value: value % step == 0, f"should be a multiple of {step}"))
    return rules


def _range_rule(limit: int, name: str) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) in (int, float) and not -limit <= value < limit:
            rule = f"Checked value must be of type integer with format {name} in"
            errors.tell(
                INVALID, path, lambda field: f'Invalid value: "": {rule} {field}', "<nil>", malformed=True
            )

    return check


def _minimum_rule(low: float, exclusive: bool) -> Check:
    if exclusive:
        return _number_rule(lambda value: value > low, f"should be greater than {low}")
    return _number_rule(lambda value: value >= low, f"should be greater than or equal to {low}")


def _maximum_rule(high: float, exclusive: bool) -> Check:
    if exclusive:
        return _number_rule(lambda value: value < high, f"should be less than {high}")
    return _number_rule(lambda value: value <= high, f"should be less than or equal to {high}")


def _number_rule(fits: Callable[[float], bool], rule: str) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        if type(value) in (int, float) and not fits(value):
            _invalid(errors, path, value, rule)

    return check


# Junctors


def _junctors(source: Mapping[str, Any], resolve: Resolve) -> list[Check]:
    rules = [compile_rules(child, resolve) for child in source.get("allOf", ())]
    if "anyOf" in source and not source.get("x-kubernetes-int-or-string"):
        parts = [compile_rules(child, resolve) for child in source["anyOf"]]
        rules.append(_count_rule(parts, lambda fits: fits > 0, "must validate at least one schema (anyOf)"))
    if "oneOf" in source:
        parts = [compile_rules(child, resolve) for child in source["oneOf"]]
        rule = "must validate one and only one schema (oneOf)"
        rules.append(_count_rule(parts, lambda fits: fits == 1, rule))
    if "not" in source:
        parts = [compile_rules(source["not"], resolve)]
        rules.append(_count_rule(parts, lambda fits: fits == 0, "must not validate the schema (not)"))
    return rules


def _count_rule(parts: Sequence[Check], fits: Callable[[int], bool], rule: str) -> Check:
    def check(value: Any, path: Path, errors: Faults) -> None:
        valid = 0
        for part in parts:
            found = errors.silent()
            part(value, path, found)
            valid += not found
        errors.look()
        if not fits(valid):
            _invalid(errors, path, value, rule)

    return check
