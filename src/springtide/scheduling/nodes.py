"""The nodes as the engine sees them: facts that change seldom, and which classes of pods they admit.

`Nodes` is immutable and shared by all snapshots until a node's facts change; what it works out per class
of constraints (a mask over nodes) or per topology label (a domain number per node) is kept, and after a
change only the changed nodes are looked at again. Free capacity is not here but in `Snapshot`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from springtide.api import labels
from springtide.api.core import ContainerImage, Node, Taint
from springtide.api.devicetopology import Layout, equipment_of
from springtide.api.gpus import HANDSHAKE
from springtide.api.meta import is_true
from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.classes import Constraints
from springtide.scheduling.devicerequest import model_of
from springtide.scheduling.devices import Device
from springtide.scheduling.hypernodes import TIER, Network
from springtide.scheduling.images import Images, scores, size_on
from springtide.scheduling.requests import Amounts, amounts
from springtide.scheduling.sharing import GPU, MEMORY_LABEL, MODEL_LABEL, REGISTER
from springtide.scheduling.tree import Tree, grow

_IMAGES_KEPT_MAX = 256
"""Of so many images it is kept where they are."""
_CORDONED = Taint(key=labels.TAINT_UNSCHEDULABLE, effect="NoSchedule")


@dataclass(frozen=True)
class NodeFacts:
    """What placement needs to know of a node besides what is free on it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    usable: bool
    """Ready and not being deleted."""
    allocatable: Amounts
    devices: tuple[Device, ...] = ()
    """Its GPUs, if it registers them."""
    model: str = ""
    """The model of its GPUs."""
    gpus: int = 0
    """How many GPUs it has, if it does not register them."""
    gpu_memory: int = 0
    """MiB of each of those; 0 where nobody said."""
    trouble: str = ""
    """Why its register, or what it says of its devices, cannot be read; or empty."""
    layout: Layout | None = None
    """How its devices are joined, if that is known."""
    registered: bool = False
    """Whether HAMi's device plugin hands its GPUs out."""
    kinds: frozenset[str] = frozenset()
    """Kinds of devices other than GPUs that it names, or will."""
    images: tuple[ContainerImage, ...] = ()
    """What it has already of what containers run from, if it says so."""


def facts_of(node: Node) -> NodeFacts:
    """The facts of a node; `spec.unschedulable` counts as the taint Kubernetes gives such nodes."""
    taints = tuple(node.spec.taints)
    if node.spec.unschedulable and all(taint.key != _CORDONED.key for taint in taints):
        taints = (*taints, _CORDONED)
    equipment = equipment_of(node)
    devices, trouble = equipment.devices, equipment.trouble
    label = node.metadata.labels.get(MODEL_LABEL, "")
    offered = amounts(node.status.allocatable or node.status.capacity)
    memory = node.metadata.labels.get(MEMORY_LABEL, "")
    return NodeFacts(
        name=node.metadata.name,
        labels=node.metadata.labels,
        taints=taints,
        usable=is_true(node.status.conditions, "Ready") and node.metadata.deletion_timestamp is None,
        allocatable=offered,
        devices=devices,
        model=(model_of(devices[0]) if devices else "") or label,
        gpus=0 if devices or trouble or _registers(node) else offered.get(GPU, 0),
        gpu_memory=int(memory) if memory.isdecimal() and not devices else 0,
        trouble=trouble,
        layout=equipment.layout,
        registered=equipment.registered,
        kinds=equipment.kinds,
        images=tuple(node.status.images),
    )


def _registers(node: Node) -> bool:
    """Whether the node names its GPUs, or will: what it counts are then not GPUs but who may share them."""
    return REGISTER in node.metadata.annotations or HANDSHAKE in node.metadata.annotations


