"""What a system makes of a fault: how soon it hears of it, what it does about it, where it goes back to.

`Ours` asks the production code: signatures (`faults`), the rules and budgets of remediation (`health`), the
rule of the SDK for the interval of snapshots. `Timeout` is what training frameworks do by themselves. Called
by `recovery`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import Incident
from springtide.api.remediation import RemediationPolicy, Step
from springtide.api.springtide import Action, Diagnosis, DiagnosisSpec
from springtide.faults import VERDICTS, Fault, Match, Secondary, match
from springtide.health.escalation import Suspect, implications
from springtide.health.history import concerns, incident_of
from springtide.health.remediation import Failure, asks_for_cordon, decide
from springtide.health.remediation_policy import Effective, effective
from springtide.runtime.clock import EPOCH
from springtide.sdk.checkpoint.interval import interval_steps, mtbf_seconds
from springtide.simulation.faultmix import Bad, Happening, Symptom
from springtide.simulation.recoverytimes import Times

_NAMESPACE, _POD_SET = "default", "node"


@dataclass(frozen=True)
class Response:
    """What follows a fault."""

    detect_seconds: float
    decide_seconds: float
    backoff_seconds: float
    step: Step
    by_history: bool = False
    """Whether the node goes for what it had a part in before."""


@dataclass(frozen=True)
class Place:
    """Where a job is found to have failed."""

    node: str
    rank: int | None


class Ours:
    """Springtide."""

    name = "springtide"

    def __init__(
        self, times: Times, gpus_per_node: int, large_nodes: int, policy: RemediationPolicy | None = None
    ) -> None:
        self._times = times
        self._gpus = gpus_per_node
        self._gigabytes = times.state_gigabytes / large_nodes
        self._earlier: dict[str, list[Diagnosis]] = defaultdict(list)
        self._histories: dict[str, list[Incident]] = {}
        self._policy = effective(policy)

    def watch(self, nodes: Iterable[str]) -> None:
        """The nodes there are: collectors run on each of them."""
        self._histories = {node: [] for node in nodes}

    @property
    def slow_seconds(self) -> float:
        """Until a slow node is named and checked beside another one."""
        times = self._times
        return times.straggler_steps * times.step_seconds * times.slow_factor + times.paired_check_seconds

    def answer(self, job: str, fault: Happening, place: Place, now: float) -> Response:
        """By the lines that it left, the job's earlier restarts and what its node had a part in."""
        times = self._times
        if fault.symptom in (Symptom.SLOW, Symptom.SILENT):  # found by a check, or by a person
            return Response(0.0, times.decide_seconds, 0.0, Step.CORDON_AND_EVICT)
        failure, by_kernel = verdict(fault)
        earlier = self._earlier[job]
        moment = EPOCH + timedelta(seconds=now)
        restarts = int(times.program_restarts)
        failure = replace(failure, implications=self._implications(job, failure, place, moment))
        remedy = decide(failure, self._policy, earlier, moment, max_restarts=restarts)
        spec = DiagnosisSpec(
            workload=job,
            attempt=len(earlier),
            pod_set=_POD_SET,
            rank=place.rank,
            node=place.node,
            fault_class=failure.fault_class,
            blame=failure.blame,
            action=remedy.action.value,
            step=remedy.step.value,
            budget=remedy.budget,
            secondary=failure.secondary,
        )
        metadata = ObjectMeta(name=f"{job}-{len(earlier)}", namespace=_NAMESPACE, creation_timestamp=moment)
        earlier.append(Diagnosis(metadata=metadata, spec=spec))
        if concerns(earlier[-1], place.node):
            self._histories.setdefault(place.node, []).append(incident_of(earlier[-1]))
        detect = self._detect_seconds(
            fault, acts_on_kernel=by_kernel and asks_for_cordon(failure, self._policy)
        )
        by_history = remedy.implications > 0
        return Response(detect, times.decide_seconds, remedy.retry_after_seconds, remedy.step, by_history)

    def _implications(self, job: str, failure: Failure, place: Place, now: datetime) -> int:
        suspect = Suspect(
            workload=f"{_NAMESPACE}/{job}",
            node=place.node,
            pod_set=_POD_SET,
            rank=place.rank,
            fault_class=failure.fault_class,
            blame=failure.blame,
        )
        terms = self._policy.spec.escalation
        return implications(suspect, self._earlier[job], self._histories, terms, now)

    def checkpoints(self, nodes: int) -> tuple[float, float]:
        """Seconds between snapshots, and how long each holds up training."""
        times = self._times
        blocking = times.memory_seconds_per_gigabyte * self._gigabytes
        durable = self._gigabytes * nodes / times.storage_gigabytes_per_second
        steps = interval_steps(blocking, durable, times.step_seconds, mtbf_seconds(nodes * self._gpus))
        return steps * times.step_seconds, blocking

    def lag_seconds(self, nodes: int) -> float:
        """A snapshot younger than this is in the memory of its own node alone."""
        del nodes
        return self._times.peer_copy_seconds_per_gigabyte * self._gigabytes

    def restore_seconds(self, nodes: int, *, moved: bool) -> float:
        """From memory; a rank on another node from that of a peer. The slowest counts."""
        del nodes
        times = self._times
        each = times.restore_peer_seconds_per_gigabyte if moved else times.restore_memory_seconds_per_gigabyte
        return each * self._gigabytes

    def _detect_seconds(self, fault: Happening, *, acts_on_kernel: bool) -> float:
        times = self._times
        if fault.symptom is Symptom.GONE:
            return times.detect_gone_seconds
        if fault.symptom is Symptom.CRASH:
            return times.detect_exit_seconds
        return times.detect_kernel_seconds if acts_on_kernel else times.detect_hang_seconds


