"""Which rank failed first, and why: weigh what pods, nodes and logs show of one attempt.

Pure. Order of precedence: what a machine recorded beats what a program says, a cause beats a consequence (a
rank that is missing beats the ranks that complain about it), then the earliest in time, a node's failure
before a program's at the same time. Where only consequences are seen, the ranks they name are voted for.
Pods exit within the same second as their API time stamps can tell; log lines are finer, so an exit
counts as the end of its second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from springtide.api.core import ContainerStateTerminated, Pod
from springtide.api.nodehealth import Observation
from springtide.api.springtide import Action, Blame
from springtide.faults import VERDICTS, Fault, Match, Override, overridden
from springtide.health.ends import START_REASONS, first_ended, pod_fault, signal_in, terminated
from springtide.health.evidence import (
    LINE_CHARACTERS,
    Finding,
    LogEvidence,
    signal_fault,
    signal_name,
    stamp,
)
from springtide.health.observed import telling_records
from springtide.health.votes import most_named, only_silent


@dataclass(frozen=True)
class RankReport:
    """All that is known of one rank of the attempt."""

    pod_set: str
    index: int
    pod: Pod | None
    """None: the pod existed in this attempt and is gone."""
    host: str
    """Its host name: `digits-node-0-1`."""
    node: str = ""
    lost_from: datetime | None = None
    """From when its node counts as lost, if the node is not ready; may lie ahead."""
    out_for: str = ""
    """The incident its node is out of service for; empty: none."""
    log: LogEvidence = field(default_factory=LogEvidence)
    records: Sequence[Observation] = ()
    """What the collectors of its node saw of the machine."""


@dataclass(frozen=True)
class Cause:
    """One explanation of the failure, as one rank shows it."""

    report: RankReport
    fault: Fault
    primary: bool
    when: float
    """Seconds of the epoch; infinity where unknown."""
    happened: str
    """For people, after the rank's name: `exited with code 1: ValueError: bad shape at train.py:12`."""
    exit_code: int | None = None
    signal: int | None = None
    finding: Finding | None = None
    confidence: float | None = None
    """How sure it is, where whoever found it knows better than the table."""
    global_rank: int | None = None
    """The process at the root, where a pod has several and it is known."""
    recorded: bool = False
    """Whether the machine under the rank recorded it."""
    voted: bool = False
    """Whether its rank is known only from what its peers say: its node is not taken out for that."""

    @property
    def rank(self) -> int:
        """The global rank where that is known, else the pod's index."""
        named = self.finding.rank if self.finding is not None and not self.voted else self.global_rank
        return named if named is not None else self.report.index

    @property
    def meaning(self) -> Match | None:
        """The signature that decided, with its verdict, where it says what the cause's fault class says."""
        found = self.finding.meaning if self.finding is not None else None
        return found if found is not None and found.fault is self.fault else None

    @property
    def blame(self) -> Blame:
        """Whose fault it is: as the signature says, else as the fault class does."""
        return self.meaning.blame if self.meaning is not None else VERDICTS[self.fault].blame

    @property
    def action(self) -> Action:
        """What is to be done: as the signature says, else as the fault class does."""
        return self.meaning.action if self.meaning is not None else VERDICTS[self.fault].action

    @property
    def is_consequence(self) -> bool:
        """Whether it says that something else has failed, and not what."""
        return not self.primary and self.fault in (Fault.PEER_LOST, Fault.TEARDOWN, Fault.COLLECTIVE_TIMEOUT)

    @property
    def is_unexplained(self) -> bool:
        """Whether a program ended badly and neither it nor anybody else said why."""
        return self.fault is Fault.PROGRAM_ERROR and self.finding is None

    @property
    def message(self) -> str:
        """One line for people."""
        node = f" on {self.report.node}" if self.report.node else ""
        return f"rank {self.rank} ({self.report.host}{node}) {self.happened}"


_NODE_FAULTS = {Fault.NODE_LOST, Fault.NODE_RESTARTED, Fault.EVICTED}
_CONFIDENCE = {Fault.PEER_LOST: 0.4, Fault.KILLED: 0.6, Fault.TERMINATED: 0.7}


