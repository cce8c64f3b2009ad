"""Runs the scheduling cycles: what changed -> snapshot -> plan -> writes; nothing clever.

`up` and the simulator call `register` once. All changes share one key, so a burst of them becomes one
cycle, and there is never more than one at a time. Between two decisions the scheduler writes or rests at
least as long as a decision took, so that it leaves half of a core to those whose changes it waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from springtide.api import labels
from springtide.api.commands import Bind, Command, Emit, Plan
from springtide.api.configuration import SchedulerConfiguration
from springtide.api.core import Node
from springtide.api.devicetopology import equipment_of
from springtide.api.meta import Object
from springtide.client import ApiError, TooManyRequests, Unreachable
from springtide.runtime import Runtime, logger
from springtide.scheduling.configuration import Configuration
from springtide.scheduling.defragmentation import Consolidation
from springtide.scheduling.feeds import Change, feeds
from springtide.scheduling.metrics import CycleMetrics
from springtide.scheduling.ordering import PRIORITY, RIGHT_SIZED, find_ordering
from springtide.scheduling.patience import Patience
from springtide.scheduling.plan import REFRESH_SECONDS, Options, plan
from springtide.scheduling.policies import FRAGMENTS, find_policy
from springtide.scheduling.refusals import Refusals
from springtide.scheduling.reservations import FIRM_AFTER_SECONDS
from springtide.scheduling.sampling import sample
from springtide.scheduling.state import ClusterState
from springtide.scheduling.stranded import REPLACEMENT_SECONDS
from springtide.scheduling.timing import Timing
from springtide.scheduling.usage import UsageSettings
from springtide.scheduling.victim_policies import LEAST_LOST_WORK, find_victims

ROOM = "scheduling"
_KEY = "cycle"

log = logger(ROOM)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the scheduler works."""

    scheduler_names: frozenset[str] = frozenset((labels.SCHEDULER_NAME,))
    """Plain pods with one of these in `spec.schedulerName` are placed here; others are left alone."""
    provisioned_volumes: bool = False
    """Whether somebody binds claims to volumes, as on every real cluster: pods wait for theirs. On process
    nodes nobody does; they serve any claim."""
    policy: str = FRAGMENTS.name
    """Name of the registered policy that chooses among feasible nodes."""
    fair_sharing: tuple[str, ...] = ()
    """Kueue's preemption strategies of fair sharing, in the order tried: `LessThanOrEqualToFinalShare`,
    `LessThanInitialShare`. With any, queues of a cohort share by weight; none: reclaim is by quota alone."""
    minimum_run_seconds: float = 0.0
    """Nobody is preempted before having run so long."""
    ordering: str = PRIORITY.name
    """Name of the registered order in which those who wait are considered; Kueue's by default."""
    backfill: bool = True
    """Whether the first that waits has its place kept free of those who would put its start off."""
    firm_after_seconds: float = FIRM_AFTER_SECONDS
    """Who has waited so long for room is not passed by work without a time limit any more; `inf`: never."""
    usage: UsageSettings = field(default_factory=UsageSettings)
    """How LocalQueues share by use, in ClusterQueues whose admissionScope asks for it."""
    victims: str = LEAST_LOST_WORK.name
    """Name of the registered policy that chooses among those who may be preempted."""
    consolidation: Consolidation | None = None
    """When running workloads are moved so that one starts that waits although there is enough in pieces;
    None: never."""
    cycle_interval_seconds: float = 0.01
    """Cycles start at least this far apart; 0 starts one for every change."""
    starts_per_cycle: int | None = 256
    """Admissions and bindings after which a cycle ends and writes them; None: it never ends early."""
    report_interval_seconds: float = 1.0
    """The status of queues follows what happens in them at most this often; `inf`: once."""
    concurrent_writes: int = 64
    """Writes of one plan in flight at once; they concern different objects. 1 writes one by one."""
    replacement_seconds: float = REPLACEMENT_SECONDS
    """How long a gang that lost a node keeps its other places while a node is sought; 0: not at all."""
    patience: Patience | None = None
    """Kueue's waitForPodsReady: a workload whose pods are not ready by then gives its place back; None: it
    keeps it."""


