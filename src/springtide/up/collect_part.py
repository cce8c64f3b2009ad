"""The collectors of a node as a process of their own, beside a kubelet: `springtide collect`."""

from __future__ import annotations

from springtide import collecting
from springtide.collecting import CollectSettings
from springtide.up.part_runtime import Begun, PartSettings, part_runtime


async def run_collect(settings: PartSettings, begun: Begun, *, collect: CollectSettings) -> None:
    """The collectors of one node alone, beside a kubelet, until cancelled.

    Raises ApiError if the server refuses at the start.
    """
    async with part_runtime(settings, "") as (runtime, _):
        collecting.register(runtime, collect)
        begun(f"collecting on node {collect.node} for {settings.connection.server}")
        await runtime.run()
