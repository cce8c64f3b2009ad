"""One run of the health world: what finds faults and heals them, in virtual time, under faults of its own.

Production code: server and store, simulated nodes with their evidence, the rooms `workloads`, `health` with
its remediation, and `scheduling`, in two processes that crash, are cut off and see old caches by themselves.
What a cluster has beside them (who marks a dead machine, who mends a node, a person at the keyboard) is
played here. Called by `python -m springtide.simulation --world health`, by tests and by the mutations.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from springtide import health, scheduling, workloads
from springtide.api import labels
from springtide.api.core import Node, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta, is_true
from springtide.api.nodes import NodeStatus
from springtide.api.remediation import RemediationPolicy
from springtide.api.resources import type_of
from springtide.api.struct import decode
from springtide.client import Client
from springtide.node import SimulatedNodes
from springtide.node.simulated import SimulationSettings
from springtide.runtime import LoopClock, Runtime, configure_logging
from springtide.server import InProcessTransport, Server
from springtide.simulation import loop
from springtide.simulation.faults import (
    NO_FAULTS,
    ControllersCrashed,
    FaultCounts,
    FaultSettings,
    FaultyTransport,
)
from springtide.simulation.healthinvariants import HealthLedger
from springtide.simulation.healthscenario import HealthEvent, HealthScenario, draw
from springtide.simulation.invariants import Violation
from springtide.store import MemoryLog, Record, Store
from springtide.up.bootstrap import bootstrap

PATIENCE_SECONDS = 400.0
"""Virtual time after the faults within which every job and every incident must have ended."""
QUIET_SECONDS = 40.0
"""Virtual time in which freshly started controllers over a world at rest must write nothing."""
LOST_AFTER_SECONDS = 12.0
"""Until a dead machine is marked as not ready."""
WRITES_MAX = 3000
"""A run has a few hundred; controllers that write for ever would hold up virtual time."""
BEAT_SECONDS = 10.0
"""How often the collectors say how the pods of watched jobs live."""


@dataclass
class HealthReport:
    """What a run did and what it broke. `ok` is the verdict."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    counts: FaultCounts = field(default_factory=FaultCounts)
    virtual_seconds: float = 0.0
    revisions: int = 0
    jobs: dict[str, str] = field(default_factory=dict)
    diagnoses: int = 0
    cordoned: int = 0
    most_out: int = 0

    @property
    def ok(self) -> bool:
        return not self.violations


def simulate(
    seed: int,
    settings: FaultSettings = NO_FAULTS,
    scenario: HealthScenario | None = None,
    *,
    log_level: str = "error",
    to_the_end: bool = True,
) -> HealthReport:
    """Play one run to its end, or to the first violation. The same arguments give the same report."""
    configure_logging(level=log_level)
    world = HealthWorld(seed, settings, scenario or draw(seed), to_the_end=to_the_end)
    with suppress(asyncio.CancelledError):  # the world ended itself: see `_observe`
        loop.run(world.play(), seed=seed)
    return world.told()


def settings_of(seed: int) -> FaultSettings:
    """All faults together; most processes live for some writes, some die at each of them."""
    return FaultSettings(
        crash_every_writes=(1, 2, 3, 5, 7, 9, 11, 13, 17, 0)[seed % 10],
        conflict=0.03,
        server_error=0.03,
        lost_answer=0.03,
        stale_list=0.3,
        drop_event=0.03,
        delay_event=0.2,
        slow_write=0.1,
    )


class ObservedLog(MemoryLog):
    """A log that shows every durable record, in order, to whoever checks."""

    def __init__(self, observer: Callable[[Record], None], records: Sequence[Record]) -> None:
        super().__init__()
        for record in records:
            super().append(record)
        self._observer = observer

    def append(self, record: Record) -> None:
        super().append(record)
        self._observer(record)


class Process:
    """Controllers that live together, die together and start again."""

    def __init__(
        self, world: HealthWorld, register: Callable[[Runtime], object], seed: str, *, lives: int = 1
    ) -> None:
        """`lives`: so many times as long as the settings say."""
        self._world = world
        self._lives = lives
        self._register = register
        self._chances = random.Random(seed)
        self.transport: FaultyTransport | None = None
        self._running: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """For ever, or until cancelled."""
        while True:
            settings = self._world.settings
            self.transport = FaultyTransport(
                self._world.inner,
                self._chances,
                replace(settings, crash_every_writes=settings.crash_every_writes * self._lives),
                self._world.report.counts,
                crash=self._stop,
            )
            runtime = Runtime(Client(self.transport), self._world.clock)
            self._register(runtime)
            self._running = asyncio.ensure_future(runtime.run())
            self._running.add_done_callback(_look)
            try:
                await asyncio.wait([self._running])
            finally:
                self._running.cancel()
            _raise_unless_crashed(self._running)
            await asyncio.sleep(self._chances.uniform(0.1, 6))

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()


