"""One pod on this node: its folder, its processes and what was observed of them.

`agent.py` makes one `PodRun` per pod, asks `lifecycle.decide` what to do and calls `prepare`, `start`, `stop`
and `close` here; whatever happens to a process ends up in `facts`, and the agent is woken.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from springtide.api.commands import Emit
from springtide.api.containers import Container
from springtide.api.core import Pod
from springtide.node import container as containers
from springtide.node import names, probes, volumes
from springtide.node.capabilities import Capabilities
from springtide.node.environment import Sources, Unresolvable
from springtide.node.launcher import Launcher
from springtide.node.lifecycle import NEVER_STARTED, Ended, Facts, Situation, with_end, with_start
from springtide.node.limits import Group
from springtide.node.logs import LogFolder, LogWriter
from springtide.node.process import Launch, Outcome, Running, StartError
from springtide.node.processes import CONTAINER, POD_UID, Mark
from springtide.node.records import Records, Started
from springtide.node.settings import ProcessNodeSettings
from springtide.node.termination import ended_reason, termination_message
from springtide.runtime import Clock

DRAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """What all pods of a node share."""

    settings: ProcessNodeSettings
    clock: Clock
    capabilities: Capabilities
    launcher: Launcher
    records: Records
    node_id: str

    @property
    def logs(self) -> Path:
        return self.settings.data_dir / "logs"

    def folder(self, uid: str) -> Path:
        return self.settings.data_dir / "pods" / uid


@dataclass
class _Live:
    """A running instance of a container."""

    container: Container
    instance: int
    process: Running
    launch: Launch
    log: LogWriter
    group: Group | None
    since: datetime
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    stop: asyncio.Task[None] | None = None
    stop_deadline: datetime | None = None


class PodRun:
    """The life of one pod here."""

    def __init__(
        self, pod: Pod, place: Place, address: str, *, wake: Callable[[], None], emit: Callable[[Emit], None]
    ):
        self.uid = pod.metadata.uid
        self.address = address
        self.situation = Situation(prepared=False)
        self.facts: dict[str, Facts] = {}
        self.pod = pod
        """The newest state of the object the agent has seen."""
        self._place = place
        self._wake = wake
        self._emit = emit
        self._live: dict[str, _Live] = {}
        self._volumes: dict[str, Path] = {}
        self._closing = False
        self._starting = asyncio.Lock()
        self.folder = place.folder(self.uid)

    # -- preparing ----------------------------------------------------------------------------------

    def prepare(self, sources: Sources, hosts: str) -> None:
        """Folders, hosts file and volumes. Sets `situation`: prepared, an obstacle or rejected."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "root").mkdir(exist_ok=True)
            self.set_hosts(hosts)
            self.refresh_volumes(sources)
        except volumes.Unsupported as error:
            self.situation = Situation(prepared=False, rejected=("UnsupportedVolume", str(error)))
        except (volumes.Unavailable, OSError) as error:
            if self.situation.obstacle != str(error):
                self.situation = Situation(prepared=False, obstacle=str(error))
                self.event("FailedMount", str(error), warning=True)
        else:
            self.situation = Situation(prepared=True)

    def refresh_volumes(self, sources: Sources) -> None:
        """Make the volumes, or bring those of ConfigMaps and Secrets up to date."""
        self._volumes = volumes.prepare_volumes(self.pod, self.folder / "volumes", sources)

    def set_hosts(self, text: str) -> None:
        """The pod's hosts file; running containers see the change."""
        names.write_in_place(self.folder / "hosts", text)

    # -- starting -----------------------------------------------------------------------------------

    async def start(self, name: str, sources: Sources, peers: Iterable[names.Peer]) -> None:
        """Start the next instance of a container and watch over it."""
        async with self._starting:
            if not self._closing:
                await self._start(name, sources, peers)

    async def _start(self, name: str, sources: Sources, peers: Iterable[names.Peer]) -> None:
        container = self._container(name)
        known = self.facts.get(name, NEVER_STARTED)
        instance = known.instance + 1
        group: Group | None = None
        log = self._open_log(name, instance)
        started_at = self._place.clock.now()
        try:
            kit = containers.Kit(
                self.pod, container, self._place.settings, self._place.capabilities, self.folder
            )
            group = kit.make_group(instance)
            launch = kit.launch(sources, self._volumes, list(peers), self._place.node_id, group)
            process = await self._place.launcher.start(launch, log.stdout.write, log.stderr.write)
        except (Unresolvable, volumes.Unsupported) as error:
            self._discard(log, group)
            log.remove()
            if known.blocked != str(error):
                self.facts[name] = replace(known, blocked=str(error))
                self.event("Failed", f"Error: {error}", warning=True)
            return
        except (StartError, OSError) as error:
            self._discard(log, group)
            self._record_failed_start(name, started_at, str(error))
            return
        self._began(_Live(container, instance, process, launch, log, group, started_at))

    def _open_log(self, name: str, instance: int) -> LogWriter:
        settings = self._place.settings
        return LogWriter(
            self.log_folder(name),
            instance,
            self._place.clock,
            file_bytes=settings.log_file_bytes,
            files=settings.log_files,
        )

    def _discard(self, log: LogWriter, group: Group | None) -> None:
        log.close()
        if group is not None:
            group.remove()

    def _record_failed_start(self, name: str, now: datetime, why: str) -> None:
        started = with_start(self.facts.get(name, NEVER_STARTED), now, started=False, ready=False)
        ended = Ended(128, now, now, reason="StartError", message=why, instance=started.instance)
        self.facts[name] = with_end(started, ended)
        self.event("Failed", f"Error: {why}", warning=True)

    def _began(self, live: _Live) -> None:
        name, container = live.container.name, live.container
        self._live[name] = live
        self.facts[name] = with_start(
            self.facts.get(name, NEVER_STARTED),
            live.since,
            started=container.startup_probe is None,
            ready=container.readiness_probe is None and container.startup_probe is None,
        )
        self._write_record()
        live.tasks.append(asyncio.create_task(self._await_end(live), name=f"container-{name}"))
        if container.startup_probe or container.readiness_probe or container.liveness_probe:
            live.tasks.append(asyncio.create_task(probes.watch(self._target(live)), name=f"probes-{name}"))
        self.event("Started", f"Container {name} started as process {live.process.pid}")

    async def _await_end(self, live: _Live) -> None:
        """After the first process: end what it left behind, read the last output, say how it ended."""
        code = await live.process.wait()
        name = live.container.name
        await _cancel(live.tasks[1:])
        await self._place.launcher.end(self._mark(name), live.group, live.process.pid)
        await live.process.drain(DRAIN_SECONDS)
        live.log.close()
        ooms = live.group.oom_kills() if live.group is not None else 0
        if live.group is not None:
            live.group.remove()
        ended = Ended(
            exit_code=code if code >= 0 else 128 - code,
            signal=max(0, -code),
            reason=ended_reason(code, ooms),
            message=termination_message(
                live.container, self.folder, self.log_folder(name), live.instance, code
            ),
            started_at=live.since,
            finished_at=self._place.clock.now(),
            instance=live.instance,
        )
        self.facts[name] = with_end(self.facts[name], ended)
        self._live.pop(name, None)
        self._write_record()
        live.ended.set()
        self._wake()

    # -- stopping -----------------------------------------------------------------------------------

    def stop(self, name: str, deadline: datetime) -> None:
        """Begin to end the running instance; an earlier deadline than before takes its place."""
        live = self._live.get(name)
        if live is None or (live.stop_deadline is not None and live.stop_deadline <= deadline):
            return
        again = live.stop is not None
        if live.stop is not None:
            live.stop.cancel()
        live.stop_deadline = deadline
        live.stop = asyncio.create_task(self._stop(live, deadline, hook=not again), name=f"stop-{name}")
        if not again:
            self.event("Killing", f"Stopping container {name}")

    async def _stop(self, live: _Live, deadline: datetime, *, hook: bool) -> None:
        if hook:
            await self._pre_stop(live, deadline)
        live.process.signal(_stop_signal(live.container))
        try:
            await asyncio.wait_for(live.ended.wait(), max(0.0, self._left_seconds(deadline)))
        except TimeoutError:
            live.process.signal(signal.SIGKILL)
            await live.ended.wait()

    async def _pre_stop(self, live: _Live, deadline: datetime) -> None:
        lifecycle = live.container.lifecycle
        hook = lifecycle.pre_stop if lifecycle is not None else None
        left = self._left_seconds(deadline)
        if hook is None or left <= 0:
            return
        if hook.sleep is not None:
            await _first(live.ended.wait(), asyncio.sleep(min(left, hook.sleep.seconds)))
        elif hook.exec is not None:
            try:
                outcome = await self._execute(live, hook.exec.command, left)
            except StartError as error:
                self.event("FailedPreStopHook", str(error), warning=True)
                return
            if outcome.code != 0:
                why = "did not end in time" if outcome.timed_out else f"exited with {outcome.code}"
                self.event(
                    "FailedPreStopHook",
                    f"preStop command {why}: {outcome.output.strip()[:200]}",
                    warning=True,
                )
        else:
            self.event("FailedPreStopHook", "process nodes run preStop exec and sleep only", warning=True)

    def _left_seconds(self, deadline: datetime) -> float:
        return (deadline - self._place.clock.now()).total_seconds()

    async def close(self, within_seconds: float = 0.0) -> None:
        """Start nothing more, end all containers within this time, and wait for it."""
        self._closing = True
        deadline = self._place.clock.now() + timedelta(seconds=within_seconds)
        async with self._starting:  # one that is being started now ends too
            lives = list(self._live.values())
            for live in lives:
                self.stop(live.container.name, deadline)
        for live in lives:
            await live.ended.wait()

    # -- probes and commands ------------------------------------------------------------------------

    def _target(self, live: _Live) -> probes.Target:
        name = live.container.name

        def update(**changes: object) -> None:
            known = self.facts[name]
            if known.running and known.instance == live.instance:
                changed = replace(known, **changes)  # type: ignore[arg-type]
                if changed != known:
                    self.facts[name] = changed
                    self._wake()

        def on_started() -> None:
            update(started=True, ready=live.container.readiness_probe is None)

        def on_ready(ready: bool, why: str) -> None:
            if not ready:
                self.event("Unhealthy", why, warning=True)
            update(ready=ready)

        def on_unhealthy(why: str) -> None:
            self.event("Unhealthy", why, warning=True)
            update(unhealthy=why)

        async def execute(command: list[str], timeout: float) -> Outcome:
            return await self._execute(live, command, timeout)

        return probes.Target(live.container, self.address, execute, on_started, on_ready, on_unhealthy)

    async def _execute(self, live: _Live, command: list[str], timeout: float) -> Outcome:
        """Run a command beside the container's program: same environment, mounts and limits."""
        join = live.process.pid if live.launch.namespaces else 0
        return await self._place.launcher.run(replace(live.launch, argv=command, join=join), timeout)

    # -- small things -------------------------------------------------------------------------------

    def event(self, reason: str, note: str, *, warning: bool = False) -> None:
        """Record an event about the pod."""
        self._emit(Emit(self.pod, reason, note, type="Warning" if warning else "Normal"))

    def log_folder(self, container: str) -> LogFolder:
        metadata = self.pod.metadata
        return LogFolder(self._place.logs, metadata.namespace, metadata.name, metadata.uid, container)

    def writer(self, container: str, instance: int) -> LogWriter | None:
        """The live log of this instance, if it runs."""
        live = self._live.get(container)
        return live.log if live is not None and live.instance == instance else None

    def _container(self, name: str) -> Container:
        spec = self.pod.spec
        return next(one for one in (*spec.init_containers, *spec.containers) if one.name == name)

    def _mark(self, container: str) -> Mark:
        return Mark({POD_UID: self.uid, CONTAINER: container})

    def _write_record(self) -> None:
        launcher = self._place.launcher
        started = [
            Started(name, live.instance, live.process.pid, launcher.start_time(live.process.pid))
            for name, live in self._live.items()
        ]
        self._place.records.write(self.uid, started)


def _stop_signal(container: Container) -> int:
    given = container.lifecycle.stop_signal if container.lifecycle is not None else None
    return signal.Signals[given] if given and given in signal.Signals.__members__ else signal.SIGTERM


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks and wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _first(*waits: object) -> None:
    """Wait for whichever comes first."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
