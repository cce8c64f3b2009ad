"""The scheduler dies at each of its writes in turn: no device is given twice and no gang is torn, ever.

Named after what users of others report: HAMi gives a device twice when its scheduler restarts between a
decision and what shows it; gangs of pods bound one by one stay in part when their scheduler dies. Here a gang
of eight and plain pods share eight GPUs and fill them to the last hundredth, so that whatever is given twice,
lost or leaked shows: every committed revision is checked, and at the end all must run.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from springtide import scheduling, workloads
from springtide.api.core import Pod, ResourceRequirements
from springtide.api.gpus import ALLOCATED, held_by, indices_in
from springtide.api.kueue import Workload, places_of
from springtide.api.labels import ATTEMPT, DEVICES, WORKLOAD
from springtide.api.pods import PodSpec
from springtide.api.resources import type_of
from springtide.api.struct import decode, encode_json, replace
from springtide.client import Client, Request, Response, Transport
from springtide.node import SimulatedNodes, load_nodes
from springtide.runtime import LoopClock, Runtime
from springtide.scheduling.facts import attempt_of
from springtide.server import InProcessTransport
from springtide.store import MemoryLog, Record, Store
from springtide.up.bootstrap import bootstrap
from tests.builders import pod, pod_set, pod_spec, workload
from tests.embedded import Platform, server_in_memory, working

NODES = """
nodes:
  - {name: a, gpus: {count: 4, sharers: 10, model: NVIDIA-A100, memory: 40000Mi}}
  - {name: b, gpus: {count: 4, sharers: 10, model: NVIDIA-A100, memory: 40000Mi}}
"""
GANG, GANG_SHARE, PLAIN, PLAIN_SHARE = 8, 60, 8, 40
MEMORY = 40000
SETTLE_SECONDS = 20.0

Register = Callable[[Runtime], Any]


def part(share: int) -> PodSpec:
    """Pods ask for parts of GPUs by limits."""
    asked = ResourceRequirements(limits={"nvidia.com/gpu": 1, "nvidia.com/gpucores": share})
    spec = pod_spec()
    return replace(spec, containers=[replace(spec.containers[0], resources=asked)])


# -- what must be true ---------------------------------------------------------------------------------


@dataclass
class Committed:
    """All pods and workloads as committed, and what was wrong with them at any revision."""

    pods: dict[str, Pod] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        raw: dict[str, Any] = msgspec.json.decode(record.value)
        kind = type_of(raw.get("apiVersion", ""), raw.get("kind", ""))
        if kind is Pod:
            _put(self.pods, decode(Pod, raw), deleted=record.deleted)
        elif kind is Workload:
            _put(self.workloads, decode(Workload, raw), deleted=record.deleted)
        else:
            return
        self._check_devices()
        self._check_gangs()

    def _check_devices(self) -> None:
        """What pods hold, and what admissions have promised to pods that are not there yet."""
        shares: dict[tuple[str, int], int] = defaultdict(int)
        memory: dict[str, int] = defaultdict(int)
        for one in self.pods.values():
            if one.spec.node_name and one.status.phase not in ("Succeeded", "Failed"):
                held = held_by(one.spec, one.metadata.annotations)
                if ALLOCATED not in one.metadata.annotations or not held:
                    self.broken.append(f"{one.key} is bound and does not say which devices it holds")
                for device in held:
                    memory[device.id] += device.memory
                if WORKLOAD not in one.metadata.labels:
                    for index in indices_in(one.metadata.annotations.get(DEVICES, "")):
                        shares[(one.spec.node_name, index)] += PLAIN_SHARE
        for gang in self.workloads.values():
            for node, devices, count in _places(gang):
                for index in indices_in(devices):
                    shares[(node, index)] += GANG_SHARE * count
        self.broken += [f"device {at} is given to {share} %" for at, share in shares.items() if share > 100]
        self.broken += [f"{uuid}: {given} MiB" for uuid, given in memory.items() if given > MEMORY]

    def _check_gangs(self) -> None:
        """A pod of a gang exists only while all of the gang has places, and it stands on one of them."""
        for one in self.pods.values():
            name = one.metadata.labels.get(WORKLOAD)
            if name is None or one.metadata.deletion_timestamp is not None:
                continue
            gang = self.workloads[f"{one.metadata.namespace}/{name}"]
            places = _places(gang)
            if sum(count for _, _, count in places) != GANG:
                self.broken.append(f"{one.key} exists, but its gang has no places for all")
            stands = one.spec.node_name, one.metadata.annotations.get(DEVICES, "")
            if stands not in [(node, devices) for node, devices, _ in places]:
                self.broken.append(f"{one.key} stands on {stands}, which its gang was not given")
            if one.metadata.labels.get(ATTEMPT) != str(attempt_of(gang)):
                self.broken.append(f"{one.key} is of another attempt")


def _put(shelf: dict[str, Any], obj: Pod | Workload, *, deleted: bool) -> None:
    if deleted:
        shelf.pop(obj.key, None)
    else:
        shelf[obj.key] = obj


def _places(gang: Workload) -> list[tuple[str, str, int]]:
    admission = gang.status.admission
    return [
        place
        for assignment in (admission.pod_set_assignments if admission is not None else ())
        if assignment.topology_assignment is not None
        for place in places_of(assignment.topology_assignment)
    ]


class CheckedLog(MemoryLog):
    """Shows every durable record to whoever checks."""

    def __init__(self, records: list[Record], check: Callable[[Record], None]) -> None:
        super().__init__()
        for record in records:
            super().append(record)
        self._check = check

    def append(self, record: Record) -> None:
        super().append(record)
        self._check(record)


# -- who dies ------------------------------------------------------------------------------------------


class Mortal:
    """A process' connection: at its n-th write, which is done, the process dies before it hears of it."""

    def __init__(self, inner: Transport, dies_at: int, die: Callable[[], object]) -> None:
        self.writes = 0
        self._inner = inner
        self._dies_at = dies_at
        self._die = die

    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        if request.method == "GET":
            return response
        self.writes += 1
        if self.writes >= self._dies_at:
            self._die()
            await asyncio.Event().wait()  # nothing is heard any more
        return response

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._inner.stream(request)

    async def close(self) -> None:
        await self._inner.close()


