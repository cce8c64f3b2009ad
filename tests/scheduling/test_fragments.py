"""What placements strand, and what parts of devices are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.scheduling.devices import WHOLE, DeviceRequest
from springtide.scheduling.fragments import PLAIN, STANDARD, Demand, Fragments, Node, Seen, Weights
from springtide.scheduling.prices import worth
from springtide.scheduling.sharing import GPU

MODELS = ("", "A", "B")


def usable_slowly(seen: Seen, demands: list[Demand]) -> list[float]:
    """For every node, sort of pod by sort of pod: what of its free devices such a pod could use."""
    total = sum(demand.often for demand in demands)
    found = []
    for cpu, model, shares in zip(seen.cpu, seen.model, seen.share, strict=True):
        usable = 0.0
        for demand in demands:
            asked = demand.devices
            if asked is None or demand.cpu > cpu or not asked.accepts(MODELS[model]):
                continue
            if asked.count == 1:
                usable += demand.often / total * sum(int(s) for s in shares if s >= asked.share)
            elif (whole := int((shares == WHOLE).sum())) >= asked.count:
                usable += demand.often / total * whole * WHOLE
        found.append(usable)
    return found


requests = st.builds(
    DeviceRequest,
    resource=st.just(GPU),
    count=st.just(1),
    share=st.sampled_from([20, 47, 81, 100]),
    models=st.sampled_from([frozenset[str](), frozenset({"A"})]),
) | st.builds(DeviceRequest, resource=st.just(GPU), count=st.sampled_from([2, 4]))
demands = st.lists(
    st.builds(
        Demand,
        cpu=st.sampled_from([0, 1000, 4000]),
        devices=st.none() | requests,
        often=st.integers(1, 9).map(float),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def nodes(draw: st.DrawFn) -> Seen:
    count, devices = draw(st.integers(1, 5)), draw(st.sampled_from([4, 8]))
    free = st.sampled_from([0, 19, 20, 53, 81, 99, 100])
    return Seen.of(
        cpu=np.array([draw(st.sampled_from([0, 999, 1000, 8000])) for _ in range(count)]),
        model=np.array([draw(st.integers(0, 2)) for _ in range(count)]),
        share=np.array([[draw(free) for _ in range(devices)] for _ in range(count)]),
    )


@given(demands, nodes())
def test_usable_is_what_each_sort_of_pod_could_use(of: list[Demand], seen: Seen) -> None:
    found = Fragments(of, MODELS, 8, 8000, PLAIN).usable(seen)
    assert found.tolist() == pytest.approx(usable_slowly(seen, of))


@given(demands, nodes(), requests, st.sampled_from([0, 1000]))
def test_the_cost_is_what_is_stranded_more(
    of: list[Demand], seen: Seen, asked: DeviceRequest, cpu: int
) -> None:
    fragments = Fragments(of, MODELS, 8, 8000, PLAIN)
    cost = fragments.cost(seen, fragments.standing(seen), cpu, asked)
    for row in range(len(seen.cpu)):
        only = Seen.of(seen.cpu[row : row + 1], seen.model[row : row + 1], seen.share[row : row + 1])
        shares = seen.share[row].copy()
        able = np.flatnonzero(shares >= asked.share)
        if len(able) < asked.count or seen.cpu[row] < cpu:
            continue
        one = Node(int(seen.cpu[row]), int(seen.model[row]), shares.tolist(), int(seen.whole[row]))
        part = asked.share < WHOLE
        taken = [fragments.device_of(one, cpu, asked)] if part else able[: asked.count].tolist()
        shares[taken] -= asked.share
        rest = Seen.of(only.cpu - cpu, only.model, shares[None, :])
        before = only.share.sum() - usable_slowly(only, of)[0]
        after = rest.share.sum() - usable_slowly(rest, of)[0]
        assert cost[row] == pytest.approx(after - before, abs=1e-6)


@given(demands, nodes(), st.sampled_from([PLAIN, STANDARD]))
def test_one_node_at_a_time_is_worth_the_same_to_the_last_bit(
    of: list[Demand], seen: Seen, weights: Weights
) -> None:
    fragments = Fragments(of, MODELS, 8, 8000, weights)
    each = zip(seen.cpu.tolist(), seen.model.tolist(), seen.share.tolist(), seen.whole.tolist(), strict=True)
    assert fragments.standing(seen).tolist() == [fragments.standing_of(*one) for one in each]


def test_a_part_that_completes_a_device_costs_nothing_and_one_that_spoils_it_much() -> None:
    found = worth(((30, 50), (70, 50)))
    whole, rest_of_70, rest_of_60 = found[100], found[30], found[40]
    assert whole == pytest.approx(1.0)
    assert found[70] + rest_of_70 == pytest.approx(1.0, abs=0.02)
    assert rest_of_60 == pytest.approx(rest_of_70, abs=0.02), "40 holds no more than one of 30"


def test_without_parts_worth_is_size() -> None:
    assert worth(()).tolist() == pytest.approx([size / WHOLE for size in range(WHOLE + 1)])


@settings(max_examples=8)  # some tenths of a second each
@given(
    st.dictionaries(st.integers(1, 99), st.integers(1, 50), min_size=1, max_size=6).map(
        lambda found: tuple(sorted(found.items()))
    )
)
def test_more_is_never_worth_less(demand: tuple[tuple[int, int], ...]) -> None:
    found = worth(demand)
    assert (np.diff(found) >= -1e-12).all()
    assert found[0] == 0
    assert found[WHOLE] == pytest.approx(1.0)
