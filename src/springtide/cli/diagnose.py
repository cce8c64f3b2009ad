"""`springtide diagnose`: why a job failed or a node is out, in words; and a verdict on any line of a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from springtide.api import labels
from springtide.api.springtide import Diagnosis
from springtide.api.struct import encode
from springtide.cli.complete import jobs
from springtide.cli.errors import EXIT_USAGE, CliError
from springtide.cli.following import workload_name
from springtide.cli.output import JSON, YAML, output_option, print_objects
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options

JSONL = "jsonl"
_SHOWN_UNLESS_ALL = 1


@click.command(name="diagnose")
@click.argument("job", metavar="[JOB]", default="", shell_complete=jobs)
@click.option("--node", default="", help="Incidents of this node instead, in all namespaces.")
@click.option("--all", "every", is_flag=True, help="All of them, newest last, not only the newest.")
@click.option("--lines", default="", metavar="FILE", help="Judge lines of logs: JSON lines, - for stdin.")
@output_option(JSON, YAML, JSONL)
@target_options
def command(
    job: str, node: str, every: bool, lines: str, output: str, namespace: str, kubeconfig: Any, context: str
) -> None:
    """Say why a job failed: what, whose fault, what is done, which rank and node, and the evidence.

    With --lines no platform is needed: each row {"line": ..., "context": ...} comes back with label,
    blame, action, secondary and confidence.
    """
    if sum(map(bool, (job, node, lines))) != 1:
        raise CliError("give a job, --node or --lines: exactly one", "`springtide diagnose JOB`", EXIT_USAGE)
    if lines:
        _judge_lines(lines, output)
        return
    if output == JSONL:
        raise CliError("-o jsonl is for --lines", "use -o json or -o yaml", EXIT_USAGE)

    async def work(session: Session) -> None:
        found = await (_of_node(session, node) if node else _of_job(session, job))
        shown = found if every else found[-_SHOWN_UNLESS_ALL:]
        if output:
            print_objects([encode(one) for one in shown], output, as_list=True)
            return
        from springtide.cli.diagnosis_text import in_words

        click.echo("\n\n".join(in_words(one) for one in shown))
        if len(found) > len(shown):
            click.echo(f"\n{len(found) - len(shown)} earlier: --all shows them")

    connected(Target(kubeconfig, context, namespace), work)


async def _of_job(session: Session, job: str) -> Sequence[Diagnosis]:
    """The diagnoses of a job, oldest first. Raises CliError where there is none."""
    wanted = (job, workload_name(job))
    listing = await session.client.list(Diagnosis, session.namespace)
    found = [one for one in listing.items if one.metadata.labels.get(labels.WORKLOAD) in wanted]
    found = found or [one for one in listing.items if one.metadata.name == job]
    if not found:
        raise CliError(
            f"there is no Diagnosis of {job!r} in namespace {session.namespace}",
            f"`springtide explain {job}` says what the job does; `springtide get diagnoses` lists all",
        )
    return sorted(found, key=_order)


async def _of_node(session: Session, node: str) -> Sequence[Diagnosis]:
    """The diagnoses that name a node, oldest first. Raises CliError where there is none."""
    listing = await session.client.list(Diagnosis)
    found = [one for one in listing.items if one.spec.node == node]
    if not found:
        raise CliError(
            f"there is no Diagnosis of node {node!r}",
            f"`springtide describe nodehealth {node}` shows what its collectors see",
        )
    return sorted(found, key=_order)


def _order(diagnosis: Diagnosis) -> tuple[float, int, str]:
    meta, spec = diagnosis.metadata, diagnosis.spec
    when = meta.creation_timestamp or spec.detected_at
    return (when.timestamp() if when is not None else 0.0, spec.attempt, meta.name)


def _judge_lines(source: str, output: str) -> None:
    """One row out for each row in."""
    import json

    from springtide.cli.diagnose_lines import judged, read_rows

    rows = (judged(row) for row in read_rows(source))
    if output in (JSONL, ""):
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    from springtide.cli.output import print_data

    print_data(list(rows), output)
