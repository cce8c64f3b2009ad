"""Bindings that were written and not yet seen: what they hold counts from the moment they are sent.

Owned by `ClusterState`. A watch that shows the pod on a node, or another pod of its name, ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from springtide.api.core import Pod


@dataclass(frozen=True, slots=True)
class Assumed:
    """Where a pod is taken to be, and with which annotations."""

    uid: str = ""
    node: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


_NOTHING = Assumed()


class Assumptions:
    """By key of the pod."""

    def __init__(self) -> None:
        self._by_key: dict[str, Assumed] = {}

    def add(self, key: str, assumed: Assumed) -> None:
        """A binding is being written."""
        self._by_key[key] = assumed

    def of(self, key: str, pod: Pod) -> Assumed:
        """What is still to be assumed of a pod as it was seen; empty if nothing is."""
        found = self._by_key.get(key, _NOTHING)
        if found.uid and (pod.spec.node_name or pod.metadata.uid != found.uid):
            del self._by_key[key]
            return _NOTHING
        return found

    def take_back(self, key: str, uid: str) -> bool:
        """The write failed; whether anything had been assumed of this pod."""
        if self._by_key.get(key, _NOTHING).uid != uid:
            return False
        del self._by_key[key]
        return True

    def forget(self, key: str) -> None:
        """The pod is gone."""
        self._by_key.pop(key, None)
