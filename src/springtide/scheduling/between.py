"""What pods ask of each other: nearness, distance, even spread, ports of the node; as values that compare.

`neighbours` sorts pods by these values as the cluster changes; `filters` applies them when nodes are chosen.
Source of the rules: Kubernetes' InterPodAffinity, PodTopologySpread and NodePorts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from springtide.api.affinity import PodAffinityTerm, TopologySpreadConstraint, WeightedPodAffinityTerm
from springtide.api.core import PodSpec
from springtide.api.meta import LabelSelector
from springtide.api.selectors import Labels, Requirement, from_label_selector

ANY_ADDRESS = "0.0.0.0"
"""Also what an empty `hostIP` means."""
_NEAR_REQUIRED_WEIGHT = 1
"""What a running pod's required affinity counts as a wish for those that come (kube-scheduler's default)."""


class Keyed:
    """Values that are equal when their keys are: comparing them costs the same however much they hold."""

    key: str

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, type(self)) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Part:
    """Pods told by namespace and labels."""

    namespaces: frozenset[str]
    namespaces_by: Labels | None
    """Further namespaces, by their labels."""
    selector: Labels | None
    """None matches no pod."""

    def matches(self, namespace: str, of_namespace: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        """Whether a pod of this namespace (with these labels) and these labels of its own is meant."""
        if self.selector is None or not self.selector.matches(labels):
            return False
        if namespace in self.namespaces:
            return True
        return self.namespaces_by is not None and self.namespaces_by.matches(of_namespace)


@dataclass(frozen=True, eq=False)
class Group(Keyed):
    """The pods that some constraint is about: those that every part matches."""

    key: str
    parts: tuple[Part, ...]
    words: str
    """The same for people: `app=web`."""

    def matches(self, namespace: str, of_namespace: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        return all(part.matches(namespace, of_namespace, labels) for part in self.parts)

    @property
    def label_keys(self) -> Iterator[str]:
        """Labels that it looks at."""
        for part in self.parts:
            if part.selector is not None:
                yield from (one.key for one in part.selector.requirements)

    @cached_property
    def sign(self) -> tuple[str, str] | None:
        """A label and value that all of its pods have, if there is one: what it is found by."""
        for part in self.parts:
            for one in part.selector.requirements if part.selector is not None else ():
                if one.operator == "in" and len(one.values) == 1:
                    return one.key, next(iter(one.values))
        return None

    @property
    def by_namespace_labels(self) -> bool:
        return any(part.namespaces_by is not None and part.namespaces_by.requirements for part in self.parts)


@dataclass(frozen=True, eq=False)
class Term(Keyed):
    """Be near pods of a group, or away from them, within equal values of a node label."""

    key: str
    group: Group
    level: str
    """The node label (topology key)."""
    weight: int
    """How strong a wish it is: positive to be near, negative to be away; 0 where it is a must."""


@dataclass(frozen=True, eq=False)
class Spread(Keyed):
    """Be spread evenly over the values of a node label together with pods of a group."""

    key: str
    group: Group
    level: str
    max_skew: int
    hard: bool
    min_domains: int
    honors_affinity: bool
    """Whether only nodes that the pod's selector and affinity choose are counted."""
    honors_taints: bool
    """Whether nodes with taints that the pod does not tolerate are left out."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the node, on one of its addresses or all."""

    protocol: str
    address: str
    number: int

    def clashes(self, other: Port) -> bool:
        """Whether both cannot be had on one node."""
        same = self.protocol == other.protocol and self.number == other.number
        return same and (self.address == other.address or ANY_ADDRESS in (self.address, other.address))


@dataclass(frozen=True, eq=False)
class Own(Keyed):
    """What a pod asks itself."""

    key: str
    near: tuple[Term, ...] = ()
    """Required affinity: all share one group, the pods that every term means."""
    away: tuple[Term, ...] = ()
    likes: tuple[Term, ...] = ()
    spreads: tuple[Spread, ...] = ()
    ports: tuple[Port, ...] = ()
    carried: tuple[Term, ...] = ()
    """What running pods like this one wish of those that come, beside `away`."""

    @property
    def groups(self) -> Iterator[Group]:
        """All pods it is about."""
        for term in (*self.near, *self.away, *self.likes, *self.carried):
            yield term.group
        for spread in self.spreads:
            yield spread.group


@dataclass(frozen=True, eq=False)
class Sort(Keyed):
    """Pods that are the same to all others: namespace, those labels that anybody looks at, own wishes."""

    key: str
    namespace: str
    labels: Mapping[str, str]
    own: Own | None


def sort_of(namespace: str, labels: Mapping[str, str], own: Own | None) -> Sort:
    """A sort. `labels` are those that count."""
    told = sorted(labels.items())
    key = msgspec.json.encode((namespace, told, own.key if own is not None else ""))
    return Sort(key.decode(), namespace, dict(told), own)


def asks(spec: PodSpec) -> bool:
    """Whether pods of this spec ask anything of other pods, or for ports of the node."""
    affinity = spec.affinity
    if affinity is not None and (affinity.pod_affinity or affinity.pod_anti_affinity):
        return True
    return bool(spec.topology_spread_constraints) or any(ports_of(spec))


def ports_of(spec: PodSpec) -> Iterator[Port]:
    """Ports of the node that containers and sidecars want."""
    sidecars = (one for one in spec.init_containers if one.restart_policy == "Always")
    for container in (*spec.containers, *sidecars):
        for port in container.ports:
            number = port.host_port or (port.container_port if spec.host_network else 0)
            if number:
                yield Port(port.protocol or "TCP", port.host_ip or ANY_ADDRESS, number)


