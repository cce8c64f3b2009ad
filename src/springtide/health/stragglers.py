"""What is said of a rank that is slow: whether that is the node or the job. Pure; called by the controller.

Most slow jobs are not slow nodes (NYU and ByteDance, OSDI 2025: worker faults explain half of the slowdown
in 1.7 % of straggling jobs). So a node is only suspected when the rank was once faster on it, when others
have the rank's processors there, or when the node slowed other jobs too; a rank that was slow from its first
steps on has more to do by design (the last stage of a pipeline). Who is slow says `slowness`. And a suspicion
is no verdict: a check beside a node that is not suspected (`paired`) decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from springtide.api import labels
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta, owner_reference
from springtide.api.nodehealth import NodeHealth
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence
from springtide.faults import Fault
from springtide.health.slowness import Slow

_THROTTLING = ("throttl", "slowdown", "thermal", "power brake", "clock")


def diagnosis_name(workload: Workload, attempt: int, slow: Slow) -> str:
    """One a rank and attempt, beside the one that ends the attempt; a rank may turn slow that always was."""
    return f"{workload.metadata.name}-{attempt}-{'slow' if _is_slowed(slow) else 'skew'}-{slow.rank.rank}"


def _is_slowed(slow: Slow) -> bool:
    """Whether it is slow by what was done to it, and not by what it has to do."""
    return slow.turned or slow.queued_seconds > 0


def is_suspicion(diagnosis: Diagnosis) -> bool:
    """Whether it suspects a node that a check is to confirm."""
    spec = diagnosis.spec
    return (
        spec.fault_class == Fault.STRAGGLER
        and bool(spec.workload and spec.node)
        and spec.blame == Blame.UNKNOWN
    )


def diagnose(
    workload: Workload,
    attempt: int,
    slow: Slow,
    health: NodeHealth | None,
    earlier: Sequence[Diagnosis],
    now: datetime,
) -> Diagnosis:
    """What is written down about a slow rank. Its action is `ignore`: nobody is moved for a suspicion."""
    report = slow.rank.report
    elsewhere_too = health is not None and _slowed_others(health, workload)
    suspected = (_is_slowed(slow) or elsewhere_too) and not _moved_with_rank(slow, earlier)
    throttled = _throttling(health, now) if suspected else []
    spec = DiagnosisSpec(
        workload=workload.metadata.name,
        attempt=attempt,
        pod_set=report.pod_set,
        rank=report.index,
        global_rank=slow.rank.rank,
        node=report.node,
        pod=report.pod.metadata.name if report.pod is not None else "",
        fault_class=Fault.STRAGGLER.value,
        blame=(Blame.UNKNOWN if suspected else Blame.PROGRAM).value,
        action=Action.IGNORE.value,
        confidence=0.9 if throttled else 0.7 if suspected else 0.6,
        message=_message(slow, suspected),
        phase="train",
        detected_at=now,
        next_step=_next_step(slow, suspected),
        evidence=[*_evidence(slow, now), *throttled],
    )
    metadata = ObjectMeta(
        name=diagnosis_name(workload, attempt, slow),
        namespace=workload.metadata.namespace,
        labels={labels.WORKLOAD: workload.metadata.name},
        owner_references=[owner_reference(workload)],
    )
    return Diagnosis(metadata=metadata, spec=spec)


def _moved_with_rank(slow: Slow, earlier: Sequence[Diagnosis]) -> bool:
    """Whether the same rank was slow in an earlier attempt on another node: then it is not the node."""
    return any(
        one.spec.fault_class == Fault.STRAGGLER
        and one.spec.global_rank == slow.rank.rank
        and one.spec.node not in ("", slow.rank.report.node)
        for one in earlier
    )


def _slowed_others(health: NodeHealth, workload: Workload) -> bool:
    """Whether the node was suspected for another job before."""
    return any(
        one.fault == Fault.STRAGGLER and one.workload not in ("", workload.key)
        for one in health.status.history
    )


def _message(slow: Slow, suspected: bool) -> str:
    report = slow.rank.report
    where = f" on {report.node}" if report.node else ""
    told = (
        f"rank {slow.rank.rank} ({report.host}{where}) works {slow.ratio:.1f} times as long a step as its"
        f" peers: {slow.busy_seconds:.3g} s, they {slow.peers_seconds:.3g} s"
    )
    if slow.queued_seconds and suspected:
        return f"{told}; for {slow.queued_seconds:.3g} s of that others had its processors"
    if suspected and not slow.turned:
        return f"{told}; other jobs were slow on that node too"
    if suspected:
        return f"{told}; at its best it took {slow.best_seconds:.3g} s, so its node may have become slow"
    if _is_slowed(slow):
        return f"{told}; so did it on another node before, so the job gives it more to do"
    return f"{told}; it did from its first steps on, so the job gives it more to do"


def _next_step(slow: Slow, suspected: bool) -> str:
    if suspected:
        return f"Nothing: {slow.rank.report.node} is checked beside another node before anybody takes it out."
    return (
        "Balance the ranks (stages of the pipeline, lengths of sequences); if it is meant so, say so with"
        " sdk.watch(model, group=…)."
    )


def _evidence(slow: Slow, now: datetime) -> list[Evidence]:
    pod = slow.rank.report.pod
    best = f", at its best {slow.best_seconds:.4g}" if slow.best_seconds is not None else ""
    if slow.queued_seconds:
        best = f", of which queuedSeconds {slow.queued_seconds:.4g}"
    line = (
        f"rank {slow.rank.rank}, step {slow.step}: works {slow.busy_seconds:.4g} s{best}, peers' median"
        f" {slow.peers_seconds:.4g}, stepSeconds {slow.step_seconds:.4g}"
    )
    return [Evidence(source=f"marks:{pod.metadata.name if pod is not None else ''}", line=line, time=now)]


def _throttling(health: NodeHealth | None, now: datetime) -> list[Evidence]:
    """What the node's collectors say of clocks that were slowed down, within the last quarter of an hour."""
    if health is None:
        return []
    return [
        Evidence(source=f"{one.source}@{health.metadata.name}", line=one.line, time=one.last_time)
        for one in health.status.observations
        if any(word in f"{one.signature} {one.line}".lower() for word in _THROTTLING)
        and one.last_time is not None
        and (now - one.last_time).total_seconds() < 900
    ][-4:]
