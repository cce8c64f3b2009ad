"""What `springtide up` can be told, and what it tells back when it is ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 7443
"""Port of the embedded API server; 0 picks a free one."""
DATABASE_BYTES = 2 * 1024 * 1024 * 1024
"""etcd's limit."""


@dataclass(frozen=True)
class UpSettings:
    """The whole platform in one process. Every path is absolute."""

    data_dir: Path
    """Database, certificates, logs, volumes, checkpoints. Created if missing; one platform a folder."""
    port: int = DEFAULT_PORT
    """Port of the API server on 127.0.0.1; 0 picks a free one."""
    kubeconfig: Path | None = None
    """A kubeconfig to merge the context into, beside `<data_dir>/kubeconfig`; None: only that one."""
    simulate: Path | None = None
    """A YAML file of simulated nodes; None: one process node, which is this machine."""
    workdir: Path = field(default_factory=Path.cwd)
    """Working directory of containers that name none, as WORKDIR of an image would be."""
    database_bytes: int = DATABASE_BYTES
    """Size of the database in use from which on only deleting is accepted; 0: no limit."""
    log_level: str = "info"
    """What the platform logs: debug, info, warning or error."""


@dataclass(frozen=True)
class Ready:
    """The platform answers, its controllers have seen the world, and its node is Ready."""

    url: str
    kubeconfig: Path
    data_dir: Path
    pid: int
    start_seconds: float
    resident_bytes: int
    nodes: int
