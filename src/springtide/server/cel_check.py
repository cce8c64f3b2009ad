"""Type-checks a CEL expression: what type each node has, which overloads each call may mean.

Called by `cel.compile_expression`. The rules and the words of the errors are those of the CEL type checker
(cel-go `checker`), because authors of CRDs read them in many places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from springtide.server import cel_types as types
from springtide.server import regex
from springtide.server.cel_functions import Function, Overload, functions
from springtide.server.cel_operators import TYPE_NAMES
from springtide.server.cel_schema import Declared
from springtide.server.cel_syntax import (
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Parsed,
    Select,
)
from springtide.server.cel_times import duration_of, timestamp_of
from springtide.server.cel_types import Bindings, Type, unwrap_optional
from springtide.server.cel_values import CelError, UInt

_Fault = Callable[[str], str]


class CheckFault(ValueError):
    """The expression does not fit together; the text lists every fault with its place."""


@dataclass(slots=True)
class Checked:
    """An expression and what is known of its nodes, by node id."""

    parsed: Parsed
    root: Node
    types: dict[int, Type] = field(default_factory=dict)
    overloads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    constants: dict[int, Type] = field(default_factory=dict)
    """Identifiers that name a type."""
    uses: set[str] = field(default_factory=set)
    """The variables that are read."""

    @property
    def result(self) -> Type:
        return self.types[self.root.id]


def check(parsed: Parsed, variables: dict[str, Type], objects: dict[str, Declared]) -> Checked:
    """Check an expression over `variables`; `objects` are the object types by name. Raises `CheckFault`."""
    checker = _Checker(parsed, variables, objects)
    checker.visit(parsed.root)
    if not checker.faults:
        checker.literals()
    if checker.faults:
        raise CheckFault("\n".join(checker.faults))
    found = checker.found
    for identity, kind in found.types.items():
        found.types[identity] = checker.bindings.resolve(kind, free_is_dyn=True)
    return found


_CONSTANTS: dict[type, Type] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}


class _Checker:
    def __init__(self, parsed: Parsed, variables: dict[str, Type], objects: dict[str, Declared]) -> None:
        self.parsed = parsed
        self.objects = objects
        self.scopes: list[dict[str, Type]] = [variables]
        self.bindings = Bindings()
        self.found = Checked(parsed, parsed.root)
        self.faults: list[str] = []
        self.functions = functions()

    def fault(self, node: Node, message: str) -> Type:
        self.faults.append(self.parsed.complain(node.id, message))
        return types.ERROR

    def visit(self, node: Node) -> Type:
        # A macro may use one expression twice under one id; both have the same type.
        kind = self._dispatch(node)
        self.found.types[node.id] = kind
        return kind

    def _dispatch(self, node: Node) -> Type:
        if isinstance(node, Literal):
            return _CONSTANTS[type(node.value)]
        if isinstance(node, Ident):
            return self.ident(node)
        if isinstance(node, Select):
            return self.select(node)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, ListNode):
            return self.list_(node)
        if isinstance(node, MapNode):
            return self.map(node)
        if isinstance(node, Comprehension):
            return self.comprehension(node)
        return self.undeclared(node, node.name)

    def undeclared(self, node: Node, name: str) -> Type:
        return self.fault(node, f"undeclared reference to '{name}' (in container '')")

    def mismatch(self, node: Node, wanted: Type, found: Type) -> Type:
        return self.fault(node, f"expected type '{wanted}' but found '{found}'")

    # Names and fields

    def lookup(self, name: str) -> Type | None:
        for depth in range(len(self.scopes) - 1, -1, -1):
            if name in self.scopes[depth]:
                if depth == 0:
                    self.found.uses.add(name)
                return self.scopes[depth][name]
        return None

    def ident(self, node: Ident) -> Type:
        kind = self.lookup(node.name)
        if kind is not None:
            return kind
        if node.name in TYPE_NAMES:
            return self.type_name(node, node.name)
        return self.undeclared(node, node.name)

    def type_name(self, node: Node, name: str) -> Type:
        self.found.constants[node.id] = Type("type", name)
        return types.type_of(TYPE_NAMES[name])

    def select(self, node: Select) -> Type:
        qualified = _qualified(node)
        if qualified in TYPE_NAMES:
            return self.type_name(node, qualified)
        kind = self.field(node, node.operand, node.field, optional=False)
        return types.BOOL if node.test else self.bindings.resolve(kind)

    def field(self, node: Node, operand: Node, name: str, *, optional: bool) -> Type:
        target, was_optional = unwrap_optional(self.bindings.resolve(self.visit(operand)))
        kind = types.DYN
        if target.kind == "map":
            kind = target.params[1]
        elif target.kind == "object":
            kind = self.object_field(node, target, name)
        elif target.kind == "var":
            self.bindings.assignable(types.DYN, target)
        elif target.kind not in ("dyn", "error"):
            self.fault(node, f"type '{target}' does not support field selection")
        return types.optional_of(kind) if was_optional or optional else kind

    def object_field(self, node: Node, target: Type, name: str) -> Type:
        declared = self.objects.get(target.name)
        found = declared.field(name) if declared is not None else None
        return found.declared.type if found is not None else self.fault(node, f"undefined field '{name}'")

    # Calls

    def call(self, node: Call) -> Type:
        if node.function == "_?._":
            return self.optional_select(node)
        for arg in node.args:
            self.visit(arg)
        if node.target is not None:
            prefix = _qualified(node.target)
            namespaced = self.functions.get(f"{prefix}.{node.function}") if prefix else None
            if namespaced is not None:
                node.function, node.target = namespaced.name, None
                return self.resolve(node, namespaced)
            self.visit(node.target)
        found = self.functions.get(node.function)
        return self.undeclared(node, node.function) if found is None else self.resolve(node, found)

    def optional_select(self, node: Call) -> Type:
        operand, name = node.args
        if not isinstance(name, Literal) or not isinstance(name.value, str):
            return self.fault(node, "unsupported optional field selection: the field must be a name")
        self.visit(name)
        self.found.overloads[node.id] = ("select_optional_field",)
        return self.bindings.resolve(self.field(node, operand, name.value, optional=True))

    def resolve(self, node: Call, called: Function) -> Type:
        operands = [*([node.target] if node.target is not None else []), *node.args]
        kinds = tuple(self.found.types[operand.id] for operand in operands)
        if called.name in ("_&&_", "_||_"):
            return self.logic(node, called, kinds)
        result, matching = self.matching(called, kinds, member=node.target is not None)
        if result is None:
            return self.no_overload(node, called.name, kinds)
        self.found.overloads[node.id] = tuple(matching)
        return result

    def matching(
        self, called: Function, kinds: tuple[Type, ...], *, member: bool
    ) -> tuple[Type | None, list[str]]:
        result, matching = None, []
        for overload in called.overloads:
            if overload.member != member or len(overload.params) != len(kinds):
                continue
            params, returned = self.instantiate(overload)
            if not self.bindings.all_assignable(kinds, params):
                continue
            matching.append(overload.id)
            returned = self.bindings.resolve(returned)
            if result is None:
                result = returned
            elif result.kind != "dyn" and returned != result:
                result = types.DYN
        return result, matching

    def instantiate(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        """The signature with type variables of its own."""
        if not overload.variables:
            return overload.params, overload.result
        fresh = {one: self.bindings.fresh() for one in overload.variables}
        return tuple(_rename(param, fresh) for param in overload.params), _rename(overload.result, fresh)

    def logic(self, node: Call, called: Function, kinds: tuple[Type, ...]) -> Type:
        for operand, kind in zip(node.args, kinds, strict=True):
            if not self.bindings.assignable(kind, types.BOOL):
                self.mismatch(operand, types.BOOL, self.bindings.resolve(kind, free_is_dyn=True))
        self.found.overloads[node.id] = (called.overloads[0].id,)
        return types.BOOL

    def no_overload(self, node: Call, name: str, kinds: tuple[Type, ...]) -> Type:
        shown = [str(self.bindings.resolve(kind, free_is_dyn=True)) for kind in kinds]
        target = f"{shown.pop(0)}." if node.target is not None else ""
        applied = f"{target}({', '.join(shown)})"
        return self.fault(node, f"found no matching overload for '{name}' applied to '{applied}'")

    # Literals of lists and maps, loops

    def list_(self, node: ListNode) -> Type:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            kind = self.member(element, optional=index in node.optional)
            joined = self.join(element, joined, kind)
        return types.list_of(joined or self.bindings.fresh())

    def map(self, node: MapNode) -> Type:
        keys: Type | None = None
        values: Type | None = None
        for entry in node.entries:
            keys = self.join(entry.key, keys, self.visit(entry.key))
            values = self.join(entry.value, values, self.member(entry.value, optional=entry.optional))
        return types.map_of(keys or self.bindings.fresh(), values or self.bindings.fresh())

    def member(self, node: Node, *, optional: bool) -> Type:
        kind = self.visit(node)
        if not optional:
            return kind
        inner, is_optional = unwrap_optional(kind)
        if not is_optional and inner.kind != "dyn":
            self.mismatch(node, types.optional_of(inner), inner)
        return inner

    def join(self, node: Node, before: Type | None, kind: Type) -> Type:
        if before is None:
            return kind
        if self.bindings.assignable(before, kind):
            return types.most_general(before, kind)
        return self.mismatch(node, before, kind)

    def comprehension(self, node: Comprehension) -> Type:
        ranged = self.bindings.resolve(self.visit(node.range))
        start = self.visit(node.start)
        first, second = self.loop_types(node, self.bindings.resolve(ranged))
        self.scopes.append({node.accumulator: start})
        self.scopes.append({node.variable: first, **({node.second: second} if node.second else {})})
        self.wanted(node.condition, types.BOOL)
        self.wanted(node.step, start)
        self.scopes.pop()
        result = self.visit(node.result)
        self.scopes.pop()
        return self.bindings.resolve(result)

    def wanted(self, node: Node, kind: Type) -> None:
        found = self.visit(node)
        if not self.bindings.assignable(kind, found):
            self.mismatch(node, kind, self.bindings.resolve(found, free_is_dyn=True))

    def loop_types(self, node: Comprehension, ranged: Type) -> tuple[Type, Type]:
        if ranged.kind == "list":
            item = ranged.params[0]
            return (types.INT, item) if node.second else (item, item)
        if ranged.kind == "map":
            return ranged.params[0], ranged.params[1]
        if ranged.kind in ("dyn", "error", "var"):
            self.bindings.assignable(types.DYN, ranged)
            return types.DYN, types.DYN
        self.fault(
            node.range,
            f"expression of type '{ranged}' cannot be range of a comprehension "
            "(must be list, map, or dynamic)",
        )
        return types.ERROR, types.ERROR

    def literals(self) -> None:
        """Constant arguments that can only fail: patterns, durations, timestamps."""
        for node in walk(self.parsed.root):
            if isinstance(node, Call) and node.function in _LITERALS and node.args:
                last = node.args[-1 if node.function == "matches" else 0]
                if isinstance(last, Literal) and isinstance(last.value, str):
                    fault = _LITERALS[node.function](last.value)
                    if fault:
                        self.fault(last, fault)


def _literal_fault(name: str) -> _Fault:
    readers: dict[str, Callable[[str], object]] = {
        "matches": regex.compile,
        "duration": duration_of,
        "timestamp": timestamp_of,
    }

    def fault(text: str) -> str:
        try:
            readers[name](text)
        except (regex.PatternError, CelError):
            return f"invalid {name} argument"
        return ""

    return fault


_LITERALS: dict[str, _Fault] = {name: _literal_fault(name) for name in ("matches", "duration", "timestamp")}


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def children(node: Node) -> list[Node]:
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Call):
        return [*([node.target] if node.target is not None else []), *node.args]
    if isinstance(node, ListNode):
        return node.elements
    if isinstance(node, MapNode):
        return [part for entry in node.entries for part in (entry.key, entry.value)]
    if isinstance(node, Comprehension):
        return [node.range, node.start, node.condition, node.step, node.result]
    return []


def _qualified(node: Node) -> str:
    """`a.b.c` as text, if a node is nothing but names."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        prefix = _qualified(node.operand)
        return f"{prefix}.{node.field}" if prefix else ""
    return ""


def _rename(kind: Type, names: dict[Type, Type]) -> Type:
    if kind in names:
        return names[kind]
    return (
        Type(kind.kind, kind.name, tuple(_rename(one, names) for one in kind.params)) if kind.params else kind
    )
