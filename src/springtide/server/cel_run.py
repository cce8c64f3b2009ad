"""Evaluates a checked CEL expression, and counts what that costs while it does.

The tree is turned into closures once (`compile_program`), which then run on a `Frame`. Costs are the CEL
project's units (a field 1, a text a tenth of its length, a list 10 …), with Kubernetes' figures for its own
functions; an evaluation that reaches its limit stops at once, whatever `||` or `&&` stand around it. Called
by `cel`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from springtide.server.cel_call_costs import PAID_BEFORE, SEARCHES, call_cost
from springtide.server.cel_check import Checked
from springtide.server.cel_functions import Overload, fits, functions, no_overload
from springtide.server.cel_strings import search_steps
from springtide.server.cel_syntax import (
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
)
from springtide.server.cel_values import (
    LISTS,
    MAPS,
    CelError,
    ListView,
    ObjectView,
    Optional,
    get_key,
    has_key,
    read,
    type_name,
)

SECONDS = 2.0
"""Processor time of one evaluation, or of all rules of one object. Costs are Go's: what is cheap there can
be dear here, and a server that answers everybody from one thread must not stand still for anybody."""
_LOOK_EVERY = 4096
_STEPS_A_UNIT = 16
"""Of a regular expression: so many take as long as a unit of other work."""


class CostExceeded(Exception):
    """The evaluation has cost more than it may; no part of the expression can catch this."""

    def __str__(self) -> str:
        return "operation cancelled: actual cost limit exceeded"


class Frame:
    """One evaluation: its variables by slot, what it has cost, what it may cost.

    `work` grows with everything that takes time here, costed or not; it says when to look at the clock.
    """

    __slots__ = ("_ends", "cost", "limit", "look", "slots", "work")

    def __init__(self, slots: list[Any], limit: int, ends: float) -> None:
        self.slots = slots
        self.cost = 0
        self.limit = limit
        self.work = 0
        self.look = _LOOK_EVERY
        self._ends = ends

    def check(self) -> None:
        """Raises CostExceeded once the evaluation has cost or taken too much."""
        if self.cost > self.limit:
            raise CostExceeded
        if self.work > self.look:
            now = time.thread_time()
            self._ends = self._ends or now + SECONDS
            if now > self._ends:
                raise CostExceeded
            self.look = self.work + _LOOK_EVERY


Step = Callable[[Frame], Any]


class Program:
    """An expression ready to run."""

    __slots__ = ("_root", "_size")

    def __init__(self, root: Step, size: int) -> None:
        self._root = root
        self._size = size

    def run(self, values: tuple[Any, ...], limit: int, ends: float = 0.0) -> tuple[Any, int]:
        """The result, and what it has cost. Raises CelError (see `cost_of`) and CostExceeded.
        `ends`: the thread's processor time at which it must be done; 0: `SECONDS` from now."""
        frame = Frame([*values, *([None] * (self._size - len(values)))], limit, ends)
        try:
            result = self._root(frame)
        except CelError as error:
            error.cost = frame.cost  # type: ignore[attr-defined]
            raise
        if frame.cost > limit:
            raise CostExceeded
        return result, frame.cost


def cost_of(error: CelError) -> int:
    """What an evaluation had cost when it failed."""
    return int(getattr(error, "cost", 0))


def compile_program(checked: Checked, variables: tuple[str, ...]) -> Program:
    """Closures for a checked expression; values of `variables` are given in this order."""
    compiler = _Compiler(checked, variables)
    root = compiler.step(checked.root)
    return Program(root, compiler.size)


def _is_constant(node: Node) -> bool:
    if isinstance(node, ListNode):
        return not node.optional and all(map(_is_constant, node.elements))
    return isinstance(node, Literal)