def register(runtime: Runtime, settings: Settings | None = None) -> ClusterState:
    """Add the scheduler to a runtime. Raises ValueError for a policy nobody registered."""
    scheduler = _Scheduler(runtime, settings or Settings())
    state = scheduler.state
    informers = []
    watched: dict[type[Object], Change] = {**feeds(state), SchedulerConfiguration: scheduler.reconfigure}
    for kind, change in watched.items():
        informer = runtime.informer(kind)
        informer.on_change(change)
        informers.append(informer)
    runtime.informer(Node).on_change(_tell_of_register)
    runtime.controller(ROOM, scheduler.reconcile, [(informer, lambda _: (_KEY,)) for informer in informers])
    sample(runtime, lambda: scheduler.configuration.options.timing.ordering is RIGHT_SIZED)
    return state


def _tell_of_register(old: Node | None, new: Node | None) -> None:
    """Log once that what a node says of its devices cannot be read: of it nothing is made."""
    if new is None or (old is not None and old.metadata.annotations == new.metadata.annotations):
        return
    equipment = equipment_of(new)
    if equipment.trouble and (old is None or equipment_of(old).trouble != equipment.trouble):
        message = "node offers no GPUs" if not equipment.devices else "where a node's GPUs sit is not known"
        log.warning(message, node=new.metadata.name, cause=equipment.trouble)


