"""Every kind of fault Springtide knows, with total mappings to blame, action and advice.

One enum and one table, so that class, blame and action cannot drift apart. `Diagnosis.spec.faultClass`
carries the enum's value. Used by the signatures of this room, by `health`, which writes Diagnoses, and by
the generator of the pages under docs/faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from springtide.api.springtide import Action, Blame


class Fault(StrEnum):
    """What happened to the rank that failed first."""

    PROGRAM_ERROR = "ProgramError"
    OUT_OF_MEMORY = "OutOfMemory"
    CRASHED = "Crashed"
    CANNOT_START = "CannotStart"
    KILLED = "Killed"
    TERMINATED = "Terminated"
    NODE_RESTARTED = "NodeRestarted"
    NODE_LOST = "NodeLost"
    POD_DELETED = "PodDeleted"
    EVICTED = "Evicted"
    ADMISSION_REFUSED = "AdmissionRefused"
    DEVICE_ERROR = "DeviceError"
    GPU_OFF_BUS = "GpuOffBus"
    GPU_MEMORY = "GpuMemory"
    GPU_RESET = "GpuReset"
    GPU_LINK = "GpuLink"
    GPU_PROGRAM = "GpuProgram"
    GPU_THERMAL = "GpuThermal"
    FABRIC_NOT_READY = "FabricNotReady"
    PCIE_ERROR = "PcieError"
    NIC_FAULT = "NicFault"
    NETWORK_UNREACHABLE = "NetworkUnreachable"
    COLLECTIVE_TIMEOUT = "CollectiveTimeout"
    COLLECTIVE_MISMATCH = "CollectiveMismatch"
    PEER_LOST = "PeerLost"
    HOST_MEMORY = "HostMemory"
    NODE_OUT_OF_MEMORY = "NodeOutOfMemory"
    HOST_FAULT = "HostFault"
    CPU_LOCKUP = "CpuLockup"
    DISK_FAULT = "DiskFault"
    DISK_FULL = "DiskFull"
    STORAGE_ERROR = "StorageError"
    DEVICE_PLUGIN = "DevicePlugin"
    IMAGE_OR_DRIVER = "ImageOrDriver"
    PLATFORM_SETUP = "PlatformSetup"
    PORT_TAKEN = "PortTaken"
    NUMERIC_DIVERGENCE = "NumericDivergence"
    CHECKPOINT_MISMATCH = "CheckpointMismatch"
    HANG = "Hang"
    STRAGGLER = "Straggler"
    COLLECTOR_SILENT = "CollectorSilent"
    TEARDOWN = "Teardown"
    NOTE = "Note"


@dataclass(frozen=True)
class Verdict:
    """What a fault class means, whose fault it is and what is done about it."""

    blame: Blame
    action: Action
    """By default; a signature, a site's override or a policy may say otherwise."""
    meaning: str
    """One sentence for people."""
    next_step: str
    """What the owner of the job, or of the node, should do next."""

    @property
    def restart(self) -> bool:
        """Whether a new attempt may help without a change of the program (within the platform's budget)."""
        return self.action in (Action.RESTART_IN_PLACE, Action.CORDON_EVICT)
