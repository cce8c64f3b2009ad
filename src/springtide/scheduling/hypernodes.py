"""Volcano's HyperNodes as levels of a topology: which of them each node is in, tier by tier.

HyperNodes must nest: one takes part if it holds whole what it shares with others of lower tiers, and shares
nothing with those of its own. One that does not is left out and says so in its status; those below it stay.
A gang may then ask for a tier like for any other level: it is placed in one domain of the lowest tier that
holds it, up to the highest it allows. Called by the cluster state when nodes or HyperNodes change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from springtide.api.hypernodes import OF_NODES, HyperNode, MemberSpec
from springtide.api.labels import HOSTNAME, HYPER_NODE_TIER
from springtide.api.selectors import from_label_selector
from springtide.scheduling.facts import PodSetFacts

TIER = HYPER_NODE_TIER
"""What the name of a level of HyperNodes begins with; its tier follows, or the tier's name."""
ALONE = "node/"
"""What a node's own domain begins with, at tiers below all HyperNodes it is in."""


@dataclass(frozen=True)
class Standing:
    """What became of a HyperNode."""

    nodes: frozenset[str] = frozenset()
    trouble: str = ""
    """Why it is left out; empty if it takes part."""
    reason: str = "Resolved"
    note: str = ""
    """What of it is left out, although it takes part."""


