"""GPUs, by a scripted driver: what is told of them and of whose work they do; DCGM's metrics."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from springtide.collecting.dcgm import Dcgm, parse
from springtide.collecting.gpus import GpuReading, Xid
from springtide.collecting.nvidia import Nvidia
from springtide.collecting.nvml import Nvml, short_address
from springtide.collecting.rounds import Process, Unavailable
from springtide.faults import match, worth_keeping
from tests.collecting.scripted import POD, UID, scene

GPU = GpuReading("GPU-1", "0000:a1:00.0", percent=0)


class Driver:
    """Says what the test sets."""

    def __init__(self, *gpus: GpuReading) -> None:
        self.gpus: Sequence[GpuReading] = gpus
        self.xids: list[Xid] = []
        self.opened = 0
        self.gone = False

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Sequence[GpuReading]:
        if self.gone:
            raise Unavailable("NVML: the driver was unloaded")
        return self.gpus

    def events(self) -> Sequence[Xid]:
        found, self.xids = self.xids, []
        return found

    def close(self) -> None:
        """Nothing is open."""


def lines(source: Nvidia, at: float) -> list[str]:
    return [one.line for one in source.look(scene(at)).seen]


def test_each_xid_event_is_told_and_its_signature_is_the_kernels() -> None:
    driver = Driver(GPU)
    source = Nvidia(driver, worth_keeping)
    driver.xids = [Xid("GPU-1", "0000:a1:00.0", 79), Xid("GPU-1", "0000:a1:00.0", 48)]
    seen = source.look(scene(0)).seen
    assert [one.line for one in seen] == [
        "XidCriticalError: Xid=79 on GPU 0000:a1:00.0",
        "XidCriticalError: Xid=48 on GPU 0000:a1:00.0",
    ]
    kernel = match("NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', GPU has fallen off the bus.")
    ours = match(seen[0].line)
    assert kernel is not None
    assert ours is not None
    assert (ours.fault, ours.action) == (kernel.fault, kernel.action)
    assert (seen[0].device, seen[0].source) == ("0000:a1:00.0", "nvml:GPU-1")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"counters": {"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": 1}}, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL 1 (+1 in 5 s)"),
        ({"flags": {"DCGM_FI_DEV_ROW_REMAP_FAILURE": True}}, "DCGM_FI_DEV_ROW_REMAP_FAILURE 1"),
        ({"recovery": 4}, "GPU recovery required: the driver asks for: drain and reset"),
        ({"lost": "GPU is lost"}, "GPU is lost: 0000:a1:00.0: GPU is lost"),
        ({"links_down": (3, 7)}, "NVLink 7: link is down"),
    ],
)
def test_a_gpu_that_gets_worse_is_told_and_a_signature_knows_the_line(
    change: dict[str, Any], line: str
) -> None:
    good = replace(GPU, counters={"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": 0}, links_down=(3,))
    driver = Driver(good)
    source = Nvidia(driver, worth_keeping)
    assert lines(source, 0) == []
    driver.gpus = [replace(good, **change)]
    assert lines(source, 5) == [line]
    assert match(line) is not None
    assert lines(source, 10) == [], "once"


def test_clocks_slowed_by_heat_are_told_when_it_lasts() -> None:
    source = Nvidia(Driver(replace(GPU, slowdowns=("hw_thermal_slowdown",), celsius=91)), worth_keeping)
    told = {at: found for at in range(0, 60, 5) if (found := lines(source, at))}
    assert told == {30: ["clocks_event_reasons.hw_thermal_slowdown active for 30 s at 91 C"]}
    assert match(told[30][0]) is not None


def test_corrected_errors_count_only_in_numbers() -> None:
    driver = Driver(replace(GPU, counters={"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": 0}))
    source = Nvidia(driver, worth_keeping)
    for at, errors in ((0, 0), (5, 50), (10, 99)):
        driver.gpus = [replace(GPU, counters={"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": errors})]
        assert lines(source, at) == []
    driver.gpus = [replace(GPU, counters={"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": 150})]
    assert lines(source, 15) == ["DCGM_FI_DEV_ECC_SBE_VOL_TOTAL 150 (+150 in 15 s)"]


def test_a_pods_gpus_are_those_its_processes_use() -> None:
    driver = Driver(
        replace(GPU, percent=90, pids=(10,)),
        GpuReading("GPU-2", percent=30, pids=(11,)),
        GpuReading("GPU-3", percent=100, pids=(99,)),
    )
    now = scene(0, [POD], {UID: (Process(10, 1), Process(11, 1))})
    assert Nvidia(driver, worth_keeping).look(now).activity == {
        UID: {"gpu_percent": 60, "busy_time": now.now}
    }
    driver.gpus = [replace(GPU, percent=1, pids=(10,))]
    assert Nvidia(driver, worth_keeping).look(now).activity == {UID: {"gpu_percent": 1}}


def test_a_driver_that_is_unloaded_makes_the_source_unavailable_and_is_opened_anew() -> None:
    driver = Driver(GPU)
    source = Nvidia(driver, worth_keeping)
    source.look(scene(0))
    driver.gone = True
    with pytest.raises(Unavailable, match="unloaded"):
        source.look(scene(5))
    driver.gone = False
    source.look(scene(65))
    assert driver.opened == 2


def test_without_the_binding_or_a_driver_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(Unavailable, match=r"nvidia-ml-py is not installed; springtide\[gpu\] brings it"):
        Nvml().open()


class NoAnswer(Exception):
    """As `pynvml.NVMLError`, with the value that says which."""

    def __init__(self, value: int) -> None:
        super().__init__({3: "Not Supported", 10: "Timeout", 15: "GPU is lost"}[value])
        self.value = value


class Binding(SimpleNamespace):
    """What is used of pynvml; a call that is not set is not supported, as on an old GPU."""

    NVMLError = NoAnswer
    NVML_SUCCESS = 0
    NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED = 15, 16
    NVML_ERROR_UNINITIALIZED, NVML_ERROR_DRIVER_NOT_LOADED = 1, 9

    def __getattr__(self, name: str) -> Any:
        if name == "nvmlEventTypeXidCriticalError":
            return 8
        if not name.startswith("nvml") or name.startswith("nvmlClocks"):
            return 1 << (len(name) % 8)  # a constant
        if name in ("nvmlInit", "nvmlShutdown", "nvmlEventSetFree", "nvmlDeviceRegisterEvents"):
            return lambda *_: None

        def unsupported(*_: Any) -> None:
            raise NoAnswer(3)

        return unsupported


def test_an_old_gpu_that_knows_little_is_read_as_far_as_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [SimpleNamespace(eventType=8, eventData=79, device="handle")]

    def wait(_set: object, _timeout: int) -> SimpleNamespace:
        if not events:
            raise NoAnswer(10)
        return events.pop()

    binding = Binding(
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda _: "handle",
        nvmlDeviceGetUUID=lambda _: "GPU-1",
        nvmlDeviceGetPciInfo=lambda _: SimpleNamespace(busId=b"00000000:A1:00.0"),
        nvmlEventSetCreate=lambda: "set",
        nvmlEventSetWait_v2=wait,
        nvmlDeviceGetTemperature=lambda *_: 41,
        nvmlDeviceGetRemappedRows=lambda _: (2, 1, 1, 0),
    )
    monkeypatch.setitem(sys.modules, "pynvml", binding)
    driver = Nvml()
    driver.open()
    assert driver.events() == [Xid("GPU-1", "0000:a1:00.0", 79)]
    assert driver.events() == []
    (found,) = driver.read()
    assert found.celsius == 41
    assert found.counters == {
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": 2,
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": 1,
    }
    assert found.flags == {"DCGM_FI_DEV_ROW_REMAP_PENDING": True, "DCGM_FI_DEV_ROW_REMAP_FAILURE": False}
    assert (found.percent, found.recovery, found.links_down) == (None, 0, ())

    def lost(*_: object) -> None:
        raise NoAnswer(15)

    binding.nvmlDeviceGetTemperature = lost
    assert driver.read()[0].lost == "GPU is lost"
    driver.close()


def test_addresses_are_written_as_the_kernel_writes_them() -> None:
    assert short_address("00000000:A1:00.0") == "0000:a1:00.0"
    assert short_address("") == ""


METRICS = """\
# HELP DCGM_FI_DEV_XID_ERRORS Value of the last XID error encountered.
# TYPE DCGM_FI_DEV_XID_ERRORS gauge
DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-1",pci_bus_id="00000000:A1:00.0",device="nvidia0",Hostname="n"} %d
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",pci_bus_id="00000000:A1:00.0",device="nvidia0",Hostname="n"} 97
# TYPE DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS counter
DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS{gpu="0",UUID="GPU-1",pci_bus_id="00000000:A1:00.0"} 2
# TYPE DCGM_FI_DEV_ROW_REMAP_FAILURE gauge
DCGM_FI_DEV_ROW_REMAP_FAILURE{gpu="0",UUID="GPU-1",pci_bus_id="00000000:A1:00.0"} 0
"""


def test_an_exporters_metrics_are_read_into_the_same_readings() -> None:
    readings, xids = parse(METRICS % 0)
    assert readings == [
        GpuReading(
            "GPU-1",
            "0000:a1:00.0",
            counters={"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": 2},
            flags={"DCGM_FI_DEV_ROW_REMAP_FAILURE": False},
            percent=97,
            tells_processes=False,
        )
    ]
    assert xids == {"GPU-1": ("0000:a1:00.0", 0)}


def test_the_gauge_of_the_last_xid_is_told_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Dcgm("http://exporter/metrics")
    told = []
    for value in (45, 45, 79, 79, 48):  # the first was there before, and nobody knows since when
        monkeypatch.setattr(
            "springtide.collecting.dcgm.urllib.request.urlopen", lambda *_, xid=value, **__: Answer(xid)
        )
        exporter.read()
        told += [one.number for one in exporter.events()]
    assert told == [79, 48]


class Answer:
    """An answer of the exporter."""

    def __init__(self, xid: int) -> None:
        self._text = (METRICS % xid).encode()

    def read(self, limit: int) -> bytes:
        return self._text[:limit]

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


def test_an_exporter_that_does_not_answer_makes_the_source_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Dcgm("http://127.0.0.1:1/metrics").open()


def test_what_ended_and_comes_again_is_told_again() -> None:
    driver = Driver(GPU)
    source = Nvidia(driver, worth_keeping)
    bad = replace(GPU, recovery=1, links_down=(3,))
    told = []
    for at, gpu in ((0, GPU), (5, bad), (10, GPU), (15, bad)):
        driver.gpus = (gpu,)
        told.append(lines(source, at))
    again = ["GPU recovery required: the driver asks for: GPU reset", "NVLink 3: link is down"]
    assert told == [[], again, [], again]


def test_a_gauge_without_a_number_is_passed_over() -> None:
    readings, _ = parse('DCGM_FI_DEV_PCIE_REPLAY_COUNTER{UUID="GPU-1",pci_bus_id="0"} NaN\n')
    assert [one.counters for one in readings] in ([], [{}])
