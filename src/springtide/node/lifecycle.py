"""What should happen to a pod's containers now: pure, from the pod, what was observed, and the time.

`agent.py` asks `decide` after every change, carries out the actions and writes the status. The same inputs
always give the same answer, so restart policy, back-off, deadlines and deletion are tested in tables. Source
of the rules: the Kubernetes pod lifecycle as documented and as the kubelet does it (first restart at once,
then 10 s doubling to 5 min, forgotten after 10 min of running; sidecars are init containers that restart
always).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from springtide.api.containers import Container
from springtide.api.core import Pod

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
TERMINAL = (SUCCEEDED, FAILED)

BACKOFF_SECONDS = 10.0
BACKOFF_LIMIT_SECONDS = 300.0
BACKOFF_FORGET_SECONDS = 600.0
DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True)
class Ended:
    """How an instance of a container ended. `signal` is 0 unless one ended it (the code is then 128 + it)."""

    exit_code: int
    finished_at: datetime
    started_at: datetime | None = None
    signal: int = 0
    reason: str = ""
    message: str = ""
    instance: int = 0


@dataclass(frozen=True)
class Facts:
    """What was observed of one container."""

    instance: int = -1
    """Number of the newest start, from 0; -1 when it was never started."""
    running_since: datetime | None = None
    last: Ended | None = None
    previous: Ended | None = None
    streak: int = 0
    """Restarts that count for the back-off."""
    started: bool = False
    """Its startup probe has passed, or it has none."""
    ready: bool = False
    unhealthy: str = ""
    """Why a probe wants this instance ended; empty while it is well."""
    blocked: str = ""
    """Why it cannot be started yet (a missing ConfigMap key, say)."""

    @property
    def running(self) -> bool:
        return self.running_since is not None


NEVER_STARTED = Facts()


def with_start(facts: Facts, now: datetime, *, started: bool, ready: bool) -> Facts:
    """The container was started; without probes it counts as started and ready at once."""
    return replace(
        facts,
        instance=facts.instance + 1,
        running_since=now,
        started=started,
        ready=ready,
        unhealthy="",
        blocked="",
    )


def with_end(facts: Facts, ended: Ended) -> Facts:
    """The newest instance ended."""
    since = ended.started_at
    ran_seconds = (ended.finished_at - since).total_seconds() if since else 0.0
    return replace(
        facts,
        running_since=None,
        last=ended,
        previous=facts.last,
        streak=1 if ran_seconds >= BACKOFF_FORGET_SECONDS else facts.streak + 1,
        started=False,
        ready=False,
        unhealthy="",
    )


@dataclass(frozen=True)
class Situation:
    """What the node knows of the pod as a whole."""

    prepared: bool = True
    """Its folders, volumes and address are there."""
    obstacle: str = ""
    """Why it is not prepared yet; tried again."""
    rejected: tuple[str, str] | None = None
    """Reason and message why this node can never run it."""


@dataclass(frozen=True)
class Start:
    """Start the next instance of a container."""

    container: str


@dataclass(frozen=True)
class Stop:
    """End the running instance: preStop hook, SIGTERM, and at `deadline` SIGKILL."""

    container: str
    deadline: datetime


@dataclass(frozen=True)
class Release:
    """Nothing of the pod runs any more and it is being deleted: let the API object go."""


Action = Start | Stop | Release


@dataclass(frozen=True)
class Verdict:
    """The phase of the pod, and why when the pod as a whole (not a container) is the cause."""

    phase: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do now, what to report, and when to look again at the latest."""

    verdict: Verdict
    actions: tuple[Action, ...] = ()
    look_again_seconds: float | None = None