class _Compiler:
    def __init__(self, checked: Checked, variables: tuple[str, ...]) -> None:
        self.checked = checked
        self.scope = {name: at for at, name in enumerate(variables)}
        self.size = len(variables)
        self.functions = functions()

    def step(self, node: Node) -> Step:
        if _is_constant(node):
            return _constant(_value(node))
        if node.id in self.checked.constants and isinstance(node, Ident | Select):
            return _constant(self.checked.constants[node.id])
        if isinstance(node, Ident):
            return _variable(self.scope[node.name])
        if isinstance(node, Select):
            return _presence(self.step(node.operand), node.field) if node.test else self.select(node)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, ListNode):
            return _list([self.step(one) for one in node.elements], node.optional)
        if isinstance(node, MapNode):
            parts = [(self.step(one.key), self.step(one.value), one.optional) for one in node.entries]
            return _map(parts)
        if isinstance(node, Comprehension):
            return self.comprehension(node)
        raise CelError(f"{type(node).__name__} cannot be evaluated")

    def select(self, node: Select) -> Step:
        return _field(self.step(node.operand), node.field)

    def call(self, node: Call) -> Step:
        nodes = [*([node.target] if node.target is not None else []), *node.args]
        if node.function == "_?._":
            name = nodes[1].value if isinstance(nodes[1], Literal) else ""
            return _optional_field(self.step(nodes[0]), name)
        steps = [self.step(one) for one in nodes]
        if node.function in _SPECIAL:
            return _SPECIAL[node.function](*steps)
        called = self.functions[node.function]
        chosen = self.checked.overloads[node.id]
        cost = call_cost(node.function, chosen)
        if node.function in _OPERATORS and len(steps) == 2:
            build = _scalars if node.function in _COMPARISONS else _operator
            return build(called.run, steps[0], steps[1], cost)
        overloads = [one for one in called.overloads if one.id in chosen]
        return _function(called.run, steps, overloads, cost, node.function)

    def comprehension(self, node: Comprehension) -> Step:
        ranged, start = self.step(node.range), self.step(node.start)
        outer = dict(self.scope)
        accumulator = self.slot(node.accumulator)
        if isinstance(node.range, ListNode) and not node.range.elements:
            result = self.step(node.result)
            self.scope = outer
            return _bind(accumulator, start, result)
        before = dict(self.scope)
        slots = [self.slot(node.variable)]
        if node.second:
            slots.append(self.slot(node.second))
        walk = _pairs if node.second else _items
        loop = self.loop(node, accumulator)
        self.scope = before
        result = self.step(node.result)
        self.scope = outer
        return loop(ranged, walk, slots, start, result)

    def slot(self, name: str) -> int:
        self.scope[name] = self.size
        self.size += 1
        return self.size - 1

    def loop(self, node: Comprehension, accumulator: int) -> Callable[..., Step]:
        """The loop of a macro: each shape has its own, so that errors and lists are handled right."""
        step = node.step
        if (
            isinstance(step, Call)
            and step.function in ("_&&_", "_||_")
            and _is(step.args[0], node.accumulator)
        ):
            return _quantifier(self.step(step.args[1]), stop=step.function == "_||_")
        if isinstance(node.start, ListNode):
            return self.collector(node, accumulator)
        return _fold(accumulator, self.step(step))

    def collector(self, node: Comprehension, accumulator: int) -> Callable[..., Step]:
        """map, filter and transformList: `accumulator + [item]`, perhaps under a condition."""
        step, test = node.step, None
        if isinstance(step, Call) and step.function == "_?_:_" and _is(step.args[2], node.accumulator):
            test, step = self.step(step.args[0]), step.args[1]
        item = _appended(step, node.accumulator)
        if item is not None:
            return _collect(accumulator, test, self.step(item))
        return _fold(accumulator, self.step(node.step))


def _is(node: Node, name: str) -> bool:
    return isinstance(node, Ident) and node.name == name


def _appended(step: Node, accumulator: str) -> Node | None:
    """The item that `accumulator + [item]` adds."""
    if not isinstance(step, Call) or step.function != "_+_" or not _is(step.args[0], accumulator):
        return None
    added = step.args[1]
    return added.elements[0] if isinstance(added, ListNode) and len(added.elements) == 1 else None


def _value(node: Node) -> Any:
    if isinstance(node, ListNode):
        return [_value(one) for one in node.elements]
    assert isinstance(node, Literal)
    return node.value


# Leaves and fields


def _constant(value: Any) -> Step:
    return lambda _frame: value


def _variable(slot: int) -> Step:
    def run(frame: Frame) -> Any:
        frame.cost += 1
        return frame.slots[slot]

    return run


