"""GPUs through a dcgm-exporter's metrics, where one runs and the machine's NVML is not to be asked twice.

The same judgement as for NVML follows (`nvidia.py`). The exporter's `DCGM_FI_DEV_XID_ERRORS` is a gauge of
the last Xid: two within one scrape show as one, and the same twice in a row does not show at all. So it is
told when it changes, and NVML's events or the kernel's log remain the better witnesses.
Source of names and labels: dcgm-exporter's default counters (`gpu`, `UUID`, `pci_bus_id`, `Hostname`).
"""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families

from springtide.collecting.gpus import GpuReading, Xid
from springtide.collecting.nvml import short_address
from springtide.collecting.rounds import Unavailable

TIMEOUT_SECONDS = 5.0
METRICS_BYTES = 8 * 1024 * 1024
_XID = "DCGM_FI_DEV_XID_ERRORS"
_FLAGS = ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_ROW_REMAP_PENDING", "DCGM_FI_DEV_RETIRED_PENDING")
_COUNTERS = (
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
    "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL",
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
    "DCGM_FI_DEV_RETIRED_SBE",
    "DCGM_FI_DEV_RETIRED_DBE",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
    "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL",
)


class Dcgm:
    """The GPUs a dcgm-exporter tells of; a driver for `nvidia.Nvidia`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._xids: dict[str, int] = {}
        self._events: list[Xid] = []

    def open(self) -> None:
        self.read()

    def read(self) -> Sequence[GpuReading]:
        try:
            with urllib.request.urlopen(self._url, timeout=TIMEOUT_SECONDS) as answer:
                text = answer.read(METRICS_BYTES).decode("utf-8", "replace")
        except (OSError, urllib.error.URLError, ValueError) as error:
            raise Unavailable(f"{self._url} does not answer: {error}") from None
        readings, xids = parse(text)
        for uuid, (bus, number) in xids.items():
            known = self._xids.get(uuid)
            if number and known is not None and number != known:
                self._events.append(Xid(uuid, bus, number))
            self._xids[uuid] = number
        return readings

    def events(self) -> Sequence[Xid]:
        found, self._events = self._events, []
        return found

    def close(self) -> None:
        """Nothing is open."""


def parse(text: str) -> tuple[list[GpuReading], dict[str, tuple[str, int]]]:
    """Readings by GPU, and the last Xid of each. Samples without a UUID are passed over."""
    values: dict[str, dict[str, float]] = {}
    buses: dict[str, str] = {}
    owners: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            uuid = sample.labels.get("UUID", "")
            if uuid and math.isfinite(sample.value):
                name = sample.name.removesuffix("_total")  # which the parser adds to counters
                values.setdefault(uuid, {})[name] = sample.value
                owners.setdefault(uuid, set()).update(_owner(sample.labels))
                buses[uuid] = short_address(sample.labels.get("pci_bus_id", ""))
    readings = [_reading(uuid, buses[uuid], found, owners[uuid]) for uuid, found in values.items()]
    xids = {uuid: (buses[uuid], int(found[_XID])) for uuid, found in values.items() if _XID in found}
    return readings, xids


def _owner(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The pod a device is given to, where the exporter asks the kubelet (`DCGM_EXPORTER_KUBERNETES`).

    Not of the instances of a GPU that is cut (MIG): what they use is not what the GPU uses.
    """
    if labels.get("GPU_I_ID"):
        return ()
    namespace, pod = labels.get("namespace", ""), labels.get("pod", "")
    return (f"{namespace}/{pod}",) if namespace and pod else ()


def _reading(uuid: str, bus: str, found: dict[str, float], owners: Iterable[str]) -> GpuReading:
    percent, celsius = found.get("DCGM_FI_DEV_GPU_UTIL"), found.get("DCGM_FI_DEV_GPU_TEMP")
    return GpuReading(
        uuid,
        bus,
        counters={name: int(found[name]) for name in _COUNTERS if name in found},
        flags={name: bool(found[name]) for name in _FLAGS if name in found},
        percent=int(percent) if percent is not None else None,
        celsius=int(celsius) if celsius is not None else None,
        watts=found.get("DCGM_FI_DEV_POWER_USAGE"),
        memory_mib=int(found["DCGM_FI_DEV_FB_USED"]) if "DCGM_FI_DEV_FB_USED" in found else None,
        tells_processes=False,
        owners=tuple(sorted(owners)),
    )
