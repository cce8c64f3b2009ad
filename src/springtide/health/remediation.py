"""What is done about a failed attempt: the step, the budget it is charged to and how long to wait. Pure.

Called by `plan` with the verdict, the effective policy and the job's earlier Diagnoses. Everything is
reckoned from those, so that a restart of the controller forgets nothing. Whatever a policy says, a node is
never taken out of service for a program's fault, on consequences alone, or by an unsure verdict alone: but by
failures that come back to it (`escalation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.remediation import Backoff, RemediationRule, RestartBudget, Step
from springtide.api.springtide import Action, Blame, Diagnosis
from springtide.health.remediation_policy import PLATFORM, PROGRAM, Effective

_ACTIONS: dict[Step, Action] = {
    Step.RESTART_IN_PLACE: Action.RESTART_IN_PLACE,
    Step.RESTART_ELSEWHERE: Action.RESTART_IN_PLACE,
    Step.SHRINK: Action.RESTART_IN_PLACE,
    Step.CORDON_AND_EVICT: Action.CORDON_EVICT,
    Step.FAIL_FAST: Action.FAIL_FAST,
    Step.IGNORE: Action.IGNORE,
}
"""Total: what a Diagnosis says of a step."""
_NEVER_CORDONED_FOR = (Blame.PROGRAM, Blame.UNKNOWN)
AVOID_SECONDS = 3600.0
"""How long a job keeps off a node on which it failed and that stayed in service."""
RESTARTS = (Action.RESTART_IN_PLACE, Action.CORDON_EVICT)
"""Actions after which there is another attempt."""


@dataclass(frozen=True)
class Failure:
    """A verdict, as rules see it."""

    fault_class: str
    blame: str
    action: str
    """What the verdict asks for."""
    confidence: float = 1.0
    signature: str = ""
    secondary: bool = False
    """Only consequences were seen."""
    has_node: bool = True
    """Whether it is known on which node it happened."""
    implications: int = 0
    """How many failures, this one included, speak against the node; 0: not enough (`escalation`)."""


@dataclass(frozen=True)
class Remedy:
    """What is done."""

    step: Step
    action: Action
    policy: str = ""
    budget: str = ""
    retry_after_seconds: float = 0.0
    told: str = ""
    """To be added to the message; begins with a separator."""
    implications: int = 0
    """For how many failures the node goes; 0: it does not, or for this one alone."""


def decide(
    failure: Failure,
    policy: Effective,
    earlier: Sequence[Diagnosis],
    now: datetime,
    *,
    max_restarts: int = 0,
    elastic: bool = False,
) -> Remedy:
    """The remedy for an attempt that failed. `earlier`: Diagnoses of earlier attempts of the same workload.

    `max_restarts`: how often the job itself wants to be started again after its own failures.
    """
    rule = rule_for(failure, policy)
    step, doubt = _allowed(_step_of(rule, failure, earlier), failure, policy, elastic=elastic)
    escalates = _escalates(step, failure)
    if escalates:
        step, doubt = Step.CORDON_AND_EVICT, _by_history(failure, policy)
    ends = step is Step.FAIL_FAST
    budget = _budget_of(rule, policy, ends=ends)
    allowed = budget.restarts + (max_restarts if budget.name == PROGRAM else 0)
    used = restarts_in(budget, earlier, now)
    told = doubt
    if used >= allowed:
        step = Step.FAIL_FAST
        told += f"; not started again: {_spent(allowed, budget)}" if allowed else ""
    elif ends:
        step = Step.RESTART_IN_PLACE
    remedy = Remedy(step, _ACTIONS[step], policy.name, told=told)
    if remedy.action in RESTARTS:
        wait_seconds = wait_before(budget.backoff, used)
        count = failure.implications if escalates else 0
        remedy = Remedy(step, remedy.action, policy.name, budget.name, wait_seconds, told, count)
    return _reported(remedy) if policy.reports_only else remedy


def rule_for(failure: Failure, policy: Effective) -> RemediationRule:
    """The first rule that lets the fault in; the last of the built-in ones lets in all."""
    return next(rule for rule in policy.rules if _meets(failure, rule))


def asks_for_cordon(failure: Failure, policy: Effective) -> bool:
    """Whether a fault seen on a node that no workload complains about takes the node out of service."""
    step = Step(rule_for(failure, policy).steps[0])
    return _allowed(step, failure, policy, elastic=False)[0] is Step.CORDON_AND_EVICT


def restarts_in(budget: RestartBudget, earlier: Sequence[Diagnosis], now: datetime) -> int:
    """How many restarts are charged to a budget within its window."""
    since = now - timedelta(seconds=budget.window_seconds) if budget.window_seconds else None
    return sum(
        1
        for one in earlier
        if one.spec.action in RESTARTS
        and _charged(one) == budget.name
        and (since is None or (_written_at(one) or now) > since)
    )


def wait_before(backoff: Backoff, used: int) -> float:
    """Seconds before the next restart, after so many within the window; none before the first."""
    if used < 1:
        return 0.0
    wait = backoff.initial_seconds
    for _ in range(used - 1):
        wait = min(backoff.max_seconds, wait * backoff.factor)
        if wait >= backoff.max_seconds:
            break
    return min(backoff.max_seconds, wait)


def left_to_wait(diagnosis: Diagnosis, now: datetime) -> float:
    """Seconds until the attempt after this Diagnosis may begin."""
    written = _written_at(diagnosis)
    if written is None or not diagnosis.spec.retry_after_seconds:
        return 0.0
    until = written + timedelta(seconds=diagnosis.spec.retry_after_seconds)
    return max(0.0, (until - now).total_seconds())


def nodes_to_avoid(diagnoses: Sequence[Diagnosis], now: datetime) -> list[str]:
    """Nodes that the job's attempts leave, as long as there are others: its last failures happened there."""
    since = now - timedelta(seconds=AVOID_SECONDS)
    return sorted(
        {
            one.spec.node
            for one in diagnoses
            if one.spec.step in (Step.RESTART_ELSEWHERE, Step.SHRINK, Step.CORDON_AND_EVICT)
            and one.spec.node
            and (_written_at(one) or now) > since
        }
    )


