"""Random clusters in short, and that the model sees what is wrong when something is."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.struct import replace
from springtide.scheduling.classes import Constraints
from springtide.scheduling.cycle import Cycle
from springtide.scheduling.devices import Devices
from springtide.scheduling.ledger import Ledger
from springtide.scheduling.placement import Placement
from springtide.scheduling.quota import Quota
from tests.endurance import clusters


def test_forty_clusters_live_and_nothing_is_wrong() -> None:
    found = clusters.run(1, 40)
    assert found["wrong"] == 0, found["examples"]


def test_clusters_of_many_pods_and_workloads_come_to_rest_and_nothing_is_wrong() -> None:
    found = clusters.run(4000, 10, mixed=True)
    assert found["wrong"] == 0, found["examples"]
    assert found["pods sent away"]


WRONG_ONCE = {
    902: "a loan exposed who ran within its quota",
    1850: "a loan passed somebody who stood behind another borrower",
    2168: "who was made to go was given new places in the same plan",
    4207: "a loan was called in by one whose share was smaller",
    4495: "a number in an explanation ticked",
    3752: "by a second flavor a queue had more than its turn allowed",
    6374: "a gang of which nothing was left waited for its pods",
    6326: "room was short first and quota then, and a loan was called in for both",
    7388: "two workloads of one queue made each other go in turn",
}


@pytest.mark.parametrize("seed", WRONG_ONCE, ids=WRONG_ONCE.get)
def test_a_cluster_that_was_wrong_once(seed: int) -> None:
    found = clusters.run(seed, 1)
    assert found["wrong"] == 0, found["examples"]


MIXED_WRONG_ONCE = {
    6007: "a crash made a pod go before it was written for whom",
}


@pytest.mark.parametrize("seed", MIXED_WRONG_ONCE, ids=MIXED_WRONG_ONCE.get)
def test_a_cluster_of_pods_and_workloads_that_was_wrong_once(seed: int) -> None:
    found = clusters.run(seed, 1, mixed=True)
    assert found["wrong"] == 0, found["examples"]


def nothing(*_: Any, **__: Any) -> None:
    return None


def backwards(self: Cycle) -> list[Any]:
    return list(reversed(_queue(self)))


def only_the_first_pod(self: Ledger, node: str, pod_class: Any, pods: int) -> None:
    _take(self, node, pod_class, max(-1, min(1, pods)))


def whatever_the_rack(self: Placement, pod_set: Any, *more: Any) -> Any:
    return _place_set(self, replace(pod_set, required_level=""), *more)


_queue, _take, _place_set = Cycle._queue, Ledger.take, Placement.place_set
DEFECTS = {
    "quota is not charged": (Quota, "charge", nothing),
    "taints keep nobody away": (Constraints, "untolerated", nothing),
    "selectors choose every node": (Constraints, "select", lambda *_: True),
    "who came last goes first": (Cycle, "_queue", backwards),
    "of many pods one is counted": (Ledger, "take", only_the_first_pod),
    "required topology is forgotten": (Placement, "place_set", whatever_the_rack),
    "what is taken of devices stays free": (Devices, "change", nothing),
    "what was taken in vain is kept": (Placement, "rollback", nothing),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_seen(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead = DEFECTS[defect]
    monkeypatch.setattr(owner, name, instead)
    assert clusters.run(1, 60)["wrong"], f"{defect}: no cluster of sixty shows it"
