"""Replay of a trace of jobs against the engine's own ordering, backfill and placement, in virtual time.

Every job is a gang that is placed whole or not at all, on as few nodes as possible, and then runs for as
long as the trace says. Nobody is preempted. What the scheduler knows of durations it has learned from the
jobs that ended so far, by virtual cluster, user and size, unless it is given them (`oracle`).

Jobs that are the same to the scheduler wait in one line, so that a cycle looks at lines and not at thousands
of jobs, and a line that cannot start is passed over by comparing numbers. Called by `springtide simulate
jobs`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import process_time

import numpy as np

from springtide.scheduling.backfill import Backfill
from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.durations import History, Lasting, Sort, about, certain, lasting, remaining
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.ordering import FIFO, SHORTEST, Candidate, Ordering, Rank, find_ordering
from springtide.scheduling.placement import Placement
from springtide.scheduling.policies import FRAGMENTS, Policy
from springtide.scheduling.sharing import GPU
from springtide.scheduling.snapshot import Snapshot, idle_cluster
from springtide.simulation.jobtrace import JobTraceError, TraceJob, demand
from springtide.simulation.outcome import Outcome, by_size, curves, fairness, figures, used

RENEW_SECONDS = 300.0
"""A reservation is looked at again after so long, for much may have ended earlier than was expected."""
LEARN_ENDS = 64
"""What is expected of those who wait is looked at again after so many jobs have ended."""


@dataclass(frozen=True)
class JobPolicy:
    """How jobs are scheduled in a replay."""

    name: str
    ordering: Ordering
    backfill: bool = True
    """Whether others may start while the first waits."""


POLICIES = {
    policy.name: policy
    for policy in (
        JobPolicy("fifo", FIFO, backfill=False),
        JobPolicy("easy", FIFO),
        JobPolicy("default", SHORTEST),
    )
}


def job_policy(name: str) -> JobPolicy:
    """A policy of replays, or an ordering (`find_ordering`) with backfill. Raises ValueError."""
    return POLICIES.get(name) or JobPolicy(name, find_ordering(name))


@dataclass(frozen=True, slots=True)
class Moment:
    """The cluster after the events of one moment were taken in."""

    now: float
    free: int
    """GPUs free by the placement."""
    busy: int
    """GPUs of the jobs that run."""
    waiting: int
    reserved: str
    """Key of the job that has a reservation, or empty."""
    reserved_starts: float
    """When it is expected to start."""


Watch = Callable[[Moment], None]


def replay_jobs(
    trace: Sequence[TraceJob],
    nodes: int,
    gpus_per_node: int,
    policy: JobPolicy | str = "default",
    *,
    oracle: bool = False,
    one_node: bool = False,
    placing: Policy = FRAGMENTS,
    seed: int = 0,
    watch: Watch | None = None,
) -> Outcome:
    """Replay the jobs, first come first, on so many equal nodes.

    `one_node` keeps the GPUs of a job on one node, or on whole nodes if it needs more than one; without it
    they may be anywhere, on as few nodes as have them free. `watch` is told every moment. Raises
    JobTraceError.
    """
    if nodes < 1 or gpus_per_node < 1:
        raise JobTraceError(f"a cluster of {nodes} nodes with {gpus_per_node} GPUs each runs nothing")
    known = job_policy(policy) if isinstance(policy, str) else policy
    pods = (lambda gpus: _on_one_node(gpus, gpus_per_node)) if one_node else _anywhere
    capacity = nodes * gpus_per_node
    jobs = [job for job in trace if _nodes_needed(job, gpus_per_node, one_node) <= nodes]
    if not jobs:
        raise JobTraceError(f"no job of the trace fits a cluster of {capacity} GPUs")
    snapshot = _snapshot(nodes, gpus_per_node)
    running = _Replay(jobs, capacity, snapshot, known, pods, oracle, placing, seed)
    began = process_time()
    running.run(watch)
    took = max(process_time() - began, 1e-9)
    return _outcome(running, known.name, nodes, len(trace) - len(jobs), took)


def _outcome(replay: _Replay, policy: str, nodes: int, skipped: int, took: float) -> Outcome:
    jobs, capacity = replay.jobs, replay.capacity
    duration = np.array([job.duration for job in jobs])
    arrival = np.array([job.arrival for job in jobs])
    wait = np.array(replay.started) - arrival
    makespan = float((arrival + wait + duration).max())
    last = float(arrival.max())
    decisions = len(jobs) + replay.reservations
    return Outcome(
        policy=policy,
        oracle=replay.oracle,
        nodes=nodes,
        gpus=capacity,
        load=demand(jobs) / capacity if last > 0 else 0.0,
        skipped=skipped,
        overall=figures(wait, duration),
        by_size=by_size(np.array([job.gpus for job in jobs], dtype=np.float64), wait, duration),
        makespan=makespan,
        utilization=used(jobs, wait, last) / (capacity * last) if last > 0 else 0.0,
        utilization_makespan=used(jobs, wait, makespan) / (capacity * makespan) if makespan > 0 else 0.0,
        fairness=fairness(jobs, wait),
        reservations=replay.reservations,
        backfilled=replay.backfilled,
        decisions=decisions,
        decisions_per_second=decisions / took,
        cpu_seconds=took,
        curves=curves(jobs, wait, capacity),
    )


@dataclass(eq=False)
class _Line:
    """Jobs that are the same to the scheduler, first come first."""

    sort: Sort
    pod_sets: tuple[PodSetFacts, ...]
    gpus: int
    lasts: Lasting
    jobs: deque[int] = field(default_factory=deque)
    rank: Rank = (0.0, 0.0, "")
    """Of its first."""


class _Replay:
    """One replay: events in order, and a cycle after each moment that has any."""

    def __init__(
        self,
        jobs: Sequence[TraceJob],
        capacity: int,
        snapshot: Snapshot,
        policy: JobPolicy,
        pods: Callable[[int], tuple[PodSetFacts, ...]],
        oracle: bool,
        placing: Policy,
        seed: int,
    ) -> None:
        self.jobs = jobs
        self.capacity = capacity
        self.oracle = oracle
        self.started = [-1.0] * len(jobs)
        self.reservations = 0
        self.backfilled = 0
        self._policy = policy
        self._pods = pods
        self._placement = Placement(snapshot, placing, seed)
        self._backfill = Backfill(self._placement, Placement(snapshot, placing, seed), self._remaining)
        self._history = History()
        self._lines: dict[Sort, _Line] = {}
        self._pod_sets: dict[int, tuple[PodSetFacts, ...]] = {}
        self._ends: list[tuple[float, int]] = []
        self._ended = self._learned = 0
        self._backlog = 0.0
        self._free = capacity
        self._waiting = 0

    def run(self, watch: Watch | None) -> None:
        """All events, to the last end."""
        coming = 0
        while coming < len(self.jobs) or self._ends:
            arrival = self.jobs[coming].arrival if coming < len(self.jobs) else np.inf
            now = min(arrival, self._ends[0][0] if self._ends else np.inf)
            while self._ends and self._ends[0][0] <= now:
                self._end(heapq.heappop(self._ends)[1])
            while coming < len(self.jobs) and self.jobs[coming].arrival <= now:
                self._arrive(coming)
                coming += 1
            if self._waiting and self._free:
                self._cycle(now)
            if watch is not None:
                watch(self._moment(now))

    def _moment(self, now: float) -> Moment:
        reserved = self._backfill.reservation
        return Moment(
            now=now,
            free=int(self._placement.view(_one_gpu(1)).fits.sum()),
            busy=sum(self.jobs[index].gpus for _, index in self._ends),
            waiting=self._waiting,
            reserved=reserved.key if reserved is not None else "",
            reserved_starts=reserved.starts if reserved is not None else 0.0,
        )

    # -- events ------------------------------------------------------------------------------------

    def _arrive(self, index: int) -> None:
        job = self.jobs[index]
        sort = self._sort(job)
        line = self._lines.get(sort)
        if line is None:
            pod_sets = self._pod_sets.setdefault(job.gpus, self._pods(job.gpus))
            line = self._lines[sort] = _Line(sort, pod_sets, job.gpus, self._lasting(index))
        line.jobs.append(index)
        if len(line.jobs) == 1:
            self._look(line)
        self._waiting += 1

    def _end(self, index: int) -> None:
        job = self.jobs[index]
        self._backfill.end(_key(index))
        self._free += job.gpus
        self._ended += 1
        if not self.oracle:
            self._history.record(self._sort(job), job.duration)

    # -- one cycle ---------------------------------------------------------------------------------

    def _cycle(self, now: float) -> None:
        """Start what may start, in the order of the policy; reserve for the first that cannot.

        What is free only shrinks meanwhile, so that a size that was refused is refused to all.
        """
        if self._ended >= self._learned + LEARN_ENDS:
            self._learn()
        queue = [(line.rank, number, line) for number, line in enumerate(self._lines.values()) if line.jobs]
        heapq.heapify(queue)
        waits = False
        window, beside = 0.0, 0
        refused: set[tuple[int, bool]] = set()
        while queue and self._free:
            _, number, line = queue[0]
            in_time = not waits or line.lasts.cautious <= window
            may = line.gpus <= (self._free if in_time else beside) and (line.gpus, in_time) not in refused
            if may and self._start(line, now, first=not waits):
                if waits:
                    self.backfilled += 1
                    beside = min(self._free, self._backfill.room_beside(_ONE))
                if line.jobs:
                    heapq.heapreplace(queue, (line.rank, number, line))
                else:
                    heapq.heappop(queue)
                continue
            if may:
                refused |= {(line.gpus, False), (line.gpus, in_time)}
            if not waits:
                if not self._policy.backfill:
                    return
                waits = True
                window = self._reserve(line, now) - now
                beside = self._backfill.room_beside(_ONE)
            heapq.heappop(queue)

    def _start(self, line: _Line, now: float, *, first: bool) -> bool:
        index = line.jobs[0]
        shares = self._backfill.start(_key(index), line.pod_sets, now, line.lasts, first=first)
        if shares is None:
            return False
        line.jobs.popleft()
        if line.jobs:
            self._look(line)
        self._waiting -= 1
        self._free -= line.gpus
        self.started[index] = now
        heapq.heappush(self._ends, (now + self.jobs[index].duration, index))
        return True

    def _reserve(self, line: _Line, now: float) -> float:
        """Hold a place for the first of the line; when it is expected to start."""
        key = _key(line.jobs[0])
        held = self._backfill.reservation
        if held is not None and held.key == key and now < min(held.starts, held.made + RENEW_SECONDS):
            return held.starts
        self.reservations += 1
        made = self._backfill.reserve(key, line.pod_sets, now)
        if made is None:
            raise RuntimeError(f"job {key} does not fit the empty cluster it was checked against")
        return made.starts

    # -- what is known of durations ------------------------------------------------------------------

    def _learn(self) -> None:
        """Look again at what is expected of all that waits."""
        self._learned = self._ended
        lines = [line for line in self._lines.values() if line.jobs]
        for line in lines:
            line.lasts = self._lasting(line.jobs[0])
        ahead = sum(len(line.jobs) * line.gpus * line.lasts.mean for line in lines)
        self._backlog = ahead / self.capacity
        for line in lines:
            self._look(line)

    def _look(self, line: _Line) -> None:
        """Look again at what is expected of a line, and where its first stands."""
        first = line.jobs[0]
        line.lasts = self._lasting(first)
        line.rank = self._policy.ordering.rank(
            Candidate(_key(first), 0, self.jobs[first].arrival, line.lasts.mean, line.gpus, self._backlog)
        )

    def _sort(self, job: TraceJob) -> Sort:
        """What makes jobs alike; where durations are known, those as well."""
        if self.oracle:
            return Sort(stem=str(about(job.duration)), devices=job.gpus)
        return Sort(job.cluster, job.user, devices=job.gpus)

    def _lasting(self, index: int) -> Lasting:
        job = self.jobs[index]
        if self.oracle:
            return certain(job.duration)
        return lasting(self._history.estimate(self._sort(job)))

    def _remaining(self, key: str, elapsed: float) -> float:
        job = self.jobs[int(key)]
        if self.oracle:
            return job.duration - elapsed
        return remaining(self._history.estimate(self._sort(job)), elapsed)


def _key(index: int) -> str:
    return f"{index:08}"


def _nodes_needed(job: TraceJob, gpus_per_node: int, one_node: bool) -> float:
    return -(-job.gpus // gpus_per_node) if one_node else job.gpus / gpus_per_node


def _one_gpu(gpus: int) -> PodClass:
    return PodClass(((GPU, gpus),), Constraints())


_ONE = _one_gpu(1)


def _anywhere(gpus: int) -> tuple[PodSetFacts, ...]:
    return (PodSetFacts("worker", gpus, _ONE),)


def _on_one_node(gpus: int, gpus_per_node: int) -> tuple[PodSetFacts, ...]:
    whole, rest = divmod(gpus, gpus_per_node)
    found = []
    if whole:
        found.append(PodSetFacts("worker", whole, _one_gpu(gpus_per_node)))
    if rest:
        found.append(PodSetFacts("rest", 1, _one_gpu(rest)))
    return tuple(found)


def _snapshot(nodes: int, gpus_per_node: int) -> Snapshot:
    """An empty cluster of equal nodes."""
    facts = tuple(
        NodeFacts(f"node-{number:05}", {}, (), usable=True, allocatable={GPU: gpus_per_node})
        for number in range(nodes)
    )
    return idle_cluster(facts)
