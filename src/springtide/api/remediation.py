"""springtide.dev/v1alpha1: RemediationPolicy, what each kind of fault leads to. Read by `health` and people.

Which policy counts for a workload: of those whose `namespaces` and `workloadSelector` let it in, the one of
the highest `priority`; among equals one that names namespaces before one that does not, one with a selector
before one without, then the first by name. For a node the same, by `nodeSelector`. A workload's policy says
what is done about its attempts, a node's policy what may be done to the node: cap, repair, return, spares.
Where no policy lets it in, the built-in one counts (`health.remediation_defaults`, `springtide remediation`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from springtide.api.listtypes import Limits, ListMap, ListSet
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.resources import Column, resource
from springtide.api.springtide import Action, Blame
from springtide.api.struct import Struct

DEFINITION_PREFIX = "dev.springtide.v1alpha1"

_POSITIVE = Limits(minimum=1)
_NOT_NEGATIVE = Limits(minimum=0)
_SHARE = Limits(minimum=0, maximum=1)
_SUSPECT = (Blame.NODE.value, Blame.NETWORK.value, Blame.STORAGE.value, Blame.UNKNOWN.value)
"""Blames of failures that a node may have had a part in."""


class Step(StrEnum):
    """What is done about a fault."""

    RESTART_IN_PLACE = "RestartInPlace"
    """A new attempt, on the same nodes where they will do."""
    RESTART_ELSEWHERE = "RestartElsewhere"
    """A new attempt, the rank that failed on another node of the same domain; the node stays in service."""
    SHRINK = "Shrink"
    """A new attempt with fewer pods, where the job is elastic and no node takes the place of the lost one."""
    CORDON_AND_EVICT = "CordonAndEvict"
    """The node is taken out of service, and a new attempt begins elsewhere."""
    FAIL_FAST = "FailFast"
    """The job ends."""
    IGNORE = "Ignore"
    """The fault is written down, and nothing is done about it."""


class PolicyMode(StrEnum):
    """Whether a policy acts."""

    ENFORCE = "Enforce"
    """It does what it says."""
    REPORT = "Report"
    """Diagnoses and events say what would be done; no node and no workload is touched."""


class Backoff(Struct):
    """How long a job waits before it starts again; the first restart of a window waits for nothing."""

    initial_seconds: Annotated[float, _NOT_NEGATIVE] = 1.0
    """Wait before the second restart; 0 turns waiting off."""
    factor: Annotated[float, _POSITIVE] = 2.0
    """By how much each wait is longer than the one before."""
    max_seconds: Annotated[float, _NOT_NEGATIVE] = 60.0
    """The longest wait."""


class RestartBudget(Struct):
    """How often one job may start again for the faults that are charged to this budget."""

    name: Annotated[str, Limits(min_length=1, max_length=63)]
    """By what rules name it. Built in: `platform`, `retry`, and `program`, to which the restarts of the job's
    own `failurePolicy.maxRestarts` are added."""
    restarts: Annotated[int, _NOT_NEGATIVE] = 10
    """How many within the window; 0: none."""
    window_seconds: Annotated[float, _NOT_NEGATIVE] = 0.0
    """Only restarts of the last so many seconds count; 0: all that the job ever had."""
    backoff: Backoff = Backoff()
    """How long it waits in between."""


class RemediationRule(Struct):
    """What is done about some faults. Every list that is not empty must have the fault in it."""

    fault_classes: Annotated[list[str], ListSet(), Limits(max_items=64)] = []
    """Fault classes, as a Diagnosis says them; empty: all."""
    blames: Annotated[list[str], ListSet(), Limits(items=Limits(enum=tuple(Blame)))] = []
    """Whose fault it is; empty: anybody's."""
    actions: Annotated[list[str], ListSet(), Limits(items=Limits(enum=tuple(Action)))] = []
    """What the signature asks for: cordon_evict, restart_in_place, fail_fast, ignore; empty: whatever."""
    signatures: Annotated[list[str], ListSet(), Limits(max_items=256)] = []
    """Names of signatures; empty: any, or none."""
    steps: Annotated[list[str], Limits(min_items=1, max_items=8, items=Limits(enum=tuple(Step)))] = []
    """What is done, in turn: the first time the first, the n-th time the n-th, then again the last."""
    budget: str = ""
    """Budget that restarts are charged to; empty: `platform`."""


