"""The health world: seeds hold and replay, what breaks is noticed, dead controllers write nothing."""

from __future__ import annotations

import random
from dataclasses import asdict, replace

import pytest

from springtide.client import Request, Response, Unreachable
from springtide.simulation.faults import NO_FAULTS, ControllersCrashed, FaultCounts, FaultyTransport
from springtide.simulation.healthscenario import HealthEvent, HealthScenario, draw
from springtide.simulation.healthworld import settings_of, simulate
from tests.endurance import planted_health

XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def scene(*events: HealthEvent, seed: int = 1, cap: int = 1, broken: tuple[str, ...] = ()) -> HealthScenario:
    """One job of two ranks, four nodes, and these events."""
    made = replace(
        draw(seed),
        cap=cap,
        events=(HealthEvent(0, "submit", "job-0"), *events),
        broken=frozenset(broken),
        calm_at=40.0,
        reports_nodes=False,
        reports_all=False,
        repairs=False,
    )
    jobs = {"job-0": draw(seed).jobs["job-0"]}
    spec = {**made.policy["spec"], "mode": "Enforce", "nodeMode": "", "repair": {"external": False}}
    spec |= {"breaker": {"maxCordoned": str(cap), "symptomNodes": 3, "symptomWindowSeconds": 300}}
    return replace(made, jobs=jobs, policy={**made.policy, "spec": spec}, window_seconds=300)


@pytest.mark.parametrize("seed", [3, 60009])
def test_a_seed_under_all_faults_holds(seed: int) -> None:
    report = simulate(seed, settings_of(seed))
    assert report.violations == []
    assert report.diagnoses > 0


def test_a_seed_replays() -> None:
    first, second = (simulate(4, settings_of(4)) for _ in range(2))
    assert asdict(first) == asdict(second)


def test_a_broken_gpu_takes_its_node_out_and_the_job_ends_well() -> None:
    gpu = HealthEvent(8, "gpu", "node-0", (XID, "stall"))
    report = simulate(1, NO_FAULTS, scene(gpu, broken=("node-0",)))
    assert report.violations == []
    assert (report.cordoned, report.jobs) == (1, {"job-0": "Succeeded"})


def test_the_same_on_all_nodes_takes_out_no_more_than_the_cap() -> None:
    events = [HealthEvent(8, "gpu", f"node-{n}", (XID, "stall")) for n in range(4)]
    report = simulate(1, NO_FAULTS, scene(*events, cap=2, broken=tuple(f"node-{n}" for n in range(4))))
    assert report.violations == []
    assert report.most_out <= 2


def test_an_error_of_the_program_ends_the_job_and_touches_no_node() -> None:
    said = ("Traceback (most recent call last):", '  File "train.py", line 1, in <module>', "ValueError: 3")
    report = simulate(1, NO_FAULTS, scene(HealthEvent(8, "error", "job-0", ("", *said))))
    assert report.violations == []
    assert (report.cordoned, report.jobs) == (0, {"job-0": "Failed"})


def test_a_job_that_stands_still_is_started_again() -> None:
    report = simulate(1, NO_FAULTS, scene(HealthEvent(8, "hang", "job-0")))
    assert report.violations == []
    assert report.jobs == {"job-0": "Succeeded"}


def slowed(*events: HealthEvent, nodes: tuple[str, ...] = ()) -> HealthScenario:
    """One job of three ranks that trains for longer than a minute."""
    made = scene(*events, broken=nodes)
    job = next(draw(seed).jobs["job-0"] for seed in range(6, 999, 9) if _ranks(draw(seed)) == 3)
    return replace(made, jobs={"job-0": job}, slowed=frozenset(nodes), calm_at=60.0)


def _ranks(scenario: HealthScenario) -> int:
    count: int = scenario.jobs["job-0"]["spec"]["podSets"][0]["count"]
    return count


def test_a_node_that_becomes_slow_is_suspected_and_nobody_is_moved_for_that() -> None:
    nodes = tuple(f"node-{n}" for n in range(4))
    report = simulate(1, NO_FAULTS, slowed(HealthEvent(25, "slow", "node-0", ("3.0",)), nodes=nodes[:1]))
    assert report.violations == []
    assert report.slow == {"node-0": "unknown"}


def test_a_rank_that_always_has_more_to_do_speaks_against_no_node() -> None:
    report = simulate(1, NO_FAULTS, slowed(HealthEvent(0, "skew", "job-0", ("1", "3.0"))))
    assert report.violations == []
    assert set(report.slow.values()) == {"program"}


def test_a_node_that_is_taken_out_though_nothing_of_it_broke_is_noticed() -> None:
    """The world is told that nothing broke, and then something does."""
    report = simulate(1, NO_FAULTS, scene(HealthEvent(8, "gpu", "node-0", (XID, "stall"))))
    assert "only a node with a fault of its own is cordoned" in {one.invariant for one in report.violations}


@pytest.mark.parametrize("defect", ["there is no cap", "a cordon is written without its note"])
def test_a_planted_defect_is_found(defect: str) -> None:
    """All of them: `python -m tests.endurance.planted_health`."""
    assert planted_health.find(defect, first=1, seeds=6)["found"]


class _Server:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        self.asked.append(request.method)
        return Response(200, {}, b"{}")

    def stream(self, request: Request):  # type: ignore[no-untyped-def]
        raise AssertionError(f"nobody streams here: {request.path}")

    async def close(self) -> None:
        return


def transport(server: _Server) -> FaultyTransport:
    settings = replace(NO_FAULTS, crash_every_writes=1)
    return FaultyTransport(server, random.Random(1), settings, FaultCounts(), crash=lambda: None)


async def test_what_dead_controllers_still_try_goes_nowhere() -> None:
    server = _Server()
    dying = transport(server)
    with pytest.raises(ControllersCrashed):
        await dying.send(Request("PATCH", "/api/v1/nodes/a"))
    for method in ("GET", "PATCH"):
        with pytest.raises(ControllersCrashed):
            await dying.send(Request(method, "/api/v1/nodes/a"))
    assert server.asked == ["PATCH"]


async def test_nothing_gets_through_a_partition_until_it_heals() -> None:
    server = _Server()
    apart = transport(server)
    apart.cut = True
    with pytest.raises(Unreachable):
        await apart.send(Request("GET", "/api/v1/nodes/a"))
    apart.cut = False
    await apart.send(Request("GET", "/api/v1/nodes/a"))
    assert server.asked == ["GET"]
