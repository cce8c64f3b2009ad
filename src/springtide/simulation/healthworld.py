"""One run of the health world: what finds faults and heals them, in virtual time, under faults of its own.

Production code: server and store, simulated nodes with their evidence, the rooms `workloads`, `health` with
its remediation, and `scheduling`, in two processes that crash, are cut off and see old caches by themselves.
What a cluster has beside them (who marks a dead machine, who mends a node, a person at the keyboard) is
played here. Called by `python -m springtide.simulation --world health`, by tests and by the mutations.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from springtide import health, scheduling, workloads
from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import is_true
from springtide.api.remediation import RemediationPolicy
from springtide.api.resources import type_of
from springtide.api.struct import decode
from springtide.client import Client
from springtide.node import SimulatedNodes
from springtide.node.behaviour import Behaviour
from springtide.node.simulated import SimulationSettings
from springtide.runtime import LoopClock, Runtime, configure_logging
from springtide.server import InProcessTransport, Server
from springtide.simulation import loop
from springtide.simulation.faults import (
    NO_FAULTS,
    FaultCounts,
    FaultSettings,
)
from springtide.simulation.furnished import furnished
from springtide.simulation.healthactors import HealthActors
from springtide.simulation.healthinvariants import HealthLedger
from springtide.simulation.healthscenario import HealthScenario, draw
from springtide.simulation.invariants import Violation
from springtide.simulation.processes import ObservedLog, Process, Surroundings, machine, seldomer
from springtide.store import Record, Store

PATIENCE_SECONDS = 400.0
"""Virtual time after the faults within which every job and every incident must have ended."""
QUIET_SECONDS = 40.0
"""Virtual time in which freshly started controllers over a world at rest must write nothing."""
WRITES_MAX = 3000
"""A run has a few hundred; controllers that write for ever would hold up virtual time."""
_ROOM = {"cpu": "4", "memory": "16Gi", "pods": "20"}


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
    slow: dict[str, str] = field(default_factory=dict)
    """Nodes on which ranks were found to be slow, and who was blamed."""

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
    """All faults together; most processes live for some writes, some die at each of them; and some have
    writes under way for so long that much has changed when they arrive."""
    return FaultSettings(
        crash_every_writes=(1, 2, 3, 5, 7, 9, 11, 13, 17, 0)[seed % 10],
        conflict=0.03,
        server_error=0.03,
        lost_answer=0.03,
        stale_list=0.3,
        drop_event=0.03,
        delay_event=0.2,
        slow_write=0.1,
        slow_write_seconds_max=(3.0, 3.0, 15.0)[seed % 3],
    )


class HealthWorld:
    """Everything of one run; `play` is the run."""

    def __init__(
        self, seed: int, settings: FaultSettings, scenario: HealthScenario, *, to_the_end: bool = True
    ) -> None:
        self._settings = settings
        self._to_the_end = to_the_end
        self.clock = LoopClock(seed=seed)
        self.report = HealthReport(seed)
        self._scenario = scenario
        self._ledger = HealthLedger(scenario)
        self._seed = seed
        self._written = 0
        self._main: asyncio.Task[None] | None = None

    async def play(self) -> None:
        """The run; `told` says what came of it."""
        self._main = asyncio.current_task()
        store = Store(ObservedLog(self._observe, furnished()), monotonic=self.clock.monotonic)
        server = Server(store, clock=self.clock)
        await server.start()
        inner = InProcessTransport(server)
        user = Client(inner).with_manager("user")
        if self._scenario.policy:
            await user.create(decode(RemediationPolicy, self._scenario.policy))
        runtime = Runtime(Client(inner).with_manager("node"), self.clock)
        nodes = [machine(name, _ROOM) for name in self._scenario.nodes]
        self._nodes = SimulatedNodes(runtime, nodes, SimulationSettings(heartbeat_seconds=0), self._script)
        server.context.log_source = self._nodes
        around = Surroundings(inner, self.clock, self.report.counts)
        self._processes = {
            "health": self._process(around, "health"),
            "scheduling": Process(
                around,
                scheduling.register,
                random.Random(f"scheduling {self._seed}"),
                seldomer(self._settings, lives=4),
            ),
        }
        async with asyncio.TaskGroup() as group:
            self._actors = actors = HealthActors(
                self._scenario,
                self._ledger,
                self._nodes,
                user,
                self.clock,
                self._processes,
                lambda: self._process(around, "twin"),
                random.Random(f"world {self._seed}"),
            )
            background = [
                group.create_task(runtime.run()),
                group.create_task(self._check_gangs()),
                *actors.start(group),
                *(group.create_task(one.live()) for one in self._processes.values()),
            ]
            for event in self._scenario.events:
                await self._sleep_until(event.at)
                await actors.happen(event)
            await self._sleep_until(self._scenario.calm_at)
            self._calm_down()
            await self._expect_all_to_end()
            await self._expect_quiet()
            for task in background:
                task.cancel()
        self.report.virtual_seconds = self.clock.monotonic()
        await store.close()

    def _script(self, pod: Pod) -> Behaviour | None:
        """What the check of a node finds; everything else does as its annotations say."""
        if labels.NODE_CHECK not in pod.metadata.labels:
            return None
        return self._actors.checked(pod.spec.node_name)

    def _process(self, around: Surroundings, name: str) -> Process:
        """One that heals, with the faults there are now."""
        return Process(around, _domains, random.Random(f"{name} {self._seed}"), self._settings)

    def told(self) -> HealthReport:
        """What the run did, and what it broke."""
        report, ledger = self.report, self._ledger
        report.violations = ledger.violations
        report.revisions = ledger.general.revisions
        report.diagnoses = len(ledger.diagnoses)
        report.cordoned = len(ledger.cordoned)
        report.most_out = ledger.most_out
        report.slow = {
            one.spec.node: one.spec.blame
            for one in ledger.diagnoses.values()
            if one.spec.workload and one.spec.fault_class == "Straggler"
        }
        return report

    def _calm_down(self) -> None:
        self._settings = NO_FAULTS
        for process in self._processes.values():
            process.calm()

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
            if not waiting and not self._ledger.unsettled() and not self._ledger.unanswered():
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
        for process in self._processes.values():
            process.die()
        await asyncio.sleep(QUIET_SECONDS)
        written = [one for one in self._ledger.general.written[before:] if not self._comes_with_time(one)]
        if written:
            self._break_rule("a second run writes nothing", ", ".join(written[:5]))

    def _comes_with_time(self, written: str) -> bool:
        """What collectors write; that they are silent, as here they only speak when they see something; and
        checks of suspected nodes, which wait for two that are idle, and which say nothing in some runs."""
        kind, _, key = written.partition(" ")
        said = self._ledger.diagnoses.get(key)
        silent = said is not None and said.spec.fault_class == "CollectorSilent"
        return kind == "NodeHealth" or silent or key.startswith("kube-system/check-paired-")

    def _break_rule(self, invariant: str, detail: str) -> None:
        self._ledger.violations.append(Violation(invariant, self.clock.now(), detail))

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.clock.monotonic()))


_UNWATCHED = frozenset(("Event", "Lease", "Service", "NodeHealth"))


def _domains(runtime: Runtime) -> None:
    workloads.register(runtime)
    health.register(runtime)


def _outcome(workload: Workload) -> str:
    ended = next((one for one in workload.status.conditions if one.type == "Finished"), None)
    return ended.reason if ended is not None and ended.status == "True" else "open"
