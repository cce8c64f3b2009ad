"""Is there an order of the operations on each object that explains every answer and respects real time?

The algorithm of Wing and Gong with Lowe's memory of states already tried: take any operation that no finished
one must precede, apply it to the model if its answer fits, go on, and go back where it does not. An operation
whose outcome is unknown may have happened at any later time or never. An object is a register with versions:
`None` while it does not exist, else its revision and data. Called by `histories` and `kills`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tests.endurance.operations import Action, Data, Listing, Operation, Outcome

State = tuple[int, Data] | None
_UNSEEN = -1
"""Revision of a state written by an operation that was never answered."""
_MOST_STATES = 200_000


class Undecided(RuntimeError):
    """Too many orders are possible to try them all; shorten the history."""


def violations(
    operations: Iterable[Operation], listings: Iterable[Listing], keys: Iterable[str]
) -> list[str]:
    """The objects whose history no order explains; a list that is not cached counts as a read of each."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    for listing in listings:
        if not listing.cached:
            for key in keys:
                by_key[key].append(_read(listing, key))
    return [
        f"no order explains the {len(found)} operations on {key}"
        for key, found in sorted(by_key.items())
        if not linearizable(found)
    ]


def linearizable(operations: list[Operation]) -> bool:
    """Whether some order explains the operations, all on one object. Raises Undecided."""
    ordered = sorted(operations, key=lambda one: one.invoked)
    required = sum(1 << index for index, one in enumerate(ordered) if one.outcome is not Outcome.UNKNOWN)
    tried: set[tuple[int, State]] = {(0, None)}
    stack: list[tuple[int, State]] = [(0, None)]
    while stack:
        done, state = stack.pop()
        if done & required == required:
            return True
        for index in _candidates(ordered, done):
            for following in _after(state, ordered[index]):
                found = (done | 1 << index, following)
                if found not in tried:
                    tried.add(found)
                    stack.append(found)
        if len(tried) > _MOST_STATES:
            raise Undecided(f"{len(ordered)} operations on {ordered[0].key}")
    return False


def _candidates(ordered: list[Operation], done: int) -> list[int]:
    """Operations that may come next: none that is left was answered before they were asked."""
    found: list[int] = []
    earliest = float("inf")
    for index, one in enumerate(ordered):
        if done >> index & 1:
            continue
        if one.invoked > earliest:
            break
        found.append(index)
        if one.outcome is not Outcome.UNKNOWN:
            earliest = min(earliest, one.returned)
    return found


def _after(state: State, one: Operation) -> list[State]:
    """The state after an operation whose answer fits `state`; empty if it does not."""
    if one.outcome is Outcome.UNKNOWN:
        return _perhaps(state, one)
    if one.outcome is Outcome.MISSING:
        return [None] if state is None else []
    if one.outcome is Outcome.EXISTS:
        return [state] if state is not None else []
    if one.outcome is Outcome.CONFLICT:
        return [state] if state is not None and state[0] != one.expected else []
    return _answered(state, one)


def _answered(state: State, one: Operation) -> list[State]:
    if one.action is Action.CREATE:
        return [(one.revision, one.seen)] if state is None and one.seen == one.data else []
    if state is None:
        return []
    revision, data = state
    if one.action is Action.GET:
        return [(one.revision, data)] if revision in (one.revision, _UNSEEN) and data == one.seen else []
    if one.expected and revision not in (one.expected, _UNSEEN):
        return []
    if one.action is Action.DELETE:
        return [None]
    written = _written(data, one)
    return [(one.revision, written)] if written == one.seen and one.revision > revision else []


def _perhaps(state: State, one: Operation) -> list[State]:
    """If it happened, then to this state; that it never did is what leaving it out means."""
    if one.action is Action.CREATE:
        return [(_UNSEEN, one.data)] if state is None else []
    if state is None or one.action is Action.GET:
        return []
    if one.expected and state[0] not in (one.expected, _UNSEEN):
        return []
    return [None] if one.action is Action.DELETE else [(_UNSEEN, _written(state[1], one))]


def _written(data: Data, one: Operation) -> Data:
    if one.action is Action.PATCH_V:
        return (one.data[0], data[1])
    if one.action is Action.PATCH_W:
        return (data[0], one.data[1])
    return one.data


def _read(listing: Listing, key: str) -> Operation:
    found = listing.items.get(key)
    return Operation(
        listing.client,
        key,
        Action.GET,
        listing.invoked,
        returned=listing.returned,
        outcome=Outcome.OK if found is not None else Outcome.MISSING,
        revision=found[0] if found is not None else 0,
        seen=found[1] if found is not None else ("", ""),
    )