def _meets(failure: Failure, rule: RemediationRule) -> bool:
    return all(
        not listed or value in listed
        for listed, value in (
            (rule.fault_classes, failure.fault_class),
            (rule.blames, failure.blame),
            (rule.actions, failure.action),
            (rule.signatures, failure.signature),
        )
    )


def _step_of(rule: RemediationRule, failure: Failure, earlier: Sequence[Diagnosis]) -> Step:
    """The n-th step at the n-th time this fault class hits the job."""
    before = sum(1 for one in earlier if one.spec.fault_class == failure.fault_class)
    return Step(rule.steps[min(before, len(rule.steps) - 1)])


def _allowed(step: Step, failure: Failure, policy: Effective, *, elastic: bool) -> tuple[Step, str]:
    """The step, or the gentler one that takes its place, and why."""
    if step is Step.IGNORE:  # an attempt that has ended cannot go on as if nothing were
        return Step.RESTART_IN_PLACE, ""
    if step is Step.SHRINK and not elastic:
        return Step.RESTART_ELSEWHERE, ""
    if step is not Step.CORDON_AND_EVICT:
        return step, ""
    if failure.secondary or failure.blame in _NEVER_CORDONED_FOR or not failure.has_node:
        return Step.RESTART_IN_PLACE, ""
    if failure.confidence < policy.spec.cordon_confidence:
        sure = f"{failure.confidence:g} of {policy.spec.cordon_confidence:g}"
        return Step.RESTART_ELSEWHERE, f"; the node stays in service: not sure enough ({sure})"
    return step, ""


def _escalates(step: Step, failure: Failure) -> bool:
    """Whether the node's history asks for more than the verdict does."""
    gentle = step in (Step.RESTART_IN_PLACE, Step.RESTART_ELSEWHERE, Step.SHRINK)
    may = failure.has_node and not failure.secondary and failure.blame != Blame.PROGRAM
    return gentle and may and failure.implications > 0


def _by_history(failure: Failure, policy: Effective) -> str:
    days = policy.spec.escalation.window_seconds / 86400
    return f"; its node goes: it had a part in {failure.implications} failures within {days:g} days"


def _budget_of(rule: RemediationRule, policy: Effective, *, ends: bool) -> RestartBudget:
    """What restarts are charged to; where the program is at its end, what its owner grants it."""
    name = PROGRAM if ends else rule.budget or PLATFORM
    return policy.budgets.get(name) or policy.budgets[PLATFORM]


def _spent(allowed: int, budget: RestartBudget) -> str:
    spent = "the one restart is" if allowed == 1 else f"all {allowed} restarts are"
    within = f" (within {budget.window_seconds / 3600:g} h)" if budget.window_seconds else ""
    return f"{spent} used up{within}"


def _charged(diagnosis: Diagnosis) -> str:
    spec = diagnosis.spec
    return spec.budget or (PROGRAM if spec.blame == Blame.PROGRAM else PLATFORM)


def _written_at(diagnosis: Diagnosis) -> datetime | None:
    return diagnosis.metadata.creation_timestamp or diagnosis.spec.detected_at


def _reported(remedy: Remedy) -> Remedy:
    told = f"{remedy.told}; only reported: {remedy.step.value} would be done"
    return Remedy(remedy.step, Action.IGNORE, remedy.policy, told=told)