@dataclass(frozen=True, eq=False)
class Domains:
    """The values of one topology label: per node the number of its domain, -1 for nodes without the label."""

    of_node: Ints
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Nodes:
    """All nodes, by name. Index i here is row i of a snapshot's arrays."""

    facts: tuple[NodeFacts, ...] = ()
    _masks: dict[Constraints, Mask] = field(default_factory=dict)
    _aversions: dict[Constraints, Floats] = field(default_factory=dict)
    _domains: dict[str, Domains] = field(default_factory=dict)
    _trees: dict[tuple[str, ...], Tree] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    """HyperNodes over them."""
    _image_sizes: dict[str, Ints] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.facts)

    def mask(self, constraints: Constraints) -> Mask:
        """Which nodes may hold pods of these constraints at all: usable, selected and tolerated."""
        found = self._masks.get(constraints)
        if found is None:
            found = np.array([_admits(facts, constraints) for facts in self.facts], dtype=np.bool_)
            self._masks[constraints] = found
        return found

    def aversion(self, constraints: Constraints) -> Floats:
        """How much pods of these constraints would rather not run on each node; 0 for no preference."""
        found = self._aversions.get(constraints)
        if found is None:
            found = np.array(
                [constraints.aversion(facts.name, facts.labels, facts.taints) for facts in self.facts],
                dtype=np.float64,
            )
            self._aversions[constraints] = found
        return found

    def image_scores(self, asked: Images) -> Floats | None:
        """How much of what such pods run from each node has: see `images.scores`."""
        return scores(asked, self._sizes_of) if any(facts.images for facts in self.facts) else None

    def _sizes_of(self, image: str) -> Ints:
        found = self._image_sizes.get(image)
        if found is None:
            sizes = [size_on(facts.images, image) if facts.images else 0 for facts in self.facts]
            if len(self._image_sizes) >= _IMAGES_KEPT_MAX:
                del self._image_sizes[next(iter(self._image_sizes))]
            found = self._image_sizes[image] = np.array(sizes, dtype=np.int64)
        return found

    def selected(self, constraints: Constraints) -> Mask:
        """Which nodes selector and required affinity choose, whatever state they are in."""
        if not constraints.selector and constraints.affinity is None:
            return np.ones(len(self.facts), dtype=np.bool_)
        found = [constraints.select(facts.name, facts.labels) for facts in self.facts]
        return np.array(found, dtype=np.bool_)

    def tolerated(self, constraints: Constraints) -> Mask:
        """Which nodes have no taint that keeps such pods away."""
        found = [not facts.taints or constraints.untolerated(facts.taints) is None for facts in self.facts]
        return np.array(found, dtype=np.bool_)

    def domains(self, label: str) -> Domains:
        """How a node label divides the nodes."""
        found = self._domains.get(label)
        if found is None:
            values = [facts.labels.get(label) for facts in self.facts]
            names = tuple(sorted({value for value in values if value is not None}))
            number = {name: index for index, name in enumerate(names)}
            of_node = np.array([-1 if value is None else number[value] for value in values], dtype=np.int64)
            found = self._domains[label] = Domains(of_node, names)
        return found

    def tree(self, levels: tuple[str, ...]) -> Tree:
        """The nodes as a tree of these levels, the widest first."""
        found = self._trees.get(levels)
        if found is None:
            found = self._trees[levels] = grow(len(self.facts), levels, self._domain_of)
        return found

    def in_network(self, network: Network) -> Nodes:
        """The same nodes with these HyperNodes over them."""
        return Nodes(
            self.facts,
            self._masks,
            self._aversions,
            self._domains,
            network=network,
            _image_sizes=self._image_sizes,
        )

    def _domain_of(self, row: int, level: str) -> str | None:
        facts = self.facts[row]
        if level.startswith(TIER):
            return self.network.domain(level, facts.name)
        return facts.labels.get(level)

    def with_changes(self, changed: Mapping[str, NodeFacts]) -> Nodes:
        """The same nodes with new facts for some of them; kept masks are updated at those rows only."""
        rows = [row for row, facts in enumerate(self.facts) if facts.name in changed]
        facts = tuple(changed.get(old.name, old) for old in self.facts)
        same_places = all(facts[row].labels == self.facts[row].labels for row in rows)
        masks: dict[Constraints, Mask] = {}
        for constraints, mask in self._masks.items():
            masks[constraints] = mask.copy()
            for row in rows:
                masks[constraints][row] = _admits(facts[row], constraints)
        sizes = self._image_sizes
        pulled = [row for row in rows if facts[row].images != self.facts[row].images]
        if pulled:
            sizes = {image: found.copy() for image, found in sizes.items()}
            for image, found in sizes.items():
                found[pulled] = [size_on(facts[row].images, image) for row in pulled]
        if not same_places:
            return Nodes(facts, masks, network=self.network, _image_sizes=sizes)
        return Nodes(
            facts,
            masks,
            _domains=self._domains,
            _trees=self._trees,
            network=self.network,
            _image_sizes=sizes,
        )


def _admits(facts: NodeFacts, constraints: Constraints) -> bool:
    return facts.usable and constraints.admit(facts.name, facts.labels, facts.taints)