def own_of(spec: PodSpec, namespace: str, labels: Mapping[str, str]) -> Own | None:
    """What a pod with these labels asks; None if nothing. Raises ValueError for an unknown operator."""
    if not asks(spec):
        return None
    near: Sequence[PodAffinityTerm] = ()
    away: Sequence[PodAffinityTerm] = ()
    liked: Sequence[WeightedPodAffinityTerm] = ()
    shunned: Sequence[WeightedPodAffinityTerm] = ()
    if spec.affinity is not None and spec.affinity.pod_affinity is not None:
        near = spec.affinity.pod_affinity.required_during_scheduling_ignored_during_execution
        liked = spec.affinity.pod_affinity.preferred_during_scheduling_ignored_during_execution
    if spec.affinity is not None and spec.affinity.pod_anti_affinity is not None:
        away = spec.affinity.pod_anti_affinity.required_during_scheduling_ignored_during_execution
        shunned = spec.affinity.pod_anti_affinity.preferred_during_scheduling_ignored_during_execution
    single = [(_group((_part(term, namespace, labels),)), term.topology_key) for term in near]
    together = _group(tuple(part for group, _ in single for part in group.parts)) if single else None
    likes = tuple(_wishes(liked, namespace, labels, +1)) + tuple(_wishes(shunned, namespace, labels, -1))
    away_terms = tuple(_term(_group((_part(t, namespace, labels),)), t.topology_key, 0) for t in away)
    spreads = tuple(_spread(one, namespace, labels) for one in spec.topology_spread_constraints)
    ports = tuple(sorted(set(ports_of(spec)), key=lambda one: (one.number, one.protocol, one.address)))
    near_terms = tuple(_term(together, level, 0) for _, level in single) if together is not None else ()
    keys = [[one.key for one in some] for some in (near_terms, away_terms, likes, spreads)]
    key = msgspec.json.encode((*keys, [(one.protocol, one.address, one.number) for one in ports])).decode()
    carried = (*(_term(group, level, _NEAR_REQUIRED_WEIGHT) for group, level in single), *likes)
    return Own(key, near_terms, away_terms, likes, spreads, ports, carried)


def _wishes(
    terms: Iterable[WeightedPodAffinityTerm], namespace: str, labels: Mapping[str, str], sign: int
) -> Iterator[Term]:
    for one in terms:
        term = one.pod_affinity_term
        yield _term(_group((_part(term, namespace, labels),)), term.topology_key, sign * one.weight)


def _term(group: Group, level: str, weight: int) -> Term:
    return Term(f"{group.key}|{level}|{weight}", group, level, weight)


def _part(term: PodAffinityTerm, namespace: str, labels: Mapping[str, str]) -> Part:
    selector = _parsed(term.label_selector)
    if selector is not None:
        selector = _with_keys(selector, term.match_label_keys, labels, "in")
        selector = _with_keys(selector, term.mismatch_label_keys, labels, "notin")
    own = not term.namespaces and term.namespace_selector is None
    namespaces = frozenset((namespace,) if own else term.namespaces)
    return Part(namespaces, _parsed(term.namespace_selector), selector)


def _spread(one: TopologySpreadConstraint, namespace: str, labels: Mapping[str, str]) -> Spread:
    selector = _parsed(one.label_selector)
    if selector is not None:
        selector = _with_keys(selector, one.match_label_keys, labels, "in")
    group = _group((Part(frozenset((namespace,)), None, selector),))
    hard = one.when_unsatisfiable == "DoNotSchedule"
    honors = one.node_affinity_policy != "Ignore", one.node_taints_policy == "Honor"
    least = one.min_domains or 1
    key = f"{group.key}|{one.topology_key}|{one.max_skew}|{hard}|{least}|{honors}"
    return Spread(key, group, one.topology_key, one.max_skew, hard, least, *honors)


def _with_keys(selector: Labels, keys: Iterable[str], labels: Mapping[str, str], operator: str) -> Labels:
    """The selector, narrowed to pods that share (or do not share) the pod's value of these labels.

    The API server may have done so already, when the pod was made; then it changes nothing.
    """
    added = [Requirement(key, operator, frozenset((labels[key],))) for key in keys if key in labels]
    return Labels((*selector.requirements, *(one for one in added if one not in selector.requirements)))


def _parsed(selector: LabelSelector | None) -> Labels | None:
    try:
        return from_label_selector(selector)
    except KeyError as error:
        known = "In, NotIn, Exists, DoesNotExist"
        raise ValueError(f"operator {error} of a label selector is unknown; use one of {known}") from None


def _group(parts: tuple[Part, ...]) -> Group:
    told = [
        [sorted(part.namespaces), _requirements(part.namespaces_by), _requirements(part.selector)]
        for part in parts
    ]
    distinct = sorted(
        {msgspec.json.encode(one).decode(): part for one, part in zip(told, parts, strict=True)}.items()
    )
    words = " and ".join(dict.fromkeys(_words(part) for _, part in distinct))
    return Group("&".join(key for key, _ in distinct), tuple(part for _, part in distinct), words)


def _requirements(selector: Labels | None) -> list[list[object]] | None:
    if selector is None:
        return None
    found = {(one.key, one.operator, tuple(sorted(one.values))) for one in selector.requirements}
    return [list(one) for one in sorted(found)]


def _words(part: Part) -> str:
    if part.selector is None:
        return "no pods"
    said = ", ".join(dict.fromkeys(_requirement_words(one) for one in part.selector.requirements))
    return said or "any pods"


def _requirement_words(one: Requirement) -> str:
    values = ",".join(sorted(one.values))
    if one.operator == "in":
        return f"{one.key}={values}" if len(one.values) == 1 else f"{one.key} in ({values})"
    if one.operator == "notin":
        return f"{one.key} not in ({values})"
    return one.key if one.operator == "exists" else f"!{one.key}"
