"""The scheduler's configuration while it runs: the SchedulerConfiguration `default`, over how it was started.

A change takes effect with the next cycle. One that cannot be followed, such as a policy that nobody
registered, changes nothing: the scheduler goes on as before and says so in the object's condition `Accepted`.
Policies are chosen by name alone: who may write this object must not thereby be able to have files executed.
Called by the controller, and by `springtide simulate` for the same file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from springtide.api.commands import Apply, Command
from springtide.api.configuration import (
    AdmissionFairSharingConfiguration,
    BackfillConfiguration,
    ConsolidationConfiguration,
    SchedulerConfiguration,
    SchedulerConfigurationSpec,
    WaitForPodsReadyConfiguration,
)
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.struct import encode, unknown_paths
from springtide.scheduling.defragmentation import Consolidation
from springtide.scheduling.ordering import find_ordering
from springtide.scheduling.patience import Patience
from springtide.scheduling.plan import Options
from springtide.scheduling.policies import find_policy
from springtide.scheduling.timing import Timing
from springtide.scheduling.usage import UsageSettings
from springtide.scheduling.victim_policies import find_victims

DEFAULT = "default"
"""The name of the one that counts."""
ACCEPTED = "Accepted"
T = TypeVar("T")


class Configuration:
    """What the scheduler works by now."""

    def __init__(self, started_with: Options) -> None:
        self.options = started_with
        """How cycles decide."""
        self._started_with = started_with
        self._objects: dict[str, SchedulerConfiguration] = {}
        self._problem = ""

    def change(self, old: SchedulerConfiguration | None, new: SchedulerConfiguration | None) -> bool:
        """One came, changed or went; whether the scheduler now works by something else."""
        obj = new if new is not None else old
        if obj is None:
            return False
        if new is None:
            self._objects.pop(obj.metadata.name, None)
        else:
            self._objects[obj.metadata.name] = new
        if obj.metadata.name != DEFAULT:
            return False
        before = self.options
        self._problem = ""
        try:
            spec = new.spec if new is not None else SchedulerConfigurationSpec()
            self.options = configured(self._started_with, spec)
        except ValueError as error:
            self._problem = str(error)
        return self.options != before

    def commands(self, now: datetime) -> list[Command]:
        """What brings the status of all of them up to date."""
        found: list[Command] = []
        for obj in self._objects.values():
            condition = self._accepted(obj)
            known = find_condition(obj.status.conditions, ACCEPTED)
            if known is not None and _said(known) == _said(condition):
                continue
            stamped = set_condition([known] if known is not None else [], condition, now)
            fields = {"status": {"conditions": [encode(one) for one in stamped]}}
            meta = obj.metadata
            found.append(
                Apply(SchedulerConfiguration, "", meta.name, fields, subresource="status", uid=meta.uid)
            )
        return found

    def _accepted(self, obj: SchedulerConfiguration) -> Condition:
        generation = obj.metadata.generation

        def said(status: str, reason: str, message: str) -> Condition:
            return Condition(
                type=ACCEPTED, status=status, reason=reason, message=message, observed_generation=generation
            )

        if obj.metadata.name != DEFAULT:
            return said("False", "NotUsed", f"only the SchedulerConfiguration named {DEFAULT} counts")
        if self._problem:
            return said("False", "Invalid", f"{self._problem}. The scheduler goes on as before")
        unknown = unknown_paths(obj.spec, "spec")
        if unknown:
            return said("True", "InEffect", f"In effect, save for unknown fields: {', '.join(unknown)}")
        return said("True", "InEffect", "The scheduler works by it")


def configured(started_with: Options, spec: SchedulerConfigurationSpec) -> Options:
    """How cycles decide with this configuration. Raises ValueError naming the field and its value."""
    fair = spec.fair_sharing
    return replace(
        started_with,
        policy=_named(find_policy, "policy", spec.policy, started_with.policy),
        victims=_named(find_victims, "victims", spec.victims, started_with.victims),
        fair_strategies=(
            tuple(fair.preemption_strategies) if fair is not None else started_with.fair_strategies
        ),
        minimum_run_seconds=_or(spec.minimum_run_seconds, started_with.minimum_run_seconds),
        replacement_seconds=_or(spec.node_replacement_seconds, started_with.replacement_seconds),
        patience=_patience(spec.wait_for_pods_ready, started_with.patience),
        consolidation=_consolidation(spec.consolidation, started_with.consolidation),
        timing=_timing(spec, started_with.timing),
    )


def _timing(spec: SchedulerConfigurationSpec, known: Timing) -> Timing:
    backfill = spec.backfill or BackfillConfiguration()
    return Timing(
        ordering=_named(find_ordering, "ordering", spec.ordering, known.ordering),
        backfill=_or(backfill.enabled, known.backfill),
        usage=_usage(spec.admission_fair_sharing or AdmissionFairSharingConfiguration(), known.usage),
        firm_after_seconds=_or(backfill.firm_after_seconds, known.firm_after_seconds),
    )


def _usage(spec: AdmissionFairSharingConfiguration, known: UsageSettings) -> UsageSettings:
    return UsageSettings(
        _or(spec.usage_half_life_time_seconds, known.half_life_seconds),
        _or(spec.usage_sampling_interval_seconds, known.interval_seconds),
        spec.resource_weights or known.resource_weights,
    )


def _consolidation(
    spec: ConsolidationConfiguration | None, known: Consolidation | None
) -> Consolidation | None:
    if spec is None:
        return known
    if spec.enabled is False:
        return None
    base = known or Consolidation()
    return replace(
        base,
        moves_per_hour=_or(spec.moves_per_hour, base.moves_per_hour),
        moves_at_once=_or(spec.moves_at_once, base.moves_at_once),
        idle_seconds=_or(spec.idle_seconds, base.idle_seconds),
        minimum_run_seconds=_or(spec.minimum_run_seconds, base.minimum_run_seconds),
        interval_seconds=_or(spec.interval_seconds, base.interval_seconds),
    )


def _patience(spec: WaitForPodsReadyConfiguration | None, known: Patience | None) -> Patience | None:
    if spec is None:
        return known
    base, again = known or Patience(), spec.requeuing_strategy
    base = replace(
        base,
        timeout_seconds=_or(spec.timeout_seconds, base.timeout_seconds),
        recovery_timeout_seconds=_or(spec.recovery_timeout_seconds, base.recovery_timeout_seconds),
    )
    if again is None:
        return base
    return replace(
        base,
        backoff_base_seconds=_or(again.backoff_base_seconds, base.backoff_base_seconds),
        backoff_max_seconds=_or(again.backoff_max_seconds, base.backoff_max_seconds),
        backoff_limit_count=_or(again.backoff_limit_count, base.backoff_limit_count),
    )


def _named(find: Callable[[str], T], field: str, name: str, known: T) -> T:
    if not name:
        return known
    if ":" in name:
        raise ValueError(
            f"spec.{field} is {name!r}: files and modules are not loaded by this object; install a package "
            "that offers the policy as an entry point of springtide.policies, and give its name"
        )
    try:
        return find(name)
    except ValueError as error:
        raise ValueError(f"spec.{field}: {error}") from None


def _or(value: T | None, known: T) -> T:
    return known if value is None else value


def _said(one: Condition) -> tuple[str, str, str, int | None]:
    return one.status, one.reason, one.message, one.observed_generation
