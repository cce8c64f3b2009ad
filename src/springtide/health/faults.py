"""Every kind of fault this room knows, with total mappings to blame, action and advice.

One enum and one table, so that class, blame and action cannot drift apart. `Diagnosis.spec.faultClass`
carries the enum's value. Used by all modules of the room.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from springtide.api.springtide import Blame


class Fault(StrEnum):
    """What happened to the rank that failed first."""

    PROGRAM_ERROR = "ProgramError"
    """The program raised, or exited with a code of its own."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The program wanted more memory than its limit or device has."""
    CRASHED = "Crashed"
    """The program died of a signal of its own making: segmentation fault, abort, bus error."""
    CANNOT_START = "CannotStart"
    """The command could not be run."""
    KILLED = "Killed"
    """SIGKILL from outside: the kernel's out-of-memory killer, or a person."""
    TERMINATED = "Terminated"
    """SIGTERM from outside while the job was to run."""
    NODE_RESTARTED = "NodeRestarted"
    """The node, or its agent, started anew and the process was gone."""
    NODE_LOST = "NodeLost"
    """The node is not heard from."""
    POD_DELETED = "PodDeleted"
    """Somebody deleted the pod while the attempt ran."""
    EVICTED = "Evicted"
    """The node put the pod out: pressure, preemption, shutdown."""
    ADMISSION_REFUSED = "AdmissionRefused"
    """The node refused the pod the scheduler sent it."""
    DEVICE_ERROR = "DeviceError"
    """A GPU of the node failed."""
    DISK_FULL = "DiskFull"
    """No space left on a disk."""
    STORAGE_ERROR = "StorageError"
    """A file system or volume failed."""
    PORT_TAKEN = "PortTaken"
    """An address the program wanted to listen on was in use."""
    PEER_LOST = "PeerLost"
    """Ranks lost a peer and nobody shows why."""


@dataclass(frozen=True)
class Verdict:
    """Whose fault it is and what the owner of the job should do next."""

    blame: Blame
    restart: bool
    """Whether a new attempt may help without a change of the program (within the platform's budget)."""
    next_step: str


VERDICTS: dict[Fault, Verdict] = {
    Fault.PROGRAM_ERROR: Verdict(
        Blame.PROGRAM, False, "Fix the program and submit it again; the evidence shows the failing line."
    ),
    Fault.OUT_OF_MEMORY: Verdict(
        Blame.PROGRAM, False, "Raise memory in spec.trainer.resourcesPerNode, or use less (a smaller batch)."
    ),
    Fault.CRASHED: Verdict(
        Blame.PROGRAM, False, "Run the rank with PYTHONFAULTHANDLER=1 to see where native code crashed."
    ),
    Fault.CANNOT_START: Verdict(
        Blame.PROGRAM,
        False,
        "Check spec.trainer.command and image: the program was not found or not runnable.",
    ),
    Fault.KILLED: Verdict(
        Blame.UNKNOWN,
        True,
        "If it repeats, raise memory in spec.trainer.resourcesPerNode: most likely out of memory.",
    ),
    Fault.TERMINATED: Verdict(Blame.PLATFORM, True, "Nothing: the job starts again."),
    Fault.NODE_RESTARTED: Verdict(Blame.PLATFORM, True, "Nothing: the job starts again from its checkpoint."),
    Fault.NODE_LOST: Verdict(Blame.NODE, True, "Nothing: the job starts again on other nodes."),
    Fault.POD_DELETED: Verdict(
        Blame.PLATFORM, True, "Nothing; to stop a job set spec.suspend or delete the job."
    ),
    Fault.EVICTED: Verdict(Blame.NODE, True, "Nothing: the job starts again on other nodes."),
    Fault.ADMISSION_REFUSED: Verdict(Blame.PLATFORM, True, "Nothing: the job starts again."),
    Fault.DEVICE_ERROR: Verdict(Blame.NODE, True, "Nothing; the node's owner should test its GPUs."),
    Fault.DISK_FULL: Verdict(
        Blame.STORAGE, False, "Free space on the disk the message names, then submit again."
    ),
    Fault.STORAGE_ERROR: Verdict(Blame.STORAGE, True, "Check the volume the message names."),
    Fault.PORT_TAKEN: Verdict(
        Blame.PLATFORM, True, "If it repeats, do not fix a port in the program: use $PET_MASTER_PORT."
    ),
    Fault.PEER_LOST: Verdict(
        Blame.NETWORK, True, "If it repeats, look at the network between the nodes named here."
    ),
}
"""Total: one entry a fault (checked by a test)."""