def decide(pod: Pod, facts: Mapping[str, Facts], now: datetime, situation: Situation) -> Decision:
    """The next step of this pod's life."""
    status = pod.status
    if status.phase in TERMINAL:
        known = Verdict(status.phase, status.reason, status.message)
        return Decision(known, _end_all(pod, facts, now) or _release(pod))
    cause = _cause_to_end(pod, now, situation)
    if cause is not None:
        stops = _end_all(pod, facts, now)
        return Decision(
            Verdict(_running_phase(pod, facts)) if stops else cause_verdict(pod, facts, cause),
            stops or _release(pod),
        )
    if not situation.prepared:
        return Decision(Verdict(PENDING), (), _until_deadline(pod, now))
    outcome = _outcome(pod, facts)
    if outcome is not None:
        stops = _end_all(pod, facts, now)
        return Decision(Verdict(RUNNING) if stops else outcome, stops, _until_deadline(pod, now))
    waits = [seconds for _, seconds in _startable(pod, facts, now) if seconds > 0]
    deadline = _until_deadline(pod, now)
    return Decision(
        Verdict(_running_phase(pod, facts)),
        (*_unhealthy_stops(pod, facts, now), *_starts(pod, facts, now)),
        min([*waits, *([deadline] if deadline is not None else [])], default=None),
    )


# -- who is who -------------------------------------------------------------------------------------


def is_sidecar(container: Container) -> bool:
    """Whether an init container keeps running beside the main containers."""
    return container.restart_policy == "Always"


def initialized(pod: Pod, facts: Mapping[str, Facts]) -> bool:
    """All init containers are done, and all sidecars have started."""
    return next(_unfinished_init(pod, facts), None) is None


def _unfinished_init(pod: Pod, facts: Mapping[str, Facts]) -> Iterator[Container]:
    for container in pod.spec.init_containers:
        known = facts.get(container.name, NEVER_STARTED)
        if is_sidecar(container):
            # it may be between two restarts once the main containers are on their way
            if not known.started and not _any_main_started(pod, facts):
                yield container
        elif known.running or known.last is None or known.last.exit_code != 0:
            yield container


def _any_main_started(pod: Pod, facts: Mapping[str, Facts]) -> bool:
    return any(facts.get(container.name, NEVER_STARTED).instance >= 0 for container in pod.spec.containers)


def will_restart(pod: Pod, container: Container, ended: Ended, *, init: bool) -> bool:
    """Whether the restart policy starts this container again after such an end."""
    policy = container.restart_policy or pod.spec.restart_policy or "Always"
    if init and not is_sidecar(container):
        return ended.exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


# -- ending -----------------------------------------------------------------------------------------


def _cause_to_end(pod: Pod, now: datetime, situation: Situation) -> tuple[str, str] | None:
    if situation.rejected is not None:
        return situation.rejected
    if pod.metadata.deletion_timestamp is not None:
        return "", ""
    left = _until_deadline(pod, now)
    if left is not None and left <= 0:
        seconds = pod.spec.active_deadline_seconds
        return (
            "DeadlineExceeded",
            f"the pod was active for longer than its activeDeadlineSeconds ({seconds} s)",
        )
    return None


def cause_verdict(pod: Pod, facts: Mapping[str, Facts], cause: tuple[str, str]) -> Verdict:
    """The final phase of a pod that was ended: Succeeded only if it was deleted after all had succeeded."""
    reason, message = cause
    ends = [facts.get(container.name, NEVER_STARTED).last for container in pod.spec.containers]
    if not reason and all(ended is not None and ended.exit_code == 0 for ended in ends):
        return Verdict(SUCCEEDED)
    return Verdict(FAILED, reason, message)


def _outcome(pod: Pod, facts: Mapping[str, Facts]) -> Verdict | None:
    """The final verdict when no container will run again, else None."""
    for container in pod.spec.init_containers:
        known = facts.get(container.name, NEVER_STARTED)
        failed = known.last is not None and not known.running and known.last.exit_code != 0
        if failed and known.last and not will_restart(pod, container, known.last, init=True):
            return Verdict(FAILED)
    ends = []
    for container in pod.spec.containers:
        known = facts.get(container.name, NEVER_STARTED)
        if known.running or known.last is None or will_restart(pod, container, known.last, init=False):
            return None
        ends.append(known.last)
    return Verdict(SUCCEEDED if all(ended.exit_code == 0 for ended in ends) else FAILED)


