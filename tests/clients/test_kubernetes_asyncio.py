"""kubernetes_asyncio: typed calls, a watch, patches, logs and exec over WebSockets."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.stream import WsApiClient

from tests.careless import LEAVES_CONNECTIONS
from tests.e2e.platforms import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realtime,
    pytest.mark.xdist_group("clients"),
    *LEAVES_CONNECTIONS,
]


def sleeper(name: str, script: str = "echo ready; sleep 60") -> client.V1Pod:
    container = client.V1Container(name="main", image="none", command=["sh", "-c", script])
    spec = client.V1PodSpec(
        restart_policy="Never", termination_grace_period_seconds=0, containers=[container]
    )
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels={"app": name}), spec=spec)


async def test_objects_are_made_listed_changed_and_deleted(platform: Platform, namespace: str) -> None:
    await config.load_kube_config(str(platform.kubeconfig))
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c", labels={"a": "b"}), data={"k": "1"})
        made = await core.create_namespaced_config_map(namespace, body)
        assert made.metadata.uid
        patched = await core.patch_namespaced_config_map("c", namespace, {"data": {"k": "2"}})
        assert patched.data == {"k": "2"}
        listed = await core.list_namespaced_config_map(namespace, label_selector="a in (b, c)")
        assert [item.metadata.name for item in listed.items] == ["c"]
        made.data = {"k": "3"}
        with pytest.raises(client.ApiException) as stale:
            await core.replace_namespaced_config_map("c", namespace, made)
        assert stale.value.status == 409
        await core.delete_namespaced_config_map("c", namespace)
        with pytest.raises(client.ApiException) as gone:
            await core.read_namespaced_config_map("c", namespace)
        assert gone.value.status == 404


async def test_a_pod_is_watched_read_and_entered(platform: Platform, namespace: str) -> None:
    await config.load_kube_config(str(platform.kubeconfig))
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        await core.create_namespaced_pod(namespace, sleeper("p"))
        phases = []
        async with watch.Watch() as watching:
            async for event in watching.stream(core.list_namespaced_pod, namespace, timeout_seconds=30):
                phases.append(event["object"].status.phase)
                if phases[-1] == "Running":
                    break
        assert phases[-1] == "Running"
        assert (await core.read_namespaced_pod_log("p", namespace)).strip() == "ready"
    words: Any = ["sh", "-c", "echo inside $HOSTNAME"]  # several words are a list, typed as one
    async with WsApiClient() as sockets:
        said = await client.CoreV1Api(sockets).connect_get_namespaced_pod_exec(
            "p", namespace, command=words, stdout=True, stderr=True
        )
    assert said.strip() == "inside p"
