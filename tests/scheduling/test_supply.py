"""What classes see after many small changes is what they would see if they looked for the first time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.devices import Device, DeviceRequest
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.fragments import Demand
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.policies import FGD, FRAGMENTS, PACKING, SPREAD, Policy
from springtide.scheduling.requests import CPU, MEMORY
from springtide.scheduling.sharing import GPU
from springtide.scheduling.snapshot import idle_cluster
from springtide.scheduling.views import Share


def pods(cpu: int, memory: int, asked: DeviceRequest | None = None) -> PodClass:
    return PodClass(tuple(sorted({CPU: cpu, MEMORY: memory}.items())), Constraints(), asked)


CLASSES = (
    pods(500, 1),
    pods(3000, 4),
    pods(1000, 1, DeviceRequest(GPU, 1)),
    pods(1000, 2, DeviceRequest(GPU, 2)),
    pods(200, 1, DeviceRequest(GPU, 1, 30)),
    pods(200, 1, DeviceRequest(GPU, 1, 55, models=frozenset({"A"}))),
    pods(100, 1, DeviceRequest(GPU, 1, 0, memory=4000)),
    pods(100, 1, DeviceRequest(GPU, 2, 40, device_policy="spread")),
)
NODES = tuple(
    NodeFacts(
        f"n{index:02}",
        {},
        (),
        True,
        {CPU: (8000, 16000)[index % 2], MEMORY: 32, GPU: gpus},
        tuple(Device(f"n{index}-{number}", "AB"[index % 2], 10000, 4) for number in range(gpus)),
        "AB"[index % 2],
    )
    for index, gpus in enumerate([4, 8, 0, 8, 4, 8, 8, 1] * 4)
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "give back", "undo", "look"]),
        st.integers(0, len(CLASSES) - 1),
        st.integers(1, 5),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(steps, st.sampled_from([FRAGMENTS, FGD, PACKING, SPREAD]))
def test_many_small_looks_see_what_one_does(of: list[tuple[str, int, int]], policy: Policy) -> None:
    engine = Placement(idle_cluster(NODES, (Demand(one.cpu, one.devices, 1.0) for one in CLASSES)), policy)
    given_out: list[tuple[PodClass, Share]] = []
    marks: list[tuple[int, int]] = []
    for step, kind, count in of:
        pod_class = CLASSES[kind]
        if step == "place":
            marks.append((engine.mark(), len(given_out)))
            found = engine.place((PodSetFacts("set", count, pod_class),))
            given_out += [(pod_class, share) for share in found or ()]
        elif step == "give back" and given_out:
            marks.clear()  # what was placed before and is gone cannot be undone
            engine.give_back(*given_out.pop(kind % len(given_out)))
        elif step == "undo" and marks:
            mark, kept = marks.pop()
            engine.rollback(mark)
            del given_out[kept:]
        elif step == "look":
            engine.view(pod_class)
    again = engine.twin()
    for pod_class in CLASSES:
        seen, fresh = engine.view(pod_class), again.view(pod_class)
        assert seen.fits.tolist() == fresh.fits.tolist()
        assert seen.ranked.tolist() == fresh.ranked.tolist()
        assert (np.isfinite(seen.ranked) == (seen.fits > 0)).all()
    for pod_class, share in given_out:
        engine.give_back(pod_class, share)
    assert (engine.devices.share == engine.devices_when_empty.share).all()


def test_views_of_many_classes_are_bounded_and_stay_right() -> None:
    engine = Placement(idle_cluster(NODES))
    engine._sights._kept_max = 3
    for index in range(50):
        assert engine.place((PodSetFacts("set", 1, pods(10 + index % 7, 1)),)) is not None
    assert len(engine._sights._views) <= 3
    used = sum(10 + index % 7 for index in range(50))
    assert int(engine.free(engine.view(pods(1, 1)))[:, 0].sum()) == 12000 * len(NODES) - used
