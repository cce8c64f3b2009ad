"""The rules a CRD brings (`x-kubernetes-validations`), checked when the CRD is written: form, types, and
what they can cost.

Called by `definition_schema` at every node with rules. A rule that does not compile, or that could cost
more than Kubernetes allows by the sizes its schema allows, is refused here, so that objects never meet one.
Limits and words: apiextensions `validation.go` and `cel_validation.go`. `cel_rules` runs what has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field, required, unsupported

if TYPE_CHECKING:
    from springtide.server.cel import Expression
    from springtide.server.cel_schema import Declared

Json = Mapping[str, Any]

RULE_LIMIT = 10_000_000
"""The most that one rule may be estimated to cost for one object."""
SCHEMA_LIMIT = 100_000_000
"""The most that all rules of one schema may."""
_LARGEST = 2**64 - 1
_REQUEST_BYTES = 3 * 1024 * 1024
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ADVICE = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength "
    "where arrays, maps, and strings are declared"
)


@dataclass(slots=True)
class Spending:
    """What the rules of one schema can cost together."""

    total: int = 0
    dearest: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: str, cost: int) -> None:
        self.total = min(_LARGEST, self.total + cost)
        if cost >= SCHEMA_LIMIT // 100:
            self.dearest = sorted([*self.dearest, (cost, path)], key=lambda one: -one[0])[:4]

    def errors(self, path: str) -> Iterator[FieldError]:
        if self.total > SCHEMA_LIMIT:
            rule = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            for _, place in self.dearest:
                yield forbidden_field(place, rule)
            name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
            yield forbidden_field(path, _exceeded(name, self.total, SCHEMA_LIMIT))


@dataclass(slots=True)
class RuleScope:
    """A schema node as its rules see it: its type, and how often one object can have it (None: no bound)."""

    schema: Json
    declared: Declared | None
    times: int | None
    spending: Spending

    @classmethod
    def of_root(cls, schema: Json, spending: Spending) -> RuleScope:
        from springtide.server.cel_schema import declare

        return cls(schema, declare(schema, root=True), 1, spending)

    def property(self, name: str, child: Json) -> RuleScope:
        from springtide.server.cel_schema import escape

        known = self.declared.fields.get(escape(name)) if self.declared is not None else None
        return self._below(child, known.declared if known else None, 1)

    def values(self, child: Json) -> RuleScope:
        return self._below(child, self._element(), self.schema.get("maxProperties"))

    def items(self, child: Json) -> RuleScope:
        return self._below(child, self._element(), self.schema.get("maxItems"))

    def _element(self) -> Declared | None:
        return self.declared.element if self.declared is not None else None

    def _below(self, child: Json, declared: Declared | None, most: int | None) -> RuleScope:
        from springtide.server.cel_schema import declare

        if declared is None:
            declared = declare(child, root=bool(child.get("x-kubernetes-embedded-resource")))
        times = None if self.times is None or most is None else self.times * max(0, most)
        return RuleScope(child, declared, times, self.spending)

    def cost(self, expression: Expression) -> int:
        """What an expression can cost in one object: its own cost, as often as the node can occur."""
        assert self.declared is not None
        often = self.times if self.times is not None else _REQUEST_BYTES // (self.declared.smallest + 1)
        return min(_LARGEST, expression.cost * often)


def rule_errors(
    schema: Json, path: str, scope: RuleScope | None, uncorrelated: str, *, sound: bool
) -> list[FieldError]:
    """What is wrong with the rules of one node. `sound`: nothing is wrong with its schema otherwise.
    `uncorrelated`: the part above whose items have no known predecessor after a change."""
    rules = schema["x-kubernetes-validations"]
    errors: list[FieldError] = []
    for index, rule in enumerate(rules):
        errors += _form_errors(rule, f"{path}.x-kubernetes-validations[{index}]", schema)
    if errors or not sound or scope is None:
        return errors
    for index, rule in enumerate(rules):
        errors += _Judged(rule, f"{path}.x-kubernetes-validations[{index}]", scope).errors(uncorrelated)
    return errors


def _form_errors(rule: Json, path: str, schema: Json) -> Iterator[FieldError]:
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        yield required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield bad_value(f"{path}.message", message, "must be non-empty if specified")
    elif _breaks(message.strip()):
        yield bad_value(f"{path}.message", message, "must not contain line breaks")
    elif _breaks(text) and not message.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield unsupported(f"{path}.reason", rule["reason"], _REASONS)
    place = rule.get("fieldPath") or ""
    if place and not place.strip():
        yield bad_value(f"{path}.fieldPath", place, "must be non-empty if specified")
    if _breaks(place):
        yield bad_value(f"{path}.fieldPath", place, "must not contain line breaks")
    if place and not is_path(schema, place):
        yield bad_value(f"{path}.fieldPath", place, "must be a valid path")


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


class _Judged:
    """One rule, compiled and priced."""

    def __init__(self, rule: Json, path: str, scope: RuleScope) -> None:
        self.rule = rule
        self.path = path
        self.scope = scope

    def errors(self, uncorrelated: str) -> Iterator[FieldError]:
        if self.scope.declared is None:
            rule = "rules cannot be written for values of unknown type"
            yield bad_value(f"{self.path}.rule", self.rule["rule"], rule)
            return
        compiled, fault = self.compiled(self.rule["rule"], "bool")
        if compiled is None:
            yield self.invalid("rule", fault)
            return
        yield from self.priced("rule", "estimated rule cost", compiled)
        if self.rule.get("messageExpression"):
            message, fault = self.compiled(self.rule["messageExpression"], "string")
            if message is None:
                yield self.invalid("messageExpression", fault)
            else:
                yield from self.priced("messageExpression", "estimated messageExpression cost", message)
        if "oldSelf" in compiled.uses and uncorrelated:
            rule = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            yield bad_value(f"{self.path}.rule", self.rule["rule"], rule)
        if "oldSelf" not in compiled.uses and self.rule.get("optionalOldSelf") is not None:
            rule = "may not be set if oldSelf is not used in rule"
            yield bad_value(f"{self.path}.optionalOldSelf", self.rule["optionalOldSelf"], rule)

    def compiled(self, text: str, wanted: str) -> tuple[Expression | None, str]:
        from springtide.server.cel import CompileError, compile_expression

        assert self.scope.declared is not None
        optional = bool(self.rule.get("optionalOldSelf"))
        prefix = "" if wanted == "bool" else "messageExpression "
        try:
            found = compile_expression(text, self.scope.declared, optional_old=optional)
        except CompileError as error:
            return None, f"{prefix}compilation failed: {error}"
        if found.type.kind != wanted:
            noun = "cel expression must evaluate to a bool"
            return None, noun if wanted == "bool" else "messageExpression must evaluate to a string"
        return found, ""

    def priced(self, key: str, name: str, found: Expression) -> Iterator[FieldError]:
        cost = self.scope.cost(found) if key == "rule" else found.cost
        self.scope.spending.add(f"{self.path}.{key}", cost)
        if cost > RULE_LIMIT:
            yield forbidden_field(f"{self.path}.{key}", _exceeded(name, cost, RULE_LIMIT))

    def invalid(self, key: str, fault: str) -> FieldError:
        shown = {
            "Rule": self.rule.get("rule", ""),
            "Message": self.rule.get("message") or "",
            "MessageExpression": self.rule.get("messageExpression") or "",
            "Reason": self.rule.get("reason"),
            "FieldPath": self.rule.get("fieldPath") or "",
            "OptionalOldSelf": self.rule.get("optionalOldSelf"),
        }
        return bad_value(f"{self.path}.{key}", shown, fault)


def _exceeded(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} ({_ADVICE})"


_STEP = re.compile(r"\.([^.\[\]']+)|\['((?:[^'\\]|\\[abfnrtv'\\])*)'\]")


def is_path(schema: Json, path: str, *, brackets: bool = True) -> bool:
    """Whether a path such as `.spec.labels['app']` leads to something the schema declares."""
    return schema_at(schema, path, brackets=brackets) is not None


def _member(value: Any, name: str) -> Any:
    """Of an object; what else stands where one should is somebody else's to refuse."""
    return value.get(name) if isinstance(value, Mapping) else None


def schema_at(schema: Json, path: str, *, brackets: bool = True) -> Json | None:
    """The schema that a path of fields and map keys leads to; None if the path is none or leads nowhere."""
    at = 0
    node: Any = schema
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or (step[1] is None and not brackets):
            return None
        name = step[1] if step[1] is not None else re.sub(r"\\(.)", r"\1", step[2])
        declared = node.get("properties")
        node = _member(declared, name) if declared else node.get("additionalProperties")
        if not isinstance(node, Mapping):
            return None
        at = step.end()
    return node  # type: ignore[no-any-return]
