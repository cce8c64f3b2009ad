"""Pods as real processes: exit codes, signals, restarts, logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.scene import container, node_alone, shell


@pytest.mark.realtime
async def test_a_program_that_succeeds(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("hello", shell("echo hello; echo again >&2; printf last"))
        pod = await scene.finished("hello")
        assert pod.status.phase == "Succeeded"
        state = container(pod).state.terminated
        assert state is not None
        assert (state.exit_code, state.reason) == (0, "Completed")
        assert await scene.logs("hello") == "hello\nagain\nlast" or "again\nhello\nlast"
