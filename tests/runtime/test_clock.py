"""Time as a value."""

import asyncio
from datetime import UTC, datetime

import pytest

from springtide.runtime import LoopClock, SystemClock


async def test_the_loops_time_is_virtual_and_replayable() -> None:
    epoch = datetime(2030, 1, 1, tzinfo=UTC)
    clock = LoopClock(epoch, seed=7)
    await asyncio.sleep(3600)
    assert clock.now() == datetime(2030, 1, 1, 1, tzinfo=UTC)
    assert clock.monotonic() == 3600
    assert clock.random.random() == LoopClock(seed=7).random.random()


@pytest.mark.realtime
async def test_the_machines_time_is_aware_and_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= before
