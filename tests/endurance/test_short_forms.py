"""The long proofs in short: enough to notice when something breaks, or a checker goes blind."""

from __future__ import annotations

import pytest

from tests.endurance import histories
from tests.endurance.planted import PLANTED


def test_histories_are_linearizable_and_watches_tell_everything_in_order() -> None:
    wrong, counted = histories.check(range(1, 21))
    assert wrong == {}
    assert counted["watches told 410"] > 0
    assert counted["operations unknown"] > 0


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found(defect: str) -> None:
    runs, _ = histories.find(defect, first_seed=1)
    assert runs, "no run found it: the checker is blind to it"
