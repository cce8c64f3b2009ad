"""The official Python client, which nobody here wrote, lists, watches and patches the same objects."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from kubernetes import config as untyped_config
from kubernetes import watch as untyped_watch

from tests.careless import LEAVES_CONNECTIONS
from tests.e2e.platforms import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realtime,
    pytest.mark.xdist_group("python-client"),
    *LEAVES_CONNECTIONS,
]

config: Any = untyped_config
watch: Any = untyped_watch

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"


def job(name: str, command: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "runtimeRef": {"name": "plain"},
            "trainer": {"numNodes": 2, "command": ["sh", "-c", command]},
        },
    }


@pytest.fixture
def api(platform: Platform) -> client.ApiClient:
    made: client.ApiClient = config.new_client_from_config(config_file=str(platform.kubeconfig))
    return made


def test_nodes_and_pods_are_listed_as_typed_objects(api: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(api)
    nodes = core.list_node().items
    assert len(nodes) == 1
    assert any(
        condition.type == "Ready" and condition.status == "True" for condition in nodes[0].status.conditions
    )
    assert core.list_pod_for_all_namespaces(limit=1).metadata.resource_version


def test_a_job_is_created_watched_patched_and_deleted(api: client.ApiClient) -> None:
    objects: Any = client.CustomObjectsApi(api)
    place = {"group": GROUP, "version": VERSION, "namespace": "default", "plural": "trainjobs"}
    made = objects.create_namespaced_custom_object(body=job("official", "sleep 0.3"), **place)
    seen: list[str] = []
    stream = watch.Watch().stream(
        objects.list_namespaced_custom_object,
        resource_version=made["metadata"]["resourceVersion"],
        timeout_seconds=40,
        **place,
    )
    for event in stream:
        seen.append(event["type"])
        conditions = event["object"].get("status", {}).get("conditions", [])
        if any(c["type"] == "Complete" and c["status"] == "True" for c in conditions):
            break
    else:
        pytest.fail(f"the watch ended without Complete: {seen}")
    patched = objects.patch_namespaced_custom_object(
        name="official", body={"metadata": {"labels": {"team": "blue"}}}, **place
    )
    assert patched["metadata"]["labels"]["team"] == "blue"
    listed = objects.list_namespaced_custom_object(label_selector="team=blue", **place)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["official"]
    objects.delete_namespaced_custom_object(name="official", **place)
    with pytest.raises(client.ApiException) as gone:
        objects.get_namespaced_custom_object(name="official", **place)
    assert gone.value.status == 404


def test_a_configmap_goes_through_all_verbs(api: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"), data={"a": "1"})
    made = core.create_namespaced_config_map("default", body)
    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("typed", "default", made)
    assert replaced.data == {"a": "1", "b": "2"}
    with pytest.raises(client.ApiException) as stale:
        core.replace_namespaced_config_map("typed", "default", made)
    assert stale.value.status == 409
    patched = core.patch_namespaced_config_map("typed", "default", {"data": {"a": None}})
    assert patched.data == {"b": "2"}
    core.delete_namespaced_config_map("typed", "default")
