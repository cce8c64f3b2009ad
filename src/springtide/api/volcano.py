"""scheduling.volcano.sh/v1beta1: Volcano's Queue and PodGroup.

A second dialect over the same quota and the same gangs: `scheduling` reads Queues beside ClusterQueues and
writes their status; `volcano` makes a PodGroup for each of Volcano's Jobs and says in it where the gang
stands. Source of names and meaning: Volcano's API of that version.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import field

from springtide.api.listtypes import Limits
from springtide.api.meta import LabelSelector, Object
from springtide.api.quantity import Quantity
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "sh.volcano.scheduling.v1beta1"

_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NAME = Limits(max_length=253, pattern=_PATTERN)
COUNT = Limits(minimum=0, format="int32")


class QueueState(StrEnum):
    """Whether a Queue takes work."""

    OPEN = "Open"
    CLOSED = "Closed"
    CLOSING = "Closing"
    UNKNOWN = "Unknown"


class PodGroupPhase(StrEnum):
    """Where a PodGroup stands."""

    PENDING = "Pending"
    INQUEUE = "Inqueue"
    RUNNING = "Running"
    UNKNOWN = "Unknown"
    COMPLETED = "Completed"


class NetworkTopologySpec(Struct):
    """How far apart in the network pods may be."""

    mode: Annotated[str, Limits(enum=("hard", "soft"))] = "hard"
    """`hard`: wait rather than go further apart; `soft`: as near as possible."""
    highest_tier_allowed: Annotated[int | None, Limits(minimum=0)] = None
    """Highest tier of HyperNode that may be crossed."""
    highest_tier_name: Annotated[str, Limits(max_length=253)] = ""
    """The same by the tier's name; only one of the two may be set."""


class SubGroupPolicySpec(Struct):
    """Gangs within a gang."""

    name: Annotated[str, Limits(max_length=253)] = ""
    """Name of the policy."""
    network_topology: NetworkTopologySpec | None = None
    """How far apart the pods of one subgroup may be."""
    sub_group_size: Annotated[int | None, Limits(minimum=1, format="int32")] = 1
    """How many pods a subgroup has."""
    min_sub_groups: Annotated[int | None, COUNT] = 0
    """How many subgroups must be able to start."""
    label_selector: LabelSelector | None = None
    """Which pods of the group it is about."""
    match_label_keys: list[str] = []
    """Labels whose values tell the subgroups apart."""


class PodGroupSpec(Struct):
    """Which pods start together, and in which queue they wait."""

    min_member: Annotated[int, COUNT] = 0
    """How many pods must be able to start for any to start."""
    min_task_member: dict[str, Annotated[int, Limits(format="int32")]] = {}
    """The same by task."""
    queue: Annotated[str, NAME] = "default"
    """Queue it waits in."""
    priority_class_name: Annotated[str, Limits(max_length=253)] = ""
    """PriorityClass that gives its priority."""
    min_resources: ResourceList | None = None
    """What must be free for it to start."""
    network_topology: NetworkTopologySpec | None = None
    """How far apart its pods may be."""
    sub_group_policy: list[SubGroupPolicySpec] = []
    """Gangs within the gang."""


class PodGroupCondition(Struct):
    """One thing that is so with a PodGroup, or is not."""

    type: str = ""
    """`Scheduled` or `Unschedulable`."""
    status: str = ""
    """`True` or `False`."""
    transition_id: str = field(name="transitionID", default="")
    """Tells one transition from the next."""
    last_transition_time: datetime | None = None
    """When the status last changed."""
    reason: str = ""
    """CamelCase reason."""
    message: str = ""
    """What it means, for people."""


class PodGroupStatus(Struct):
    """Where a PodGroup stands."""

    phase: Annotated[str, Limits(enum=("Pending", "Running", "Unknown", "Inqueue", "Completed"))] = ""
    """`Pending`, `Inqueue`, `Running`, `Unknown` or `Completed`."""
    conditions: list[PodGroupCondition] = []
    """`Scheduled`, or `Unschedulable` with the reason."""
    running: Annotated[int, COUNT] = 0
    """Pods that run."""
    succeeded: Annotated[int, COUNT] = 0
    """Pods that succeeded."""
    failed: Annotated[int, COUNT] = 0
    """Pods that failed."""


_AGE = Column("AGE", "date", ".metadata.creationTimestamp")


@resource(
    plural="podgroups",
    short_names=("pg", "podgroup-v1beta1"),
    columns=(
        Column("STATUS", "string", ".status.phase", "Where it stands"),
        Column("minMember", "integer", ".spec.minMember", "How many pods must start together"),
        Column("RUNNINGS", "integer", ".status.running", "Pods that run"),
        _AGE,
        Column("QUEUE", "string", ".spec.queue", "Queue it waits in", priority=1),
    ),
)
class PodGroup(Object):
    """Pods that start together or not at all."""

    api_version: str = "scheduling.volcano.sh/v1beta1"
    kind: str = "PodGroup"
    spec: PodGroupSpec = PodGroupSpec()
    """Which pods, and where they wait."""
    status: PodGroupStatus = PodGroupStatus()
    """Where it stands."""


