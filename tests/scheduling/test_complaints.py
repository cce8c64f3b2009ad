"""What users of other schedulers complain of, by its number, each a scene that must come out right here.

Others stand where their subject does: preemption in `test_preemption`, Volcano's queues in
`test_volcano_queues`, lost members and topology beside them, devices and crashes in `tests/simulation`.
"""

from __future__ import annotations

from datetime import datetime

from springtide.api.commands import Apply
from springtide.api.kueue import FlavorQuotas, ResourceGroup, ResourceQuota, Workload
from springtide.api.struct import replace
from springtide.scheduling import Ranking, Sight
from springtide.scheduling.plan import Options, plan
from springtide.scheduling.policies import FRAGMENTS, PACKING, Policy
from tests.builders import (
    at,
    cluster_queue,
    gpu_node,
    local_queue,
    node,
    pod,
    pod_set,
    pod_spec,
    resource_flavor,
    workload,
)
from tests.scheduling.world import World

NOW: datetime = at(100)


def test_kueue_9715_ten_thousand_that_do_not_fit_hold_nobody_up() -> None:
    """BestEffortFIFO looked at the same head again and again with 10,000 workloads behind it."""
    looks: list[int] = []

    def counting(sight: Sight) -> Ranking:
        looks.append(len(sight.free))
        return FRAGMENTS.score(sight)

    world = World(node("a", cpu=8, gpu=8))
    large = pod_set(2, pod_spec(cpu=1, gpu=8))
    world.add(*(workload(f"large-{n:05}", large, created=n) for n in range(10_000)))
    world.add(workload("small", pod_set(1, pod_spec(cpu=1)), created=10_000))
    decided = plan(world.snapshot(), NOW, Options(Policy("counting", counting)))
    for command in decided.commands:
        world.execute(command)
    assert world.is_admitted("default/small")
    assert len(looks) < 20, "each sort of pods is looked at once, not each workload"
    assert world.condition("default/large-09999").reason == "TopologyPlacementFailed"


def test_kueue_9694_a_head_that_never_fits_does_not_starve_a_small_one_behind_it() -> None:
    world = World(node("a", cpu=8, gpu=8))
    world.add(cluster_queue(quota={"nvidia.com/gpu": 20_000, "cpu": 8}), local_queue())
    world.add(workload("huge", pod_set(1250, pod_spec(gpu=8)), created=0))
    world.add(workload("small", pod_set(1, pod_spec(cpu=1)), created=1))
    world.cycle()
    assert not world.is_admitted("default/huge")
    assert world.is_admitted("default/small")


def test_kueue_6214_a_gang_of_a_hundred_with_room_for_99_holds_nothing() -> None:
    """99 of 100 pods were placed, and their nodes wasted until a timeout."""
    world = World(*(node(f"n{index:03}", cpu=8, gpu=8) for index in range(99)))
    world.add(workload("hundred", pod_set(100, pod_spec(cpu=1, gpu=8)), created=0))
    world.add(workload("other", pod_set(99, pod_spec(cpu=1, gpu=8)), created=1))
    world.cycle()
    assert not world.is_admitted("default/hundred")
    assert sum(world.placement("default/other")["node"].values()) == 99
    assert "99 of 100 pods fit now" in world.condition("default/hundred").message or (
        "hold 99" in world.condition("default/hundred").message
    )


def test_kueue_407_what_cannot_be_placed_takes_no_quota() -> None:
    """Quota was given to what then stayed Pending, while others that would fit were kept out."""
    world = World(node("a", cpu=8, gpu=4), node("b", cpu=8, gpu=4))
    world.add(cluster_queue(quota={"nvidia.com/gpu": 8, "cpu": 16}), local_queue())
    world.add(workload("whole", pod_set(1, pod_spec(gpu=8)), created=0))
    world.add(workload("parts", pod_set(2, pod_spec(gpu=4)), created=1))
    world.cycle()
    assert not world.is_admitted("default/whole")
    assert world.is_admitted("default/parts")


def test_kubernetes_4671_a_gang_of_unlike_pods_is_not_refused_for_the_order_of_its_sets() -> None:
    """What the first set takes may be the only place of the second (KEP-4671: greedy, no second try)."""
    world = World(gpu_node("a", 2, cpu=16), node("b", cpu=1, gpu=8))
    small = pod_set(1, pod_spec(cpu="500m", gpu=1), name="head")
    large = pod_set(1, pod_spec(cpu=4, gpu=2), name="worker")
    for index, sets in enumerate(([small, large], [large, small])):
        name = f"w{index}"
        world.add(workload(name, *sets))
        world.cycle(policy=PACKING)
        assert world.placement(f"default/{name}") == {"head": {"b": 1}, "worker": {"a": 1}}
        world.remove(world.workload(f"default/{name}"))


def test_kueue_8095_those_who_wait_cost_no_writes_while_only_numbers_change() -> None:
    """Each change of the cluster rewrote the status of thousands that still wait."""
    world = World(node("a", cpu=8, gpu=8))
    world.add(*(workload(f"w{n:04}", pod_set(1, pod_spec(cpu=1, gpu=8)), created=n) for n in range(500)))
    world.cycle()
    assert world.cycle(refresh=False).commands == ()
    world.add(pod("other", pod_spec(cpu=1), node="a", phase="Running"))
    assert len(world.cycle(refresh=False).commands) <= 40


def test_a_gang_of_any_size_is_admitted_by_one_write() -> None:
    """One write a pod, and a webhook for each, is what limits others."""
    world = World(*(node(f"n{index}", cpu=8, gpu=8) for index in range(64)))
    world.add(workload("gang", pod_set(64, pod_spec(cpu=1, gpu=8))))
    written = [one for one in world.cycle().commands if isinstance(one, Apply) and one.kind is Workload]
    assert len(written) == 1


def test_kueue_12523_a_flavor_with_quota_whose_nodes_are_full_is_not_insisted_upon() -> None:
    """Quota was assigned first and never thought over, where the nodes of its flavor had no room."""
    flavors = [
        FlavorQuotas(name=name, resources=[ResourceQuota(name="cpu", nominal_quota=8)])
        for name in ("on-demand", "spot")
    ]
    queue = cluster_queue()
    groups = [ResourceGroup(covered_resources=["cpu"], flavors=flavors)]
    world = World(
        resource_flavor("on-demand", {"pool": "a"}),
        resource_flavor("spot", {"pool": "b"}),
        node("a", cpu=2, labelled={"pool": "a"}),
        node("b", cpu=8, labelled={"pool": "b"}),
        replace(queue, spec=replace(queue.spec, resource_groups=groups)),
        workload("job", pod_set(2, pod_spec(cpu=3))),
    )
    world.cycle()
    assert world.placement("default/job") == {"node": {"b": 2}}
