"""Volumes are where the pod expects them, with the rights it expects."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from springtide.api.core import ConfigMap, Secret
from springtide.api.meta import ObjectMeta
from tests.node.scene import Scene, container, node_alone, shell

pytestmark = pytest.mark.realtime


async def config_and_secret(scene: Scene) -> None:
    meta = ObjectMeta(name="settings", namespace="default")
    binary = {"raw": base64.b64encode(b"\x00\xff").decode()}
    await scene.client.create(
        ConfigMap(metadata=meta, data={"a.txt": "one", "b.txt": "two"}, binary_data=binary)
    )
    secret = {"token": base64.b64encode(b"s3cret").decode()}
    await scene.client.create(Secret(metadata=ObjectMeta(name="keys", namespace="default"), data=secret))


VOLUMES: list[dict[str, Any]] = [
    {"name": "config", "configMap": {"name": "settings"}},
    {
        "name": "items",
        "configMap": {"name": "settings", "items": [{"key": "a.txt", "path": "deep/x", "mode": 0o600}]},
    },
    {"name": "secret", "secret": {"secretName": "keys", "defaultMode": 0o400}},
    {"name": "scratch", "emptyDir": {}},
    {
        "name": "info",
        "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
    },
    {
        "name": "all",
        "projected": {
            "sources": [
                {"configMap": {"name": "settings", "items": [{"key": "b.txt", "path": "b"}]}},
                {"secret": {"name": "keys"}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ]
        },
    },
    {"name": "maybe", "configMap": {"name": "absent", "optional": True}},
]
MOUNTS = [{"name": volume["name"], "mountPath": f"/springtide-test/{volume['name']}"} for volume in VOLUMES]
V = "/springtide-test"
SCRIPT = (
    f"cat {V}/config/a.txt {V}/config/b.txt {V}/items/deep/x {V}/secret/token {V}/all/b {V}/all/token;"
    f" cat {V}/all/name; echo; stat -c %a {V}/items/deep/x {V}/secret {V}/secret/token;"
    f" cat {V}/info/labels; echo; ls {V}/maybe | wc -l;"
    f" echo made > {V}/scratch/file; cat {V}/scratch/file; od -An -tx1 {V}/config/raw"
)
PRINTED = 'onetwoones3crettwos3cretreader\n600\n700\n400\napp="x"\n0\nmade\n 00 ff\n'


async def test_all_kinds_of_volumes_below_a_path_the_machine_does_not_have(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await config_and_secret(scene)
        pod = {"volumes": VOLUMES, "metadata": {"labels": {"app": "x"}}}
        await scene.create("reader", shell(SCRIPT, volumeMounts=MOUNTS), **pod)
        await scene.finished("reader")
        assert await scene.logs("reader") == PRINTED
        assert "springtide-test" not in os.listdir("/")  # noqa: PTH208


async def test_without_private_mounts_paths_are_rewritten(tmp_path: Path) -> None:
    async with node_alone(tmp_path, namespaces="never") as scene:
        await config_and_secret(scene)
        pod = {"volumes": VOLUMES, "metadata": {"labels": {"app": "x"}}}
        await scene.create("reader", shell(SCRIPT, volumeMounts=MOUNTS), **pod)
        await scene.finished("reader")
        assert await scene.logs("reader") == PRINTED


async def test_a_missing_config_map_is_waited_for(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        volumes = [{"name": "config", "configMap": {"name": "settings"}}]
        mounts = [{"name": "config", "mountPath": "/springtide-test/config"}]
        await scene.create(
            "early", shell("cat /springtide-test/config/a.txt", volumeMounts=mounts), volumes=volumes
        )
        pod = await scene.until("early", lambda pod: container(pod).state.waiting)
        waiting = container(pod).state.waiting
        assert waiting is not None
        assert waiting.reason == "ContainerCreating"
        assert waiting.message == 'volume \'config\': configmap "settings" not found in namespace "default"'
        assert (await scene.events("FailedMount")) == [waiting.message]
        await config_and_secret(scene)
        await scene.finished("early")
        if scene.node.capabilities.namespaces:
            assert await scene.logs("early") == "one"


REJECTED = [
    ({"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, "persistentVolumeClaim"),
    ({"name": "data", "nfs": {"server": "files", "path": "/x"}}, "nfs"),
    ({"name": "data", "iscsi": {"targetPortal": "x", "iqn": "y", "lun": 0}}, "iscsi"),
]


async def test_kinds_this_node_does_not_have_fail_the_pod_at_once(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        for index, (volume, kind) in enumerate(REJECTED):
            await scene.create(f"pod-{index}", shell("true"), volumes=[volume])
            pod = await scene.finished(f"pod-{index}")
            assert (pod.status.phase, pod.status.reason) == ("Failed", "UnsupportedVolume")
            assert f"process nodes have no {kind} volumes" in pod.status.message


async def test_host_paths(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        there = tmp_path / "there"
        volumes = [{"name": "host", "hostPath": {"path": str(there), "type": "DirectoryOrCreate"}}]
        mounts = [{"name": "host", "mountPath": "/mnt", "subPath": "part"}]
        await scene.create("writer", shell("echo hi > /mnt/file", volumeMounts=mounts), volumes=volumes)
        pod = await scene.finished("writer")
        assert pod.status.phase == "Succeeded"
        assert (there / "part" / "file").read_text() == "hi\n"
        bad = [{"name": "host", "hostPath": {"path": "/no/such", "type": "Directory"}}]
        await scene.create("bad", shell("true"), volumes=bad)
        pod = await scene.until("bad", lambda pod: container(pod).state.waiting)
        assert "hostPath /no/such (type Directory) is not a directory on this machine" in str(
            container(pod).state
        )


async def test_read_only_mounts_cannot_be_written(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        volumes = [{"name": "host", "hostPath": {"path": str(tmp_path)}}]
        mounts = [{"name": "host", "mountPath": "/mnt", "readOnly": True}]
        await scene.create("writer", shell("echo hi > /mnt/file", volumeMounts=mounts), volumes=volumes)
        pod = await scene.finished("writer")
        if scene.node.capabilities.namespaces:
            assert pod.status.phase == "Failed"
            assert "Read-only file system" in await scene.logs("writer")
