"""A training run of weeks in virtual time, event by event: faults strike, are found, jobs start again.

What a system makes of a fault is in `responses`, where gangs stand in `gangplaces`, how long each step takes
in `recoverytimes`. Here is what truly happens: which node is broken, what of the work is lost, who waits for
whom. Called by `ettr`, which sums up.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from springtide.api.remediation import Step
from springtide.scheduling.stranded import REPLACEMENT_SECONDS
from springtide.simulation.faultmix import Bad, Happening, Mix, Repair, Symptom, benign_lines, draw
from springtide.simulation.gangplaces import CountedPlaces, EnginePlaces, Places, Size
from springtide.simulation.recoverytimes import Times
from springtide.simulation.responses import (
    Ours,
    Place,
    Response,
    Timeout,
    is_broken,
    is_sure_of_the_node,
    is_taken_for_a_fault,
)

PHASES = (
    "train",
    "slow",
    "checkpoint",
    "detect",
    "decide",
    "drain",
    "reschedule",
    "wait",
    "start",
    "restore",
    "recompute",
    "corrupt",
    "manual",
)
"""Where a job's time goes. train: steps that count; slow: lost to a slow node; wait: for a node, a switch or
the end of a back-off; recompute: steps that are done again; corrupt: thrown away for wrong results; manual:
until a person has looked."""
_LEAST_REPAIR_SECONDS = 300.0
_LOOK_AGAIN_SECONDS = 600.0


@dataclass
class Job:
    """One job, and where its time went."""

    name: str
    nodes: int
    interval: float
    blocking: float
    phases: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    running: bool = False
    since: float = 0.0
    """Up to when its time is accounted for."""
    age: float = 0.0
    """Seconds since the last snapshot, or since the start."""
    unsaved: float = 0.0
    """Work since the last snapshot."""
    before: float = 0.0
    """Work between the last two snapshots."""
    slow: dict[int, float] = field(default_factory=dict)
    """Factors of what slows it down."""
    waiting: list[tuple[Happening, str]] = field(default_factory=list)
    """Faults that struck while it was down, with their nodes: it meets them when it starts."""
    interruptions: int = 0

    def advance(self, now: float) -> None:
        """Account for the time until now, in which it ran."""
        left = now - self.since
        self.since = now
        factor = max(self.slow.values(), default=1.0)
        while left > 1e-9:
            step = min(left, self.interval - self.age) if self.age < self.interval else 0.0
            if step > 0:
                self.age += step
                self.unsaved += step / factor
                self.phases["train"] += step / factor
                self.phases["slow"] += step - step / factor
                left -= step
                continue
            block = min(left, self.interval + self.blocking - self.age)
            self.age += block
            self.phases["checkpoint"] += block
            left -= block
            if self.age >= self.interval + self.blocking - 1e-9:
                self.age, self.before, self.unsaved = 0.0, self.unsaved, 0.0

    def spend(self, phase: str, seconds: float) -> float:
        """Account for time in which it did not run; the moment it is over."""
        self.phases[phase] += seconds
        self.since += seconds
        return self.since

    def stop(self, now: float, lag: float) -> None:
        """It stands still, and work since the last snapshot is lost; one younger than `lag` is lost too."""
        self.advance(now)
        lost = self.unsaved + (self.before if self.age < lag else 0.0)
        self.phases["recompute"] += lost
        self.phases["train"] -= lost
        self.age = self.unsaved = self.before = 0.0
        self.running = False
        self.interruptions += 1


@dataclass
class Tally:
    """What happened in a run, besides where the time went."""

    faults: Counter[str] = field(default_factory=Counter)
    """By cause, those that struck a job that ran or was to run."""
    down_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By cause, from the fault until training again, of the large job."""
    stops: Counter[str] = field(default_factory=Counter)
    """By cause, interruptions of the large job, recurrences included."""
    cordons: int = 0
    wrong_cordons: int = 0
    by_history: int = 0
    """Cordons for what the node had a part in before."""
    missed: int = 0
    """Broken nodes that stayed in service at first."""
    moved: int = 0
    """Ranks that were given another node although nothing was said against theirs."""
    repeats: int = 0
    """Faults of a node that was known to be broken to nobody, or came back broken."""
    persons: int = 0
    displaced: int = 0
    nodes_out_max: int = 0
    node_seconds_out: float = 0.0


