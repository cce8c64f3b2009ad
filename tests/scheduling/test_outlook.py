"""When those who wait are expected to start: by what runs, by quota, and by who stands before them."""

from __future__ import annotations

from springtide.scheduling import expected
from springtide.scheduling.outlook import Start
from springtide.scheduling.whatif import forecast
from tests.builders import at, cluster_queue
from tests.scheduling.test_reservations import Scene, job


def starts(scene: Scene, now: float) -> dict[str, Start]:
    return {key.split("/")[1]: start for key, start in expected(scene.snapshot(), at(now)).items()}


def test_each_starts_when_enough_before_it_has_ended() -> None:
    scene = Scene()
    scene.at(0, job("long", 4, limit=2000), job("short", 4, limit=1000))
    scene.at(10, job("first", 4, created=1, limit=600), job("second", 8, created=2, limit=600))
    assert starts(scene, 10) == {
        "first": Start(at(1000), "when default/short (4 devices) ends"),
        "second": Start(at(2000), "when default/long (4 devices) ends"),
    }


def test_who_waits_for_quota_starts_when_it_is_given_back() -> None:
    scene = Scene(nodes=2)
    scene.add(cluster_queue(quota={"nvidia.com/gpu": 8}))
    scene.at(0, job("running", 8, limit=1000))
    scene.at(10, job("waiting", 8, created=1))
    assert starts(scene, 10)["waiting"].at == at(1000)


def test_what_starts_in_this_cycle_is_waited_for_too() -> None:
    scene = Scene()
    scene.add(job("now", 8, limit=1000), job("later", 8, created=1))
    assert starts(scene, 5) == {"later": Start(at(1005), "when default/now (8 devices) ends")}


def test_who_can_never_start_is_expected_at_no_time() -> None:
    scene = Scene()
    scene.at(0, job("running", 8, limit=1000))
    scene.at(10, job("large", 9, created=1))
    assert starts(scene, 10) == {}


def test_a_strict_queue_lets_nobody_be_expected_before_its_first() -> None:
    scene = Scene(nodes=2)
    scene.add(cluster_queue(strict=True))
    scene.at(0, job("long", 8, limit=2000), job("short", 8, limit=1000))
    scene.at(10, job("first", 16, created=1, limit=600), job("second", 1, created=2))
    assert starts(scene, 10)["second"].at == at(2600)


def test_a_forecast_says_when() -> None:
    scene = Scene()
    scene.at(0, job("running", 8, limit=1000))
    (found,) = forecast(scene.state, [job("new", 8, created=5)], at(10))
    assert not found.starts
    assert found.expected_start == at(1000)
    assert found.expected_reason == "when default/running (8 devices) ends"