def first_cause(reports: Sequence[RankReport], now: datetime) -> Cause | None:
    """The root of the failure, or None while nothing has failed."""
    alone = len(reports) == 1
    causes = [cause for report in reports for cause in causes_of(report, now, alone=alone)]
    first = min(causes, key=_precedence, default=None)
    if first is None:
        return None
    recorded = _recorded(reports, causes, now)
    if recorded:
        return min(recorded, key=_precedence)
    if first.is_unexplained:  # a peer that exits without a word may have lost the rank on a node that is lost
        first = lost_node(reports, now) or first
    return first if first.primary else voted(first, causes, reports) or first


def _recorded(reports: Sequence[RankReport], causes: Sequence[Cause], now: datetime) -> list[Cause]:
    """What the machines under the ranks recorded that explains the failure.

    A pod that is gone without a trace, as one that had to leave its node, has failed just now.
    """
    first_exit = min(now.timestamp(), *(cause.when for cause in causes))
    only_complaints = not any(cause.primary for cause in causes)
    return [
        Cause(
            report=report,
            fault=finding.fault,
            primary=True,
            when=stamp(finding.line.time),
            happened=f"stands on a machine that recorded: {finding.text[:LINE_CHARACTERS]}",
            finding=finding,
            recorded=True,
        )
        for report in reports
        for finding in telling_records(
            report.records, report.pod, first_exit, only_complaints=only_complaints
        )
    ]


def voted(first: Cause, causes: Sequence[Cause], reports: Sequence[RankReport]) -> Cause | None:
    """Where ranks only complain: against the rank that most of them name, or the only one that does not.

    None where the complaints point nowhere.
    """
    own = [[cause for cause in causes if cause.report is report] for report in reports]
    told = [[cause.finding.meaning for cause in mine if cause.finding is not None] for mine in own]
    named = [[found.peer for found in mine if found is not None and found.peer] for mine in told]
    accused = most_named(named, [_addresses(report) for report in reports])
    if accused is not None:
        rank, votes = accused
        words = f"is the peer that {votes} other {'rank' if votes == 1 else 'ranks'} lost"
        return replace(first, report=reports[rank], happened=f"{words}: {first.happened}", voted=True)
    silent = only_silent([any(cause.is_consequence for cause in mine) for mine in own])
    if silent is None or own[silent]:
        return None
    words = "shows nothing while all its peers wait for it or lost it"
    return replace(first, report=reports[silent], happened=f"{words}: {first.happened}", voted=True)


def _addresses(report: RankReport) -> frozenset[str]:
    """What lines may call a rank: its host, its node, its pod, their addresses."""
    pod = report.pod
    told = [report.host, report.node]
    if pod is not None:
        told += [pod.metadata.name, pod.status.pod_ip, pod.status.host_ip]
    return frozenset(one.lower() for one in told if one)


def lost_node(reports: Sequence[RankReport], now: datetime) -> Cause | None:
    """The first rank whose node is lost, whatever else has happened; None while none is."""
    return min((cause for report in reports for cause in _lost(report, now)), key=_precedence, default=None)


def causes_of(report: RankReport, now: datetime, *, alone: bool = False) -> list[Cause]:
    """Everything this rank shows; `alone`: it has no peers, so what it says is its own trouble."""
    pod = report.pod
    found = _lost(report, now)
    if pod is None:
        return found or [_cause(report, *_asked_to_go(report))]
    if pod.metadata.deletion_timestamp is not None:
        found.append(_deleted(report, pod))
    if pod.status.phase == "Failed":
        found += _failed(report, pod, alone=alone)
    return found


def confidence_in(cause: Cause) -> float:
    """How sure the verdict is: direct evidence 1.0, an exit without a word 0.8, ambiguous signals less."""
    if cause.confidence is not None:
        return cause.confidence
    if cause.meaning is not None and cause.fault not in _CONFIDENCE:
        return cause.meaning.confidence
    if cause.fault is Fault.PROGRAM_ERROR and cause.finding is None:
        return 0.8
    return _CONFIDENCE.get(cause.fault, 1.0)


def happened_at(cause: Cause) -> datetime | None:
    """When it happened, where a line or a record says so."""
    return cause.finding.line.time if cause.finding is not None else None


def with_overrides(cause: Cause, overrides: Mapping[str, Override]) -> Cause:
    """The cause with the verdict of a site that knows its signature better."""
    if cause.finding is None or cause.meaning is None:
        return cause
    return replace(cause, finding=replace(cause.finding, meaning=overridden(cause.meaning, overrides)))


def is_restartable(cause: Cause) -> bool:
    """Whether a new attempt may help without a change of the program."""
    return VERDICTS[cause.fault].restart


