"""What to do about one node: cordon, drain, repair, check, return; pure, from a view and a time to steps.

One incident of a node is worked on at a time. Its phase says how far it is; every step is a condition with
its time. What is written on the node comes before the phase that says so, and the end of an incident before
what it has put on the node is taken off: so whoever looks after a crash finds what is left to do. A node
that bears our mark and has no open incident is restored. Called by `remediation_controller`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.commands import Command, Create, Emit
from springtide.api.nodes import Node
from springtide.api.remediation import Answered, IncidentPhase
from springtide.api.springtide import Diagnosis
from springtide.health import remediation_node as on_node
from springtide.health.incidents import (
    BREAKER_OPEN,
    CHECKED,
    CORDONED,
    DRAINED,
    MASS_SYMPTOM,
    REPAIRED,
    is_over,
    moved,
    phase_of,
    recent,
    time_of,
    waits_for_breaker,
)
from springtide.health.remediation_breaker import UNTOUCHED, cap_of, crowd, crowd_diagnosis, is_full, is_told
from springtide.health.remediation_drain import due_to_leave, left_on
from springtide.health.remediation_jobs import CHECK, REPAIR, Outcome, TemplateError, job_name, made, outcome
from springtide.health.remediation_rest import at_rest, settled, without_node
from springtide.health.remediation_view import Act, Claim, Evict, NodeView, Steps

_FAILED = {REPAIR: "RepairFailed", CHECK: "CheckFailed"}
_TIMED_OUT = {REPAIR: "RepairTimedOut", CHECK: "CheckTimedOut"}
"""Reasons of Held, by what the job was for."""


def plan(view: NodeView, now: datetime) -> Steps:
    """The next steps about the node."""
    current = next((one for one in view.own if not is_over(one)), None)
    told = settled(view, current, now)
    if told:
        return Steps(told, 0.0)
    if view.node is None:
        return without_node(view, current, now)
    if current is None:
        return at_rest(view, view.node, now)
    phase = phase_of(current)
    interrupted = None if _PHASES[phase] is _open else _interrupted(view, view.node, current, now)
    return interrupted or _PHASES[phase](view, view.node, current, now)


# -- phases -----------------------------------------------------------------------------------------


def _open(view: NodeView, node: Node, incident: Diagnosis, now: datetime) -> Steps:
    """Whether and how the node is taken out of service."""
    spec = view.policy.spec
    if on_node.is_ours(node, incident.metadata.name):
        return _cordoned_now(node, incident, now)
    if on_node.is_taken_back(node, incident.metadata.name):
        return Steps((_taken_back(incident, now),), 0.0)
    together = crowd(incident, view.incidents, spec.breaker)
    if together:
        return _crowded(view, incident, together, now)
    if view.policy.reports_nodes_only:
        message = "only reported: the node would be taken out of service"
        said = Emit(node, "WouldCordon", _why(incident), "Warning", "Remediating")
        return Steps((_ended(incident, IncidentPhase.REPORTED, "ReportOnly", message, now), said))
    by_history = incident.spec.implications > 0 and spec.escalation.incidents > 0
    if incident.spec.confidence < spec.cordon_confidence and not by_history:
        message = f"not sure enough ({incident.spec.confidence:g} of {spec.cordon_confidence:g})"
        return Steps((_ended(incident, IncidentPhase.WITHHELD, "NotSure", message, now),))
    cap = cap_of(spec.breaker, len(view.peers))
    if is_full(view.ledger, view.name, view.peers, cap):
        return _withheld(node, incident, cap, now)
    name = incident.metadata.name
    return Steps(
        (
            Claim(view.name, name, view.peers, cap),
            on_node.cordon(node, incident, now, no_execute=spec.drain.no_execute),
        ),
        0.0,
    )


def _cordoned_now(node: Node, incident: Diagnosis, now: datetime) -> Steps:
    fault = incident.spec.fault_class
    if not on_node.is_told(node, fault, fault, healthy=False):
        return Steps((on_node.condition(node, fault, fault, _why(incident), now, healthy=False),), 0.0)
    message = "out of service; its pods leave"
    said = Emit(node, "NodeCordoned", _why(incident), "Warning", "Remediating")
    return Steps((moved(incident, IncidentPhase.CORDONED, message, now, (CORDONED, "Cordoned")), said), 0.0)


def _crowded(view: NodeView, incident: Diagnosis, together: list[str], now: datetime) -> Steps:
    breaker = view.policy.spec.breaker
    message = f"{len(together)} nodes show the same at once: what they share is to blame"
    acts: list[Act] = []
    if not is_told(incident, view.others, breaker, now):
        acts.append(Create(crowd_diagnosis(incident, view.incidents, together, breaker, now)))
    acts.append(_ended(incident, IncidentPhase.WITHHELD, MASS_SYMPTOM, message, now))
    return Steps(tuple(acts), 0.0)


def _withheld(node: Node, incident: Diagnosis, cap: int, now: datetime) -> Steps:
    """Left in service until another node returns."""
    if waits_for_breaker(incident):
        return Steps()
    nodes = "1 node is" if cap == 1 else f"{cap} nodes are"
    message = f"left in service: {nodes} out already, and spec.breaker.maxCordoned allows no more"
    said = Emit(node, "CordonWithheld", f"{_why(incident)}; {message}", "Warning", "Remediating")
    return Steps((_ended(incident, IncidentPhase.WITHHELD, BREAKER_OPEN, message, now), said))


def _cordoned(view: NodeView, _node: Node, incident: Diagnosis, now: datetime) -> Steps:
    """The node is emptied."""
    drain = view.policy.spec.drain
    since = time_of(incident, CORDONED) or now
    left = left_on(view.pods)
    until = since + timedelta(seconds=drain.timeout_seconds)
    if left and not (drain.enabled and until <= now):
        if not drain.enabled:
            return Steps()
        due, again_seconds = due_to_leave(left, since, drain, now)
        again_seconds = min(again_seconds, (until - now).total_seconds())
        return Steps(tuple(Evict(pod) for pod in due), again_seconds)
    reason, message = ("TimedOut", f"{len(left)} pods are left") if left else ("Drained", "no pods are left")
    return Steps((moved(incident, IncidentPhase.REPAIRING, message, now, (DRAINED, reason)),), 0.0)


def _repairing(view: NodeView, node: Node, incident: Diagnosis, now: datetime) -> Steps:
    """Somebody mends it, or a person is called."""
    returning, repair = view.policy.spec.returning, view.policy.spec.repair
    count = len(recent(view.own, now, returning.window_seconds))
    if returning.incidents and count >= returning.incidents:
        days = returning.window_seconds / 86400
        return _held(node, incident, "TooManyIncidents", f"{count} incidents within {days:g} days", now)
    begun = time_of(incident, DRAINED) or now
    until = begun + timedelta(seconds=repair.timeout_seconds)
    if repair.job_template is not None:
        return _by_job(view, node, incident, REPAIR, until, now)
    if repair.external:
        return _by_another(node, incident, until, now)
    return Steps((_repaired(incident, UNTOUCHED, "nobody mends it", now),), 0.0)


def _by_job(
    view: NodeView, node: Node, incident: Diagnosis, purpose: str, until: datetime, now: datetime
) -> Steps:
    repairs = purpose == REPAIR
    template = view.policy.spec.repair.job_template if repairs else view.policy.spec.returning.check_template
    job = view.jobs.get(job_name(incident, purpose))
    if job is None:
        try:
            return Steps((Create(made(template or {}, incident, purpose)),), (until - now).total_seconds())
        except TemplateError as error:
            return _held(node, incident, "InvalidTemplate", str(error), now)
    ended = outcome(job)
    if ended is Outcome.SUCCEEDED:
        message = f"job {job.metadata.name} succeeded"
        if repairs:
            return Steps((_repaired(incident, "JobSucceeded", message, now),), 0.0)
        return _returned(node, incident, message, now)
    if ended is Outcome.FAILED:
        return _held(node, incident, _FAILED[purpose], f"job {job.metadata.name} failed", now)
    if until <= now:
        return _held(node, incident, _TIMED_OUT[purpose], f"job {job.metadata.name} is late", now)
    return Steps((), (until - now).total_seconds())


def _by_another(node: Node, incident: Diagnosis, until: datetime, now: datetime) -> Steps:
    answer = node.metadata.annotations.get(labels.REPAIR, "")
    if answer == Answered.DONE:
        return Steps((_repaired(incident, "RepairerDone", "its repairer says it is done", now),), 0.0)
    if answer == Answered.FAILED:
        return _held(node, incident, "RepairFailed", "its repairer says it has failed", now)
    if until <= now:
        return _held(node, incident, "RepairTimedOut", "its repairer has not answered in time", now)
    ask = () if answer == Answered.WANTED else (on_node.ask_for_repair(node, Answered.WANTED.value),)
    return Steps(ask, (until - now).total_seconds())


def _checking(view: NodeView, node: Node, incident: Diagnosis, now: datetime) -> Steps:
    """Quarantine, then the check, then back."""
    returning = view.policy.spec.returning
    mended = time_of(incident, REPAIRED) or now
    quiet_from = max([mended, *(one.detected_at for one in view.seen if one.detected_at is not None)])
    until = quiet_from + timedelta(seconds=returning.quarantine_seconds)
    if until > now:
        return Steps((), (until - now).total_seconds())
    if returning.check_template is not None:
        late = until + timedelta(seconds=returning.check_timeout_seconds)
        return _by_job(view, node, incident, CHECK, late, now)
    return _returned(node, incident, f"no fault for {returning.quarantine_seconds:g} s", now)


def _waiting(_view: NodeView, _node: Node, _incident: Diagnosis, _now: datetime) -> Steps:
    """Held for a person, who returns it with `kubectl uncordon`."""
    return Steps()


_PHASES = {
    IncidentPhase.OPEN: _open,
    IncidentPhase.WITHHELD: _open,  # left in service by the breaker: the next attempt to take it out
    IncidentPhase.CORDONED: _cordoned,
    IncidentPhase.REPAIRING: _repairing,
    IncidentPhase.CHECKING: _checking,
    IncidentPhase.HELD: _waiting,
}


# -- steps ------------------------------------------------------------------------------------------


def _interrupted(view: NodeView, node: Node, incident: Diagnosis, now: datetime) -> Steps | None:
    """What ends the work on a node that is out: a person's word, or many nodes that show the same.

    A person who uncordons the node, or takes our mark off it, has the last word.
    """
    if not on_node.is_ours(node, incident.metadata.name):
        return Steps((_taken_back(incident, now),), 0.0)
    together = crowd(incident, view.incidents, view.policy.spec.breaker)
    return _crowded(view, incident, together, now) if together else None


def _taken_back(incident: Diagnosis, now: datetime) -> Command:
    message = "a person returned it, or it was made anew"
    return _ended(incident, IncidentPhase.RELEASED, "TakenOver", message, now)


def _repaired(incident: Diagnosis, reason: str, message: str, now: datetime) -> Command:
    return moved(incident, IncidentPhase.CHECKING, message, now, (REPAIRED, reason))


def _returned(node: Node, incident: Diagnosis, message: str, now: datetime) -> Steps:
    steps = (CHECKED, "Passed"), (IncidentPhase.RETURNED.value, "Returned")
    said = Emit(node, "NodeReturned", f"in service again: {message}", action="Remediating")
    return Steps((moved(incident, IncidentPhase.RETURNED, message, now, *steps), said), 0.0)


def _held(node: Node, incident: Diagnosis, reason: str, message: str, now: datetime) -> Steps:
    told = f"{message}: a person must look at it; `kubectl uncordon {node.metadata.name}` returns it"
    said = Emit(node, "NodeHeld", told, "Warning", "Remediating")
    return Steps((moved(incident, IncidentPhase.HELD, told, now, (IncidentPhase.HELD.value, reason)), said))


def _ended(incident: Diagnosis, phase: IncidentPhase, reason: str, message: str, now: datetime) -> Command:
    return moved(incident, phase, message, now, (phase.value, reason))


def _why(incident: Diagnosis) -> str:
    device = f" ({incident.spec.device})" if incident.spec.device else ""
    return f"{incident.spec.fault_class}{device}: {incident.spec.message}"