def _end_all(pod: Pod, facts: Mapping[str, Facts], now: datetime) -> tuple[Action, ...]:
    """Stop what runs: main and init containers together, then sidecars, last started first."""
    deadline = _stop_deadline(pod, now)
    sidecars = [container.name for container in pod.spec.init_containers if is_sidecar(container)]
    running = [name for name, known in facts.items() if known.running]
    first = [name for name in running if name not in sidecars]
    if first:
        return tuple(Stop(name, deadline) for name in first)
    return tuple(Stop(name, deadline) for name in reversed(sidecars) if name in running)[:1]


def _stop_deadline(pod: Pod, now: datetime) -> datetime:
    """A deleted pod's grace has been running since the request; any other end grants the pod's own grace."""
    if pod.metadata.deletion_timestamp is not None:
        return pod.metadata.deletion_timestamp
    return now + timedelta(seconds=grace_seconds(pod))


def grace_seconds(pod: Pod) -> int:
    """How long containers may take to end after SIGTERM."""
    given = pod.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if given is None else given


def _unhealthy_stops(pod: Pod, facts: Mapping[str, Facts], now: datetime) -> Iterator[Action]:
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        known = facts.get(container.name, NEVER_STARTED)
        if known.running and known.unhealthy:
            probe = container.liveness_probe if known.started else container.startup_probe
            own = probe.termination_grace_period_seconds if probe is not None else None
            yield Stop(container.name, now + timedelta(seconds=grace_seconds(pod) if own is None else own))


def _release(pod: Pod) -> tuple[Action, ...]:
    return (Release(),) if pod.metadata.deletion_timestamp is not None else ()


def _until_deadline(pod: Pod, now: datetime) -> float | None:
    if pod.spec.active_deadline_seconds is None or pod.status.start_time is None:
        return None
    ends = pod.status.start_time + timedelta(seconds=pod.spec.active_deadline_seconds)
    return max(0.0, (ends - now).total_seconds())


# -- starting ---------------------------------------------------------------------------------------


def _starts(pod: Pod, facts: Mapping[str, Facts], now: datetime) -> Iterator[Action]:
    for container, seconds in _startable(pod, facts, now):
        if seconds <= 0:
            yield Start(container.name)


def _startable(pod: Pod, facts: Mapping[str, Facts], now: datetime) -> Iterator[tuple[Container, float]]:
    """Containers whose turn it is and that do not run, with the seconds of back-off they still have."""
    pending = next(_unfinished_init(pod, facts), None)
    for container in pod.spec.init_containers:
        if container is pending or (is_sidecar(container) and facts.get(container.name, NEVER_STARTED).last):
            yield from _if_due(pod, container, facts, now, init=True)
        if container is pending:
            return
    for container in pod.spec.containers:
        yield from _if_due(pod, container, facts, now, init=False)


def _if_due(
    pod: Pod, container: Container, facts: Mapping[str, Facts], now: datetime, *, init: bool
) -> Iterator[tuple[Container, float]]:
    known = facts.get(container.name, NEVER_STARTED)
    if known.running:
        return
    if known.last is None or will_restart(pod, container, known.last, init=init):
        yield container, backoff_left_seconds(known, now)


def backoff_seconds(facts: Facts) -> float:
    """How long after its last end the container waits for the next start: 0, 10, 20, 40 … 300."""
    if facts.streak <= 1:
        return 0.0
    return float(min(BACKOFF_SECONDS * 2.0 ** min(facts.streak - 2, 10), BACKOFF_LIMIT_SECONDS))


def backoff_left_seconds(facts: Facts, now: datetime) -> float:
    """What is left of the back-off."""
    if facts.last is None:
        return 0.0
    return max(0.0, backoff_seconds(facts) - (now - facts.last.finished_at).total_seconds())


def _running_phase(pod: Pod, facts: Mapping[str, Facts]) -> str:
    """Running once init is done and every main container was started, as the kubelet counts."""
    if not initialized(pod, facts) and not _any_main_started(pod, facts):
        return PENDING
    started = [facts.get(container.name, NEVER_STARTED).instance >= 0 for container in pod.spec.containers]
    return RUNNING if all(started) else PENDING
