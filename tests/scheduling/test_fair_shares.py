"""Fair sharing over trees of cohorts: shares against a slow model, turns against a slow contest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.kueue import (
    ClusterQueue,
    Cohort,
    CohortSpec,
    FairSharing,
    ResourceFlavor,
    ResourceFlavorSpec,
)
from springtide.api.meta import ObjectMeta, find_condition
from springtide.scheduling.cohorts import Book, Cell, CellQuota, QuotaNode, Tree
from springtide.scheduling.dominance import LARGEST, NOTHING, Share
from springtide.scheduling.turns import by_share
from springtide.scheduling.victims import FAIR_STRATEGIES
from tests.builders import node
from tests.scheduling.preemption import ANY, LOWER, job, key, preempted, queue, running, settle
from tests.scheduling.world import World

FAST, SLOW, CORES = ("fast", "gpu"), ("slow", "gpu"), ("slow", "cpu")
CELLS: tuple[Cell, ...] = (FAST, SLOW, CORES)
PARENTS = {
    "a": "left",
    "b": "left",
    "c": "deep",
    "d": "root",
    "e": "",
    "deep": "right",
    "left": "root",
    "right": "root",
    "root": "",
}
"""Who is whose parent: five queues, four cohorts, up to three of them above each other."""
QUEUES = ("a", "b", "c", "d", "e")


@dataclass
class Model:
    """Says by recursion, in fractions, what the published rules say; remembers only what queues use."""

    quotas: dict[str, dict[Cell, CellQuota]]
    weights: dict[str, Fraction]
    worth: dict[Cell, Fraction]
    used: dict[str, dict[Cell, int]] = field(default_factory=dict)

    def children(self, name: str) -> list[str]:
        return [child for child, parent in PARENTS.items() if parent == name]

    def subtree(self, name: str, cell: Cell) -> int:
        lent = sum(self.subtree(child, cell) - self.kept(child, cell) for child in self.children(name))
        return self.quotas[name][cell].nominal + lent

    def kept(self, name: str, cell: Cell) -> int:
        limit = self.quotas[name][cell].lending_limit
        return 0 if limit is None or not PARENTS[name] else max(0, self.subtree(name, cell) - limit)

    def usage(self, name: str, cell: Cell) -> int:
        if name in QUEUES:
            return self.used.get(name, {}).get(cell, 0)
        return sum(max(0, self.usage(child, cell) - self.kept(child, cell)) for child in self.children(name))

    def might_use(self, name: str, cell: Cell) -> int:
        own = self.subtree(name, cell)
        if not PARENTS[name]:
            return own
        most = self.kept(name, cell) + self.might_use(PARENTS[name], cell)
        limit = self.quotas[name][cell].borrowing_limit
        return most if limit is None else min(most, own + limit)

    def share(self, name: str) -> tuple[int, float]:
        """The first is 1 where somebody without weight borrows."""
        if not PARENTS[name]:
            return 0, 0.0
        parts, borrows = [Fraction(0)], False
        for resource in ("gpu", "cpu"):
            cells = [cell for cell in CELLS if cell[1] == resource]
            over = [max(0, self.usage(name, cell) - self.subtree(name, cell)) for cell in cells]
            borrows = borrows or any(over)
            whole = sum(self.might_use(PARENTS[name], cell) * self.worth[cell] for cell in cells)
            if whole:
                borrowed = sum(amount * self.worth[cell] for amount, cell in zip(over, cells, strict=True))
                parts.append(1000 * borrowed / Fraction(whole))
        if not borrows:
            return 0, 0.0
        part, weight = float(max(parts)), float(self.weights[name])
        return (0, part / weight) if weight else (1, part)


quotas = st.builds(
    CellQuota,
    nominal=st.integers(0, 12),
    borrowing_limit=st.none() | st.integers(0, 12),
    lending_limit=st.none() | st.integers(0, 12),
)
weights = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1), Fraction(1), Fraction(3)])
worths = st.sampled_from([Fraction(1), Fraction(1), Fraction(1, 10), Fraction(5, 2), Fraction(8)])


@st.composite
def models(draw: st.DrawFn) -> Model:
    found = {name: {cell: draw(quotas) for cell in CELLS} for name in PARENTS}
    for name in ("root", "e"):
        found[name] = {cell: CellQuota(quota.nominal) for cell, quota in found[name].items()}
    used = {name: {cell: draw(st.integers(0, 30)) for cell in CELLS} for name in QUEUES}
    return Model(
        found, {name: draw(weights) for name in PARENTS}, {cell: draw(worths) for cell in CELLS}, used
    )


def tree_of(model: Model) -> Tree:
    def node(name: str) -> QuotaNode:
        return QuotaNode(name, PARENTS[name], model.quotas[name], float(model.weights[name]))

    cohorts = [node(name) for name in PARENTS if name not in QUEUES]
    return Tree([node(name) for name in QUEUES], cohorts, model.worth)


@given(models())
def test_shares_on_every_level_are_what_the_rules_say(model: Model) -> None:
    book = Book(tree_of(model), model.used)
    for name in PARENTS:
        found = book.share(name, cohort=name not in QUEUES)
        outweighed, part = model.share(name)
        assert (found.outweighed, found.part) == (bool(outweighed), part)


@settings(max_examples=25)
@given(models(), st.sampled_from([Fraction(1, 10), Fraction(7), Fraction(1000)]))
def test_a_weight_that_all_flavors_of_a_resource_have_changes_nothing(model: Model, worth: Fraction) -> None:
    model.worth = dict.fromkeys(CELLS, Fraction(1))
    plain = Book(tree_of(model), model.used)
    model.worth = {FAST: worth, SLOW: worth, CORES: Fraction(1)}
    weighed = Book(tree_of(model), model.used)
    for name in QUEUES:
        assert weighed.share(name) == plain.share(name)


def test_it_is_written_in_whole_numbers_and_never_too_large() -> None:
    assert Share(False, 250.0).spelled == 250
    assert Share(False, 250.1).spelled == 251
    assert Share(True, 0.0).spelled == LARGEST
    assert NOTHING.spelled == 0
    assert (Share(True, 3.0).weighted, Share(False, 3.0).weighted) == (math.inf, 3.0)
    assert Share(True, 1.0) < Share(True, 2.0), "among those without weight the bare part counts"


# The tables of Kueue's proposal for weights of flavors (KEP-8902): borrowed, lendable and weight by cell.
PREMIUM, SPOT, STANDARD = ("h100", "gpu"), ("a10", "gpu"), ("cpu", "cpu")
PREMIUM_CPU = ("cpu-premium", "cpu")


@pytest.mark.parametrize(
    ("rows", "unweighed", "weighed"),
    [
        ({STANDARD: (300, 1000, 1), PREMIUM: (100, 100, 8), SPOT: (0, 1000, 1)}, 300.0, 4000 / 9),
        ({STANDARD: (300, 1000, 1), PREMIUM: (10, 100, 8), SPOT: (400, 1000, 1)}, 372.727, 300.0),
        (
            {PREMIUM_CPU: (250, 300, 3), STANDARD: (50, 700, 1), PREMIUM: (100, 100, 8), SPOT: (0, 1000, 1)},
            300.0,
            500.0,
        ),
    ],
    ids=["premium devices dominate", "cheap ones do not", "premium cores dominate again"],
)
def test_flavors_count_by_their_weights_as_published(
    rows: dict[Cell, tuple[int, int, int]], unweighed: float, weighed: float
) -> None:
    lender = QuotaNode("lender", "all", {cell: CellQuota(row[1]) for cell, row in rows.items()})
    borrower = QuotaNode("borrower", "all", {cell: CellQuota(0) for cell in rows})
    used = {"borrower": {cell: row[0] for cell, row in rows.items()}}
    weights = {cell: Fraction(row[2]) for cell, row in rows.items()}
    assert Book(Tree([lender, borrower]), used).share("borrower").part == pytest.approx(unweighed, rel=1e-5)
    found = Book(Tree([lender, borrower], (), weights), used).share("borrower")
    assert found.part == pytest.approx(weighed)


def test_cheap_devices_do_not_stand_in_the_way_of_ones_own_premium_ones() -> None:
    """Team A borrows 200 of 500 spot devices; with them as cheap as they are it is nearly even with B."""
    queues = [
        QuotaNode("a", "all", {PREMIUM: CellQuota(10), SPOT: CellQuota(0)}),
        QuotaNode("b", "all", {PREMIUM: CellQuota(90)}),
        QuotaNode("spare", "all", {SPOT: CellQuota(500)}),
    ]
    used = {"a": {PREMIUM: 0, SPOT: 200}, "b": {PREMIUM: 95}}
    plain = Book(Tree(queues), used)
    weighed = Book(Tree(queues, (), {PREMIUM: Fraction(100)}), used)
    assert plain.share("a") > plain.share("b"), "200 of 600 against 5 of 600"
    assert weighed.share("a") < weighed.share("b"), "200 of 10,500 against 500 of 10,500"


# -- turns -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A workload as the contest sees it."""

    name: str
    queue: str
    more: tuple[tuple[Cell, int], ...]
    order: tuple[int, str]


