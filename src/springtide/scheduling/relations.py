"""Who counts for whom: which sorts of pods a group means, and which wishes of running pods meet a sort.

Grows as sorts become known and never forgets one, so that what was worked out for a sort stays true; counts
are not kept here. Owned by `neighbours`, asked by `filters`. Sorts and groups find each other by a label and
value that all pods of a group have, so that a thousand applications cost no million comparisons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from springtide.scheduling.between import Group, Port, Sort, Term

_NO_LABELS: Mapping[str, str] = {}
Sign = tuple[str, str]


class Relations:
    """Sorts of pods, and what they have to do with each other."""

    def __init__(self, namespaces: Mapping[str, Mapping[str, str]]) -> None:
        """`namespaces`: the labels of each."""
        self._namespaces = namespaces
        self._sorts: dict[Sort, None] = {}
        self._sorts_with: dict[Sign, list[Sort]] = defaultdict(list)
        self._members: dict[Group, list[Sort]] = {}
        self._groups_with: dict[Sign | None, list[Group]] = defaultdict(list)
        self._carriers: dict[Term, list[Sort]] = {}
        self._terms_with: dict[Sign | None, list[Term]] = defaultdict(list)
        self._met: dict[Sort, dict[Term, None]] = {}
        self._with_ports: dict[int, list[Sort]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._sorts)

    def add(self, sort: Sort) -> None:
        """Take note of a sort; one that is known changes nothing."""
        if sort in self._sorts:
            return
        self._sorts[sort] = None
        signs: list[Sign | None] = [None, *sort.labels.items()]
        for sign in sort.labels.items():
            self._sorts_with[sign].append(sort)
        for group in [group for sign in signs for group in self._groups_with.get(sign, ())]:
            if self.matches(group, sort):
                self._members[group].append(sort)
        if sort.own is None:
            return
        for number in {port.number for port in sort.own.ports}:
            self._with_ports[number].append(sort)
        for term in dict.fromkeys((*sort.own.away, *sort.own.carried)):
            self._carry(term, sort)

    def matches(self, group: Group, sort: Sort) -> bool:
        """Whether a group means pods of a sort."""
        sign = group.sign
        if sign is not None and sort.labels.get(sign[0]) != sign[1]:
            return False
        return group.matches(sort.namespace, self._namespaces.get(sort.namespace, _NO_LABELS), sort.labels)

    def members(self, group: Group) -> Iterable[Sort]:
        """The known sorts that a group means."""
        found = self._members.get(group)
        if found is None:
            found = [sort for sort in self._candidates(group) if self.matches(group, sort)]
            self._members[group] = found
            self._groups_with[group.sign].append(group)
        return found

    def carriers(self, term: Term) -> Iterable[Sort]:
        """The known sorts of pods that have this wish."""
        return self._carriers.get(term, ())

    def met_by(self, sort: Sort) -> Iterable[Term]:
        """Wishes of known sorts that are about pods of this sort."""
        found = self._met.get(sort)
        if found is None:
            signs: list[Sign | None] = [None, *sort.labels.items()]
            terms = (term for sign in signs for term in self._terms_with.get(sign, ()))
            found = self._met[sort] = dict.fromkeys(t for t in terms if self.matches(t.group, sort))
        return found

    def clashing(self, port: Port) -> Iterator[Sort]:
        """The known sorts that cannot share a node with who wants this port."""
        for sort in self._with_ports.get(port.number, ()):
            if sort.own is not None and any(port.clashes(other) for other in sort.own.ports):
                yield sort

    def _candidates(self, group: Group) -> Iterable[Sort]:
        sign = group.sign
        return self._sorts if sign is None else self._sorts_with.get(sign, ())

    def _carry(self, term: Term, sort: Sort) -> None:
        known = self._carriers.get(term)
        if known is not None:
            known.append(sort)
            return
        self._carriers[term] = [sort]
        self._terms_with[term.group.sign].append(term)
        for other, met in self._met.items():
            if self.matches(term.group, other):
                met[term] = None