def _field(operand: Step, name: str) -> Step:
    def run(frame: Frame) -> Any:
        frame.cost += 1
        holder = operand(frame)
        if type(holder) is ObjectView:
            field = holder.declared.fields.get(name)
            if field is not None and field.name in holder.data:  # `ObjectView.get`, for the common case
                return read(holder.data[field.name], field.declared)
            return holder.get(name)
        if type(holder) is Optional:
            return _select_optional(holder, name)
        return get_key(holder, name)

    return run


def _presence(operand: Step, name: str) -> Step:
    def run(frame: Frame) -> bool:
        holder = operand(frame)
        if type(holder) is Optional:
            return bool(holder.present) and has_key(holder.value, name)
        return has_key(holder, name)

    return run


def _optional_field(operand: Step, name: str) -> Step:
    def run(frame: Frame) -> Optional:
        frame.cost += 1
        return _select_optional(operand(frame), name)

    return run


def _select_optional(holder: Any, name: str) -> Optional:
    if type(holder) is Optional:
        if not holder.present:
            return holder
        holder = holder.value
    return Optional(get_key(holder, name), True) if has_key(holder, name) else Optional()


def _list(steps: list[Step], optional: frozenset[int]) -> Step:
    def run(frame: Frame) -> list[Any]:
        frame.cost += 10
        if not optional:
            return [step(frame) for step in steps]
        found = []
        for index, step in enumerate(steps):
            value = step(frame)
            if index not in optional:
                found.append(value)
            elif value.present:
                found.append(value.value)
        return found

    return run


def _map(parts: list[tuple[Step, Step, bool]]) -> Step:
    def run(frame: Frame) -> dict[Any, Any]:
        frame.cost += 30
        found: dict[Any, Any] = {}
        for key_step, value_step, optional in parts:
            key, value = key_step(frame), value_step(frame)
            if not isinstance(key, str | int | float):
                raise CelError(f"unsupported key type: {type_name(key)}")
            if key in found:
                raise CelError(f"insert failed: key {key} already exists")
            if not optional:
                found[key] = value
            elif value.present:
                found[key] = value.value
        return found

    return run


# Calls


Cost = Callable[[tuple[Any, ...], Any], int] | int


def _spend(frame: Frame, cost: Cost, args: tuple[Any, ...], result: Any) -> None:
    spent = cost if isinstance(cost, int) else cost(args, result)
    frame.cost += spent
    frame.work += 8 + 8 * spent
    if type(result) is list or type(result) is str:
        frame.work += len(result)
    if frame.cost > frame.limit or frame.work > frame.look:
        frame.check()


def _operator(run_it: Callable[..., Any], left: Step, right: Step, cost: Cost) -> Step:
    def run(frame: Frame) -> Any:
        one, other = left(frame), right(frame)
        result = run_it(one, other)
        _spend(frame, cost, (one, other), result)
        return result

    return run


def _scalars(run_it: Callable[..., Any], left: Step, right: Step, cost: Cost) -> Step:
    """A comparison: of short texts and of numbers it costs 1, which need not be reckoned."""

    def run(frame: Frame) -> Any:
        one, other = left(frame), right(frame)
        kind = type(one)
        if kind is type(other) and (kind is int or kind is bool or (kind is str and 0 < len(one) < 10)):
            frame.cost += 1
            frame.work += 8
            return run_it(one, other)
        result = run_it(one, other)
        _spend(frame, cost, (one, other), result)
        return result

    return run


def _function(
    run_it: Callable[..., Any], steps: list[Step], overloads: list[Overload], cost: Cost, name: str
) -> Step:
    dear, searches = name in PAID_BEFORE, name in SEARCHES

    def run(frame: Frame) -> Any:
        args = tuple([step(frame) for step in steps])
        if not any(fits(one, args) for one in overloads):
            raise no_overload(name)
        if dear:
            _spend(frame, cost, args, None)
            if searches:
                frame.work += search_steps(*args) // _STEPS_A_UNIT
                frame.check()
            return run_it(*args)
        result = run_it(*args)
        _spend(frame, cost, args, result)
        return result

    return run


_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_OPERATORS = _COMPARISONS | {"_+_", "_-_", "_*_", "_/_", "_%_", "@in", "_[_]", "_[?_]"}


