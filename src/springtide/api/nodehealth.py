"""springtide.dev/v1alpha1: NodeHealth, what the collectors of one node see. One object a node, of its name.

Written by the node's own collectors (`status` but `history` and `checks`) and by `health` (these two), each
with its own field manager; read by `health`, the CLI and people. It says what was observed, never whose
fault it is.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from springtide.api.listtypes import Limits, ListMap
from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "dev.springtide.v1alpha1"


class CollectorState(StrEnum):
    """How a collector does."""

    WORKING = "Working"
    """It reads its source."""
    UNAVAILABLE = "Unavailable"
    """This machine has no such source, or does not let it be read."""
    SILENT = "Silent"
    """It should have answered and has not: a signal in itself."""


class Collector(Struct):
    """One source of evidence on the node."""

    name: str
    """Which: `kernel`, `logs`, `exits`, `nvidia`, `rdma`, `disk`, `activity`, `stacks` …"""
    state: Annotated[str, Limits(enum=tuple(CollectorState))] = CollectorState.WORKING.value
    """Working, Unavailable or Silent."""
    message: str = ""
    """Why, if it does not work."""
    time: datetime | None = None
    """When it last finished a round; written at most every half minute while nothing else changes."""


class Observation(Struct):
    """Something a collector saw; the same again within a minute only counts up."""

    id: str
    """Unique on the node; rises with time."""
    collector: str = ""
    """Who saw it."""
    source: str = ""
    """Where: `kernel`, `log:<namespace>/<pod>/<container>`, `nvml:<uuid>`, `rdma:<device>/<port>` …"""
    line: str = ""
    """What was seen, verbatim, cut at 1,024 characters; for counters `name value (+increase in N s)`."""
    context: list[str] = []
    """Up to 8 lines before it, oldest first, where they belong to it."""
    signature: str = ""
    """The signature it was kept for; readers match again, with their own overrides."""
    time: datetime | None = None
    """When it was first seen, by the node's clock."""
    last_time: datetime | None = None
    """When it was last seen."""
    count: int = 1
    """How often."""
    device: str = ""
    """Device it is about: PCI address, GPU UUID, `mlx5_0/1`, `/dev/nvme0n1`."""
    pod: str = ""
    """Pod it is about, `namespace/name`."""
    pod_uid: str = ""
    """Its uid."""


class StackSample(Struct):
    """What a process was doing."""

    time: datetime | None = None
    """When the sample was taken."""
    process: int = 0
    """Process id on the node."""
    rank: int | None = None
    """Global rank, where its environment says so."""
    state: str = ""
    """State of the process as the kernel says it: `R`, `S`, `D`, `T` …"""
    frames: list[str] = []
    """Innermost first, `function (file:line)`, of the main thread; up to 40."""


class RankMarks(Struct):
    """What one rank said of itself through the SDK, current at the sample."""

    rank: int
    """Global rank."""
    process: int = 0
    """Process id on the node."""
    begun: datetime | None = None
    """When the program began."""
    time: datetime | None = None
    """When it last said anything: a step, a collective entered or left, a phase."""
    step: int | None = None
    """Newest step it finished."""
    step_seconds: float | None = None
    """Median wall time of its last twelve steps, phases other than `train` left out."""
    best_step_seconds: float | None = None
    """The least that `stepSeconds` ever was."""
    busy_seconds: float | None = None
    """Median of the part of them in which it worked: it waited neither for peers nor for a processor."""
    low_seconds: float | None = None
    """It worked at least so long in ten of its last twelve steps."""
    recent_seconds: float | None = None
    """Median of the work of its last three steps."""
    best_seconds: float | None = None
    """The least that `busySeconds` ever was: how fast this rank was at its best."""
    queued_seconds: float | None = None
    """Median of the part of a step in which it was ready to work and others had the processors."""
    collective: int | None = None
    """How many collectives it has entered."""
    waiting_since: datetime | None = None
    """Since when it waits for its peers inside a collective; empty: it does not."""
    phase: str = ""
    """What it says it is doing."""
    phase_time: datetime | None = None
    """Since when."""
    group: str = ""
    """Ranks of one group do the same work, such as one stage of a pipeline; empty: nobody said."""


