"""Every `async def test_…` runs on a virtual-time loop; `@pytest.mark.realtime` asks for a real one."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from springtide.simulation import loop

settings.register_profile("springtide", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("springtide")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    main = pyfuncitem.obj(**arguments)
    if pyfuncitem.get_closest_marker("realtime"):
        asyncio.run(main)
    else:
        loop.run(main)
    return True


@pytest.fixture
def collected_while_allowed() -> Iterator[None]:
    """What a careless client left open is collected while its own test ignores it (`tests.careless`)."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def logging_as_at_first() -> None:
    """A platform that an earlier test of this process started may have set up logging for itself."""
    logging.getLogger("springtide").setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
