"""What a cluster has beside its controllers, as a scenario tells it: breaking machines, collectors, persons.

`HealthActors.happen` plays one event of a run; who mends nodes and how pods live go on in the background.
Made by `healthworld`; what it does is what the run's ledger must know the truth of.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from springtide.api import labels
from springtide.api.core import Node, Pod
from springtide.api.kueue import Workload
from springtide.api.nodehealth import RankMarks
from springtide.api.struct import decode, replace
from springtide.client import Client
from springtide.node import SimulatedNodes
from springtide.node.behaviour import Behaviour
from springtide.runtime import Clock
from springtide.simulation.healthinvariants import HealthLedger
from springtide.simulation.healthscenario import HealthEvent, HealthScenario
from springtide.simulation.processes import Process

LOST_AFTER_SECONDS = 12.0
"""Until a dead machine is marked as not ready."""
BEAT_SECONDS = 10.0
"""How often the collectors say how the pods of watched jobs live."""
STEPS_BEAT_SECONDS = 5.0
"""And where steps are told."""
STEP_SECONDS = 0.5
"""What a step of a rank takes that nothing slows down."""
CHECK_SECONDS = 10.0
"""What the check of a node takes."""
_TOLD_STEPS = 12
"""Of so many steps together a rank tells."""


class HealthActors:
    """Everybody in a run who is not under test."""

    def __init__(
        self,
        scenario: HealthScenario,
        ledger: HealthLedger,
        nodes: SimulatedNodes,
        user: Client,
        clock: Clock,
        processes: Mapping[str, Process],
        twin: Callable[[], Process],
        chances: random.Random,
    ) -> None:
        """`twin` makes a second process that believes to lead."""
        self._scenario = scenario
        self._ledger = ledger
        self._nodes = nodes
        self._user = user
        self._clock = clock
        self._processes = processes
        self._new_twin = twin
        self._chances = chances
        self._still: dict[str, tuple[int, float]] = {}
        """Jobs that stand still in this attempt, and since when."""
        self._silent: set[str] = set()
        self._slow: dict[str, tuple[float, float]] = {}
        """Nodes that have become slow: since when, and how many times as long they take."""
        self._skewed: dict[tuple[str, int], float] = {}
        """By job and rank: how many times as much it has to do."""
        self._group: asyncio.TaskGroup

    def checked(self, node: str) -> Behaviour:
        """How a check of a node ends: its measures, as slow as its ranks are; or none at all, in worlds in
        which the image of checks is broken."""
        if self._scenario.broken_checks:
            return Behaviour(duration_seconds=CHECK_SECONDS, exit_code=127)
        since, times = self._slow.get(node, (math.inf, 1.0))
        found = {"compute": 500.0 / times if since <= self._clock.monotonic() else 500.0, "memory": 4000.0}
        return Behaviour(duration_seconds=CHECK_SECONDS, message=json.dumps(found))

    def start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Who acts by himself; the caller ends them."""
        self._group = group
        going = [group.create_task(self._beat())]
        if self._scenario.repairs:
            going.append(group.create_task(self._mend()))
        return going

    async def happen(self, event: HealthEvent) -> None:
        """One event of the scenario."""
        await getattr(self, f"_do_{event.action}")(event.target, *event.more)

    async def _do_submit(self, job: str) -> None:
        await self._user.create(decode(Workload, self._scenario.jobs[job]))

    async def _do_gpu(self, node: str, line: str, how: str) -> None:
        self._break(node, line, how)

    async def _do_noise(self, node: str, line: str) -> None:
        self._say(node, line)

    async def _do_error(self, job: str, noise: str, *said: str) -> None:
        self._end_rank(job, 1, "Error", said, noise)

    async def _do_oom(self, job: str) -> None:
        self._end_rank(job, 137, "OOMKilled", (), "")

    async def _do_complain(self, job: str, *said: str) -> None:
        self._end_rank(job, 1, "Error", said, "")

    async def _do_hang(self, job: str) -> None:
        self._still[job] = (self._attempt_of(job), self._clock.monotonic())

    async def _do_slow(self, node: str, times: str) -> None:
        self._slow[node] = self._clock.monotonic(), float(times)

    async def _do_skew(self, job: str, rank: str, times: str) -> None:
        self._skewed[job, int(rank)] = float(times)

    async def _do_kill(self, node: str) -> None:
        self._nodes.kill(node)
        self._group.create_task(self._lose(node))

    async def _do_silent(self, node: str) -> None:
        self._silent.add(node)
        self._nodes.evidence.quiet(node)

    async def _do_cut(self, process: str) -> None:
        self._processes[process].cut(off=True)

    async def _do_join(self, process: str) -> None:
        self._processes[process].cut(off=False)

    async def _do_cordon(self, node: str) -> None:
        await self._cordon(node, on=True)

    async def _do_uncordon(self, node: str) -> None:
        await self._cordon(node, on=False)

    async def _do_twin(self, _: str, seconds: str) -> None:
        self._group.create_task(self._twin(float(seconds)))

    def _break(self, node: str, line: str, how: str) -> None:
        """A GPU fails: the kernel says so, and ranks there end at once, soon or not at all."""
        if node in self._nodes.dead:
            return
        self._say(node, line)
        if how == "crash":
            self._end_pods(node)
        elif how == "late":
            asyncio.get_running_loop().call_later(self._chances.uniform(1, 15), self._end_pods, node)

    def _end_pods(self, node: str) -> None:
        said = ("RuntimeError: CUDA error: uncorrectable ECC error encountered",)
        for pod in self._ledger.general.of(Pod).values():
            if pod.spec.node_name == node and pod.status.phase == "Running":
                self._nodes.end(pod.key, 1, "Error", said)

    def _say(self, node: str, line: str) -> None:
        if node not in self._silent and node not in self._nodes.dead:
            self._nodes.evidence.see(node, line)

    def _end_rank(self, job: str, code: int, reason: str, said: tuple[str, ...], noise: str) -> None:
        for pod in self._ranks(job):
            if noise:
                self._say(pod.spec.node_name, noise)
            if self._nodes.end(pod.key, code, reason, said):
                self._ledger.ended.add(job)
                return

    def _ranks(self, job: str) -> list[Pod]:
        """The running pods of a job, by index."""
        found = [
            pod
            for pod in self._ledger.general.of(Pod).values()
            if pod.metadata.labels.get(labels.WORKLOAD) == job
            and pod.status.phase == "Running"
            and pod.spec.node_name not in self._nodes.dead
        ]
        return sorted(found, key=lambda pod: pod.metadata.name)

    async def _lose(self, node: str) -> None:
        """As the node life cycle of a cluster: a machine that is silent is not ready."""
        await asyncio.sleep(LOST_AFTER_SECONDS)
        if node in self._nodes.dead:
            await self._ready(node, "Unknown")

    async def _do_restore(self, node: str) -> None:
        self._nodes.restore(node)
        await self._ready(node, "True")

    async def _ready(self, node: str, status: str) -> None:
        ready = {"type": "Ready", "status": status, "reason": "Simulated", "message": "by the machine"}
        ready["lastTransitionTime"] = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = {"status": {"conditions": [ready]}}
        await self._user.with_manager("node").apply(Node, node, "", fields, subresource="status")

    async def _cordon(self, node: str, *, on: bool) -> None:
        known = self._ledger.general.of(Node).get(node)
        free = known is not None and not known.spec.unschedulable
        if not on:
            self._ledger.person.discard(node)
        await self._user.patch(Node, node, "", {"spec": {"unschedulable": on or None}})
        if on and free:
            self._ledger.person.add(node)

    async def _twin(self, seconds: float) -> None:
        """A second process that believes to lead."""
        twin = asyncio.ensure_future(self._new_twin().live())
        await asyncio.sleep(seconds)
        twin.cancel()
        with suppress(asyncio.CancelledError):
            await twin

    # -- the rest of the cluster -----------------------------------------------------------------------

    async def _mend(self) -> None:
        """Who mends nodes: sees that one is wanted, and answers some time later."""
        while True:
            await asyncio.sleep(3)
            for node in list(self._ledger.general.of(Node).values()):
                if node.metadata.annotations.get(labels.REPAIR) == "wanted":
                    answer = self._chances.choice(["done", "done", "done", "failed", ""])
                    if answer:
                        body = {"metadata": {"annotations": {labels.REPAIR: answer}}}
                        await self._user.patch(Node, node.metadata.name, "", body)

    async def _beat(self) -> None:
        """Collectors say how pods live, of jobs of more than one rank that are to stand still some time."""
        told_steps = any(event.action in ("slow", "skew") for event in self._scenario.events)
        watched = {event.target for event in self._scenario.events if event.action == "hang"}
        watched |= set(self._scenario.jobs if told_steps else ())
        while watched:
            await asyncio.sleep(STEPS_BEAT_SECONDS if told_steps else BEAT_SECONDS)
            for job in sorted(watched):
                self._live(job, told_steps=told_steps)

    def _live(self, job: str, *, told_steps: bool) -> None:
        now = self._clock.now()
        still = self._still.get(job)
        if still is not None and still[0] != self._attempt_of(job):
            del self._still[job]  # the next attempt goes on
            still = None
        pods = self._ranks(job)
        for place, pod in enumerate(pods):
            if pod.spec.node_name in self._silent:
                continue
            fields: dict[str, Any] = {"stopped": still is not None and place == 0}
            if still is None:
                fields |= {"log_time": now, "busy_time": now, "io_time": now}
                if told_steps:
                    fields["ranks"] = [self._marks(job, pod, pods)]
            with suppress(LookupError):
                self._nodes.evidence.activity(pod.key, **fields)

    def _marks(self, job: str, pod: Pod, gang: list[Pod]) -> RankMarks:
        """What a rank tells of its newest steps; the longest of the gang is everybody's step."""
        now, started = self._clock.now(), pod.status.start_time
        trained = (now - started).total_seconds() if started is not None else 0.0
        works = [self._work(job, one, trained) for one in gang]
        rank, busy = _rank_of(pod), self._work(job, pod, trained)
        step = int(trained / STEP_SECONDS)
        marks = RankMarks(rank=rank, time=now, step=step, step_seconds=max(works), busy_seconds=busy)
        if step < _TOLD_STEPS:
            return marks
        began_slow = self._slow.get(pod.spec.node_name, (math.inf, 1.0))[0]
        fast_first = self._clock.monotonic() - trained + _TOLD_STEPS * STEP_SECONDS < began_slow
        best = STEP_SECONDS * self._skewed.get((job, rank), 1.0) if fast_first else busy
        return replace(
            marks,
            low_seconds=busy,
            recent_seconds=busy,
            best_seconds=best,
            best_step_seconds=best,
        )

    def _work(self, job: str, pod: Pod, trained: float) -> float:
        """What the median of its newest steps is: who has just become slow still tells of quick ones."""
        since, times = self._slow.get(pod.spec.node_name, (math.inf, 1.0))
        slow_for = min(trained, self._clock.monotonic() - since)
        factor = times if slow_for >= _TOLD_STEPS / 2 * STEP_SECONDS else 1.0
        return STEP_SECONDS * factor * self._skewed.get((job, _rank_of(pod)), 1.0)

    def _attempt_of(self, job: str) -> int:
        known = self._ledger.general.of(Workload).get(f"default/{job}")
        state = known.status.requeue_state if known is not None else None
        return (state.count or 0) if state is not None else 0


def _rank_of(pod: Pod) -> int:
    return int(pod.metadata.labels.get(labels.JOB_COMPLETION_INDEX, "0"))
