"""The process node: runs the pods bound to it as processes of this machine.

Made by `up`. First it finds out what the machine permits and ends what an earlier life left behind; from then
on a controller looks at one pod at a time: decide (`lifecycle.py`), carry out (`pod.py`), report
(`podstatus.py`). `logs` is the API server's source of container logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator

from springtide.api.commands import Command, Emit
from springtide.api.core import Pod
from springtide.api.labels import NODE_LIFE
from springtide.client import ApiError
from springtide.node import logsource, names, peers, restart, usage
from springtide.node.capabilities import Capabilities, detect
from springtide.node.container import PROGRESS_FILE
from springtide.node.environment import Sources
from springtide.node.ignored import ignored_fields, ignored_images
from springtide.node.keeper import Keeper
from springtide.node.kubelet import Kubelet
from springtide.node.lastword import LastWord
from springtide.node.launcher import Launcher, MachineLauncher
from springtide.node.lifecycle import TERMINAL, Decision, Release, Situation, Start, Stop, decide
from springtide.node.logs import LogFolder, remove_pod_logs
from springtide.node.pod import Place, PodRun
from springtide.node.podstatus import Addresses, build_status
from springtide.node.progress import ProgressFile
from springtide.node.proxy import ServiceProxy
from springtide.node.records import Records, recover
from springtide.node.references import read_sources
from springtide.node.registration import ROOM, Endpoint, Registration
from springtide.node.report import progress_command, release, same_status, status_command
from springtide.node.service_book import ServiceBook
from springtide.node.settings import ProcessNodeSettings
from springtide.node.summary import NodeFigures
from springtide.node.tokens import PodTokens
from springtide.node.volumes import remove
from springtide.runtime import Clock, Controller, Runtime, logger
from springtide.runtime.exchange import Answer, Request
from springtide.runtime.loopback import Held

log = logger("node.agent")

WORKERS = 16
RETRY_SECONDS = 2.0
REFRESH_SECONDS = 60.0
PROGRESS_SECONDS = 1.0
HOST_ADDRESS = "127.0.0.1"
NAMES = "names"
"""The one key of the controller that keeps names of Services up to date."""
STEPS = 20
"""Decisions in one look at a pod; more than any pod needs."""


class ProcessNode:
    """One node of the embedded control plane, in this process."""

    def __init__(
        self, runtime: Runtime, settings: ProcessNodeSettings, launcher: Launcher | None = None
    ) -> None:
        """Adds its controllers to the runtime and does nothing before that runs. `launcher` is for tests."""
        self._runtime = runtime
        self._settings = settings
        for folder in ("pods", "logs", "records", "checkpoints"):
            (settings.data_dir / folder).mkdir(parents=True, exist_ok=True)
        self.node_id = _node_id(settings, runtime.clock)
        self._scripted = launcher
        self._records = Records(settings.data_dir / "records")
        self._pods = runtime.informer(Pod, indexes={peers.INDEX: peers.by_group})
        self._runs: dict[str, PodRun] = {}
        self._finished: dict[str, Pod] = {}
        """Pods that ended in an earlier life; their files stay as long as their objects."""
        self._restarted: set[str] = set()
        self._events: list[Command] = []
        self._stopping = False
        self._controller: Controller = runtime.controller(
            ROOM, self._reconcile, [(self._pods, self._keys)], workers=WORKERS
        )
        self._progress: dict[str, ProgressFile] = {}
        self._services = ServiceBook(runtime, HOST_ADDRESS)
        self._proxy = ServiceProxy(runtime, ROOM, self._services, shared=settings.share_services)
        named = (self._services.services, self._services.slices)
        runtime.controller(f"{ROOM}.names", self._rename, [(one, lambda _: (NAMES,)) for one in named])
        self._tokens = PodTokens(runtime.client, runtime.clock)
        self._keeper = Keeper(runtime, settings, self.node_id)
        self._registration = Registration(runtime, settings)
        for name, reconcile in (("registration", self._register), ("progress", self._report_progress)):
            runtime.controller(f"{ROOM}.{name}", reconcile, []).queue.add(settings.name)
        self._begun = asyncio.Event()
        self.kubelet = Kubelet(self)
        """The node's own API."""
        self._place: Place
        self._book: names.AddressBook
        self._block: Held
        """On the addresses of its pods, which no other node of this machine gives out meanwhile."""
        self._peers: peers.Peers

    # -- life of the node ---------------------------------------------------------------------------

    async def ready(self) -> int:
        """Wait until the node is Ready; the number of nodes, for symmetry with the simulated ones."""
        await self._registration.registered.wait()
        return 1

    async def stop(self) -> None:
        """End all pods' processes within `stop_seconds`, report NotReady. The pods fail at the next start."""
        self._stopping = True
        async with asyncio.TaskGroup() as group:
            for run in list(self._runs.values()):
                group.create_task(run.close(self._settings.stop_seconds))
        await self._proxy.stop()
        await self._keeper.stop()
        if self._begun.is_set():
            self._place.launcher.close()
            self._block.close()
        with contextlib.suppress(ApiError):
            await self._registration.leave()

    async def _register(self, key: str) -> float | None:
        if not self._begun.is_set():
            await self._begin()
            self._begun.set()
        return await self._registration.reconcile(key)

    async def _begin(self) -> None:
        """Once, with warm caches: find out what the machine permits, end what an earlier life left behind."""
        capabilities = await detect(self._settings, self.node_id)
        self._restarted = await recover(self._records, self.node_id, capabilities)
        life = f"{self._runtime.clock.random.getrandbits(64):016x}"
        self._registration.annotate(capabilities.notes(), {NODE_LIFE: life, **await self._keeper.begin()})
        if self._settings.connection is not None:  # an earlier life may have had a watchdog that speaks
            await self._registration.begin_life()
        book = self._settings.data_dir / "addresses.json"
        prefix, self._block = names.hold_prefix(book, self._settings.address_prefix)
        self._book = names.AddressBook(book, prefix, distinct=capabilities.distinct_addresses)
        self._peers = peers.Peers(self._pods.cache, self._book, self._settings.name, self._services)
        told = self._settings.connection
        last_word = LastWord(self._settings.name, life, told) if told is not None else None
        launcher = self._scripted or MachineLauncher(self.node_id, capabilities.cgroup_folders, last_word)
        self._place = Place(
            self._settings, self._runtime.clock, capabilities, launcher, self._records, self.node_id
        )
        self._tidy()
        log.info("process node", node=self._settings.name, missing=sorted(capabilities.notes()))

    @property
    def pods(self) -> list[str]:
        """Keys of the pods that are here now."""
        return list(self._runs)

    @property
    def capabilities(self) -> Capabilities:
        """What the machine permits; known once the node is ready."""
        return self._place.capabilities

    # -- one pod ------------------------------------------------------------------------------------

    def _keys(self, pod: Pod) -> list[str]:
        return [pod.key] if pod.spec.node_name == self._settings.name else []

    async def _reconcile(self, key: str) -> float | None:
        if self._stopping:
            return None
        await self._begun.wait()
        pod = self._pods.cache.get(key)
        run = self._runs.get(key)
        if run is not None and (pod is None or pod.metadata.uid != run.uid):
            await self._forget(key, run)
            run = None
        finished = self._finished.get(key)
        if finished is not None and (pod is None or pod.metadata.uid != finished.metadata.uid):
            self._remove_files(self._finished.pop(key))
        if pod is None or pod.spec.node_name != self._settings.name:
            return None
        if run is None and pod.status.phase in TERMINAL:
            self._finished[key] = pod
            if pod.metadata.deletion_timestamp is not None:
                await self._runtime.apply(ROOM, [release(pod)])
            return None
        run = run or self._adopt(key, pod)
        run.pod = pod
        await self._refresh(run)
        again_seconds = await self._advance(run)
        await self._record_events()
        return again_seconds

    async def _advance(self, run: PodRun) -> float | None:
        """Decide and act until nothing is left to do now, then report."""
        for _ in range(STEPS):
            decision = self._decide(run)
            if decision.verdict.phase not in TERMINAL and not run.situation.prepared:
                await self._prepare(run)
                decision = self._decide(run)
            if not await self._carry_out(run, decision):
                break
        await self._report(run, decision)
        if any(isinstance(action, Release) for action in decision.actions):
            await self._runtime.apply(ROOM, [release(run.pod)])
        return self._look_again(run, decision)

    def _decide(self, run: PodRun) -> Decision:
        return decide(run.pod, run.facts, self._runtime.clock.now(), run.situation)

    async def _carry_out(self, run: PodRun, decision: Decision) -> bool:
        """Do what was decided; whether something was started, so that another decision may follow at once."""
        started = False
        sources: Sources | None = None
        for action in decision.actions:
            if isinstance(action, Stop):
                run.stop(action.container, action.deadline)
            elif isinstance(action, Start):
                sources = sources or await self._sources(run)
                run.memory = await self._keeper.prepare(run.pod, run.event)
                await run.start(action.container, sources, self._peers.of(run.pod))
                started = started or not run.facts[action.container].blocked
        return started

    def _look_again(self, run: PodRun, decision: Decision) -> float | None:
        waits = [decision.look_again_seconds] if decision.look_again_seconds is not None else []
        if decision.verdict.phase not in TERMINAL:
            if run.blocked or not run.situation.prepared:
                waits.append(RETRY_SECONDS)
            elif run.follows_objects:
                waits.append(max(RETRY_SECONDS, REFRESH_SECONDS - run.age_of_volumes()))
        return min(waits, default=None)

    async def _prepare(self, run: PodRun) -> None:
        run.prepare(await self._sources(run), self._peers.hosts(run.pod))
        if run.situation.rejected is not None:
            run.event(*run.situation.rejected, warning=True)
        self._introduce(run.pod)

    def _introduce(self, pod: Pod) -> None:
        """Tell the running peers of a new one; one that could not start without it tries again."""
        group = names.peer_group(pod)
        for run in self._runs.values():
            if run.situation.prepared and run.uid != pod.metadata.uid and names.peer_group(run.pod) == group:
                run.set_hosts(self._peers.hosts(run.pod))
                if run.blocked:
                    self._controller.queue.add(run.pod.key)

    async def _rename(self, _key: str) -> None:
        """A Service came, went or moved: all running pods hear of it."""
        if self._begun.is_set():
            for run in self._runs.values():
                if run.situation.prepared:
                    run.set_hosts(self._peers.hosts(run.pod))

    async def _refresh(self, run: PodRun) -> None:
        """Volumes made from API objects follow them, about once a minute as with a kubelet."""
        if run.situation.prepared and run.follows_objects and run.age_of_volumes() >= REFRESH_SECONDS:
            run.refresh(await self._sources(run))

    async def _sources(self, run: PodRun) -> Sources:
        return await read_sources(
            self._runtime.client,
            run.pod,
            self._tokens,
            allocatable=self._registration.capacity,
            pod_ip=run.address,
            host_ip=HOST_ADDRESS,
            services=self._services.variables(run.pod.metadata.namespace),
        )

    async def _report(self, run: PodRun, decision: Decision) -> None:
        pod = run.pod
        addresses = Addresses(run.address if run.situation.prepared else "", HOST_ADDRESS)
        status = build_status(
            pod, run.facts, decision.verdict, run.situation, addresses, self._runtime.clock.now()
        )
        if not same_status(pod.status, status):
            await self._runtime.apply(ROOM, [status_command(pod, status)])

    # -- arriving and leaving -----------------------------------------------------------------------

    def _adopt(self, key: str, pod: Pod) -> PodRun:
        """A pod seen for the first time in this life of the node."""
        run = PodRun(
            pod,
            self._place,
            self._book.assign(pod.metadata.uid),
            wake=lambda: self._controller.queue.add(key),
            emit=self._emit,
        )
        if self._ran_before(pod):
            run.facts = restart.facts_after_restart(pod, self._runtime.clock.now())
            if not restart.is_restarted_in_place(pod):
                run.situation = Situation(prepared=False, rejected=(restart.REASON, restart.MESSAGE))
        else:
            self._say_what_is_ignored(run)
        self._runs[key] = run
        self._progress[key] = ProgressFile(run.folder / PROGRESS_FILE)
        return run

    def _ran_before(self, pod: Pod) -> bool:
        statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
        return pod.metadata.uid in self._restarted or any(
            status.state.running or status.state.terminated or status.last_state.terminated
            for status in statuses
        )

    def _say_what_is_ignored(self, run: PodRun) -> None:
        images = ignored_images(run.pod)
        if images:
            run.event("ImageIgnored", f"process nodes run no images: {', '.join(images)} is not pulled")
        fields = ignored_fields(run.pod, private_mounts=bool(self.capabilities.namespaces))
        if fields:
            run.event("FieldsIgnored", f"without effect on process nodes: {', '.join(fields)}", warning=True)
        limited = any(one.resources.limits.keys() & {"cpu", "memory"} for one in run.pod.spec.containers)
        note = self.capabilities.notes().get("resource-limits")
        if limited and note:
            run.event("LimitsNotEnforced", note, warning=True)

    async def _forget(self, key: str, run: PodRun) -> None:
        """The pod object is gone: nothing of it stays."""
        await run.close()
        del self._runs[key]
        self._progress.pop(key, None)
        self._remove_files(run.pod)

    def _remove_files(self, pod: Pod) -> None:
        metadata = pod.metadata
        remove(self._place.folder(metadata.uid))
        remove_pod_logs(self._place.logs, metadata.namespace, metadata.name, metadata.uid)
        self._records.remove(metadata.uid)
        self._restarted.discard(metadata.uid)
        self._book.release(metadata.uid)
        self._tokens.forget(metadata.uid)
        self._keeper.forget(pod)

    def _tidy(self) -> None:
        """Remove the files of pods that are gone."""
        living = {pod.metadata.uid for pod in self._pods.cache.list()}
        self._book.keep(living)
        for uid in self._records.uids() - living:
            self._records.remove(uid)
        for path in (self._settings.data_dir / "pods").iterdir():
            if path.name not in living:
                shutil.rmtree(path, ignore_errors=True)
        for path in self._place.logs.iterdir():
            if path.name.rpartition("_")[2] not in living:
                shutil.rmtree(path, ignore_errors=True)

    # -- progress, events, logs ---------------------------------------------------------------------

    async def _report_progress(self, _key: str) -> float:
        for key, file in list(self._progress.items()):
            run = self._runs.get(key)
            if run is None:
                continue
            try:
                report = file.changed()
            except ValueError as error:
                run.event("ProgressUnreadable", str(error), warning=True)
                continue
            if report is not None:
                await self._runtime.apply(ROOM, [progress_command(run.pod, report)])
        return PROGRESS_SECONDS

    def _emit(self, event: Emit) -> None:
        self._events.append(event)
        self._controller.queue.add(event.regarding.key)

    async def _record_events(self) -> None:
        events, self._events = self._events, []
        if events:
            await self._runtime.apply(ROOM, events)

    # -- what the API server asks for -----------------------------------------------------------------

    def has(self, node: str) -> bool:
        """Whether it is this node (`server.LocalNodes`)."""
        return node == self._settings.name

    def listens(self, endpoint: Endpoint) -> None:
        """Its API is served there: said on the Node object. To be called before the node is ready."""
        self._registration.listens(endpoint)
        self._keeper.listens(endpoint.host)

    async def ask(self, _node: str, request: Request) -> Answer:
        """The answer of the node's own API (`server.NodeAccess`, in the same process)."""
        return await self.kubelet.handle(request)

    async def logs(
        self, namespace: str, pod: str, uid: str, options: logsource.LogOptions
    ) -> AsyncIterator[bytes]:
        """Log text of a container, in chunks. Raises LookupError with a sentence when there is none."""
        folder = LogFolder(self._place.logs, namespace, pod, uid, options.container)
        run = self._runs.get(f"{namespace}/{pod}")
        async for chunk in logsource.serve(folder, pod, options, run, self._runtime.clock.now()):
            yield chunk

    def run_of(self, namespace: str, name: str) -> PodRun | None:
        """The pod, if it is here."""
        return self._runs.get(f"{namespace}/{name}")

    def uid_of(self, namespace: str, name: str) -> str:
        """Of a pod that is here, finished ones too. Raises LookupError."""
        key = f"{namespace}/{name}"
        run, finished = self._runs.get(key), self._finished.get(key)
        if run is None and finished is None:
            raise LookupError(f'pod "{name}" cannot be found - no logs available')
        return run.uid if run is not None else finished.metadata.uid if finished is not None else ""

    async def figures(self) -> NodeFigures:
        """What the machine and the pods use (reads the process table in a thread)."""
        processes, machine = await asyncio.to_thread(lambda: (usage.by_container(), usage.machine()))
        pods = [run.figures(processes) for run in self._runs.values()]
        return NodeFigures(
            self._settings.name, self._runtime.clock.now(), machine, [pod for pod in pods if pod is not None]
        )

    def pods_here(self) -> list[Pod]:
        """The pods this node runs."""
        return [run.pod for run in self._runs.values()]


def _node_id(settings: ProcessNodeSettings, clock: Clock) -> str:
    """This data folder's node for ever: what its processes carry as their mark."""
    path = settings.data_dir / "node-id"
    if not path.exists():
        path.write_text(f"{clock.random.getrandbits(64):016x}")
    return path.read_text().strip()
