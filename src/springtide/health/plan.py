"""What to do about one workload's failures: pure, from a snapshot and a time to a Plan.

One Diagnosis an attempt. A failure that another attempt may mend (a node, the platform, the network, or the
program within `failurePolicy.maxRestarts`) evicts the workload: condition Evicted True; scheduling takes
the admission back and counts the attempt; `workloads` removes the pods; then Evicted goes False with
reason Requeued and the next attempt may be admitted. Everything else is `fail_fast`: `workloads` reads the
Diagnosis and finishes the workload with its message. Of workloads that their owner judges (Volcano's Jobs)
only lost nodes are this room's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Create, Emit, Plan
from springtide.api.kueue import Workload, WorkloadCondition, WorkloadReason, is_own_eviction
from springtide.api.meta import Condition, ObjectMeta, find_condition, is_true, owner_reference, set_condition
from springtide.api.nodehealth import Incident
from springtide.api.remediation import RemediationPolicy, Step
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence, of_failures
from springtide.api.struct import encode
from springtide.health import stalled
from springtide.health.diagnosis import (
    Cause,
    RankReport,
    confidence_in,
    first_cause,
    happened_at,
    lost_node,
    with_overrides,
)
from springtide.health.escalation import Suspect, implications
from springtide.health.evidence import LINE_CHARACTERS
from springtide.health.faults import VERDICTS, Fault
from springtide.health.hangs import Hang
from springtide.health.remediation import Failure, Remedy, decide, left_to_wait, nodes_to_avoid
from springtide.health.remediation_policy import Effective, effective, policy_for_workload
from springtide.health.remediation_seen import overrides_of
from springtide.health.tracebacks import without_prefix

SHRINK_AFTER_SECONDS = "10"
"""How long a job that shrinks waits for a node in place of the lost one."""
UNSEEN_SECONDS = 60.0
"""How long an eviction of ours lasts at most while the Diagnosis that says how long to wait is not seen."""
_OURS = (WorkloadReason.NODE_FAILURES, WorkloadReason.PROGRAM_FAILED)
"""Reasons of evictions that follow a Diagnosis."""
_RUNS = (WorkloadCondition.QUOTA_RESERVED, WorkloadCondition.ADMITTED)


@dataclass(frozen=True)
class Settings:
    """How patient this room is."""

    restarts_max: int = 10
    """New attempts a job gets within six hours after faults that are not its program's, where no
    RemediationPolicy says otherwise; 0 turns restarting off."""
    settle_seconds: float = 0.5
    """Wait after the first failure is seen, so that the first failing rank is judged beside its peers."""
    silent_settle_seconds: float = 4.0
    """The longer wait while only consequences, or exits without a word, are seen: the rank that failed first
    has not spoken yet."""
    node_grace_seconds: float = 40.0
    """How long a node may report itself not ready before its pods count as lost; unheard-of nodes at once."""
    cordon_seconds: float = 10.0
    """How long an eviction waits at most until it is settled whether the node is taken out of service."""


@dataclass(frozen=True)
class Snapshot:
    """Everything the plan of one workload depends on."""

    workload: Workload
    reports: Sequence[RankReport] = ()
    """One for each rank of the current attempt."""
    diagnoses: Sequence[Diagnosis] = ()
    """Of this workload, any attempt."""
    failing_since: datetime | None = None
    """When the failure of the current attempt was first seen; None: nothing seen before."""
    logs_read: bool = False
    """Whether the logs of those that failed are in `reports`, as far as they can be read."""
    policies: Sequence[RemediationPolicy] = ()
    """All there are."""
    hang: Hang | None = None
    """What was found where no rank has failed and none goes on."""
    histories: Mapping[str, Sequence[Incident]] = field(default_factory=dict)
    """What nodes had a part in, by name, of all that are watched; read where a verdict is due."""


def attempt_of(workload: Workload) -> int:
    """The number of the current attempt, from 0."""
    state = workload.status.requeue_state
    return (state.count or 0) if state is not None else 0


def diagnosis_name(workload: Workload, attempt: int) -> str:
    """The name of the Diagnosis of one attempt."""
    return f"{workload.metadata.name}-{attempt}"


def is_failing(reports: Sequence[RankReport], now: datetime) -> bool:
    """Whether any rank of the attempt has failed."""
    return first_cause(reports, now) is not None


def plan(snapshot: Snapshot, now: datetime, settings: Settings) -> Plan:
    """What to write about this workload now, and when to look again."""
    workload = snapshot.workload
    conditions = workload.status.conditions
    if is_true(conditions, WorkloadCondition.FINISHED) or workload.metadata.deletion_timestamp is not None:
        return Plan()
    if not all(is_true(conditions, one) for one in _RUNS):
        return _requeue(snapshot, now)
    if not workload.spec.active:
        return Plan()
    attempt = attempt_of(workload)
    known = next((one for one in of_failures(snapshot.diagnoses) if one.spec.attempt == attempt), None)
    if known is not None:
        return _evict(snapshot, known, now, settings)
    judged = labels.VERDICT in workload.metadata.annotations
    cause = (lost_node if judged else first_cause)(snapshot.reports, now)
    if cause is None and snapshot.hang is not None and not judged:
        return _conclude(snapshot, stalled.cause_of(snapshot.hang), attempt, now, settings)
    if cause is None:
        return Plan(requeue_after_seconds=_next_loss_seconds(snapshot.reports, now))
    wait_seconds = _left_to_settle(snapshot, cause, now, settings)
    if wait_seconds > 0:
        return Plan(requeue_after_seconds=wait_seconds)
    return _conclude(snapshot, cause, attempt, now, settings)


def _conclude(snapshot: Snapshot, cause: Cause, attempt: int, now: datetime, settings: Settings) -> Plan:
    """The verdict, and what follows from it."""
    workload = snapshot.workload
    cause = with_overrides(cause, overrides_of(_policy(snapshot, settings)))
    diagnosis = _diagnose(snapshot, cause, attempt, now, settings)
    told = Emit(workload, diagnosis.spec.fault_class, diagnosis.spec.message, "Warning", "Diagnose")
    then = _evict(snapshot, diagnosis, now, settings)
    return Plan((Create(diagnosis), *then.commands, told), then.requeue_after_seconds)


def _next_loss_seconds(reports: Sequence[RankReport], now: datetime) -> float | None:
    """Seconds until a node that is not ready counts as lost."""
    ahead = (report.lost_from for report in reports if report.lost_from is not None)
    return min(((moment - now).total_seconds() for moment in ahead if moment > now), default=None)


def _left_to_settle(snapshot: Snapshot, cause: Cause, now: datetime, settings: Settings) -> float:
    """Seconds to wait for more evidence; none once every rank has ended."""
    if all(_has_ended(report) for report in snapshot.reports):
        return 0.0
    telling = cause.primary and not (snapshot.logs_read and cause.is_unexplained)
    patience = settings.settle_seconds if telling else settings.silent_settle_seconds
    since = snapshot.failing_since or now
    return (since + timedelta(seconds=patience) - now).total_seconds()


def _has_ended(report: RankReport) -> bool:
    return report.pod is None or report.pod.status.phase in ("Failed", "Succeeded")


def _diagnose(snapshot: Snapshot, cause: Cause, attempt: int, now: datetime, settings: Settings) -> Diagnosis:
    workload = snapshot.workload
    remedy = _remedy(snapshot, cause, attempt, now, settings)
    verdict = VERDICTS[cause.fault]
    report = cause.report
    spec = DiagnosisSpec(
        workload=workload.metadata.name,
        attempt=attempt,
        pod_set=report.pod_set,
        rank=report.index,
        node=report.node,
        pod=report.pod.metadata.name if report.pod is not None else "",
        fault_class=cause.fault.value,
        blame=cause.blame.value,
        action=remedy.action.value,
        confidence=confidence_in(cause),
        exit_code=cause.exit_code,
        signal=cause.signal,
        message=cause.message + remedy.told,
        step=remedy.step.value,
        policy=remedy.policy,
        budget=remedy.budget,
        retry_after_seconds=remedy.retry_after_seconds,
        implications=remedy.implications,
        signature=cause.meaning.signature if cause.meaning is not None else "",
        device=cause.meaning.device if cause.meaning is not None else "",
        secondary=cause.is_consequence,
        happened_at=happened_at(cause),
        detected_at=now,
        next_step=verdict.next_step,
        evidence=_evidence(cause),
    )
    if cause.fault is Fault.HANG and snapshot.hang is not None:
        spec = stalled.described(spec, snapshot.hang)
    metadata = ObjectMeta(
        name=diagnosis_name(workload, attempt),
        namespace=workload.metadata.namespace,
        labels={labels.WORKLOAD: workload.metadata.name},
        owner_references=[owner_reference(workload)],
    )
    return Diagnosis(metadata=metadata, spec=spec)


def _remedy(snapshot: Snapshot, cause: Cause, attempt: int, now: datetime, settings: Settings) -> Remedy:
    """What the policy of this workload says of the cause.

    Attempts without a Diagnosis were ended by a person or a queue (suspended, drained) and are charged to
    no budget.
    """
    workload = snapshot.workload
    policy = _policy(snapshot, settings)
    earlier = [one for one in of_failures(snapshot.diagnoses) if one.spec.attempt < attempt]
    failure = Failure(
        fault_class=cause.fault.value,
        blame=cause.blame.value,
        action=cause.action.value,
        confidence=confidence_in(cause),
        signature=cause.meaning.signature if cause.meaning is not None else "",
        secondary=not cause.primary,
        has_node=bool(cause.report.node),
        implications=_implications(snapshot, cause, earlier, policy, now),
    )
    elastic = _is_elastic(workload)
    return decide(failure, policy, earlier, now, max_restarts=_max_restarts(workload), elastic=elastic)


def _implications(
    snapshot: Snapshot, cause: Cause, earlier: Sequence[Diagnosis], policy: Effective, now: datetime
) -> int:
    """How many failures speak against the node under the rank that failed."""
    report = cause.report
    suspect = Suspect(
        workload=snapshot.workload.key,
        node=report.node,
        pod_set=report.pod_set,
        rank=report.index,
        fault_class=cause.fault.value,
        blame=cause.blame.value,
    )
    return implications(suspect, earlier, snapshot.histories, policy.spec.escalation, now)


def _is_elastic(workload: Workload) -> bool:
    """Whether it can do with fewer pods than it asks for."""
    return any(pod_set.min_count is not None for pod_set in workload.spec.pod_sets)


def _policy(snapshot: Snapshot, settings: Settings) -> Effective:
    """What the site says about this workload's failures."""
    meta = snapshot.workload.metadata
    return effective(
        policy_for_workload(snapshot.policies, meta.namespace, meta.labels), settings.restarts_max
    )


