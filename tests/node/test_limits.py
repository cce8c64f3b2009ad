"""Limits: enforced through cgroups where they can be written, said to be missing where they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from springtide.api.core import Node
from springtide.node.cgroups import Limits, members
from springtide.node.cgroups_v2 import cpu_weight
from springtide.node.limits import detect
from tests.node.scene import container, node_alone, python, shell

HUNGRY = "data = bytearray(400 << 20); data[::4096] = b'x' * len(data[::4096]); print('fits')"
LIMITS: dict[str, Any] = {"resources": {"limits": {"memory": "100Mi", "cpu": "500m"}}}


@pytest.mark.realtime
async def test_too_much_memory(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("hungry", python(HUNGRY, **LIMITS))
        pod = await scene.finished("hungry")
        state = container(pod).state.terminated
        assert state is not None
        if scene.node.capabilities.cgroups is not None:
            assert (state.exit_code, state.reason) == (137, "OOMKilled")
        else:
            assert (state.exit_code, state.reason) == (0, "Completed")


@pytest.mark.realtime
async def test_limits_that_are_not_enforced_are_said(tmp_path: Path) -> None:
    async with node_alone(tmp_path, cgroups="never") as scene:
        await scene.create("hungry", python(HUNGRY, **LIMITS))
        assert (await scene.finished("hungry")).status.phase == "Succeeded"
        note = (await scene.events("LimitsNotEnforced"))[0]
        assert note == "no: memory and cpu limits are not enforced, cgroups cannot be written"
        node = await scene.client.get(Node, "here")
        assert node.metadata.annotations["node.springtide.dev/resource-limits"] == note


@pytest.mark.realtime
async def test_no_cgroup_stays_behind(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        cgroups = scene.node.capabilities.cgroups
        await scene.create("brief", shell("cat /proc/self/cgroup", **LIMITS))
        await scene.finished("brief")
        if cgroups is not None:
            assert f"springtide-{scene.node.node_id}" in await scene.logs("brief")
            assert members(cgroups.folders) == set()
            assert [path for folder in cgroups.folders for path in folder.iterdir() if path.is_dir()] == []
    if cgroups is not None:
        assert not any(folder.exists() for folder in cgroups.folders)


def fake_v2(root: Path, *, controllers: str = "cpu memory pids") -> tuple[Path, Path]:
    """The files of a delegated version 2 hierarchy, and a /proc/self that points into it."""
    scope = root / "cgroup" / "user.slice" / "app.scope"
    scope.mkdir(parents=True)
    for folder in (root / "cgroup", scope.parent):
        (folder / "cgroup.subtree_control").write_text(controllers)
        (folder / "cgroup.procs").write_text("")
    proc = root / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text("0::/user.slice/app.scope\n")
    (proc / "mounts").write_text(f"cgroup2 {root / 'cgroup'} cgroup2 rw,nosuid 0 0\n")
    return proc, scope.parent


def test_version_2_beside_the_platforms_own_group(tmp_path: Path) -> None:
    proc, parent = fake_v2(tmp_path)
    cgroups = detect("springtide-x", proc)
    assert cgroups is not None
    assert cgroups.enforces_cpu
    group = cgroups.create("uid-main-0", Limits(memory_bytes=1 << 30, cpu_milli=1500, cpu_request_milli=500))
    folder = parent / "springtide-x" / "uid-main-0"
    assert group.procs == [str(folder / "cgroup.procs")]
    assert (folder / "memory.max").read_text() == str(1 << 30)
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "cpu.max").read_text() == "150000 100000"
    assert (folder / "cpu.weight").read_text() == str(cpu_weight(512))
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert group.oom_kills() == 2


def test_without_the_memory_controller_there_are_no_limits(tmp_path: Path) -> None:
    proc, _ = fake_v2(tmp_path, controllers="pids")
    assert detect("springtide-x", proc) is None


def test_without_cgroups_there_are_no_limits(tmp_path: Path) -> None:
    assert detect("springtide-x", tmp_path) is None


@pytest.mark.parametrize(("shares", "weight"), [(0, 1), (2, 1), (1024, 39), (262_144, 10_000)])
def test_weights_as_the_kubelet_computes_them(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight
