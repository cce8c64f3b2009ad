"""`springtide remediation`: which nodes are out of service, why, since when, and what brings them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from springtide.api.core import Node
from springtide.api.meta import find_condition
from springtide.api.remediation import IncidentPhase, RemediationPolicy
from springtide.api.springtide import Diagnosis
from springtide.cli.ages import age
from springtide.cli.output import JSON, YAML, columns, output_option, print_data
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options
from springtide.health.incidents import (
    BREAKER_OPEN,
    NAMESPACE,
    REPAIRED,
    began_at,
    ended_at,
    is_incident,
    is_over,
    phase_of,
    time_of,
)
from springtide.health.remediation_policy import Effective, effective, policy_for_node


@dataclass(frozen=True)
class Incident:
    """One incident of a node, for people."""

    node: str
    phase: str
    since: str
    fault: str
    device: str
    message: str
    why: str
    """Why it stands where it stands."""
    back: str
    """What brings the node back; empty: it is in service."""
    incident: str
    origin: str
    policy: str
    steps: list[str]
    open: bool


@click.command(name="remediation")
@click.argument("node", required=False, metavar="[NODE]")
@click.option("--all", "everything", is_flag=True, help="Incidents that are over, too.")
@output_option(JSON, YAML)
@target_options
def command(
    node: str | None, everything: bool, output: str, namespace: str, kubeconfig: Any, context: str
) -> None:
    """Show which nodes are out of service, why, since when, and what brings them back.

    With NODE, all that is known of it, also of incidents that are over. `kubectl uncordon NODE` returns a
    node at once and ends its incident.
    """

    async def work(session: Session) -> list[Incident]:
        return await incidents(session, session.now())

    found = connected(Target(kubeconfig, context, namespace), work)
    shown = [one for one in found if (node is None or one.node == node) and (node or everything or one.open)]
    if output:
        print_data([asdict(one) for one in shown], output)
    elif node:
        click.echo("\n\n".join(map(render, shown)) if shown else f"node {node} has no incident")
    else:
        click.echo(_table(shown) if shown else "no node is out of service")


async def incidents(session: Session, now: datetime) -> list[Incident]:
    """All incidents, those that are open first, then the newest."""
    diagnoses = [one for one in (await session.client.list(Diagnosis, NAMESPACE)).items if is_incident(one)]
    nodes = {one.metadata.name: one for one in (await session.client.list(Node)).items}
    policies = (await session.client.list(RemediationPolicy)).items
    diagnoses.sort(key=lambda one: (is_over(one), -(began_at(one) or now).timestamp(), one.metadata.name))
    return [_incident(one, _policy_of(nodes.get(one.spec.node), policies), now) for one in diagnoses]


def _policy_of(node: Node | None, policies: Sequence[RemediationPolicy]) -> Effective:
    return effective(policy_for_node(policies, node.metadata.labels if node is not None else {}))


def _incident(incident: Diagnosis, policy: Effective, now: datetime) -> Incident:
    spec, phase = incident.spec, phase_of(incident)
    return Incident(
        node=spec.node,
        phase=phase.value,
        since=age(ended_at(incident) or began_at(incident), now),
        fault=spec.fault_class,
        device=spec.device,
        message=spec.message,
        why=incident.status.message,
        back=way_back(incident, policy, now),
        incident=f"{NAMESPACE}/{incident.metadata.name}",
        origin=spec.origin,
        policy=policy.name or "built in",
        steps=[
            f"{one.last_transition_time:%H:%M:%S} {one.type} ({one.reason})"
            for one in incident.status.conditions
            if one.last_transition_time is not None
        ],
        open=not is_over(incident),
    )


def way_back(incident: Diagnosis, policy: Effective, now: datetime) -> str:
    """What has to happen until the node is in service again."""
    spec, node = policy.spec, incident.spec.node
    match phase_of(incident):
        case IncidentPhase.CORDONED:
            return "its pods leave; then it is mended and checked"
        case IncidentPhase.REPAIRING if spec.repair.external:
            return (
                f"its repairer answers: kubectl annotate node {node} springtide.dev/repair=done --overwrite"
            )
        case IncidentPhase.REPAIRING:
            return "the repair job succeeds"
        case IncidentPhase.CHECKING:
            until = (time_of(incident, REPAIRED) or now) + timedelta(
                seconds=spec.returning.quarantine_seconds
            )
            check = ", then its check job succeeds" if spec.returning.check_template is not None else ""
            return f"no new fault until {until:%H:%M:%S} UTC{check}"
        case IncidentPhase.HELD:
            return f"a person: kubectl uncordon {node}"
        case IncidentPhase.WITHHELD:
            held = find_condition(incident.status.conditions, IncidentPhase.WITHHELD.value)
            return "in service, until another node returns" if held and held.reason == BREAKER_OPEN else ""
        case IncidentPhase.OPEN:
            return "it is about to be taken out"
        case _:
            return ""


def render(one: Incident) -> str:
    """Everything about one incident."""
    device = f" of {one.device}" if one.device else ""
    rows = [
        ("fault", f"{one.fault}{device}"),
        ("cause", one.message),
        ("state", f"{one.phase}, since {one.since}" + (f": {one.why}" if one.why else "")),
        ("back", one.back),
        ("policy", one.policy),
        ("diagnosis", one.incident + (f", opened by {one.origin}" if one.origin else "")),
    ]
    told = [f"{name:<10}{text}" for name, text in rows if text]
    return "\n".join(
        [f"node {one.node}", *told, *(["steps"] if one.steps else []), *(f"  {s}" for s in one.steps)]
    )


def _table(shown: Sequence[Incident]) -> str:
    rows = [(one.node, one.phase, one.since, one.fault, one.back or one.why) for one in shown]
    return columns(("NODE", "PHASE", "SINCE", "FAULT", "COMES BACK WHEN"), rows)
