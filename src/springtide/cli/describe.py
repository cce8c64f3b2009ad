"""`springtide describe`: an object as a tree, its conditions, its events; a TrainJob with all that is its."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from springtide.api.core import Pod
from springtide.cli.ages import age
from springtide.cli.complete import kinds, names
from springtide.cli.errors import EXIT_USAGE, CliError
from springtide.cli.events import event_table, events_of
from springtide.cli.follow import rank_of
from springtide.cli.get import split_reference
from springtide.cli.job import JobView, attempt_of, job_view
from springtide.cli.output import columns, to_yaml, without_managed_fields
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options
from springtide.cli.verdict import evidence


@click.command(name="describe")
@click.argument("kind", shell_complete=kinds)
@click.argument("name", nargs=-1, shell_complete=names)
@target_options
def command(kind: str, name: tuple[str, ...], namespace: str, kubeconfig: Any, context: str) -> None:
    """Show an object, its conditions and events; a TrainJob also with its workload, pods and diagnosis."""
    kind, names_ = split_reference(kind, name)
    if not names_:
        raise CliError("give the name of the object", f"`springtide get {kind}` lists them", EXIT_USAGE)

    async def work(session: Session) -> None:
        resource, at = await session.find(kind), session.now()
        for position, each in enumerate(names_):
            raw = await session.client.dynamic(resource).get(each, session.namespace_of(resource))
            sections = describe(raw, at)
            metadata = raw["metadata"]
            if resource.kind == "TrainJob":
                view = await job_view(session, each)
                sections += describe_job(view, at)
                events = view.events
            else:
                events = await events_of(
                    session.client, metadata.get("uid", ""), metadata.get("namespace", "")
                )
            sections.append(_section("Events", event_table(events, at) or "none"))
            click.echo(("\n" if position else "") + "\n".join(sections))

    connected(Target(kubeconfig, context, namespace), work)


def describe(raw: Mapping[str, Any], at: datetime) -> list[str]:
    """The sections of any object: head, everything but conditions as a tree, conditions."""
    shown = without_managed_fields(raw)
    metadata = dict(shown.pop("metadata"))
    head = [
        ["Kind:", f"{shown.pop('kind', '')} ({shown.pop('apiVersion', '')})"],
        *([[f"{label}:", str(metadata[key])] for key, label in _HEAD.items() if metadata.get(key)]),
        *_mapping("Labels:", metadata.get("labels")),
        *_mapping("Annotations:", metadata.get("annotations")),
        *_owners(metadata.get("ownerReferences") or []),
    ]
    sections = ["\n".join(f"{label:<13} {value}".rstrip() for label, value in head)]
    status = shown.get("status")
    conditions = status.pop("conditions", None) if isinstance(status, dict) else None
    for field, value in shown.items():
        if value not in ({}, [], "", None):
            sections.append(_section(field[:1].upper() + field[1:], to_yaml(value).rstrip()))
    if conditions:
        sections.append(_section("Conditions", condition_table(conditions, at)))
    return sections


def condition_table(conditions: Sequence[Mapping[str, Any]], at: datetime) -> str:
    rows = [
        [
            str(c.get("type", "")),
            str(c.get("status", "")),
            age(_moment(c.get("lastTransitionTime")), at),
            str(c.get("reason") or "-"),
            str(c.get("message") or ""),
        ]
        for c in conditions
    ]
    return columns(["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"], rows)


def describe_job(view: JobView, at: datetime) -> list[str]:
    """What a TrainJob's own fields do not show."""
    sections = [_section("Phase", str(view.phase))]
    if view.workload is not None:
        queue = view.workload.spec.queue_name or "-"
        conditions = [
            {"type": c.type, "status": c.status, "reason": c.reason, "message": c.message,
             "lastTransitionTime": c.last_transition_time}
            for c in view.workload.status.conditions
        ]  # fmt: skip
        head = f"name: {view.workload.metadata.name}, queue: {queue}"
        sections.append(
            _section("Workload", f"{head}\n{condition_table(conditions, at)}" if conditions else head)
        )
    if view.pods:
        sections.append(_section("Pods", pod_table(view.pods, at)))
    if view.diagnosis is not None:
        spec = view.diagnosis.spec
        lines = [
            f"{spec.message}",
            f"fault: {spec.fault_class}, blame: {spec.blame}, action: {spec.action}",
            f"attempt: {spec.attempt + 1}",
            *evidence(view.diagnosis),
        ]
        sections.append(_section("Diagnosis", "\n".join(lines)))
    return sections


def pod_table(pods: Sequence[Pod], at: datetime) -> str:
    rows = [
        [
            f"[{rank_of(pod)}]",
            str(attempt_of(pod) + 1),
            pod.metadata.name,
            pod.spec.node_name or "-",
            pod_state(pod),
            age(pod.metadata.creation_timestamp, at),
        ]
        for pod in pods
    ]
    return columns(["RANK", "ATTEMPT", "POD", "NODE", "STATE", "AGE"], rows)


def pod_state(pod: Pod) -> str:
    """The phase, or what a container ended with or waits for."""
    for status in pod.status.container_statuses:
        state = status.state
        if state.terminated is not None and state.terminated.exit_code != 0:
            return f"{state.terminated.reason or 'Error'} (exit code {state.terminated.exit_code})"
        if state.waiting is not None and state.waiting.reason not in ("", "ContainerCreating"):
            return state.waiting.reason
    return pod.status.phase or "Pending"


_HEAD = {"name": "Name", "namespace": "Namespace", "uid": "UID", "creationTimestamp": "Created",
         "deletionTimestamp": "Deleting", "generation": "Generation"}  # fmt: skip


def _section(title: str, text: str) -> str:
    return f"{title}:\n" + "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _mapping(label: str, values: Mapping[str, str] | None) -> list[list[str]]:
    lines = [f"{key}={value}" for key, value in (values or {}).items()]
    return [[label if index == 0 else "", line] for index, line in enumerate(lines)]


def _owners(owners: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [["Owned by:", f"{owner.get('kind')}/{owner.get('name')}"] for owner in owners]


def _moment(text: Any) -> datetime | None:
    if isinstance(text, str):
        return datetime.fromisoformat(text)
    return text if isinstance(text, datetime) else None
