"""`springtide plan`: what would become of a job if it were created now; nothing is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from springtide import client as api
from springtide.api.commands import Create
from springtide.api.kueue import Workload
from springtide.api.meta import Object, find_condition
from springtide.api.struct import decode, replace
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntime, TrainJob
from springtide.cli.apply import apply_manifest
from springtide.cli.cluster import cluster, options
from springtide.cli.errors import CliError
from springtide.cli.manifests import Manifest, read
from springtide.cli.output import JSON, YAML, output_option, print_data
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options

if TYPE_CHECKING:
    from springtide.scheduling.whatif import Forecast

T = TypeVar("T", bound=Object)

_KINDS = "TrainJob, Workload"
_NODES_SHOWN = 12


@click.command(name="plan")
@click.option(
    "-f",
    "--filename",
    "sources",
    multiple=True,
    required=True,
    metavar="FILE|FOLDER|-",
    help="Jobs that might be created; repeatable.",
)
@output_option(JSON, YAML)
@target_options
def command(sources: tuple[str, ...], output: str, namespace: str, kubeconfig: Any, context: str) -> None:
    """Show what the scheduler would decide about jobs if they were created now. Nothing is created.

    The server checks each manifest in a dry run; the scheduler's own code decides on the cluster as it is:
    where the pods would run, or why the job would wait, and who would have to go for it.
    """
    manifests = [manifest for source in sources for manifest in read(source, sys.stdin)]

    async def work(session: Session) -> list[Forecast]:
        from springtide.scheduling.whatif import forecast

        now = session.now()
        wanted = [await _workload(session, manifest, now) for manifest in manifests]
        return forecast(await cluster(session), wanted, now, await options(session))

    found = connected(Target(kubeconfig, context, namespace), work)
    if output:
        print_data([as_data(one) for one in found], output)
        return
    click.echo("\n\n".join(map(render, found)) if found else "nothing to plan")


def as_data(found: Forecast) -> dict[str, Any]:
    """One forecast as plain data."""
    start = found.expected_start
    return {**asdict(found), "expected_start": start.isoformat() if start is not None else None}


def render(found: Forecast) -> str:
    """One forecast as text, the answer in its first line."""
    if found.starts:
        lines = [f"{found.workload}: starts now in ClusterQueue {found.cluster_queue}"]
        for pod_set, nodes in (found.nodes or {}).items():
            shown = [f"{node} ({count})" for node, count in list(nodes.items())[:_NODES_SHOWN]]
            more = f" and {len(nodes) - _NODES_SHOWN} more" if len(nodes) > _NODES_SHOWN else ""
            lines.append(f"  {pod_set}: {', '.join(shown)}{more}")
        return "\n".join(lines)
    lines = [f"{found.workload}: waits", f"  {found.reason or 'the scheduler says nothing'}"]
    if found.expected_start is not None:
        when = f"{found.expected_start:%Y-%m-%d %H:%M} UTC"
        lines.append(f"  expected to start about {when}, {found.expected_reason}")
    if found.victims:
        lines.append("  these would have to go:")
        lines += [
            f"    {one.workload} (priority {one.priority}, pods {one.pods}): {one.reason}"
            for one in found.victims
        ]
    return "\n".join(lines)


async def _workload(session: Session, manifest: Manifest, now: datetime) -> Workload:
    """The Workload that would be made of a manifest. Raises CliError."""
    raw, _ = await apply_manifest(session, manifest, dry_run=True, force=True)
    kind = raw.get("kind")
    if kind == "Workload":
        return _unborn(decode(Workload, raw), now)
    if kind == "TrainJob":
        return await _of_job(session, decode(TrainJob, raw), now)
    raise CliError(f"{manifest.place}: kind {kind} cannot be planned", f"kinds that can: {_KINDS}")


async def _of_job(session: Session, job: TrainJob, now: datetime) -> Workload:
    from springtide.training.plan import Snapshot, plan

    ref = job.spec.runtime_ref
    runtime: TrainingRuntime | ClusterTrainingRuntime | None = None
    try:
        if ref.kind == "TrainingRuntime":
            runtime = await session.client.get(TrainingRuntime, ref.name, job.metadata.namespace)
        else:
            runtime = await session.client.get(ClusterTrainingRuntime, ref.name)
    except api.NotFound:
        pass  # the plan says so
    decided = plan(Snapshot(job, runtime), now)
    made = [one.obj for one in decided.commands if isinstance(one, Create) and isinstance(one.obj, Workload)]
    if made:
        return _unborn(made[0], now)
    raise CliError(f"TrainJob {job.metadata.name}: {_why_none(decided.commands)}")


def _why_none(commands: Sequence[object]) -> str:
    """What the training room says of a job for which it makes no Workload."""
    for one in commands:
        fields = getattr(one, "fields", {})
        job = decode(TrainJob, {"status": fields.get("status", {})}) if "status" in fields else None
        found = find_condition(job.status.conditions, "Pending") if job is not None else None
        if found is not None:
            return found.message
    return "no Workload would be made of it; is it finished, or managed by another controller?"


def _unborn(workload: Workload, now: datetime) -> Workload:
    """As if it had just been created."""
    metadata = replace(workload.metadata, uid="planned", creation_timestamp=now)
    return replace(workload, metadata=metadata)
