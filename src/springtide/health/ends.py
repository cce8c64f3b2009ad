"""How a failed pod's containers ended, in the words of kubelets and of our node. Pure; for `diagnosis`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from springtide.api.core import ContainerStateTerminated, Pod
from springtide.faults import Fault
from springtide.health.evidence import stamp

POD_REASONS: dict[str, Fault] = {
    "NodeRestarted": Fault.NODE_RESTARTED,
    "NodeLost": Fault.NODE_LOST,
    "NodeShutdown": Fault.NODE_RESTARTED,
    "Shutdown": Fault.NODE_RESTARTED,
    "Terminated": Fault.NODE_RESTARTED,
    "Evicted": Fault.EVICTED,
    "Preempting": Fault.EVICTED,
    "UnexpectedAdmissionError": Fault.ADMISSION_REFUSED,
    "NodeAffinity": Fault.ADMISSION_REFUSED,
    "OutOfcpu": Fault.ADMISSION_REFUSED,
    "OutOfmemory": Fault.ADMISSION_REFUSED,
    "OutOfpods": Fault.ADMISSION_REFUSED,
    "UnsupportedVolume": Fault.CANNOT_START,
    "DeadlineExceeded": Fault.PROGRAM_ERROR,
}
"""`status.reason` of pods that failed without their program's doing (kubelet's words, and our node's)."""

LAST_SIGNAL = 64
"""Linux' highest signal (SIGRTMAX)."""
START_REASONS = {"StartError", "ContainerCannotRun", "CreateContainerError", "RunContainerError"}


def pod_fault(pod: Pod) -> Fault | None:
    """What its node says it stopped the pod for; None where it says nothing."""
    reason = pod.status.reason
    if reason in POD_REASONS:
        return POD_REASONS[reason]
    return Fault.ADMISSION_REFUSED if re.match(r"OutOf[a-z]|UnexpectedAdmission", reason) else None


def terminated(pod: Pod) -> Iterable[ContainerStateTerminated]:
    """How its containers ended, those that have."""
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    return (status.state.terminated for status in statuses if status.state.terminated is not None)


def first_ended(pod: Pod) -> ContainerStateTerminated | None:
    """The container that ended first without success."""
    bad = [state for state in terminated(pod) if state.exit_code != 0 or state.reason in START_REASONS]
    return min(bad, key=lambda state: stamp(state.finished_at), default=None)


def ended_at(pod: Pod) -> float:
    """When its first container failed, in seconds of the epoch; infinity where unknown."""
    ended = first_ended(pod)
    return stamp(ended.finished_at) if ended is not None else float("inf")


def first_ended_container(pod: Pod) -> str:
    """Name of the container that ended first without success; "" leaves the choice to the server."""
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    ended = first_ended(pod)
    return next((one.name for one in statuses if ended is not None and one.state.terminated is ended), "")


def signal_in(exit_code: int) -> int:
    """The signal a shell's exit code stands for (137 is 9), or 0: `sys.exit(-1)` makes 255, no signal."""
    number = exit_code - 128
    return number if 0 < number <= LAST_SIGNAL else 0
