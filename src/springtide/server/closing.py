"""A stream that tells when it is closed, whether or not anybody ever began to read it.

A generator that was never begun runs no `finally` when it is closed: what stands behind it would stay open.
Used by `watch`, for the watcher in the store, and by `flow`, which counts open streams.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from types import TracebackType


class Closing(AsyncGenerator[bytes, None]):
    """`chunks`, and `on_close` called once: at their end, at a fault, or when they are closed."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], on_close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._on_close: Callable[[], None] | None = on_close

    async def asend(self, value: None) -> bytes:
        try:
            return await self._chunks.asend(value)
        except BaseException:
            self._closed()
            raise

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> bytes:
        error = typ if isinstance(typ, BaseException) else typ()
        try:
            return await self._chunks.athrow(error)
        except BaseException:
            self._closed()
            raise

    async def aclose(self) -> None:
        try:
            await self._chunks.aclose()
        finally:
            self._closed()

    def _closed(self) -> None:
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()
