"""What is no object: discovery, OpenAPI, version, health, metrics. And the paths of what is one."""

from __future__ import annotations

import pytest

from springtide.api.version import GIT_VERSION
from springtide.server.routes import Route, parse
from tests.server.serving import CRDS, gadget_crd, serving

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/pods", Route("", "v1", "pods")),
        ("/api/v1/namespaces", Route("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Route("", "v1", "namespaces", "", "a")),
        ("/api/v1/namespaces/a/status", Route("", "v1", "namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/finalize", Route("", "v1", "namespaces", "", "a", "finalize")),
        ("/api/v1/namespaces/a/pods", Route("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/b", Route("", "v1", "pods", "a", "b")),
        ("/api/v1/namespaces/a/pods/b/log", Route("", "v1", "pods", "a", "b", "log")),
        ("/apis/g.io/v1/namespaces/status/jobs", Route("g.io", "v1", "jobs", "status")),
        ("/apis/g.io/v1/jobs/b", Route("g.io", "v1", "jobs", "", "b")),
        ("/apis/g.io/v1", None),
        ("/apis", None),
        ("/api/v1", None),
        ("/version", None),
        ("/api/v1/namespaces/a/pods/b/log/x", None),
        ("/api/v1/namespaces//pods", None),
    ],
)
def test_paths(path: str, route: Route | None) -> None:
    assert parse(path) == route


async def test_discovery_lists_built_in_and_custom_kinds_as_they_come_and_go() -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        assert (await api.get("/api")).json["versions"] == ["v1"]
        groups = [group["name"] for group in (await api.get("/apis")).json["groups"]]
        assert groups[-2:] == ["example.dev", "scheduling.k8s.io"]  # Kueue's Workloads go first
        assert (await api.get("/apis/example.dev")).json["preferredVersion"]["version"] == "v1"
        resources = (await api.get("/apis/example.dev/v1")).json["resources"]
        assert [resource["name"] for resource in resources] == ["gadgets", "gadgets/scale", "gadgets/status"]
        assert resources[0]["shortNames"] == ["gd"]
        core = {resource["name"] for resource in (await api.get("/api/v1")).json["resources"]}
        assert core >= {"pods", "pods/log", "pods/binding", "namespaces/finalize"}
        assert "bindings" not in core
        await api.delete(f"{CRDS}/gadgets.example.dev")
        assert (await api.get("/apis/example.dev")).status == 404
        assert (await api.get("/apis/example.dev/v1")).status == 404


async def test_aggregated_discovery_says_all_at_once() -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        for path, group in (("/api", {}), ("/apis", {"name": "example.dev"})):
            document = (await api.ask("GET", path, accept=f"{AGGREGATED},application/json")).json
            assert document["kind"] == "APIGroupDiscoveryList"
            found = next(item for item in document["items"] if item["metadata"] == group)
            assert found["versions"][0]["resources"]


async def test_openapi_follows_the_kinds_and_is_not_sent_twice() -> None:
    async with serving() as api:
        before = await api.get("/openapi/v3")
        await api.post(CRDS, gadget_crd())
        after = await api.get("/openapi/v3")
        assert after.json["paths"].keys() - before.json["paths"].keys() == {"apis/example.dev/v1"}
        assert before.headers["Etag"] != after.headers["Etag"]
        document = (await api.get("/openapi/v3/apis/example.dev/v1")).json
        assert any(name.endswith("Gadget") for name in document["components"]["schemas"])
        assert "/api/v1/namespaces/{namespace}/pods" in (await api.get("/openapi/v2")).json["paths"]
        assert (await api.get("/openapi/v3/apis/nobody.dev/v1")).status == 404


async def test_version_health_and_metrics() -> None:
    async with serving() as api:
        version = (await api.get("/version")).json
        assert version["major"] == "1"
        assert version["gitVersion"] == GIT_VERSION
        for path in ("/healthz", "/livez", "/readyz", "/readyz/ping"):
            assert (await api.get(path)).body == b"ok"
        assert b"python_info" in (await api.get("/metrics")).body
        assert "/version" in (await api.get("/")).json["paths"]
