"""Discovery in both formats, and finding what a person means."""

import json
from typing import Any

import pytest

from springtide.client import Client, NotFound, Request, Response, find, find_kind
from tests.client.fake_api import FakeApi

AGGREGATED: dict[str, Any] = {
    "/api": [
        {
            "metadata": {"name": ""},
            "versions": [
                {
                    "version": "v1",
                    "resources": [
                        {
                            "resource": "pods",
                            "responseKind": {"group": "", "version": "", "kind": "Pod"},
                            "scope": "Namespaced",
                            "singularResource": "pod",
                            "shortNames": ["po"],
                            "categories": ["all"],
                            "verbs": ["get"],
                            "subresources": [{"subresource": "status"}, {"subresource": "log"}],
                        },
                        {"resource": "nodes", "responseKind": {"kind": "Node"}, "scope": "Cluster"},
                    ],
                }
            ],
        }
    ],
    "/apis": [
        {
            "metadata": {"name": "metrics.k8s.io"},
            "versions": [
                {
                    "version": "v1beta1",
                    "resources": [
                        {"resource": "pods", "responseKind": {"kind": "PodMetrics"}, "scope": "Namespaced"}
                    ],
                }
            ],
        }
    ],
}

PLAIN: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": "metrics.k8s.io",
                "versions": [{"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}],
                "preferredVersion": {"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"},
            }
        ],
    },
    "/api/v1": {
        "kind": "APIResourceList",
        "resources": [
            {
                "name": "pods",
                "kind": "Pod",
                "namespaced": True,
                "shortNames": ["po"],
                "categories": ["all"],
                "verbs": ["get"],
            },
            {"name": "pods/status", "kind": "Pod", "namespaced": True},
            {"name": "nodes", "kind": "Node", "namespaced": False},
        ],
    },
    "/apis/metrics.k8s.io/v1beta1": {
        "resources": [{"name": "pods", "kind": "PodMetrics", "namespaced": True}],
    },
}


class Discovering(FakeApi):
    """Serves discovery only, aggregated or plain."""

    def __init__(self, *, aggregated: bool) -> None:
        super().__init__()
        self._aggregated = aggregated

    async def send(self, request: Request) -> Response:
        if not self._aggregated:
            return Response(200, {}, json.dumps(PLAIN[request.path]).encode())
        assert "as=APIGroupDiscoveryList" in request.headers["accept"]
        body = {"kind": "APIGroupDiscoveryList", "items": AGGREGATED[request.path]}
        return Response(200, {}, json.dumps(body).encode())


async def test_both_formats_say_the_same() -> None:
    aggregated = await Client(Discovering(aggregated=True)).discover()
    plain = await Client(Discovering(aggregated=False)).discover()
    assert aggregated == plain
    pods, nodes, metrics = aggregated
    assert (pods.kind, pods.short_names, pods.status, pods.namespaced) == ("Pod", ("po",), True, True)
    assert pods.verbs == ("get",)
    assert (nodes.kind, nodes.namespaced, nodes.path("", "n1")) == ("Node", False, "/api/v1/nodes/n1")
    assert metrics.api_version == "metrics.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pods", "Pod"), ("pod", "Pod"), ("po", "Pod"), ("Pod", "Pod"), ("PODS", "Pod"), ("pods.v1", "Pod"),
        ("pods.", "Pod"), ("pods.metrics.k8s.io", "PodMetrics"), ("podmetrics", "PodMetrics"),
        ("pods.v1beta1.metrics.k8s.io", "PodMetrics"), ("no", "Node"), ("node", "Node"),
    ],
)  # fmt: skip
async def test_what_a_person_types(name: str, kind: str) -> None:
    resources = await Client(Discovering(aggregated=True)).discover()
    if name == "no":
        with pytest.raises(NotFound):
            find(resources, name)
        return
    assert find(resources, name).kind == kind


async def test_an_unknown_kind_gets_a_hint() -> None:
    resources = await Client(Discovering(aggregated=True)).discover()
    with pytest.raises(NotFound, match="the server has no kind 'podz'; did you mean pod"):
        find(resources, "podz")
    with pytest.raises(NotFound, match="kubectl api-resources"):
        find(resources, "xyzzy")
    assert find_kind(resources, "v1", "Node").plural == "nodes"
    with pytest.raises(NotFound, match="in apiVersion 'v2'; it serves Node in v1"):
        find_kind(resources, "v2", "Node")
    with pytest.raises(NotFound, match="is its CRD installed"):
        find_kind(resources, "v1", "Nonsense")
