"""The PodStatus that says what was observed and decided: pure, from the same inputs as `lifecycle.decide`.

Written by `agent.py` for process pods and by `simulated.py` for simulated ones; read by `kubectl` and every
other room. Condition types, reasons and container states are those of the kubelet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from springtide.api.containers import Container
from springtide.api.core import Pod
from springtide.api.meta import find_condition, whole_second
from springtide.api.podstatus import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    HostIP,
    PodCondition,
    PodIP,
    PodStatus,
)
from springtide.api.quantity import parse
from springtide.node.lifecycle import (
    FAILED,
    NEVER_STARTED,
    SUCCEEDED,
    TERMINAL,
    Ended,
    Facts,
    Situation,
    Verdict,
    backoff_left_seconds,
    backoff_seconds,
    initialized,
    is_sidecar,
    will_restart,
)


@dataclass(frozen=True)
class Addresses:
    """Where the pod is reached; empty before it has one."""

    pod: str = ""
    host: str = ""


def build_status(
    pod: Pod,
    facts: Mapping[str, Facts],
    verdict: Verdict,
    situation: Situation,
    addresses: Addresses,
    now: datetime,
) -> PodStatus:
    """The whole status; nothing in it depends on `now` unless something changed."""
    old = pod.status
    init = [
        _container(pod, one, facts, verdict, situation, now, init=True) for one in pod.spec.init_containers
    ]
    main = [_container(pod, one, facts, verdict, situation, now, init=False) for one in pod.spec.containers]
    return PodStatus(
        phase=verdict.phase,
        reason=verdict.reason,
        message=verdict.message,
        conditions=_conditions(pod, facts, verdict, situation, [*init, *main], now),
        host_ip=addresses.host,
        host_ips=[HostIP(ip=addresses.host)] if addresses.host else [],
        pod_ip=addresses.pod,
        pod_ips=[PodIP(ip=addresses.pod)] if addresses.pod else [],
        start_time=old.start_time or whole_second(now),
        init_container_statuses=init,
        container_statuses=main,
        qos_class=qos_class(pod),
        observed_generation=old.observed_generation,
    )


# -- containers -------------------------------------------------------------------------------------


def _container(
    pod: Pod,
    container: Container,
    facts: Mapping[str, Facts],
    verdict: Verdict,
    situation: Situation,
    now: datetime,
    *,
    init: bool,
) -> ContainerStatus:
    known = facts.get(container.name, NEVER_STARTED)
    state, last_state = _states(pod, container, known, verdict, situation, now, init=init)
    done = init and not is_sidecar(container) and state.terminated is not None
    ready = (known.last is not None and known.last.exit_code == 0) if done else known.running and known.ready
    return ContainerStatus(
        name=container.name,
        state=state,
        last_state=last_state,
        ready=ready,
        started=known.running and known.started,
        restart_count=max(0, known.instance),
        image=container.image,
        container_id=container_id(pod, container.name, known.instance),
    )


def container_id(pod: Pod, container: str, instance: int) -> str:
    """`process://<pod uid>/<container>/<instance>`; empty before the first start."""
    return f"process://{pod.metadata.uid}/{container}/{instance}" if instance >= 0 else ""


def _states(
    pod: Pod,
    container: Container,
    known: Facts,
    verdict: Verdict,
    situation: Situation,
    now: datetime,
    *,
    init: bool,
) -> tuple[ContainerState, ContainerState]:
    """The present state and the one of the instance before."""
    before = _terminated(pod, container, known.last)
    if known.running_since is not None:
        return ContainerState(
            running=ContainerStateRunning(started_at=whole_second(known.running_since))
        ), before
    if known.last is not None:
        over = verdict.phase in TERMINAL or pod.metadata.deletion_timestamp is not None
        if over or not will_restart(pod, container, known.last, init=init):
            return before, _terminated(pod, container, known.previous)
    waiting = _waiting(pod, container, known, situation, now)
    return ContainerState(waiting=waiting), before


def _waiting(
    pod: Pod, container: Container, known: Facts, situation: Situation, now: datetime
) -> ContainerStateWaiting:
    if known.blocked:
        return ContainerStateWaiting(reason="CreateContainerConfigError", message=known.blocked)
    if known.last is not None and backoff_left_seconds(known, now) > 0:
        seconds = f"{backoff_seconds(known):.0f}s"
        text = f"back-off {seconds} restarting failed container={container.name} pod={pod.key}"
        return ContainerStateWaiting(reason="CrashLoopBackOff", message=text)
    if not situation.prepared:
        return ContainerStateWaiting(reason="ContainerCreating", message=situation.obstacle)
    return ContainerStateWaiting(
        reason="PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    )


def _terminated(pod: Pod, container: Container, ended: Ended | None) -> ContainerState:
    if ended is None:
        return ContainerState()
    return ContainerState(
        terminated=ContainerStateTerminated(
            exit_code=ended.exit_code,
            signal=ended.signal,
            reason=ended.reason,
            message=ended.message,
            started_at=whole_second(ended.started_at) if ended.started_at else None,
            finished_at=whole_second(ended.finished_at),
            container_id=container_id(pod, container.name, ended.instance),
        )
    )


# -- conditions -------------------------------------------------------------------------------------


def _conditions(
    pod: Pod,
    facts: Mapping[str, Facts],
    verdict: Verdict,
    situation: Situation,
    statuses: Sequence[ContainerStatus],
    now: datetime,
) -> list[PodCondition]:
    """The kubelet's conditions; those of others (readiness gates, DisruptionTarget) are not ours to write."""
    ready = _readiness(pod, verdict, statuses)
    gates = [gate.condition_type for gate in pod.spec.readiness_gates]
    closed = [gate for gate in gates if not _is_true(pod, gate)]
    pod_ready = ready
    if ready.status == "True" and closed:
        text = f"corresponding condition of pod readiness gate {', '.join(closed)} is not True"
        pod_ready = PodCondition(type="", status="False", reason="ReadinessGatesNotReady", message=text)
    wanted = [
        PodCondition(
            type="PodReadyToStartContainers",
            status=_yes(situation.prepared and verdict.phase not in TERMINAL),
        ),
        _initialization(pod, facts, verdict),
        _named(pod_ready, "Ready"),
        _named(ready, "ContainersReady"),
        PodCondition(type="PodScheduled", status="True"),
    ]
    return [_since(pod, condition, now) for condition in wanted]