def _max_restarts(workload: Workload) -> int:
    noted = workload.metadata.annotations.get(labels.MAX_RESTARTS, "0")
    return int(noted) if noted.isdecimal() else 0


def _evidence(cause: Cause) -> list[Evidence]:
    """The line that shows the cause, the last lines of that rank's log, and how its pod ended."""
    report = cause.report
    pod_name = report.pod.metadata.name if report.pod is not None else report.host
    found = [
        Evidence(source=f"log:{pod_name}", line=line.text, time=line.time)
        for line in report.log.tail
        if cause.finding is None or without_prefix(line.text) != cause.finding.line.text
    ]
    if cause.finding is not None:
        line = cause.finding.line
        source = f"kernel:{report.node}" if cause.recorded else f"log:{pod_name}"
        found.append(Evidence(source=source, line=line.text[:LINE_CHARACTERS], time=line.time))
    if report.pod is not None and report.pod.status.reason:
        status = report.pod.status
        found.append(
            Evidence(source=f"pod:{pod_name}", line=f"{status.reason}: {status.message}".rstrip(": "))
        )
    if report.lost_from is not None:
        found.append(Evidence(source=f"node:{report.node}", line="not ready", time=report.lost_from))
    return found


def _evict(snapshot: Snapshot, diagnosis: Diagnosis, now: datetime, settings: Settings) -> Plan:
    """Evicted True for an attempt that is to be followed by another.

    Where the node goes out of service, that comes first: else the next attempt might be given the same place.
    For the same reason it is noted first which nodes the next attempt is to avoid.
    """
    workload = snapshot.workload
    ends = diagnosis.spec.action in (Action.FAIL_FAST, Action.IGNORE)
    if ends or is_true(workload.status.conditions, WorkloadCondition.EVICTED):
        return Plan()
    if diagnosis.spec.action == Action.CORDON_EVICT and not diagnosis.status.phase:
        since = diagnosis.metadata.creation_timestamp or now
        left_seconds = (since + timedelta(seconds=settings.cordon_seconds) - now).total_seconds()
        if left_seconds > 0:
            return Plan(requeue_after_seconds=left_seconds)
    by_program = diagnosis.spec.blame == Blame.PROGRAM
    reason = WorkloadReason.PROGRAM_FAILED if by_program else WorkloadReason.NODE_FAILURES
    evicted = _apply_evicted(workload, "True", reason, diagnosis.spec.message, now)
    return Plan((*_avoid(workload, [*snapshot.diagnoses, diagnosis], now), evicted))


