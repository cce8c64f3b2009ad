"""CEL expressions as trees: read by the CEL project's own parser, handed on as plain nodes.

`cel_expr_python` (the CEL project's C++ implementation) does the grammar, the macros and the words of
syntax errors; it hands out the tree as the bytes of a `cel.expr.ParsedExpr`, which is decoded here.
Checking, cost and evaluation are ours (`cel_check`, `cel_cost`, `cel_run`), because Kubernetes types
expressions by a schema and counts what they cost. The library is imported when the first rule is read.
Called by `cel`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from springtide.server.cel_values import UInt

RESULT = "@result"
"""What the parser calls the accumulator of a comprehension."""
_SORTED = "@__sortBy_input__"
LONGEST = 65_536
"""Characters of one expression; the parser itself takes no more than 32 levels of nesting."""


class SyntaxFault(ValueError):
    """The text is no CEL expression; says so in the parser's words."""


@dataclass(slots=True)
class Literal:
    id: int
    value: Any


@dataclass(slots=True)
class Ident:
    id: int
    name: str


@dataclass(slots=True)
class Select:
    """`operand.field`, or `has(operand.field)` if `test`."""

    id: int
    operand: Node
    field: str
    test: bool


@dataclass(slots=True)
class Call:
    """A function, operator or method. `target` is the receiver of a method."""

    id: int
    function: str
    args: list[Node]
    target: Node | None = None


@dataclass(slots=True)
class ListNode:
    id: int
    elements: list[Node]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True)
class Entry:
    key: Node
    value: Node
    optional: bool


@dataclass(slots=True)
class MapNode:
    id: int
    entries: list[Entry]


@dataclass(slots=True)
class StructNode:
    id: int
    name: str


@dataclass(slots=True)
class Comprehension:
    """The loop behind all, exists, map, filter …; with `key` it runs over pairs."""

    id: int
    variable: str
    second: str
    range: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node = Literal | Ident | Select | Call | ListNode | MapNode | StructNode | Comprehension


@dataclass(slots=True)
class Parsed:
    """An expression with the places of its nodes, for messages."""

    text: str
    root: Node
    positions: dict[int, int] = field(default_factory=dict)

    def complain(self, node: int, message: str) -> str:
        """A message about a node the way CEL compilers print them: place, line, caret."""
        offset = max(0, self.positions.get(node, 0))
        before = self.text[:offset]
        line, column = before.count("\n"), offset - (before.rfind("\n") + 1)
        source = self.text.split("\n")[line] if self.text else ""
        return f"ERROR: <input>:{line + 1}:{column + 1}: {message}\n | {source}\n | {'.' * column}^"


def parse(text: str) -> Parsed:
    """Read an expression. Raises `SyntaxFault`."""
    if len(text) > LONGEST:
        raise SyntaxFault(f"the expression has {len(text)} characters; at most {LONGEST} are taken")
    try:
        blob = _parser()(text)
    except (RuntimeError, ValueError) as error:
        message = str(error).removeprefix("INVALID_ARGUMENT: ").removeprefix("CANCELLED: ")
        raise SyntaxFault(message.removesuffix(" [INVALID_ARGUMENT]").removesuffix(" [CANCELLED]")) from None
    reader = _Tree(text)
    for number, value in _fields(blob):
        if number == 2:
            return reader.parsed(value)
    raise SyntaxFault("the parser gave no expression")


@cache
def _parser() -> Callable[[str], bytes]:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional

    environment = cel.NewEnv(variables={}, extensions=[ext_optional.ExtOptional()])

    def read(text: str) -> bytes:
        return bytes(environment.compile(text, disable_check=True).serialize())

    return read


