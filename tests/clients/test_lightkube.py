"""lightkube: typed resources, server-side apply, waiting, generic resources of a CRD."""

from __future__ import annotations

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import PatchType

from tests.careless import LEAVES_CONNECTIONS
from tests.e2e.platforms import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realtime,
    pytest.mark.xdist_group("clients"),
    *LEAVES_CONNECTIONS,
]


def connect(platform: Platform, namespace: str) -> Client:
    return Client(
        config=KubeConfig.from_file(platform.kubeconfig), namespace=namespace, field_manager="tester"
    )


def test_apply_owns_what_it_applied(platform: Platform, namespace: str) -> None:
    client = connect(platform, namespace)
    wanted = ConfigMap(metadata=ObjectMeta(name="c"), data={"mine": "1"})
    assert client.apply(wanted).data == {"mine": "1"}
    client.patch(
        ConfigMap, "c", {"data": {"other": "2"}}, patch_type=PatchType.MERGE, field_manager="someone"
    )
    assert client.apply(wanted).data == {"mine": "1", "other": "2"}
    with pytest.raises(ApiError) as conflict:
        client.apply(ConfigMap(metadata=ObjectMeta(name="c"), data={"other": "3"}))
    assert conflict.value.status.code == 409
    forced = client.apply(ConfigMap(metadata=ObjectMeta(name="c"), data={"other": "3"}), force=True)
    assert forced.data == {"other": "3"}


def test_a_pod_is_waited_for_and_its_log_read(platform: Platform, namespace: str) -> None:
    client = connect(platform, namespace)
    container = Container(name="main", image="none", command=["sh", "-c", "for i in 1 2 3; do echo $i; done"])
    client.create(
        Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(restartPolicy="Never", containers=[container]))
    )
    for _, pod in client.watch(Pod, fields={"metadata.name": "p"}):
        if pod.status and pod.status.phase == "Succeeded":
            break
    assert [line.strip() for line in client.log("p")] == ["1", "2", "3"]
    client.delete(Pod, "p")


def test_a_kind_that_only_the_server_knows(platform: Platform, namespace: str) -> None:
    client = connect(platform, namespace)
    jobs = create_namespaced_resource("trainer.kubeflow.org", "v1alpha1", "TrainJob", "trainjobs")
    client.create(
        jobs(metadata=ObjectMeta(name="j"), spec={"runtimeRef": {"name": "plain"}, "suspend": True})
    )
    found = client.get(jobs, "j")
    assert found.spec["suspend"] is True
    assert [item.metadata and item.metadata.name for item in client.list(jobs)] == ["j"]