class Run:
    """One system under the faults of one seed."""

    def __init__(
        self,
        system: Ours | Timeout,
        mix: Mix,
        times: Times,
        size: Size,
        seed: int,
        days: float,
        *,
        engine: bool,
    ) -> None:
        self.seconds = days * 86400
        self.system = system
        self.tally = Tally()
        self._times, self._size = times, size
        self._chances = random.Random(f"{seed} of {system.name}")
        self._places: Places = (EnginePlaces if engine else CountedPlaces)(size)
        if isinstance(system, Ours):
            system.watch(size.names())
        self.jobs = {name: self._job(name, nodes) for name, nodes in size.jobs.items()}
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._out: dict[str, float] = {}
        self._broken: dict[str, Happening] = {}
        """Nodes in service that are broken, with what they will show."""
        self._retries: list[Callable[[float], None]] = []
        """What tries again when a node comes back."""
        self._draw(mix, seed)

    def play(self) -> None:
        """From the first start to the last second."""
        self._places.start()
        for job in self.jobs.values():
            self._train(job, 0.0)
        while self._heap and self._heap[0][0] <= self.seconds:
            at, _, act = heapq.heappop(self._heap)
            act(at)
        for job in self.jobs.values():
            self._close(job)
        for since in self._out.values():
            self.tally.node_seconds_out += max(0.0, self.seconds - since)

    # -- what happens --------------------------------------------------------------------------------

    def _draw(self, mix: Mix, seed: int) -> None:
        """The same faults for every system: chances of their own, from the seed alone."""
        times, chances = self._times, random.Random(seed)
        for name, nodes in self._size.jobs.items():
            for fault in draw(
                mix,
                self.seconds,
                chances,
                gpus=nodes * self._size.gpus,
                evidence_lost_part=times.evidence_lost_part,
                unfixed_part=times.unfixed_part,
            ):
                self._at(fault.at, partial(self._strike, self.jobs[name], fault))
        slowed = round(times.unseen_slow_count * self.seconds / (mix.days * 86400))
        for number in range(slowed):
            begins = chances.uniform(0, self.seconds)
            self._at(
                begins,
                partial(self._slow, self.jobs["large"], -1 - number, times.unseen_slow_factor),
            )
            self._at(begins + times.unseen_slow_seconds, partial(self._quick, -1 - number))
        for line in benign_lines(mix, self.seconds, chances):
            self._at(chances.uniform(0, self.seconds), partial(self._say, line))

    def _strike(self, job: Job, fault: Happening, now: float, node: str = "") -> None:
        node = node or self._places.node(job.name, fault.part)
        self.tally.faults[fault.cause] += 1
        if not job.running:
            job.waiting.append((fault, node))
        elif fault.symptom is Symptom.SLOW:
            number = next(self._numbers)
            self._slow(job, number, self._times.slow_factor, now)
            found = now + self.system.slow_seconds
            self._at(found, partial(self._slow_found, job, fault, node, number))
        elif fault.symptom is Symptom.SILENT:
            good = job.phases["train"]
            self._at(now + self._times.silent_seconds, partial(self._wrong_found, job, fault, node, good))
        else:
            self._stop(job, fault, node, now)

    def _stop(self, job: Job, fault: Happening, node: str, now: float) -> None:
        """A fault ends the attempt; everything until training again follows."""
        named = self._named(job, fault, node)
        place = Place(named, self._places.rank(job.name, named))
        answer = self.system.answer(job.name, fault, place, now)
        leaves = answer.step in (Step.CORDON_AND_EVICT, Step.RESTART_ELSEWHERE)
        dies = leaves or fault.symptom is Symptom.GONE
        job.stop(now, self.system.lag_seconds(job.nodes) if dies else 0.0)
        begun = now
        job.spend("detect", answer.detect_seconds)
        job.spend("decide", answer.decide_seconds)
        job.spend("drain", self._times.drain_seconds)
        if answer.step is Step.FAIL_FAST:
            self.tally.persons += 1
            job.spend("manual", self._times.person_seconds)
        job.spend("wait", answer.backoff_seconds)
        if fault.bad is Bad.SWITCH:
            job.spend("wait", self._switch_left(fault, job.since - begun))
        self._count(fault, answer, right=named == node)
        again = self._node_after(fault, node, named, answer, job.since)
        self._at(job.since, lambda _: self._start(job, fault, begun, moved=leaves))
        if again is not None:
            self._broken[node] = again

    def _named(self, job: Job, fault: Happening, node: str) -> str:
        """The node that is blamed: where only ranks tell, now and then that of another rank."""
        if isinstance(self.system, Timeout) or is_sure_of_the_node(fault):
            return node
        wrong = self._chances.random() < self._times.misnamed_part
        return self._places.node(job.name, self._chances.random()) if wrong else node

    def _node_after(
        self, fault: Happening, node: str, named: str, answer: Response, now: float
    ) -> Happening | None:
        """What becomes of the node that is blamed; what the true one shows again if it stays in service."""
        broken = is_broken(fault)
        away = fault.symptom is Symptom.GONE or answer.step is Step.FAIL_FAST  # the person who looks finds it
        if away and broken:
            self._take_out(node, fault, now)
            return None
        if answer.step is Step.CORDON_AND_EVICT:
            self._take_out(named, fault if named == node else _nothing(now, "wrongly blamed"), now)
            return replace(fault, at=now) if broken and named != node else None
        if answer.step is Step.RESTART_ELSEWHERE:
            self._places.lose(named)
            self._at(now + self._times.reschedule_seconds, partial(self._give_back, named))
        return replace(fault, at=now) if broken else None

    def _start(self, job: Job, fault: Happening, begun: float, *, moved: bool) -> None:
        """Places, processes, state: then it trains again."""
        now = job.since
        if not self._places.place(job.name, now):
            self._at_change(job, fault, begun, moved)
            return
        for other in self._places.displaced():
            self._displace(self.jobs[other], now)
        job.spend("reschedule", self._times.reschedule_seconds)
        job.spend("start", self._times.program_start_seconds)
        ready = job.spend("restore", self.system.restore_seconds(job.nodes, moved=moved))
        if job.name == "large":
            self.tally.stops[fault.cause] += 1
            self.tally.down_seconds[fault.cause] += ready - begun
        self._at(ready, partial(self._train, job))

    def _train(self, job: Job, now: float) -> None:
        job.running, job.since = True, now
        job.interval, job.blocking = self.system.checkpoints(job.nodes)
        for node, fault in list(self._broken.items()):
            if self._stands_on(job, node):
                del self._broken[node]
                self.tally.repeats += 1
                self._at(now + self._times.recurs_seconds, partial(self._again, job, fault, node))
        waiting, job.waiting = job.waiting, []
        for fault, node in waiting:
            self._at(now, partial(self._late, job, fault, node))

    # -- what follows later ----------------------------------------------------------------------------

    def _late(self, job: Job, fault: Happening, node: str, now: float) -> None:
        """A fault from while the job was down: it matters if its node is one of the job's, or nobody's."""
        if fault.bad in (Bad.PROGRAM, Bad.NOTHING, Bad.DATA) or self._stands_on(job, node):
            self.tally.faults[fault.cause] -= 1
            self._strike(job, fault, now, node)

    def _again(self, job: Job, fault: Happening, node: str, now: float) -> None:
        if not job.running:
            job.waiting.append((fault, node))
            self.tally.faults[fault.cause] += 1
        elif self._stands_on(job, node):
            self._stop(job, fault, node, now)
        elif node not in self._out:
            self._broken[node] = fault

    def _slow_found(self, job: Job, fault: Happening, node: str, number: int, now: float) -> None:
        if not job.running:
            self._at(now + _LOOK_AGAIN_SECONDS, partial(self._slow_found, job, fault, node, number))
            return
        job.advance(now)
        del job.slow[number]
        if self._stands_on(job, node):
            self._stop(job, fault, node, now)

    def _wrong_found(self, job: Job, fault: Happening, node: str, good: float, now: float) -> None:
        """Wrong results are noticed: back to what was on storage before them, and the node goes."""
        if not job.running:
            self._at(now + _LOOK_AGAIN_SECONDS, partial(self._wrong_found, job, fault, node, good))
            return
        self._stop(job, fault, node, now)
        older = fault.repair_part * self._times.persist_interval_seconds
        lost = min(job.phases["train"], max(0.0, job.phases["train"] - good) + older)
        job.phases["train"] -= lost
        job.phases["corrupt"] += lost

    def _slow(self, job: Job, number: int, factor: float, now: float) -> None:
        if job.running:
            job.advance(now)
        job.slow[number] = factor

    def _quick(self, number: int, now: float) -> None:
        job = self.jobs["large"]
        if job.running:
            job.advance(now)
        job.slow.pop(number, None)

    def _say(self, line: str, now: float) -> None:
        """A healthy node says something: is it taken out for it?"""
        if not isinstance(self.system, Ours) or not is_taken_for_a_fault(line):
            return
        job = self.jobs["large"]
        fault = Happening(
            now, "benign line", Bad.NOTHING, Symptom.STALL, Repair.NONE, line, "", 0.5, 0.5, False
        )
        self._strike(job, fault, now)

    # -- nodes -----------------------------------------------------------------------------------------

    def _take_out(self, node: str, fault: Happening, now: float) -> None:
        if node in self._out or not node:
            return
        self._places.lose(node)
        self._out[node] = now
        self._broken.pop(node, None)
        self.tally.cordons += 1
        self.tally.nodes_out_max = max(self.tally.nodes_out_max, len(self._out))
        self._at(now + self._repair_seconds(fault), partial(self._return, node, fault))

    def _return(self, node: str, fault: Happening, now: float) -> None:
        self.tally.node_seconds_out += now - self._out.pop(node)
        if fault.unfixed and is_broken(fault):
            self._broken[node] = replace(fault, unfixed=False)
        self._give_back(node, now)

    def _give_back(self, node: str, now: float) -> None:
        if node in self._out:
            return
        self._places.restore(node)
        for retry in self._retries:
            self._at(now, retry)
        self._retries.clear()

    def _repair_seconds(self, fault: Happening) -> float:
        hours = {
            Repair.REPLACE: self._times.replace_hours,
            Repair.REBOOT: self._times.reboot_hours,
        }.get(fault.repair, self._times.reset_hours)
        return max(_LEAST_REPAIR_SECONDS, -math.log(1 - fault.repair_part) * hours * 3600)

    def _switch_left(self, fault: Happening, since: float) -> float:
        return max(0.0, -math.log(1 - fault.repair_part) * self._times.switch_seconds - since)

    def _displace(self, job: Job, now: float) -> None:
        """A smaller job made room: it starts again where there is a place."""
        self.tally.displaced += 1
        if job.running:
            job.stop(now, self.system.lag_seconds(job.nodes))
        fault = _nothing(now, "displaced")
        job.since = max(job.since, now)
        self._at(job.since, lambda _: self._start(job, fault, now, moved=True))

    def _at_change(self, job: Job, fault: Happening, begun: float, moved: bool) -> None:
        """Try again when a node comes back, or when the engine gives up holding the other places."""
        tried = False

        def retry(now: float) -> None:
            nonlocal tried
            if tried:
                return
            tried = True
            if now > job.since:
                job.spend("wait", now - job.since)
            self._start(job, fault, begun, moved=moved)

        self._retries.append(retry)
        self._at(job.since + REPLACEMENT_SECONDS + 1, retry)

    def _stands_on(self, job: Job, node: str) -> bool:
        return bool(node) and self._places.holds(job.name, node)

    # -- inside ----------------------------------------------------------------------------------------

    def _count(self, fault: Happening, answer: Response, *, right: bool) -> None:
        """`right`: whether the node that is truly at fault was named."""
        broken = is_broken(fault)
        if answer.step is Step.CORDON_AND_EVICT:
            self.tally.wrong_cordons += not (broken and right)
            self.tally.by_history += answer.by_history
        elif broken and fault.symptom is not Symptom.GONE:
            self.tally.missed += 1
        if fault.symptom is not Symptom.GONE:
            self.tally.moved += answer.step is Step.RESTART_ELSEWHERE

    def _job(self, name: str, nodes: int) -> Job:
        interval, blocking = self.system.checkpoints(nodes)
        return Job(name, nodes, interval, blocking)

    def _close(self, job: Job) -> None:
        """The run ends: what is not accounted for is, and what went beyond the end is taken back."""
        if job.running:
            job.advance(self.seconds)
        elif job.since < self.seconds:
            job.spend("wait", self.seconds - job.since)
        else:
            job.phases["start"] -= job.since - self.seconds

    def _at(self, moment: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (moment, next(self._numbers), act))


def _nothing(now: float, cause: str) -> Happening:
    """A stop of a job for which nothing is broken."""
    return Happening(now, cause, Bad.NOTHING, Symptom.CRASH, Repair.NONE, "", "", 0.0, 0.5, False)
