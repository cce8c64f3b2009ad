"""Simulated nodes with named GPUs, from the file of nodes to pods that share them and end."""

from __future__ import annotations

from pathlib import Path

from springtide import scheduling, workloads
from springtide.api import labels
from springtide.api.core import Pod, PodSpec, ResourceRequirements
from springtide.api.gpus import ALLOCATED
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from springtide.api.struct import replace
from springtide.node import load_nodes
from springtide.node.simulated import SimulatedNodes
from springtide.runtime import Runtime
from tests.builders import cluster_queue, local_queue, pod, pod_set, pod_spec, workload
from tests.embedded import Platform, embedded

NODES = """
nodes:
  - name: gpu-0
    gpus: {count: 1, sharers: 10, model: NVIDIA-A100, memory: 40000Mi}
"""
DURATION = "simulation.springtide.dev/duration"


def part(share: int) -> PodSpec:
    """A pod with a part of a GPU, as the API asks for it: by limits."""
    asked = ResourceRequirements(limits={"nvidia.com/gpu": 1, "nvidia.com/gpucores": share})
    spec = pod_spec()
    return replace(spec, containers=[replace(spec.containers[0], resources=asked)])


async def phase(platform: Platform, name: str) -> str:
    return (await platform.get(Pod, name)).status.phase


async def test_two_pods_share_a_gpu_and_the_third_follows(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(NODES)

    def simulated(runtime: Runtime) -> SimulatedNodes:
        return SimulatedNodes(runtime, load_nodes(path))

    async with embedded(scheduling.register, workloads.register, simulated) as platform:
        await platform.create(cluster_queue(), local_queue())
        forty = pod("forty", part(40), annotated={DURATION: "60s"})
        await platform.create(forty, pod("sixty", part(60), annotated={DURATION: "600s"}))
        await platform.settle()
        await platform.create(workload("third", pod_set(1, part(30), annotated={DURATION: "100s"})))
        await platform.settle()
        held = {name: (await platform.get(Pod, name)).metadata.annotations for name in ("forty", "sixty")}
        assert {name: notes[ALLOCATED] for name, notes in held.items()} == {
            "forty": "gpu-0-gpu-0,NVIDIA,16000,40:;",
            "sixty": "gpu-0-gpu-0,NVIDIA,24000,60:;",
        }
        assert [await phase(platform, name) for name in ("forty", "sixty")] == ["Running", "Running"]
        waits = find_condition((await platform.get(Workload, "third")).status.conditions, "QuotaReserved")
        assert waits is not None
        assert waits.message == (
            "needs 1 × {nvidia.com/gpu: 1 (30% of its power, 30% of its memory)}; the device with most "
            "left, 0 of node gpu-0, has 0% of its power, 0 of 40000 MiB and room for 8 of 10 sharers; "
            "0 of 1 pods fit now"
        )
        await platform.settle(70)
        assert await phase(platform, "forty") == "Succeeded"
        third = next(found for found in await platform.pods() if labels.WORKLOAD in found.metadata.labels)
        assert third.metadata.annotations[ALLOCATED] == "gpu-0-gpu-0,NVIDIA,12000,30:;"
        assert third.metadata.annotations[labels.DEVICES] == "0"
        assert third.status.phase == "Running"
        await platform.settle(120)
        assert is_true((await platform.get(Workload, "third")).status.conditions, "Finished")