class PodActivity(Struct):
    """How a pod's processes live, seen from outside; the moments move only when something happens."""

    name: str
    """`namespace/name`."""
    uid: str = ""
    """Its uid."""
    sample_time: datetime | None = None
    """When this was written."""
    log_time: datetime | None = None
    """When it last wrote a line of log."""
    busy_time: datetime | None = None
    """When its processes last used a noticeable part of a processor or of a GPU."""
    io_time: datetime | None = None
    """When they last read or wrote files or sockets in earnest."""
    progress_time: datetime | None = None
    """When it last reported progress through the SDK."""
    stopped: bool = False
    """Whether any of its processes is stopped (SIGSTOP) or in uninterruptible sleep for 10 s."""
    cpu_millis: int = 0
    """Processor use over the last window, in thousandths of a core."""
    gpu_percent: int | None = None
    """Use of its GPUs over the last window."""
    gpu_millis: int | None = None
    """How much of its GPUs it used in the last minute, in thousandths of one GPU; empty: not measured."""
    gpu_memory_mib: int | None = None
    """How much of their memory, in MiB; empty: not measured."""
    phase: str = ""
    """What the program says it is doing: `train`, `checkpoint`, `evaluate`, `compile`, `load`; else empty."""
    phase_time: datetime | None = None
    """Since when."""
    step: int | None = None
    """Newest step it reported."""
    step_seconds: float | None = None
    """Median wall time of its last steps."""
    busy_seconds: float | None = None
    """Median of the part of a step in which it worked and did not wait for peers."""
    collective: int | None = None
    """Highest sequence number of a collective it has entered."""
    ranks: Annotated[list[RankMarks], Limits(max_items=16)] = []
    """What each of its ranks said through the SDK."""
    stacks: Annotated[list[StackSample], Limits(max_items=16)] = []
    """Newest sample of each of its ranks; taken when it is quiet or was asked for."""


class Incident(Struct):
    """One fault the node was found to have had a part in."""

    diagnosis: str
    """The Diagnosis, `namespace/name`."""
    time: datetime | None = None
    """When."""
    fault: str = ""
    """Fault class."""
    blame: str = ""
    """Whose fault it was found to be."""
    workload: str = ""
    """Workload it hit, `namespace/name`; empty: none."""
    device: str = ""
    """Device of the node."""


class NodeCheck(Struct):
    """How the node did in a short check: compute, memory, sockets and, where there is one, its GPU."""

    kind: str
    """Why: `preflight`, before a gang starts; `paired`, beside a node that is not suspected."""
    time: datetime | None = None
    """When it ended."""
    passed: bool = False
    """Whether it did as well as it should."""
    peer: str = ""
    """The node it was compared with."""
    measures: dict[str, float] = {}
    """What was measured, the more the better: `compute`, `memory`, `sockets` …"""
    message: str = ""
    """What was found, in words."""
    tries: int = 0
    """How many checks in a row said nothing, such as for an image that cannot be pulled; 0: this one did."""


class NodeHealthStatus(Struct):
    """What is seen on the node."""

    collectors: Annotated[list[Collector], ListMap("name"), Limits(max_items=32)] = []
    """Its sources of evidence."""
    observations: Annotated[list[Observation], ListMap("id"), Limits(max_items=64)] = []
    """The newest 64."""
    pods: Annotated[list[PodActivity], ListMap("name"), Limits(max_items=256)] = []
    """Activity of the pods with a gang or a GPU; at once when one falls quiet or wakes, else every 10 s."""
    history: Annotated[list[Incident], ListMap("diagnosis"), Limits(max_items=32)] = []
    """The newest 32 incidents of the node, over jobs; outlives them."""
    checks: Annotated[list[NodeCheck], ListMap("kind"), Limits(max_items=8)] = []
    """The newest check of each kind."""


@resource(
    plural="nodehealths",
    namespaced=False,
    short_names=("nh",),
    categories=("springtide",),
    columns=(Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),),
)
class NodeHealth(Object):
    """What the collectors of one node see, and the faults it had a part in."""

    api_version: str = "springtide.dev/v1alpha1"
    kind: str = "NodeHealth"
    status: NodeHealthStatus = NodeHealthStatus()
    """What is seen."""
