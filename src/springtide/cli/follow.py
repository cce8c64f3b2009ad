"""What following a job prints, as a state machine: things seen go in, things to do come out. Pure.

`following` feeds it from watches, log streams and a clock, and does what it asks: show a line, change the
progress line, open a log stream, end with a verdict. It tolerates everything in any order and repeated:
watches that start again, streams that break, pods that are replaced in a next attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from springtide.api import labels
from springtide.api.core import ContainerStatus, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from springtide.api.trainer import TrainJob
from springtide.cli.log_cursor import LogCursor
from springtide.cli.phase import JobPhase, phase_of

TRAINER = "node"
"""The replicated job and the container that train, in Kubeflow's runtimes and ours."""

DRAIN_SECONDS = 3.0
"""How long the verdict waits for log streams that do not end by themselves."""
SETTLE_SECONDS = 0.3
"""A job that only passes through waiting is not said to wait; a phase before starting must last this long."""
REOPEN_SECONDS, REOPEN_LIMIT_SECONDS = 1.0, 30.0
"""A stream that ended while its container runs is opened again after this, doubled while nothing comes."""


@dataclass(frozen=True)
class JobSeen:
    job: TrainJob


@dataclass(frozen=True)
class JobGone:
    pass


@dataclass(frozen=True)
class WorkloadSeen:
    workload: Workload | None


@dataclass(frozen=True)
class PodSeen:
    pod: Pod


@dataclass(frozen=True)
class PodGone:
    name: str


@dataclass(frozen=True)
class PodsListed:
    """Every pod that exists at the job's end has been seen: the answer to ListPods."""


@dataclass(frozen=True)
class LogChunk:
    pod: str
    data: bytes


@dataclass(frozen=True)
class LogEnded:
    """`broken`: it did not end because the container did."""

    pod: str
    broken: bool = False


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Seen = JobSeen | JobGone | WorkloadSeen | PodSeen | PodGone | PodsListed | LogChunk | LogEnded | Tick


@dataclass(frozen=True)
class Line:
    """One line of a log. `rank`: the node's index in the job, or the name of a step before training."""

    rank: str
    text: str


@dataclass(frozen=True)
class Notice:
    """Something the user should know, once."""

    text: str


@dataclass(frozen=True)
class OpenLog:
    pod: str
    container: str


@dataclass(frozen=True)
class ListPods:
    """The job has ended; pods the watch has not brought yet may have logs to show."""


@dataclass(frozen=True)
class Show:
    """The progress line's new content."""

    phase: JobPhase


@dataclass(frozen=True)
class Finish:
    """The job's end was seen and its logs were read. `gone`: it was deleted before it ended."""

    gone: bool = False


Effect = Line | Notice | OpenLog | ListPods | Show | Finish


@dataclass
class _Stream:
    """One pod's log: the container instances opened so far, and when to open again."""

    rank: str
    container: str
    cursor: LogCursor = field(default_factory=LogCursor)
    opened_instance: int = -1
    instance: int = -1
    running: bool = False
    open: bool = False
    broken: bool = False
    reopen_after_seconds: float = REOPEN_SECONDS
    reopen_at: float | None = None

    @property
    def wants_more(self) -> bool:
        return self.open or self.reopen_at is not None or self.instance > self.opened_instance


