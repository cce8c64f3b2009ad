"""topology.volcano.sh/v1alpha1: Volcano's HyperNode, which says how near nodes are to each other.

An administrator, or a tool that reads the network, writes the spec; `scheduling` reads it and writes the
status. Source of names and meaning: Volcano's API of that version.
"""

from __future__ import annotations

from typing import Annotated

from springtide.api.listtypes import Limits, Required, Rule
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "sh.volcano.topology.v1alpha1"

OF_NODES = "Node"
OF_HYPER_NODES = "HyperNode"


class ExactMatch(Struct):
    """One member by its name."""

    name: str = always("")
    """Name of the node or HyperNode."""


class RegexMatch(Struct):
    """Members by a pattern of their names."""

    pattern: str = always("")
    """Regular expression that is found in the names."""


class MemberSelector(Struct):
    """Which nodes or HyperNodes are members; exactly one field is set."""

    exact_match: ExactMatch | None = None
    """The one of this name."""
    regex_match: RegexMatch | None = None
    """Those whose names match."""
    label_match: LabelSelector | None = None
    """Nodes with these labels; for members of type `Node` only."""


class MemberSpec(Struct):
    """Some members of a HyperNode."""

    type: Annotated[str, Limits(enum=(OF_NODES, OF_HYPER_NODES)), Required()] = OF_NODES
    """`Node` or `HyperNode`."""
    selector: Annotated[
        MemberSelector,
        Rule(
            "has(self.exactMatch) || has(self.regexMatch) || has(self.labelMatch)",
            "Either ExactMatch or RegexMatch or LabelMatch must be specified",
        ),
        Rule(
            "(has(self.exactMatch) ? 1 : 0) + (has(self.regexMatch) ? 1 : 0) + "
            "(has(self.labelMatch) ? 1 : 0) <= 1",
            "Only one of ExactMatch, RegexMatch, or LabelMatch can be specified",
        ),
    ] = MemberSelector()
    """Which of them."""


class HyperNodeSpec(Struct):
    """What a HyperNode is made of."""

    tier: Annotated[int, Required()] = 0
    """How far apart its nodes are: the lower, the nearer. Above those of all its members."""
    tier_name: str = ""
    """A name for the tier, by which jobs may ask for it."""
    members: list[MemberSpec] = []
    """Nodes, or HyperNodes of lower tiers."""


class HyperNodeStatus(Struct):
    """What became of a HyperNode."""

    conditions: list[Condition] = []
    """`Ready`: whether it counts in placement, and why not."""
    node_count: Annotated[int, Limits(minimum=0, format="int64")] = 0
    """How many nodes are in it, those of its members included."""


@resource(
    plural="hypernodes",
    namespaced=False,
    short_names=("hn",),
    columns=(
        Column("Tier", "string", ".spec.tier", "How far apart its nodes are"),
        Column("TierName", "string", ".spec.tierName", "Name of the tier"),
        Column("NodeCount", "integer", ".status.nodeCount", "How many nodes it has"),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),
    ),
)
class HyperNode(Object):
    """Nodes that are near to each other in the network: a leaf switch, a spine, a rail."""

    api_version: str = "topology.volcano.sh/v1alpha1"
    kind: str = "HyperNode"
    spec: HyperNodeSpec = HyperNodeSpec()
    """What it is made of."""
    status: HyperNodeStatus = HyperNodeStatus()
    """What became of it."""
