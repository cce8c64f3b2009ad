"""One run: the production server, controllers and simulated nodes on a virtual clock, under faults.

`simulate(seed)` plays a scenario, restarts the controllers whenever a fault kills them, stops the faults,
and expects every job to end. Every committed write goes past the `Ledger`. Used by tests and benchmarks.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from springtide.api.resources import type_of
from springtide.api.struct import decode
from springtide.api.trainer import ClusterTrainingRuntime, TrainJob
from springtide.client import Client, NotFound
from springtide.health import Settings as HealthSettings
from springtide.node import SimulatedNodes
from springtide.runtime import LoopClock, Runtime, configure_logging
from springtide.server import InProcessTransport, Server
from springtide.simulation import loop
from springtide.simulation.faults import (
    NO_FAULTS,
    FaultCounts,
    FaultSettings,
)
from springtide.simulation.invariants import Ledger, Violation, terminal
from springtide.simulation.processes import ObservedLog, Process, Surroundings, machine
from springtide.simulation.scenario import Event, Scenario, draw
from springtide.store import Record, Store
from springtide.up.bootstrap import bootstrap
from springtide.up.rooms import register_controllers

PATIENCE_SECONDS = 900.0
"""Virtual time after the faults within which every job must have ended."""
QUIET_SECONDS = 90.0
"""Virtual time in which freshly restarted controllers over a finished world must write nothing."""


@dataclass
class Report:
    """What a run did and what it broke. `ok` is the verdict."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    counts: FaultCounts = field(default_factory=FaultCounts)
    virtual_seconds: float = 0.0
    revisions: int = 0
    jobs: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.violations


def simulate(
    seed: int,
    settings: FaultSettings = NO_FAULTS,
    scenario: Scenario | None = None,
    *,
    log_level: str = "error",
) -> Report:
    """Play one run to its end. The same arguments give the same report."""
    configure_logging(level=log_level)
    return loop.run(World(seed, settings, scenario or draw(seed)).play(), seed=seed)


class World:
    """Everything of one run; `play` is the run."""

    def __init__(self, seed: int, settings: FaultSettings, scenario: Scenario) -> None:
        self._scenario = scenario
        self._settings = settings
        self._chances = random.Random(seed)
        self._clock = LoopClock(seed=seed)
        self._ledger = Ledger(restart_budget=HealthSettings().restarts_max)
        self._report = Report(seed)
        self._accepted: set[str] = set()
        self._removed: set[str] = set()

    async def play(self) -> Report:
        store = Store(ObservedLog(self._observe), monotonic=self._clock.monotonic)
        server = Server(store, clock=self._clock)
        await server.start()
        self._inner = InProcessTransport(server)
        user = Client(self._inner).with_manager("user")
        await bootstrap(user)
        await user.create(decode(ClusterTrainingRuntime, self._scenario.runtime))
        self._controllers = Process(
            Surroundings(self._inner, self._clock, self._report.counts),
            register_controllers,
            self._chances,
            self._settings,
            pause_seconds=20.0,
        )
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self._run_nodes()),
                group.create_task(self._controllers.live()),
                group.create_task(self._check_gangs()),
            ]
            for event in self._scenario.events:
                await self._sleep_until(event.at)
                await self._happen(event, user)
            await self._sleep_until(self._scenario.calm_at)
            self._controllers.calm()
            await self._expect_all_to_end(user)
            await self._expect_quiet()
            for task in background:
                task.cancel()
        await store.close()
        self._report.violations = self._ledger.violations
        self._report.revisions = self._ledger.revisions
        self._report.virtual_seconds = self._clock.monotonic()
        return self._report

    # -- the processes of this world ---------------------------------------------------------------

    async def _run_nodes(self) -> None:
        runtime = Runtime(Client(self._inner).with_manager("node"), self._clock)
        self._nodes = SimulatedNodes(
            runtime, [machine(name, room) for name, room in self._scenario.nodes.items()]
        )
        await runtime.run()

    # -- what happens to it ------------------------------------------------------------------------

    async def _happen(self, event: Event, user: Client) -> None:
        match event.action:
            case "submit":
                await user.create(decode(TrainJob, self._scenario.jobs[event.target]))
                self._accepted.add(event.target)
            case "delete":
                self._removed.add(event.target)
                await user.delete(TrainJob, event.target, "default")
            case "suspend" | "resume":
                body = {"spec": {"suspend": event.action == "suspend"}}
                try:
                    await user.patch(TrainJob, event.target, "default", body)
                except NotFound:
                    return
            case "kill_node":
                self._nodes.kill(event.target)
            case "restore_node":
                self._nodes.restore(event.target)

    # -- what must be true -------------------------------------------------------------------------

    def _observe(self, record: Record) -> None:
        raw: dict[str, Any] = msgspec.json.decode(record.value)
        kind = type_of(raw.get("apiVersion", ""), raw.get("kind", ""))
        if kind is not None:
            self._ledger.observe(decode(kind, raw), deleted=record.deleted, now=self._clock.now())

    async def _check_gangs(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._ledger.check_gangs(self._clock.now(), off=self._nodes.dead)

    async def _expect_all_to_end(self, user: Client) -> None:
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        while True:
            jobs = {job.metadata.name: job for job in (await user.list(TrainJob, "default")).items}
            waiting = [name for name, job in jobs.items() if not terminal(job)]
            if not waiting:
                break
            if self._clock.monotonic() > deadline:
                self._break("an accepted job ends once faults stop", f"still open: {', '.join(waiting)}")
                break
            await asyncio.sleep(5)
        for name in self._accepted - self._removed:
            if name not in jobs:
                self._break("no acknowledged write is lost", f"TrainJob {name} is gone")
                continue
            self._report.jobs[name] = outcome = _outcome(jobs[name])
            expected = "Failed" if name in self._scenario.failing else "Complete"
            if outcome not in (expected, "open"):
                self._break(
                    "a job ends as its program did", f"{name}: {outcome}, not {expected}: {_why(jobs[name])}"
                )

    async def _expect_quiet(self) -> None:
        """Restart the controllers over the finished world: they must find nothing to write."""
        await asyncio.sleep(QUIET_SECONDS)
        before = len(self._noise)
        self._controllers.die()
        await asyncio.sleep(QUIET_SECONDS)
        written = self._noise[before:]
        if written:
            self._break("a second run writes nothing", ", ".join(written[:5]))

    @property
    def _noise(self) -> list[str]:
        return self._ledger.written

    def _break(self, invariant: str, detail: str) -> None:
        now: datetime = self._clock.now()
        self._ledger.violations.append(Violation(invariant, now, detail))

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self._clock.monotonic()))


def _outcome(job: TrainJob) -> str:
    conditions = job.status.conditions
    return next(
        (c.type for c in conditions if c.type in ("Complete", "Failed") and c.status == "True"), "open"
    )


def _why(job: TrainJob) -> str:
    conditions = job.status.conditions
    return "; ".join(c.message for c in conditions if c.status == "True")