@dataclass
class Follower:
    """The state of following one job. Times are seconds of any monotonic clock."""

    job: TrainJob | None = None
    finished_at: float | None = None
    """When the finish condition was first seen."""
    _workload: Workload | None = None
    _pods: dict[str, Pod] = field(default_factory=dict)
    _streams: dict[str, _Stream] = field(default_factory=dict)
    _shown: JobPhase | None = None
    _settling: tuple[JobPhase, float] | None = None
    _attempt: int = 0
    _all_pods_seen: bool = False
    _done: bool = False

    def see(self, seen: Seen, now: float) -> list[Effect]:
        """What to do about it. After a Finish nothing more comes."""
        if self._done:
            return []
        effects = self._take(seen, now)
        effects += self._reopen(now)
        effects += self._progress(now)
        effects += self._finish(seen, now)
        return effects

    def _take(self, seen: Seen, now: float) -> list[Effect]:
        match seen:
            case JobSeen(job):
                self.job = job
                if self.finished_at is None and finished(job):
                    self.finished_at = now
                    return [ListPods()]
            case PodsListed():
                self._all_pods_seen = True
            case WorkloadSeen(workload):
                self._workload = workload
            case PodSeen(pod):
                return self._see_pod(pod)
            case PodGone(name):
                self._pods.pop(name, None)
                if name in self._streams:
                    self._streams[name].running = False
                    self._streams[name].reopen_at = None
            case LogChunk(pod, data):
                return self._lines(pod, self._streams[pod].cursor.feed(data))
            case LogEnded(pod, broken):
                return self._end_stream(pod, broken, now)
            case _:
                pass
        return []

    def _see_pod(self, pod: Pod) -> list[Effect]:
        """A pod's log is opened once its container runs, and again for each restart of the container."""
        name = pod.metadata.name
        self._pods[name] = pod
        effects = self._see_attempt(pod)
        status = _main_status(pod)
        if status is None or (status.state.running is None and status.state.terminated is None):
            return effects
        stream = self._streams.setdefault(name, _Stream(rank_of(pod), status.name))
        stream.instance = status.restart_count
        stream.running = status.state.running is not None
        if not stream.running and not stream.broken:
            stream.reopen_at = None
        if stream.instance > stream.opened_instance and not stream.open:
            effects += self._open(name, stream)
        return effects

    def _see_attempt(self, pod: Pod) -> list[Effect]:
        attempt = int(pod.metadata.labels.get(labels.ATTEMPT, "0") or 0)
        if attempt <= self._attempt:
            return []
        self._attempt = attempt
        return [Notice(f"attempt {attempt + 1} begins")]

    def _open(self, name: str, stream: _Stream) -> list[Effect]:
        stream.open, stream.opened_instance, stream.reopen_at = True, stream.instance, None
        stream.cursor.reopen()
        return [OpenLog(name, stream.container)]

    def _end_stream(self, name: str, broken: bool, now: float) -> list[Effect]:
        stream = self._streams[name]
        stream.open, stream.broken = False, broken
        lines = [] if broken else stream.cursor.end()
        if name in self._pods and broken:
            stream.reopen_at = now + REOPEN_SECONDS
        elif name in self._pods and stream.running:
            stream.reopen_at = now + stream.reopen_after_seconds
            stream.reopen_after_seconds = min(2 * stream.reopen_after_seconds, REOPEN_LIMIT_SECONDS)
        return self._lines(name, lines)

    def _reopen(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for name, stream in self._streams.items():
            due = stream.reopen_at is not None and now >= stream.reopen_at
            if not stream.open and name in self._pods and (due or stream.instance > stream.opened_instance):
                effects += self._open(name, stream)
        return effects

    def _lines(self, pod: str, texts: list[str]) -> list[Effect]:
        if texts:
            self._streams[pod].reopen_after_seconds = REOPEN_SECONDS
        return [Line(self._streams[pod].rank, text) for text in texts]

    def _progress(self, now: float) -> list[Effect]:
        if self.job is None or finished(self.job):
            return []
        phase = phase_of(self.job, self._workload, list(self._pods.values()))
        if phase == self._shown or (phase.phase.passes and not self._settled(phase, now)):
            return []
        self._shown = phase
        return [Show(phase)]

    def _settled(self, phase: JobPhase, now: float) -> bool:
        if self._settling is None or self._settling[0] != phase:
            self._settling = (phase, now)
        return now >= self._settling[1] + SETTLE_SECONDS

    def _finish(self, seen: Seen, now: float) -> list[Effect]:
        gone = isinstance(seen, JobGone)
        if not gone:
            if self.finished_at is None:
                return []
            drained = self._all_pods_seen and not any(stream.wants_more for stream in self._streams.values())
            if not drained and now < self.finished_at + DRAIN_SECONDS:
                return []
        self._done = True
        return [Finish(gone and self.finished_at is None)]


def finished(job: TrainJob) -> bool:
    """Whether the job has ended, well or not."""
    return is_true(job.status.conditions, "Complete") or is_true(job.status.conditions, "Failed")


def succeeded(job: TrainJob) -> bool:
    return is_true(job.status.conditions, "Complete")


def failure(job: TrainJob) -> str:
    """The cause the platform found, as one line."""
    condition = find_condition(job.status.conditions, "Failed")
    return condition.message if condition is not None else ""


def rank_of(pod: Pod) -> str:
    """The prefix of a pod's lines: its index among the training nodes, else the name of its step."""
    own, annotations = pod.metadata.labels, pod.metadata.annotations
    podset = own.get(labels.REPLICATED_JOB_NAME, TRAINER)
    index = own.get(labels.JOB_COMPLETION_INDEX) or annotations.get(labels.JOB_COMPLETION_INDEX) or "0"
    return index if podset == TRAINER else podset


def main_container(pod: Pod) -> str:
    """The container whose log is followed: `node`, else the first."""
    names = [container.name for container in pod.spec.containers]
    return TRAINER if TRAINER in names else names[0]


def _main_status(pod: Pod) -> ContainerStatus | None:
    name = main_container(pod)
    return next((status for status in pod.status.container_statuses if status.name == name), None)
