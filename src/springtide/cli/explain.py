"""`springtide explain`: why a job waits, restarts or failed, and what to do; from what the platform keeps."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition
from springtide.cli.ages import age
from springtide.cli.complete import jobs
from springtide.cli.describe import pod_table
from springtide.cli.events import event_table
from springtide.cli.follow import finished
from springtide.cli.job import JobView, job_view
from springtide.cli.job_gpus import JobGpus, gpus_by_workload
from springtide.cli.output import JSON, YAML, output_option, print_data
from springtide.cli.phase import Phase
from springtide.cli.queue import admitted
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options
from springtide.cli.verdict import evidence, verdict
from springtide.cli.waiting import explanation_of, named, render

if TYPE_CHECKING:
    from springtide.scheduling.explanation import Explanation

EVENTS_SHOWN = 8
_TRAIN_JOB = ("", "trainjob", "trainjobs")
IMPOSSIBLE = re.compile(r"\bcan (ever|never) (hold it|start)\b")
"""How the scheduler says that even an empty cluster or queue is too small."""
RESUME = '{"spec":{"suspend":false}}'


@click.command(name="explain")
@click.argument("name", metavar="JOB", shell_complete=jobs)
@output_option(JSON, YAML)
@target_options
def command(name: str, output: str, namespace: str, kubeconfig: Any, context: str) -> None:
    """Say what a job is doing and why: the reason of waiting, the cause of failing, and the next step.

    JOB is a TrainJob, or KIND/NAME of anything else that waits: workload/NAME, pod/NAME, a job that has a
    Workload. For one that waits the scheduler's own code tries what would let it start; nothing is written.
    `-o json` prints that answer.

    (For the fields of a kind, `kubectl explain trainjob.spec` works with the platform too.)
    """
    kind, _, short = name.rpartition("/")

    async def of_job(session: Session) -> None:
        view = await job_view(session, short)
        waits = view.workload is not None and view.phase.phase is Phase.WAITING
        found = await explanation_of(session, view.workload) if waits and view.workload is not None else None
        if output:
            print_data(_data(found, view.workload), output)
        else:
            load = view.workload
            gpus = await gpus_by_workload(session, [load]) if load is not None and admitted(load) else {}
            click.echo(explain(view, session.now(), found, gpus.get(load.key) if load is not None else None))

    async def of_other(session: Session) -> None:
        one = await named(session, kind, short)
        found = await explanation_of(session, one)
        if output:
            print_data(_data(found, one), output)
            return
        state = "waits" if found is not None else "does not wait"
        click.echo("\n\n".join([f"{name}: {state}", *([render(found, session.now())] if found else [])]))

    is_job = kind.partition(".")[0].lower() in _TRAIN_JOB
    connected(Target(kubeconfig, context, namespace), of_job if is_job else of_other)


def _data(found: Explanation | None, one: Workload | Pod | None) -> dict[str, Any]:
    """What `-o json` prints."""
    key = one.key if one is not None else ""
    if found is None:
        return {"key": key, "waits": False}
    moments = {"since": found.since, "expected_start": found.expected_start}
    said = {name: at.isoformat() if at is not None else None for name, at in moments.items()}
    return {"waits": True, **asdict(found), **said}


def explain(
    view: JobView, at: datetime, waiting: Explanation | None = None, gpus: JobGpus | None = None
) -> str:
    """The explanation as text, the answer in its first line."""
    sections = [_answer(view, at)]
    if waiting is not None:
        sections.append(render(waiting, at))
    if view.diagnosis is not None:
        spec = view.diagnosis.spec
        where = f" on node {spec.node}" if spec.node else ""
        sections.append(
            f"cause    {spec.message}\n"
            f"fault    {spec.fault_class or 'unknown'}{where}, attempt {spec.attempt + 1},"
            f" blamed on the {spec.blame} ({spec.confidence:.0%} sure)\n"
            f"action   {spec.action}"
        )
        found = evidence(view.diagnosis)
        if found:
            sections.append("evidence\n" + "\n".join(f"  {line}" for line in found))
    if gpus is not None:
        sections.append(f"GPUs     uses {gpus}" if gpus.measured else f"GPUs     {gpus}")
    if view.pods:
        sections.append(pod_table(view.pods, at))
    if view.events:
        sections.append(event_table(view.events[-EVENTS_SHOWN:], at))
    step = next_step(view)
    if step:
        sections.append(f"next: {step}")
    return "\n\n".join(sections)


def next_step(view: JobView) -> str:
    """What the user can do now, in one sentence; "" when there is nothing to do."""
    name = view.job.metadata.name
    match view.phase.phase:
        case Phase.COMPLETE:
            return ""
        case Phase.FAILED:
            return verdict(view.job, None, view.diagnosis).hint
        case Phase.SUSPENDED:
            return f"let it run: kubectl patch trainjob {name} --type merge -p '{RESUME}'"
        case Phase.WAITING:
            return _waiting_step(view)
        case Phase.CREATED if view.phase.detail:
            return f"delete it (`springtide delete trainjob {name}`), correct the manifest, apply it again"
        case _:
            return f"`springtide logs -f {name}` follows it"


def _waiting_step(view: JobView) -> str:
    """What lets a job start that waits: patience helps only where the nodes there are can ever hold it."""
    if IMPOSSIBLE.search(view.phase.detail):
        return (
            "waiting will not help: ask for less (spec.trainer.resourcesPerNode, spec.trainer.numNodes),"
            " or add a node that holds what it asks for"
        )
    return "`springtide queue` shows who is before it; fewer nodes or smaller requests may fit now"


def _answer(view: JobView, at: datetime) -> str:
    name = view.job.metadata.name
    if finished(view.job):
        return verdict(view.job, None, view.diagnosis).line
    return f"{name}: {view.phase} (for {age(since(view), at)})"


def since(view: JobView) -> datetime | None:
    """Since when the job is in its phase, as far as a condition tells; else since its creation."""
    conditions = view.workload.status.conditions if view.workload is not None else []
    telling = {
        Phase.WAITING: "QuotaReserved",
        Phase.STARTING: "Admitted",
        Phase.RUNNING: "PodsReady",
        Phase.RESTARTING: "Evicted",
    }
    found = find_condition(conditions, telling.get(view.phase.phase, ""))
    moment = found.last_transition_time if found is not None else None
    return moment or view.job.metadata.creation_timestamp
