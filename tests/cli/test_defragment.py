"""`defragment`: whom moving would let start, the gain before anything moves, and the move itself."""

from __future__ import annotations

import json

from springtide.api import labels
from springtide.api.commands import Apply
from springtide.api.configuration import (
    ConsolidationConfiguration,
    SchedulerConfiguration,
    SchedulerConfigurationSpec,
)
from springtide.api.kueue import Workload, WorkloadStatus
from springtide.api.meta import Condition, ObjectMeta
from springtide.api.struct import encode, replace
from springtide.client import Client, execute
from tests.builders import (
    admitted,
    at,
    cluster_queue,
    local_queue,
    node,
    pod_set,
    pod_spec,
    resource_flavor,
    workload,
)
from tests.cli.scene import Scene

GPU = "nvidia.com/gpu"


def running(name: str, host: str, gpus: int) -> Workload:
    """A workload that has run for long on this node and may be moved."""
    one = workload(name, pod_set(1, pod_spec(gpu=gpus)), queue="default")
    one = admitted(
        replace(one, metadata=replace(one.metadata, annotations={labels.MOVABLE: "true"})), {host: 1}
    )
    told = [
        Condition(type=type_, status="True", reason=type_, last_transition_time=at(-900))
        for type_ in ("QuotaReserved", "Admitted")
    ]
    return replace(one, status=replace(one.status, conditions=told))


def scene(*admitted_: Workload) -> Scene:
    """Two nodes of 8 GPUs, and what the scheduler has admitted, with its own name at what it wrote."""
    found = Scene().given(
        node("a", cpu=64, gpu=8), node("b", cpu=64, gpu=8), resource_flavor(), cluster_queue(), local_queue()
    )

    async def admit(client: Client) -> None:
        for one in admitted_:
            await client.create(replace(one, status=WorkloadStatus()))
            fields = {"status": encode(one.status)}
            told = Apply(Workload, one.metadata.namespace, one.metadata.name, fields, subresource="status")
            await execute(client.with_manager("scheduling"), (told,))

    return found.do(admit)


def halves() -> Scene:
    """Half of each node is in use, and one waits that asks for all of one."""
    large = workload("large", pod_set(1, pod_spec(gpu=8)), queue="default", created=1)
    return scene(running("one", "a", 4), running("two", "b", 4)).given(large)


def test_what_it_would_gain_is_shown_and_nothing_moves() -> None:
    found = halves()
    result = found.run("defragment")
    assert result.exit_code == 0, result.output
    first, second, third = result.stdout.splitlines()
    assert first in ("default/large: 8 devices start on a (1)", "default/large: 8 devices start on b (1)")
    assert second.startswith("  gains 14400 device-seconds, loses ")
    assert third.startswith(("  moves default/one (priority 0): a (1) -> b (1)", "  moves default/two"))
    assert "nothing was moved" in result.stderr
    assert evicted(found) == []


def test_applied_it_moves_what_it_said() -> None:
    found = halves()
    shown = json.loads(found.run("defragment", "-o", "json").stdout)
    (step,) = shown[0]["moves"]
    assert found.run("defragment", "--apply").exit_code == 0
    assert evicted(found) == [step["workload"].removeprefix("default/")]
    again = found.run("defragment")
    assert again.stdout == "nothing to gain: nobody waits\n", "the next cycle starts both"


def evicted(found: Scene) -> list[str]:
    names: list[str] = []

    async def look(client: Client) -> None:
        for one in (await client.list(Workload)).items:
            reasons = {c.type: (c.status, c.reason) for c in one.status.conditions}
            if reasons.get("Evicted") == ("True", "Consolidated"):
                assert one.status.admission is None
                names.append(one.metadata.name)
            elif one.metadata.name == "large" and names:
                assert reasons["QuotaReserved"] == ("False", "WaitingForPreemptedWorkloads")

    found.do(look)
    return names


def test_where_there_is_nothing_to_gain_it_says_so() -> None:
    assert scene().run("defragment").stdout == "nothing to gain: nobody waits\n"
    starts = scene().given(workload("small", pod_set(1, pod_spec(gpu=8)), queue="default"))
    assert starts.run("defragment").stdout == "nothing to gain: nobody waits\n", "the next cycle starts it"
    config = halves().given(
        SchedulerConfiguration(
            metadata=ObjectMeta(name="default"),
            spec=SchedulerConfigurationSpec(consolidation=ConsolidationConfiguration(idle_seconds=1)),
        )
    )
    assert config.run("defragment").stdout.startswith("nothing to gain: 1 wait"), "as the scheduler would"
    assert "8 devices start" in config.run("defragment", "--idle", "1800").stdout
    dear = halves().run("defragment", "--idle", "1")
    assert (
        dear.stdout == "nothing to gain: 1 wait; moving others would start none, or cost more than it gains\n"
    )
    assert scene().run("defragment", "--apply", "--dry-run").exit_code == 2
