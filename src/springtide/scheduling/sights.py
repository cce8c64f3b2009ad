"""What each class of pods sees of what is free: how many fit on a node, and the node's score.

Both are kept per class and refreshed only at the nodes that changed since the class was last looked at; how
many fit is counted only for those who ask. Owned by a `Placement`, which takes from the same `Supply`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import BINPACK, DeviceRequest, Devices
from springtide.scheduling.devices import SPREAD as SPREADING
from springtide.scheduling.fragments import Fragments
from springtide.scheduling.images import aversion as aversion_of_missing
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.policies import PACKING, SPREAD, Policy, Sight
from springtide.scheduling.supply import Supply
from springtide.scheduling.views import View

_STRAIN_WEIGHT = 200.0
"""Devices that are nearer to each other are worth a fifth of a device stranded."""
_AVERSION_WEIGHT = 1000.0
"""Scores are shares of a node, a few units at most: a hundredth of an aversion still outweighs them."""
_KEPT_MAX = 1 << 23
"""Scores kept in all, classes × nodes: where there are more classes the oldest are worked out again."""
_UNCOUNTED = np.empty(0, dtype=np.int64)


class Sights:
    """What all classes see of one supply."""

    def __init__(
        self, nodes: Nodes, supply: Supply, fragments: Fragments, policy: Policy, random: np.random.Generator
    ) -> None:
        self._nodes, self._supply, self._fragments = nodes, supply, fragments
        self._policy, self._random = policy, random
        self._all = np.arange(len(nodes))
        self._kept_max = _KEPT_MAX // max(1, len(nodes))
        self._views: dict[PodClass, View] = {}
        self._requests: dict[DeviceRequest, DeviceRequest] = {}
        self._plain_of: dict[PodClass, PodClass] = {}

    def twin(self, supply: Supply) -> Sights:
        """Of another supply of the same nodes."""
        return Sights(self._nodes, supply, self._fragments, self._policy, self._random)

    def view(self, pod_class: PodClass) -> View:
        """What this class sees now."""
        if pod_class.between is not None:
            return replace(self.view(self._plain(pod_class)), pod_class=pod_class)
        view = self.ranked(pod_class)
        if view.counted < self._supply.changes:
            self._count_room(view)
        return view

    def ranked(self, pod_class: PodClass) -> View:
        """What this class sees now, but for how many fit."""
        if pod_class.between is not None:
            return replace(self.ranked(self._plain(pod_class)), pod_class=pod_class)
        view = self._views.get(pod_class)
        if view is None:
            view = self._new_view(pod_class)
            while len(self._views) >= self._kept_max and self._views:
                del self._views[next(iter(self._views))]
            self._views[pod_class] = view
        elif not view.offered:
            return view
        elif view.policy.fickle:
            self._rank(view, None)
        elif view.seen < self._supply.changes:
            self._rank(view, self._supply.changed(view.seen))
        view.seen = self._supply.changes
        return view

    def known(self, pod_class: PodClass) -> View:
        """What the class sees, perhaps an older sight."""
        found = self._views.get(pod_class)
        return found if found is not None else self.view(pod_class)

    def takes(self, pod_class: PodClass) -> Ints:
        """What one pod takes of every resource."""
        view = self._views.get(pod_class)
        if view is not None:
            return view.takes
        columns = self._supply.columns
        found = np.zeros(len(columns), dtype=np.int64)
        for name, amount in pod_class.requests:
            if amount > 0 and name in columns:
                found[columns[name]] = amount
        return found

    def pick(self, view: View, rows: Ints) -> int:
        """The device of the one node of which the policy would take a part; -1 if nobody minds."""
        return view.pick(self._sight(view, rows)) if view.pick is not None else -1

    def _plain(self, pod_class: PodClass) -> PodClass:
        """The class without what its pods ask of others: all that differ in this alone share one view."""
        found = self._plain_of.get(pod_class)
        if found is None:
            found = self._plain_of[pod_class] = replace(pod_class, between=None)
        return found

    def _new_view(self, pod_class: PodClass) -> View:
        asked = [(name, amount) for name, amount in pod_class.requests if amount > 0]
        columns = [self._supply.columns.get(name, -1) for name, _ in asked]
        mask = self._nodes.mask(pod_class.constraints)
        wished = pod_class.devices
        asked_of_devices = self._requests.setdefault(wished, wished) if wished is not None else None
        candidates, exact = self._supply.candidates(asked_of_devices, mask)
        aversion = self._nodes.aversion(pod_class.constraints)
        images = pod_class.images
        if images is not None and (score := self._nodes.image_scores(images)) is not None:
            aversion = aversion + aversion_of_missing(score)
        takes = self.takes(pod_class)
        policy = self._policy_of(pod_class)
        in_part = wished is not None and not wished.whole and wished.count == 1 and not wished.device_policy
        view = View(
            pod_class=pod_class,
            asked=asked_of_devices,
            columns=np.array(columns, dtype=np.int64),
            amounts=np.array([amount for _, amount in asked], dtype=np.int64),
            takes=takes,
            cpu=pod_class.cpu,
            least=self._supply.least(pod_class),
            wanted=takes * self._supply.weights,
            mask=mask,
            candidates=candidates,
            exact=exact,
            aversion=aversion if aversion.any() else None,
            offered=-1 not in columns,
            ranked=np.full(len(self._nodes), np.inf),
            fits=_UNCOUNTED,
            policy=policy,
            pick=policy.pick if in_part else None,
            plain=in_part and self._asks_for_a_part_alone(wished),
        )
        if view.offered:
            self._rank(view, None)
        return view

    def _asks_for_a_part_alone(self, asked: DeviceRequest | None) -> bool:
        """Whether nothing but its size matters of the part asked for, on any node."""
        if asked is None or not self._supply.devices.even or self._supply.devices.able(asked) is not None:
            return False
        return asked == DeviceRequest(asked.resource, 1, asked.share, node_policy=asked.node_policy)

    def _policy_of(self, pod_class: PodClass) -> Policy:
        """How nodes are chosen for such pods: as they say themselves, or as the scheduler does."""
        said = pod_class.devices.node_policy if pod_class.devices is not None else ""
        return {BINPACK: PACKING, SPREADING: SPREAD}.get(said, self._policy)

    def _rank(self, view: View, rows: Ints | None) -> None:
        """Score these nodes anew (None: all)."""
        able = self._supply.holding(view.least, rows)
        if view.candidates is not None:
            able &= view.candidates if rows is None else view.candidates.take(rows)
        if rows is None:
            view.ranked.fill(np.inf)
            rows = np.flatnonzero(able)
        else:
            view.ranked[rows] = np.inf
            rows = rows[able]
        if not view.exact and view.asked is not None:
            rows = rows[self._supply.devices.fits(rows, view.asked) > 0]
        if not len(rows) and not view.policy.fickle:
            return
        cost = view.policy.score(self._sight(view, rows)).cost
        if view.aversion is not None:
            cost = cost + view.aversion.take(rows) * _AVERSION_WEIGHT
        asked = view.asked
        if asked is not None and asked.count > 1 and asked.whole and not self._supply.devices.even:
            cost = cost + self._supply.devices.strain(rows, asked) * _STRAIN_WEIGHT
        view.ranked[rows] = cost

    def _count_room(self, view: View) -> None:
        """Count how many fit on the nodes that changed since it was last done."""
        rows: Ints | None = None
        if view.counted < 0:
            view.fits = np.zeros(len(self._nodes), dtype=np.int64)
        else:
            rows = self._supply.changed(view.counted)
        view.counted = self._supply.changes
        if not view.offered:
            return
        if rows is None:
            view.fits[:] = room(self._supply.free[view.columns], self._supply.devices, view, self._all)
        else:
            free = self._supply.free.take(rows, axis=1)[view.columns]
            view.fits[rows] = room(free, self._supply.devices, view, rows)

    def _sight(self, view: View, rows: Ints) -> Sight:
        asked = view.asked
        if asked is not None and asked.foreign and not self._supply.devices.names(asked)[rows].all():
            asked = None  # some of these nodes only count such devices: nothing is stranded there
        return Sight(self._supply, rows, view.wanted, view.cpu, asked, self._fragments, self._random)


def room(free: Ints, devices: Devices, view: View, rows: Ints) -> Ints:
    """How many pods fit on these nodes, of which so much is free: the class's columns × nodes."""
    found = (free // view.amounts[:, None]).min(axis=0)
    if view.asked is not None:
        found = np.minimum(found, devices.fits(rows, view.asked))
    return np.where(view.mask.take(rows), np.maximum(found, 0), 0)