class SignatureOverride(Struct):
    """What a site knows better about a signature; fields left empty stay as they are."""

    name: str
    """Name of the signature."""
    blame: Annotated[str, Limits(enum=("", *Blame))] = ""
    """Whose fault it shows."""
    action: Annotated[str, Limits(enum=("", *Action))] = ""
    """What it asks for."""


class Breaker(Struct):
    """When nobody is taken out of service any more."""

    max_cordoned: Annotated[str, Limits(pattern=r"^[0-9]+%?$")] = "10%"
    """Most nodes out of service through this program at a time: a count, or a part of the nodes the policy
    is for, rounded down but at least 1 (unless it is `0` or `0%`: then none)."""
    symptom_nodes: Annotated[int, _NOT_NEGATIVE] = 3
    """When so many nodes show the same symptom within the window, platform or job is to blame; 0: never."""
    symptom_window_seconds: Annotated[float, _NOT_NEGATIVE] = 300.0
    """The window."""


class Drain(Struct):
    """How a node that is taken out of service is emptied."""

    enabled: bool = True
    """Whether pods are made to leave; else those that run may end by themselves."""
    no_execute: bool = False
    """Whether the taint also has the effect NoExecute, for tools that go by it. Pods then leave at once."""
    checkpoint_seconds: Annotated[float, _NOT_NEGATIVE] = 0.0
    """How long a pod that still makes progress may go on until its next checkpoint is written; 0: not."""
    timeout_seconds: Annotated[float, _NOT_NEGATIVE] = 900.0
    """After this long the node counts as drained, whatever disruption budgets still hold back."""


class Escalation(Struct):
    """When a node is taken out for what it had a part in before, though no verdict alone would do that."""

    incidents: Annotated[int, _NOT_NEGATIVE] = 2
    """With so many failures within the window, this one included, the node goes; 0: never. A job that fails
    again before it has left the node counts once, another job once in all. Not if the failure follows the
    rank to other nodes, or if so many could as well be chance: among few nodes it takes more."""
    window_seconds: Annotated[float, _POSITIVE] = 7 * 86400.0
    """The window."""
    blames: Annotated[list[str], ListSet(), Limits(max_items=8, items=Limits(enum=_SUSPECT))] = []
    """Failures that count, by whose fault they were found to be; a program's own never do. Empty: those of
    the network and of nobody."""


class Repair(Struct):
    """Who mends a node. Without job and external repairer, only the check decides about its return."""

    job_template: dict[str, Any] | None = None
    """A batch/v1 JobTemplateSpec. It runs on the node, or elsewhere if its pods name another `nodeName` or
    selector, with NODE_NAME, FAULT_CLASS, SIGNATURE and DEVICE in the environment of its containers."""
    external: bool = False
    """Somebody else mends it: the annotation `springtide.dev/repair: wanted` is put on the node, and the
    repairer answers `done` or `failed`."""
    timeout_seconds: Annotated[float, _POSITIVE] = 3600.0
    """After this long without an answer the node is held for a person."""


class ReturnToService(Struct):
    """What brings a node back."""

    quarantine_seconds: Annotated[float, _NOT_NEGATIVE] = 600.0
    """How long it stays out at least after it was drained; a fault meanwhile starts the time anew."""
    check_template: dict[str, Any] | None = None
    """A batch/v1 JobTemplateSpec that must succeed on the node, with the same environment as a repair."""
    check_timeout_seconds: Annotated[float, _POSITIVE] = 1800.0
    """After this long without success the check has failed, and the node is held for a person."""
    incidents: Annotated[int, _NOT_NEGATIVE] = 3
    """With so many incidents of one node within the window it is held for a person; 0: never."""
    window_seconds: Annotated[float, _NOT_NEGATIVE] = 7 * 86400.0
    """The window."""


class Spares(Struct):
    """Nodes that are kept free for whoever loses one."""

    node_selector: dict[str, str] = {}
    """Among nodes with these labels; empty: all the policy is for."""
    count: Annotated[int, _NOT_NEGATIVE] = 1
    """How many free nodes are held back."""


