"""Healing while the controller is killed after every k-th write, refused, and reads what is long over."""

from __future__ import annotations

import pytest

from springtide.health import remediation_breaker, remediation_ledger
from springtide.simulation.faults import NO_FAULTS, FaultSettings
from tests.health import healingworld


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_a_crash_after_every_write_leaves_nothing_half_done(every: int) -> None:
    found = healingworld.play(every, FaultSettings(crash_every_writes=every))
    assert found.violations == []
    assert found.crashes > 3
    assert "Returned" in found.phases


@pytest.mark.parametrize("seed", [1, 3])
def test_a_mass_symptom_never_trips_more_than_the_cap(seed: int) -> None:
    found = healingworld.play(seed, FaultSettings.of_seed(seed), mass=True)
    assert found.violations == []
    assert set(found.phases) == {"Withheld"}


def test_everything_at_once() -> None:
    assert healingworld.play(12, FaultSettings.of_seed(12)).violations == []


def test_a_cap_that_is_not_kept_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(remediation_ledger, "is_full", never)
    monkeypatch.setattr("springtide.health.remediation_plan.is_full", never)
    assert remediation_breaker.is_full is not never
    rows = [healingworld.play(seed, NO_FAULTS) for seed in range(3)]
    assert any("the cap is" in one for row in rows for one in row.violations)
