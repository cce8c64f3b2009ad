"""Gangs from Workload to running pods through an API server: 2,000 gangs of 8. One JSON object a row.

    KUBEBUILDER_ASSETS=/folder/with/binaries python benchmarks/gangs.py [--gangs 2000] [--target embedded]

Scheduler, controllers and simulated nodes are processes of their own, as on a cluster: the scheduler admits
each gang whole, `workloads` makes its pods, the nodes start them and renew their leases. There is a node of
8 GPUs for each gang, so that the last one fills the cluster. A pod counts when a watch shows it Running.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import uvloop

from load import servers
from load.cluster import GPUS, NODES, allow_pods, watching
from load.exchange import Call, Door, merge_patch, send_all
from load.schedulers import install_kinds, part
from load.servers import Peer, cpu_seconds
from springtide.api.core import Container, PodSpec, PodTemplateSpec, ResourceRequirements
from springtide.api.kueue import (
    ClusterQueue,
    ClusterQueueSpec,
    LocalQueue,
    LocalQueueSpec,
    PodSet,
    Workload,
    WorkloadSpec,
)
from springtide.api.meta import LabelSelector, Object, ObjectMeta
from springtide.api.resources import resource_of
from springtide.api.struct import encode_json

RUNNING = "status.phase=Running"
PATIENCE_SECONDS = 900.0
READY_SECONDS = 120.0
PARTS = ("scheduler", "controllers", "node")


def workload(number: int) -> Workload:
    """A gang of one pod for each GPU of a node; it runs for an hour."""
    asked = ResourceRequirements(requests={"cpu": 8, "memory": "32Gi"}, limits={"nvidia.com/gpu": 1})
    container = Container(name="main", image="python:3.12", command=["python", "train.py"], resources=asked)
    template = PodTemplateSpec(
        metadata=ObjectMeta(annotations={"simulation.springtide.dev/duration": "3600s"}),
        spec=PodSpec(containers=[container], restart_policy="Never"),
    )
    return Workload(
        metadata=ObjectMeta(name=f"gang-{number:05}", namespace="default"),
        spec=WorkloadSpec(queue_name="gangs", pod_sets=[PodSet(name="node", count=GPUS, template=template)]),
    )


def queues() -> tuple[Object, ...]:
    """One queue without limits."""
    spec = ClusterQueueSpec(namespace_selector=LabelSelector())
    line = LocalQueueSpec(cluster_queue="gangs")
    return (
        ClusterQueue(metadata=ObjectMeta(name="gangs"), spec=spec),
        LocalQueue(metadata=ObjectMeta(name="gangs", namespace="default"), spec=line),
    )


def create(obj: Object) -> Call:
    return Call("POST", resource_of(type(obj)).path(obj.metadata.namespace), encode_json(obj))


def nodes_file(folder: Path, count: int) -> Path:
    """What `springtide node --simulate` reads."""
    file = folder / "nodes.yaml"
    sort = {"namePrefix": "node-", "count": count, "capacity": {"cpu": 128, "memory": "1Ti"}, "gpus": GPUS}
    file.write_text(json.dumps({"nodes": [sort]}))
    return file


async def untaint(door: Door, names: list[str]) -> None:
    """Take away what servers put on new nodes and a cluster's node controller takes away again."""
    await send_all(door, [merge_patch(f"{NODES}/{name}", {"spec": {"taints": None}}) for name in names])


async def measure(peer: Peer, folder: Path, nodes: int, gangs: int) -> dict[str, object]:
    """One cluster from its first node to its last running pod."""
    door = peer.door
    await allow_pods(door)
    await install_kinds(door)
    await send_all(door, [create(obj) for obj in queues()], 1)
    kubeconfig = peer.write_kubeconfig(folder / "kubeconfig")
    wanted = gangs * GPUS
    with ExitStack() as stack:
        parts = {
            "node": stack.enter_context(
                part("node", kubeconfig, folder, "--simulate", str(nodes_file(folder, nodes)))
            )
        }
        async with watching(door, "", nodes, NODES) as there:
            await there.all_seen(READY_SECONDS)
        await untaint(door, list(there.at))
        await send_all(door, [create(workload(number)) for number in range(gangs)])
        async with watching(door, RUNNING, wanted) as seen:
            server_before, began = peer.cpu_seconds(), time.perf_counter()
            parts["controllers"] = stack.enter_context(part("controllers", kubeconfig, folder))
            parts["scheduler"] = stack.enter_context(part("scheduler", kubeconfig, folder))
            await seen.all_seen(PATIENCE_SECONDS)
            spent = {f"{name}_cpu_seconds": round(cpu_seconds(parts[name]), 2) for name in PARTS}
            server_cpu = peer.cpu_seconds() - server_before
    times = sorted(seen.at.values())
    return {
        "server": peer.name,
        "nodes": nodes,
        "gangs": gangs,
        "pods": wanted,
        "pods_running_per_second": round((len(times) - 1) / (times[-1] - times[0]), 1),
        "first_running_seconds": round(times[0] - began, 2),
        "seconds": round(times[-1] - began, 2),
        "server_cpu_seconds": round(server_cpu, 2),
        **spent,
    }


Start = Callable[[Path], AbstractContextManager[Peer]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gangs", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=0, help="as many as there are gangs, unless said")
    parser.add_argument("--target", choices=("real", "embedded", "both"), default="both")
    options = parser.parse_args()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    starts: list[Start] = []
    if assets and options.target != "embedded":
        starts.append(lambda folder: servers.kube_apiserver(Path(assets), folder))
    if not assets or options.target != "real":
        starts.append(servers.springtide)
    for start in starts:
        with (
            tempfile.TemporaryDirectory(prefix="gangs-") as folder,
            start(Path(folder) / "data") as peer,
        ):
            row = uvloop.run(measure(peer, Path(folder), options.nodes or options.gangs, options.gangs))
            print(json.dumps({"benchmark": "gangs", **row}), flush=True)


if __name__ == "__main__":
    main()
