"""The node's keeper of snapshots: memory for jobs that outlives their processes, with a copy on a peer.

`agent.py` makes one, asks it before a container starts (`prepare`: a folder in memory, with the newest whole
snapshot fetched from whoever holds it) and lets it run beside: it copies what training writes to a node of
another failure domain, and frees the memory of jobs that are over. Nothing is written down elsewhere: a node
that starts anew finds its folders, a peer follows from the objects, and what is held where each keeper says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec
import psutil

from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.labels import KEEPER
from springtide.api.meta import is_true
from springtide.api.nodes import Node
from springtide.client import ApiError, NotFound
from springtide.node.keeper_channel import (
    Address,
    Trust,
    known_addresses,
    make_identity,
)
from springtide.node.keeper_copies import Copies, Failed
from springtide.node.keeper_layout import Job, Part, Torn
from springtide.node.keeper_peers import Restore, newest_whole, peers_of, wanted_ranks
from springtide.node.keeper_places import (
    gang_size,
    index_of,
    is_live,
    job_of,
    surroundings,
    user_of,
)
from springtide.node.keeper_service import KeeperService, Pace
from springtide.node.keeper_shelf import Full, Memory, Shelf, Unusable
from springtide.node.settings import ProcessNodeSettings
from springtide.runtime import Runtime, logger

log = logger("node.keeper")

COPY_SECONDS = 1.0
"""How often new snapshots are looked for."""
SWEEP_SECONDS = 15.0
"""How often jobs that are over are looked for."""
SHUN_SECONDS = 30.0
"""How long a peer that refused or did not answer is passed over."""
ENTITLED_SECONDS = 3.0
"""How long a peer that asks may be ahead of our cache: its pod was bound a moment ago."""
STRANGERS_MAX = 256
"""Nodes outside the gang that are asked at most."""
MEMORY_DIR = "SPRINGTIDE_MEMORY_DIR"
"""Variable that says where a job keeps snapshots; empty: there is no room for it."""
_BY_JOB = "node.job"


class Tell(Protocol):
    """Records an event about a pod."""

    def __call__(self, reason: str, note: str, *, warning: bool = False) -> None: ...


class Keeper:
    """Snapshots of the jobs on this node."""

    def __init__(self, runtime: Runtime, settings: ProcessNodeSettings, node_id: str) -> None:
        """Adds its work to the runtime; touches nothing before that runs."""
        self._runtime = runtime
        self._settings = settings
        self._pods = runtime.informer(Pod, indexes={_BY_JOB: _job_uid})
        self._nodes = runtime.informer(Node)
        root = settings.memory_root / f"springtide-{node_id}"
        self._shelf = Shelf(root, budget_bytes(settings), _memory)
        self._host = ""
        self._service: KeeperService | None = None
        self._trust: Trust | None = None
        self._copies: Copies | None = None
        self._addresses: dict[str, Address] = {}
        self._copied: dict[tuple[Job, int], tuple[str, str]] = {}
        """By job and rank: the peer, and the checksum of the part that it has."""
        self._shunned: dict[str, float] = {}
        self._prepared: dict[str, Mapping[str, str]] = {}
        """By pod: the variables it was given."""
        self._locks: dict[Job, asyncio.Lock] = {}
        self._awake = asyncio.Event()
        self._swept_at = float("-inf")
        runtime.background("node-keeper", self._run)

    # -- life ---------------------------------------------------------------------------------------

    def listens(self, host: str) -> None:
        """Other nodes reach this one there; to be called before `begin`. Without it there are no copies."""
        self._host = host

    async def begin(self) -> dict[str, str]:
        """Open the door for peers; what the Node object is to say, by annotation."""
        try:
            if self._shelf.exists():  # an earlier life left snapshots
                self._shelf.open()
                self._awake.set()
        except Unusable as error:
            log.warning("no snapshots are kept in memory", error=str(error))
            return {}
        if not self._host or not self._on:
            return {}
        identity = make_identity(self._settings.name, self._runtime.clock.now())
        self._trust = Trust(identity, self._settings.data_dir)
        self._service = KeeperService(self._shelf, self._trust, self._entitled)
        self._copies = Copies(self._shelf, self._trust, self._pace())
        port = await self._service.start(self._host)
        address = Address(self._host, port, identity.certificate)
        return {KEEPER: msgspec.json.encode(address).decode()}

    async def stop(self) -> None:
        """The node leaves in order: its memory is given back."""
        if self._service is not None:
            await self._service.stop()
        self._shelf.close()

    @property
    def _on(self) -> bool:
        return self._shelf.budget_bytes > 0

    def _pace(self) -> Pace:
        return Pace(self._runtime.clock, self._settings.copy_bytes_per_second)

    # -- before a container starts ------------------------------------------------------------------

    async def prepare(self, pod: Pod, tell: Tell) -> Mapping[str, str]:
        """Variables for the pod's containers; an event says why it has no memory here, if so."""
        job, uid = job_of(pod), pod.metadata.uid
        if job is None or not self._on or not job.is_well_named:
            return {}
        if uid not in self._prepared:
            async with self._locks.setdefault(job, asyncio.Lock()):
                if uid not in self._prepared:
                    self._prepared[uid] = await self._prepare(job, pod, tell)
        return self._prepared[uid]

    def forget(self, pod: Pod) -> None:
        """The pod is gone; its job's snapshots stay."""
        self._prepared.pop(pod.metadata.uid, None)

    async def _prepare(self, job: Job, pod: Pod, tell: Tell) -> Mapping[str, str]:
        user, group = user_of(pod)
        try:
            allowance = await asyncio.to_thread(self._shelf.allowance_bytes, job)
            folder = await asyncio.to_thread(self._shelf.make, job, user, group)
        except (Full, Unusable, OSError) as error:
            tell(
                "SnapshotsToStorage",
                f"no memory for snapshots, they go to storage alone: {error}",
                warning=True,
            )
            return {MEMORY_DIR: ""}
        try:
            async with asyncio.timeout(self._settings.restore_seconds):
                await self._restore(job, pod, tell)
        except TimeoutError:
            seconds = self._settings.restore_seconds
            tell(
                "SnapshotNotFetched", f"peers did not deliver the snapshot within {seconds:g} s", warning=True
            )
        except (Failed, Full, Unusable, Torn, LookupError, OSError) as error:
            tell("SnapshotNotFetched", f"the snapshot could not be fetched from peers: {error}", warning=True)
        self._awake.set()
        return {MEMORY_DIR: str(folder), "SPRINGTIDE_MEMORY_BYTES": str(allowance)}

    async def _restore(self, job: Job, pod: Pod, tell: Tell) -> None:
        """Bring the newest whole step's parts that the pod needs into its folder."""
        began = self._runtime.clock.monotonic()
        held = await self._holdings(job)
        found = newest_whole(held)
        if found is None:
            return
        user, group = user_of(pod)
        await asyncio.to_thread(self._shelf.tidy, job, found.step)
        sources: list[str] = []
        size = 0
        for rank in wanted_ranks(found, index_of(pod), gang_size(pod)):
            part = found.parts[rank][0]
            if part in await asyncio.to_thread(self._shelf.own_parts, job):
                continue
            sources.append(await self._bring(job, found, rank))
            size += part.bytes
            await asyncio.to_thread(self._shelf.publish, job, part, user, group)
        await asyncio.to_thread(self._shelf.commit, job, found.step, user, group)
        if sources:
            seconds = self._runtime.clock.monotonic() - began
            names = ", ".join(sorted(set(sources)))
            text = f"step {found.step}: {len(sources)} parts, {size} bytes, from memory of node {names}"
            tell("SnapshotFetched", f"{text} in {seconds:.1f} s")

    async def _holdings(self, job: Job) -> dict[str, list[Part]]:
        """Who holds what: this node, the gang's, and all others only if these do not make a whole step."""
        self._learn()
        held = {self._settings.name: await asyncio.to_thread(self._shelf.parts, job)}
        ready = self._ready_addresses()
        mates = {pod.spec.node_name for pod in self._pods_of(job)}
        near = {node: one for node, one in ready.items() if node in mates}
        far = [node for node in sorted(ready) if node not in mates][:STRANGERS_MAX]
        if self._copies is None:
            return held
        held |= await self._copies.holdings(job, near)
        if newest_whole(held) is None:
            held |= await self._copies.holdings(job, {node: ready[node] for node in far})
        return held

    async def _bring(self, job: Job, found: Restore, rank: int) -> str:
        """A part into our copies, from the first node that gives it; who that was. Raises Failed, Full."""
        part, nodes = found.parts[rank]
        if self._settings.name in nodes:
            return self._settings.name
        failure = Failed(f"nobody holds rank {rank} of step {found.step} any more")
        for node in nodes:
            address = self._addresses.get(node)
            if address is None or self._copies is None:
                continue
            try:
                await self._copies.fetch(node, address, job, part)
            except Failed as error:
                failure = error
                continue
            return node
        raise failure

    # -- beside -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        if not self._host:  # nobody leaves anything here: there is nothing to do before a job does
            await self._awake.wait()
        while True:
            try:
                await self._look()
            except Exception as error:  # loop boundary: the next round tries anew
                log.error("keeper's round failed", exc_info=error)
            await asyncio.sleep(COPY_SECONDS)

    async def _look(self) -> None:
        self._learn()
        for job in await asyncio.to_thread(self._shelf.jobs):
            await self._copy(job)
        if self._runtime.clock.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = self._runtime.clock.monotonic()
            await self._sweep()

    async def _copy(self, job: Job) -> None:
        """Leave the newest part of each rank here with a peer, unless one that answers has it."""
        # newest in time: after a start from an older step, numbers begin again lower
        parts = sorted(await asyncio.to_thread(self._shelf.own_parts, job), key=lambda one: one.time)
        newest = {part.rank: part for part in parts}
        ready = self._ready_addresses()
        due = [part for part in newest.values() if not self._is_copied(job, part, ready)]
        if not due or self._copies is None:
            return
        around = surroundings(
            self._settings.name,
            self._pods_of(job),
            self._nodes.cache.list(),
            ready,
            self._settings.failure_domains,
        )
        if around is None:
            return
        peers = peers_of(around.own, around.gang, around.others, job.uid)
        for part in due:
            await self._leave(job, part, [peer for peer in peers if not self._is_shunned(peer)])

    def _is_copied(self, job: Job, part: Part, ready: Collection[str]) -> bool:
        peer, checksum = self._copied.get((job, part.rank), ("", ""))
        return checksum == part.checksum and peer in ready

    async def _leave(self, job: Job, part: Part, peers: Sequence[str]) -> None:
        for peer in peers:
            address = self._addresses.get(peer)
            if address is None or self._copies is None:
                continue
            began = self._runtime.clock.monotonic()
            try:
                await self._copies.put(peer, address, job, part)
            except Torn:
                return  # it was being written over; the next one is there soon
            except Failed as error:
                log.warning("snapshot not copied", key=str(job), node=peer, error=str(error))
                self._shunned[peer] = self._runtime.clock.monotonic() + SHUN_SECONDS
                continue
            self._copied[job, part.rank] = (peer, part.checksum)
            seconds = round(self._runtime.clock.monotonic() - began, 3)
            log.info("snapshot copied", key=str(job), node=peer, path=str(part.folder), seconds=seconds)
            return

    async def _sweep(self) -> None:
        """Free the memory of jobs that are over."""
        for job in await asyncio.to_thread(self._shelf.jobs):
            if await self._is_over(job):
                log.info("snapshots freed", key=str(job))
                await asyncio.to_thread(self._shelf.remove, job)
                self._copied = {key: known for key, known in self._copied.items() if key[0] != job}
                self._locks.pop(job, None)

    async def _is_over(self, job: Job) -> bool:
        if any(is_live(pod) and pod.spec.node_name == self._settings.name for pod in self._pods_of(job)):
            return False
        try:
            workload = await self._runtime.client.get(Workload, job.name, job.namespace)
        except NotFound:
            return True
        except ApiError as error:
            log.info("workload not readable", key=str(job), error=error.message)
            return False
        return workload.metadata.uid != job.uid or is_true(workload.status.conditions, "Finished")

    # -- what the objects say -----------------------------------------------------------------------

    def _learn(self) -> None:
        """Who has a keeper, as the Nodes say now."""
        if self._trust is None:
            return
        found = known_addresses(self._nodes.cache.list())
        if found != self._addresses:
            self._addresses = found
            self._trust.learn(found)

    def _ready_addresses(self) -> dict[str, Address]:
        nodes = (self._nodes.cache.get(name) for name in self._addresses)
        ready = {
            node.metadata.name
            for node in nodes
            if node is not None and is_true(node.status.conditions, "Ready")
        }
        return {
            name: one
            for name, one in self._addresses.items()
            if name in ready and name != self._settings.name
        }

    def _pods_of(self, job: Job) -> list[Pod]:
        return self._pods.cache.by_index(_BY_JOB, job.uid)

    async def _entitled(self, node: str, job: Job) -> bool:
        """Whether a node runs, or is about to run, pods of the job."""
        until = self._runtime.clock.monotonic() + ENTITLED_SECONDS
        while True:
            if any(pod.spec.node_name == node and job_of(pod) == job for pod in self._pods_of(job)):
                return True
            if self._runtime.clock.monotonic() >= until:
                return False
            await asyncio.sleep(0.1)

    def _is_shunned(self, peer: str) -> bool:
        return self._shunned.get(peer, 0.0) > self._runtime.clock.monotonic()


def _job_uid(pod: Pod) -> list[str]:
    job = job_of(pod)
    return [job.uid] if job is not None else []


def _memory() -> Memory:
    found = psutil.virtual_memory()
    return Memory(found.total, found.available)


def budget_bytes(settings: ProcessNodeSettings) -> int:
    """A share of the node's memory, within what the tmpfs may hold; 0 where there is none."""
    if settings.memory_share <= 0 or not settings.memory_root.is_dir():
        return 0
    whole = settings.memory_bytes if settings.memory_bytes is not None else psutil.virtual_memory().total
    return int(min(whole * settings.memory_share, psutil.disk_usage(str(settings.memory_root)).total))
