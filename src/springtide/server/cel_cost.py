"""What a CEL expression can cost at most, told from the sizes that the schema allows.

Called by `cel.compile_expression`; CRDs whose rules could cost too much are refused. The model and its
figures are the CEL project's (cel-go `checker/cost.go`) with Kubernetes' functions (`cel_call_estimates`),
because the limits are Kubernetes'.

It walks the tree by itself: `cel_check` must have typed the whole expression first, and all that the two
share is which kinds of nodes there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from springtide.server.cel_call_estimates import Argument, estimate_call
from springtide.server.cel_check import Checked
from springtide.server.cel_ranges import NOTHING, ONE, UNKNOWN, Range, fixed
from springtide.server.cel_schema import Declared
from springtide.server.cel_syntax import (
    RESULT,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
)
from springtide.server.cel_types import Type

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entries:
    """The sizes of the keys and values that a literal or a computed collection holds."""

    kind: str
    key: Range
    value: Range

    def union(self, other: _Entries | None) -> _Entries | None:
        if other is None:
            return None
        return replace(self, key=self.key.union(other.key), value=self.value.union(other.value))


@dataclass(frozen=True, slots=True)
class _Local:
    """A variable of a loop: where in the schema its values come from, and how big they are."""

    path: Path
    size: Range | None
    entries: _Entries | None = None


def estimate(checked: Checked, root: Declared) -> int:
    """The most that one evaluation over a value of type `root` can cost."""
    return _Estimator(checked, root).cost(checked.root).most


class _Estimator:
    def __init__(self, checked: Checked, root: Declared) -> None:
        self.checked = checked
        self.declared = root
        self.locals: dict[str, list[_Local]] = {}
        self.paths: dict[int, Path] = {}
        self.sizes: dict[int, Range] = {}
        self.entries: dict[int, _Entries] = {}

    def cost(self, node: Node) -> Range:
        if node.id in self.checked.constants:
            self.paths[node.id] = (self.checked.constants[node.id].name,)
            return ONE
        if isinstance(node, Ident):
            found = self.local(node.name)
            self.paths[node.id] = found.path if found else (node.name,)
            return ONE
        if isinstance(node, Select):
            return self.select(node)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, ListNode):
            return self.list_(node)
        if isinstance(node, MapNode):
            return self.map(node)
        if isinstance(node, Comprehension):
            return self.bind(node) if _is_bind(node) else self.comprehension(node)
        return NOTHING

    def local(self, name: str) -> _Local | None:
        stack = self.locals.get(name)
        return stack[-1] if stack else None

    def type(self, node: Node) -> Type:
        return self.checked.types[node.id]

    def path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            found = self.local(node.name)
            if found is not None:
                return found.path
        return self.paths.get(node.id, ())

    def select(self, node: Select) -> Range:
        total = self.cost(node.operand)
        if node.test:
            return total
        if self.type(node.operand).kind in ("map", "object", "var"):
            total = total.plus(ONE)
        self.paths[node.id] = (*self.path(node.operand), node.field)
        return total

    def call(self, node: Call) -> Range:
        if node.function == "dyn":
            inner = self.cost(node.args[0])
            self.copy(node, node.args[0])
            return inner.plus(ONE)
        costs = [self.cost(arg) for arg in node.args]
        args = [self.argument(arg) for arg in node.args]
        overloads = self.checked.overloads.get(node.id, ())
        total, target = NOTHING, None
        if node.target is not None:
            total = self.cost(node.target)
            target = self.argument(node.target)
        if not overloads:
            return NOTHING
        spent, size = None, None
        for overload in overloads:
            one, result = self.overload(node, overload, target, args, costs)
            spent = one if spent is None else spent.union(one)
            if result is not None:
                size = result if size is None else size.union(result)
            if overload in _INDEXED:
                entry = self.entries_of(node.args[0])
                size = entry.value if entry else None
                self.paths[node.id] = (*self.path(node.args[0]), _INDEXED[overload])
            if size is None:
                size = self.size(node)
        if size is not None:
            self.sizes[node.id] = size
        assert spent is not None
        return total.plus(spent)

    def overload(
        self, node: Call, overload: str, target: Argument | None, args: list[Argument], costs: list[Range]
    ) -> tuple[Range, Range | None]:
        """The cost of one overload with its arguments, and the size of its result."""
        if overload in ("logical_or", "logical_and"):
            return Range(costs[0].least, costs[0].plus(costs[1]).most), None
        if overload == "conditional":
            self.merge(node, node.args[1], node.args[2])
            size = args[1].size.union(args[2].size)
            return costs[0].plus(costs[1].union(costs[2])), size
        together = NOTHING
        for cost in costs:
            together = together.plus(cost)
        if overload == "add_list" or overload in ("add_string", "add_bytes"):
            self.merge(node, node.args[0], node.args[1])
        spent, size_of_result = estimate_call(node.function, overload, target, args)
        return spent.plus(together), size_of_result

    def merge(self, node: Node, one: Node, other: Node) -> None:
        first = self.entries_of(one)
        merged = first.union(self.entries_of(other)) if first else None
        if merged is not None:
            self.entries[node.id] = merged

    def list_(self, node: ListNode) -> Range:
        total, size = NOTHING, None
        for element in node.elements:
            total = total.plus(self.cost(element))
            found = self.size_or_unknown(element)
            size = found if size is None else size.union(found)
        self.entries[node.id] = _Entries("list", ONE, size or NOTHING)
        return total.plus(fixed(10))

    def map(self, node: MapNode) -> Range:
        total, keys, values = NOTHING, None, None
        for entry in node.entries:
            total = total.plus(self.cost(entry.key)).plus(self.cost(entry.value))
            key, value = self.size_or_unknown(entry.key), self.size_or_unknown(entry.value)
            keys = key if keys is None else keys.union(key)
            values = value if values is None else values.union(value)
        self.entries[node.id] = _Entries("map", keys or NOTHING, values or NOTHING)
        return total.plus(fixed(30))

    def comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.start))
        self.push(node.accumulator, self.bound(node.start))
        names = self.enter_loop(node)
        turn = self.cost(node.condition).plus(self.cost(node.step))
        for name in names:
            self.locals[name].pop()
        total = total.plus(self.cost(node.result))
        self.locals[node.accumulator].pop()
        turns = self.size_or_unknown(node.range)
        if isinstance(node.start, Literal):
            self.remember(node, self.size(node.start))
        elif isinstance(node.start, ListNode | MapNode):
            self.sizes[node.id] = turns
            step = self.entries_of(node.step)
            if step is not None:
                self.entries[node.id] = step
        return total.plus(turns.times(turn))

    def enter_loop(self, node: Comprehension) -> list[str]:
        entries = self.entries_of(node.range)
        kind = entries.kind if entries else self.type(node.range).kind
        path = self.path(node.range)
        key, value = (entries.key, entries.value) if entries else (None, None)
        inside = "@items" if kind == "list" else "@values"
        if node.second:
            self.push(node.variable, _Local((*path, "@indices" if kind == "list" else "@keys"), key))
            self.push(node.second, _Local((*path, inside), value))
            return [node.variable, node.second]
        if kind == "list":
            self.push(node.variable, _Local((*path, "@items"), value))
        else:
            self.push(node.variable, _Local((*path, "@keys"), key))
        return [node.variable]

    def bind(self, node: Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.start))
        self.push(node.accumulator, self.bound(node.start))
        total = total.plus(self.cost(node.result))
        self.locals[node.accumulator].pop()
        self.copy(node, node.result)
        return total

    def bound(self, node: Node) -> _Local:
        return _Local(self.path(node), self.size(node), self.entries_of(node))

    def push(self, name: str, found: _Local) -> None:
        self.locals.setdefault(name, []).append(found)

    # Sizes

    def argument(self, node: Node) -> Argument:
        path = self.path(node)
        if path and path[0] in (RESULT, "__result__"):
            path = ()
        literal = node.value if isinstance(node, Literal) else None
        kind = self.type(node)
        element = None
        if kind.params and kind.kind in ("list", "map"):
            size = self.by_schema((*path, "@items")) if path else None
            element = Argument(kind.params[0], size or UNKNOWN)
        return Argument(kind, self.size_or_unknown(node), element, literal, known=self.size(node) is not None)

    def size_or_unknown(self, node: Node) -> Range:
        return self.size(node) or UNKNOWN

    def size(self, node: Node) -> Range | None:
        if node.id in self.sizes:
            return self.sizes[node.id]
        if isinstance(node, Literal):
            return fixed(len(node.value)) if isinstance(node.value, str | bytes) else ONE
        if isinstance(node, ListNode):
            return fixed(len(node.elements))
        if isinstance(node, MapNode):
            return fixed(len(node.entries))
        declared = self.by_schema(self.path(node))
        if declared is not None:
            self.sizes[node.id] = declared
            return declared
        if _is_scalar(self.type(node)):
            return ONE
        found = self.local(node.name) if isinstance(node, Ident) else None
        return found.size if found else None

    def by_schema(self, path: Path) -> Range | None:
        """How big the schema lets the value at a path from `self` get."""
        if not path:
            return None
        at: Declared | None = self.declared
        for step in path[1:]:
            if at is None:
                return None
            if step in ("@items", "@values"):
                at = at.element
            elif step == "@keys":
                at = _KEY if at.type.kind == "map" else None
            else:
                field = at.fields.get(step)
                at = field.declared if field else None
        return Range(0, at.largest) if at is not None else None

    def entries_of(self, node: Node) -> _Entries | None:
        found = self.entries.get(node.id)
        if found is None and isinstance(node, Ident):
            local = self.local(node.name)
            return local.entries if local else None
        return found

    def copy(self, node: Node, source: Node) -> None:
        self.remember(node, self.size(source))
        entries = self.entries_of(source)
        if entries is not None:
            self.entries[node.id] = entries

    def remember(self, node: Node, size: Range | None) -> None:
        if size is not None:
            self.sizes[node.id] = size


_KEY = Declared(Type("string"), 2)
"""The keys of a map; upstream reckons their length as nothing."""
_INDEXED = {"index_list": "@items", "index_map": "@values"}
_SCALARS = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})


def _is_scalar(kind: Type) -> bool:
    if kind.name == "optional_type":
        return _is_scalar(kind.params[0])
    return kind.kind in _SCALARS


def _is_bind(node: Comprehension) -> bool:
    """Whether a loop only gives a value a name (what optMap is made of)."""
    never = isinstance(node.condition, Literal) and node.condition.value is False
    return (
        isinstance(node.range, ListNode) and not node.range.elements and never and node.accumulator != RESULT
    )
