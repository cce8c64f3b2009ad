"""A node behind its own HTTPS door: the API server asks it with a certificate, and nobody else is heard."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from springtide import client
from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.client.http import HttpTransport
from springtide.node import ProcessNode, ProcessNodeSettings
from springtide.runtime import Runtime, SystemClock
from springtide.up.node_api import open_node_api, reach_nodes
from tests.node.scene import NODE, Scene, python, shell
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


ECHO = """
import http.server
class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode() + b" " + body)
http.server.HTTPServer(("", 7081), Echo).serve_forever()
"""


async def test_what_is_proxied_says_nothing_to_the_node_itself(tmp_path: Path) -> None:
    """A body in chunks that is passed on unframed would be a second request, made by the API server."""
    async with apart(tmp_path) as (served, scene, _):
        await scene.create("echo", python(ECHO), automountServiceAccountToken=False)
        await scene.running("echo")
        smuggled = b"0\r\n\r\nGET /pods HTTP/1.1\r\nhost: x\r\n\r\n"

        async def in_chunks() -> AsyncIterator[bytes]:
            yield smuggled

        credentials = served.connection
        trust = ssl.create_default_context(cadata=credentials.ca_data.decode())
        url = f"{credentials.server}/api/v1/namespaces/default/pods/echo:7081/proxy/x?a=1&a=2"
        headers = {
            "authorization": f"Bearer {served.credentials.admin_token}",
            "connection": "x-mine",
            "x-mine": "1",
        }
        async with aiohttp.ClientSession(headers=headers) as session:
            for _ in range(50):
                async with session.post(url, data=in_chunks(), ssl=trust) as answer:
                    status, text = answer.status, await answer.read()
                if status != 503:  # until the program in the pod listens
                    break
                await asyncio.sleep(0.1)
        assert (status, text) == (200, b"/x?a=1&a=2 " + smuggled)


async def test_a_node_that_is_off_is_said(tmp_path: Path) -> None:
    async with apart(tmp_path) as (served, scene, _):
        await scene.create("p", shell("sleep 100"), automountServiceAccountToken=False)
        await scene.running("p")
        gone = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
        await scene.client.patch(Node, NODE, "", gone, subresource="status")
        text = await served.kubectl("exec", "p", "--", "true", code=1)
        assert "error dialing backend: node here: https://127.0.0.1:1" in text
        assert (await scene.client.get(Pod, "p", "default")).status.phase == "Running"
