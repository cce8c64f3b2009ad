"""Which RemediationPolicy counts for a workload or a node, and the one that is built in. Pure.

Called by `plan` (workloads), `remediation_controller` (nodes) and the CLI. The order in which policies count
is told in `api/remediation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from springtide.api.meta import LabelSelector
from springtide.api.remediation import (
    PolicyMode,
    RemediationPolicy,
    RemediationPolicySpec,
    RemediationRule,
    RestartBudget,
    SignatureOverride,
    Step,
)
from springtide.api.selectors import from_label_selector
from springtide.api.springtide import Action, Blame

PLATFORM = "platform"
"""Budget of restarts after faults that are not the program's."""
RETRY = "retry"
"""Budget of programs that may succeed when they are only started again."""
PROGRAM = "program"
"""Budget of the job itself: `failurePolicy.maxRestarts`."""
PLATFORM_WINDOW_SECONDS = 6 * 3600.0
"""A job over thousands of GPUs is interrupted every few hours: ten restarts in six are ten too many, ten in
its whole life are nothing."""
RETRY_WINDOW_SECONDS = 3600.0

DEFAULT_RULES: tuple[RemediationRule, ...] = (
    RemediationRule(
        blames=[Blame.PROGRAM.value],
        actions=[Action.RESTART_IN_PLACE.value],
        steps=[Step.RESTART_IN_PLACE.value],
        budget=RETRY,
    ),
    RemediationRule(actions=[Action.FAIL_FAST.value], steps=[Step.FAIL_FAST.value], budget=PROGRAM),
    RemediationRule(blames=[Blame.PROGRAM.value], steps=[Step.FAIL_FAST.value], budget=PROGRAM),
    RemediationRule(fault_classes=["CollectorSilent"], steps=[Step.IGNORE.value]),
    RemediationRule(actions=[Action.CORDON_EVICT.value], steps=[Step.CORDON_AND_EVICT.value]),
    RemediationRule(blames=[Blame.NODE.value], steps=[Step.SHRINK.value]),  # elsewhere, if it is not elastic
    RemediationRule(
        blames=[Blame.NETWORK.value, Blame.UNKNOWN.value],
        steps=[Step.RESTART_IN_PLACE.value, Step.RESTART_IN_PLACE.value, Step.RESTART_ELSEWHERE.value],
    ),
    RemediationRule(steps=[Step.RESTART_IN_PLACE.value]),
)
"""What is done where no rule of a policy says otherwise; the first that a fault meets counts."""


@dataclass(frozen=True)
class Effective:
    """A policy with everything it leaves out filled in."""

    name: str = ""
    """Of the RemediationPolicy; empty: the built-in one."""
    spec: RemediationPolicySpec = field(default_factory=RemediationPolicySpec)
    rules: tuple[RemediationRule, ...] = DEFAULT_RULES
    budgets: Mapping[str, RestartBudget] = field(default_factory=dict)

    @property
    def reports_only(self) -> bool:
        """Whether workloads are left alone."""
        return self.spec.mode == PolicyMode.REPORT

    @property
    def reports_nodes_only(self) -> bool:
        """Whether nodes are left alone."""
        return (self.spec.node_mode or self.spec.mode) == PolicyMode.REPORT

    @property
    def overrides(self) -> Mapping[str, SignatureOverride]:
        """What the site knows better about signatures, by name."""
        return {one.name: one for one in self.spec.signatures}


def default_budgets(restarts_max: int = 10) -> tuple[RestartBudget, ...]:
    """The built-in budgets; `restarts_max` is how often the platform makes up for its own faults."""
    return (
        RestartBudget(name=PLATFORM, restarts=restarts_max, window_seconds=PLATFORM_WINDOW_SECONDS),
        RestartBudget(name=RETRY, restarts=3, window_seconds=RETRY_WINDOW_SECONDS),
        RestartBudget(name=PROGRAM, restarts=0),
    )


def effective(policy: RemediationPolicy | None, restarts_max: int = 10) -> Effective:
    """The policy filled in; the built-in one for None."""
    spec = policy.spec if policy is not None else RemediationPolicySpec()
    budgets = {one.name: one for one in (*default_budgets(restarts_max), *spec.budgets)}
    name = policy.metadata.name if policy is not None else ""
    return Effective(name, spec, (*spec.rules, *DEFAULT_RULES), budgets)


def policy_for_workload(
    policies: Iterable[RemediationPolicy], namespace: str, labels: Mapping[str, str]
) -> RemediationPolicy | None:
    """The policy that counts for a workload of this namespace with these labels."""
    fitting = [
        one
        for one in policies
        if (not one.spec.namespaces or namespace in one.spec.namespaces)
        and _lets_in(one.spec.workload_selector, labels)
    ]
    return min(fitting, key=_workload_order, default=None)


def policy_for_node(
    policies: Iterable[RemediationPolicy], labels: Mapping[str, str]
) -> RemediationPolicy | None:
    """The policy that counts for a node with these labels."""
    fitting = [one for one in policies if _lets_in(one.spec.node_selector, labels)]
    return min(fitting, key=_node_order, default=None)


def trouble_of(policy: RemediationPolicy, known_signatures: Iterable[str]) -> str:
    """What in a policy will never have an effect, for its condition Valid; empty: nothing."""
    spec, known = policy.spec, {*known_signatures}
    budgets = {PLATFORM, RETRY, PROGRAM, *(one.name for one in spec.budgets)}
    found = [
        f"spec.rules[{at}].budget is {rule.budget!r}; there is no such budget: add it to spec.budgets or "
        f"use one of {', '.join(sorted(budgets))}"
        for at, rule in enumerate(spec.rules)
        if rule.budget and rule.budget not in budgets
    ]
    named = [(f"spec.rules[{at}].signatures", one) for at, r in enumerate(spec.rules) for one in r.signatures]
    named += [(f"spec.signatures[{at}].name", one.name) for at, one in enumerate(spec.signatures)]
    found += [
        f"{where} names {name!r}, and no signature has that name"
        for where, name in named
        if known and name not in known
    ]
    return "; ".join(found)


def _workload_order(policy: RemediationPolicy) -> tuple[int, bool, bool, str]:
    spec = policy.spec
    return -spec.priority, not spec.namespaces, _is_empty(spec.workload_selector), policy.metadata.name


def _node_order(policy: RemediationPolicy) -> tuple[int, bool, str]:
    return -policy.spec.priority, _is_empty(policy.spec.node_selector), policy.metadata.name


def _lets_in(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    parsed = from_label_selector(selector)
    return parsed is not None and parsed.matches(labels)


def _is_empty(selector: LabelSelector) -> bool:
    return not selector.match_labels and not selector.match_expressions
