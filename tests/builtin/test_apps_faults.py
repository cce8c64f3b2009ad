"""Rollouts while the controllers are cut off, refused and killed: a few seeds of `tests.endurance.apps`."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.builtin import deployment_plan, own_writes, rollout_amounts
from springtide.simulation.faults import FaultSettings
from tests.endurance import apps


@pytest.mark.parametrize("seed", [0, 2])
def test_the_desired_state_is_reached_within_the_limits(seed: int) -> None:
    row = apps.play(seed, steps=8)
    assert row["violations"] == []
    assert row["crashes"] > 0


def test_a_rollout_that_ignores_its_limit_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rollout_amounts.max_surge
    monkeypatch.setattr(deployment_plan, "max_surge", lambda deployment: right(deployment) + 2)
    calm = FaultSettings()
    rows = (apps.play(seed, calm) for seed in range(8))
    assert any("Deployment has" in one for row in rows for one in row["violations"])


def test_a_create_repeated_under_another_name_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = own_writes.OwnWrites.create

    async def forgetful(self: own_writes.OwnWrites, owner: Any, pod: Any, use: str = "") -> Any:
        try:
            return await right(self, owner, pod, use)
        finally:
            self._memory(owner).pending.clear()

    monkeypatch.setattr(own_writes.OwnWrites, "create", forgetful)
    lossy = FaultSettings(lost_answer=0.4, delay_event=0.9)
    rows = (apps.play(seed, lossy, steps=4) for seed in range(12))
    assert any("pods; lately" in one or "has [" in one for row in rows for one in row["violations"])