class HealthWorld:
    """Everything of one run; `play` is the run."""

    def __init__(
        self, seed: int, settings: FaultSettings, scenario: HealthScenario, *, to_the_end: bool = True
    ) -> None:
        self.settings = settings
        self._to_the_end = to_the_end
        self.clock = LoopClock(seed=seed)
        self.report = HealthReport(seed)
        self._scenario = scenario
        self._chances = random.Random(f"world {seed}")
        self._ledger = HealthLedger(scenario)
        self._seed = seed
        self._still: dict[str, tuple[int, float]] = {}
        """Jobs that stand still in this attempt, and since when."""
        self._silent: set[str] = set()
        self._written = 0
        self._main: asyncio.Task[None] | None = None

    async def play(self) -> None:
        """The run; `told` says what came of it."""
        self._main = asyncio.current_task()
        store = Store(ObservedLog(self._observe, _furnished()), monotonic=self.clock.monotonic)
        server = Server(store, clock=self.clock)
        await server.start()
        self.inner = InProcessTransport(server)
        self._user = Client(self.inner).with_manager("user")
        if self._scenario.policy:
            await self._user.create(decode(RemediationPolicy, self._scenario.policy))
        runtime = Runtime(Client(self.inner).with_manager("node"), self.clock)
        nodes = [_node(name) for name in self._scenario.nodes]
        self._nodes = SimulatedNodes(runtime, nodes, SimulationSettings(heartbeat_seconds=0))
        server.context.log_source = self._nodes
        self.processes = {
            "health": Process(self, _domains, f"health {self._seed}"),
            "scheduling": Process(self, scheduling.register, f"scheduling {self._seed}", lives=4),
        }
        async with asyncio.TaskGroup() as group:
            self._group = group
            background = [
                group.create_task(runtime.run()),
                group.create_task(self._check_gangs()),
                group.create_task(self._beat()),
                *(group.create_task(one.live()) for one in self.processes.values()),
            ]
            if self._scenario.repairs:
                background.append(group.create_task(self._mend()))
            for event in self._scenario.events:
                await self._sleep_until(event.at)
                await self._happen(event)
            await self._sleep_until(self._scenario.calm_at)
            self._calm_down()
            await self._expect_all_to_end()
            await self._expect_quiet()
            for task in background:
                task.cancel()
        self.report.virtual_seconds = self.clock.monotonic()
        await store.close()

    def told(self) -> HealthReport:
        """What the run did, and what it broke."""
        report, ledger = self.report, self._ledger
        report.violations = ledger.violations
        report.revisions = ledger.general.revisions
        report.diagnoses = len(ledger.diagnoses)
        report.cordoned = len(ledger.cordoned)
        report.most_out = ledger.most_out
        return report

    def _calm_down(self) -> None:
        self.settings = NO_FAULTS
        for process in self.processes.values():
            if process.transport is not None:
                process.transport.settings = NO_FAULTS
                process.transport.cut = False

    # -- what happens ------------------------------------------------------------------------------

    async def _happen(self, event: HealthEvent) -> None:
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
        self._still[job] = (self._attempt_of(job), self.clock.monotonic())

    async def _do_kill(self, node: str) -> None:
        self._nodes.kill(node)
        self._group.create_task(self._lose(node))

    async def _do_silent(self, node: str) -> None:
        self._silent.add(node)
        self._nodes.evidence.quiet(node)

    async def _do_cut(self, process: str) -> None:
        transport = self.processes[process].transport
        if transport is not None:
            transport.cut = True

    async def _do_join(self, process: str) -> None:
        transport = self.processes[process].transport
        if transport is not None:
            transport.cut = False

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
        ready["lastTransitionTime"] = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
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
        twin = asyncio.ensure_future(Process(self, _domains, f"twin {self._seed}").live())
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
        watched = {event.target for event in self._scenario.events if event.action == "hang"}
        while watched:
            await asyncio.sleep(BEAT_SECONDS)
            for job in sorted(watched):
                self._live(job)

    def _live(self, job: str) -> None:
        now = self.clock.now()
        still = self._still.get(job)
        if still is not None and still[0] != self._attempt_of(job):
            del self._still[job]  # the next attempt goes on
            still = None
        for rank, pod in enumerate(self._ranks(job)):
            if pod.spec.node_name in self._silent:
                continue
            fields: dict[str, Any] = {"stopped": still is not None and rank == 0}
            if still is None:
                fields |= {"log_time": now, "busy_time": now, "io_time": now}
            with suppress(LookupError):
                self._nodes.evidence.activity(pod.key, **fields)

    def _attempt_of(self, job: str) -> int:
        known = self._ledger.general.of(Workload).get(f"default/{job}")
        state = known.status.requeue_state if known is not None else None
        return (state.count or 0) if state is not None else 0

    # -- what must be true ---------------------------------------------------------------------------

    def _observe(self, record: Record) -> None:
        raw: dict[str, Any] = msgspec.json.decode(record.value)
        kind = type_of(raw.get("apiVersion", ""), raw.get("kind", ""))
        if kind is not None and raw["kind"] not in _UNWATCHED:
            self._ledger.observe(decode(kind, raw), deleted=record.deleted, now=self.clock.now())
        self._written += 1
        if self._written == WRITES_MAX:
            self._break_rule("controllers come to rest", f"{WRITES_MAX} writes, the last of {record.key}")
        over = self._written >= WRITES_MAX or (self._ledger.violations and not self._to_the_end)
        if over and self._main is not None:
            self._main.cancel()

    async def _check_gangs(self) -> None:
        while True:
            await asyncio.sleep(2)
            self._ledger.general.check_gangs(self.clock.now(), off=self._nodes.dead)

    async def _expect_all_to_end(self) -> None:
        deadline = self.clock.monotonic() + PATIENCE_SECONDS
        while True:
            jobs = self._ledger.general.of(Workload)
            waiting = [one for one in jobs.values() if not self._has_ended(one)]
            self._ledger.check_waiting(self.clock.now())
            if not waiting and not self._ledger.unsettled():
                break
            if self.clock.monotonic() > deadline:
                for one in waiting:
                    said = "; ".join(f"{c.type}={c.status} {c.message}" for c in one.status.conditions)
                    self._break_rule("an accepted job ends once faults stop", f"{one.key}: {said}")
                break
            await asyncio.sleep(4)
        for name in self._scenario.jobs:
            known = jobs.get(f"default/{name}")
            if known is None:
                self._break_rule("no acknowledged write is lost", f"Workload {name} is gone")
            else:
                self.report.jobs[name] = _outcome(known)

    def _has_ended(self, workload: Workload) -> bool:
        if is_true(workload.status.conditions, "Finished"):
            return True
        return self._scenario.reports_all and self._ledger.has_verdict(workload)

    async def _expect_quiet(self) -> None:
        """Everything has had its time; the controllers start again over it and find nothing to write."""
        await asyncio.sleep(QUIET_SECONDS)
        self._ledger.check_rest(self.clock.now())
        before = len(self._ledger.general.written)
        for process in self.processes.values():
            if process.transport is not None:
                process.transport.die()
        await asyncio.sleep(QUIET_SECONDS)
        written = [one for one in self._ledger.general.written[before:] if not self._comes_with_time(one)]
        if written:
            self._break_rule("a second run writes nothing", ", ".join(written[:5]))

    def _comes_with_time(self, written: str) -> bool:
        """What collectors write; and that they are silent: here they only speak when they see something."""
        kind, _, key = written.partition(" ")
        said = self._ledger.diagnoses.get(key)
        return kind == "NodeHealth" or (said is not None and said.spec.fault_class == "CollectorSilent")

    def _break_rule(self, invariant: str, detail: str) -> None:
        self._ledger.violations.append(Violation(invariant, self.clock.now(), detail))

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.clock.monotonic()))