def _initialization(pod: Pod, facts: Mapping[str, Facts], verdict: Verdict) -> PodCondition:
    if verdict.phase == SUCCEEDED:
        return PodCondition(type="Initialized", status="True", reason="PodCompleted")
    if initialized(pod, facts):
        return PodCondition(type="Initialized", status="True")
    waiting = [
        one.name for one in pod.spec.init_containers if not _is_done(facts.get(one.name, NEVER_STARTED))
    ]
    text = f"containers with incomplete status: [{' '.join(waiting)}]"
    return PodCondition(type="Initialized", status="False", reason="ContainersNotInitialized", message=text)


def _is_done(known: Facts) -> bool:
    return known.started if known.running else known.last is not None and known.last.exit_code == 0


def _readiness(pod: Pod, verdict: Verdict, statuses: Sequence[ContainerStatus]) -> PodCondition:
    if verdict.phase == SUCCEEDED:
        return PodCondition(type="", status="False", reason="PodCompleted")
    if verdict.phase == FAILED:
        return PodCondition(type="", status="False", reason="PodFailed")
    sidecars = {one.name for one in pod.spec.init_containers if is_sidecar(one)}
    counted = {one.name for one in pod.spec.containers} | sidecars
    unready = [status.name for status in statuses if status.name in counted and not status.ready]
    if not unready:
        return PodCondition(type="", status="True")
    text = f"containers with unready status: [{' '.join(unready)}]"
    return PodCondition(type="", status="False", reason="ContainersNotReady", message=text)


def _named(condition: PodCondition, type_: str) -> PodCondition:
    return PodCondition(
        type=type_, status=condition.status, reason=condition.reason, message=condition.message
    )


def _since(pod: Pod, condition: PodCondition, now: datetime) -> PodCondition:
    old = find_condition(pod.status.conditions, condition.type)
    same = old is not None and old.status == condition.status
    return PodCondition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        last_transition_time=old.last_transition_time if old is not None and same else whole_second(now),
    )


def _is_true(pod: Pod, type_: str) -> bool:
    found = find_condition(pod.status.conditions, type_)
    return found is not None and found.status == "True"


def _yes(value: bool) -> str:
    return "True" if value else "False"


# -- quality of service -----------------------------------------------------------------------------


_QOS_RESOURCES = frozenset({"cpu", "memory"})


def qos_class(pod: Pod) -> str:
    """BestEffort without requests, Guaranteed when limits equal requests everywhere, else Burstable."""
    if pod.status.qos_class:
        return pod.status.qos_class
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    amounts = [(one.resources.requests, one.resources.limits) for one in containers]
    if not any((requests.keys() | limits.keys()) & _QOS_RESOURCES for requests, limits in amounts):
        return "BestEffort"
    for requests, limits in amounts:
        for resource in _QOS_RESOURCES:
            if resource not in limits or parse(requests.get(resource, limits[resource])) != parse(
                limits[resource]
            ):
                return "Burstable"
    return "Guaranteed"