@st.composite
def asks(draw: st.DrawFn) -> dict[str, list[Asked]]:
    lines: dict[str, list[Asked]] = {}
    for name in QUEUES:
        for number in range(draw(st.integers(0, 4))):
            one = f"{name}{number}"
            more = tuple((cell, draw(st.integers(0, 6))) for cell in draw(st.sets(st.sampled_from(CELLS))))
            lines.setdefault(name, []).append(Asked(one, name, more, (draw(st.integers(0, 2)), one)))
    return lines


def slow_contest(model: Model, lines: dict[str, list[Asked]]) -> list[str]:
    """One winner after the other: each cohort puts forward the child with the smallest share, from below."""
    left = {queue: list(line) for queue, line in lines.items()}
    found = []

    def with_it(node: str, one: Asked) -> tuple[int, float]:
        before = dict(model.used[one.queue])
        for cell, amount in one.more:
            model.used[one.queue][cell] += amount
        share = model.share(node)
        model.used[one.queue] = before
        return share

    def winner(node: str) -> Asked | None:
        if node in QUEUES:
            return left[node][0] if left.get(node) else None
        put_forward = [(child, one) for child in model.children(node) if (one := winner(child)) is not None]
        return min(put_forward, key=lambda pair: (with_it(*pair), pair[1].order), default=("", None))[1]

    roots = [name for name, parent in PARENTS.items() if not parent]
    while any(left.values()):
        one = min((one for root in roots if (one := winner(root)) is not None), key=lambda one: one.order)
        left[one.queue].pop(0)
        found.append(one.name)
        for cell, amount in one.more if starts(one) else ():
            model.used[one.queue][cell] += amount
    return found