def _logic(left: Step, right: Step, decides: bool) -> Step:
    """`&&` (decided by false), `||` (by true): an error counts only if the other side decides nothing."""

    def run(frame: Frame) -> bool:
        error: CelError | None = None
        try:
            found = left(frame)
            if found is decides:
                return bool(found)
            if found is not (not decides):
                error = no_overload("_||_" if decides else "_&&_")
        except CelError as fault:
            error = fault
        found = right(frame)
        if found is decides:
            return bool(found)
        if error is None and not isinstance(found, bool):
            error = no_overload("_||_" if decides else "_&&_")
        if error is not None:
            raise error
        return not decides

    return run


def _choice(test: Step, yes: Step, no: Step) -> Step:
    def run(frame: Frame) -> Any:
        found = test(frame)
        if found is True:
            return yes(frame)
        if found is False:
            return no(frame)
        raise no_overload("_?_:_")

    return run


def _negation(operand: Step) -> Step:
    def run(frame: Frame) -> bool:
        frame.cost += 1
        found = operand(frame)
        if isinstance(found, bool):
            return not found
        raise no_overload("!_")

    return run


_SPECIAL: dict[str, Callable[..., Step]] = {
    "_&&_": lambda left, right: _logic(left, right, False),
    "_||_": lambda left, right: _logic(left, right, True),
    "_?_:_": _choice,
    "!_": _negation,
}


# Loops


def _items(ranged: Any) -> Iterable[tuple[Any, ...]]:
    if not isinstance(ranged, (*LISTS, *MAPS)):
        raise CelError(f"got {type_name(ranged)!r}, expected iterable type")
    return ((item,) for item in ranged)


def _pairs(ranged: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(ranged, list | ListView):
        yield from enumerate(ranged)
    elif isinstance(ranged, MAPS):
        for key in ranged:
            yield key, get_key(ranged, key)
    else:
        raise CelError(f"got {type_name(ranged)!r}, expected iterable type")


Walk = Callable[[Any], Iterable[tuple[Any, ...]]]


def _turn(frame: Frame, slots: list[int], values: tuple[Any, ...], cost: int) -> None:
    """Begin one turn of a loop."""
    for slot, value in zip(slots, values, strict=True):
        frame.slots[slot] = value
    frame.cost += cost
    frame.work += 8
    if frame.cost > frame.limit or frame.work > frame.look:
        frame.check()


def _quantifier(test: Step, *, stop: bool) -> Callable[..., Step]:
    """all (stops at false) and exists (stops at true); an error counts only if no item decides."""

    def build(ranged: Step, walk: Walk, slots: list[int], start: Step, result: Step) -> Step:
        def run(frame: Frame) -> bool:
            error: CelError | None = None
            for values in walk(ranged(frame)):
                _turn(frame, slots, values, 3)
                try:
                    found = test(frame)
                except CelError as fault:
                    error = fault
                    continue
                if found is stop:
                    return bool(found)
                if not isinstance(found, bool):
                    error = no_overload("_||_" if stop else "_&&_")
            frame.cost += 1
            if error is not None:
                raise error
            return not stop

        return run

    return build


def _collect(accumulator: int, test: Step | None, item: Step) -> Callable[..., Step]:
    def build(ranged: Step, walk: Walk, slots: list[int], start: Step, result: Step) -> Step:
        def run(frame: Frame) -> Any:
            collected: list[Any] = []
            for values in walk(ranged(frame)):
                _turn(frame, slots, values, 12)
                if test is not None:
                    chosen = test(frame)
                    if chosen is not True:
                        if chosen is not False:
                            raise no_overload("_?_:_")
                        continue
                collected.append(item(frame))
            frame.slots[accumulator] = collected
            return result(frame)

        return run

    return build


def _fold(accumulator: int, step: Step) -> Callable[..., Step]:
    def build(ranged: Step, walk: Walk, slots: list[int], start: Step, result: Step) -> Step:
        def run(frame: Frame) -> Any:
            items = walk(ranged(frame))
            frame.slots[accumulator] = start(frame)
            for values in items:
                _turn(frame, slots, values, 0)
                frame.slots[accumulator] = step(frame)
            return result(frame)

        return run

    return build


def _bind(slot: int, start: Step, result: Step) -> Step:
    def run(frame: Frame) -> Any:
        frame.cost += 10
        frame.slots[slot] = start(frame)
        return result(frame)

    return run
