"""`metrics.k8s.io`: rates from two readings of a node, selectors, forms, and nodes that do not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from springtide.server import LogOptions, NodeUnreachable, Request, Response
from springtide.server.request import Answer
from tests.server.serving import PODS, TABLE, Api, serving

ROOT = "/apis/metrics.k8s.io/v1beta1"
GIBIBYTE = 1024**3


class Nodes:
    """Nodes whose containers each use so many cores from second 0 on."""

    def __init__(self, api: Api, cores: dict[str, float]) -> None:
        self.asked: list[str] = []
        self.silent: set[str] = set()
        self._clock = api.server.context.clock
        self._cores = cores

    async def ask(self, node: str, request: Request) -> Answer:
        self.asked.append(node)
        if node in self.silent:
            raise NodeUnreachable(f"node {node} is off")
        now = self._clock.monotonic()
        pods = [
            {
                "podRef": {"name": name, "namespace": "default", "uid": name},
                "containers": [{"name": "main", "startTime": "t", **usage(cores * now)}],
            }
            for name, cores in self._cores.items()
        ]
        body = {"node": {"nodeName": node, **usage(sum(self._cores.values()) * now)}, "pods": pods}
        return Response(200, msgspec.json.encode(body))

    async def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        yield b""


def usage(cpu_seconds: float) -> dict[str, Any]:
    return {
        "cpu": {"usageCoreNanoSeconds": int(cpu_seconds * 1e9)},
        "memory": {"workingSetBytes": GIBIBYTE},
    }


async def with_nodes(api: Api, cores: dict[str, float]) -> Nodes:
    nodes = Nodes(api, cores)
    api.server.reach_nodes_through(nodes)
    for name in ("n1", "n2"):
        await api.post("/api/v1/nodes", {"metadata": {"name": name, "labels": {"zone": name}}})
    for name in cores:
        pod = {
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}]},
        }
        await api.post(PODS, pod)
        await api.patch(f"{PODS}/{name}/status", {"status": {"phase": "Running"}})
    return nodes


async def test_rates_are_averaged_between_two_readings() -> None:
    async with serving() as api:
        nodes = await with_nodes(api, {"a": 0.25, "b": 1.5})
        first = (await api.get(f"{ROOT}/namespaces/default/pods/b")).json
        assert first["containers"] == [
            {"name": "main", "usage": {"cpu": "1500000000n", "memory": "1048576Ki"}}
        ]
        assert (first["kind"], first["apiVersion"], first["window"]) == (
            "PodMetrics", "metrics.k8s.io/v1beta1", "0.5s"
        )  # fmt: skip
        assert nodes.asked == ["n1", "n1"]
        await api.get(f"{ROOT}/pods")
        assert nodes.asked == ["n1", "n1"]  # fresh enough to be told again
        node = (await api.get(f"{ROOT}/nodes/n1")).json
        assert node["usage"] == {"cpu": "1750000000n", "memory": "1048576Ki"}


async def test_lists_select_and_come_as_tables() -> None:
    async with serving() as api:
        await with_nodes(api, {"a": 0.25, "b": 1.5})
        assert (await api.get(f"{ROOT}/pods", labelSelector="app=a")).names == ["a"]
        assert (await api.get(f"{ROOT}/namespaces/default/pods", fieldSelector="metadata.name=b")).names == [
            "b"
        ]
        assert (await api.get(f"{ROOT}/nodes", labelSelector="zone=n2")).names == ["n2"]
        listed = (await api.get(f"{ROOT}/nodes")).json
        assert (listed["kind"], len(listed["items"])) == ("NodeMetricsList", 2)
        table = (await api.ask("GET", f"{ROOT}/nodes", accept=TABLE)).json
        assert [column["name"] for column in table["columnDefinitions"]] == [
            "Name",
            "CPU",
            "Memory",
            "Window",
        ]
        assert [row["cells"][0] for row in table["rows"]] == ["n1", "n2"]


async def test_of_whom_nothing_is_known_is_left_out() -> None:
    async with serving() as api:
        nodes = await with_nodes(api, {"a": 0.25})
        nodes.silent.add("n2")
        assert (await api.get(f"{ROOT}/nodes")).names == ["n1"]
        assert (await api.get(f"{ROOT}/nodes/n2")).refusal == (404, "NotFound")
        assert (await api.get(f"{ROOT}/namespaces/default/pods/zz")).refusal == (404, "NotFound")
        waiting = {"metadata": {"name": "w"}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
        await api.post(PODS, waiting)
        assert (await api.get(f"{ROOT}/pods")).names == ["a"]


@pytest.mark.parametrize("path", ["nodes", "nodes/n1", "namespaces/default/pods"])
async def test_metrics_are_read_only(path: str) -> None:
    async with serving() as api:
        await with_nodes(api, {})
        answer = await api.delete(f"{ROOT}/{path}")
        assert answer.refusal == (405, "MethodNotAllowed")


async def test_without_nodes_there_are_no_metrics() -> None:
    async with serving() as api:
        assert (await api.get(f"{ROOT}/nodes")).refusal == (503, "ServiceUnavailable")


async def test_discovery_says_that_they_are_read_only() -> None:
    async with serving() as api:
        found = (await api.get(ROOT)).json["resources"]
    assert [(one["name"], one["kind"], one["verbs"]) for one in found] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]
