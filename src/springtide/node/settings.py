"""What can be set about a process node. Filled in by `up`; read by every file of this room."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from springtide.client import Connection
from springtide.node.keeper_places import NETWORK_LEVELS

Use = Literal["auto", "never"]

INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_*",
    "VIRTUAL_ENV", "CONDA_*", "PYTHONPATH", "SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "*_proxy", "*_PROXY", "XDG_*", "CUDA_*", "NVIDIA_*", "OMP_*", "MKL_*", "HF_*", "TORCH_HOME",
)  # fmt: skip


@dataclass(frozen=True)
class ProcessNodeSettings:
    """A node that runs pods as processes of this machine."""

    name: str
    """Name of the Node object; usually the machine's host name."""
    data_dir: Path
    """Folder of the node's own files: pod folders, logs, checkpoints, records. Made if missing."""
    working_dir: Path
    """Where containers without `workingDir` start: the counterpart of an image's WORKDIR."""
    api_server: str = ""
    """Address of the API server for programs in pods (`KUBERNETES_SERVICE_HOST`); empty: none is told."""
    connection: Connection | None = None
    """How the node's watchdog reaches the API server, to say that the node's process died and nothing it ran
    is left; None: it does not say so, and pods wait for the node to come back."""
    max_pods: int = 110
    """Pods this node takes at most."""
    cpus: int | None = None
    """CPU cores to offer; None: all that this process may use."""
    memory_bytes: int | None = None
    """Memory to offer; None: all of the machine's."""
    extra_capacity: dict[str, str] = field(default_factory=dict)
    """Further resources to offer, such as `nvidia.com/gpu: 8`."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of the Node object besides the well-known ones."""
    lease_seconds: float = 10.0
    """How often the node renews its Lease."""
    lease_duration_seconds: int = 40
    """How long it may be silent until it counts as dead, from 4 to 40; at least three times the above."""
    status_seconds: float = 300.0
    """How often the node reports its status even if nothing changed."""
    stop_seconds: float = 5.0
    """How long pods may take to end when the platform stops; then they are killed."""
    log_file_bytes: int = 10 * 1024 * 1024
    """Size at which a container's log file is rotated."""
    log_files: int = 5
    """Log files kept per container instance, the current one included."""
    namespaces: Use = "auto"
    """Private mounts and host names for pods: `auto` where the machine permits, or `never`."""
    cgroups: Use = "auto"
    """Memory and CPU limits through cgroups: `auto` where the machine permits, or `never`."""
    inherit_environment: tuple[str, ...] = INHERITED
    """Variables (glob patterns) that containers get from this process: the counterpart of an image's ENV."""
    share_services: bool = False
    """Whether other nodes of this machine serve the same Services: their addresses are then listened on
    together."""
    memory_root: Path = Path("/dev/shm")
    """A tmpfs, below which the node keeps jobs' snapshots; where there is none, nothing is kept."""
    memory_share: float = 0.25
    """How much of the machine's memory snapshots may take, their peers' copies included; 0 keeps none."""
    kernel_log: Path = Path("/dev/kmsg")
    """The kernel's log, in which its collectors look for failing hardware; a FIFO or a file will do too."""
    copy_bytes_per_second: int = 1_000_000_000
    """How fast snapshots leave for a peer; 0: as fast as they can."""
    restore_seconds: float = 60.0
    """How long a container waits at most for its snapshot from peers; then its program reads storage."""
    failure_domains: tuple[str, ...] = NETWORK_LEVELS
    """Labels of nodes that fail together; copies go to a node of another domain where there is one."""
    address_prefix: str = ""
    """First two numbers of the pods' loopback addresses, such as `127.77`; empty: some that no other node of
    this machine has, the same at every start if possible."""
