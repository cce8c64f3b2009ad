"""The node's answer to the API server's `pods/log`: which log is meant, and its text.

Called by `agent.py`. The server and the node do not import each other: `LogOptions` is the shape both agree
on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Protocol

from springtide.node.logreader import LogQuery, read
from springtide.node.logs import LogFolder
from springtide.node.pod import PodRun


class LogOptions(Protocol):
    """Which part of a container's log is wanted. `None` sets no limit."""

    @property
    def container(self) -> str: ...
    @property
    def follow(self) -> bool: ...
    @property
    def previous(self) -> bool:
        """The instance before the newest one."""
        ...

    @property
    def timestamps(self) -> bool: ...
    @property
    def tail_lines(self) -> int | None: ...
    @property
    def since_seconds(self) -> int | None: ...
    @property
    def since_time(self) -> datetime | None: ...
    @property
    def limit_bytes(self) -> int | None: ...
    @property
    def stream(self) -> str:
        """`stdout` or `stderr`; empty for both."""
        ...


async def serve(
    folder: LogFolder, pod: str, options: LogOptions, run: PodRun | None, now: datetime
) -> AsyncIterator[bytes]:
    """Chunks of log text; `run` is the pod while it is here. Raises LookupError, worded for the user.

    Who follows is taken on to the next instance when the container is restarted.
    """
    instances = folder.instances()
    back = 2 if options.previous else 1
    if len(instances) < back:
        kind = "previous terminated " if options.previous else ""
        raise LookupError(f'{kind}container "{options.container}" in pod "{pod}" not found')
    instance, query = instances[-back], query_of(options, now)
    while True:
        writer = run.writer(options.container, instance) if run is not None else None
        async for chunk in read(folder, instance, query, writer):
            query = query.after(len(chunk))
            yield chunk
        if run is None or not query.goes_on or options.previous:
            return
        if not await run.restarted(options.container, instance):
            return
        newer = [one for one in folder.instances() if one > instance]
        if not newer:
            return
        instance, query = newer[0], query.from_the_start()


def query_of(options: LogOptions, now: datetime) -> LogQuery:
    """The options with their relative time made absolute."""
    ago = options.since_seconds
    return LogQuery(
        follow=options.follow,
        tail_lines=options.tail_lines,
        since=now - timedelta(seconds=ago) if ago is not None else options.since_time,
        timestamps=options.timestamps,
        limit_bytes=options.limit_bytes,
        stream=options.stream,
    )
