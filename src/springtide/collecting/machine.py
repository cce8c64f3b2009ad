"""All sources of a machine, put together: what `up` registers for a node."""

from __future__ import annotations

from springtide import faults
from springtide.collecting.activity import Activity
from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.containerlogs import ContainerLogs
from springtide.collecting.controller import Collection
from springtide.collecting.dcgm import Dcgm
from springtide.collecting.disk import Disk
from springtide.collecting.exits import Exits
from springtide.collecting.flight import Flight
from springtide.collecting.kernel import KernelLog
from springtide.collecting.marks import Marks
from springtide.collecting.nvidia import Nvidia
from springtide.collecting.nvml import Nvml
from springtide.collecting.rdma import Rdma
from springtide.collecting.rounds import Source
from springtide.collecting.settings import CollectSettings
from springtide.collecting.stacks import Stacks
from springtide.node import ProcessNodeSettings
from springtide.runtime import Runtime


def register(runtime: Runtime, settings: CollectSettings) -> None:
    """Collect on this machine, for this node, as long as the runtime runs."""
    Collection(runtime, settings, sources(settings))


def beside(node: ProcessNodeSettings) -> CollectSettings:
    """For the machine of a process node: its pods' logs, its data folder."""
    return CollectSettings(
        node=node.name,
        data_dir=node.data_dir / "collecting",
        logs_dir=node.data_dir / "logs",
        kernel_log=node.kernel_log,
    )


def sources(settings: CollectSettings) -> list[Source]:
    """Every kind of evidence there is."""
    keep, proc = faults.worth_keeping, settings.proc_dir
    return [
        Activity(proc),
        Marks(proc),
        KernelLog(settings.kernel_log, Bookmarks(settings.data_dir / "kernel.json"), keep, proc),
        ContainerLogs(settings.logs_dir, Bookmarks(settings.data_dir / "logs.json"), keep, faults.may_hold),
        Exits(proc, settings.sys_dir, Bookmarks(settings.data_dir / "exits.json"), keep),
        Nvidia(Dcgm(settings.dcgm_url) if settings.dcgm_url else Nvml(), keep),
        Rdma(settings.sys_dir, keep),
        Disk(proc, settings.sys_dir, settings.host_root, keep),
        Flight(proc),
        Stacks(proc, settings.stack_after_seconds),
    ]
