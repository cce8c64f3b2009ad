"""Quota over a tree of cohorts, against a slow model that says each rule outright."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.scheduling.cohorts import Book, Cell, CellQuota, CycleError, QuotaNode, Tree

GPU: Cell = ("default", "nvidia.com/gpu")
PARENTS = {"a": "left", "b": "left", "c": "right", "d": "root", "left": "root", "right": "root", "root": ""}
"""Who is whose parent in the random trees: four queues, three cohorts."""
QUEUES = ("a", "b", "c", "d")


@dataclass
class Model:
    """Says by recursion what a node has, lends and may use; remembers nothing but what queues use."""

    quotas: dict[str, CellQuota]
    used: dict[str, int]

    def children(self, name: str) -> list[str]:
        return [child for child, parent in PARENTS.items() if parent == name]

    def subtree(self, name: str) -> int:
        lent = sum(self.subtree(child) - self.kept(child) for child in self.children(name))
        return self.quotas[name].nominal + lent

    def kept(self, name: str) -> int:
        limit = self.quotas[name].lending_limit
        return 0 if limit is None or not PARENTS[name] else max(0, self.subtree(name) - limit)

    def usage(self, name: str) -> int:
        if name in QUEUES:
            return self.used[name]
        return sum(max(0, self.usage(child) - self.kept(child)) for child in self.children(name))

    def available(self, name: str) -> int:
        if not PARENTS[name]:
            return self.subtree(name) - self.usage(name)
        above = self.available(PARENTS[name])
        limit = self.quotas[name].borrowing_limit
        if limit is not None:
            borrowed = max(0, self.usage(name) - self.kept(name))
            above = min(above, self.subtree(name) - self.kept(name) - borrowed + limit)
        return max(0, self.kept(name) - self.usage(name)) + above


quotas = st.builds(
    CellQuota,
    nominal=st.integers(0, 12),
    borrowing_limit=st.none() | st.integers(0, 12),
    lending_limit=st.none() | st.integers(0, 12),
)


def without_limits(quota: CellQuota) -> CellQuota:
    return CellQuota(quota.nominal)


@st.composite
def models(draw: st.DrawFn) -> Model:
    found = {name: draw(quotas) for name in PARENTS}
    found["root"] = without_limits(found["root"])
    return Model(found, {name: draw(st.integers(0, 30)) for name in QUEUES})


def book_of(model: Model) -> Book:
    def node(name: str) -> QuotaNode:
        return QuotaNode(name, PARENTS[name], {GPU: model.quotas[name]})

    tree = Tree([node(name) for name in QUEUES], [node(name) for name in PARENTS if name not in QUEUES])
    return Book(tree, {name: {GPU: amount} for name, amount in model.used.items()})


@given(models())
def test_what_is_available_is_what_the_rules_say(model: Model) -> None:
    book = book_of(model)
    assert {name: book.available(name, GPU) for name in QUEUES} == {
        name: model.available(name) for name in QUEUES
    }


@given(models(), st.lists(st.tuples(st.sampled_from(QUEUES), st.integers(1, 9)), max_size=6))
def test_uses_come_and_go_in_any_order_and_leave_nothing(model: Model, uses: list[tuple[str, int]]) -> None:
    book = book_of(model)
    before = {name: book.available(name, GPU) for name in QUEUES}
    mark = book.mark()
    for queue, amount in uses:
        book.use(queue, GPU, amount)
    for queue, amount in sorted(uses):
        book.use(queue, GPU, -amount)
    assert {name: book.available(name, GPU) for name in QUEUES} == before
    book.rollback(mark)
    assert {name: book.available(name, GPU) for name in QUEUES} == before


@given(models(), st.lists(st.sampled_from(QUEUES), max_size=40))
def test_who_takes_only_what_is_available_never_exceeds_the_whole(model: Model, asks: list[str]) -> None:
    model.used = dict.fromkeys(QUEUES, 0)
    book = book_of(model)
    for queue in asks:
        if book.available(queue, GPU) >= 1:
            book.use(queue, GPU, 1)
            model.used[queue] += 1
    assert sum(model.used.values()) <= sum(quota.nominal for quota in model.quotas.values())
    for queue in QUEUES:
        limit = model.quotas[queue].borrowing_limit
        if limit is not None:
            assert book.borrowed(queue, GPU) <= limit


@given(models())
def test_nobody_can_ever_use_more_than_the_potential(model: Model) -> None:
    model.used = dict.fromkeys(QUEUES, 0)
    book = book_of(model)
    for queue in QUEUES:
        assert max(0, book.available(queue, GPU)) <= book.potential(queue, GPU)


@pytest.mark.parametrize(
    ("used", "more", "weight", "share"),
    [
        (4, 0, 1.0, 0.0),
        (4, 4, 1.0, 250.0),
        (8, 0, 2.0, 125.0),
        (8, 0, 0.0, float("inf")),
        (4, 0, 0.0, 0.0),
    ],
    ids=[
        "its own",
        "would borrow a quarter",
        "weighs twice",
        "weight 0 borrows",
        "weight 0 keeps to its own",
    ],
)
def test_the_dominant_share_is_what_is_borrowed_of_all_there_is(
    used: int, more: int, weight: float, share: float
) -> None:
    queues = [
        QuotaNode("a", "all", {GPU: CellQuota(4)}, weight),
        QuotaNode("b", "all", {GPU: CellQuota(12)}),
    ]
    book = Book(Tree(queues), {"a": {GPU: used}})
    assert book.share("a", {GPU: more}).weighted == share


def test_cohorts_in_a_circle_are_refused_by_name() -> None:
    with pytest.raises(CycleError, match="x is its own ancestor: x < y < x"):
        Tree([], [QuotaNode("x", "y"), QuotaNode("y", "x")])
