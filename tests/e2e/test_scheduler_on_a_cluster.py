"""`springtide scheduler` beside other schedulers on an API server it did not start, killed while it binds.

On the embedded server always; on a real kube-apiserver with etcd where `KUBEBUILDER_ASSETS` has them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Node, Pod, ServiceAccount
from springtide.api.crds import bundled
from springtide.api.kueue import Workload, nodes_of
from springtide.api.meta import ObjectMeta
from springtide.api.struct import encode, replace
from springtide.client import AlreadyExists, Client, connect, load_kubeconfig
from springtide.runtime import Runtime, SystemClock
from tests.builders import cluster_queue, local_queue, node, pod, pod_set, pod_spec, workload
from tests.e2e.platforms import ROOT, SPRINGTIDE, Platform, kubectl_path
from tests.kube_apiserver import Account, KubeApiserver, kube_apiserver
from tests.programs import started, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

RIGHTS = ROOT / "deploy" / "rbac" / "scheduler.yaml"
ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
NODES, CPUS = 23, 16
GANGS, GANG = 16, 8
FOREIGN = 8
OURS = NODES * CPUS - GANGS * GANG - FOREIGN
"""Together they fill the cluster to the last CPU, so that nothing may be given twice or leak."""
KILLED_AFTER = 30
PATIENCE_SECONDS = 90


@dataclass(frozen=True)
class Server:
    """Kubeconfigs of an administrator and of the scheduler, who may do no more than it must."""

    admin: Path
    scheduler: Path


@contextmanager
def embedded(folder: Path) -> Iterator[Server]:
    """`springtide server`."""
    log, data = folder / "server.log", folder / "data"
    command = [*SPRINGTIDE, "server", "--data-dir", str(data), "--port", "0"]
    with started(command, log) as server:
        wait_until(lambda: "export KUBECONFIG=" in log.read_text(), server, log)
        yield Server(data / "kubeconfig", data / "kubeconfigs" / "scheduler")


@contextmanager
def real(folder: Path) -> Iterator[Server]:
    """kube-apiserver and etcd, with the rights that `deploy/rbac` gives."""
    accounts = [
        Account("admin", "admin", ("system:masters",)),
        Account("scheduler", "scheduler", ("springtide:schedulers",)),
    ]
    with kube_apiserver(Path(ASSETS), folder / "data", accounts, durable=False) as running:
        for account in accounts:
            config = _kubeconfig(running, account)
            (folder / account.name).write_text(json.dumps(config))
        applied = Platform(folder, folder).execute(
            [kubectl_path(), "--kubeconfig", str(folder / "admin"), "apply", "-f", str(RIGHTS)]
        )
        assert applied.code == 0, applied.text
        yield Server(folder / "admin", folder / "scheduler")


def _kubeconfig(running: KubeApiserver, account: Account) -> dict[str, object]:
    server = f"https://127.0.0.1:{running.port}"
    cluster = {"server": server, "certificate-authority": str(running.ca_file)}
    return {
        "clusters": [{"name": "real", "cluster": cluster}],
        "users": [{"name": account.name, "user": {"token": account.token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": account.name}}],
        "current-context": "real",
    }


NEEDS_ASSETS = pytest.mark.skipif(not ASSETS, reason="KUBEBUILDER_ASSETS names no kube-apiserver and etcd")


@pytest.fixture(params=["embedded", pytest.param("real", marks=NEEDS_ASSETS)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with {"embedded": embedded, "real": real}[request.param](tmp_path) as made:
        yield made


async def prepare(client: Client) -> None:
    """Kinds, queue and nodes, as an administrator and kubelets make them."""
    for crd in bundled():
        fields = encode(crd)
        fields.pop("status", None)
        await client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
    with suppress(AlreadyExists):
        await client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
    await client.create(cluster_queue("gangs"))
    await client.create(local_queue("gangs", "gangs"))
    for index in range(NODES):
        made = node(f"n{index:02}", cpu=CPUS)
        await client.create(made)
        await client.patch(Node, made.metadata.name, "", {"spec": {"taints": None}})
        status = {"status": encode(made)["status"]}
        await client.patch(Node, made.metadata.name, "", status, subresource="status")


async def submit(client: Client) -> None:
    """Pods of another scheduler, one of which it has bound; then gangs and pods of ours."""
    spec = pod_spec(cpu=FOREIGN)
    for name in ("theirs", "theirs-waits"):
        await client.create(pod(name, replace(spec, scheduler_name="another")))
    await client.bind("default", "theirs", "n00")
    for index in range(GANGS):
        gang = workload(f"gang-{index:02}", pod_set(GANG, pod_spec(cpu=1)), queue="gangs", job=f"j{index}")
        await client.create(replace(gang, metadata=replace(gang.metadata, uid="")))
    ours = pod_spec(cpu=1)
    for index in range(OURS):
        await client.create(pod(f"ours-{index:03}", ours))


class History:
    """Every node that a pod ever had, and every place that a gang ever had, as watches showed them."""

    def __init__(self, runtime: Runtime) -> None:
        self.nodes: dict[str, set[str]] = {}
        self.places: dict[str, list[dict[str, int]]] = {}
        runtime.informer(Pod).on_change(self._pod)
        runtime.informer(Workload).on_change(self._workload)

    def _pod(self, _: Pod | None, new: Pod | None) -> None:
        if new is not None and new.spec.node_name:
            self.nodes.setdefault(new.metadata.name, set()).add(new.spec.node_name)

    def _workload(self, _: Workload | None, new: Workload | None) -> None:
        admission = new.status.admission if new is not None else None
        if new is None or admission is None:
            return
        (assignment,) = admission.pod_set_assignments
        assert assignment.topology_assignment is not None
        known = self.places.setdefault(new.metadata.name, [])
        found = dict(nodes_of(assignment.topology_assignment))
        if found not in known:
            known.append(found)

    @property
    def ours(self) -> int:
        return sum(name.startswith("ours-") for name in self.nodes)

    @property
    def complete(self) -> bool:
        return self.ours == OURS and len(self.places) == GANGS

    def held(self) -> Counter[str]:
        """CPUs by node."""
        held: Counter[str] = Counter()
        for name, (where,) in self.nodes.items():
            held[where] += FOREIGN if name == "theirs" else 1
        for (places,) in self.places.values():
            held.update(places)
        return held


@asynccontextmanager
async def looking_on(client: Client) -> AsyncIterator[History]:
    runtime = Runtime(client, SystemClock())
    history = History(runtime)
    running = asyncio.create_task(runtime.run())
    try:
        yield history
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def leads(log: Path) -> bool:
    return "event=leading" in log.read_text()


@pytest.mark.timeout(300)
async def test_the_second_takes_over_when_the_leader_is_killed_while_it_binds(
    server: Server, tmp_path: Path
) -> None:
    client = connect(load_kubeconfig(server.admin))
    logs = tmp_path / "first.log", tmp_path / "second.log"
    command = [*SPRINGTIDE, "scheduler", "--kubeconfig", str(server.scheduler)]
    with ExitStack() as stack:
        await prepare(client)
        first = stack.enter_context(started(command, logs[0]))
        await until(lambda: leads(logs[0]), first, logs[0])
        second = stack.enter_context(started(command, logs[1]))
        async with looking_on(client) as history:
            submitting = asyncio.create_task(submit(client))
            await until(lambda: history.ours >= KILLED_AFTER, first, logs[0])
            first.send_signal(signal.SIGKILL)
            bound_when_killed = history.ours
            await submitting
            assert bound_when_killed < OURS, "it was to be killed in the middle"
            await until(lambda: history.complete, second, logs[1])
            assert leads(logs[1])
            assert {name: found for name, found in history.nodes.items() if len(found) > 1} == {}
            assert {name: found for name, found in history.places.items() if len(found) > 1} == {}
            assert all(sum(found[0].values()) == GANG for found in history.places.values())
            assert history.held() == {f"n{index:02}": CPUS for index in range(NODES)}
            assert "theirs-waits" not in history.nodes
    await client.close()


async def until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait without blocking the loop. Fails with the end of the log if the process ends first."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not ready():
            assert process.poll() is None, end_of(log)
            await asyncio.sleep(0.02)


def end_of(log: Path) -> str:
    return log.read_text()[-2000:]