_UNUSED = frozenset(
    (
        "clustertrainingruntimes.trainer.kubeflow.org",
        "jobs.batch.volcano.sh",
        "podgroups.scheduling.volcano.sh",
        "requestceilings.springtide.dev",
        "trainingruntimes.trainer.kubeflow.org",
        "trainjobs.trainer.kubeflow.org",
    )
)
_UNWATCHED = frozenset(("Event", "Lease", "Service", "NodeHealth"))


def _domains(runtime: Runtime) -> None:
    workloads.register(runtime)
    health.register(runtime)


def _look(controllers: asyncio.Task[None]) -> None:
    """Nobody else looks at how they ended where the world ends first."""
    if not controllers.cancelled():
        controllers.exception()


def _raise_unless_crashed(controllers: asyncio.Task[None]) -> None:
    """Controllers end because the world killed them; any other end is a defect."""
    if controllers.cancelled():
        return
    error = controllers.exception()
    if error is None:
        raise RuntimeError("the controllers ended by themselves")
    _, others = error.split(ControllersCrashed) if isinstance(error, BaseExceptionGroup) else (None, error)
    if others is not None and not isinstance(others, ControllersCrashed):
        raise others


def _node(name: str) -> Node:
    room = {"cpu": "4", "memory": "16Gi", "pods": "20"}
    return Node(
        metadata=ObjectMeta(name=name), status=NodeStatus(capacity=dict(room), allocatable=dict(room))
    )


async def _bootstrapped() -> tuple[Record, ...]:
    log, clock = MemoryLog(), LoopClock()
    store = Store(log, monotonic=clock.monotonic)
    server = Server(store, clock=clock)
    await server.start()
    await bootstrap(Client(InProcessTransport(server)))
    await store.close()
    return tuple(record for record in log.load().records if _is_needed(record))


def _is_needed(record: Record) -> bool:
    """Kinds that nobody here looks at would be a twentieth of every run."""
    group = record.resource.partition("/")[0]
    return group != "trainer.kubeflow.org" and record.key not in _UNUSED


@functools.cache
def _furnished() -> tuple[Record, ...]:
    """What every platform starts with, made once: kinds, queues, namespaces."""
    with ThreadPoolExecutor(1) as pool:  # a loop of its own, beside the one that runs
        return pool.submit(loop.run, _bootstrapped()).result()


def _outcome(workload: Workload) -> str:
    ended = next((one for one in workload.status.conditions if one.type == "Finished"), None)
    return ended.reason if ended is not None and ended.status == "True" else "open"
