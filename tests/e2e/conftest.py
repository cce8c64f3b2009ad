"""Platforms for end-to-end tests: one shared by a module, or a fresh one for tests that break it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.parts import Parts
from tests.e2e.platforms import Platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    base = tmp_path_factory.mktemp("platform")
    yield from _running(Platform(base / "data", _home(base)))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Platform]:
    """A folder of its own and no platform on it yet; whatever runs at the end is ended."""
    made = Platform(tmp_path / "data", _home(tmp_path))
    yield made
    made.down()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """The platform taken apart; nothing of it runs yet, and all that runs at the end is ended."""
    made = Parts(Platform(tmp_path / "data", _home(tmp_path)), tmp_path)
    yield made
    made.end_all()


def _home(base: Path) -> Path:
    home = base / "home"
    home.mkdir()
    return home


def _running(made: Platform) -> Iterator[Platform]:
    started = made.up()
    assert started.code == 0, started.text
    yield made
    ended = made.down()
    assert ended.code == 0, ended.text
