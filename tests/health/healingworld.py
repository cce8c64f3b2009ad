"""A small cluster in which nodes go bad while the controller that heals it is cut off, refused and killed.

Every revision of every node is looked at: no more nodes than the cap are ever out of service. Used by
`test_remediation_crashes`; `python -m tests.health.healingworld SEED COUNT` plays more of it.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from springtide.api import labels
from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Namespace, Node
from springtide.api.crds import bundled
from springtide.api.meta import ObjectMeta
from springtide.api.remediation import Breaker, ReturnToService
from springtide.api.springtide import Diagnosis
from springtide.api.struct import decode, encode, replace
from springtide.client import AlreadyExists, Client
from springtide.faults import Fault
from springtide.health import remediation_controller
from springtide.health.incidents import NAMESPACE, is_incident, is_over, phase_of
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
from springtide.simulation.processes import ObservedLog
from springtide.store import Record, Store
from tests import builders
from tests.health.incidentscene import asking, policy

NODES = 8
CALM_SECONDS = 400.0
SYMPTOMS = (Fault.GPU_OFF_BUS, Fault.NIC_FAULT, Fault.DISK_FAULT, Fault.GPU_MEMORY)


@dataclass
class Outcome:
    """What a run broke, and what it did."""

    seed: int
    violations: list[str] = field(default_factory=list)
    most_out: int = 0
    crashes: int = 0
    phases: list[str] = field(default_factory=list)


def play(seed: int, faults: FaultSettings, *, mass: bool = False) -> Outcome:
    """One run: `mass` has all nodes show the same within a minute."""
    configure_logging(level="error")
    return loop.run(_World(seed, faults, mass).play(), seed=seed)


class _World:
    def __init__(self, seed: int, faults: FaultSettings, mass: bool) -> None:
        self._chances = random.Random(seed)
        self._faults = faults
        self._mass = mass
        self._clock = LoopClock(seed=seed)
        self._outcome = Outcome(seed)
        self._counts = FaultCounts()
        self._out: set[str] = set()
        self._writes = 0
        self._cap = self._chances.randint(1, 3)

    async def play(self) -> Outcome:
        store = Store(ObservedLog(self._observe), monotonic=self._clock.monotonic)
        server = Server(store, clock=self._clock)
        await server.start()
        self._inner = InProcessTransport(server)
        user = Client(self._inner).with_manager("user")
        await self._furnish(user)
        controllers = asyncio.ensure_future(self._keep_running())
        try:
            await self._trouble(user)
            self._faults = self._transport.settings = NO_FAULTS
            await asyncio.sleep(CALM_SECONDS)
            await self._judge(user)
            await self._expect_quiet()
        finally:
            controllers.cancel()
        await store.close()
        self._outcome.crashes = self._counts.crashes
        return self._outcome

    async def _furnish(self, user: Client) -> None:
        for namespace in ("default", NAMESPACE):
            with suppress(AlreadyExists):
                await user.create(Namespace(metadata=ObjectMeta(name=namespace)))
        for crd in bundled():
            fields = encode(crd)
            fields.pop("status", None)
            await user.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
        for index in range(NODES):
            made = builders.node(f"n{index}")
            await user.create(replace(made, metadata=replace(made.metadata, uid="")))
        crowd = 4 if self._mass else 0
        breaker = Breaker(max_cordoned=str(self._cap), symptom_nodes=crowd, symptom_window_seconds=120)
        back = ReturnToService(quarantine_seconds=20, incidents=0)
        await user.create(policy(breaker=breaker, returning=back))

    async def _trouble(self, user: Client) -> None:
        for number in range(NODES):
            node = f"n{number if self._mass else self._chances.randrange(NODES)}"
            fault = SYMPTOMS[0] if self._mass else self._chances.choice(SYMPTOMS)
            found = self._clock.now()
            await user.create(asking(node, f"job-{number}", fault=fault, detected_at=found))
            await asyncio.sleep(self._chances.uniform(0, 6 if self._mass else 40))
        await asyncio.sleep(60)

    async def _keep_running(self) -> None:
        while True:
            self._transport = FaultyTransport(
                self._inner, self._chances, self._faults, self._counts, crash=self._crash
            )
            runtime = Runtime(Client(self._transport), self._clock)
            remediation_controller.register(runtime)
            self._running = asyncio.ensure_future(runtime.run())
            try:
                await asyncio.wait([self._running])
            finally:
                self._running.cancel()
            _raise_unless_crashed(self._running)
            await asyncio.sleep(self._chances.uniform(0.1, 5))

    def _crash(self) -> None:
        self._running.cancel()

    def _observe(self, record: Record) -> None:
        raw: dict[str, Any] = msgspec.json.decode(record.value)
        self._writes += raw.get("kind") not in ("Lease", "Event")
        if raw.get("kind") != "Node":
            return
        node = decode(Node, raw)
        name = node.metadata.name
        if labels.CORDONED_FOR in node.metadata.annotations and not record.deleted:
            self._out.add(name)
        else:
            self._out.discard(name)
        self._outcome.most_out = max(self._outcome.most_out, len(self._out))
        if len(self._out) > self._cap:
            self._break(f"{sorted(self._out)} are out, and the cap is {self._cap}")

    async def _judge(self, user: Client) -> None:
        """In the end every incident is over, every workload has its answer, and every node is back."""
        diagnoses = (await user.list(Diagnosis)).items
        incidents = [one for one in diagnoses if is_incident(one)]
        self._outcome.phases = sorted(phase_of(one).value for one in incidents)
        for one in incidents:
            if not is_over(one):
                self._break(f"incident {one.metadata.name} is {one.status.phase or 'Open'}")
        for one in diagnoses:
            if one.spec.workload and not one.status.phase:
                self._break(f"{one.metadata.name} was never answered")
        for node in (await user.list(Node)).items:
            if node.spec.unschedulable or node.spec.taints:
                self._break(f"node {node.metadata.name} is still out")
            if any(one.status == "False" for one in node.status.conditions):
                self._break(f"node {node.metadata.name} still says it is ill")
        if self._mass and not [one for one in diagnoses if not one.spec.node]:
            self._break("nobody says that many nodes show the same")

    async def _expect_quiet(self) -> None:
        before = self._writes
        self._crash()
        await asyncio.sleep(60)
        if self._writes != before:
            self._break(f"a second run wrote {self._writes - before} times")

    def _break(self, what: str) -> None:
        self._outcome.violations.append(f"{self._clock.monotonic():.1f} s: {what}")


def _raise_unless_crashed(running: asyncio.Task[None]) -> None:
    if running.cancelled():
        return
    error = running.exception()
    if error is None:
        raise RuntimeError("the controller ended by itself")
    _, others = error.split(ControllersCrashed) if isinstance(error, BaseExceptionGroup) else (None, error)
    if others is not None:
        raise others


def _main(first: int, count: int) -> int:
    say: Callable[[str], int] = sys.stdout.write
    broken = 0
    for seed in range(first, first + count):
        found = play(seed, FaultSettings.of_seed(seed), mass=seed % 2 == 1)
        broken += bool(found.violations)
        say(f"{found}\n")
    say(f"{count} seeds, {broken} broken\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), int(sys.argv[2])))
