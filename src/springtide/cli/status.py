"""`springtide status`: the platform as a process, and what it holds, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from springtide.api.core import Node
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from springtide.api.trainer import TrainJob
from springtide.cli import platform
from springtide.cli.ages import age, now
from springtide.cli.errors import Unreachable
from springtide.cli.following import workload_name
from springtide.cli.output import JSON, YAML, columns, output_option, print_data
from springtide.cli.phase import Phase, phase_of
from springtide.cli.queue import queue_views
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, data_dir_option, target_options

NODES_SHOWN = 20
JOBS_SHOWN = 20
_ENDED = (Phase.COMPLETE, Phase.FAILED)


@click.command(name="status")
@data_dir_option
@output_option(JSON, YAML)
@target_options
def command(data_dir: Path, output: str, namespace: str, kubeconfig: Any, context: str) -> None:
    """Show the platform of this machine (or of a kubeconfig), its nodes, queues and unfinished jobs."""
    found = platform.running(data_dir)
    local = describe_process(found, data_dir) if found is not None and kubeconfig is None else None

    async def work(session: Session) -> dict[str, Any]:
        return await contents(session, session.now())

    try:
        held = connected(Target(kubeconfig, context, namespace, data_dir), work)
    except Unreachable as error:
        if local is None:
            raise
        raise Unreachable(
            f"process {local['pid']} runs but does not answer: {error.message}",
            f"look into {data_dir / platform.LOG_FILE}; `springtide down` ends it",
        ) from None
    if local is not None and held["server"] not in ("", local["server"]):
        local = None  # KUBECONFIG names another server, and that is the one shown
    status = ({"platform": local} if local is not None else {}) | held
    if output:
        print_data(status, output)
    else:
        click.echo(render(status))


def describe_process(running: platform.Running, data_dir: Path) -> dict[str, Any]:
    """The local platform in numbers."""
    up_since = datetime.fromtimestamp(running.started_at, UTC)
    return {
        "pid": running.pid,
        "version": running.version,
        "server": running.server,
        "uptime": age(up_since, now()),
        "residentMB": round(platform.resident_bytes(running.pid) / 1e6, 1),
        "dataDir": str(data_dir),
        "dataMB": round(platform.folder_bytes(data_dir) / 1e6, 1),
    }


async def contents(session: Session, at: datetime) -> dict[str, Any]:
    """Nodes, queues and unfinished jobs as plain data, the shape `-o json` prints."""
    nodes = (await session.client.list(Node)).items
    queues = await queue_views(session, at)
    jobs = (await session.client.list(TrainJob)).items
    workloads = {w.key: w for w in (await session.client.list(Workload)).items}
    return {
        "server": session.server,
        "nodes": [_node(node, at) for node in nodes],
        "queues": [{"name": q.name, "running": q.running, "waiting": q.waiting} for q in queues],
        "jobs": _jobs(jobs, workloads, at),
        "finishedJobs": sum(phase_of(job).phase in _ENDED for job in jobs),
    }


def _jobs(jobs: Sequence[TrainJob], workloads: dict[str, Workload], at: datetime) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for job in jobs:
        workload = workloads.get(f"{job.metadata.namespace}/{workload_name(job.metadata.name)}")
        phase = phase_of(job, workload)
        if phase.phase not in _ENDED:
            found.append(
                {
                    "name": job.metadata.name,
                    "namespace": job.metadata.namespace,
                    "phase": str(phase.phase),
                    "detail": phase.detail,
                    "age": age(job.metadata.creation_timestamp, at),
                }
            )
    return found


def _node(node: Node, at: datetime) -> dict[str, Any]:
    ready = is_true(node.status.conditions, "Ready")
    condition = find_condition(node.status.conditions, "Ready")
    capacity = node.status.allocatable or node.status.capacity
    return {
        "name": node.metadata.name,
        "ready": ready,
        "schedulable": not node.spec.unschedulable,
        "reason": "" if ready or condition is None else condition.message,
        "cpu": str(capacity.get("cpu", "")),
        "memory": str(capacity.get("memory", "")),
        "gpus": str(capacity.get("nvidia.com/gpu", "0")),
        "age": age(node.metadata.creation_timestamp, at),
    }


def render(status: dict[str, Any]) -> str:
    """The page."""
    parts: list[str] = []
    local = status.get("platform")
    if local is not None:
        parts.append(
            f"platform  springtide {local['version']}, process {local['pid']}, up {local['uptime']}\n"
            f"server    {local['server']}\n"
            f"memory    {local['residentMB']} MB resident\n"
            f"data      {local['dataDir']} ({local['dataMB']} MB)"
        )
    elif status["server"]:
        parts.append(f"server    {status['server']} (chosen by the kubeconfig)")
    parts.append(_render_nodes(status["nodes"]))
    rows = [[q["name"], str(q["running"]), str(q["waiting"])] for q in status["queues"]]
    parts.append(columns(["QUEUE", "RUNNING", "WAITING"], rows) if rows else "no queues")
    parts.append(_render_jobs(status["jobs"], status["finishedJobs"]))
    return "\n\n".join(parts)


def _render_nodes(nodes: list[dict[str, Any]]) -> str:
    if not nodes:
        return "no nodes"
    rows = [
        [n["name"], _node_state(n), n["cpu"], n["memory"], n["gpus"], n["age"]] for n in nodes[:NODES_SHOWN]
    ]
    table = columns(["NODE", "STATE", "CPU", "MEMORY", "GPU", "AGE"], rows)
    more = len(nodes) - NODES_SHOWN
    return f"{table}\n… and {more} more nodes" if more > 0 else table


def _node_state(node: dict[str, Any]) -> str:
    state = "Ready" if node["ready"] else f"NotReady ({node['reason']})" if node["reason"] else "NotReady"
    return state if node["schedulable"] else f"{state}, cordoned"


def _render_jobs(jobs: list[dict[str, Any]], finished: int) -> str:
    ended = f"{finished} finished job{'s' if finished != 1 else ''}"
    if not jobs:
        return f"no unfinished jobs, {ended}"
    rows = [[j["name"], j["namespace"], j["phase"], j["age"], j["detail"]] for j in jobs[:JOBS_SHOWN]]
    table = columns(["JOB", "NAMESPACE", "PHASE", "AGE", "DETAIL"], rows)
    more = len(jobs) - JOBS_SHOWN
    return f"{table}\n" + (f"… and {more} more jobs, {ended}" if more > 0 else ended)
