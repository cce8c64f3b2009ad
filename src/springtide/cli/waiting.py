"""Why something waits, as text: the answer of the scheduler's own code. Called by `springtide explain`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import controller_of
from springtide.api.reasons import next_step_of
from springtide.cli.ages import age
from springtide.cli.cluster import cluster, options
from springtide.cli.errors import CliError
from springtide.cli.session import Session

if TYPE_CHECKING:
    from springtide.scheduling.explanation import Explanation

_WORKLOAD = ("workload", "workloads", "wl", "workload.kueue.x-k8s.io", "workloads.kueue.x-k8s.io")
_POD = ("pod", "pods", "po")
_SHORT = {"vcjob": "job", "vj": "job", "pg": "podgroup"}
_WIDTH = len("would preempt") + 2


async def explanation_of(session: Session, workload: Workload | Pod) -> Explanation | None:
    """The scheduler's answer about a Workload or a plain pod; None if it does not wait."""
    from springtide.scheduling.explanation import explained

    kind = "Pod" if isinstance(workload, Pod) else "Workload"
    return explained(await cluster(session), kind, workload.key, session.now(), await options(session))


async def named(session: Session, kind: str, name: str) -> Workload | Pod:
    """The Workload, plain pod, or Workload of an owner of this kind and name. Raises CliError."""
    kind = kind.lower()
    if kind in _POD:
        return await session.client.get(Pod, name, session.namespace)
    if kind in _WORKLOAD:
        return await session.client.get(Workload, name, session.namespace)
    workloads = (await session.client.list(Workload, session.namespace)).items
    for workload in workloads:
        owner = controller_of(workload)
        if owner is not None and owner.name == name and _is_named(owner.kind, kind):
            return workload
    raise CliError(
        f"{kind}/{name} has no Workload in namespace {session.namespace}",
        "`springtide queue` lists what waits; pods without a queue are explained as pod/NAME",
    )


def render(found: Explanation, at: datetime) -> str:
    """An explanation as text."""
    if found.starts:
        return "the scheduler's next cycle starts it"
    rows = [("why", found.message or "the scheduler has not looked at it yet")]
    if found.reason:
        rows.append(("reason", found.reason))
    if found.since is not None:
        rows.append(("since", f"{found.since:%Y-%m-%d %H:%M:%S} UTC ({age(found.since, at)})"))
    if found.position:
        rows.append(("queue", _place(found)))
    if found.expected_start is not None:
        rows.append(("expected", f"about {found.expected_start:%Y-%m-%d %H:%M} UTC, {found.expected_reason}"))
    if found.victims:
        names = ", ".join(f"{one.workload} (priority {one.priority})" for one in found.victims)
        rows.append(("would preempt", names))
    helps = [trial.change for trial in found.tried if trial.starts]
    vain = [trial.change for trial in found.tried if not trial.starts]
    rows += [("" if index else "would start", change) for index, change in enumerate(helps)]
    rows += [("" if index else "in vain", change) for index, change in enumerate(vain)]
    step = next_step_of(found.kind, found.reason)
    if step and not helps:
        rows.append(("next", step))
    return "\n".join(f"{name:<{_WIDTH}}{text}" for name, text in rows)


def _place(found: Explanation) -> str:
    ahead = found.position - 1
    behind = f", behind {', '.join(found.ahead)}" if found.ahead else ""
    more = f" and {ahead - len(found.ahead)} more" if ahead > len(found.ahead) else ""
    return f"{found.cluster_queue}, {found.position} of {found.waiting}{behind}{more}"


def _is_named(kind: str, wanted: str) -> bool:
    singular, said = kind.lower(), wanted.partition(".")[0]
    return _SHORT.get(said, said) in (singular, f"{singular}s")
