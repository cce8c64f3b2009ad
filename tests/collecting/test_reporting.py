"""When a NodeHealth is written for ranks that become slow: at once, then often, and for nothing less."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from springtide.api.nodehealth import NodeHealthStatus, PodActivity, RankMarks
from springtide.collecting.reporting import BUSY_FACTOR, SLOW_REFRESH_SECONDS, Pace
from springtide.collecting.settings import CollectSettings
from tests.builders import at

USUAL = RankMarks(
    rank=1,
    step_seconds=1.0,
    best_step_seconds=1.0,
    busy_seconds=0.3,
    low_seconds=0.3,
    recent_seconds=0.3,
    best_seconds=0.3,
)


def status(moment: datetime, **changes: float) -> NodeHealthStatus:
    rank = RankMarks(**{**{name: getattr(USUAL, name) for name in USUAL.__struct_fields__[1:]}, **changes})
    alive = PodActivity(name="default/a", uid="u", busy_time=moment, progress_time=moment, ranks=[rank])
    return NodeHealthStatus(pods=[alive])


def wait_seconds(after: float, **changes: float) -> float:
    """How long the write has to wait of what is seen so long after the usual was written."""
    settings = CollectSettings(node="n1", data_dir=Path("x"), logs_dir=Path("y"))
    pace = Pace(settings)
    pace.wrote(status(at(100)), at(100), 100.0)
    moment = at(100) + timedelta(seconds=after)
    return pace.wait_seconds(status(moment, **changes), moment, 100.0 + after)


@pytest.mark.parametrize(
    ("what", "changes", "wait"),
    [
        ("what it always does waits with the rest", {}, 8.0),
        ("some long steps too", {"busy_seconds": 0.6, "recent_seconds": 0.9}, 8.0),
        ("nearly all its steps are longer", {"low_seconds": 0.6, "busy_seconds": 0.9}, 0.0),
        ("it waits for somebody slow", {"step_seconds": 3.0}, 0.0),
    ],
)
def test_a_rank_that_becomes_slow_is_news(what: str, changes: dict[str, float], wait: float) -> None:
    assert wait_seconds(2.0, **changes) == wait


def test_as_long_as_it_is_slow_it_is_told_often() -> None:
    settings = CollectSettings(node="n1", data_dir=Path("x"), logs_dir=Path("y"))
    pace = Pace(settings)
    slow = {"low_seconds": 0.8, "busy_seconds": 0.9, "step_seconds": 3.0}
    pace.wrote(status(at(100), **slow), at(100), 100.0)
    assert pace.wait_seconds(status(at(101), **slow), at(101), 101.0) == SLOW_REFRESH_SECONDS - 1
    well = {"step_seconds": 3.0}
    assert pace.wait_seconds(status(at(101), **well), at(101), 101.0) == 0.0, "that it is over is news"


def test_other_news_do_not_hold_up_a_slow_rank() -> None:
    settings = CollectSettings(node="n1", data_dir=Path("x"), logs_dir=Path("y"))
    pace = Pace(settings)
    for second in range(6):
        pace.wrote(status(at(100 + second)), at(100 + second), 100.0 + second)
    slow = status(at(106), low_seconds=0.8, busy_seconds=0.9)
    assert pace.wait_seconds(slow, at(106), 106.0) == SLOW_REFRESH_SECONDS - 1
    waits = status(at(106), step_seconds=3.0)
    assert pace.wait_seconds(waits, at(106), 106.0) == settings.quick_seconds * BUSY_FACTOR - 1
