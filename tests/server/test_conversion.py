"""Kinds that are one set of objects under two names: nothing is lost on the way through the other form."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.server.conversion import CONVERSIONS

Json = dict[str, Any]
EVENT = CONVERSIONS[("events.k8s.io/v1", "Event")]
SCALER = CONVERSIONS[("autoscaling/v1", "HorizontalPodAutoscaler")]
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
}


def scaler(*metrics: Json, **spec: Any) -> Json:
    whole = {"maxReplicas": 3, **({"metrics": list(metrics)} if metrics else {}), **spec}
    return {"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": whole, "status": {}}


def test_an_event_has_other_names_and_the_same_values() -> None:
    stored = {
        "metadata": {"name": "e"},
        "involvedObject": {"name": "p"},
        "message": "m",
        "count": 2,
        "type": "x",
    }
    served = EVENT.from_stored(stored)
    assert served == {
        "metadata": {"name": "e"},
        "regarding": {"name": "p"},
        "note": "m",
        "deprecatedCount": 2,
        "type": "x",
    }
    assert EVENT.to_stored(served) == stored


@pytest.mark.parametrize(
    "stored",
    [
        scaler(),
        scaler(CPU),
        scaler(MEMORY),
        scaler(CPU, MEMORY, behavior={"scaleUp": {"selectPolicy": "Max"}}),
        {**scaler(CPU), "status": {"conditions": [{"type": "AbleToScale"}], "currentMetrics": [MEMORY]}},
    ],
    ids=["no metrics", "CPU", "memory", "both and behaviour", "status"],
)
def test_an_autoscaler_survives_the_older_form(stored: Json) -> None:
    before = repr(stored)
    assert SCALER.to_stored(SCALER.from_stored(stored)) == stored
    assert repr(stored) == before, "what is stored is not changed on the way"


def test_the_older_form_knows_cpu_by_its_own_field() -> None:
    served = SCALER.from_stored(scaler(CPU, MEMORY))
    assert served["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}
    assert "memory" in served["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]
