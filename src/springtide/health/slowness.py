"""Which ranks of a gang are slow, and for how many steps they have been. Pure; called by `watch`.

Ranks that train together all take as long as the slowest, so they are compared by the time each works by
itself (`busySeconds`, without its waits for peers and for a processor). What is judged are steps, never
looks: a rank says itself what its newest twelve steps have in common (`springtide.sdk.steptimes`), so that
one look tells as much as twelve. A rank is slow when its median is much more than that of its peers, beyond
what they differ among themselves, and nearly all of its steps are more; and when the others wait for it.

How long that must last depends on how clear it is. Twice its best and twice its peers, in ten of twelve
steps, is said at once; half as much again must go on, for that is also what neighbours on a machine do to
each other. Time in which a rank was ready and others had its processors is counted apart, and must last for
minutes: a busy machine takes it now from this rank and now from that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from springtide.api.nodehealth import RankMarks
from springtide.health.gang import Member, RankView

RATIO = 1.5
"""So many times what its peers need (NVRx calls 1 / 0.75 = 1.33 slow, DLRover 2)."""
CLEAR_RATIO = 2.0
"""From here on nothing but slowness explains it."""
LOW_RATIO = 1.25
"""And so many times in nearly every step; where nothing else explains it, `RATIO` times."""
DEVIATIONS = 4.0
"""And so many times what they usually differ by (median absolute deviation, scaled to a standard one)."""
_MAD_SCALE = 1.4826
_SPREAD_MIN = 0.05
"""Peers differ by a twentieth at least, however alike some steps look."""
TURNED_RATIO = 1.4
"""So many times what it needed itself at its best: it became slow, and was not made so."""
SHARE = 0.6
"""The slow rank works for so much of the step at least: otherwise the others do not wait for it."""
SECONDS_MIN = 0.02
"""Shorter differences are noise of the machine."""
SMALL_SECONDS = 0.05
"""Differences up to this are too, unless they last."""
SMALL_LASTS_SECONDS = 60.0
"""So long."""
SEEN_STEPS = 10
"""Whoever is seen slow has been for so many steps: nearly all of those that a rank tells of together."""
CLEAR_SECONDS = 5.0
"""Who became clearly slow must have been for so long: short steps are disturbed for as long as long ones."""
MILD_STEPS = 8
MILD_SECONDS = 30.0
"""Who became slow and not clearly so must go on for so many steps, and so long in all."""
DESIGN_STEPS = 50
"""One that always had more to do must for longer, also to be much slower than it always was: nothing is lost
by waiting, machines are uneven at first, and its long steps are the ones that a busy machine disturbs."""
QUEUED_SECONDS = 120.0
"""So long must a rank get so much less of the processors than its peers."""
FRESH_STEPS = 7
"""Peers are compared with as they are now: at most so many steps before the slow rank spoke."""


@dataclass(frozen=True)
class Slow:
    """A rank that its peers wait for."""

    rank: RankView
    busy_seconds: float
    peers_seconds: float
    """Median of its peers."""
    best_seconds: float | None
    step_seconds: float
    step: int
    peers_ratio: float = 1.0
    """How many times their own best its peers need: above 1 where the whole machine or job slowed down."""
    low_seconds: float = 0.0
    """Nearly all of its steps take it at least so long."""
    queued_seconds: float = 0.0
    """Of `busy_seconds` the time in which others had its processors, where that is what makes it slow."""

    @property
    def ratio(self) -> float:
        """How many times what its peers need."""
        return self.busy_seconds / self.peers_seconds

    @property
    def own_ratio(self) -> float:
        """How many times its own best, beyond what became of its peers; 1 where that is not known."""
        if self.best_seconds is None or self.best_seconds <= 0:
            return 1.0
        return self.busy_seconds / self.best_seconds / max(self.peers_ratio, 1.0)

    @property
    def turned(self) -> bool:
        """Whether it was once much faster itself, beyond what became of its peers."""
        return self.own_ratio >= TURNED_RATIO

    @property
    def skewed(self) -> bool:
        """Whether it needed much more than its peers at the best of each already: it has more to do."""
        return self.best_seconds is None or self.best_seconds * self.peers_ratio >= RATIO * self.peers_seconds

    @property
    def clear(self) -> bool:
        """Whether it is twice as slow as its peers and as itself, and slow in nearly every step."""
        slow = min(self.ratio, self.own_ratio) >= CLEAR_RATIO
        return slow and self.low_seconds >= RATIO * self.peers_seconds

    @property
    def small(self) -> bool:
        """Whether only short steps make it look slow."""
        return self.busy_seconds - self.peers_seconds < SMALL_SECONDS


@dataclass(frozen=True)
class Since:
    """At which steps a rank that is slow now was first seen so."""

    slow: int
    turned: int | None
    """Since when it is much slower than at its best; None: it is not."""


def find(members: Sequence[Member]) -> list[Slow]:
    """The slow ranks of a gang at this moment, the slowest first."""
    groups: dict[str, list[tuple[RankView, RankMarks]]] = {}
    for member in members:
        for rank in member.ranks:
            if rank.marks is not None and rank.marks.busy_seconds is not None and rank.marks.step is not None:
                groups.setdefault(rank.marks.group, []).append((rank, rank.marks))
    found = [slow for group in groups.values() for slow in _of_group(group)]
    return sorted(found, key=lambda slow: (-slow.ratio, slow.rank.rank))


def _of_group(group: Sequence[tuple[RankView, RankMarks]]) -> list[Slow]:
    found = []
    for place, (rank, marks) in enumerate(group):
        if marks.best_seconds is None or marks.low_seconds is None:
            continue  # they are known after twelve steps
        others = [other for _, other in (*group[:place], *group[place + 1 :])]
        peers = [other for other in others if _is_fresh(other, marks)]
        if not peers or len(peers) * 2 < len(others):
            continue
        slow = _slow_at_work(rank, marks, peers) or _slow_in_queue(rank, marks, peers)
        if slow is not None:
            found.append(slow)
    return found


def _is_fresh(peer: RankMarks, slow: RankMarks) -> bool:
    """Whether a peer is known as it was while the other was slow: all may have become slower together."""
    if (peer.step or 0) >= (slow.step or 0) - FRESH_STEPS:
        return True
    ahead = timedelta(seconds=FRESH_STEPS * (slow.step_seconds or 0.0))
    return peer.time is not None and slow.time is not None and peer.time >= slow.time - ahead


def _slow_at_work(rank: RankView, marks: RankMarks, peers: Sequence[RankMarks]) -> Slow | None:
    """Slow in what it does itself."""
    busy, works = marks.busy_seconds or 0.0, [_work(peer) for peer in peers]
    middle = median(works)
    steady = (marks.low_seconds or 0.0) >= LOW_RATIO * middle
    if not steady or not _is_far(busy, works, RATIO) or not _holds_up(busy, marks):
        return None
    return Slow(
        rank,
        busy,
        middle,
        marks.best_seconds,
        step_seconds=marks.step_seconds or busy,
        step=marks.step or 0,
        peers_ratio=median(_own_ratio(peer) for peer in peers),
        low_seconds=marks.low_seconds or 0.0,
    )


def _slow_in_queue(rank: RankView, marks: RankMarks, peers: Sequence[RankMarks]) -> Slow | None:
    """Slow because others have its processors."""
    queued = marks.queued_seconds or 0.0
    whole = (marks.busy_seconds or 0.0) + queued
    wholes = [_work(peer) + (peer.queued_seconds or 0.0) for peer in peers]
    middle = median(wholes)
    if 2 * queued < whole - middle or not _is_far(whole, wholes, CLEAR_RATIO) or not _holds_up(whole, marks):
        return None
    wall = marks.step_seconds or whole
    return Slow(rank, whole, middle, None, wall, marks.step or 0, queued_seconds=queued)


def _work(peer: RankMarks) -> float:
    """What a peer needs; what it has just begun to need counts, for all may become slower together."""
    return max(peer.busy_seconds or 0.0, peer.recent_seconds or 0.0)


def _is_far(busy: float, works: Sequence[float], ratio: float) -> bool:
    """Whether it needs much more than its peers, beyond what these differ by."""
    middle = median(works)
    spread = max(_MAD_SCALE * median(abs(one - middle) for one in works), _SPREAD_MIN * middle)
    return middle > 0 and busy - middle >= max(DEVIATIONS * spread, (ratio - 1) * middle, SECONDS_MIN)


def _holds_up(busy: float, marks: RankMarks) -> bool:
    return busy >= SHARE * (marks.step_seconds or busy)


def _own_ratio(marks: RankMarks) -> float:
    """How many times its own best it needs."""
    if not marks.best_seconds or marks.busy_seconds is None:
        return 1.0
    return marks.busy_seconds / marks.best_seconds


def still_slow(known: Mapping[int, Since], found: Sequence[Slow]) -> tuple[dict[int, Since], list[Slow]]:
    """What to remember of this look, and which ranks have now been slow for long enough.

    `known`: by rank, what was remembered of the look before. Who is slow no more is forgotten; so is that it
    turned slow where it did what it always does at one look between.
    """
    since = {slow.rank.rank: _since(known.get(slow.rank.rank), slow) for slow in found}
    return since, [slow for slow in found if _lasts(since[slow.rank.rank], slow)]


def _since(before: Since | None, slow: Slow) -> Since:
    first = slow.step if before is None else min(before.slow, slow.step)
    if not slow.turned:
        return Since(first, None)
    return Since(
        first, slow.step if before is None or before.turned is None else min(before.turned, slow.step)
    )


def _lasts(since: Since, slow: Slow) -> bool:
    steps = slow.step - (since.slow if since.turned is None else since.turned)
    seconds = (steps + SEEN_STEPS) * slow.step_seconds
    if slow.queued_seconds:
        return seconds >= QUEUED_SECONDS
    if slow.small and seconds < SMALL_LASTS_SECONDS:
        return False
    if not slow.turned or slow.skewed:
        return steps >= DESIGN_STEPS
    if slow.clear:
        return seconds >= CLEAR_SECONDS
    return steps >= MILD_STEPS and seconds >= MILD_SECONDS
