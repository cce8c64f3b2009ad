"""How quickly pods get their nodes through a real API server, beside kube-scheduler. One JSON row a case.

    KUBEBUILDER_ASSETS=/folder/with/binaries python benchmarks/binds.py [--rounds 3] [--target embedded]

2,000 nodes of 8 GPUs and 16,000 pods of one GPU. Each scheduler is a process of its own against a fresh
server, in rounds that alternate; the folder holds kube-apiserver, etcd and, to compare with, kube-scheduler.
`burst`: all pods are there before the scheduler starts; a bind counts when a watch shows it. `steady`: pods
come at a fixed rate while it runs; latency is from when a watch shows the pod until it shows its node.
Both schedulers write an event a pod as well, ours after the bindings of a burst.
`bare`: a loop of Binding calls that decides nothing, over 64 connections: what the server can take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import uvloop

from load import servers
from load.cluster import GPUS, PODS, allow_pods, create_nodes, watching
from load.exchange import Call, Door, send_all
from load.pods import pod
from load.schedulers import KUBE_SCHEDULER, SCHEDULER_NAMES, SPRINGTIDE, install_kinds, scheduler
from load.servers import Peer, cpu_seconds
from springtide.api.core import Event
from springtide.client import connect, load_kubeconfig

BOUND, WAITING = "spec.nodeName!=", "spec.nodeName="
PATIENCE_SECONDS = 600.0
WARM_PODS = 20
Row = dict[str, object]


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def prepare(door: Door, nodes: int) -> None:
    """Everything but the pods."""
    await allow_pods(door)
    await install_kinds(door)
    await create_nodes(door, nodes)


async def create_pods(door: Door, prefix: str, count: int, scheduler_name: str) -> None:
    bodies = (pod(f"{prefix}-{number}", scheduler=scheduler_name) for number in range(count))
    await send_all(door, [Call("POST", PODS, body) for body in bodies])


class Case:
    """One scheduler, or none, on one fresh server."""

    def __init__(self, peer: Peer, folder: Path, binaries: Path | None, nodes: int, pods: int) -> None:
        self._peer = peer
        self._folder = folder
        self._binaries = binaries
        self._nodes = nodes
        self._pods = pods

    async def bare(self) -> Row:
        """Bind every pod to the next free node, without a scheduler."""
        door = self._peer.door
        await prepare(door, self._nodes)
        await create_pods(door, "pod", self._pods, "nobody")
        calls = []
        for number in range(self._pods):
            target = {"apiVersion": "v1", "kind": "Node", "name": f"node-{number // GPUS % self._nodes:05}"}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": f"pod-{number}"}}
            calls.append(
                Call("POST", f"{PODS}/pod-{number}/binding", json.dumps(body | {"target": target}).encode())
            )
        before = self._peer.cpu_seconds()
        async with watching(door, BOUND, self._pods) as seen:
            done = await send_all(door, calls)
            await seen.all_seen(PATIENCE_SECONDS)
        return {
            "binds_per_second": round(self._pods / done.seconds),
            "call_p50_ms": done.percentile_ms(50),
            "call_p99_ms": done.percentile_ms(99),
            "server_cpu_seconds": round(self._peer.cpu_seconds() - before, 2),
        }

    async def burst(self, name: str) -> Row:
        """All pods wait when the scheduler starts."""
        door = self._peer.door
        await prepare(door, self._nodes)
        await create_pods(door, "pod", self._pods, SCHEDULER_NAMES[name])
        kubeconfig = self._peer.write_kubeconfig(self._folder / "kubeconfig")
        async with watching(door, BOUND, self._pods) as seen:
            before, began = self._peer.cpu_seconds(), time.perf_counter()
            with scheduler(name, kubeconfig, self._folder, self._binaries) as process:
                await seen.all_seen(PATIENCE_SECONDS)
                scheduler_cpu, memory = cpu_seconds(process), process.memory_info().rss
                told = await events(kubeconfig)
            server_cpu = self._peer.cpu_seconds() - before
        times = sorted(seen.at.values())
        return {
            "binds_per_second": round((len(times) - 1) / (times[-1] - times[0])),
            "binds_per_second_from_start": round(len(times) / (times[-1] - began)),
            "first_bind_seconds": round(times[0] - began, 2),
            "seconds": round(times[-1] - began, 2),
            "scheduler_cpu_seconds": round(scheduler_cpu, 2),
            "server_cpu_seconds": round(server_cpu, 2),
            "scheduler_mb": round(memory / 1e6),
            "events_written_by_then": told,
        }

    async def steady(self, name: str, rate: float, seconds: float) -> Row:
        """Pods come one by one at this rate; how long each waits for its node."""
        door = self._peer.door
        await prepare(door, self._nodes)
        count = int(rate * seconds)
        kubeconfig = self._peer.write_kubeconfig(self._folder / "kubeconfig")
        with scheduler(name, kubeconfig, self._folder, self._binaries) as process:
            async with watching(door, BOUND, WARM_PODS) as warm:
                await create_pods(door, "warm", WARM_PODS, SCHEDULER_NAMES[name])
                await warm.all_seen(PATIENCE_SECONDS)
            before = cpu_seconds(process)
            async with (
                watching(door, WAITING, count) as waiting,
                watching(door, BOUND, count + WARM_PODS) as bound,
            ):
                await arrive(kubeconfig, count, rate, SCHEDULER_NAMES[name])
                await bound.all_seen(PATIENCE_SECONDS)
            scheduler_cpu = cpu_seconds(process) - before
        waits = [bound.at[name] - at for name, at in waiting.at.items()]
        return {
            "arrivals_per_second": rate,
            "arrived": len(waits),
            "latency_ms_p50": round(percentile(waits, 50) * 1e3, 1),
            "latency_ms_p99": round(percentile(waits, 99) * 1e3, 1),
            "scheduler_cpu_seconds": round(scheduler_cpu, 2),
        }


async def events(kubeconfig: Path) -> int:
    """How many events there are: schedulers write one a pod, some later than the binding."""
    client = connect(load_kubeconfig(kubeconfig))
    try:
        return len((await client.list(Event, "default")).items)
    finally:
        await client.close()


async def arrive(kubeconfig: Path, count: int, rate: float, scheduler_name: str) -> None:
    """Create pods at this rate, however long each takes."""
    client = connect(load_kubeconfig(kubeconfig))
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
                body = pod(f"pod-{number}", scheduler=scheduler_name)
                group.create_task(client.request("POST", PODS, body=body))
    finally:
        await client.close()


Start = Callable[[Path], AbstractContextManager[Peer]]


def play(start: Start, options: argparse.Namespace, binaries: Path | None, case: str, name: str) -> Row:
    """One case on one fresh server."""
    with (
        tempfile.TemporaryDirectory(prefix="binds-") as folder,
        start(Path(folder) / "data") as peer,
    ):
        played = Case(peer, Path(folder), binaries, options.nodes, options.pods)
        if case == "bare":
            row = uvloop.run(played.bare())
        elif case == "burst":
            row = uvloop.run(played.burst(name))
        else:
            row = uvloop.run(played.steady(name, options.rate, options.seconds))
        return {"server": peer.name, **row}


def medians(rows: list[Row]) -> Row:
    """The median of every figure over the rounds."""
    return {
        key: round(statistics.median(float(str(row[key])) for row in rows), 2)
        for key, value in rows[0].items()
        if not isinstance(value, str)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--pods", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="arrivals a second of the steady case")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long they come")
    parser.add_argument("--target", choices=("real", "embedded"), default=None)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    binaries = Path(assets) if assets else None
    real = binaries is not None and options.target != "embedded"
    start: Start = servers.springtide
    if real:
        start = lambda folder: servers.kube_apiserver(Path(str(binaries)), folder)  # noqa: E731
    peers = [SPRINGTIDE]
    if binaries is not None and (binaries / KUBE_SCHEDULER).exists():
        peers.append(KUBE_SCHEDULER)
    cases = [("bare", ""), *((case, name) for case in ("burst", "steady") for name in peers)]
    seen: dict[tuple[str, str], list[Row]] = {}
    for number in range(options.rounds):
        for case, name in cases:
            if options.only not in f"{case} {name}":
                continue
            row = play(start, options, binaries, case, name)
            seen.setdefault((case, name), []).append(row)
            head: Row = {"benchmark": "binds", "case": case, "scheduler": name, "round": number + 1}
            print(json.dumps({**head, "nodes": options.nodes, "pods": options.pods, **row}), flush=True)
    found = {key: medians(rows) for key, rows in seen.items()}
    compare(found)


def compare(found: dict[tuple[str, str], Row]) -> None:
    """Ours to theirs, and ours to what the server takes, by the medians of all rounds."""
    row: Row = {"benchmark": "binds, ours compared"}
    for case, figure in (("burst", "binds_per_second"), ("steady", "latency_ms_p99")):
        ours, theirs = found.get((case, SPRINGTIDE)), found.get((case, KUBE_SCHEDULER))
        if ours is not None and theirs is not None:
            row[f"{case}_{figure}_to_kube_scheduler"] = _ratio(ours, theirs, figure)
    ours, bare = found.get(("burst", SPRINGTIDE)), found.get(("bare", ""))
    if ours is not None and bare is not None:
        row["burst_binds_per_second_to_bare"] = _ratio(ours, bare, "binds_per_second")
    print(json.dumps(row), flush=True)


def _ratio(one: Row, other: Row, figure: str) -> float:
    return round(float(str(one[figure])) / float(str(other[figure])), 2)


if __name__ == "__main__":
    main()
