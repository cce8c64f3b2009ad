"""kubectl, which nobody here wrote, drives the server as a person would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from springtide.server import LogOptions
from tests.server.https import serving_https
from tests.server.serving import gadget, gadget_crd, pod

pytestmark = pytest.mark.realtime

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {rate: "1"}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: n1
  containers: [{name: main, image: "busybox:1.36", command: [sh, -c, "echo hello"]}]
"""


class Hello:
    """The log of every pod."""

    async def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        yield b"hello from " + pod.encode() + b"\n"


async def test_apply_get_describe_change_and_delete(tmp_path: Path) -> None:
    async with serving_https(tmp_path, Hello()) as served:
        kubectl = served.kubectl
        assert "pod/web created" in await kubectl("apply", "-f", "-", stdin=MANIFEST)
        assert "pod/web unchanged" in await kubectl("apply", "-f", "-", stdin=MANIFEST)
        changed = MANIFEST.replace('"1"', '"2"')
        assert "configmap/settings configured" in await kubectl("apply", "-f", "-", stdin=changed)
        assert "pod/web serverside-applied" in await kubectl(
            "apply", "--server-side", "-f", "-", stdin=changed
        )
        assert (await kubectl("get", "cm", "settings", "-o", "jsonpath={.data.rate}")) == "2"
        table = (await kubectl("get", "pods", "-o", "wide")).splitlines()
        assert table[0].split()[:6] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
        assert table[1].split()[:3] == ["web", "0/1", "Pending"]
        assert "hello from web" in await kubectl("logs", "web")
        assert "hello from web" in await kubectl("logs", "-f", "web")
        described = await kubectl("describe", "pod", "web")
        assert "busybox:1.36" in described
        assert "labeled" in await kubectl("label", "pod", "web", "tier=front")
        assert "web" in await kubectl("get", "pods", "-l", "tier=front,app=web", "-o", "name")
        await kubectl("patch", "cm", "settings", "-p", '{"data":{"more":"3"}}')
        await kubectl("wait", "--for=jsonpath={.data.more}=3", "cm/settings", "--timeout=5s")
        assert "deleted" in await kubectl("delete", "pod", "web", "--force", "--grace-period=0")
        assert "not found" in await kubectl("get", "pod", "web", code=1)


async def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        wrong = MANIFEST.replace("containers", "contaners")
        assert 'unknown field "spec.contaners"' in await served.kubectl(
            "apply", "-f", "-", stdin=wrong, code=1
        )
        await served.kubectl("apply", "-f", "-", stdin=MANIFEST)
        twice = await served.kubectl("create", "-f", "-", stdin=MANIFEST, code=1)
        assert 'pods "web" already exists' in twice
        unknown = await served.kubectl("get", "widgets", code=1)
        assert "doesn't have a resource type" in unknown


async def test_typed_commands_that_speak_protobuf(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        kubectl = served.kubectl
        await kubectl("create", "namespace", "team")
        await kubectl("create", "configmap", "c", "-n", "team", "--from-literal=a=1")
        await kubectl("create", "secret", "generic", "s", "--from-literal=p=secret")
        await kubectl("create", "serviceaccount", "bot")
        await kubectl(
            "create", "priorityclass", "high", "--value=1000", "--description=first", "--global-default"
        )
        await kubectl("create", "service", "clusterip", "web", "--tcp=80:8080")
        assert await kubectl("get", "secret", "s", "-o", "jsonpath={.data.p}") == "c2VjcmV0"
        assert await kubectl("get", "cm", "c", "-n", "team", "-o", "jsonpath={.data.a}") == "1"
        found = json.loads(await kubectl("get", "pc", "high", "-o", "json"))
        assert (found["value"], found["globalDefault"], found["description"]) == (1000, True, "first")
        service = json.loads(await kubectl("get", "svc", "web", "-o", "json"))
        assert service["spec"]["ports"] == [
            {"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}
        ]
        assert service["metadata"]["labels"] == {"app": "web"}


async def test_a_crd_is_explained_applied_watched_and_waited_for(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        kubectl = served.kubectl
        await kubectl("create", "-f", "-", stdin=json.dumps(gadget_crd()))
        await kubectl("wait", "--for=condition=Established", "crd/gadgets.example.dev", "--timeout=5s")
        assert "gadgets" in await kubectl("api-resources", "--api-group=example.dev")
        assert "color" in await kubectl("explain", "gadget.spec")
        manifest = json.dumps(gadget("g"))
        await kubectl("apply", "-f", "-", stdin=manifest)
        await kubectl("apply", "-f", "-", stdin=json.dumps(gadget("g", size=3)))
        assert (await kubectl("get", "gd")).split() == ["NAME", "SIZE", "g", "3"]
        waiting = asyncio.create_task(kubectl("wait", "--for=condition=Ready", "gadget/g", "--timeout=20s"))
        status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
        await kubectl("patch", "gadget", "g", "--subresource=status", "--type=merge", "-p", status)
        assert "condition met" in await waiting
        assert "scaled" in await kubectl("scale", "gadget/g", "--replicas=7")
        assert await kubectl("get", "gadget", "g", "-o", "jsonpath={.spec.size}") == "7"
        refused = await kubectl("apply", "-f", "-", stdin=json.dumps(gadget("h", size="big")), code=1)
        assert "spec.size" in refused
        assert "deleted" in await kubectl("delete", "crd", "gadgets.example.dev", "--timeout=5s")


async def test_drain_evicts(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
        await served.kubectl("create", "-f", "-", stdin=json.dumps(node))
        await served.kubectl("create", "-f", "-", stdin=json.dumps(pod("a", nodeName="n1")))
        assert "cordoned" in await served.kubectl("cordon", "n1")
        draining = asyncio.create_task(served.kubectl("drain", "n1", "--force", "--timeout=20s"))
        gone = "--for=jsonpath={.metadata.deletionGracePeriodSeconds}=30"
        assert "condition met" in await served.kubectl("wait", gone, "pod/a", "--timeout=20s")
        await served.kubectl("delete", "pod", "a", "--grace-period=0", "--force")
        assert "drained" in await draining
