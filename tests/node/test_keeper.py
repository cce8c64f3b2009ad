"""The keeper of a node beside others: copies leave, jobs that come elsewhere find them, what is over goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from springtide.api import labels
from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Pod
from springtide.api.crds import bundled
from springtide.api.kueue import Workload
from springtide.api.nodes import Node
from springtide.api.struct import decode, encode
from springtide.client import Client
from springtide.node import ProcessNodeSettings, keeper
from springtide.node.keeper import Keeper
from springtide.node.keeper_layout import Part
from springtide.runtime import Runtime, SystemClock
from springtide.server import InProcessTransport, Server
from tests.builders import workload
from tests.embedded import server_in_memory
from tests.node.snapshots import write_part

pytestmark = pytest.mark.realtime


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "COPY_SECONDS", 0.05)
    monkeypatch.setattr(keeper, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(keeper, "ENTITLED_SECONDS", 0.3)


@dataclass
class Host:
    """One node's keeper, with the Node object that it publishes itself on."""

    name: str
    keeper: Keeper
    root: Path
    told: list[tuple[str, str]] = field(default_factory=list)

    async def prepare(self, pod: Pod) -> Mapping[str, str]:
        def tell(reason: str, note: str, *, warning: bool = False) -> None:
            self.told.append((reason, note))

        return await self.keeper.prepare(pod, tell)

    def steps(self, folder: str) -> set[tuple[int, int]]:
        """(step, rank) of the parts in folders of this name: own or copies."""
        return {
            (int(path.parent.parent.name[5:]), int(path.parent.name[5:]))
            for path in self.root.glob(f"*/*/*/{folder}/step-*/rank-*/manifest.json")
        }


