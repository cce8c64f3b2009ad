"""`springtide explain`: why a job waits, restarts or failed, and what to do; from what the platform keeps."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import click

from springtide.api.meta import find_condition
from springtide.cli.ages import age
from springtide.cli.complete import jobs
from springtide.cli.describe import pod_table
from springtide.cli.events import event_table
from springtide.cli.follow import finished
from springtide.cli.job import JobView, job_view
from springtide.cli.phase import Phase
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options
from springtide.cli.verdict import evidence, verdict

EVENTS_SHOWN = 8
IMPOSSIBLE = re.compile(r"\bcan (ever|never) (hold it|start)\b")
"""How the scheduler says that even an empty cluster or queue is too small."""
RESUME = '{"spec":{"suspend":false}}'


@click.command(name="explain")
@click.argument("name", metavar="JOB", shell_complete=jobs)
@target_options
def command(name: str, namespace: str, kubeconfig: Any, context: str) -> None:
    """Say what a job is doing and why: the reason of waiting, the cause of failing, and the next step.

    (For the fields of a kind, `kubectl explain trainjob.spec` works with the platform too.)
    """

    async def work(session: Session) -> None:
        click.echo(explain(await job_view(session, name.rpartition("/")[2]), session.now()))

    connected(Target(kubeconfig, context, namespace), work)


def explain(view: JobView, at: datetime) -> str:
    """The explanation as text, the answer in its first line."""
    sections = [_answer(view, at)]
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