def starts(one: Asked) -> bool:
    """Of those whose turn comes some start and some do not."""
    return one.order[0] != 1


@settings(max_examples=60)
@given(models(), asks())
def test_turns_are_those_of_a_contest_on_every_level(model: Model, lines: dict[str, list[Asked]]) -> None:
    tree = tree_of(model)
    book = Book(tree, model.used)

    def standing(queue: str, one: Asked) -> tuple[Share, ...]:
        mark = book.mark()
        for cell, amount in one.more:
            book.use(queue, cell, amount)
        found = book.standing(queue)
        book.rollback(mark)
        return found

    fast = []
    for one in by_share(lines, tree.above, standing, lambda one: one.order):
        fast.append(one.name)
        for cell, amount in one.more if starts(one) else ():
            book.use(one.queue, cell, amount)
    assert fast == slow_contest(model, lines)


def test_a_cohort_puts_forward_whom_its_own_contest_chose_not_whom_the_others_would_like() -> None:
    """Inside `left` b has the smaller share; that a would make `left` look smaller is not asked."""
    gpu = ("x", "gpu")
    tree = Tree(
        [
            QuotaNode("a", "left", {gpu: CellQuota(0)}, weight=1.0),
            QuotaNode("b", "left", {gpu: CellQuota(0)}, weight=8.0),
            QuotaNode("c", "root", {gpu: CellQuota(0)}),
            QuotaNode("lender", "root", {gpu: CellQuota(20)}),
        ],
        [QuotaNode("left", "root"), QuotaNode("root")],
    )
    book = Book(tree)
    sizes = {"a": 1, "b": 4, "c": 2}
    lines = {name: [Asked(name, name, ((gpu, size),), (0, name))] for name, size in sizes.items()}

    def standing(queue: str, one: Asked) -> tuple[Share, ...]:
        mark = book.mark()
        book.use(queue, gpu, sizes[queue])
        found = book.standing(queue)
        book.rollback(mark)
        return found

    turns = by_share(lines, tree.above, standing, lambda one: one.order)
    assert [one.name for one in turns] == ["c", "b", "a"]


