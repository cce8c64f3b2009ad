"""Jobs that mend or check a node: made from a policy's template, run on the node, read for their end. Pure.

Called by `remediation_plan`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from springtide.api import labels
from springtide.api.batch import Job, JobTemplateSpec
from springtide.api.meta import ObjectMeta, is_true, owner_reference
from springtide.api.springtide import Diagnosis
from springtide.api.struct import decode
from springtide.health.incidents import NAMESPACE

REPAIR, CHECK = "repair", "check"


class TemplateError(ValueError):
    """A job template that cannot be read; says which field and why."""


class Outcome(Enum):
    """How a job ended."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def job_name(incident: Diagnosis, purpose: str) -> str:
    """One job for each incident and purpose; names of pods are made of it, so it is short."""
    return f"{purpose}-{incident.metadata.name[-50:].lstrip('.-')}"


def made(template: dict[str, Any], incident: Diagnosis, purpose: str) -> Job:
    """The job. Raises TemplateError."""
    try:
        read = decode(JobTemplateSpec, _placed(template, incident))
    except (msgspec.ValidationError, TypeError, AttributeError) as error:
        raise TemplateError(f"the template of the {purpose} job cannot be read: {error}") from error
    metadata = ObjectMeta(
        name=job_name(incident, purpose),
        namespace=NAMESPACE,
        labels={**read.metadata.labels, labels.INCIDENT: incident.metadata.name[-63:].lstrip(".-")},
        annotations=dict(read.metadata.annotations),
        owner_references=[owner_reference(incident)],
    )
    return Job(metadata=metadata, spec=read.spec)


def outcome(job: Job) -> Outcome:
    """How far it is."""
    if is_true(job.status.conditions, "Complete"):
        return Outcome.SUCCEEDED
    return Outcome.FAILED if is_true(job.status.conditions, "Failed") else Outcome.OPEN


def _placed(template: dict[str, Any], incident: Diagnosis) -> dict[str, Any]:
    """The template with its pods on the node, unless it says where they go, and told what it is about."""
    job: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(template))
    inner = job.setdefault("spec", {}).setdefault("template", {})
    marks = inner.setdefault("metadata", {}).setdefault("labels", {})
    marks[labels.INCIDENT] = incident.metadata.name[-63:].lstrip(".-")
    pod = inner.setdefault("spec", {})
    pod.setdefault("restartPolicy", "Never")
    if not any(pod.get(key) for key in ("nodeName", "nodeSelector", "affinity")):
        pod["nodeName"] = incident.spec.node
    tolerations = pod.setdefault("tolerations", [])
    tolerations += [
        {"key": key, "operator": "Exists"} for key in (labels.TAINT_UNHEALTHY, labels.TAINT_UNSCHEDULABLE)
    ]
    spec = incident.spec
    told = {
        "NODE_NAME": spec.node,
        "FAULT_CLASS": spec.fault_class,
        "SIGNATURE": spec.signature,
        "DEVICE": spec.device,
    }
    for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
        given = container.setdefault("env", [])
        given += [{"name": name, "value": value} for name, value in told.items()]
    return job