def _avoid(workload: Workload, diagnoses: Sequence[Diagnosis], now: datetime) -> list[Apply]:
    """The note for the scheduler: nodes that attempts are to leave where there are others."""
    meta = workload.metadata
    avoided = ",".join(nodes_to_avoid(diagnoses, now))
    gone = diagnoses[-1].spec.step in (Step.SHRINK, Step.CORDON_AND_EVICT)
    shrinks = SHRINK_AFTER_SECONDS if gone and _is_elastic(workload) else ""
    known = meta.annotations
    if (known.get(labels.AVOID_NODES, ""), known.get(labels.SHRINK_AFTER, "")) == (avoided, shrinks):
        return []
    notes = {labels.AVOID_NODES: avoided, labels.SHRINK_AFTER: shrinks}
    fields = {"metadata": {"annotations": {key: text for key, text in notes.items() if text}}}
    return [Apply(Workload, meta.namespace, meta.name, fields, uid=meta.uid)]


def _requeue(snapshot: Snapshot, now: datetime) -> Plan:
    """The attempt has ended, its places kept or not: the eviction is over once the back-off is.

    The scheduler ends its own evictions itself.
    """
    workload = snapshot.workload
    evicted = find_condition(workload.status.conditions, WorkloadCondition.EVICTED)
    if evicted is None or evicted.status != "True" or is_own_eviction(evicted.reason):
        return Plan()
    newest = max(of_failures(snapshot.diagnoses), key=lambda one: one.spec.attempt, default=None)
    known = newest is not None and newest.spec.attempt >= _ended_attempt(workload)
    left_seconds = left_to_wait(newest, now) if newest is not None else 0.0
    if not known and evicted.reason in _OURS:  # the cache is behind, and an earlier verdict says nothing
        since = evicted.last_transition_time or now
        left_seconds = (since + timedelta(seconds=UNSEEN_SECONDS) - now).total_seconds()
    if left_seconds > 0 and workload.spec.active:
        return Plan(requeue_after_seconds=left_seconds)
    return Plan((_apply_evicted(workload, "False", WorkloadReason.REQUEUED, evicted.message, now),))


def _ended_attempt(workload: Workload) -> int:
    """The attempt that was evicted: it is counted when its admission is taken back, or, where its places
    are kept, when the next one begins."""
    kept = is_true(workload.status.conditions, WorkloadCondition.QUOTA_RESERVED)
    return attempt_of(workload) - (not kept)


def _apply_evicted(
    workload: Workload, status: str, reason: WorkloadReason, message: str, now: datetime
) -> Apply:
    new = Condition(
        type=WorkloadCondition.EVICTED.value,
        status=status,
        reason=reason.value,
        message=message,
        observed_generation=workload.metadata.generation or None,
    )
    stamped = find_condition(set_condition(workload.status.conditions, new, now), new.type) or new
    fields: dict[str, Any] = {"status": {"conditions": [encode(stamped)]}}
    meta = workload.metadata
    return Apply(Workload, meta.namespace, meta.name, fields, subresource="status", uid=meta.uid)
