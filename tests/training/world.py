"""A world of one TrainJob: applies what a plan asks for, so that the next plan sees it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Emit, Plan
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Condition, find_condition
from springtide.api.struct import decode, encode
from springtide.api.struct import replace as replaced
from springtide.api.trainer import TrainJob
from springtide.training.patches import overlay
from springtide.training.plan import Snapshot, plan
from springtide.training.runtimes import builtin_runtimes
from tests import builders
from tests.builders import at, train_job

TORCH = next(one for one in builtin_runtimes() if one.metadata.name == "torch-distributed")


class World:
    """Keeps the snapshot; `step` plans and applies, and checks that planning again asks for nothing."""

    def __init__(self, job: TrainJob, **of_snapshot: Any) -> None:
        self.snapshot = Snapshot(**{"job": job, "runtime": TORCH, "port": 23456, **of_snapshot})
        self.events: list[Emit] = []
        self.deleted: list[Delete] = []
        self._made = 0

    @property
    def job(self) -> TrainJob:
        return self.snapshot.job

    @property
    def workload(self) -> Workload:
        assert self.snapshot.workload is not None
        return self.snapshot.workload

    def is_active(self) -> bool:
        """Whether the workload may run."""
        return self.workload.spec.active

    def step(self, seconds: float = 0) -> Plan:
        """Plan at this time until the plan is empty; the first plan. Fails if that takes too many rounds."""
        now = at(seconds)
        first = plan(self.snapshot, now)
        decided = first
        for _ in range(5):
            if not decided.commands:
                return first
            for command in decided.commands:
                self._apply(command)
            decided = plan(self.snapshot, now)
        raise AssertionError(f"the plan does not settle: {decided}")

    def condition(self, type_: str) -> Condition | None:
        return find_condition(self.job.status.conditions, type_)

    def states(self) -> list[str]:
        """Condition types in their order, those that are not True in brackets."""
        return [one.type if one.status == "True" else f"({one.type})" for one in self.job.status.conditions]

    def spec(self, **changes: Any) -> None:
        """The user edits the job's spec, given as JSON."""
        document = encode(self.job)
        document["spec"] = overlay(document["spec"], changes)
        self.snapshot = replace(self.snapshot, job=decode(TrainJob, document))

    def admit(self, *, since: float = 0, attempt: int = 0) -> None:
        """Scheduling admits the workload, all on one node."""
        count = self.workload.spec.pod_sets[0].count
        made = builders.admitted(self.workload, {"a": count}, attempt=attempt)
        status = made.status
        conditions = [replaced(one, last_transition_time=at(since)) for one in status.conditions]
        self.set_workload(replaced(made, status=replaced(status, conditions=conditions)))

    def set_workload(self, workload: Workload | None) -> None:
        self.snapshot = replace(self.snapshot, workload=workload)

    def tell(self, type_: str, status: str = "True", **more: Any) -> None:
        """Another room sets a condition of the workload."""
        self.set_workload(builders.with_condition(self.workload, type_, status, **more))

    def pods(self, *phases: str, attempt: int = 0, progress: dict[int, str] | None = None) -> None:
        """The pods of an attempt are in these phases; running ones are ready."""
        found = [
            self._pod(index, phase, attempt, (progress or {}).get(index, ""))
            for index, phase in enumerate(phases)
        ]
        self.snapshot = replace(self.snapshot, pods=found)

    def _pod(self, index: int, phase: str, attempt: int, progress: str) -> Pod:
        labelled = {
            labels.PODSET: "node",
            labels.ATTEMPT: str(attempt),
            labels.JOB_COMPLETION_INDEX: str(index),
            labels.TRAINJOB_ANCESTOR_STEP: labels.ANCESTOR_TRAINER,
        }
        made = builders.pod(f"p{index}", phase=phase, ready=phase == "Running", labelled=labelled)
        annotations = {labels.PROGRESS: progress} if progress else {}
        return replaced(made, metadata=replaced(made.metadata, annotations=annotations))

    def _apply(self, command: Command) -> None:
        match command:
            case Create(obj=Workload() as workload):
                self._made += 1
                metadata = replaced(workload.metadata, uid=f"workload-{self._made}", creation_timestamp=at(0))
                self.set_workload(replaced(workload, metadata=metadata))
            case Delete():
                self.deleted.append(command)
                if command.kind is Workload:
                    self.set_workload(None)
            case Emit():
                self.events.append(command)
            case Apply(kind=kind, subresource="status", fields=fields) if kind is TrainJob:
                document = {**encode(self.job), **fields}
                self.snapshot = replace(self.snapshot, job=decode(TrainJob, document))
            case Apply(kind=kind, fields=fields) if kind is Workload:
                self._apply_workload(fields)
            case _:
                raise AssertionError(f"unexpected command {command}")

    def _apply_workload(self, fields: dict[str, Any]) -> None:
        """Server-side apply: the start mark goes where the room leaves it out."""
        document = encode(self.workload)
        document["metadata"].get("annotations", {}).pop(labels.STARTED_AT, None)
        self.set_workload(decode(Workload, overlay(document, fields)))


def made(nodes: int = 2, **spec: object) -> World:
    """A world whose job has its Workload already."""
    world = World(train_job(nodes=nodes))
    world.spec(**spec)
    world.step()
    return world


def running(nodes: int = 2, **spec: object) -> World:
    """A world whose job has been running since second 10."""
    world = made(nodes, **spec)
    world.admit(since=10)
    world.pods(*["Running"] * nodes)
    world.step(10)
    return world


def report(percent: int, accuracy: str, second: int = 0) -> str:
    """What a pod says of its progress, as its annotation has it."""
    return json.dumps(
        {
            "progressPercentage": percent,
            "estimatedRemainingSeconds": 7,
            "metrics": [{"name": "accuracy", "value": accuracy}],
            "time": f"2026-01-01T00:00:{second:02}Z",
        }
    )