class _Tree:
    """Decodes the messages of `cel/expr/syntax.proto`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.next_id = 1_000_000
        self.positions: dict[int, int] = {}

    def parsed(self, data: bytes) -> Parsed:
        message = dict(_fields(data))
        for number, value in _fields(message.get(3, b"")):
            if number == 4:
                pair = dict(_fields(value))
                self.positions[pair.get(1, 0)] = pair.get(2, 0)
        return Parsed(self.text, self.expression(message[2]), self.positions)

    def expression(self, data: bytes) -> Node:
        identity, kind, value = 0, 0, b""
        for number, found in _fields(data):
            if number == 2:
                identity = found
            else:
                kind, value = number, found
        return _READERS[kind](self, identity, value)

    def literal(self, identity: int, data: bytes) -> Node:
        for number, value in _fields(data):
            return Literal(identity, _CONSTANTS[number](value))
        return Literal(identity, None)

    def ident(self, identity: int, data: bytes) -> Node:
        return Ident(identity, dict(_fields(data))[1].decode())

    def select(self, identity: int, data: bytes) -> Node:
        message = dict(_fields(data))
        return Select(identity, self.expression(message[1]), message[2].decode(), bool(message.get(3)))

    def call(self, identity: int, data: bytes) -> Node:
        target, function, args = None, "", []
        for number, value in _fields(data):
            if number == 1:
                target = self.expression(value)
            elif number == 2:
                function = value.decode()
            else:
                args.append(self.expression(value))
        call = Call(identity, function, args, target)
        return self.expand(call) if target is not None and function in _EXPANDED else call

    def list(self, identity: int, data: bytes) -> Node:
        elements: list[Node] = []
        optional: list[int] = []
        for number, value in _fields(data):
            if number == 1:
                elements.append(self.expression(value))
            else:
                optional.extend(value if isinstance(value, bytes) else [value])
        return ListNode(identity, elements, frozenset(optional))

    def struct(self, identity: int, data: bytes) -> Node:
        name, entries = "", []
        for number, value in _fields(data):
            if number == 1:
                name = value.decode()
            elif not name:
                entry = dict(_fields(value))
                key, member = self.expression(entry[3]), self.expression(entry[4])
                entries.append(Entry(key, member, bool(entry.get(5))))
        return StructNode(identity, name) if name else MapNode(identity, entries)

    def comprehension(self, identity: int, data: bytes) -> Node:
        message = dict(_fields(data))
        text = {number: message[number].decode() for number in (1, 3, 8) if number in message}
        nodes = {number: self.expression(message[number]) for number in (2, 4, 5, 6, 7)}
        return Comprehension(
            identity,
            text.get(1, ""),
            text.get(8, ""),
            nodes[2],
            text.get(3, RESULT),
            nodes[4],
            nodes[5],
            nodes[6],
            nodes[7],
        )

    # The macros with two variables, which the library leaves as calls.

    def expand(self, call: Call) -> Node:
        if call.function == "sortBy" and len(call.args) == 2:
            return self.sort_by(call, self.variable(call.args[0]))
        if call.function == "existsOne" and len(call.args) == 2:
            variable = self.variable(call.args[0])
            return self.one(call, variable, "", call.args[1])
        if call.function not in _MACROS:
            return call
        count, build = _MACROS[call.function]
        if len(call.args) not in count:
            return call
        first, second = self.variable(call.args[0]), self.variable(call.args[1])
        if first == second:
            self.refuse(call.args[1], f"duplicate variable name: {first}")
        return build(self, call, first, second)

    def variable(self, node: Node) -> str:
        if isinstance(node, Ident) and node.name != RESULT:
            return node.name
        return self.refuse(node, "argument must be a simple name")

    def refuse(self, node: Node, message: str) -> str:
        raise SyntaxFault(Parsed(self.text, node, self.positions).complain(node.id, message))

    def fresh(self, near: Call) -> int:
        self.next_id += 1
        self.positions[self.next_id] = self.positions.get(near.id, 0)
        return self.next_id

    def loop(self, call: Call, first: str, second: str, parts: tuple[Node, Node, Node, Node]) -> Node:
        assert call.target is not None
        start, condition, step, result = parts
        return Comprehension(
            self.fresh(call), first, second, call.target, RESULT, start, condition, step, result
        )

    def accumulated(self, call: Call) -> Node:
        return Ident(self.fresh(call), RESULT)

    def all(self, call: Call, first: str, second: str) -> Node:
        condition = Call(self.fresh(call), "@not_strictly_false", [self.accumulated(call)])
        step = Call(self.fresh(call), "_&&_", [self.accumulated(call), call.args[2]])
        start = Literal(self.fresh(call), True)
        return self.loop(call, first, second, (start, condition, step, self.accumulated(call)))

    def exists(self, call: Call, first: str, second: str) -> Node:
        negated = Call(self.fresh(call), "!_", [self.accumulated(call)])
        condition = Call(self.fresh(call), "@not_strictly_false", [negated])
        step = Call(self.fresh(call), "_||_", [self.accumulated(call), call.args[2]])
        start = Literal(self.fresh(call), False)
        return self.loop(call, first, second, (start, condition, step, self.accumulated(call)))

    def exists_one(self, call: Call, first: str, second: str) -> Node:
        return self.one(call, first, second, call.args[2])

    def one(self, call: Call, first: str, second: str, test: Node) -> Node:
        plus = Call(self.fresh(call), "_+_", [self.accumulated(call), Literal(self.fresh(call), 1)])
        step = Call(self.fresh(call), "_?_:_", [test, plus, self.accumulated(call)])
        result = Call(self.fresh(call), "_==_", [self.accumulated(call), Literal(self.fresh(call), 1)])
        start, always = Literal(self.fresh(call), 0), Literal(self.fresh(call), True)
        return self.loop(call, first, second, (start, always, step, result))

    def sort_by(self, call: Call, variable: str) -> Node:
        """The target gets a name, its sort keys are mapped, and the two are sorted together."""
        assert call.target is not None
        item = ListNode(self.fresh(call), [call.args[1]])
        step = Call(self.fresh(call), "_+_", [self.accumulated(call), item])
        always, start = Literal(self.fresh(call), True), ListNode(self.fresh(call), [])
        source = Ident(self.fresh(call), _SORTED)
        keys = Comprehension(
            self.fresh(call), variable, "", source, RESULT, start, always, step, self.accumulated(call)
        )
        sorted_ = Call(self.fresh(call), "@sortByAssociatedKeys", [keys], Ident(self.fresh(call), _SORTED))
        never, empty = Literal(self.fresh(call), False), ListNode(self.fresh(call), [])
        named = Ident(self.fresh(call), _SORTED)
        return Comprehension(
            self.fresh(call), "#unused", "", empty, _SORTED, call.target, never, named, sorted_
        )

    def transform_list(self, call: Call, first: str, second: str) -> Node:
        item = ListNode(self.fresh(call), [call.args[-1]])
        step: Node = Call(self.fresh(call), "_+_", [self.accumulated(call), item])
        return self.transform(call, first, second, ListNode(self.fresh(call), []), step)

    def transform_map(self, call: Call, first: str, second: str) -> Node:
        args = [self.accumulated(call), Ident(self.fresh(call), first), call.args[-1]]
        step: Node = Call(self.fresh(call), "cel.@mapInsert", args)
        return self.transform(call, first, second, MapNode(self.fresh(call), []), step)

    def transform_map_entry(self, call: Call, first: str, second: str) -> Node:
        step: Node = Call(self.fresh(call), "cel.@mapInsert", [self.accumulated(call), call.args[-1]])
        return self.transform(call, first, second, MapNode(self.fresh(call), []), step)

    def transform(self, call: Call, first: str, second: str, start: Node, step: Node) -> Node:
        if len(call.args) == 4:
            step = Call(self.fresh(call), "_?_:_", [call.args[2], step, self.accumulated(call)])
        always = Literal(self.fresh(call), True)
        return self.loop(call, first, second, (start, always, step, self.accumulated(call)))


_Build = Callable[[_Tree, Call, str, str], Node]
_MACROS: dict[str, tuple[tuple[int, ...], _Build]] = {
    "all": ((3,), _Tree.all),
    "exists": ((3,), _Tree.exists),
    "existsOne": ((3,), _Tree.exists_one),
    "exists_one": ((3,), _Tree.exists_one),
    "transformList": ((3, 4), _Tree.transform_list),
    "transformMap": ((3, 4), _Tree.transform_map),
    "transformMapEntry": ((3, 4), _Tree.transform_map_entry),
}

_EXPANDED = frozenset({*_MACROS, "sortBy"})

_READERS: dict[int, Callable[[_Tree, int, bytes], Node]] = {
    3: _Tree.literal,
    4: _Tree.ident,
    5: _Tree.select,
    6: _Tree.call,
    7: _Tree.list,
    8: _Tree.struct,
    9: _Tree.comprehension,
}


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_CONSTANTS: dict[int, Callable[[Any], Any]] = {
    1: lambda _: None,
    2: bool,
    3: _signed,
    4: UInt,
    5: lambda data: struct.unpack("<d", data)[0],
    6: lambda data: data.decode(),
    7: bytes,
}


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number, and an int (varint) or bytes (all else)."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        else:
            size = 8 if kind == 1 else 4
            if kind == 2:
                size, at = _varint(data, at)
            yield number, data[at : at + size]
            at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
