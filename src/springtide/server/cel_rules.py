"""The rules of a CRD's schema (`x-kubernetes-validations`), compiled into a tree and checked on every
write.

Called by `schema.Schema.validate`. A schema without rules has no tree and pays nothing; one with rules is
compiled when the first object comes. Which rules run on a change, when an unchanged part is let through,
and the budget of one request are Kubernetes' (apiextensions `schema/cel/validation.go`). Whether rules may
be written at all is decided before, by `rule_declarations`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from springtide.server.cel import CompileError, Expression, compile_expression
from springtide.server.cel_operators import to_string
from springtide.server.cel_run import SECONDS, CostExceeded, cost_of
from springtide.server.cel_schema import Declared, declare, escape
from springtide.server.cel_values import NONE, CelError, Optional, read
from springtide.server.schema_rules import INVALID, FieldError, MapKey, Path, has_rules, show, spell

CALL_LIMIT = 1_000_000
"""What one rule may cost when it runs."""
REQUEST_BUDGET = 10_000_000
"""What all the rules of one object may cost together."""
_LONGEST_MESSAGE = 5 * 1024
_OUT = "validation failed due to running out of cost budget, no further validation rules will be run"
_Pair = tuple[Any, Any] | None
"""A value and what it was."""
_FORBIDDEN, _DUPLICATE, _REQUIRED = "FieldValueForbidden", "FieldValueDuplicate", "FieldValueRequired"


@dataclass(slots=True)
class _Rule:
    """One rule with its programs; `fault` says why it could not be compiled."""

    source: Mapping[str, Any]
    expression: Expression | None = None
    message: Expression | None = None
    fault: str = ""

    @property
    def transition(self) -> bool:
        return self.expression is not None and "oldSelf" in self.expression.uses

    @property
    def optional_old(self) -> bool:
        return bool(self.source.get("optionalOldSelf"))

    def shown(self) -> str:
        return str(self.source.get("message") or self.source["rule"]).strip()


@dataclass(slots=True)
class _Node:
    """The rules of one schema node, and where there are more below."""

    declared: Declared | None
    kind: str
    rules: list[_Rule] = field(default_factory=list)
    fields: dict[str, _Node] = field(default_factory=dict)
    values: _Node | None = None
    items: _Node | None = None
    keys: tuple[str, ...] = ()
    """Of a list-map: by which its items are the same items as before."""


class RuleTree:
    """All rules of one schema. `check` is what a write calls."""

    __slots__ = ("_root",)

    def __init__(self, source: Mapping[str, Any]) -> None:
        root = _build(source, declare(source, root=True))
        assert root is not None
        self._root = root

    def check(self, obj: Any, old: Any, errors: list[FieldError]) -> None:
        """Run the rules on an object and, if it changes, on what it was."""
        run = _Run(errors)
        try:
            run.node(self._root, obj, old, None, None)
        except _OutOfBudget:
            return


def _build(source: Mapping[str, Any], declared: Declared | None) -> _Node | None:
    if not has_rules(source):
        return None
    node = _Node(declared, source.get("type", ""), keys=_map_keys(source))
    if declared is not None:
        rules = source.get("x-kubernetes-validations") or ()
        node.rules = [_compile(rule, declared) for rule in rules if str(rule.get("rule", "")).strip()]
    for name, child in (source.get("properties") or {}).items():
        below = _build(child, _field_type(name, child, declared))
        if below is not None:
            node.fields[name] = below
    element = declared.element if declared is not None else None
    if isinstance(source.get("additionalProperties"), Mapping):
        node.values = _build(source["additionalProperties"], element)
    if isinstance(source.get("items"), Mapping):
        node.items = _build(source["items"], element)
    return node


def _field_type(name: str, child: Mapping[str, Any], declared: Declared | None) -> Declared | None:
    found = declared.fields.get(escape(name)) if declared is not None else None
    if found is not None:
        return found.declared
    return declare(child, root=bool(child.get("x-kubernetes-embedded-resource")))


def _map_keys(source: Mapping[str, Any]) -> tuple[str, ...]:
    if source.get("x-kubernetes-list-type") != "map":
        return ()
    return tuple(source.get("x-kubernetes-list-map-keys", ()))


def _compile(source: Mapping[str, Any], declared: Declared) -> _Rule:
    rule = _Rule(source)
    try:
        rule.expression = compile_expression(source["rule"], declared, optional_old=rule.optional_old)
        if source.get("messageExpression"):
            rule.message = compile_expression(
                source["messageExpression"], declared, optional_old=rule.optional_old
            )
    except CompileError as error:
        rule.fault = str(error)
    return rule


class _OutOfBudget(Exception):
    """The request has spent what it may; the error is recorded, nothing more is checked."""


class _Run:
    """One pass over an object: what is left of the budget, and what was found."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        self.left = REQUEST_BUDGET
        self.ends = time.thread_time() + SECONDS

    def node(self, node: _Node, value: Any, old: Any, path: Path, above: _Pair) -> None:
        """`old` is None where there is no value to compare with; `above` is the nearest part that has one."""
        if value is None:
            return
        pair = (value, old) if old is not None else above
        if node.rules:
            self.rules(node, value, old, path, pair)
        if isinstance(value, dict):
            self.fields(node, value, old if isinstance(old, dict) else {}, path, pair)
        elif isinstance(value, list) and node.items is not None:
            before = _by_key(old, node.keys) if node.keys and isinstance(old, list) else {}
            for index, item in enumerate(value):
                was = before.get(_identity(item, node.keys)) if before else None
                self.node(node.items, item, was, (path, index), pair)

    def fields(
        self, node: _Node, value: dict[str, Any], old: dict[str, Any], path: Path, pair: _Pair
    ) -> None:
        for key, child in value.items():
            below = node.fields.get(key)
            if below is not None:
                self.node(below, child, old.get(key), (path, key), pair)
            elif node.values is not None:
                self.node(node.values, child, old.get(key), (path, MapKey(key)), pair)

    def rules(self, node: _Node, value: Any, old: Any, path: Path, pair: _Pair) -> None:
        new, was, unlike = read(value, node.declared), None, ""
        try:
            was = None if old is None else read(old, node.declared)
        except CelError as error:
            unlike = str(error)
        for rule in node.rules:
            values = (new, was)
            if self.left <= 0:
                self.stop(node, path, _OUT)
            if rule.fault:
                self.invalid(node, path, f"rule compile error: {rule.fault}")
            elif unlike and rule.transition:
                self.invalid(node, path, f"{unlike} evaluating rule: {rule.shown()}")
            elif old is not None or rule.optional_old or not rule.transition:
                self.rule(rule, node, values, path, pair)

    def rule(self, rule: _Rule, node: _Node, values: tuple[Any, Any], path: Path, pair: _Pair) -> None:
        assert rule.expression is not None
        if rule.optional_old:
            values = (values[0], NONE if values[1] is None else Optional(values[1], True))
        try:
            result, cost = rule.expression.program.run(values, CALL_LIMIT, self.ends)
        except CostExceeded as error:
            ending = f"due to call cost exceeds limit for rule: {rule.shown()}"
            self.stop(node, path, f"'{error}': no further validation rules will be run {ending}")
        except CelError as error:
            self.spend(cost_of(error), node, path)
            self.invalid(node, path, _failure(error, rule))
            return
        self.spend(cost, node, path)
        if result is True or (not rule.transition and pair is not None and pair[0] == pair[1]):
            return
        self.errors.append(_violation(rule, node, values[0], path, self.message(rule, values, node, path)))

    def message(self, rule: _Rule, values: tuple[Any, Any], node: _Node, path: Path) -> str:
        """What to say of a broken rule: its messageExpression if that gives a sentence, else its message."""
        if rule.message is not None:
            try:
                text, cost = rule.message.program.run(values, CALL_LIMIT, self.ends)
            except CostExceeded:
                ending = (
                    f"call cost exceeds limit for messageExpression: {show(rule.source['messageExpression'])}"
                )
                self.stop(node, path, f"no further validation rules will be run due to {ending}")
            except CelError as error:
                self.spend(cost_of(error), node, path)
            else:
                self.spend(cost, node, path)
                text = text.strip() if isinstance(text, str) else ""
                if text and "\n" not in text and len(text.encode()) <= _LONGEST_MESSAGE:
                    return str(text)
        message = str(rule.source.get("message") or "").strip()
        return message or f"failed rule: {rule.shown()}"

    def spend(self, cost: int, node: _Node, path: Path) -> None:
        self.left -= cost
        if self.left < 0:
            self.stop(node, path, _OUT)

    def stop(self, node: _Node, path: Path, message: str) -> NoReturn:
        self.invalid(node, path, message)
        raise _OutOfBudget

    def invalid(self, node: _Node, path: Path, message: str) -> None:
        name, tokens = spell(path)
        text = f"Invalid value: {show(node.kind)}: {message}"
        self.errors.append(FieldError(INVALID, name or "<nil>", text, tokens))


