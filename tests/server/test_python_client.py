"""The official Python client, which nobody here wrote, lists, watches, patches and deletes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import kubernetes
import kubernetes.dynamic
import pytest

from tests.careless import LEAVES_CONNECTIONS
from tests.server.https import Served, serving_https
from tests.server.serving import configmap, gadget, gadget_crd, pod

oracle: Any = kubernetes
"""Untyped on purpose: scripts pass plain dictionaries, which its annotations do not allow."""

pytestmark = [pytest.mark.realtime, *LEAVES_CONNECTIONS]


def official(served: Served) -> Any:
    return oracle.config.new_client_from_config(config_file=str(served.kubeconfig))


def use_core(api_client: Any) -> list[tuple[str, str]]:
    """Everything a script does with pods; returns the events a watch saw meanwhile."""
    core = oracle.client.CoreV1Api(api_client)
    events: list[tuple[str, str]] = []
    version = core.list_namespaced_pod("default").metadata.resource_version
    ready = threading.Event()

    def follow() -> None:
        stream = oracle.watch.Watch().stream(
            core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=30
        )
        ready.set()
        for event in stream:
            events.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                return

    follower = threading.Thread(target=follow)
    follower.start()
    ready.wait(5)
    made = core.create_namespaced_pod("default", pod("a"))
    assert made.status.phase == "Pending"
    patched = core.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"x": "1"}}})
    assert patched.metadata.labels == {"x": "1"}
    assert [one.metadata.name for one in core.list_namespaced_pod("default", label_selector="x=1").items] == [
        "a"
    ]
    core.patch_namespaced_pod_status("a", "default", {"status": {"phase": "Running"}})
    core.delete_namespaced_pod("a", "default")
    follower.join(20)
    with pytest.raises(oracle.client.ApiException) as caught:
        core.read_namespaced_pod("a", "default")
    assert caught.value.status == 404
    return events


def check_pages_and_apply(api_client: Any) -> None:
    core = oracle.client.CoreV1Api(api_client)
    for number in range(5):
        core.create_namespaced_config_map("default", configmap(f"c{number}"))
    first = core.list_namespaced_config_map("default", limit=3)
    rest = core.list_namespaced_config_map("default", limit=3, _continue=first.metadata._continue)
    assert [one.metadata.name for one in [*first.items, *rest.items]] == [f"c{number}" for number in range(5)]
    kinds = oracle.dynamic.DynamicClient(api_client)
    maps = kinds.resources.get(api_version="v1", kind="ConfigMap")
    applied = maps.server_side_apply(body=configmap("s", x="1"), namespace="default", field_manager="script")
    assert applied.metadata.managedFields[0].operation == "Apply"


def check_custom_objects(api_client: Any) -> None:
    oracle.client.ApiextensionsV1Api(api_client).create_custom_resource_definition(gadget_crd())
    custom = oracle.client.CustomObjectsApi(api_client)
    where = ("example.dev", "v1", "default", "gadgets")
    custom.create_namespaced_custom_object(*where, gadget("g"))
    custom.patch_namespaced_custom_object(*where, "g", {"spec": {"size": 4}})
    custom.patch_namespaced_custom_object_status(*where, "g", {"status": {"phase": "Ready"}})
    (found,) = custom.list_namespaced_custom_object(*where)["items"]
    assert (found["spec"]["size"], found["status"]) == (4, {"phase": "Ready"})
    assert custom.get_namespaced_custom_object_scale(*where, "g")["spec"] == {"replicas": 4}


async def test_pods(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        events = await asyncio.to_thread(use_core, official(served))
    assert events == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_pages_and_server_side_apply(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await asyncio.to_thread(check_pages_and_apply, official(served))


async def test_custom_objects(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await asyncio.to_thread(check_custom_objects, official(served))
