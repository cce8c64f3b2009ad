"""One platform for all of this folder: the clients are what differs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.platforms import Platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    base = tmp_path_factory.mktemp("clients")
    (base / "home").mkdir()
    made = Platform(base / "data", base / "home")
    started = made.up()
    assert started.code == 0, started.text
    yield made
    ended = made.down()
    assert ended.code == 0, ended.text


@pytest.fixture
def namespace(platform: Platform, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, ready for pods."""
    name = request.node.name.lower().replace("_", "-").partition("[")[0][-50:].strip("-")
    made = platform.kubectl("create", "namespace", name)
    assert made.code == 0, made.text
    platform.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    yield name
    platform.kubectl("delete", "namespace", name, "--wait=false")
