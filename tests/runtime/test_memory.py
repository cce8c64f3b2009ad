"""Memory that is free does not stay with the process."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from springtide.runtime import memory


def _resident_kib() -> int:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0])


@pytest.mark.skipif(memory._function() is None, reason="this C library gives memory back by itself, or never")
def test_what_lies_free_between_blocks_in_use_goes_back() -> None:
    blocks = [bytes(20_000) for _ in range(10_000)]
    kept = blocks[::50]
    full = _resident_kib()
    blocks.clear()
    memory.trim()
    assert _resident_kib() < full - 100_000
    assert len(kept) == 200


async def test_it_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    now = asyncio.get_running_loop().time
    monkeypatch.setattr(memory, "trim", lambda: times.append(now()))
    giving = asyncio.create_task(memory.give_back())
    began = now()
    await asyncio.sleep(3.5 * memory.EVERY_SECONDS)
    giving.cancel()
    assert [round(at - began) for at in times] == [5, 10, 15]