class Guarantee(Struct):
    """What is kept for a queue."""

    resource: ResourceList = {}
    """What nobody else may use, even while the queue does not."""


class Cluster(Struct):
    """A cluster that a queue's jobs may be sent to."""

    name: str = ""
    """Name of the cluster."""
    weight: Annotated[int, Limits(format="int32")] = 0
    """How much of the work it gets."""
    capacity: ResourceList = {}
    """What it has."""


class NodeGroupTerms(Struct):
    """Which groups of nodes a queue's pods run on, or avoid."""

    required_during_scheduling_ignored_during_execution: list[str] = []
    """Groups that must be used, or must not."""
    preferred_during_scheduling_ignored_during_execution: list[str] = []
    """Groups that had better be used, or not."""


class QueueAffinity(Struct):
    """Which groups of nodes a queue's pods run on."""

    node_group_affinity: NodeGroupTerms | None = None
    """Groups of nodes for them."""
    node_group_anti_affinity: NodeGroupTerms | None = None
    """Groups of nodes not for them."""


class DRAResourceQuota(Struct):
    """How much of a class of devices."""

    count: int = always(0)
    """How many devices."""
    capacity: dict[str, Quantity] = {}
    """How much of what they share."""


class DRAQuota(Struct):
    """Quota of devices by DeviceClass."""

    capability: dict[str, DRAResourceQuota] = {}
    """Never more than this."""
    deserved: dict[str, DRAResourceQuota] = {}
    """What belongs to the queue."""
    guarantee: dict[str, DRAResourceQuota] = {}
    """What is kept for the queue."""


class QueueSpec(Struct):
    """How much of the cluster a queue has."""

    weight: Annotated[int, Limits(minimum=1, maximum=65535, format="int32")] = 1
    """Its part of what is there, compared with others, of resources that `deserved` does not name."""
    capability: ResourceList = {}
    """What it never uses more of."""
    reclaimable: bool | None = None
    """Whether others may take back what it uses beyond `deserved`; yes by default."""
    extend_clusters: list[Cluster] = []
    """Clusters its jobs may be sent to."""
    guarantee: Guarantee = Guarantee()
    """What is kept for it."""
    affinity: QueueAffinity | None = None
    """Which groups of nodes its pods run on."""
    type: Annotated[str, Limits(max_length=253)] = ""
    """A word of the site's own."""
    parent: Annotated[str, NAME] = ""
    """Queue it is part of; `root` or nothing for the top."""
    deserved: ResourceList = {}
    """What belongs to it; others may use it until it is asked for."""
    priority: Annotated[int, COUNT] = 0
    """The higher is served first, and gives back last."""
    dequeue_strategy: Annotated[str, Limits(enum=("fifo", "traverse"))] = "traverse"
    """`fifo`: who does not fit holds up all behind; `traverse`: they are tried."""
    dra: DRAQuota | None = None
    """Quota of devices by DeviceClass."""


class Reservation(Struct):
    """Nodes locked for a queue."""

    nodes: list[str] = []
    """Their names."""
    resource: ResourceList = {}
    """What is idle on them."""


class QueueStatus(Struct):
    """Where a queue stands. PodGroups are counted by phase."""

    state: Annotated[str, Limits(enum=("Open", "Closed", "Closing", "Unknown"))] = ""
    """`Open`; `Closing`: takes nothing new, some still run; `Closed`."""
    unknown_groups: Annotated[int, COUNT] = field(name="unknown", default=0)
    """Of which only a part runs."""
    pending: Annotated[int, COUNT] = 0
    """That wait."""
    running: Annotated[int, COUNT] = 0
    """That run."""
    inqueue: Annotated[int, COUNT] = 0
    """That were let in and do not run yet."""
    completed: Annotated[int, COUNT] = 0
    """That are done."""
    reservation: Reservation = Reservation()
    """Nodes locked for it."""
    allocated: ResourceList = always({}, required=False)
    """What its workloads hold."""


@resource(
    plural="queues",
    namespaced=False,
    short_names=("q", "queue-v1beta1"),
    columns=(Column("PARENT", "string", ".spec.parent", "Queue it is part of"),),
)
class Queue(Object):
    """A share of the cluster in Volcano's terms."""

    api_version: str = "scheduling.volcano.sh/v1beta1"
    kind: str = "Queue"
    spec: QueueSpec = QueueSpec()
    """How much of the cluster it has."""
    status: QueueStatus = QueueStatus()
    """Where it stands."""