class RemediationPolicySpec(Struct):
    """Whom the policy is for, and what it does."""

    priority: int = 0
    """The highest counts."""
    namespaces: Annotated[list[str], ListSet(), Limits(max_items=256)] = []
    """Workloads of these namespaces; empty: of all."""
    workload_selector: LabelSelector = LabelSelector()
    """Workloads with these labels; empty: all."""
    node_selector: LabelSelector = LabelSelector()
    """Nodes with these labels; empty: all."""
    mode: Annotated[str, Limits(enum=tuple(PolicyMode))] = PolicyMode.ENFORCE.value
    """Whether it acts or only says what it would do."""
    node_mode: Annotated[str, Limits(enum=("", *PolicyMode))] = ""
    """The same about nodes alone, so that jobs are healed while nodes are only reported; empty: as `mode`."""
    rules: Annotated[list[RemediationRule], Limits(max_items=64)] = []
    """The first that a fault meets counts; where none does, the built-in rules follow."""
    budgets: Annotated[list[RestartBudget], ListMap("name"), Limits(max_items=32)] = []
    """Instead of the built-in ones of the same name."""
    cordon_confidence: Annotated[float, _SHARE] = 0.8
    """A node is only taken out of service by a verdict as sure as this."""
    signatures: Annotated[list[SignatureOverride], ListMap("name"), Limits(max_items=512)] = []
    """What the site knows better about signatures."""
    escalation: Escalation = Escalation()
    """When a node is taken out for its history."""
    breaker: Breaker = Breaker()
    """When no more nodes are taken out."""
    drain: Drain = Drain()
    """How nodes are emptied."""
    repair: Repair = Repair()
    """How nodes are mended."""
    returning: ReturnToService = ReturnToService()
    """How nodes come back."""
    spares: Annotated[list[Spares], Limits(max_items=32)] = []
    """Nodes kept free."""


class RemediationPolicyStatus(Struct):
    """What `health` makes of it."""

    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=16)] = []
    """`Valid`: whether everything in it is known; the message names what is not."""


@resource(
    plural="remediationpolicies",
    namespaced=False,
    short_names=("rempol",),
    categories=("springtide",),
    columns=(
        Column("Priority", "integer", ".spec.priority", "The highest counts"),
        Column("Mode", "string", ".spec.mode", "Enforce or Report"),
        Column("Cap", "string", ".spec.breaker.maxCordoned", "Most nodes out of service at a time"),
        Column("Valid", "string", '.status.conditions[?(@.type=="Valid")].status', "Whether all is known"),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),
    ),
)
class RemediationPolicy(Object):
    """What each kind of fault leads to, how often, and what may be done to nodes."""

    api_version: str = "springtide.dev/v1alpha1"
    kind: str = "RemediationPolicy"
    spec: RemediationPolicySpec = RemediationPolicySpec()
    """The policy."""
    status: RemediationPolicyStatus = RemediationPolicyStatus()
    """What is made of it."""


class IncidentPhase(StrEnum):
    """How far the remediation of a node's incident is."""

    OPEN = "Open"
    """Nothing has been done yet."""
    REPORTED = "Reported"
    """The policy only reports: nothing was touched."""
    WITHHELD = "Withheld"
    """The node stays in service: the breaker holds, or many nodes show the same."""
    CORDONED = "Cordoned"
    """Out of service; its pods leave."""
    REPAIRING = "Repairing"
    """Drained; somebody mends it."""
    CHECKING = "Checking"
    """Mended; quarantine and check."""
    HELD = "Held"
    """Out of service until a person returns it."""
    RETURNED = "Returned"
    """In service again."""
    RELEASED = "Released"
    """A person returned it, or the node is gone or was made anew."""


OVER = frozenset(
    (IncidentPhase.REPORTED, IncidentPhase.WITHHELD, IncidentPhase.RETURNED, IncidentPhase.RELEASED)
)
"""Phases in which nothing more is done."""


class Answered(StrEnum):
    """Values of the annotation `springtide.dev/repair` on a node."""

    WANTED = "wanted"
    DONE = "done"
    FAILED = "failed"
