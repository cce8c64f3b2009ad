"""Preemption between plain pods on the real server, from the first word to the binding."""

from __future__ import annotations

from springtide import scheduling, workloads
from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta, find_condition
from springtide.api.scheduling import PriorityClass
from springtide.api.struct import replace
from tests.builders import node, pod, pod_spec
from tests.embedded import embedded


def classed(name: str, priority_class: str) -> Pod:
    """A pod of 4 CPUs that names its priority class."""
    made = pod(name, pod_spec(cpu=4))
    return replace(made, spec=replace(made.spec, priority_class_name=priority_class, priority=None))


async def test_a_plain_pod_goes_and_the_more_important_one_gets_its_place() -> None:
    async with embedded(scheduling.register, workloads.register) as platform:
        await platform.create(node("a", cpu=4))
        for name, value in (("low", 1), ("high", 10)):
            await platform.create(PriorityClass(metadata=ObjectMeta(name=name), value=value))
        await platform.create(classed("victim", "low"))
        await platform.settle()
        assert (await platform.get(Pod, "victim")).spec.node_name == "a"
        await platform.create(classed("preemptor", "high"))
        await platform.settle()
        victim = await platform.get(Pod, "victim")
        target = find_condition(victim.status.conditions, "DisruptionTarget")
        assert target is not None
        assert (target.status, target.reason) == ("True", "PreemptionByScheduler")
        assert victim.metadata.deletion_timestamp is not None
        waiting = await platform.get(Pod, "preemptor")
        assert (waiting.spec.node_name, waiting.status.nominated_node_name) == ("", "a")
        await platform.end_deleted()
        await platform.settle()
        assert (await platform.get(Pod, "preemptor")).spec.node_name == "a"
