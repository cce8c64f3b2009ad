"""Nodes in trouble: incidents, policies and what workloads ask for, as the rooms around leave them."""

from __future__ import annotations

from typing import Any

from springtide.api import labels
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import Collector, NodeHealth, NodeHealthStatus, Observation
from springtide.api.remediation import RemediationPolicy, RemediationPolicySpec
from springtide.api.springtide import Action, Diagnosis, DiagnosisSpec
from springtide.faults import VERDICTS, Fault
from tests.builders import at

OFF_BUS = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def policy(name: str = "site", **spec: Any) -> RemediationPolicy:
    return RemediationPolicy(metadata=ObjectMeta(name=name), spec=RemediationPolicySpec(**spec))


def spec_of(node: str, fault: Fault = Fault.GPU_OFF_BUS, **more: Any) -> DiagnosisSpec:
    fields = {
        "node": node,
        "fault_class": fault.value,
        "blame": VERDICTS[fault].blame.value,
        "action": Action.CORDON_EVICT.value,
        "message": "rank 3 says so",
        "detected_at": at(0),
        **more,
    }
    return DiagnosisSpec(**fields)


def asking(node: str, name: str = "job-0", **more: Any) -> Diagnosis:
    """A workload's Diagnosis that wants the node out."""
    metadata = ObjectMeta(name=name, namespace="default", labels={labels.WORKLOAD: "job"})
    return Diagnosis(metadata=metadata, spec=spec_of(node, workload="job", **more))


def seen(node: str, line: str = OFF_BUS, *, second: float = 0, source: str = "kernel") -> NodeHealth:
    """What the node's collectors saw."""
    status = NodeHealthStatus(
        collectors=[Collector(name="kernel", time=at(second))],
        observations=[
            Observation(
                id=f"{second:g}",
                collector="kernel",
                source=source,
                line=line,
                time=at(second),
                last_time=at(second),
            )
        ],
    )
    return NodeHealth(metadata=ObjectMeta(name=node), status=status)
