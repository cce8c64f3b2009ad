"""Evidence of simulated nodes: what a script says becomes the NodeHealth that real collectors would write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.crds import bundled
from springtide.api.nodehealth import CollectorState, NodeHealth
from springtide.api.struct import encode
from springtide.client import NotFound
from springtide.runtime.clock import EPOCH
from tests.node.test_simulated import Cluster, cluster

XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


@asynccontextmanager
async def watched() -> AsyncIterator[Cluster]:
    async with cluster() as scene:
        crd = next(one for one in bundled() if one.spec.names.kind == "NodeHealth")
        fields = encode(crd)
        fields.pop("status", None)
        await scene.client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
        yield scene


async def health(scene: Cluster, node: str = "node-0") -> NodeHealth:
    return await scene.client.get(NodeHealth, node)


async def test_a_line_is_told_at_once_and_the_same_again_counts_up() -> None:
    async with watched() as scene:
        made = await scene.create("a", duration="1h")
        await asyncio.sleep(1)
        scene.nodes.evidence.see("node-0", XID, device="0000:a1:00", pod="default/a")
        await asyncio.sleep(0.1)
        first = (await health(scene)).status.observations
        assert [(one.line, one.count, one.pod_uid) for one in first] == [(XID, 1, made.metadata.uid)]
        scene.nodes.evidence.see("node-0", XID, device="0000:a1:00", pod="default/a")
        await asyncio.sleep(0.1)
        assert [one.count for one in (await health(scene)).status.observations] == [2]


async def test_activity_stays_until_said_anew_and_ends_with_the_pod() -> None:
    async with watched() as scene:
        await scene.create("a", duration="60s")
        await asyncio.sleep(1)
        scene.nodes.evidence.activity("default/a", log_time=EPOCH, step=3)
        scene.nodes.evidence.activity("default/a", step=4)
        await asyncio.sleep(0.1)
        pods = (await health(scene)).status.pods
        assert [(one.name, one.log_time, one.step) for one in pods] == [("default/a", EPOCH, 4)]
        await asyncio.sleep(100)
        assert (await health(scene)).status.pods == []


async def test_activity_of_a_pod_that_is_nowhere_is_refused() -> None:
    async with watched() as scene:
        with pytest.raises(LookupError, match="activity of pod default/none"):
            scene.nodes.evidence.activity("default/none", step=1)


async def test_a_silent_collector_is_told_and_the_object_stays_fresh_until_the_machine_is_off() -> None:
    async with watched() as scene:
        scene.nodes.evidence.collector("node-0", "nvidia", CollectorState.SILENT, "no answer within 20 s")
        await asyncio.sleep(100)
        found = (await health(scene)).status.collectors
        assert [(one.name, one.state, one.message) for one in found] == [
            ("nvidia", "Silent", "no answer within 20 s")
        ]
        assert found[0].time is not None
        assert found[0].time >= EPOCH + timedelta(seconds=75)
        scene.nodes.kill("node-0")
        await asyncio.sleep(60)
        before = (await health(scene)).metadata.resource_version
        await asyncio.sleep(60)
        assert (await health(scene)).metadata.resource_version == before


async def test_nodes_of_which_nothing_was_said_write_nothing() -> None:
    async with watched() as scene:
        scene.nodes.evidence.see("node-0", XID)
        await asyncio.sleep(60)
        with pytest.raises(NotFound):
            await health(scene, "node-1")


async def test_numbers_go_on_after_a_restart_of_the_platform() -> None:
    async with watched() as scene:
        scene.nodes.evidence.see("node-0", XID)
        await asyncio.sleep(1)
        scene.nodes.evidence.quiet("node-0")
        scene.nodes.evidence.see("node-0", XID.replace("79", "48"))
        await asyncio.sleep(1)
        assert [one.id for one in (await health(scene)).status.observations] == ["00000001", "00000002"]
