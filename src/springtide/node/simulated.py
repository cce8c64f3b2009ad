"""Simulated nodes: one object plays thousands of nodes and their pods, with the real pod lifecycle.

Made by `up --simulate` and by the simulation room. A pod's containers are only end times here; what follows
from them is decided and reported by the same `lifecycle` and `podstatus` as for real processes. No task per
node or pod: a controller's work queue is the timer wheel, its workers bound how many writes are under way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from springtide import __version__
from springtide.api.commands import Apply, Create, Delete
from springtide.api.containers import Container
from springtide.api.core import Pod
from springtide.api.meta import find_condition, whole_second
from springtide.api.nodes import Node, NodeAddress, NodeCondition, NodeSystemInfo
from springtide.api.quantity import milli, to_int
from springtide.api.struct import encode, replace
from springtide.api.version import GIT_VERSION
from springtide.node.behaviour import BadBehaviour, Behaviour, behaviour_of
from springtide.node.lifecycle import (
    NEVER_STARTED,
    RUNNING,
    TERMINAL,
    Decision,
    Ended,
    Facts,
    Release,
    Situation,
    Start,
    Stop,
    decide,
    with_end,
    with_start,
)
from springtide.node.logsource import LogOptions
from springtide.node.podstatus import Addresses, build_status
from springtide.node.registration import ROOM, lease
from springtide.node.report import progress_command, release, same_status, status_command
from springtide.node.restart import facts_after_restart
from springtide.node.simulated_evidence import SimulatedEvidence
from springtide.node.summary import ContainerFigures, NodeFigures, PodFigures, summary, total
from springtide.node.usage import Used
from springtide.runtime import Runtime
from springtide.runtime.exchange import Answer, Request, Response

STEPS = 20


@dataclass(frozen=True)
class SimulationSettings:
    """How the simulated nodes behave as a whole."""

    default: Behaviour = field(default_factory=Behaviour)
    """What a pod without annotations does."""
    heartbeat_seconds: float = 20.0
    """How often each node renews its Lease; 0 turns leases off."""
    workers: int = 16
    """Writes under way at a time."""


Script = Callable[[Pod], Behaviour | None]
"""Says what a pod does; None leaves it to its annotations."""


@dataclass
class _SimulatedPod:
    """A pod that is being played."""

    uid: str
    behaviour: Behaviour
    situation: Situation
    ready_at: datetime
    address: str
    facts: dict[str, Facts] = field(default_factory=dict)
    ends: dict[str, Ended] = field(default_factory=dict)
    """How and when each running container will end."""
    reported_at: datetime | None = None
    said: list[tuple[datetime, str]] = field(default_factory=list)
    """The end of its log, as a script told it."""


class SimulatedNodes:
    """Nodes of which only the API objects exist."""

    def __init__(
        self,
        runtime: Runtime,
        nodes: Sequence[Node],
        settings: SimulationSettings | None = None,
        script: Script | None = None,
    ) -> None:
        """Adds its controllers to the runtime; `nodes` come from `load_nodes` or from a test."""
        self._runtime = runtime
        self._settings = settings or SimulationSettings()
        self._script = script or (lambda _pod: None)
        self._wanted = {node.metadata.name: node for node in nodes}
        self._host_addresses = {name: _host_address(number) for number, name in enumerate(self._wanted)}
        self._dead: set[str] = set()
        self._playing: dict[str, _SimulatedPod] = {}
        self._addresses = 0
        self._pods = runtime.informer(Pod, indexes={"simulated-node": _by_node})
        self._nodes = runtime.informer(Node)
        self._registered = asyncio.Event()
        self._waiting = set(self._wanted)
        workers = self._settings.workers
        self._controller = runtime.controller(ROOM, self._play, [(self._pods, self._keys)], workers=workers)
        registration = runtime.controller(f"{ROOM}.registration", self._register, [], workers=workers)
        for name in self._wanted:
            registration.queue.add(name)
        self._registration = registration
        self.evidence = SimulatedEvidence(runtime, pod=self._pods.cache.get, dead=lambda: self.dead)
        """What the collectors of these nodes see, for scripts to say."""

    async def ready(self) -> int:
        """Wait until all nodes are registered; how many there are."""
        await self._registered.wait()
        return len(self._wanted)

    async def stop(self) -> None:
        """Nothing runs that would have to be ended; the nodes go on where they were at the next start."""
        self._dead.update(self._wanted)

    # -- failures -----------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """The machine is off: no lease, no status, its containers are gone without a word."""
        self._dead.add(name)
        for pod in self._pods.cache.by_index("simulated-node", name):
            self._playing.pop(pod.key, None)

    def restore(self, name: str) -> None:
        """The machine is on again: what ran there has failed, what was bound meanwhile starts."""
        self._dead.discard(name)
        self._registration.queue.add(name)
        for pod in self._pods.cache.by_index("simulated-node", name):
            if pod.status.phase not in TERMINAL and pod.status.container_statuses:
                self._playing[pod.key] = self._lost(pod)
            self._controller.queue.add(pod.key)

    def end(self, pod: str, exit_code: int, reason: str = "Error", said: Sequence[str] = ()) -> bool:
        """The main containers of this pod (`namespace/name`) end now; `said` is the end of its log.

        Whether any was running.
        """
        playing = self._playing.get(pod)
        if playing is None:
            return False
        now = self._runtime.clock.now()
        going = [name for name, known in playing.facts.items() if known.running_since is not None]
        for name in going:
            known = playing.facts[name]
            playing.ends[name] = Ended(
                exit_code, now, known.running_since, reason=reason, instance=known.instance
            )
        playing.said = [(now, line) for line in said]
        self._controller.queue.add(pod)
        return bool(going)

    @property
    def dead(self) -> frozenset[str]:
        """Nodes that are off."""
        return frozenset(self._dead)

    # -- nodes --------------------------------------------------------------------------------------

    async def _register(self, name: str) -> float | None:
        if name in self._dead:
            return None
        now = self._runtime.clock.now()
        if name in self._waiting:
            await self._register_once(name, now)
        if self._settings.heartbeat_seconds <= 0:
            return None
        await self._runtime.apply(ROOM, [lease(name, now)])
        return self._settings.heartbeat_seconds

    async def _register_once(self, name: str, now: datetime) -> None:
        node = _with_status(self._wanted[name], self._host_addresses[name], now)
        known = self._nodes.cache.get(name)
        if known is None:
            await self._runtime.apply(ROOM, [Create(node)])
        elif not _is_same(known, node):
            fields = encode(node)
            body = {"metadata": {key: fields["metadata"].get(key, {}) for key in ("labels", "annotations")}}
            status = Apply(Node, "", name, {"status": fields["status"]}, "status")
            await self._runtime.apply(ROOM, [Apply(Node, "", name, body), status])
        self._waiting.discard(name)
        if not self._waiting:
            self._registered.set()

    # -- pods ---------------------------------------------------------------------------------------

    def _keys(self, pod: Pod) -> list[str]:
        return [pod.key] if pod.spec.node_name in self._wanted else []

    async def _play(self, key: str) -> float | None:
        pod = self._pods.cache.get(key)
        playing = self._playing.get(key)
        if playing is not None and (pod is None or pod.metadata.uid != playing.uid):
            del self._playing[key]
            playing = None
        if pod is None or pod.spec.node_name not in self._wanted or pod.spec.node_name in self._dead:
            return None
        if playing is None:
            if pod.status.phase in TERMINAL:
                await self._runtime.apply(ROOM, _releases(pod))
                return None
            playing = self._playing[key] = self._adopt(pod)
        return await self._advance(pod, playing)

    async def _advance(self, pod: Pod, playing: _SimulatedPod) -> float | None:
        now = self._runtime.clock.now()
        decision = self._step(pod, playing, now)
        if playing.situation.prepared or playing.situation.rejected:
            status = build_status(
                pod, playing.facts, decision.verdict, playing.situation, self._reached(pod, playing), now
            )
            if not same_status(pod.status, status):
                await self._runtime.apply(ROOM, [status_command(pod, status)])
        if any(isinstance(action, Release) for action in decision.actions):
            await self._runtime.apply(ROOM, _releases(pod))
        report = await self._report_progress(pod, playing, decision, now)
        if decision.verdict.phase in TERMINAL:
            return None
        ends = [(ended.finished_at - now).total_seconds() for ended in playing.ends.values()]
        waits = [*ends, report, decision.look_again_seconds, (playing.ready_at - now).total_seconds()]
        return min((wait for wait in waits if wait is not None and wait > 0), default=None)

    def _step(self, pod: Pod, playing: _SimulatedPod, now: datetime) -> Decision:
        """Let time pass up to now: ends that are due, then decisions until nothing changes."""
        if not playing.situation.prepared and not playing.situation.rejected and now >= playing.ready_at:
            playing.situation = Situation(prepared=True)
        for _ in range(STEPS):
            for name, ended in [one for one in playing.ends.items() if one[1].finished_at <= now]:
                playing.facts[name] = with_end(playing.facts[name], ended)
                del playing.ends[name]
            decision = decide(pod, playing.facts, now, playing.situation)
            changes = [self._act(pod, playing, action, now) for action in decision.actions]
            if not any(changes):
                break
        return decision

    def _act(self, pod: Pod, playing: _SimulatedPod, action: object, now: datetime) -> bool:
        """Whether the action changed anything."""
        if isinstance(action, Start):
            known = playing.facts.get(action.container, NEVER_STARTED)
            playing.facts[action.container] = with_start(known, now, started=True, ready=True)
            ending = self._ending(pod, playing, action.container, now)
            if ending is not None:
                playing.ends[action.container] = ending
            return True
        if isinstance(action, Stop):
            by = min(now + timedelta(seconds=playing.behaviour.stop_delay_seconds), max(action.deadline, now))
            before = playing.ends.get(action.container)
            if before is None or before.finished_at > by:
                since = playing.facts[action.container].running_since
                playing.ends[action.container] = Ended(143, by, since, 15, "Error")
                return True
        return False

    def _ending(self, pod: Pod, playing: _SimulatedPod, name: str, now: datetime) -> Ended | None:
        """How this start will end; sidecars run until they are stopped, init containers are done at once."""
        instance = playing.facts[name].instance
        for container in pod.spec.init_containers:
            if container.name == name:
                sidecar = container.restart_policy == "Always"
                return None if sidecar else Ended(0, now, now, reason="Completed", instance=instance)
        seconds, code, reason = playing.behaviour.ending()
        said = playing.behaviour.message
        return Ended(
            code, now + timedelta(seconds=seconds), now, reason=reason, message=said, instance=instance
        )

    async def _report_progress(
        self, pod: Pod, playing: _SimulatedPod, decision: Decision, now: datetime
    ) -> float | None:
        """Write a progress report when one is due; the seconds until the next."""
        every = playing.behaviour.progress_seconds
        main = playing.facts.get(pod.spec.containers[0].name, NEVER_STARTED)
        if every is None or decision.verdict.phase != RUNNING or main.running_since is None:
            return None
        last = playing.reported_at or main.running_since
        if (now - last).total_seconds() >= every:
            playing.reported_at = last = now
            elapsed = (now - main.running_since).total_seconds()
            await self._runtime.apply(ROOM, [_progress(pod, elapsed, playing.behaviour, now)])
        return every - (now - last).total_seconds()

    def _adopt(self, pod: Pod) -> _SimulatedPod:
        """A pod that is new here, or that ran when the platform was stopped: it has run on since."""
        now = self._runtime.clock.now()
        try:
            behaviour = self._script(pod) or behaviour_of(pod, self._settings.default)
            situation = Situation(prepared=False)
        except BadBehaviour as error:
            behaviour, situation = (
                self._settings.default,
                Situation(False, rejected=("BadSimulation", str(error))),
            )
        ready_at = now + timedelta(seconds=behaviour.start_delay_seconds)
        playing = _SimulatedPod(
            pod.metadata.uid, behaviour, situation, ready_at, pod.status.pod_ip or self._address()
        )
        for name, known in facts_after_restart(pod, now).items():
            playing.ready_at = now
            playing.facts[name] = known
            self._continue(pod, playing, name)
        return playing

    def _continue(self, pod: Pod, playing: _SimulatedPod, name: str) -> None:
        statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
        state = next(status.state.running for status in statuses if status.name == name)
        if state is None or state.started_at is None:
            return
        known = playing.facts[name]
        playing.facts[name] = Facts(known.instance, state.started_at, known.previous, None, 0, True, True)
        ending = self._ending(pod, playing, name, state.started_at)
        if ending is not None:
            playing.ends[name] = ending

    def _lost(self, pod: Pod) -> _SimulatedPod:
        """A pod whose machine went off under it."""
        playing = self._adopt(pod)
        now = self._runtime.clock.now()
        playing.facts, playing.ends = facts_after_restart(pod, now), {}
        playing.situation = Situation(
            False, rejected=("NodeRestarted", "the node went off while the pod was running")
        )
        return playing

    def _address(self) -> str:
        """The next address of 10.64.0.0/10, none ending in 0 or 255."""
        number, self._addresses = self._addresses, (self._addresses + 1) % (64 * 256 * 254)
        high, host = divmod(number, 254)
        return f"10.{64 + high // 256}.{high % 256}.{host + 1}"

    def _reached(self, pod: Pod, playing: _SimulatedPod) -> Addresses:
        node = self._nodes.cache.get(pod.spec.node_name)
        known = node.status.addresses if node is not None else []
        host = next((one.address for one in known if one.type == "InternalIP"), "")
        return Addresses(playing.address, host)

    def has(self, node: str) -> bool:
        """Whether it is one of these (`server.LocalNodes`)."""
        return node in self._wanted

    async def ask(self, node: str, request: Request) -> Answer:
        """A node's own API: it is healthy and has figures; nothing runs that somebody could talk to."""
        if request.path == "/healthz":
            return Response(200, b"ok", content_type="text/plain")
        if request.path == "/stats/summary":
            return Response(200, msgspec.json.encode(summary(self.figures(node))))
        text = f"node {node} is simulated: no program runs there"
        return Response(400, text.encode(), content_type="text/plain")

    def figures(self, node: str) -> NodeFigures:
        """What its pods use, as they were scripted; the node itself uses nothing."""
        now = self._runtime.clock.now()
        found = [self._figures_of(pod, now) for pod in self._pods.cache.by_index("simulated-node", node)]
        pods = [pod for pod in found if pod.containers]
        return NodeFigures(node, now, total(one.used for pod in pods for one in pod.containers), pods)

    def _figures_of(self, pod: Pod, now: datetime) -> PodFigures:
        playing = self._playing.get(pod.key)
        containers = []
        for container in pod.spec.containers if playing is not None else ():
            since = playing.facts.get(container.name, NEVER_STARTED).running_since if playing else None
            if since is not None and playing is not None:
                used = _used(container, playing.behaviour, (now - since).total_seconds())
                containers.append(ContainerFigures(container.name, since, used))
        metadata = pod.metadata
        return PodFigures(metadata.namespace, metadata.name, metadata.uid, containers)

    async def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        """What a simulated pod has to say."""
        found = self._pods.cache.get(f"{namespace}/{pod}")
        if found is None or found.metadata.uid != uid:
            raise LookupError(f'pod "{pod}" is not on a simulated node')
        playing = self._playing.get(found.key)
        if playing is not None and playing.said:
            for moment, line in playing.said:
                stamp = f"{_moment(moment)} " if options.timestamps else ""
                yield f"{stamp}{line}\n".encode()
            return
        yield f"simulated: pod {namespace}/{pod} on {found.spec.node_name}: no program runs\n".encode()
        yield f"simulated: phase {found.status.phase}\n".encode()


