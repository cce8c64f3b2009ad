"""Which ranks of a gang are slow, and whether that is the node or the job. Pure; called by the controller.

Ranks that train together all take as long as the slowest, so they are compared by the time each works by
itself (`busySeconds`, without its waits for peers), as medians over ten steps: uneven batches and garbage
collection make single steps long, never the median. A rank is slow when it needs much more than the median
of its peers, beyond what they differ among themselves, over several steps, and the others wait for it.

Most slow jobs are not slow nodes (NYU and ByteDance, OSDI 2025: worker faults explain half of the slowdown
in 1.7 % of straggling jobs). So a node is only suspected when the rank was once faster on it, or when the
node slowed other jobs too; a rank that was slow from its first steps on has more to do by design (the last
stage of a pipeline). Ranks of a declared group are compared with each other alone. And a suspicion is no
verdict: a check beside a node that is not suspected (`checks`) decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from springtide.api import labels
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta, owner_reference
from springtide.api.nodehealth import NodeHealth
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence
from springtide.faults import Fault
from springtide.health.gang import Member, RankView

RATIO = 1.5
"""So many times what its peers need (NVRx calls 1 / 0.75 = 1.33 slow, DLRover 2)."""
DEVIATIONS = 4.0
"""And so many times what they usually differ by (median absolute deviation, scaled to a standard one)."""
_MAD_SCALE = 1.4826
_SPREAD_MIN = 0.05
"""Peers differ by a twentieth at least, however alike ten steps look."""
TURNED_RATIO = 1.4
"""So many times what it needed itself at its best: it became slow, and was not made so."""
SHARE = 0.6
"""The slow rank works for so much of the step at least: otherwise the others do not wait for it."""
SECONDS_MIN = 0.02
"""Shorter differences are noise of the machine."""
SMALL_SECONDS = 0.1
"""Differences up to this are too, unless they last."""
SMALL_LASTS_SECONDS = 60.0
"""So long: a busy machine disturbs short steps for seconds, now this rank's and now that one's."""
PERSIST_STEPS = 4
"""A rank that became slow must still be so many steps after that was first seen."""
DESIGN_STEPS = 50
"""One that always had more to do must for longer, also to be much slower than it always was: nothing is lost
by waiting, machines are uneven at first, and its long steps are the ones that a busy machine disturbs."""
_THROTTLING = ("throttl", "slowdown", "thermal", "power brake", "clock")


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

    @property
    def ratio(self) -> float:
        """How many times what its peers need."""
        return self.busy_seconds / self.peers_seconds

    @property
    def turned(self) -> bool:
        """Whether it was once much faster itself, beyond what became of its peers."""
        if self.best_seconds is None:
            return False
        return self.busy_seconds >= TURNED_RATIO * max(self.peers_ratio, 1.0) * self.best_seconds

    @property
    def skewed(self) -> bool:
        """Whether it needed much more than its peers at the best of each already: it has more to do."""
        return self.best_seconds is None or self.best_seconds * self.peers_ratio >= RATIO * self.peers_seconds

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
    groups: dict[str, list[RankView]] = {}
    for member in members:
        for rank in member.ranks:
            if rank.marks is not None and rank.marks.busy_seconds is not None and rank.marks.step is not None:
                groups.setdefault(rank.marks.group, []).append(rank)
    found = [slow for group in groups.values() for slow in _of_group(group)]
    return sorted(found, key=lambda slow: (-slow.ratio, slow.rank.rank))


def _of_group(group: Sequence[RankView]) -> list[Slow]:
    busy = [rank.marks.busy_seconds or 0.0 for rank in group if rank.marks is not None]
    ratios = [_own_ratio(rank) for rank in group]
    found = []
    for place, rank in enumerate(group):
        peers = busy[:place] + busy[place + 1 :]
        if rank.marks is None or rank.marks.best_seconds is None or not peers:
            continue  # best is known after ten steps
        middle = median(peers)
        spread = max(_MAD_SCALE * median(abs(one - middle) for one in peers), _SPREAD_MIN * middle)
        more = busy[place] - middle
        wall = rank.marks.step_seconds or busy[place]
        far = more >= max(DEVIATIONS * spread, (RATIO - 1) * middle, SECONDS_MIN)
        if middle > 0 and far and busy[place] >= SHARE * wall:
            marks = rank.marks
            others = median(ratios[:place] + ratios[place + 1 :])
            found.append(Slow(rank, busy[place], middle, marks.best_seconds, wall, marks.step or 0, others))
    return found


def _own_ratio(rank: RankView) -> float:
    """How many times its own best it needs."""
    marks = rank.marks
    if marks is None or not marks.best_seconds or marks.busy_seconds is None:
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
    if slow.small and steps * slow.step_seconds < SMALL_LASTS_SECONDS:
        return False
    return steps >= (PERSIST_STEPS if slow.turned and not slow.skewed else DESIGN_STEPS)


def diagnosis_name(workload: Workload, attempt: int, slow: Slow) -> str:
    """One a rank and attempt, beside the one that ends the attempt; a rank may turn slow that always was."""
    return f"{workload.metadata.name}-{attempt}-{'slow' if slow.turned else 'skew'}-{slow.rank.rank}"


def is_suspicion(diagnosis: Diagnosis) -> bool:
    """Whether it suspects a node that a check is to confirm."""
    spec = diagnosis.spec
    return (
        spec.fault_class == Fault.STRAGGLER
        and bool(spec.workload and spec.node)
        and spec.blame == Blame.UNKNOWN
    )


def diagnose(
    workload: Workload,
    attempt: int,
    slow: Slow,
    health: NodeHealth | None,
    earlier: Sequence[Diagnosis],
    now: datetime,
) -> Diagnosis:
    """What is written down about a slow rank. Its action is `ignore`: nobody is moved for a suspicion."""
    report = slow.rank.report
    elsewhere_too = health is not None and _slowed_others(health, workload)
    suspected = (slow.turned or elsewhere_too) and not _moved_with_rank(slow, earlier)
    throttled = _throttling(health, now) if suspected else []
    spec = DiagnosisSpec(
        workload=workload.metadata.name,
        attempt=attempt,
        pod_set=report.pod_set,
        rank=report.index,
        global_rank=slow.rank.rank,
        node=report.node,
        pod=report.pod.metadata.name if report.pod is not None else "",
        fault_class=Fault.STRAGGLER.value,
        blame=(Blame.UNKNOWN if suspected else Blame.PROGRAM).value,
        action=Action.IGNORE.value,
        confidence=0.9 if throttled else 0.7 if suspected else 0.6,
        message=_message(slow, suspected),
        phase="train",
        detected_at=now,
        next_step=_next_step(slow, suspected),
        evidence=[*_evidence(slow, now), *throttled],
    )
    metadata = ObjectMeta(
        name=diagnosis_name(workload, attempt, slow),
        namespace=workload.metadata.namespace,
        labels={labels.WORKLOAD: workload.metadata.name},
        owner_references=[owner_reference(workload)],
    )
    return Diagnosis(metadata=metadata, spec=spec)


def _moved_with_rank(slow: Slow, earlier: Sequence[Diagnosis]) -> bool:
    """Whether the same rank was slow in an earlier attempt on another node: then it is not the node."""
    return any(
        one.spec.fault_class == Fault.STRAGGLER
        and one.spec.global_rank == slow.rank.rank
        and one.spec.node not in ("", slow.rank.report.node)
        for one in earlier
    )


def _slowed_others(health: NodeHealth, workload: Workload) -> bool:
    """Whether the node was suspected for another job before."""
    return any(
        one.fault == Fault.STRAGGLER and one.workload not in ("", workload.key)
        for one in health.status.history
    )


def _message(slow: Slow, suspected: bool) -> str:
    report = slow.rank.report
    where = f" on {report.node}" if report.node else ""
    told = (
        f"rank {slow.rank.rank} ({report.host}{where}) works {slow.ratio:.1f} times as long a step as its"
        f" peers: {slow.busy_seconds:.3g} s, they {slow.peers_seconds:.3g} s"
    )
    if suspected and not slow.turned:
        return f"{told}; other jobs were slow on that node too"
    if suspected:
        return f"{told}; at its best it took {slow.best_seconds:.3g} s, so its node may have become slow"
    if slow.turned:
        return f"{told}; so did it on another node before, so the job gives it more to do"
    return f"{told}; it did from its first steps on, so the job gives it more to do"


def _next_step(slow: Slow, suspected: bool) -> str:
    if suspected:
        return f"Nothing: {slow.rank.report.node} is checked beside another node before anybody takes it out."
    return (
        "Balance the ranks (stages of the pipeline, lengths of sequences); if it is meant so, say so with"
        " sdk.watch(model, group=…)."
    )


def _evidence(slow: Slow, now: datetime) -> list[Evidence]:
    pod = slow.rank.report.pod
    best = f", at its best {slow.best_seconds:.4g}" if slow.best_seconds is not None else ""
    line = (
        f"rank {slow.rank.rank}, step {slow.step}: busySeconds {slow.busy_seconds:.4g}{best}, peers' median"
        f" {slow.peers_seconds:.4g}, stepSeconds {slow.step_seconds:.4g}"
    )
    return [Evidence(source=f"marks:{pod.metadata.name if pod is not None else ''}", line=line, time=now)]


def _throttling(health: NodeHealth | None, now: datetime) -> list[Evidence]:
    """What the node's collectors say of clocks that were slowed down, within the last quarter of an hour."""
    if health is None:
        return []
    return [
        Evidence(source=f"{one.source}@{health.metadata.name}", line=one.line, time=one.last_time)
        for one in health.status.observations
        if any(word in f"{one.signature} {one.line}".lower() for word in _THROTTLING)
        and one.last_time is not None
        and (now - one.last_time).total_seconds() < 900
    ][-4:]