def _failure(error: CelError, rule: _Rule) -> str:
    if str(error).startswith("no such overload"):
        return (
            f"'{error}': call arguments did not match a supported operator, function or macro signature "
            f"for rule: {rule.shown()}"
        )
    return f"{error} evaluating rule: {rule.shown()}"


def _violation(rule: _Rule, node: _Node, value: Any, path: Path, detail: str) -> FieldError:
    name, tokens = spell(path)
    relative = normal_path(str(rule.source.get("fieldPath") or ""))
    if relative:
        name = f"{name}{relative}".removeprefix(".")
    reason = rule.source.get("reason") or INVALID
    whole = node.kind in ("object", "array")
    text = {
        _FORBIDDEN: f"Forbidden: {detail}",
        _REQUIRED: f"Required value: {detail}",
        _DUPLICATE: "Duplicate value" if whole else f"Duplicate value: {_quoted(value)}",
    }.get(reason)
    if text is None:
        text = f"Invalid value: {detail}" if whole else f"Invalid value: {_quoted(value)}: {detail}"
    return FieldError(reason, name or "<nil>", text, tokens)


def _quoted(value: Any) -> str:
    """A scalar as errors quote it; what JSON has no word for is shown as CEL writes it."""
    return show(value) if isinstance(value, str | bool | int | float) else show(to_string(value))


_STEP = re.compile(r"\.([^.\[\]']+)|\['((?:[^'\\]|\\.)*)'\]")


def normal_path(text: str) -> str:
    """A rule's fieldPath the way fields are named in errors: `.a['b']` is `.a.b`, of a map `.a[b]`."""
    return "".join(f".{found[1] or _unescaped(found[2])}" for found in _STEP.finditer(text))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _by_key(items: list[Any], keys: tuple[str, ...]) -> dict[bytes, Any]:
    return {_identity(item, keys): item for item in items}


def _identity(item: Any, keys: tuple[str, ...]) -> bytes:
    return msgspec.json.encode([item.get(key) for key in keys] if isinstance(item, dict) else item)
