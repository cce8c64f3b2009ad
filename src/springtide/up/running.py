"""Work that runs beside other work and is waited for: how `platform` and `parts` keep a runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """A task that lives as long as the block and is waited for at its end."""
    task = asyncio.create_task(work, name="controllers")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def first(wanted: Coroutine[Any, Any, T], running: asyncio.Task[None]) -> T:
    """The result of `wanted`, unless what it depends on dies first: then that error."""
    task = asyncio.ensure_future(wanted)
    await asyncio.wait([task, running], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        task.cancel()
        running.result()
    return await task