class _Scheduler:
    """One cycle at a time, none when nothing has changed."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self.state = ClusterState(settings.scheduler_names, provisioned=settings.provisioned_volumes)
        self._runtime = runtime
        self._settings = settings
        options = Options(
            find_policy(settings.policy),
            starts_max=settings.starts_per_cycle,
            fair_strategies=settings.fair_sharing,
            minimum_run_seconds=settings.minimum_run_seconds,
            victims=find_victims(settings.victims),
            patience=settings.patience,
            consolidation=settings.consolidation,
            replacement_seconds=settings.replacement_seconds,
            timing=Timing(
                find_ordering(settings.ordering),
                settings.backfill,
                settings.usage,
                settings.firm_after_seconds,
            ),
        )
        self.configuration = Configuration(options)
        self._metrics = CycleMetrics(runtime.metrics())
        self._refusals = Refusals(self.state.put_off)
        self._decided_version = -1
        self._next_at = float("-inf")
        self._refresh_at = float("-inf")
        self._report_at = float("-inf")
        self._wake_at = float("inf")
        self._move_at = float("-inf")
        self._somebody_waits = False
        self._stale = False
        self._unreported = False

    async def reconcile(self, _: str) -> float | None:
        """Run a cycle if anything changed; returns seconds until the next may be due."""
        now = self._runtime.clock.monotonic()
        if now < self._next_at:
            return self._next_at - now
        refresh, report = now >= self._refresh_at, now >= self._report_at
        due = (self._stale and refresh) or (self._unreported and report) or now >= self._wake_at
        due = due or (self._somebody_waits and now >= self._move_at)
        due = self._refusals.take_up(now) or due
        if self.state.version == self._decided_version and not due:
            return self._until_due(now)
        version = self.state.version
        decided = self._decide(refresh, report)
        took = self._runtime.clock.monotonic() - now
        await self._write(decided.commands)
        self._decided_version = version
        self._stale = decided.requeue_after_seconds is not None
        cut = decided.requeue_after_seconds == 0
        self._wake_at = now + (decided.requeue_after_seconds or float("inf"))
        self._somebody_waits = self.configuration.options.consolidation is not None and bool(decided.notes)
        self._unreported = cut or not report
        if refresh and not cut:
            self._refresh_at = now + REFRESH_SECONDS
        if report and not cut:
            self._report_at = now + self._settings.report_interval_seconds
        after = self._runtime.clock.monotonic()
        wrote = after - now - took
        self._next_at = after + max(self._settings.cycle_interval_seconds, took - wrote)
        if self.state.version != version:
            return self._next_at - after
        return self._until_due(after)

    def reconfigure(self, old: SchedulerConfiguration | None, new: SchedulerConfiguration | None) -> None:
        """What the scheduler works by has changed: the next cycle follows, and says so."""
        if self.configuration.change(old, new) or self.configuration.commands(self._runtime.clock.now()):
            self.state.version += 1

    def _until_due(self, now: float) -> float | None:
        """Seconds until something that was put off is due."""
        due = [self._refresh_at] * self._stale + [self._report_at] * self._unreported
        if self._wake_at != float("inf"):
            due.append(self._wake_at)
        if self._somebody_waits:
            due.append(self._move_at)
        if self._refusals.put_off:
            due.append(self._refusals.next_at())
        return max(0.0, min(due) - now) if due else None

    def _decide(self, refresh: bool, report: bool) -> Plan:
        with self._metrics.cycle_seconds.time():
            snapshot = self.state.snapshot()
            now, known = self._runtime.clock.now(), self.configuration.options
            moving = self._consolidation(known.consolidation)
            options = replace(known, refresh=refresh, report=report, consolidation=moving)
            decided = plan(snapshot, now, options)
            if moving is not None and decided.notes:
                self._move_at = self._runtime.clock.monotonic() + moving.interval_seconds
            if told := self.configuration.commands(now):
                decided = replace(decided, commands=(*decided.commands, *told))
        self._metrics.observe(decided)
        return decided

    def _consolidation(self, known: Consolidation | None) -> Consolidation | None:
        """When workloads may be moved in this cycle: None if it is too early to look again."""
        now = self._runtime.clock.monotonic()
        return known if known is not None and now >= self._move_at else None

    async def _write(self, commands: Sequence[Command]) -> None:
        """Write the plan in its order, several at a time. Raises the first error after trying all."""
        errors: list[Exception] = []
        pending = _steps(commands)
        writers = min(self._settings.concurrent_writes, len(commands))
        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(self._write_each(pending, errors))
        if errors:
            raise errors[0]

    async def _write_each(self, pending: Iterator[Step], errors: list[Exception]) -> None:
        for command, told in pending:
            try:
                if not isinstance(command, Bind):
                    await self._runtime.apply(ROOM, (command,))
                elif await self._bind(command):
                    await self._runtime.apply(ROOM, told)
            except Exception as error:  # noqa: BLE001 - one refused write must not hold up the others
                errors.append(error)

    async def _bind(self, command: Bind) -> bool:
        """Whether the pod has the node it was to have, not refused, and nobody else was quicker."""
        state, key = self.state, f"{command.namespace}/{command.pod}"
        state.assume_bound(command.namespace, command.pod, command.uid, command.node, command.notes)
        try:
            return not await self._runtime.apply(ROOM, (command,))
        except ApiError as error:
            state.forget_bound(command.namespace, command.pod, command.uid)
            if isinstance(error, (Unreachable, TooManyRequests)) or labels.ATTEMPT in command.notes:
                raise  # not about this pod, or about a gang of which it is one
            wait = self._refusals.refuse(key, self._runtime.clock.monotonic())
            log.warning("binding refused", key=key, error=error.message, retry_seconds=wait)
            return False


Step = tuple[Command, tuple[Emit, ...]]
"""A command and what is told of it once it is done."""


def _steps(commands: Sequence[Command]) -> Iterator[Step]:
    """The commands in their order; the event that follows a binding belongs to it."""
    told: set[int] = set()
    for number, command in enumerate(commands):
        after = commands[number + 1] if number + 1 < len(commands) else None
        if isinstance(command, Bind) and isinstance(after, Emit):
            told.add(number + 1)
            yield command, (after,)
        elif number not in told:
            yield command, ()
