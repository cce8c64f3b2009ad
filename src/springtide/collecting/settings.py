"""What can be set about the collectors of a node. Filled in by `up`; read by every file of this room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CollectSettings:
    """What is read on a machine, and where it lies."""

    node: str
    """Name of the Node, and of the NodeHealth that is written."""
    data_dir: Path
    """Folder for how far the kernel's and the containers' logs were read. Made if missing."""
    logs_dir: Path
    """Containers' log files, `<namespace>_<pod>_<uid>/<container>/<n>.log` as a kubelet has them."""
    kernel_log: Path = Path("/dev/kmsg")
    """The kernel's log: the device, or a FIFO or file with lines of its form."""
    proc_dir: Path = Path("/proc")
    """Where processes are told of; a host's, where it is mounted elsewhere."""
    sys_dir: Path = Path("/sys")
    """Where network cards are told of; a host's, where it is mounted elsewhere."""
    host_root: Path = Path("/")
    """The machine's root, below which paths of mounts lie."""
    dcgm_url: str = ""
    """Metrics of a dcgm-exporter, such as `http://127.0.0.1:9400/metrics`; empty: NVML alone is asked."""
    stack_after_seconds: float = 10.0
    """Stacks of a pod are sampled when it is stopped or has been quiet for so long; 0: when asked for."""
    quick_seconds: float = 1.0
    """Shortest time between two writes that report something new."""
    refresh_seconds: float = 10.0
    """Longest time until moments of pods that moved are written."""
    heartbeat_seconds: float = 25.0
    """Longest time between two writes: by an older one readers know that the collectors are gone."""
    watches_node_only: bool = False
    """Watch this node's pods alone: for a process that has no use for the others."""