@dataclass(frozen=True)
class Network:
    """All HyperNodes, resolved."""

    levels: tuple[str, ...] = ()
    """One a tier, the widest first."""
    domain_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Per level and node the HyperNode it is in; nothing for nodes that are in none at all."""
    standings: Mapping[str, Standing] = field(default_factory=dict)
    names: Mapping[str, int] = field(default_factory=dict)
    """Tiers by their names."""

    def domain(self, level: str, node: str) -> str | None:
        """The domain of a node at a level; a node that is in no HyperNode is a domain by itself."""
        found = self.domain_of.get(level)
        return found.get(node, ALONE + node) if found is not None else None

    def level_of(self, asked: str) -> str:
        """The widest level up to a tier, which may have no HyperNodes itself; nodes, if it is below all."""
        if not asked.startswith(TIER):
            return asked
        tier = tier_of(asked)
        tier = self.names.get(asked.removeprefix(TIER)) if tier is None else tier
        if tier is None:
            return asked
        return next((level for level in self.levels if (tier_of(level) or 0) <= tier), HOSTNAME)


def in_network(pod_set: PodSetFacts, network: Network) -> PodSetFacts:
    """The pod set on the levels of HyperNodes, if it asks for one of their tiers.

    One that requires a tier is placed in the lowest that holds it, up to that one.
    """
    if not any(level.startswith(TIER) for level in pod_set.named_levels):
        return pod_set
    required = pod_set.required_level
    start = pod_set.preferred_level
    if not start and required.startswith(TIER):
        start = pod_set.slices[0].level if pod_set.slices else tier_level(0)
    return replace(
        pod_set,
        required_level=network.level_of(required),
        preferred_level=network.level_of(start),
        slices=tuple(replace(one, level=network.level_of(one.level)) for one in pod_set.slices),
        levels=network.levels or pod_set.levels,
    )


def tier_level(tier: int) -> str:
    """The level of a tier."""
    return f"{TIER}{tier}"


def tier_of(level: str) -> int | None:
    """The tier of a level; None if it is none of HyperNodes."""
    text = level.removeprefix(TIER)
    return int(text) if text != level and text.lstrip("-").isdecimal() else None


def resolve(hyper_nodes: Iterable[HyperNode], nodes: Mapping[str, Mapping[str, str]]) -> Network:
    """The tree of these HyperNodes over nodes, given by name with their labels."""
    found = _Resolving(nodes)
    ordered = sorted(hyper_nodes, key=lambda one: (one.spec.tier, one.metadata.name))
    known = {one.metadata.name: one for one in ordered}
    for one in ordered:
        found.add(one, known)
    tiers = sorted({known[name].spec.tier for name in found.nodes_of}, reverse=True)
    return Network(
        levels=tuple(tier_level(tier) for tier in tiers),
        domain_of={tier_level(tier): found.domains(tier) for tier in tiers},
        standings=found.standings,
        names={one.spec.tier_name: one.spec.tier for one in ordered if one.spec.tier_name},
    )


class _Resolving:
    """HyperNodes taken in tier by tier, the lowest first."""

    def __init__(self, nodes: Mapping[str, Mapping[str, str]]) -> None:
        self._nodes = nodes
        self._chains: dict[str, list[tuple[int, str]]] = {}
        self.nodes_of: dict[str, frozenset[str]] = {}
        self.standings: dict[str, Standing] = {}

    def add(self, one: HyperNode, known: Mapping[str, HyperNode]) -> None:
        """Take it in, unless something is wrong with it."""
        name, tier = one.metadata.name, one.spec.tier
        inside: set[str] = set()
        missing: list[str] = []
        for index, member in enumerate(one.spec.members):
            try:
                inside |= self._members(member, tier, known, missing)
            except ValueError as error:
                self._leave_out(name, "InvalidMember", f"spec.members[{index}]: {error}")
                return
        overlap = self._overlap(frozenset(inside), tier)
        if overlap:
            self._leave_out(name, "Overlaps", overlap)
            return
        self.nodes_of[name] = frozenset(inside)
        for node in inside:
            self._chains.setdefault(node, []).append((tier, name))
        note = f"not counted: {', '.join(missing)}" if missing else ""
        self.standings[name] = Standing(
            self.nodes_of[name], reason="MembersMissing" if missing else "Resolved", note=note
        )

    def domains(self, tier: int) -> dict[str, str]:
        """Each node's HyperNode of the highest tier up to this one; its own domain if in none so low."""
        return {
            node: next((name for at, name in reversed(chain) if at <= tier), ALONE + node)
            for node, chain in self._chains.items()
        }

    def _leave_out(self, name: str, reason: str, trouble: str) -> None:
        self.standings[name] = Standing(trouble=trouble, reason=reason)

    def _members(
        self, member: MemberSpec, tier: int, known: Mapping[str, HyperNode], missing: list[str]
    ) -> set[str]:
        """The nodes that one entry of members stands for. Raises ValueError for one that makes no sense."""
        if member.type == OF_NODES:
            return {name for name in self._nodes if _chooser(member)(name, self._nodes[name])}
        if member.selector.label_match is not None:
            raise ValueError("selector.labelMatch: chooses nodes only; use exactMatch or regexMatch")
        chooses = _chooser(member)
        chosen = [name for name in known if chooses(name, {})]
        exact = member.selector.exact_match
        if exact is not None and not chosen:
            missing.append(f"HyperNode {exact.name}, which does not exist")
        found: set[str] = set()
        for name in chosen:
            other = known[name].spec.tier
            if other >= tier:
                raise ValueError(f"HyperNode {name} is of tier {other}, which is not below {tier}")
            if name not in self.nodes_of:
                missing.append(f"HyperNode {name}, which is left out itself")
            found |= self.nodes_of.get(name, frozenset())
        return found

    def _overlap(self, inside: frozenset[str], tier: int) -> str:
        """With which other it overlaps without holding it whole; empty if with none."""
        tops = {self._chains[node][-1] for node in inside if node in self._chains}
        for other_tier, other in sorted(tops):
            if other_tier == tier:
                return f"shares nodes with HyperNode {other} of the same tier"
            outside = self.nodes_of[other] - inside
            if outside:
                return f"holds some nodes of HyperNode {other} and not {min(outside)}; take in all or none"
        return ""


def _chooser(member: MemberSpec) -> Callable[[str, Mapping[str, str]], bool]:
    """Whether a member chooses something, by its name and labels. Raises ValueError for no valid selector."""
    selector = member.selector
    if selector.exact_match is not None:
        exact = selector.exact_match.name
        return lambda name, _: name == exact
    if selector.regex_match is not None:
        try:
            pattern = re.compile(selector.regex_match.pattern)
        except re.error as error:
            text = selector.regex_match.pattern
            raise ValueError(f"selector.regexMatch.pattern {text!r} is no pattern: {error}") from None
        return lambda name, _: pattern.search(name) is not None
    labels = from_label_selector(selector.label_match)
    if labels is None:
        raise ValueError("selector: says nothing; set exactMatch, regexMatch or labelMatch")
    return lambda _, labelled: labels.matches(labelled)
