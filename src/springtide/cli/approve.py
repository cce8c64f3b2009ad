"""`springtide approve`: say yes or no to a workload that waits for an admission check."""

from __future__ import annotations

from typing import Any

import click

from springtide.api.kueue import AdmissionCheckState, Workload
from springtide.api.meta import is_true
from springtide.api.struct import encode
from springtide.cli.complete import jobs
from springtide.cli.errors import EXIT_USAGE, CliError
from springtide.cli.following import workload_name
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options
from springtide.client import NotFound

MANAGER = "springtide-approve"
READY, REJECTED = "Ready", "Rejected"


@click.command(name="approve")
@click.argument("name", metavar="WORKLOAD|JOB", shell_complete=jobs)
@click.option("--check", default="", help="The admission check; needed where more than one is open.")
@click.option("--reject", is_flag=True, help="Say no: the workload stays out until it is changed.")
@click.option("-m", "--message", default="", help="Why; everybody who looks at the workload reads it.")
@target_options
def command(
    name: str, check: str, reject: bool, message: str, namespace: str, kubeconfig: Any, context: str
) -> None:
    """Let a workload pass an admission check that it waits for, such as a request ceiling.

    Who may do it: whoever may patch the status of Workloads.
    """

    async def work(session: Session) -> None:
        workload = await _workload(session, name)
        state = _open_check(workload, check)
        said = AdmissionCheckState(
            name=state.name,
            state=REJECTED if reject else READY,
            message=message or f"{'rejected' if reject else 'approved'} with springtide approve",
            last_transition_time=session.now(),
        )
        fields = {
            "metadata": {"resourceVersion": workload.metadata.resource_version},
            "status": {"admissionChecks": [encode(said)]},
        }
        meta = workload.metadata
        await session.client.with_manager(MANAGER).apply(
            Workload, meta.name, meta.namespace, fields, subresource="status"
        )
        click.echo(f"workload/{meta.name}: {state.name} {'rejected' if reject else 'approved'}")

    connected(Target(kubeconfig, context, namespace), work)


async def _workload(session: Session, name: str) -> Workload:
    """The workload of this name, or that of the TrainJob of this name."""
    for candidate in (name, workload_name(name)):
        try:
            return await session.client.get(Workload, candidate, session.namespace)
        except NotFound:
            continue
    raise CliError(
        f"there is no Workload {name!r} in namespace {session.namespace}, nor one of a TrainJob of that name",
        "`springtide queue` lists what waits",
    )


def _open_check(workload: Workload, wanted: str) -> AdmissionCheckState:
    states = workload.status.admission_checks
    known = next((one for one in states if one.name == wanted), None)
    if known is not None:
        return known
    named = ", ".join(one.name for one in states) or "none"
    if wanted:
        raise CliError(
            f"Workload {workload.metadata.name} has no admission check {wanted!r}",
            f"it has: {named}",
            EXIT_USAGE,
        )
    unanswered = [one for one in states if one.state != READY]
    if len(unanswered) == 1:
        return unanswered[0]
    if unanswered:
        raise CliError(
            f"Workload {workload.metadata.name} waits for {len(unanswered)} admission checks",
            f"choose with --check: {', '.join(one.name for one in unanswered)}",
            EXIT_USAGE,
        )
    reserved = is_true(workload.status.conditions, "QuotaReserved")
    hint = (
        "it is admitted"
        if reserved
        else "it waits for quota or room first: `springtide explain` says for what"
    )
    raise CliError(f"Workload {workload.metadata.name} waits for no admission check", hint)
