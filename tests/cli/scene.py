"""A server in the test's process for commands to talk to, and a script of what happens on it meanwhile.

    scene = Scene()
    scene.given(trainjob("digits"))                  # objects that are there
    scene.meanwhile(some_coroutine_function)         # runs beside the next command, in virtual time
    result = scene.run("get", "trainjobs")

The server is the real one over a memory log that outlives each command's event loop; nodes and controllers
are played by the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from click.testing import CliRunner, Result

from springtide.api.core import Container, ContainerStatus, Pod, PodSpec, PodStatus, PodTemplateSpec
from springtide.api.crds import bundled
from springtide.api.kueue import PodSet, Workload, WorkloadSpec
from springtide.api.meta import Condition, Object, ObjectMeta, owner_reference
from springtide.api.struct import encode
from springtide.api.trainer import RuntimeRef, Trainer, TrainJob, TrainJobSpec
from springtide.cli.root import root
from springtide.cli.session import MANAGER, Session, Wiring
from springtide.cli.target import Target
from springtide.client import Client
from springtide.runtime.clock import EPOCH, LoopClock
from springtide.server import InProcessTransport, LogOptions, Server
from springtide.simulation import loop
from springtide.store import MemoryLog, Store

Script = Callable[[Client], Coroutine[Any, Any, None]]


class ScriptedLogs:
    """What containers wrote, by pod name, with the seconds at which they wrote it."""

    def __init__(self) -> None:
        self.lines: dict[str, list[tuple[float, str]]] = {}
        self.ended: set[str] = set()
        self.break_after: dict[str, int] = {}
        """Lines after which the next stream of a pod breaks off, once."""

    def write(self, pod: str, text: str) -> None:
        now = asyncio.get_running_loop().time()
        self.lines.setdefault(pod, []).append((now, text))

    async def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        sent = 0
        while True:
            lines = self.lines.get(pod, [])
            for at, text in lines[sent:]:
                stamp = (EPOCH + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ ")
                yield f"{stamp if options.timestamps else ''}{text}\n".encode()
                sent += 1
                if self.break_after.get(pod) == sent:
                    del self.break_after[pod]
                    return
            if not options.follow or pod in self.ended:
                return
            await asyncio.sleep(0.05)


@dataclass
class Scene:
    """One server and the commands run against it."""

    custom_kinds: bool = True
    """Whether the CRDs of TrainJob and the others are installed; without them a scene is set sooner."""
    logs: ScriptedLogs = field(default_factory=ScriptedLogs)
    _log: MemoryLog = field(default_factory=MemoryLog)
    _script: Script | None = None
    _began: bool = False

    @property
    def wiring(self) -> Wiring:
        """What commands get as click's context object."""
        return Wiring(open=self._open_with_script, run=loop.run)

    def given(self, *objects: Object) -> Scene:
        """Create objects, with their status."""

        async def create(client: Client) -> None:
            for obj in objects:
                await create_with_status(client, obj)

        return self.do(create)

    def do(self, work: Callable[[Client], Awaitable[None]]) -> Scene:
        """Do anything on the server now."""

        async def main() -> None:
            async with self._open(Target()) as session:
                await work(session.client)

        loop.run(main())
        return self

    def meanwhile(self, script: Script) -> Scene:
        """What happens while the next command runs."""
        self._script = script
        return self

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command to its end."""
        result = CliRunner().invoke(
            root, list(arguments), obj=self.wiring, input=stdin, env={"NO_COLOR": "1"}, prog_name="springtide"
        )
        self._script = None
        return result

    @asynccontextmanager
    async def _open(self, target: Target) -> AsyncIterator[Session]:
        clock = LoopClock()
        store = Store(self._log, monotonic=clock.monotonic)
        server = Server(store, clock=clock, log_source=self.logs)
        await server.start()
        client = Client(InProcessTransport(server), manager=MANAGER)
        if self.custom_kinds and not self._began:
            self._began = True
            for crd in bundled():
                await client.create(crd)
        try:
            yield Session(client, target.namespace or "default", clock.now, "https://scene:443")
        finally:
            await store.close()

    @asynccontextmanager
    async def _open_with_script(self, target: Target) -> AsyncIterator[Session]:
        async with self._open(target) as session:
            script = self._script
            played = asyncio.create_task(script(session.client)) if script is not None else None
            yield session
            if played is not None:
                await played


async def create_with_status(client: Client, obj: Object) -> Object:
    """Create an object and then set the status it has here."""
    made = await client.create(obj)
    status = encode(obj).get("status")
    if not status:
        return made
    metadata = obj.metadata
    return await client.patch(
        type(obj), metadata.name, metadata.namespace, {"status": status}, subresource="status"
    )


async def set_status(client: Client, obj: Object, **status: Any) -> None:
    """Merge fields (as JSON) into an object's status."""
    metadata = obj.metadata
    await client.patch(type(obj), metadata.name, metadata.namespace, {"status": status}, subresource="status")


def condition(type_: str, status: str = "True", reason: str = "Because", message: str = "") -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message, last_transition_time=EPOCH)


def trainjob(name: str, *, nodes: int = 2, namespace: str = "default") -> TrainJob:
    return TrainJob(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=TrainJobSpec(
            runtime_ref=RuntimeRef(name="plain"),
            trainer=Trainer(num_nodes=nodes, command=["python", "train.py"]),
        ),
    )


def workload(job: TrainJob, *, pods: int = 2, priority: int = 0) -> Workload:
    """The Workload of a job that was read from the server."""
    template = PodTemplateSpec(spec=PodSpec(containers=[Container(name="node", image="python")]))
    return Workload(
        metadata=ObjectMeta(
            name=f"trainjob-{job.metadata.name}",
            namespace=job.metadata.namespace,
            owner_references=[owner_reference(job)],
        ),
        spec=WorkloadSpec(
            pod_sets=[PodSet(name="node", count=pods, template=template)],
            priority=priority,
            queue_name="default",
        ),
    )


def pod(job: str, rank: int, *, attempt: int = 0) -> Pod:
    """A pod of a job, bound, its container not started."""
    return Pod(
        metadata=ObjectMeta(
            name=f"{job}-node-0-{rank}-a{attempt}",
            namespace="default",
            labels={
                "jobset.sigs.k8s.io/jobset-name": job,
                "jobset.sigs.k8s.io/replicatedjob-name": "node",
                "batch.kubernetes.io/job-completion-index": str(rank),
                "springtide.dev/attempt": str(attempt),
            },
        ),
        spec=PodSpec(node_name="laptop", containers=[Container(name="node", image="python")]),
    )


def pod_status(phase: str, *, exit_code: int | None = None, restarts: int = 0) -> PodStatus:
    """Running, or ended with an exit code."""
    state: dict[str, Any] = {"running": {}} if exit_code is None else {"terminated": {"exitCode": exit_code}}
    status = {
        "name": "node",
        "restartCount": restarts,
        "state": state,
        "image": "",
        "imageID": "",
        "ready": False,
    }
    return PodStatus(phase=phase, container_statuses=[msgspec.convert(status, ContainerStatus)])


def plain_scene() -> Scene:
    """A scene with Kubernetes' own kinds only."""
    return Scene(custom_kinds=False)