# -- in the scheduler --------------------------------------------------------------------------------


def cohort(name: str, parent: str = "", weight: str = "") -> Cohort:
    sharing = FairSharing(weight=weight) if weight else None
    spec = CohortSpec(parent_name=parent, fair_sharing=sharing)
    return Cohort(metadata=ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec)


def two_departments(weight: str) -> World:
    """Two cohorts under one, each with a queue without quota; what they borrow belongs to `lender`."""
    world = World(node("a", cpu=64))
    world.options = {"fair_strategies": FAIR_STRATEGIES}
    world.add(cohort("all"), cohort("big", "all", weight), cohort("small", "all", "1"))
    world.add(*queue("q", 0, reclaim=ANY, cohort="big"), *queue("b", 0, reclaim=ANY, cohort="small"))
    world.add(*queue("lender", 12, cohort="all"))
    return world


@pytest.mark.parametrize(("weight", "gets"), [("1", 6), ("2", 8), ("5", 10)])
def test_departments_share_by_the_weights_of_their_cohorts(weight: str, gets: int) -> None:
    world = two_departments(weight)
    for index in range(12):
        world.add(job(f"q{index}", created=index), job(f"b{index}", queue="b", created=index))
    settle(world, 30)
    assert sum(world.is_admitted(key(f"q{index}")) for index in range(12)) == gets


def test_a_department_takes_back_by_the_weight_of_its_cohort_what_another_has_borrowed() -> None:
    world = two_departments("2")
    running(world, *(job(f"b{index}", queue="b", created=index) for index in range(12)))
    for index in range(12):
        world.add(job(f"q{index}", created=50 + index))
    settle(world, 30)
    assert sum(world.is_admitted(key(f"q{index}")) for index in range(12)) == 8


def test_queues_and_cohorts_say_what_share_they_have_and_no_more_that_it_has_no_effect() -> None:
    world = two_departments("2")
    running(world, *(job(f"q{index}", created=index) for index in range(3)))
    settle(world)

    def share(kind: type[ClusterQueue] | type[Cohort], name: str) -> int | None:
        found = world.objects[(kind, name)]
        assert isinstance(found, ClusterQueue | Cohort)
        sharing = found.status.fair_sharing
        return sharing.weighted_share if sharing is not None else None

    assert share(Cohort, "big") == 125, "3 of 12, with a weight of 2"
    assert (share(ClusterQueue, "q"), share(ClusterQueue, "b")) == (250, 0)
    assert share(Cohort, "all") is None, "it shares with nobody"
    weighed = world.objects[(ClusterQueue, "q")]
    assert isinstance(weighed, ClusterQueue)
    assert all(one.type != "UnsupportedFields" for one in weighed.status.conditions)
    assert world.cycle().commands == ()


def test_a_flavor_with_a_weight_that_is_none_closes_its_queues_by_name() -> None:
    world = World(node("a", cpu=8))
    bad = ResourceFlavor(
        metadata=ObjectMeta(name="default", uid="uid-f"),
        spec=ResourceFlavorSpec(resource_weights={"cpu": "0"}),
    )
    world.add(bad, *queue("q", 4))
    world.add(job("one"))
    world.cycle()
    found = world.condition(key("one"))
    assert (found.reason, found.message) == (
        "Misconfigured",
        "ResourceFlavor default: spec.resourceWeights[cpu]: 0 is not greater than 0; leave it out for 1",
    )


def test_with_fair_shares_nobody_goes_for_one_who_borrows_more_however_important_that_one_is() -> None:
    world = World(node("a", cpu=12))
    world.options = {"fair_strategies": FAIR_STRATEGIES}
    world.add(*queue("q", 4, reclaim=ANY, borrow=LOWER, cohort="all"))
    world.add(*queue("b", 4, reclaim=ANY, cohort="all"), *queue("lender", 4, cohort="all"))
    running(world, job("b0", 6, queue="b"), job("q0", 6, created=1))
    world.add(job("important", 4, priority=2, created=10))
    assert settle(world) < 3
    assert not preempted(world), "its share is the larger one, and what it took would be taken back"
    told = find_condition(world.objects[(ClusterQueue, "q")].status.conditions, "UnsupportedFields")  # type: ignore[attr-defined]
    assert told is not None
    assert told.message == (
        "No effect: spec.preemption.borrowWithinCohort: it counts only if the scheduler does not share fairly"
    )