def _lost(report: RankReport, now: datetime) -> list[Cause]:
    ended = report.pod is not None and report.pod.status.phase in ("Succeeded", "Failed")
    if ended or report.lost_from is None or report.lost_from > now:
        return []
    text = f"is lost: its node is not ready since {report.lost_from:%H:%M:%S} UTC"
    return [_cause(report, Fault.NODE_LOST, text, when=stamp(report.lost_from))]


def _failed(report: RankReport, pod: Pod, *, alone: bool) -> list[Cause]:
    alone = alone and not any(finding.primary for finding in report.log.findings)  # a pod may hold peers
    logged = [_from_finding(report, pod, finding, alone=alone) for finding in report.log.findings]
    reason = pod_fault(pod)
    if reason is not None:
        when = max((stamp(state.finished_at) for state in terminated(pod)), default=float("inf"))
        told = pod.status.message or pod.status.reason
        return [*logged, _cause(report, reason, f"was stopped by its node: {told}", when=when)]
    ended = first_ended(pod)
    if ended is None or (logged and ended.reason != "OOMKilled"):
        return logged or [
            _cause(report, Fault.PROGRAM_ERROR, f"failed: {pod.status.message or 'no reason given'}")
        ]
    unexplained = [one for one in logged if one.fault is not Fault.KILLED]  # the kernel's record says by whom
    return [_from_exit(report, ended), *unexplained]


def _from_finding(report: RankReport, pod: Pod, finding: Finding, *, alone: bool) -> Cause:
    ended = first_ended(pod)
    code = ended.exit_code if ended is not None else None
    own = alone and not finding.primary and finding.fault is Fault.PEER_LOST
    exited = f"exited with code {code}: " if code is not None else "failed: "
    if finding.fault is Fault.CANNOT_START:
        exited = "could not be started: "
    return Cause(
        report=report,
        fault=Fault.PROGRAM_ERROR if own else finding.fault,
        primary=finding.primary or own,
        when=stamp(finding.line.time),
        happened=exited + finding.text,
        exit_code=code,
        signal=finding.signal,
        finding=finding,
    )


def _from_exit(report: RankReport, ended: ContainerStateTerminated) -> Cause:
    code, number = ended.exit_code, ended.signal or signal_in(ended.exit_code)
    if ended.reason == "OOMKilled":
        fault, happened = Fault.OUT_OF_MEMORY, "was killed: it used more memory than its limit"
    elif ended.reason in START_REASONS or code in (126, 127):
        fault, happened = Fault.CANNOT_START, f"could not be started: {ended.message or _last_words(report)}"
    elif number:
        fault, happened = signal_fault(number), f"was ended by {signal_name(number)}"
    else:
        fault, happened = Fault.PROGRAM_ERROR, f"exited with code {code}"
        words = ended.message or _last_words(report)
        happened += f"; its last words: {words}" if words else ""
    when = stamp(ended.finished_at and ended.finished_at + timedelta(seconds=1))
    return _cause(report, fault, happened, when=when, exit_code=code, signal=number or None)


def _deleted(report: RankReport, pod: Pod) -> Cause:
    asked = pod.metadata.deletion_timestamp
    grace = timedelta(seconds=pod.metadata.deletion_grace_period_seconds or 0)
    when = stamp(asked - grace) if asked is not None else float("inf")
    return _cause(report, *_asked_to_go(report), when=when)


def _asked_to_go(report: RankReport) -> tuple[Fault, str]:
    """Pods leave nodes that are taken out of service; else somebody has deleted the pod."""
    if report.out_for:
        return Fault.EVICTED, f"left: its node is out of service ({report.out_for} in kube-system says why)"
    return Fault.POD_DELETED, "was deleted while the attempt ran"


def _cause(
    report: RankReport,
    fault: Fault,
    happened: str,
    *,
    when: float = float("inf"),
    exit_code: int | None = None,
    signal: int | None = None,
) -> Cause:
    return Cause(report, fault, True, when, happened, exit_code, signal)


def _precedence(cause: Cause) -> tuple[bool, float, bool, str, int]:
    return (
        not cause.primary,
        cause.when,
        cause.fault not in _NODE_FAULTS and cause.blame is not Blame.NODE,
        cause.report.pod_set,
        cause.report.index,
    )


def _last_words(report: RankReport) -> str:
    return report.log.tail[-1].text.strip() if report.log.tail else ""
