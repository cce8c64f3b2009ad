"""A node behind its own HTTPS door: the API server asks it with a certificate, and nobody else is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from springtide import client
from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.client.http import HttpTransport
from springtide.node import ProcessNode, ProcessNodeSettings
from springtide.runtime import Runtime, SystemClock
from springtide.up.node_api import open_node_api, reach_nodes
from tests.node.scene import NODE, Scene, shell
from tests.server.https import Served, serving_https

pytestmark = pytest.mark.realtime


@asynccontextmanager
async def apart(folder: Path) -> AsyncIterator[tuple[Served, Scene, str]]:
    """A server, a node that speaks with it over HTTPS only, and the address of the node's own API."""
    async with serving_https(folder / "api") as served:
        clock = SystemClock()
        runtime = Runtime(client.connect(served.connection), clock)
        settings = ProcessNodeSettings(
            name=NODE, data_dir=folder / "node", working_dir=folder, stop_seconds=0.5
        )
        node = ProcessNode(runtime, settings)
        door = open_node_api(node.kubelet, folder / "pki", clock, clients=served.credentials.ca_data)
        async with door as endpoint, reach_nodes(served.server, served.credentials, clock):
            node.listens(endpoint)
            running = asyncio.create_task(runtime.run())
            try:
                await node.ready()
                url = f"https://{endpoint.host}:{endpoint.port}"
                yield served, Scene(runtime.client, runtime, node, settings), url
            finally:
                await node.stop()
                running.cancel()
                await asyncio.wait([running])
                await runtime.client.close()


async def test_logs_exec_and_figures_come_from_a_node_in_another_process(tmp_path: Path) -> None:
    async with apart(tmp_path) as (served, scene, _):
        await scene.create("p", shell("echo hello; sleep 100"), automountServiceAccountToken=False)
        await scene.running("p")
        assert await served.kubectl("logs", "p") == "hello\n"
        text = await served.kubectl(
            "exec", "-i", "p", "--", "sh", "-c", "cat; exit 3", stdin="typed\n", code=3
        )
        assert text == "typed\ncommand terminated with exit code 3\n"
        assert "main" in await served.kubectl("top", "pod", "--containers")
        assert NODE in await served.kubectl("top", "node")
        await scene.create("done", shell("true"), automountServiceAccountToken=False)
        await scene.finished("done")
        refused = await served.kubectl("logs", "done", "--previous", code=1)
        assert 'previous terminated container "main" in pod "done" not found' in refused


async def test_a_node_hears_only_the_server(tmp_path: Path) -> None:
    async with apart(tmp_path) as (served, scene, url):
        node = await scene.client.get(Node, NODE)
        authority = node.metadata.annotations["node.springtide.dev/serving-authority"].encode()
        now = SystemClock().now()
        stranger = client.Connection(server=url, ca_data=authority)
        certificate, key = served.credentials.issue_client("jane", ["developers"], now)
        jane = replace(stranger, certificate_data=certificate, key_data=key)
        admin_token = replace(stranger, token=served.credentials.admin_token)
        for connection in (stranger, jane, admin_token):
            transport = HttpTransport(connection)
            for path in ("/pods", "/stats/summary", "/containerLogs/default/p/main", "/exec/default/p/main"):
                assert (await transport.send(client.Request("GET", path))).status == 401
            with pytest.raises(client.Unauthorized):
                await transport.websocket(
                    "/exec/default/p/main", "command=id&output=1", ["v5.channel.k8s.io"]
                )
            await transport.close()


async def test_a_node_that_is_off_is_said(tmp_path: Path) -> None:
    async with apart(tmp_path) as (served, scene, _):
        await scene.create("p", shell("sleep 100"), automountServiceAccountToken=False)
        await scene.running("p")
        gone = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
        await scene.client.patch(Node, NODE, "", gone, subresource="status")
        text = await served.kubectl("exec", "p", "--", "true", code=1)
        assert "error dialing backend: node here: https://127.0.0.1:1" in text
        assert (await scene.client.get(Pod, "p", "default")).status.phase == "Running"
