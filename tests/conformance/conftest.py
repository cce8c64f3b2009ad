"""One target for all cases of a run, started when the first case needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.case import Case
from tests.conformance.differences import DIFFERENCES
from tests.conformance.play import Player
from tests.conformance.targets import asked_for, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A known difference has to fail on ours; all cases stay in one worker, so that one server starts."""
    for item in items:
        parameters = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        case = parameters.get("case")
        if not isinstance(case, Case):
            continue
        item.add_marker(pytest.mark.realtime)
        item.add_marker(pytest.mark.xdist_group("conformance"))
        if asked_for() == "embedded" and str(case) in DIFFERENCES:
            item.add_marker(pytest.mark.xfail(reason=DIFFERENCES[str(case)], strict=True))


@pytest.fixture(scope="session")
def player() -> Iterator[Player]:
    with running() as target:
        made = Player(target)
        yield made
        made.close()
