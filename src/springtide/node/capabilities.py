"""What this machine lets the node do, found out by trying once at start.

Private mounts and cgroups need root or a delegated cgroup, distinct loopback addresses need Linux. Whatever
is missing has a fallback, and each is said in an annotation of the Node object. Called by `agent.py`.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from springtide.node import limits
from springtide.node.cgroups import Cgroups
from springtide.node.process import Launch, Mount, StartError, start
from springtide.node.settings import ProcessNodeSettings
from springtide.runtime.loopback import POD_BLOCKS

_SOME_ADDRESS = str(POD_BLOCKS[0].network_address + 1)
"""Where all of loopback can be bound, this one can."""


@dataclass(frozen=True)
class Capabilities:
    """How pods are run here."""

    namespaces: str = ""
    """`root` or `user`: how private mounts are made; empty when they cannot be."""
    cgroups: Cgroups | None = None
    distinct_addresses: bool = True

    @property
    def cgroup_folders(self) -> list[Path]:
        """Where the groups of all containers are; empty without cgroups."""
        return self.cgroups.folders if self.cgroups is not None else []

    def notes(self) -> dict[str, str]:
        """What does not hold on this machine, as annotations of the Node; empty when everything does."""
        found = {}
        if not self.namespaces:
            found["private-mounts"] = (
                "no: volumes are reached by rewriting mountPath in command, args and env; peer names by"
                " a hook in Python and by addresses in env"
            )
        if self.cgroups is None:
            found["resource-limits"] = "no: memory and cpu limits are not enforced, cgroups cannot be written"
        elif not self.cgroups.enforces_cpu:
            found["resource-limits"] = "memory only: the cpu controller cannot be used"
        if not self.distinct_addresses:
            found["pod-addresses"] = "no: only 127.0.0.1 can be bound, all pods share it"
        return found


async def detect(settings: ProcessNodeSettings, node_id: str) -> Capabilities:
    """Try each way, best first."""
    namespaces = await _namespaces(settings) if settings.namespaces == "auto" else ""
    cgroups = limits.detect(f"springtide-{node_id}") if settings.cgroups == "auto" else None
    return Capabilities(namespaces, cgroups, _can_bind(_SOME_ADDRESS))


async def _namespaces(settings: ProcessNodeSettings) -> str:
    """Really mounts a file over /etc/hosts in a child."""
    if not sys.platform.startswith("linux"):
        return ""
    probe = settings.data_dir / "hosts-probe"
    probe.write_text("127.0.0.1 localhost\n")
    for how in ("root", "user") if os.geteuid() == 0 else ("user",):
        if await _works(how, probe):
            return how
    return ""


async def _works(how: str, probe: Path) -> bool:
    launch = Launch(
        argv=["/bin/true"],
        env={},
        cwd="/",
        namespaces=how,
        hostname="probe",
        mounts=[Mount(str(probe), "/etc/hosts", read_only=True)],
    )
    try:
        process = await start(launch, _ignore, _ignore)
    except StartError:
        return False
    return await process.wait() == 0


def _ignore(_data: bytes) -> None:
    """Sink of a command whose output nobody needs."""


def _can_bind(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
