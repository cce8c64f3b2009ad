"""What the claims of a pod ask of a node: part of the facts of a pod, worked out by `volumes`."""

from __future__ import annotations

from dataclasses import dataclass

from springtide.api.affinity import NodeSelectorTerm

SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotation of a claim: where its volume is to be made. Schedulers write it, provisioners take it back."""
Terms = tuple[NodeSelectorTerm, ...]
"""Any of them may hold."""


@dataclass(frozen=True)
class VolumeDemand:
    """What the claims of one pod ask of a node."""

    terms: tuple[Terms, ...] = ()
    """All must hold."""
    attached: tuple[tuple[str, int], ...] = ()
    """Volumes to attach, as amounts of resources."""
    exclusive: tuple[str, ...] = ()
    """Claims that one pod alone may use."""
    obstacle: str = ""
    """Why the pod cannot be placed anywhere yet."""


NOTHING = VolumeDemand()
