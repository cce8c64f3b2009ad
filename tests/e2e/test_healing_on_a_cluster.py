"""`springtide controllers` heals nodes of a server it did not start, with the rights of its own role.

A fatal Xid of an idle node: condition, taint, cordon, eviction of its pods within their budget, quarantine,
return. On the embedded server always; on a real kube-apiserver where `KUBEBUILDER_ASSETS` has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from springtide.api import labels
from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Node, Pod, ServiceAccount
from springtide.api.crds import bundled
from springtide.api.meta import ObjectMeta, find_condition
from springtide.api.nodehealth import NodeHealth
from springtide.api.remediation import RemediationPolicy, ReturnToService
from springtide.api.springtide import Diagnosis
from springtide.api.struct import decode, encode
from springtide.client import AlreadyExists, Client, NotFound, connect, load_kubeconfig
from tests.e2e.clusters import BOTH, cluster
from tests.e2e.platforms import SPRINGTIDE
from tests.health.incidentscene import OFF_BUS, policy
from tests.programs import started

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

NODE = "gpu-node-1"


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    with cluster(
        request.param, tmp_path, "controllers", "springtide:controllers", "controllers.yaml"
    ) as made:
        yield made


async def furnish(client: Client) -> None:
    """CRDs, a policy that returns nodes soon, a node and a pod on it."""
    for crd in bundled():
        fields = encode(crd)
        fields.pop("status", None)
        await client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
    with suppress(AlreadyExists):
        await client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
    await client.create(Node(metadata=ObjectMeta(name=NODE)))
    body: dict[str, Any] = {
        "metadata": {"name": "job-0", "namespace": "default"},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "train"}]},
    }
    await client.create(decode(Pod, body))
    await until(client, served)
    await client.create(policy(returning=ReturnToService(quarantine_seconds=2)))


async def served(client: Client) -> bool:
    """Whether the server has taken our kinds up."""
    await client.list(NodeHealth)
    await client.list(RemediationPolicy)
    return True


async def see_xid(client: Client) -> None:
    """What a collector would write."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    seen = {
        "id": "1",
        "collector": "kernel",
        "source": "kernel",
        "line": OFF_BUS,
        "time": now,
        "lastTime": now,
    }
    await client.create(NodeHealth(metadata=ObjectMeta(name=NODE)))
    await client.apply(NodeHealth, NODE, "", {"status": {"observations": [seen]}}, subresource="status")


async def until(client: Client, holds: Callable[[Client], Any]) -> Any:
    """The answer as soon as it is not false."""
    async with asyncio.timeout(60):
        while True:
            with suppress(NotFound):
                found = await holds(client)
                if found:
                    return found
            await asyncio.sleep(0.1)


async def out(client: Client) -> Node | None:
    node = await client.get(Node, NODE)
    told = find_condition(node.status.conditions, "GPUHealthy")
    return node if node.spec.unschedulable and told is not None and told.status == "False" else None


async def leaving(client: Client) -> bool:
    """The pod was evicted: nobody runs it here, so it lingers or is gone."""
    try:
        return (await client.get(Pod, "job-0", "default")).metadata.deletion_timestamp is not None
    except NotFound:
        return True


async def back(client: Client) -> Node | None:
    node = await client.get(Node, NODE)
    told = find_condition(node.status.conditions, "GPUHealthy")
    well = told is not None and told.status == "True"
    return node if well and not node.spec.unschedulable else None


async def test_a_node_is_healed_on_a_server_we_did_not_start(
    server: tuple[Path, Path], tmp_path: Path
) -> None:
    admin, own = server
    client = connect(load_kubeconfig(admin))
    log = tmp_path / "controllers.log"
    command = [*SPRINGTIDE, "controllers", "--kubeconfig", str(own), "--no-leader-elect"]
    try:
        await furnish(client)
        with started(command, log):
            await see_xid(client)
            node = await until(client, out)
            assert {(one.key, one.effect) for one in node.spec.taints} >= {
                (labels.TAINT_UNHEALTHY, "NoSchedule")
            }
            await until(client, leaving)
            with suppress(NotFound):
                await client.delete(Pod, "job-0", "default", grace_period_seconds=0)
            node = await until(client, back)
            assert labels.CORDONED_FOR not in node.metadata.annotations
            (incident,) = (await client.list(Diagnosis, "kube-system")).items
            done = [one.type for one in incident.status.conditions]
            assert done == ["Cordoned", "Drained", "Repaired", "Checked", "Returned"]
    finally:
        await client.close()