class Timeout:
    """Restart after the timeout of a collective, from the last checkpoint on storage.

    It is helped: nobody has to look for the node, a broken one is replaced at once, no restart is in vain.
    """

    name = "timeout"

    def __init__(self, times: Times, large_nodes: int) -> None:
        self._times = times
        self._gigabytes = times.state_gigabytes / large_nodes

    @property
    def slow_seconds(self) -> float:
        """Until a person finds the slow node."""
        return self._times.baseline_slow_seconds

    def answer(self, job: str, fault: Happening, place: Place, now: float) -> Response:
        """The timeout, whatever it was."""
        del job, place, now
        found = fault.symptom in (Symptom.SLOW, Symptom.SILENT)
        detect = 0.0 if found else self._times.baseline_timeout_seconds
        step = Step.CORDON_AND_EVICT if is_broken(fault) else Step.RESTART_IN_PLACE
        return Response(detect, 0.0, 0.0, step)

    def checkpoints(self, nodes: int) -> tuple[float, float]:
        """Seconds between checkpoints, and how long each holds up training: until it is written."""
        return self._times.baseline_checkpoint_seconds, self.restore_seconds(nodes, moved=False)

    def lag_seconds(self, nodes: int) -> float:
        """What is on storage survives."""
        del nodes
        return 0.0

    def restore_seconds(self, nodes: int, *, moved: bool) -> float:
        """All of the state from storage."""
        del moved
        return self._gigabytes * nodes / self._times.storage_gigabytes_per_second


def verdict(fault: Happening) -> tuple[Failure, bool]:
    """What the lines mean to `faults`, and whether the kernel's decided.

    The kernel's record goes before what a program says, unless it is only worth a note.
    """
    by_kernel = match(fault.kernel) if fault.kernel else None
    if by_kernel is not None and by_kernel.action is not Action.IGNORE and not _is_consequence(by_kernel):
        return _failure(by_kernel), True
    by_log = match(fault.log) if fault.log else None
    if by_log is not None and by_log.action is not Action.IGNORE:
        return _failure(by_log), False
    if fault.symptom is Symptom.GONE:
        return _unmatched(Fault.NODE_LOST), False
    return _unmatched(Fault.PROGRAM_ERROR if fault.symptom is Symptom.CRASH else Fault.HANG), False


def is_sure_of_the_node(fault: Happening) -> bool:
    """Whether the machine's own record, a check or a person says which node it is; else ranks have to."""
    return fault.symptom in (Symptom.GONE, Symptom.SLOW, Symptom.SILENT) or verdict(fault)[1]


def is_taken_for_a_fault(line: str, policy: Effective | None = None) -> bool:
    """Whether a line alone takes its node out of service."""
    found = match(line)
    return found is not None and asks_for_cordon(_failure(found), policy or effective(None))


def is_broken(fault: Happening) -> bool:
    """Whether its node stays broken until somebody mends it."""
    return fault.mends and fault.bad in (Bad.NODE, Bad.LINK, Bad.DATA)


def _failure(found: Match) -> Failure:
    return Failure(
        fault_class=found.fault.value,
        blame=found.blame.value,
        action=found.action.value,
        confidence=found.confidence,
        signature=found.signature,
        secondary=_is_consequence(found),
    )


def _is_consequence(found: Match) -> bool:
    return found.secondary is Secondary.YES


def _unmatched(fault: Fault) -> Failure:
    said = VERDICTS[fault]
    return Failure(fault.value, said.blame.value, said.action.value)
