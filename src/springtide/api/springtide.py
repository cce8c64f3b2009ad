"""springtide.dev/v1alpha1: kinds nobody else has. Diagnosis says why an attempt of a workload failed.

Written by `health` alone; read by `workloads`, `training`, the CLI and people.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from springtide.api.listtypes import Limits, ListMap
from springtide.api.meta import Condition, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "dev.springtide.v1alpha1"
SLOW_RANK = "Straggler"
"""Fault class of ranks that are slow."""


class Blame(StrEnum):
    """Whose fault a failure is."""

    NODE = "node"
    PROGRAM = "program"
    NETWORK = "network"
    STORAGE = "storage"
    PLATFORM = "platform"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What is done about a failure."""

    CORDON_EVICT = "cordon_evict"
    """Take the node out of service and start the attempt again elsewhere."""
    RESTART_IN_PLACE = "restart_in_place"
    """Start a new attempt; the node is not to blame."""
    FAIL_FAST = "fail_fast"
    """End the job: another attempt would fail the same way or the budget is spent."""
    IGNORE = "ignore"
    """Record only."""


class Evidence(Struct):
    """One observation the verdict rests on."""

    source: str = ""
    """Where it was seen: `log:<pod>/<container>`, `exit`, `node:<name>`, `event` …"""
    line: str = ""
    """What was seen, verbatim."""
    time: datetime | None = None
    """When it was seen."""


class DiagnosisSpec(Struct):
    """The verdict on the first failure of one attempt."""

    workload: str = ""
    """Name of the Workload, in the same namespace; empty: no workload was hit, the incident is the node's."""
    attempt: int = always(0, required=False)
    """Which attempt failed, counted from 0."""
    pod_set: str = ""
    """Pod set of the rank that failed first."""
    rank: int | None = None
    """Index of the failed pod within its pod set."""
    node: str = ""
    """Node the failed pod ran on."""
    pod: str = ""
    """Name of the failed pod."""
    fault_class: str = ""
    """What kind of fault it is, such as `ProgramError`, `OutOfMemory`, `NodeLost`."""
    blame: Annotated[str, Limits(enum=tuple(Blame))] = Blame.UNKNOWN.value
    """Whose fault it is: node, program, network, storage, platform or unknown."""
    action: Annotated[str, Limits(enum=tuple(Action))] = Action.IGNORE.value
    """What is done about it: cordon_evict, restart_in_place, fail_fast or ignore."""
    confidence: Annotated[float, Limits(minimum=0, maximum=1)] = 1.0
    """How sure the verdict is, from 0 to 1."""
    exit_code: int | None = None
    """Exit code of the process that failed first."""
    signal: int | None = None
    """Signal that ended the process, if one did."""
    message: str = ""
    """One sentence for people: rank, error and where it happened."""
    global_rank: int | None = None
    """Global rank of the process at the root, where that is known."""
    phase: str = ""
    """What the job did: `start`, `train`, `checkpoint`, `evaluate`, `compile`, `load`; empty: unknown."""
    signature: str = ""
    """Name of the signature that decided, where one did."""
    device: str = ""
    """Device of the node that failed, where one is known."""
    secondary: bool = False
    """Whether only consequences were seen, and no cause: then no node is taken out and no program blamed."""
    implications: int = 0
    """How many failures the node had a part in within the window of the policy's `escalation`, this one
    included, where it is taken out for that; 0: it is not."""
    stack: list[str] = []
    """What the rank at the root was doing, innermost call first, where it was sampled."""
    happened_at: datetime | None = None
    """When the fault happened, as well as that is known."""
    detected_at: datetime | None = None
    """When it was found."""
    step: str = ""
    """Step of the RemediationPolicy that was chosen, such as `RestartElsewhere`; empty: none was needed."""
    policy: str = ""
    """RemediationPolicy that chose; empty: the built-in one."""
    budget: str = ""
    """Budget the restart is charged to; empty: none."""
    retry_after_seconds: float = 0.0
    """How long the next attempt waits, by that budget's back-off."""
    origin: str = ""
    """Of a node's incident: the workload's Diagnosis that opened it, `namespace/name`; empty: none did."""
    next_step: str = ""
    """What the person who reads this should do, if anything."""
    evidence: list[Evidence] = []
    """What the verdict rests on, earliest first."""


class DiagnosisStatus(Struct):
    """How far the remediation is. Of a workload's Diagnosis only `incident` and, if none, `phase` are set;
    and of one that suspects a node the condition Checked."""

    phase: str = ""
    """Open, Reported, Withheld, Cordoned, Repairing, Checking, Held, Returned or Released."""
    incident: str = ""
    """The node's incident in `kube-system` that this Diagnosis is part of."""
    message: str = ""
    """Why it stands where it stands, and what brings the node back."""
    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=16)] = []
    """Cordoned, Drained, Repaired, Checked, Returned, Held …: each step with its time."""


class RequestCeilingSpec(Struct):
    """How much may be asked for without approval; what is not named is not limited."""

    per_workload: ResourceList = {}
    """By one workload."""
    per_local_queue: ResourceList = {}
    """By all admitted workloads of one LocalQueue together."""


@resource(
    plural="requestceilings",
    namespaced=False,
    categories=("springtide",),
    columns=(Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),),
)
class RequestCeiling(Object):
    """How much workloads may ask for before somebody has to approve: parameters of an AdmissionCheck."""

    api_version: str = "springtide.dev/v1alpha1"
    kind: str = "RequestCeiling"
    spec: RequestCeilingSpec = RequestCeilingSpec()
    """How much."""


@resource(
    plural="diagnoses",
    short_names=("diag",),
    categories=("springtide",),
    columns=(
        Column("Workload", "string", ".spec.workload", "Workload that failed"),
        Column("Attempt", "integer", ".spec.attempt", "Attempt that failed, from 0"),
        Column("Fault", "string", ".spec.faultClass", "Kind of fault"),
        Column("Blame", "string", ".spec.blame", "Whose fault it is"),
        Column("Action", "string", ".spec.action", "What is done about it"),
        Column("Node", "string", ".spec.node", "Node it happened on", priority=1),
        Column("Phase", "string", ".status.phase", "How far the node's remediation is", priority=1),
        Column("Message", "string", ".spec.message", "What happened", priority=1),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since the verdict"),
    ),
)
class Diagnosis(Object):
    """Why one attempt of a workload failed: cause, blame, evidence and what is done about it."""

    api_version: str = "springtide.dev/v1alpha1"
    kind: str = "Diagnosis"
    spec: DiagnosisSpec
    """The verdict."""
    status: DiagnosisStatus = DiagnosisStatus()
    """How far the remediation is."""


def of_failures(diagnoses: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Those that end an attempt: a slow rank is written down while its attempt goes on."""
    return [one for one in diagnoses if one.spec.fault_class != SLOW_RANK]
