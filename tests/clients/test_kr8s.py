"""kr8s: objects that follow the cluster, scaling, exec and port-forward."""

from __future__ import annotations

import kr8s
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod

from tests.careless import LEAVES_CONNECTIONS
from tests.e2e.platforms import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realtime,
    pytest.mark.xdist_group("clients"),
    *LEAVES_CONNECTIONS,
    pytest.mark.filterwarnings("ignore:Kubernetes version"),  # newer than kr8s has been tested with
]


async def connect(platform: Platform) -> kr8s.asyncio.Api:
    return await kr8s.asyncio.api(kubeconfig=str(platform.kubeconfig))


async def test_an_object_is_made_patched_labelled_and_deleted(platform: Platform, namespace: str) -> None:
    api = await connect(platform)
    made = await ConfigMap({"metadata": {"name": "c", "namespace": namespace}, "data": {"k": "1"}}, api=api)
    await made.create()
    await made.patch({"data": {"k": "2"}})
    await made.label(a="b")
    listed = api.get(ConfigMap, namespace=namespace, label_selector={"a": "b"})
    assert [dict(item["data"]) async for item in listed] == [{"k": "2"}]
    await made.delete()
    assert not await made.exists()


async def test_a_deployment_scales_and_its_pod_is_entered(platform: Platform, namespace: str) -> None:
    api = await connect(platform)
    container = {"name": "main", "image": "none", "command": ["sh", "-c", "exec sleep 60"]}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployment = await Deployment(
        {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}, api=api
    )
    await deployment.create()
    await deployment.wait(["condition=Available"], timeout=30)
    await deployment.scale(2)
    await deployment.wait(["jsonpath='{.status.readyReplicas}'=2"], timeout=30)
    pods = [pod async for pod in api.get(Pod, namespace=namespace, label_selector={"app": "web"})]
    assert len(pods) == 2
    pod = await Pod.get(pods[0]["metadata"]["name"], namespace=namespace, api=api)
    await pod.wait("condition=Ready", timeout=30)
    said = await pod.exec(["echo", "inside"])
    assert said.stdout.decode().strip() == "inside"
    await deployment.delete()
