"""Where a pod may run beside others, by looking at every pair: slow and obvious, for tests to compare."""

from __future__ import annotations

from dataclasses import dataclass

from springtide.api.meta import LabelSelector
from springtide.api.selectors import from_label_selector
from springtide.api.struct import decode
from tests.scheduling.scenes import Json

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def slowly(nodes: list[Json], running: list[Json], pending: Json) -> str:
    """Names of the nodes on which the pod may run."""
    return "".join(raw["metadata"]["name"] for raw in nodes if _View(raw, nodes, running, pending).may_run())


@dataclass
class _View:
    """One pod on one node. All pods are of one namespace."""

    node: Json
    nodes: list[Json]
    running: list[Json]
    pending: Json

    def may_run(self) -> bool:
        return self._apart() and self._ports() and self._near() and self._even()

    def _apart(self) -> bool:
        own = any(
            _meant(term, pod) and self._same(pod, term["topologyKey"])
            for term in _terms(self.pending, "podAntiAffinity")
            for pod in self.running
        )
        others = any(
            _meant(term, self.pending) and self._same(pod, term["topologyKey"])
            for pod in self.running
            for term in _terms(pod, "podAntiAffinity")
        )
        return not own and not others

    def _ports(self) -> bool:
        name = self.node["metadata"]["name"]
        return not any(
            _ports(pod) & _ports(self.pending) for pod in self.running if pod["spec"]["nodeName"] == name
        )

    def _near(self) -> bool:
        terms = _terms(self.pending, "podAffinity")
        keys = [term["topologyKey"] for term in terms]
        if any(key not in self.node["metadata"]["labels"] for key in keys):
            return False
        meant = [pod for pod in self.running if all(_meant(term, pod) for term in terms)]
        if all(any(self._same(pod, key) for pod in meant) for key in keys):
            return True
        labelled = any(key in self._labels_at(pod) for pod in meant for key in keys)
        return not labelled and all(_meant(term, self.pending) for term in terms)

    def _even(self) -> bool:
        return all(self._keeps(one) for one in self.pending["spec"].get("topologySpreadConstraints", []))

    def _keeps(self, one: Json) -> bool:
        key, here = one["topologyKey"], self.node["metadata"]["labels"]
        if key not in here:
            return False
        per = {raw["metadata"]["labels"][key]: 0 for raw in self.nodes if key in raw["metadata"]["labels"]}
        for pod in self.running:
            place = self._labels_at(pod).get(key)
            if place is not None and _meant(one, pod):
                per[place] += 1
        least = min(per.values()) if len(per) >= one["minDomains"] else 0
        return bool(per[here[key]] + _meant(one, self.pending) - least <= one["maxSkew"])

    def _labels_at(self, pod: Json) -> dict[str, str]:
        found = next(raw for raw in self.nodes if raw["metadata"]["name"] == pod["spec"]["nodeName"])
        labels: dict[str, str] = found["metadata"]["labels"]
        return labels

    def _same(self, pod: Json, key: str) -> bool:
        here = self.node["metadata"]["labels"]
        return key in here and self._labels_at(pod).get(key) == here[key]


def _terms(pod: Json, kind: str) -> list[Json]:
    found: list[Json] = pod["spec"].get("affinity", {}).get(kind, {}).get(_REQUIRED, [])
    return found


def _meant(term: Json, pod: Json) -> bool:
    selector = from_label_selector(decode(LabelSelector, term["labelSelector"]))
    return selector is not None and selector.matches(pod["metadata"]["labels"])


def _ports(pod: Json) -> set[int]:
    return {one["hostPort"] for one in pod["spec"]["containers"][0]["ports"]}