@dataclass
class Life:
    """What one run showed."""

    died: bool
    broken: list[str]
    phases: dict[str, str]


async def live(base: list[Record], mortal: list[Register], others: list[Register], dies_at: int) -> Life:
    """From these records on: the mortal process dies once at this write, and starts again."""
    committed, clock = Committed(), LoopClock()
    store = Store(CheckedLog(base, committed.take), monotonic=clock.monotonic)
    for record in base:
        committed.take(record)
    async with server_in_memory(clock, store=store) as server:
        inner = InProcessTransport(server)
        steady = Runtime(Client(inner), clock)
        for register in others:
            register(steady)
        async with working(steady):
            died = await _until_death(inner, mortal, dies_at, clock)
            reborn = Runtime(Client(inner), clock)
            for register in mortal:
                register(reborn)
            async with working(reborn):
                await asyncio.sleep(SETTLE_SECONDS)
    phases = {one.metadata.name: one.status.phase for one in committed.pods.values()}
    return Life(died, committed.broken, phases)


async def _until_death(inner: Transport, mortal: list[Register], dies_at: int, clock: LoopClock) -> bool:
    """Whether the process died of its writes; with fewer, it is ended in peace."""
    dead = asyncio.Event()
    runtime = Runtime(Client(Mortal(inner, dies_at, dead.set)), clock)
    for register in mortal:
        register(runtime)
    running = asyncio.create_task(runtime.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            await dead.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return dead.is_set()


# -- scenes --------------------------------------------------------------------------------------------


def simulated(path: Path) -> Register:
    """Two nodes of four GPUs each, which play their pods."""
    path.write_text(NODES)
    return lambda runtime: SimulatedNodes(runtime, load_nodes(path))


async def gang_before_pods(platform: Platform) -> None:
    await platform.create(workload("gang", pod_set(GANG, part(GANG_SHARE)), job="gang"))
    await platform.settle(2)
    await platform.create(*(pod(f"plain-{index}", part(PLAIN_SHARE)) for index in range(PLAIN)))


async def records_of(nodes: Register) -> list[Record]:
    """The store of a cluster whose nodes are there, and everybody else waits."""
    log, clock = MemoryLog(), LoopClock()
    store = Store(log, monotonic=clock.monotonic)
    async with server_in_memory(clock, store=store) as server:
        client = Client(InProcessTransport(server))
        await bootstrap(client)
        runtime = Runtime(client, clock)
        nodes(runtime)
        async with working(runtime):
            await asyncio.sleep(SETTLE_SECONDS)
            await gang_before_pods(Platform(client, runtime, store))
        return list(log.load().records)


SCHEDULER: list[Register] = [scheduling.register]
BOTH: list[Register] = [scheduling.register, workloads.register]


@pytest.mark.parametrize(("mortal", "alone"), [(SCHEDULER, True), (BOTH, False)])
async def test_hami_double_allocation_and_gang_atomicity_after_a_crash_at_every_write(
    tmp_path: Path, mortal: list[Register], alone: bool
) -> None:
    nodes = simulated(tmp_path / "nodes.yaml")
    base = await records_of(nodes)
    others = [nodes, workloads.register] if alone else [nodes]
    dies_at, died = 0, True
    while died:
        dies_at += 1
        life = await live(base, mortal, others, dies_at)
        died = life.died
        assert not life.broken, f"crash at write {dies_at}: {life.broken[:3]}"
        assert set(life.phases.values()) == {"Running"}, f"crash at write {dies_at}: {life.phases}"
        assert len(life.phases) == GANG + PLAIN, f"crash at write {dies_at}"
    assert dies_at > GANG + PLAIN, "each binding, and for both each pod of the gang, was a place to die at"


async def test_the_check_sees_a_device_given_twice_and_a_torn_gang(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    base = await records_of(simulated(tmp_path / "nodes.yaml"))
    committed = Committed()
    for record in base:
        committed.take(record)
    assert not committed.broken
    shown = {ALLOCATED: "a-gpu-0,NVIDIA,16000,40:;", DEVICES: "0"}
    for index in range(3):
        bound = pod(f"plain-{index}", part(PLAIN_SHARE), node="a", annotated=shown)
        committed.take(Record(0, "pods", bound.key, encode_json(bound)))
    assert committed.broken == ["device ('a', 0) is given to 120 %", "a-gpu-0: 48000 MiB"]
    committed.broken.clear()
    torn = pod("gang-0", part(GANG_SHARE), node="b", labelled={WORKLOAD: "gang"}, annotated=shown)
    committed.take(Record(0, "pods", torn.key, encode_json(torn)))
    assert any("has no places for all" in one for one in committed.broken)
