"""What is known of a node when a step is chosen, and the steps there are. Used by `remediation_*`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from springtide.api.batch import Job
from springtide.api.commands import Command
from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.health.remediation_node import PatchNode
from springtide.health.remediation_policy import Effective


@dataclass(frozen=True)
class Claim:
    """Enter the node into the ledger of those out of service, unless that would be one too many."""

    node: str
    incident: str
    peers: frozenset[str]
    """Nodes that the cap is about."""
    cap: int


@dataclass(frozen=True)
class Strike:
    """Take the node out of the ledger, if it is truly in service or gone."""

    node: str
    incident: str


@dataclass(frozen=True)
class Evict:
    """Ask a pod to go through the eviction API, which heeds disruption budgets and its own grace."""

    pod: Pod


@dataclass(frozen=True)
class Restore:
    """Take what we put on the node off, if the incident it was put on for is truly over or gone."""

    patch: PatchNode
    incident: str


Act = Command | PatchNode | Claim | Strike | Evict | Restore


@dataclass(frozen=True)
class Steps:
    """What to do now, in this order, and when to look again."""

    acts: tuple[Act, ...] = ()
    again_seconds: float | None = None


@dataclass(frozen=True)
class NodeView:
    """Everything the next step about a node depends on."""

    name: str
    node: Node | None
    policy: Effective
    incidents: Sequence[Diagnosis] = ()
    """Of all nodes."""
    others: Sequence[Diagnosis] = ()
    """Other Diagnoses in kube-system."""
    asking: Sequence[Diagnosis] = ()
    """Of workloads, unanswered, that want this node out."""
    seen: Sequence[DiagnosisSpec] = ()
    """What the node's collectors saw that takes it out by the policy, earliest first."""
    pods: Sequence[Pod] = ()
    """On the node."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
    """Repairs and checks, by name."""
    ledger: Mapping[str, str] = field(default_factory=dict)
    """Nodes out of service, each with its incident."""
    peers: frozenset[str] = frozenset()
    """All nodes the same policy is for."""

    @property
    def own(self) -> list[Diagnosis]:
        """Incidents of this node."""
        return [one for one in self.incidents if one.spec.node == self.name]
