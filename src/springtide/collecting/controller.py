"""Keeps the sources going, each in its own thread, and writes what they see into the node's NodeHealth.

A look that takes too long makes its source Silent, and only that one; it is heard again when the look
returns. What was kept before a restart is taken over from the object itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from springtide.api.commands import Apply
from springtide.api.core import Pod
from springtide.api.nodehealth import CollectorState, NodeHealth
from springtide.api.observing import is_quiet, observe, quiet_since
from springtide.api.struct import encode
from springtide.collecting.pods import watched
from springtide.collecting.reporting import Pace, Report
from springtide.collecting.rounds import Process, Round, Scene, Source, Unavailable, WatchedPod
from springtide.collecting.settings import CollectSettings
from springtide.collecting.worker import Runner, Worker
from springtide.runtime import Runtime, logger

ROOM = "collecting"
FIRST_LOOK_SECONDS = 1.0
"""The node itself is to be ready first."""
UNAVAILABLE_RETRY_SECONDS = 60.0
"""A driver may be loaded, a device may be mounted later."""

log = logger("collecting.controller")


class Collection:
    """The sources of one node and its NodeHealth."""

    def __init__(
        self,
        runtime: Runtime,
        settings: CollectSettings,
        sources: Sequence[Source],
        runner: Callable[[str], Runner] = Worker,
    ) -> None:
        """Adds its work to the runtime and does nothing before that runs."""
        self._runtime = runtime
        self._settings = settings
        self._report = Report()
        self._pace = Pace(settings)
        self._processes: dict[str, tuple[Process, ...]] = {}
        self._taken_over = False
        one = settings.watches_node_only
        self._pods = runtime.informer(
            Pod, field_selector=f"spec.nodeName={settings.node}" if one else "", indexes={ROOM: _by_node}
        )
        self._known = runtime.informer(NodeHealth, field_selector=f"metadata.name={settings.node}")
        self._controller = runtime.controller(ROOM, self._write, [(self._pods, self._concerns)])
        for source in sources:
            runtime.background(f"{ROOM}.{source.name}", self._keeper(source, runner))

    # -- looking --------------------------------------------------------------------------------------

    def _keeper(self, source: Source, runner: Callable[[str], Runner]) -> Callable[[], Any]:
        async def keep() -> None:
            worker = runner(f"collect-{source.name}")
            try:
                await asyncio.sleep(FIRST_LOOK_SECONDS)
                while True:
                    wait_seconds = await self._look(source, worker)
                    await asyncio.sleep(wait_seconds)
            finally:
                worker.close()

        return keep

    async def _look(self, source: Source, worker: Runner) -> float:
        """One round of a source; seconds until the next."""
        scene = self.scene()
        look = asyncio.ensure_future(worker.run(lambda: source.look(scene)))
        try:
            found = await self._patiently(source, look)
        except Unavailable as reason:
            self._says(source, CollectorState.UNAVAILABLE, str(reason))
            return UNAVAILABLE_RETRY_SECONDS
        except Exception as error:  # loop boundary: one source must not stop the others
            log.error("collector failed", collector=source.name, exc_info=error)
            self._says(source, CollectorState.SILENT, f"failed: {type(error).__name__}: {error}")
            return UNAVAILABLE_RETRY_SECONDS / 2
        finally:
            look.cancel()
        self._take(source, found)
        return source.period_seconds

    async def _patiently(self, source: Source, look: asyncio.Future[Round]) -> Round:
        """Wait for a look, however long, and say when it takes too long."""
        since = self._runtime.clock.now()
        done, _ = await asyncio.wait([look], timeout=source.deadline_seconds)
        if not done:
            log.warning("collector is stuck", collector=source.name, seconds=source.deadline_seconds)
            self._says(
                source,
                CollectorState.SILENT,
                f"no answer within {source.deadline_seconds:g} s since {since:%H:%M:%S} UTC;"
                f" it hangs {source.doing or 'in what it reads'}",
            )
        return await look

    def _take(self, source: Source, found: Round) -> None:
        if found.processes is not None:
            self._processes = dict(found.processes)
        known = self._report.collectors.get(source.name)
        self._report.take(source.name, found, self._watched(), self._runtime.clock.now())
        now = self._report.collectors[source.name]
        same = known is not None and (known.state, known.message) == (now.state, now.message)
        if found.seen or found.activity or not same:  # nothing else needs a look at what is to be written
            self._controller.queue.add(self._settings.node)

    def _says(self, source: Source, state: CollectorState, message: str) -> None:
        known = self._report.collectors.get(source.name)
        if known is None or known.state != state.value:
            log.info("collector", collector=source.name, state=state.value, reason=message)
        self._report.says(source.name, state, message, self._runtime.clock.now())
        self._controller.queue.add(self._settings.node)

    def scene(self) -> Scene:
        """What sources may know now."""
        now = self._runtime.clock.now()
        quiet = {
            uid: quiet_since(pod) or now
            for uid, pod in self._report.pods.items()
            if pod.stopped or is_quiet(pod, now)
        }
        return Scene(now, self._runtime.clock.monotonic(), self._watched(), self._processes, quiet)

    def _watched(self) -> tuple[WatchedPod, ...]:
        return watched(self._pods.cache.by_index(ROOM, self._settings.node), self._settings.node)

    def _concerns(self, pod: Pod) -> Iterable[str]:
        return [self._settings.node] if pod.spec.node_name == self._settings.node else []

    # -- writing --------------------------------------------------------------------------------------

    async def _write(self, key: str) -> float | None:
        """Write the object if that is due; seconds until it is."""
        if not self._taken_over:
            self._take_over()
        clock = self._runtime.clock
        self._report.keep(self._watched())
        status = self._report.status(clock.now())
        wait = self._pace.wait_seconds(status, clock.now(), clock.monotonic())
        if wait > 0:
            return wait
        commands = [Apply(NodeHealth, "", key, {"status": encode(status)}, "status")]
        if key not in self._known.cache:
            commands.insert(0, Apply(NodeHealth, "", key, {"metadata": {"name": key}}))
        await self._runtime.apply(ROOM, commands)
        self._pace.wrote(status, clock.now(), clock.monotonic())
        return self._settings.heartbeat_seconds

    def _take_over(self) -> None:
        """What an earlier life of this process had seen stays, and its numbers go on."""
        known = self._known.cache.get(self._settings.node)
        if known is not None:
            self._report.observations = observe(known.status.observations, self._report.observations)
        self._taken_over = True


def _by_node(pod: Pod) -> list[str]:
    return [pod.spec.node_name] if pod.spec.node_name else []