class Cluster:
    """A server and keepers on it; pods and the workload are the test's to write."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.client = Client(InProcessTransport(server))
        self.folder = folder
        self.uid = ""

    async def begin(self) -> None:
        for crd in bundled():
            fields = encode(crd)
            fields.pop("status", None)
            await self.client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
        self.uid = (await self.client.create(workload("digits"))).metadata.uid

    @asynccontextmanager
    async def host(self, name: str, *, alone: bool = False, **changes: Any) -> AsyncIterator[Host]:
        folder = self.folder / name
        for one in ("data", "memory"):
            (folder / one).mkdir(parents=True, exist_ok=True)
        fields: dict[str, Any] = {
            "memory_root": folder / "memory",
            "memory_bytes": 1 << 28,
            "memory_share": 1.0,
        }
        settings = ProcessNodeSettings(name, folder / "data", folder, **(fields | changes))
        runtime = Runtime(self.client, SystemClock())
        made = Keeper(runtime, settings, f"id-{name}")
        if not alone:
            made.listens("127.0.0.1")
        notes = await made.begin()
        await self.client.apply(Node, name, "", {"metadata": {"annotations": notes}})
        await self.ready(name, "True")
        running = asyncio.create_task(runtime.run())
        try:
            yield Host(name, made, folder / "memory" / f"springtide-id-{name}")
        finally:
            running.cancel()
            await asyncio.wait([running])
            await made.stop()

    async def ready(self, node: str, status: str) -> None:
        body = {"status": {"conditions": [{"type": "Ready", "status": status, "reason": "Test"}]}}
        await self.client.patch(Node, node, "", body, subresource="status")

    async def pod(self, node: str, index: int, attempt: int = 0, **owner: str) -> Pod:
        reference = {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "Workload",
            "name": "digits",
            "uid": self.uid,
        }
        body = {
            "metadata": {
                "name": f"digits-{index}-{attempt}",
                "namespace": "default",
                "labels": {labels.JOB_COMPLETION_INDEX: str(index), labels.ATTEMPT: str(attempt)},
                "ownerReferences": [{**reference, "controller": True, **owner}],
            },
            "spec": {
                "nodeName": node,
                "containers": [
                    {"name": "main", "image": "none", "env": [{"name": "SPRINGTIDE_NUM_NODES", "value": "2"}]}
                ],
            },
        }
        return await self.client.create(decode(Pod, body))

    async def remove(self, *pods: Pod) -> None:
        for pod in pods:
            await self.client.delete(Pod, pod.metadata.name, "default", grace_period_seconds=0)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with server_in_memory(SystemClock()) as server:
        made = Cluster(server, folder)
        await made.begin()
        yield made


def both_have(a: Host, b: Host, step: int) -> bool:
    return (step, 1) in a.steps("copies") and (step, 0) in b.steps("copies")


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - keepers make it so
            await asyncio.sleep(0.02)


def save(given: Mapping[str, str], step: int, rank: int, data: bytes | None = None, **changes: Any) -> Part:
    """What the SDK does in a pod."""
    return write_part(Path(given["SPRINGTIDE_MEMORY_DIR"]), step, rank, data, **changes)


async def test_a_gang_that_lost_a_node_finds_its_newest_whole_step_on_other_nodes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("b") as b, scene.host("c") as c:
        async with scene.host("a") as a:
            first = await scene.pod("a", 0), await scene.pod("b", 1)
            given = [await a.prepare(first[0]), await b.prepare(first[1])]
            for step in (5, 10):
                for rank in (0, 1):
                    save(given[rank], step, rank)
                await eventually(partial(both_have, a, b, step))
            save(given[1], 15, 1)  # rank 0 never came so far
        assert not a.root.exists()
        await scene.ready("a", "Unknown")
        await scene.remove(*first)
        second = await scene.pod("c", 0, 1), await scene.pod("b", 1, 1)
        moved, stayed = await c.prepare(second[0]), await b.prepare(second[1])
        assert c.steps("own") == {(10, 0)}
        assert {(10, 1), (15, 1)} <= b.steps("own")
        assert (Path(moved["SPRINGTIDE_MEMORY_DIR"]) / "step-10" / "COMMIT").exists()
        assert stayed["SPRINGTIDE_MEMORY_DIR"] == given[1]["SPRINGTIDE_MEMORY_DIR"]
        reason, note = c.told[0]
        assert reason == "SnapshotFetched"
        assert "step 10: 1 parts" in note
        assert "from memory of node b" in note


async def test_a_copy_that_is_here_already_goes_to_the_pod_without_being_sent(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("b") as b:
        async with scene.host("a") as a:
            first = await scene.pod("a", 0), await scene.pod("b", 1)
            given = [await a.prepare(first[0]), await b.prepare(first[1])]
            parts = [save(given[rank], 5, rank) for rank in (0, 1)]
            await eventually(lambda: b.steps("copies") == {(5, 0)})
        await scene.ready("a", "Unknown")
        await scene.remove(*first)
        both = await scene.pod("b", 0, 1), await scene.pod("b", 1, 1)
        folders = {(await b.prepare(pod))["SPRINGTIDE_MEMORY_DIR"] for pod in both}
        assert len(folders) == 1
        assert b.steps("own") == {(part.step, part.rank) for part in parts}
        assert b.steps("copies") == set()


async def test_when_the_peer_goes_another_is_chosen(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path) as scene,
        scene.host("a") as a,
        scene.host("b") as b,
        scene.host("c") as c,
    ):
        pods = await scene.pod("a", 0), await scene.pod("b", 1)
        given = await a.prepare(pods[0])
        save(given, 5, 0)
        await eventually(lambda: b.steps("copies") == {(5, 0)})
        assert c.steps("copies") == set()
        await scene.ready("b", "Unknown")
        await eventually(lambda: c.steps("copies") == {(5, 0)})


async def test_a_peer_without_room_is_passed_over(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path) as scene,
        scene.host("a") as a,
        scene.host("b", memory_bytes=100_000) as b,
        scene.host("c") as c,
    ):
        pods = await scene.pod("a", 0), await scene.pod("b", 1)
        save(await a.prepare(pods[0]), 5, 0, os.urandom(200_000))
        await eventually(lambda: c.steps("copies") == {(5, 0)})
        assert b.steps("copies") == set()


async def test_a_keeper_that_starts_anew_serves_what_it_kept(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("b") as b, scene.host("c") as c:
        async with scene.host("a") as a:
            pod = await scene.pod("b", 0)
            save(await b.prepare(pod), 5, 0, b"x" * 1000)
            await eventually(lambda: (5, 0) in a.steps("copies") | c.steps("copies"))
            keeps = a if a.steps("copies") else c
        assert keeps.name in ("a", "c")
        # the same folders, a new process: nothing else tells it
        kept = Keeper(Runtime(scene.client, SystemClock()), _settings(tmp_path, "b"), "id-b")
        await kept.begin()
        assert b.steps("own") == {(5, 0)}


def _settings(folder: Path, name: str) -> ProcessNodeSettings:
    return ProcessNodeSettings(
        name, folder / name / "data", folder, memory_root=folder / name / "memory", memory_share=1.0
    )


async def finish(scene: Cluster) -> None:
    ended = {"type": "Finished", "status": "True", "reason": "Succeeded", "message": "done"}
    body = {"status": {"conditions": [{**ended, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    await scene.client.patch(Workload, "digits", "default", body, subresource="status")


async def delete(scene: Cluster) -> None:
    await scene.client.delete(Workload, "digits", "default")


@pytest.mark.parametrize("end", [finish, delete])
async def test_the_memory_of_a_job_that_is_over_is_freed_and_no_other(tmp_path: Path, end: Any) -> None:
    async with cluster(tmp_path) as scene, scene.host("a") as a, scene.host("b") as b:
        other = (await scene.client.create(workload("other"))).metadata.uid
        pods = await scene.pod("a", 0), await scene.pod("b", 1)
        lasting = await scene.pod("a", 7, name="other", uid=other)
        save(await a.prepare(pods[0]), 5, 0)
        kept = await a.prepare(lasting)
        save(kept, 6, 0)
        await eventually(lambda: (5, 0) in b.steps("copies"))
        await end(scene)
        await asyncio.sleep(0.3)
        assert (5, 0) in a.steps("own"), "its pods are still there"
        await scene.remove(*pods)
        await eventually(lambda: a.steps("own") == {(6, 0)} and (5, 0) not in b.steps("copies"))
        assert await a.prepare(lasting) == kept


async def test_a_pod_that_no_workload_owns_gets_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("a") as a:
        assert await a.prepare(await scene.pod("a", 0, kind="ReplicaSet")) == {}
        assert a.told == []
        assert not a.root.exists()


async def test_where_nothing_is_to_be_kept_nothing_is(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("a", memory_share=0.0) as a:
        assert await a.prepare(await scene.pod("a", 0)) == {}
        assert not a.root.exists()


async def test_without_room_the_pod_starts_without_memory_and_an_event_says_so(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("a", memory_bytes=100_000) as a:
        other = (await scene.client.create(workload("other"))).metadata.uid
        big = await a.prepare(await scene.pod("a", 7, name="other", uid=other))
        assert int(big["SPRINGTIDE_MEMORY_BYTES"]) == 50_000
        save(big, 5, 0, os.urandom(120_000))
        assert await a.prepare(await scene.pod("a", 0)) == {"SPRINGTIDE_MEMORY_DIR": ""}
        reason, note = a.told[-1]
        assert reason == "SnapshotsToStorage"
        assert "of 100000 bytes kept for snapshots are used by other jobs" in note


async def test_a_peer_that_does_not_deliver_in_time_holds_nobody_up(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("a", restore_seconds=0.3) as a:
        talking: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: talking.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        async with scene.host("b"):
            found = await scene.client.get(Node, "b")
        text = found.metadata.annotations[labels.KEEPER]
        moved = text.replace(text.partition('"port":')[2].partition(",")[0], str(port))
        await scene.client.apply(Node, "b", "", {"metadata": {"annotations": {labels.KEEPER: moved}}})
        await asyncio.sleep(0.2)
        given = await a.prepare(await scene.pod("a", 0))
        assert "SPRINGTIDE_MEMORY_DIR" in given
        assert a.told == [("SnapshotNotFetched", "peers did not deliver the snapshot within 0.3 s")]
        silent.close()
        for writer in talking:
            writer.transport.abort()


async def test_alone_a_node_keeps_its_own_for_the_next_attempt(tmp_path: Path) -> None:
    async with cluster(tmp_path) as scene, scene.host("a", alone=True) as a:
        first = await scene.pod("a", 0)
        given = await a.prepare(first)
        for step in (5, 10, 15):
            save(given, step, 0, world=1)
        await scene.remove(first)
        assert await a.prepare(await scene.pod("a", 0, 1)) == given
        assert a.steps("own") == {(10, 0), (15, 0)}
