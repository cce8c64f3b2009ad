"""What a Deployment's replica sets should be next: which to create, change and delete. Pure.

Called by `deployments`. Level-triggered; the first row that holds decides.

| # | the Deployment                         | what is done                                               |
|---|----------------------------------------|------------------------------------------------------------|
| 1 | is being deleted                       | nothing                                                    |
| 2 | is paused                              | its sets are scaled; old ones beyond the history limit go  |
| 3 | has a set sized for another `replicas` | its sets are scaled, each in proportion                    |
| 4 | has strategy Recreate                  | old sets to 0; once their pods are gone, the new set       |
| 5 | is none of these                       | the new set grows within surge, old ones shrink in return  |

Source of the rules: kube-controller-manager's deployment controller. One thing is stricter here: pods that an
old set still runs beyond its size count as there when the new set grows, and pods that it is about to lose do
not count as available when it shrinks. So the limits hold at every moment, not only in the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from springtide.api.apps import Deployment, ReplicaSet
from springtide.api.numbers import whole_number
from springtide.builtin.deployment_sets import (
    DESIRED,
    MAXIMUM,
    find_new,
    kept_new_set,
    new_set,
    oldest_first,
    resized,
    revision,
    scale_notes,
    size,
)
from springtide.builtin.rollout_amounts import FOREVER, is_rolling, max_surge, max_unavailable, replicas_of


@dataclass(frozen=True)
class SetChange:
    """A set as it is and as it should be."""

    before: ReplicaSet
    after: ReplicaSet


@dataclass(frozen=True)
class DeploymentPlan:
    """What to write, in this order."""

    create: ReplicaSet | None = None
    changes: tuple[SetChange, ...] = ()
    delete: tuple[ReplicaSet, ...] = ()
    rolls: bool = False
    """Whether this is a rollout, whose progress is followed, and not a scaling or a pause."""


def plan(deployment: Deployment, sets: Sequence[ReplicaSet], *, old_pods_run: bool) -> DeploymentPlan:
    """`old_pods_run`: whether any pod of an old set has not finished yet (asked for by Recreate)."""
    if deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan()
    work = _Sets(deployment, sets)
    if deployment.spec.paused:
        work.scale()
        return work.result(delete=_superfluous(deployment, work.before_olds))
    if work.sized_for_another_number():
        work.scale()
        return work.result()
    if is_rolling(deployment):
        work.roll()
    else:
        work.recreate(old_pods_run=old_pods_run)
    delete = (
        _superfluous(deployment, work.before_olds) if is_complete(deployment) and not work.changed else ()
    )
    return work.result(delete=delete, rolls=True)


def is_complete(deployment: Deployment) -> bool:
    """Whether the status says that all pods are new and available, and no other is left."""
    status, replicas = deployment.status, replicas_of(deployment)
    return (
        status.updated_replicas == status.replicas == status.available_replicas == replicas
        and status.observed_generation >= deployment.metadata.generation
    )


class _Sets:
    """The sets under decision. `new` and `olds` are as they are to be; what they were is kept beside."""

    def __init__(self, deployment: Deployment, sets: Sequence[ReplicaSet]) -> None:
        self._deployment = deployment
        self._replicas = replicas_of(deployment)
        new = find_new(deployment, sets)
        self.before_olds = [one for one in oldest_first(sets) if new is None or one is not new]
        self._before = {one.metadata.name: one for one in sets}
        self.olds = list(self.before_olds)
        self.new = kept_new_set(deployment, new, self.olds) if new is not None else None

    @property
    def changed(self) -> bool:
        """Whether any size changes."""
        return any(size(one) != size(self._was(one)) for one in self._all())

    def result(self, delete: Sequence[ReplicaSet] = (), *, rolls: bool = False) -> DeploymentPlan:
        create = self.new if self.new is not None and self.new.metadata.name not in self._before else None
        changes = [
            SetChange(self._was(one), one)
            for one in self._all()
            if one is not create and one != self._was(one)
        ]
        changes.sort(key=lambda change: size(change.after) > size(change.before))  # first make room
        return DeploymentPlan(create, tuple(changes), tuple(delete), rolls)

    # -- scaling ------------------------------------------------------------------------------------

    def sized_for_another_number(self) -> bool:
        """Whether `replicas` changed since a set in use was sized."""
        noted = [one.metadata.annotations.get(DESIRED, "") for one in self._all() if size(one) > 0]
        numbers = map(whole_number, noted)
        return any(number is not None and number != self._replicas for number in numbers)

    def scale(self) -> None:
        """Give the sets in use their share of the new size."""
        before_olds, before_new = list(self.olds), self.new
        self._scale()
        grows = any(size(one) > size(self._was(one)) for one in self._all())
        if grows and any(map(_is_settling, self._before.values())):
            self.olds, self.new = before_olds, before_new  # room is made first

    def _scale(self) -> None:
        active = [one for one in self._all() if size(one) > 0]
        if len(active) <= 1:
            newest = self.new or (self.olds[-1] if self.olds else None)
            if only := (active[0] if active else newest):
                self._resize(only, self._replicas)
        elif self.new is not None and self._is_saturated(self.new):
            for one in active:
                if one is not self.new:
                    self._resize(one, 0)
        elif is_rolling(self._deployment):
            self._scale_in_proportion(active)

    def _is_saturated(self, new: ReplicaSet) -> bool:
        noted = new.metadata.annotations.get(DESIRED, "")
        return size(new) == new.status.available_replicas == self._replicas and noted == str(self._replicas)

    def _scale_in_proportion(self, active: list[ReplicaSet]) -> None:
        allowed = self._replicas + max_surge(self._deployment) if self._replicas > 0 else 0
        to_add = allowed - sum(map(size, active))
        by_age = oldest_first(active)
        if to_add > 0:
            by_age.reverse()  # of sets of one size, the newer grows first and the older shrinks first
        ordered = sorted(by_age, key=lambda one: -size(one))
        added, sizes = 0, {}
        for one in ordered:
            share = self._share(one, to_add, added) if to_add else 0
            sizes[one.metadata.name] = size(one) + share
            added += share
        largest = ordered[0].metadata.name
        sizes[largest] = max(sizes[largest] + to_add - added, 0)
        for one in ordered:
            self._resize(one, sizes[one.metadata.name])

    def _share(self, one: ReplicaSet, to_add: int, added: int) -> int:
        """How much of the change falls to this set, by its part of the size before."""
        if self._replicas == 0:
            fraction = -size(one)
        else:
            noted = whole_number(one.metadata.annotations.get(MAXIMUM, ""))
            before = noted or self._deployment.status.replicas
            if not before:
                return 0
            after = self._replicas + max_surge(self._deployment)
            fraction = _round(size(one) * after / before) - size(one)
        left = to_add - added
        return min(fraction, left) if to_add > 0 else max(fraction, left)

    # -- rolling ------------------------------------------------------------------------------------

    def roll(self) -> None:
        """One step of a rolling update: grow the new set, or else shrink old ones."""
        if self.new is None:
            self.new = new_set(self._deployment, self.olds, self._room(0))
        elif size(self.new) != self._replicas:
            wanted = self._replicas if size(self.new) > self._replicas else self._room(size(self.new))
            self._resize(self.new, wanted, lazily=True)
        if not self.changed:
            self._shrink_olds()

    def _room(self, present: int) -> int:
        """The size the new set may have now, given that it has this one."""
        if any(map(_is_settling, self.before_olds)):
            return present
        there = sum(map(size, self.olds)) + present
        most = self._replicas + max_surge(self._deployment)
        return present if there >= most else present + min(most - there, self._replicas - present)

    def _shrink_olds(self) -> None:
        new = self.new
        if new is None or not any(size(one) for one in self.olds):
            return
        least = self._replicas - max_unavailable(self._deployment)
        new_unavailable = size(new) - min(size(new), new.status.available_replicas)
        spare = sum(map(size, self._all())) - least - new_unavailable
        if spare <= 0:
            return
        for one in list(self.olds):  # unhealthy pods first: nobody misses them
            unhealthy = size(one) - _available(one)
            gone = max(min(spare, unhealthy), 0)
            self._resize(one, size(one) - gone, lazily=True)
            spare -= gone
        spare = sum(map(_available, self._all())) - least
        for one in list(self.olds):
            gone = max(min(spare, size(one)), 0)
            self._resize(one, size(one) - gone, lazily=True)
            spare -= gone

    def recreate(self, *, old_pods_run: bool) -> None:
        """All old pods first, then the new ones."""
        for one in list(self.olds):
            self._resize(one, 0, lazily=True)
        if self.changed or old_pods_run or any(one.status.replicas for one in self.before_olds):
            return
        if self.new is None:
            self.new = new_set(self._deployment, self.olds, self._replicas)
        else:
            self._resize(self.new, self._replicas, lazily=True)

    # -- the sets -----------------------------------------------------------------------------------

    def _all(self) -> list[ReplicaSet]:
        return [*self.olds, *([self.new] if self.new is not None else ())]

    def _was(self, one: ReplicaSet) -> ReplicaSet:
        return self._before.get(one.metadata.name, one)

    def _resize(self, one: ReplicaSet, replicas: int, *, lazily: bool = False) -> None:
        """`lazily`: leave a set of that size alone, whatever is noted on it."""
        noted = scale_notes(self._deployment).items() <= one.metadata.annotations.items()
        if size(one) == replicas and (lazily or noted):
            return
        after = resized(self._deployment, one, replicas)
        if one is self.new:
            self.new = after
        else:
            self.olds[self.olds.index(one)] = after


def _is_settling(one: ReplicaSet) -> bool:
    """Whether it has, or may have, more pods than its size says: it was made smaller a moment ago."""
    return one.metadata.generation > one.status.observed_generation or one.status.replicas > size(one)


def _available(one: ReplicaSet) -> int:
    """Available pods that will stay."""
    return min(size(one), one.status.available_replicas)


def _round(value: float) -> int:
    """Half away from zero."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def _superfluous(deployment: Deployment, olds: Sequence[ReplicaSet]) -> tuple[ReplicaSet, ...]:
    """Old sets beyond the history limit that are empty and known to be."""
    limit = deployment.spec.revision_history_limit
    alive = [one for one in olds if one.metadata.deletion_timestamp is None]
    if limit is None or limit == FOREVER or len(alive) <= limit:
        return ()
    alive.sort(key=revision)
    return tuple(
        one
        for one in alive[: len(alive) - limit]
        if not size(one)
        and not one.status.replicas
        and one.metadata.generation <= one.status.observed_generation
    )
