"""A Diagnosis in words: what happened, whose fault, what is done, on what evidence, what to do next. Pure.

Called by `diagnose`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from springtide.api.springtide import Action, Diagnosis, DiagnosisSpec

ACTIONS = {
    Action.CORDON_EVICT: "the node is taken out of service and the job starts again elsewhere",
    Action.RESTART_IN_PLACE: "the job starts again",
    Action.FAIL_FAST: "the job ends: another attempt would not help",
    Action.IGNORE: "nothing; it is on record",
}


def in_words(diagnosis: Diagnosis) -> str:
    """Several lines for people."""
    spec = diagnosis.spec
    blame = f"{spec.blame} ({_sure(spec.confidence)}, {spec.confidence:.2f})"
    rows = [
        ("what", spec.fault_class + (f": {spec.message}" if spec.message else "")),
        ("blame", blame + ("; only consequences were seen, no cause" if spec.secondary else "")),
        ("action", f"{spec.action}: {ACTIONS.get(Action(spec.action), '')}"),
        ("where", _where(spec)),
        ("when", _when(spec)),
        ("doing", spec.phase),
        ("signature", spec.signature),
        ("exit", _exit(spec)),
        ("next", spec.next_step),
    ]
    parts = [f"{diagnosis.metadata.namespace}/{diagnosis.metadata.name}, {_attempt(spec)}"]
    parts += [f"  {label + ':':<11}{text}" for label, text in rows if text]
    if spec.evidence:
        parts += ["  evidence:", *_evidence(spec)]
    if spec.stack:
        parts += ["  stack, innermost first:", *(f"    {frame}" for frame in spec.stack)]
    return "\n".join(parts)


def _attempt(spec: DiagnosisSpec) -> str:
    return f"attempt {spec.attempt + 1} of {spec.workload}" if spec.workload else "no job was hit"


def _sure(confidence: float) -> str:
    return "sure" if confidence >= 0.9 else "likely" if confidence >= 0.6 else "a guess"


def _where(spec: DiagnosisSpec) -> str:
    rank = spec.global_rank if spec.global_rank is not None else spec.rank
    told = [
        f"rank {rank}" if rank is not None else "",
        f"pod {spec.pod}" if spec.pod else "",
        f"node {spec.node}" if spec.node else "",
        f"device {spec.device}" if spec.device else "",
    ]
    return ", ".join(one for one in told if one)


def _when(spec: DiagnosisSpec) -> str:
    if spec.happened_at is None:
        return _clock(spec.detected_at)
    late = ""
    if spec.detected_at is not None:
        late = f", found {(spec.detected_at - spec.happened_at).total_seconds():.1f} s later"
    return _clock(spec.happened_at) + late


def _exit(spec: DiagnosisSpec) -> str:
    told = [
        f"code {spec.exit_code}" if spec.exit_code is not None else "",
        f"signal {spec.signal}" if spec.signal is not None else "",
    ]
    return ", ".join(one for one in told if one)


def _evidence(spec: DiagnosisSpec) -> Iterable[str]:
    for found in spec.evidence:
        moment = f"{found.time:%H:%M:%S.%f}"[:-3] if found.time is not None else "-" * 12
        for line in found.line.splitlines() or [""]:
            yield f"    {moment}  {found.source}  {line}"


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""
