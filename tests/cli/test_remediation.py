"""`springtide remediation`: why a node is out, since when, what brings it back."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.meta import Condition, ObjectMeta
from springtide.api.remediation import IncidentPhase, Repair, ReturnToService
from springtide.api.springtide import Diagnosis, DiagnosisStatus
from springtide.cli.remediation import Incident, render, way_back
from springtide.health.incidents import NAMESPACE
from springtide.health.remediation_policy import effective
from tests.builders import at
from tests.health.incidentscene import policy, spec_of


def in_phase(phase: IncidentPhase, *conditions: tuple[str, str]) -> Diagnosis:
    done = [
        Condition(type=type_, status="True", reason=reason, last_transition_time=at(100))
        for type_, reason in conditions
    ]
    return Diagnosis(
        metadata=ObjectMeta(name="n0.1", namespace=NAMESPACE),
        spec=spec_of("n0"),
        status=DiagnosisStatus(phase=phase.value, conditions=done),
    )


@pytest.mark.parametrize(
    ("phase", "conditions", "spec", "words"),
    [
        (IncidentPhase.CORDONED, (), {}, "its pods leave; then it is mended and checked"),
        (IncidentPhase.REPAIRING, (), {}, "the repair job succeeds"),
        (
            IncidentPhase.REPAIRING,
            (),
            {"repair": Repair(external=True)},
            "its repairer answers: kubectl annotate node n0 springtide.dev/repair=done --overwrite",
        ),
        (
            IncidentPhase.CHECKING,
            (("Repaired", "NoRepairer"),),
            {"returning": ReturnToService(quarantine_seconds=200)},
            "no new fault until 00:05:00 UTC",
        ),
        (IncidentPhase.HELD, (), {}, "a person: kubectl uncordon n0"),
        (
            IncidentPhase.WITHHELD,
            (("Withheld", "BreakerOpen"),),
            {},
            "in service, until another node returns",
        ),
        (IncidentPhase.WITHHELD, (("Withheld", "MassSymptom"),), {}, ""),
        (IncidentPhase.RETURNED, (), {}, ""),
    ],
)
def test_what_brings_a_node_back(
    phase: IncidentPhase, conditions: tuple[tuple[str, str], ...], spec: dict[str, Any], words: str
) -> None:
    assert way_back(in_phase(phase, *conditions), effective(policy(**spec)), at(150)) == words


def test_an_incident_is_told_in_full() -> None:
    one = Incident(
        node="n0",
        phase="Checking",
        since="3m",
        fault="GpuOffBus",
        device="0000:a1:00",
        message="rank 3 says so",
        why="nobody mends it",
        back="no new fault until 00:05:00 UTC",
        incident="kube-system/n0.1",
        origin="default/job-0",
        policy="built in",
        steps=["00:01:40 Cordoned (Cordoned)"],
        open=True,
    )
    assert render(one) == (
        "node n0\n"
        "fault     GpuOffBus of 0000:a1:00\n"
        "cause     rank 3 says so\n"
        "state     Checking, since 3m: nobody mends it\n"
        "back      no new fault until 00:05:00 UTC\n"
        "policy    built in\n"
        "diagnosis kube-system/n0.1, opened by default/job-0\n"
        "steps\n"
        "  00:01:40 Cordoned (Cordoned)"
    )
