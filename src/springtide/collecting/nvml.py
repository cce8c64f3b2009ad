"""NVML, through NVIDIA's own binding: the real driver behind `nvidia.py`.

The binding is imported when it is first asked for (extra `gpu`); without it, or without a driver, the source
is Unavailable. What an older GPU or driver does not know is left out of a reading, call by call. Events come
through an event set, so that each Xid is told, not only the last as with DCGM's gauge.
Source: the NVML API reference, and the binding's own names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from springtide.collecting.gpus import GpuReading, Xid
from springtide.collecting.rounds import Unavailable

EVENTS_MAX = 64
"""Read in one round."""
LINKS_MAX = 18
"""NVLinks of one GPU."""


class Nvml:
    """The GPUs of this machine."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._gpus: list[tuple[Any, str, str]] = []
        """Handle, uuid and PCI address."""
        self._events: Any = None
        self._sampled: dict[str, int] = {}
        """Time stamp of the newest sample of processes, by uuid."""

    def open(self) -> None:
        try:
            import pynvml
        except ImportError:
            raise Unavailable(
                "the package nvidia-ml-py is not installed; springtide[gpu] brings it"
            ) from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise Unavailable(
                f"NVML: {error}: this machine has no NVIDIA driver, or it is not loaded"
            ) from None
        self._nvml = pynvml
        self._gpus = [gpu for index in range(pynvml.nvmlDeviceGetCount()) if (gpu := self._gpu(index))]
        if not self._gpus:
            self.close()
            raise Unavailable("NVML: the driver knows no GPU")
        self._listen()

    def read(self) -> Sequence[GpuReading]:
        return [self._read(*gpu) for gpu in self._gpus]

    def events(self) -> Sequence[Xid]:
        found: list[Xid] = []
        if self._events is None:
            return found
        nvml = self._nvml
        for _ in range(EVENTS_MAX):
            try:
                data = nvml.nvmlEventSetWait_v2(self._events, 0)
            except nvml.NVMLError:  # a time-out: there is none
                break
            if data.eventType & nvml.nvmlEventTypeXidCriticalError:
                uuid, bus = self._named(data.device)
                found.append(Xid(uuid, bus, int(data.eventData)))
        return found

    def close(self) -> None:
        nvml, self._nvml, self._gpus = self._nvml, None, []
        if nvml is None:
            return
        if self._events is not None:
            self._try(lambda: nvml.nvmlEventSetFree(self._events), nvml)
            self._events = None
        self._try(nvml.nvmlShutdown, nvml)

    # -- one GPU --------------------------------------------------------------------------------------

    def _gpu(self, index: int) -> tuple[Any, str, str] | None:
        handle = self._try(lambda: self._nvml.nvmlDeviceGetHandleByIndex(index))
        if handle is None:
            return None
        uuid = _text(self._try(lambda: self._nvml.nvmlDeviceGetUUID(handle))) or f"index {index}"
        pci = self._try(lambda: self._nvml.nvmlDeviceGetPciInfo(handle))
        return handle, uuid, short_address(_text(pci.busId)) if pci is not None else ""

    def _listen(self) -> None:
        nvml = self._nvml
        events = self._try(nvml.nvmlEventSetCreate)
        if events is None:
            return
        self._events = events
        for handle, _, _ in self._gpus:
            self._try(
                lambda gpu=handle: nvml.nvmlDeviceRegisterEvents(  # type: ignore[misc]
                    gpu, nvml.nvmlEventTypeXidCriticalError, events
                )
            )

    def _named(self, handle: Any) -> tuple[str, str]:
        uuid = _text(self._try(lambda: self._nvml.nvmlDeviceGetUUID(handle)))
        return next(((known, bus) for _, known, bus in self._gpus if known == uuid), (uuid or "unknown", ""))

    def _read(self, handle: Any, uuid: str, bus: str) -> GpuReading:
        nvml = self._nvml
        try:
            nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
                return GpuReading(uuid, bus, lost=str(error))
            if error.value in (nvml.NVML_ERROR_UNINITIALIZED, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
                raise Unavailable(f"NVML: {error}: the driver was unloaded") from None
        use = self._try(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        power = self._try(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        told = self._try(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        users = told or []
        remapped = self._try(lambda: nvml.nvmlDeviceGetRemappedRows(handle))
        return GpuReading(
            uuid,
            bus,
            counters=self._counters(handle, remapped),
            flags=self._flags(handle, remapped),
            slowdowns=self._slowdowns(handle),
            recovery=self._field(handle, nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION) or 0,
            links_down=self._links_down(handle),
            percent=int(use.gpu) if use is not None else None,
            celsius=self._try(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            watts=power / 1000 if power is not None else None,
            pids=tuple(int(one.pid) for one in users),
            memory={int(one.pid): int(one.usedGpuMemory) for one in users if one.usedGpuMemory},
            busy=self._busy(handle, uuid) if len(users) > 1 else {},
            tells_processes=told is not None,
        )

    def _busy(self, handle: Any, uuid: str) -> dict[int, float]:
        """The newest sample of each process since the last look; nothing where the driver has none."""
        since = self._sampled.get(uuid, 0)
        samples = self._try(lambda: self._nvml.nvmlDeviceGetProcessUtilization(handle, since)) or []
        if samples:
            self._sampled[uuid] = max(int(one.timeStamp) for one in samples)
        newest = sorted(samples, key=lambda one: int(one.timeStamp))
        return {int(one.pid): float(one.smUtil) for one in newest}

    def _counters(self, handle: Any, remapped: Any) -> dict[str, int]:
        nvml = self._nvml

        def ecc(kind: int, span: int) -> Any:
            return self._try(lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, kind, span))

        def retired(cause: int) -> Any:
            pages = self._try(lambda: nvml.nvmlDeviceGetRetiredPages(handle, cause))
            return len(pages) if pages is not None else None

        one, two = nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
        found = {
            "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": ecc(one, nvml.NVML_VOLATILE_ECC),
            "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": ecc(two, nvml.NVML_VOLATILE_ECC),
            "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL": None,
            "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL": ecc(two, nvml.NVML_AGGREGATE_ECC),
            "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": remapped[0] if remapped else None,
            "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": remapped[1] if remapped else None,
            "DCGM_FI_DEV_RETIRED_SBE": retired(
                nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS
            ),
            "DCGM_FI_DEV_RETIRED_DBE": retired(nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR),
            "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": self._try(lambda: nvml.nvmlDeviceGetPcieReplayCounter(handle)),
        }
        for kind in ("CRC_FLIT", "CRC_DATA", "REPLAY", "RECOVERY"):
            field = getattr(nvml, f"NVML_FI_DEV_NVLINK_{kind}_ERROR_COUNT_TOTAL")
            found[f"DCGM_FI_DEV_NVLINK_{kind}_ERROR_COUNT_TOTAL"] = self._field(handle, field)
        return {name: int(value) for name, value in found.items() if value is not None}

    def _flags(self, handle: Any, remapped: Any) -> dict[str, bool]:
        pending = self._try(lambda: self._nvml.nvmlDeviceGetRetiredPagesPendingStatus(handle))
        found = {} if pending is None else {"DCGM_FI_DEV_RETIRED_PENDING": bool(pending)}
        if remapped:
            found["DCGM_FI_DEV_ROW_REMAP_PENDING"] = bool(remapped[2])
            found["DCGM_FI_DEV_ROW_REMAP_FAILURE"] = bool(remapped[3])
        return found

    def _slowdowns(self, handle: Any) -> tuple[str, ...]:
        nvml = self._nvml
        bits = self._try(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)) or 0
        names = {
            "hw_slowdown": nvml.nvmlClocksThrottleReasonHwSlowdown,
            "sw_thermal_slowdown": nvml.nvmlClocksEventReasonSwThermalSlowdown,
            "hw_thermal_slowdown": nvml.nvmlClocksThrottleReasonHwThermalSlowdown,
            "hw_power_brake_slowdown": nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
        }
        return tuple(name for name, bit in names.items() if bits & bit)

    def _links_down(self, handle: Any) -> tuple[int, ...]:
        down = []
        for link in range(LINKS_MAX):
            active = self._try(lambda number=link: self._nvml.nvmlDeviceGetNvLinkState(handle, number))  # type: ignore[misc]
            if active is None:  # no such link
                break
            if not active:
                down.append(link)
        return tuple(down)

    def _field(self, handle: Any, number: int) -> int | None:
        values = self._try(lambda: self._nvml.nvmlDeviceGetFieldValues(handle, [number]))
        if not values or values[0].nvmlReturn != self._nvml.NVML_SUCCESS:
            return None
        value, kind = values[0].value, values[0].valueType
        nvml = self._nvml
        if kind == nvml.NVML_VALUE_TYPE_DOUBLE:
            return int(value.dVal)
        if kind == nvml.NVML_VALUE_TYPE_UNSIGNED_INT:
            return int(value.uiVal)
        return int(value.ullVal)

    def _try(self, call: Callable[[], Any], nvml: Any = None) -> Any:
        """The answer, or None where this GPU or driver does not know it."""
        nvml = nvml or self._nvml
        try:
            return call()
        except nvml.NVMLError:
            return None


def short_address(bus: str) -> str:
    """`0000:a1:00.0` of NVML's `00000000:A1:00.0`, as the kernel writes it."""
    domain, _, rest = bus.partition(":")
    return f"{domain[-4:]}:{rest}".lower() if rest else bus.lower()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)
