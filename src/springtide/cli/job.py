"""Everything the server knows about one TrainJob, read at once. Called by `describe`, `explain`, `logs`."""

from __future__ import annotations

from dataclasses import dataclass

from springtide.api import labels
from springtide.api.core import Event, Pod
from springtide.api.kueue import Workload
from springtide.api.springtide import Diagnosis
from springtide.api.trainer import TrainJob
from springtide.cli.errors import CliError
from springtide.cli.events import events_of, when
from springtide.cli.follow import rank_of
from springtide.cli.following import newest_diagnosis, workload_name
from springtide.cli.phase import JobPhase, phase_of
from springtide.cli.session import Session
from springtide.client import NotFound


@dataclass(frozen=True)
class JobView:
    """A job with what belongs to it. `pods` in the order of attempt and rank."""

    job: TrainJob
    workload: Workload | None
    pods: list[Pod]
    diagnosis: Diagnosis | None
    events: list[Event]

    @property
    def phase(self) -> JobPhase:
        return phase_of(self.job, self.workload, self.pods)


async def train_job(session: Session, name: str) -> TrainJob:
    """The job of this name. Raises CliError with the names there are."""
    try:
        return await session.client.get(TrainJob, name, session.namespace)
    except NotFound:
        jobs = await session.client.list(TrainJob, session.namespace)
        known = ", ".join(sorted(job.metadata.name for job in jobs.items)[:10])
        raise CliError(
            f"no TrainJob is named {name!r} in namespace {session.namespace}",
            f"there are: {known}" if known else "`springtide get trainjobs -A` lists those of all namespaces",
        ) from None


async def job_view(session: Session, name: str) -> JobView:
    """The job and all that belongs to it. Raises CliError if there is no such job."""
    job = await train_job(session, name)
    workload = await workload_of(session, name)
    pods = await pods_of(session, name)
    events = await events_of(session.client, job.metadata.uid, session.namespace)
    if workload is not None:
        events += await events_of(session.client, workload.metadata.uid, session.namespace)
    for pod in pods:
        events += await events_of(session.client, pod.metadata.uid, session.namespace)
    diagnosis = await newest_diagnosis(session.client, name, session.namespace)
    return JobView(job, workload, pods, diagnosis, sorted(events, key=when))


async def workload_of(session: Session, name: str) -> Workload | None:
    try:
        return await session.client.get(Workload, workload_name(name), session.namespace)
    except NotFound:
        return None


async def pods_of(session: Session, name: str) -> list[Pod]:
    listing = await session.client.list(Pod, session.namespace, label_selector=f"{labels.JOBSET_NAME}={name}")
    return sorted(listing.items, key=lambda pod: (attempt_of(pod), _rank_order(pod), pod.metadata.name))


def attempt_of(pod: Pod) -> int:
    """The attempt a pod belongs to, counted from 0."""
    text = pod.metadata.labels.get(labels.ATTEMPT, "0")
    return int(text) if text.isdigit() else 0


def _rank_order(pod: Pod) -> tuple[int, str]:
    rank = rank_of(pod)
    return (int(rank), "") if rank.isdigit() else (-1, rank)
