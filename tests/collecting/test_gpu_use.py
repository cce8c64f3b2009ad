"""Whose work a GPU did, and when nobody can say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from springtide.collecting.dcgm import parse
from springtide.collecting.gpu_use import GpuUse, used
from springtide.collecting.gpus import GpuReading
from springtide.collecting.rounds import Process, Scene, WatchedPod
from tests.builders import at

MIB = 2**20
POD, OTHER = WatchedPod("d", "a", "u1", gpus=True), WatchedPod("d", "b", "u2", gpus=True)
GPU = GpuReading("GPU-1", percent=80, pids=(10,), memory={10: 4000 * MIB})
IDLE = GpuReading("GPU-2", percent=0)
PIDS = {10: "u1", 11: "u1", 20: "u2"}


@dataclass(frozen=True)
class Case:
    story: str
    gpus: tuple[GpuReading, ...]
    millis: int | None
    mib: int | None
    known: bool = True
    """Whether the pod's processes are known."""


SHARED = replace(GPU, pids=(10, 20), memory={10: 1000 * MIB, 20: 3000 * MIB})
EXPORTED = GpuReading("GPU-1", percent=30, memory_mib=500, tells_processes=False)
OTHERS = replace(EXPORTED, uuid="GPU-2", percent=90, owners=("d/b",))
CASES = (
    Case("alone on its GPU", (GPU,), 800, 4000),
    Case("one of its two GPUs does nothing", (GPU, IDLE), 800, 4000),
    Case("two GPUs add up", (GPU, replace(GPU, uuid="GPU-2", percent=40)), 1200, 8000),
    Case(
        "its own two processes share one", (replace(GPU, pids=(10, 11), memory={10: MIB, 11: MIB}),), 800, 2
    ),
    Case("holds GPUs and has no process on any", (IDLE,), 0, 0),
    Case(
        "shared, and the driver tells processes apart",
        (replace(SHARED, busy={10: 15.0, 20: 60.0}),),
        150,
        1000,
    ),
    Case("shared, and nobody knows whose work it was", (SHARED,), None, 1000),
    Case("shared, and it did nothing", (replace(SHARED, percent=0),), 0, 1000),
    Case("shared with a process of nobody known", (replace(GPU, pids=(10, 99)),), None, 4000),
    Case("a device that does not say how busy it is", (replace(GPU, percent=None),), None, 4000),
    Case("a driver that does not say how much memory", (replace(GPU, memory={}),), 800, None),
    Case("a GPU is lost", (GPU, GpuReading("GPU-2", lost="GPU is lost")), None, None),
    Case("its processes cannot be seen", (IDLE,), None, None, known=False),
    Case("an exporter that names no pods", (EXPORTED,), None, None),
    Case("an exporter that names all pods", (replace(EXPORTED, owners=("d/a",)), OTHERS), 300, 500),
    Case("an exporter that does not name its neighbour", (replace(EXPORTED, owners=("d/a",)),), None, None),
    Case("an exporter that names its neighbour alone", (OTHERS,), None, None),
    Case("a GPU works for processes that nobody sees", (GPU, replace(IDLE, percent=9)), None, None),
    Case("an exporter that names two", (replace(EXPORTED, owners=("d/a", "d/b")),), None, None),
)


@pytest.mark.parametrize("case", CASES, ids=[case.story for case in CASES])
def test_what_a_pod_uses_is_told_or_said_not_to_be_measured(case: Case) -> None:
    found = used(case.gpus, processes() if case.known else {}, {"u1": "d/a", "u2": "d/b"})
    assert found["u1"] == (case.millis, case.mib)


def processes() -> dict[str, tuple[Process, ...]]:
    return {uid: tuple(Process(pid, 1) for pid, of in PIDS.items() if of == uid) for uid in ("u1", "u2")}


def look(use: GpuUse, second: float, gpu: GpuReading, *pods: WatchedPod) -> dict[str, Any]:
    return use.fields([gpu], Scene(at(second), second, pods, processes()))


def test_what_is_told_is_the_mean_of_a_minute_and_what_was_not_measured_does_not_count_in_it() -> None:
    use = GpuUse()
    assert look(use, 0, GPU, POD) == {"u1": {"gpu_millis": 800, "gpu_memory_mib": 4000}}
    assert look(use, 5, replace(GPU, percent=None), POD)["u1"]["gpu_millis"] == 800
    assert look(use, 10, replace(GPU, percent=20), POD)["u1"]["gpu_millis"] == 500
    assert look(use, 62, replace(GPU, percent=20), POD)["u1"]["gpu_millis"] == 200, "the first is too old"
    assert look(use, 200, replace(GPU, percent=None), POD)["u1"]["gpu_millis"] is None
    assert look(use, 205, GPU) == {}, "a pod that is gone is forgotten"


def test_pods_without_gpus_are_not_spoken_of() -> None:
    assert look(GpuUse(), 0, GPU, replace(POD, gpus=False)) == {}


def test_an_exporters_labels_say_whose_a_gpu_is() -> None:
    labels = 'gpu="0",UUID="GPU-1",pci_bus_id="00000000:A1:00.0",namespace="d",pod="a",container="main"'
    readings, _ = parse(f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 35\nDCGM_FI_DEV_FB_USED{{{labels}}} 1200\n")
    assert used(readings, {}, {"u1": "d/a"}) == {"u1": (350, 1200)}
    instance = f'{labels},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"'
    readings, _ = parse(f"DCGM_FI_DEV_GPU_UTIL{{{instance}}} 35\nDCGM_FI_DEV_FB_USED{{{instance}}} 1200\n")
    assert used(readings, {}, {"u1": "d/a"}) == {"u1": (None, None)}, "an instance is not the GPU"