# -- pure parts -------------------------------------------------------------------------------------


def _used(container: Container, behaviour: Behaviour, seconds: float) -> Used:
    requests = container.resources.requests
    cores, memory = behaviour.cpu_cores, behaviour.memory_bytes
    cores = milli(requests.get("cpu", 0)) / 1000 if cores is None else cores
    memory = to_int(requests.get("memory", 0)) if memory is None else memory
    return Used(cores * seconds, int(memory), cores)


def _by_node(pod: Pod) -> list[str]:
    return [pod.spec.node_name] if pod.spec.node_name else []


def _releases(pod: Pod) -> list[Delete]:
    return [release(pod)] if pod.metadata.deletion_timestamp is not None else []


def _host_address(number: int) -> str:
    """The address of the n-th node, of 10.128.0.0/9; none ends in 0 or 255. API servers demand one."""
    high, host = divmod(number, 254)
    return f"10.{128 + high // 256 % 128}.{high % 256}.{host + 1}"


def _with_status(node: Node, address: str, now: datetime) -> Node:
    """The node as it reports itself."""
    moment = whole_second(now)
    ready = NodeCondition(
        type="Ready",
        status="True",
        reason="KubeletReady",
        message="the simulated node is posting ready status",
        last_heartbeat_time=moment,
        last_transition_time=moment,
    )
    info = NodeSystemInfo(
        os_image="simulated",
        operating_system="linux",
        architecture="amd64",
        container_runtime_version=f"simulated://{__version__}",
        kubelet_version=GIT_VERSION,
    )
    addresses = [
        NodeAddress(type="InternalIP", address=address),
        NodeAddress(type="Hostname", address=node.metadata.name),
    ]
    return replace(node, status=replace(node.status, conditions=[ready], addresses=addresses, node_info=info))


def _is_same(known: Node, wanted: Node) -> bool:
    ready = find_condition(known.status.conditions, "Ready")
    return (
        ready is not None
        and ready.status == "True"
        and known.status.capacity == wanted.status.capacity
        and known.status.allocatable == wanted.status.allocatable
        and wanted.metadata.labels.items() <= known.metadata.labels.items()
    )


def _progress(pod: Pod, elapsed: float, behaviour: Behaviour, now: datetime) -> Apply:
    duration, saves = behaviour.duration_seconds, behaviour.checkpoint_seconds
    done = min(1.0, elapsed / duration) if duration else 1.0
    report = {
        "progressPercentage": int(done * 100),
        "estimatedRemainingSeconds": round(max(0.0, duration - elapsed)),
        "metrics": [],
        "time": _moment(now),
    }
    if saves and elapsed >= saves:
        report["checkpointTime"] = _moment(now - timedelta(seconds=elapsed % saves))
    return progress_command(pod, json.dumps(report, separators=(",", ":")))


def _moment(at: datetime) -> str:
    return whole_second(at).strftime("%Y-%m-%dT%H:%M:%SZ")
