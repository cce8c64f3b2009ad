"""One pod on this node: its folder, its processes and what was observed of them.

`agent.py` makes one `PodRun` per pod, asks `lifecycle.decide` what to do and calls `prepare`, `start`, `stop`
and `close` here; whatever happens to a process ends up in `facts`, and the agent is woken.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from springtide.api.commands import Emit
from springtide.api.containers import Container, LifecycleHandler
from springtide.api.core import Pod
from springtide.node import container as containers
from springtide.node import dial, names, probes, processes, volumes
from springtide.node.attach import Attachment, Attachments
from springtide.node.capabilities import Capabilities
from springtide.node.cgroups import Group
from springtide.node.environment import Sources, Unresolvable, with_terminal
from springtide.node.launcher import Launcher
from springtide.node.lifecycle import (
    NEVER_STARTED,
    Ended,
    Facts,
    Situation,
    will_restart,
    with_end,
    with_start,
)
from springtide.node.logs import LogFolder, LogWriter
from springtide.node.process import Launch, Outcome, Running, StartError
from springtide.node.processes import CONTAINER, POD_UID, Mark
from springtide.node.records import Records, Started
from springtide.node.session import Session
from springtide.node.settings import ProcessNodeSettings
from springtide.node.summary import ContainerFigures, PodFigures
from springtide.node.termination import ended_reason, termination_message
from springtide.node.usage import Used, of_processes
from springtide.runtime import Clock, logger

log = logger("node.pod")

DRAIN_SECONDS = 2.0
HOOK_SECONDS = 86_400.0
"""A postStart hook that runs longer than a day has failed."""


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
    attachments: Attachments
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
        self.memory: Mapping[str, str] = {}
        """Variables that say where its job keeps snapshots in memory."""
        self._place = place
        self._wake = wake
        self._emit = emit
        self._live: dict[str, _Live] = {}
        self._volumes: dict[str, Path] = {}
        self._volumes_at = 0.0
        self._closing = False
        self._changed = asyncio.Event()
        """Set, and replaced, when a container starts or the pod is closed: followers of logs look again."""
        self._starting = asyncio.Lock()
        self.folder = place.folder(self.uid)

    # -- preparing ----------------------------------------------------------------------------------

    def prepare(self, sources: Sources, hosts: str) -> None:
        """Folders, hosts file and volumes. Sets `situation`: prepared, an obstacle or rejected."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "root").mkdir(exist_ok=True)
            self.set_hosts(hosts)
            self._make_volumes(sources)
        except volumes.Unsupported as error:
            self.situation = Situation(prepared=False, rejected=("UnsupportedVolume", str(error)))
        except (volumes.Unavailable, OSError) as error:
            if self.situation.obstacle != str(error):
                self.situation = Situation(prepared=False, obstacle=str(error))
                self.event("FailedMount", str(error), warning=True)
        else:
            self.situation = Situation(prepared=True)

    def refresh(self, sources: Sources) -> None:
        """Bring volumes up to date with their objects; what has gone missing since stays as it was."""
        try:
            self._make_volumes(sources)
        except (volumes.Unavailable, volumes.Unsupported, OSError) as error:
            self._volumes_at = self._place.clock.monotonic()
            self.event("FailedMount", f"volumes are not refreshed: {error}", warning=True)

    def _make_volumes(self, sources: Sources) -> None:
        self._volumes = volumes.prepare_volumes(self.pod, self.folder / "volumes", sources)
        self._volumes_at = self._place.clock.monotonic()

    @property
    def follows_objects(self) -> bool:
        """Whether a volume is made from API objects, which may change."""
        return any(volumes.is_from_objects(volume) for volume in self.pod.spec.volumes)

    def age_of_volumes(self) -> float:
        """Seconds since the volumes were made or refreshed."""
        return self._place.clock.monotonic() - self._volumes_at

    @property
    def blocked(self) -> bool:
        """Whether a container waits for something it is made from."""
        return any(known.blocked for known in self.facts.values())

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
        output = self._open_log(name, instance)
        attachments = Attachments(output.stdout.write, output.stderr.write)
        started_at = self._place.clock.now()
        try:
            kit = containers.Kit(
                self.pod,
                container,
                self._place.settings,
                self._place.capabilities,
                self.folder,
                self.memory,
            )
            group = kit.make_group(instance)
            launch = kit.launch(sources, self._volumes, list(peers), self._place.node_id, group)
            process = await self._place.launcher.start(launch, attachments.stdout, attachments.stderr)
        except (Unresolvable, volumes.Unsupported) as error:
            self._discard(output, group)
            output.remove()
            if known.blocked != str(error):
                self.facts[name] = replace(known, blocked=str(error))
                self.event("Failed", f"Error: {error}", warning=True)
            return
        except (StartError, OSError) as error:
            self._discard(output, group)
            self._record_failed_start(name, started_at, str(error))
            return
        attachments.console = process.console
        self._began(_Live(container, instance, process, launch, output, attachments, group, started_at))

    def _open_log(self, name: str, instance: int) -> LogWriter:
        settings = self._place.settings
        return LogWriter(
            self.log_folder(name),
            instance,
            self._place.clock,
            file_bytes=settings.log_file_bytes,
            files=settings.log_files,
        )

    def _discard(self, output: LogWriter, group: Group | None) -> None:
        output.close()
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
        self._tell_followers()
        live.tasks.append(asyncio.create_task(self._await_end(live), name=f"container-{name}"))
        self._write_record()
        if container.startup_probe or container.readiness_probe or container.liveness_probe:
            live.tasks.append(asyncio.create_task(probes.watch(self._target(live)), name=f"probes-{name}"))
        if container.lifecycle is not None and container.lifecycle.post_start is not None:
            hook = self._post_start(live, container.lifecycle.post_start)
            live.tasks.append(asyncio.create_task(hook, name=f"hook-{name}"))
        self.event("Started", f"Container {name} started as process {live.process.pid}")

    async def _await_end(self, live: _Live) -> None:
        """After the first process: end what it left behind, read the last output, say how it ended."""
        code = await live.process.wait()
        name = live.container.name
        await _cancel(live.tasks[1:])
        await self._place.launcher.end(self._mark(name), live.group, live.process.pid)
        live.attachments.finish()
        await live.process.drain(DRAIN_SECONDS)
        live.attachments.close()
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
        if hook and live.container.lifecycle is not None:
            left = self._left_seconds(deadline)
            await self._hook(live, "preStop", live.container.lifecycle.pre_stop, left)
        live.process.signal(_stop_signal(live.container))
        processes.wake(processes.marked(self._mark(live.container.name)))
        try:
            await asyncio.wait_for(live.ended.wait(), max(0.0, self._left_seconds(deadline)))
        except TimeoutError:
            live.process.signal(signal.SIGKILL)
            await live.ended.wait()

    async def _post_start(self, live: _Live, handler: LifecycleHandler) -> None:
        """Runs beside the program; if it fails the container is ended, as by a probe."""
        if not await self._hook(live, "postStart", handler, HOOK_SECONDS):
            self._update(live, unhealthy="postStart hook failed")

    async def _hook(self, live: _Live, name: str, handler: LifecycleHandler | None, seconds: float) -> bool:
        """Run a lifecycle hook within this time; whether it succeeded, as kinds not done here do."""
        if handler is None or seconds <= 0:
            return True
        if handler.sleep is not None:
            await _first(live.ended.wait(), asyncio.sleep(min(seconds, handler.sleep.seconds)))
        if handler.exec is None:
            return True
        why = await self._failure_of(live, handler.exec.command, seconds)
        if why:
            self.event(f"Failed{name[0].upper()}{name[1:]}Hook", f"{name} command {why}", warning=True)
        return not why

    async def _failure_of(self, live: _Live, command: list[str], seconds: float) -> str:
        try:
            outcome = await self._execute(live, command, seconds)
        except StartError as error:
            return str(error)
        if outcome.timed_out:
            return "did not end in time"
        return f"exited with {outcome.code}: {outcome.output.strip()[:200]}" if outcome.code else ""

    def _left_seconds(self, deadline: datetime) -> float:
        return (deadline - self._place.clock.now()).total_seconds()

    async def close(self, within_seconds: float = 0.0) -> None:
        """Start nothing more, end all containers within this time, and wait for it."""
        self._closing = True
        self._tell_followers()
        deadline = self._place.clock.now() + timedelta(seconds=within_seconds)
        async with self._starting:  # one that is being started now ends too
            lives = list(self._live.values())
            for live in lives:
                self.stop(live.container.name, deadline)
        for live in lives:
            await live.ended.wait()

    # -- probes and commands ------------------------------------------------------------------------

    def _target(self, live: _Live) -> probes.Target:
        def on_started() -> None:
            self._update(live, started=True, ready=live.container.readiness_probe is None)

        def on_ready(ready: bool, why: str) -> None:
            if not ready:
                self.event("Unhealthy", why, warning=True)
            self._update(live, ready=ready)

        def on_unhealthy(why: str) -> None:
            self.event("Unhealthy", why, warning=True)
            self._update(live, unhealthy=why)

        async def execute(command: list[str], timeout: float) -> Outcome:
            return await self._execute(live, command, timeout)

        return probes.Target(live.container, self.address, execute, on_started, on_ready, on_unhealthy)

    def _update(self, live: _Live, **changes: bool | str) -> None:
        """Something was observed of an instance; what comes after its end does not count."""
        name = live.container.name
        known = self.facts[name]
        if known.running and known.instance == live.instance:
            self.facts[name] = replace(known, **changes)  # type: ignore[arg-type]
            if self.facts[name] != known:
                self._wake()

    async def _execute(self, live: _Live, command: list[str], timeout: float) -> Outcome:
        """Run a command beside the container's program: same environment, mounts and limits."""
        return await self._place.launcher.run(self._beside(live, command), timeout)

    def _beside(self, live: _Live, command: list[str], *, stdin: bool = False, tty: bool = False) -> Launch:
        join = live.process.pid if live.launch.namespaces else 0
        env = with_terminal(live.launch.env) if tty else live.launch.env
        return replace(live.launch, argv=command, env=env, join=join, stdin=stdin, tty=tty)

    async def restarted(self, container: str, instance: int) -> bool:
        """Wait for a newer instance of a container that has ended; False when there will be none."""
        of_init = any(one.name == container for one in self.pod.spec.init_containers)
        while True:
            known = self.facts.get(container, NEVER_STARTED)
            if known.instance > instance:
                return True
            going = self._closing or self.pod.metadata.deletion_timestamp is not None
            if going or known.last is None:
                return False
            if not will_restart(self.pod, self._container(container), known.last, init=of_init):
                return False
            await self._changed.wait()

    def _tell_followers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- people -------------------------------------------------------------------------------------

    async def open_session(self, container: str, command: list[str], *, stdin: bool, tty: bool) -> Session:
        """Run a command beside the container's program. Raises LookupError, StartError."""
        launch = self._beside(self._running(container), command, stdin=stdin, tty=tty)
        return await self._place.launcher.open(launch)

    def attach(self, container: str) -> Attachment:
        """Listen to the container and type into it. Raises LookupError."""
        live = self._running(container)
        return live.attachments.add(live.ended, stdin_once=live.container.stdin_once)

    async def dial(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of the pod. Raises OSError, worded for the user."""
        return await dial.dial(self.address, port, self.pids)

    def pids(self) -> set[int]:
        """All its processes."""
        return processes.marked(Mark({POD_UID: self.uid}))

    def figures(self, processes: Mapping[tuple[str, str], set[int]]) -> PodFigures | None:
        """What its containers have used; None while none runs. `processes` as `usage.by_container` gives."""
        containers = [
            ContainerFigures(name, live.since, _used(live.group, processes.get((self.uid, name), set())))
            for name, live in self._live.items()
        ]
        metadata = self.pod.metadata
        return PodFigures(metadata.namespace, metadata.name, self.uid, containers) if containers else None

    def runs(self, container: str) -> bool:
        """Whether an instance of the container is running."""
        return container in self._live

    def _running(self, container: str) -> _Live:
        live = self._live.get(container)
        if live is None:
            raise LookupError(f'container not found ("{container}")')
        return live

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
        try:
            self._place.records.write(self.uid, started)
        except OSError as error:  # a full disk; after a crash the mark in their environment still finds them
            log.warning("record of processes not written", pod=self.pod.key, error=str(error))


def _used(group: Group | None, pids: set[int]) -> Used:
    """The kernel's count where there is one, else the processes'."""
    cpu, memory = (group.cpu_seconds(), group.memory_bytes()) if group is not None else (None, None)
    if cpu is not None and memory is not None:
        return Used(cpu, memory)
    added = of_processes(pids)
    return Used(added.cpu_seconds if cpu is None else cpu, added.memory_bytes if memory is None else memory)


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
