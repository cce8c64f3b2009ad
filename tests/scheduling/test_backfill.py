"""Reservations for the first that waits, and who may start beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.scheduling.backfill import Backfill
from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.devices import WHOLE, Device, DeviceRequest
from springtide.scheduling.durations import Lasting, certain
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import Held
from springtide.scheduling.requests import PODS
from springtide.scheduling.snapshot import idle_cluster

GPU = "nvidia.com/gpu"


class Scene:
    """Equal nodes of GPUs, and one Backfill over them."""

    def __init__(self, nodes: int, gpus: int, taken: tuple[int, ...] = (), *, named: bool = False) -> None:
        units = tuple(Device(f"gpu-{i}", "", 0, WHOLE) for i in range(gpus)) if named else ()
        facts = tuple(NodeFacts(f"n{i}", {}, (), True, {GPU: gpus, PODS: 110}, units) for i in range(nodes))
        held = np.array([taken or (0,) * nodes, (0,) * nodes], dtype=np.int64).T
        snapshot = replace(idle_cluster(facts), allocated=held)
        self.placement = Placement(snapshot)
        self.left = 60.0
        """What work that should have ended still needs."""
        self.backfill = Backfill(self.placement, Placement(snapshot), lambda key, elapsed: self.left)

    def start(self, key: str, pods: tuple[PodSetFacts, ...], now: float, lasts: float) -> bool:
        return self.backfill.start(key, pods, now, certain(lasts)) is not None

    def promised(self, key: str, pods: tuple[PodSetFacts, ...], now: float) -> float:
        reservation = self.backfill.reserve(key, pods, now)
        assert reservation is not None
        assert reservation.key == key
        assert sum(int(share.counts.sum()) for share in reservation.shares) == sum(p.count for p in pods)
        return reservation.starts

    @property
    def free(self) -> int:
        return int(self.placement.view(pods(1)[0].pod_class).fits.sum())


def pods(count: int, gpus: int = 1) -> tuple[PodSetFacts, ...]:
    return (PodSetFacts("worker", count, PodClass(((GPU, gpus),), Constraints())),)


def test_the_first_that_waits_is_promised_when_enough_has_ended() -> None:
    scene = Scene(nodes=2, gpus=4)
    assert scene.start("a", pods(4), 0.0, 100.0)
    assert scene.start("b", pods(4), 0.0, 300.0)
    assert scene.promised("head", pods(4), 10.0) == 100.0
    assert scene.promised("head", pods(5), 10.0) == 300.0


def test_a_place_that_never_comes_is_not_promised() -> None:
    scene = Scene(nodes=2, gpus=4)
    assert scene.start("a", pods(4), 0.0, 100.0)
    assert scene.backfill.reserve("head", pods(9), 10.0) is None
    assert scene.promised("head", pods(2, gpus=4), 10.0) == 100.0


@pytest.mark.parametrize(
    ("story", "gpus", "lasts", "starts"),
    [
        ("ends before the first starts", 2, 80.0, True),
        ("would hold what the first needs", 2, 120.0, False),
        ("fits beside the first", 1, 9999.0, True),
        ("does not fit now", 3, 10.0, False),
    ],
)
def test_who_may_start_before_its_turn(story: str, gpus: int, lasts: float, starts: bool) -> None:
    scene = Scene(nodes=1, gpus=8)
    assert scene.start("a", pods(6), 0.0, 100.0)
    assert scene.promised("head", pods(7), 10.0) == 100.0
    assert scene.start("other", pods(gpus), 10.0, lasts) is starts, story
    assert scene.promised("head", pods(7), 20.0) == 100.0, "the first is not delayed"


def test_beside_the_first_there_is_room_only_once() -> None:
    scene = Scene(nodes=1, gpus=8)
    assert scene.start("a", pods(4), 0.0, 100.0)
    assert scene.promised("head", pods(6), 0.0) == 100.0
    assert scene.backfill.room_beside(pods(1)[0].pod_class) == 2
    assert scene.start("b", pods(2), 0.0, 9999.0)
    assert scene.backfill.room_beside(pods(1)[0].pod_class) == 0
    assert not scene.start("c", pods(1), 0.0, 9999.0)
    assert scene.start("d", pods(2), 0.0, 99.0)
    assert scene.free == 0


def test_what_stands_in_for_the_first_is_given_on_nodes_it_does_not_need() -> None:
    scene = Scene(nodes=2, gpus=4)
    assert scene.start("a", pods(1, gpus=4), 0.0, 100.0)
    assert scene.start("b", pods(1, gpus=2), 0.0, 200.0)
    assert scene.promised("head", pods(1, gpus=4), 0.0) == 100.0
    assert scene.start("c", pods(1, gpus=2), 0.0, 9999.0)
    assert scene.free == 0
    scene.backfill.end("a")
    assert scene.start("head", pods(1, gpus=4), 100.0, 50.0)


def test_work_that_ends_early_lets_others_start_and_the_first_sooner() -> None:
    scene = Scene(nodes=1, gpus=8)
    assert scene.start("a", pods(4), 0.0, 100.0)
    assert scene.start("b", pods(4), 0.0, 500.0)
    assert scene.promised("head", pods(8), 0.0) == 500.0
    scene.backfill.end("b")
    assert scene.free == 4
    assert scene.promised("head", pods(8), 50.0) == 100.0
    scene.backfill.end("a")
    assert scene.start("head", pods(8), 60.0, 10.0)
    assert scene.backfill.reservation is None


def test_the_first_keeps_its_place_when_it_tries_too_early() -> None:
    scene = Scene(nodes=2, gpus=4)
    assert scene.start("a", pods(1, gpus=2), 0.0, 100.0)
    assert scene.start("b", pods(1, gpus=4), 0.0, 200.0)
    assert scene.promised("head", pods(1, gpus=4), 0.0) == 100.0
    assert not scene.start("head", pods(1, gpus=4), 50.0, 10.0)
    assert scene.backfill.reservation is not None
    assert not scene.start("c", pods(1, gpus=2), 50.0, 51.0)
    assert scene.start("d", pods(1, gpus=2), 50.0, 50.0)


def test_who_comes_first_starts_whoever_has_a_reservation() -> None:
    scene = Scene(nodes=1, gpus=8)
    assert scene.start("a", pods(6), 0.0, 100.0)
    assert scene.promised("later", pods(8), 0.0) == 100.0
    assert not scene.start("urgent", pods(2), 10.0, 500.0)
    now_first = scene.backfill.start("urgent", pods(2), 10.0, certain(500.0), first=True)
    assert now_first is not None
    assert scene.backfill.reservation is None
    assert scene.promised("later", pods(8), 10.0) == 510.0


def test_work_that_should_have_ended_is_expected_to_end_later() -> None:
    scene = Scene(nodes=1, gpus=8)
    assert scene.start("a", pods(8), 0.0, 100.0)
    assert scene.promised("head", pods(8), 50.0) == 100.0
    assert scene.promised("head", pods(8), 100.0) == 160.0


def test_a_careful_estimate_decides_who_ends_in_time() -> None:
    scene = Scene(nodes=1, gpus=2)
    assert scene.start("a", pods(1), 0.0, 100.0)
    assert scene.promised("head", pods(2), 0.0) == 100.0
    doubtful = Lasting(mean=50.0, expected=50.0, cautious=150.0)
    assert scene.backfill.start("b", pods(1), 0.0, doubtful) is None
    assert scene.start("c", pods(1), 0.0, 50.0)


def test_what_runs_already_is_known_from_its_pods() -> None:
    pod_class = pods(1)[0].pod_class
    scene = Scene(nodes=2, gpus=4, taken=(4, 3))
    scene.backfill.runs("old", [Held(pod_class, "n0", 3), Held(pod_class, "n1", 1)], started=0.0, ends=40.0)
    scene.backfill.runs("older", [Held(pod_class, "n0", 1), Held(pod_class, "n1", 2)], started=0.0, ends=90.0)
    assert scene.promised("head", pods(5), 10.0) == 40.0
    assert scene.promised("head", pods(6), 10.0) == 90.0
    assert scene.start("brief", pods(1), 10.0, 50.0)
    scene.backfill.end("old")
    assert scene.free == 4
    scene.backfill.end("older")
    assert scene.start("head", pods(7), 30.0, 5.0)


SHARES = st.lists(
    st.tuples(st.sampled_from((25, 50, 100)), st.integers(1, 4), st.integers(1, 50), st.booleans()),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(work=SHARES)
def test_parts_of_devices_are_given_once_whatever_starts_and_ends(
    work: list[tuple[int, int, int, bool]],
) -> None:
    """Each starts, or gets the reservation where it may not; some make the first that runs end."""
    scene = Scene(nodes=2, gpus=2, named=True)
    placement, backfill = scene.placement, scene.backfill
    running: list[str] = []
    for number, (share, count, lasts, ends) in enumerate(work):
        now = float(number)
        asked = DeviceRequest(GPU, 1, share)
        wanted = (PodSetFacts("worker", count, PodClass(((PODS, 1),), Constraints(), asked)),)
        if backfill.start(str(number), wanted, now, certain(float(lasts))) is not None:
            running.append(str(number))
        else:
            backfill.reserve(str(number), wanted, now)
        if ends and running:
            backfill.end(running.pop(0))
        assert ((placement.devices.share >= 0) & (placement.devices.share <= WHOLE)).all()
    for key in running:
        backfill.end(key)
    backfill.release()
    whole = PodClass(((PODS, 1),), Constraints(), DeviceRequest(GPU, 1))
    assert placement.view(whole).fits.tolist() == [2, 2]
    assert backfill.room_beside(whole) == 4
