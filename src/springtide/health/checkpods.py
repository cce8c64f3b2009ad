"""Pods that check a node, and what they measured. Pure; called by `paired` and `preflight`.

A check is a pod bound to its node by name, so that it runs there or not at all; it tolerates every taint and
asks for the GPUs the node has, so that it never runs beside a job that holds them. The program is
`nodecheck`; any image with a python3 will do, and process nodes use their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from springtide.api import labels
from springtide.api.core import Container, Node, Pod, PodSpec, ResourceRequirements, Toleration
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeCheck
from springtide.api.quantity import parse

NAMESPACE = "kube-system"
PAIRED, PREFLIGHT = "paired", "preflight"
SECONDS_MAX = 300
"""A check takes about ten seconds once it runs; one that takes so long has failed."""
_NEVER_RAN = ("StartError", "ContainerCannotRun", "CreateContainerError", "RunContainerError")
WELL = 0.75
"""A node does well that reaches so much of what it is compared with, in every measure."""


@dataclass(frozen=True)
class CheckSettings:
    """How nodes are checked."""

    image: str = "python:3.11-slim"
    """Image of the check, with a python3; with torch in it GPUs are measured too. Process nodes pull none."""
    fresh_seconds: float = 3600.0
    """A pre-flight check of a node counts for so long."""
    suspicion_seconds: float = 86400.0
    """A suspected node is checked when it falls idle within this time; 0: never."""


@dataclass(frozen=True)
class Measured:
    """How a check ended."""

    time: datetime
    measures: Mapping[str, float]
    why_not: str = ""
    """Why there are no measures."""
    ran: bool = True
    """Whether it ran at all: an image that cannot be pulled says nothing about the node."""


def pod_name(kind: str, node: str, of: str) -> str:
    """The name of a check of a node, the same for the same occasion."""
    digest = hashlib.sha256(f"{kind}/{node}/{of}".encode()).hexdigest()[:10]
    return f"check-{kind}-{node[:180].rstrip('.-')}-{digest}"


def check_pod(kind: str, node: Node, of: str, settings: CheckSettings, *, number: int = 1) -> Pod:
    """The pod; `of` names the occasion, such as the suspected node or the workload; `number`
    says which try it is."""
    gpus = {
        name: amount
        for name, amount in node.status.allocatable.items()
        if name.endswith("/gpu") and parse(amount) > 0
    }
    container = Container(
        name="check",
        image=settings.image,
        command=["python3", "-c", _program()],
        resources=ResourceRequirements(requests={"cpu": "100m", **gpus}, limits=gpus),
    )
    spec = PodSpec(
        containers=[container],
        node_name=node.metadata.name,
        restart_policy="Never",
        active_deadline_seconds=SECONDS_MAX,
        termination_grace_period_seconds=1,
        tolerations=[Toleration(operator="Exists")],
    )
    metadata = ObjectMeta(
        name=pod_name(kind, node.metadata.name, of),
        namespace=NAMESPACE,
        labels={labels.NODE_CHECK: kind},
        annotations={labels.NODE_CHECK_OF: of, labels.NODE_CHECK_TRY: str(number)},
    )
    return Pod(metadata=metadata, spec=spec)


def number_of(pod: Pod) -> int:
    """Which try a check is."""
    noted = pod.metadata.annotations.get(labels.NODE_CHECK_TRY, "1")
    return int(noted) if noted.isdecimal() else 1


def _program() -> str:
    return Path(__file__).with_name("nodecheck.py").read_text(encoding="utf-8")


def measured(pod: Pod, now: datetime) -> Measured | None:
    """What a check found; None while it runs."""
    if pod.status.phase not in ("Succeeded", "Failed"):
        return None
    ended = next(
        (one.state.terminated for one in pod.status.container_statuses if one.state.terminated is not None),
        None,
    )
    at = ended.finished_at if ended is not None and ended.finished_at is not None else now
    if pod.status.phase == "Failed" or ended is None:
        said = (ended.message or ended.reason) if ended is not None else ""
        ran = ended is not None and ended.reason not in _NEVER_RAN and ended.exit_code not in (126, 127)
        return Measured(at, {}, said or pod.status.message or pod.status.reason or "it failed", ran)
    try:
        found = json.loads(ended.message)
        return Measured(at, {str(name): float(value) for name, value in found.items()})
    except (ValueError, AttributeError, TypeError):
        return Measured(at, {}, "it left no result")


def was_refused(pod: Pod) -> bool:
    """Whether the node had no room for the check: that says nothing about how fast it is."""
    return pod.status.phase == "Failed" and pod.status.reason.startswith(("OutOf", "Unexpected"))


def weakest(mine: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[str, float]:
    """The measure in which a node does worst beside another, and what part of the other's it reaches."""
    parts = {name: mine.get(name, 0.0) / value for name, value in theirs.items() if value > 0}
    if not parts:
        return "", 1.0
    name = min(sorted(parts), key=lambda one: parts[one])
    return name, parts[name]


def middle(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each measure."""
    names = sorted({name for one in results for name in one})
    return {name: median([one[name] for one in results if name in one]) for name in names}


def told(mine: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """All measures beside each other: `compute 583 of 590, memory …`."""
    return ", ".join(
        f"{name} {mine.get(name, 0.0):.4g} of {value:.4g}" for name, value in sorted(theirs.items())
    )


def entry(kind: str, found: Measured, peer: str, passed: bool, message: str) -> NodeCheck:
    """As it stands in NodeHealth.status.checks."""
    return NodeCheck(
        kind=kind,
        time=found.time,
        passed=passed,
        peer=peer,
        measures=dict(found.measures),
        message=message,
    )
