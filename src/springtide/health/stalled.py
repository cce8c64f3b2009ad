"""A hang as a cause among the others, and what its Diagnosis says beyond theirs. Pure; called by `plan`."""

from __future__ import annotations

from springtide.api.springtide import DiagnosisSpec
from springtide.api.struct import replace
from springtide.faults import Fault
from springtide.health.diagnosis import Cause
from springtide.health.hangs import Hang


def cause_of(hang: Hang) -> Cause:
    """The hang, for the plan to weigh and to look up what policy says about it."""
    return Cause(
        report=hang.rank.report,
        fault=Fault.HANG,
        primary=True,
        when=hang.since.timestamp(),
        happened=f"{hang.happened}; {hang.peers}" if hang.peers else hang.happened,
        confidence=hang.confidence,
        global_rank=hang.rank.rank,
    )


def described(spec: DiagnosisSpec, hang: Hang) -> DiagnosisSpec:
    """The verdict with where the rank stands, what the job was doing and when."""
    return replace(
        spec,
        phase=hang.phase,
        stack=list(hang.rank.frames),
        happened_at=hang.since,
        detected_at=hang.detected_at,
        global_rank=hang.rank.rank,
        evidence=[*hang.evidence],
    )
