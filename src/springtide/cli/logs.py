"""`springtide logs`: what a job's ranks or one pod wrote, so far or as they write it."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from springtide import client as api
from springtide.api.core import Pod
from springtide.api.trainer import TrainJob
from springtide.cli.complete import jobs
from springtide.cli.errors import EXIT_INTERRUPTED, EXIT_USAGE, CliError
from springtide.cli.follow import main_container, rank_of
from springtide.cli.following import Following
from springtide.cli.job import attempt_of, pods_of
from springtide.cli.screen import Screen, terminal_screen
from springtide.cli.session import Session, closing, connected
from springtide.cli.target import Target, target_options

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command(name="logs")
@click.argument("name", metavar="JOB|POD", shell_complete=jobs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job or the pod ends.")
@click.option("--rank", help="Only this rank (the number in brackets) of a job.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last N lines of each pod.")
@click.option(
    "--since", default="", metavar="DURATION", help="Only lines newer than this, such as 30s, 5m, 2h."
)
@click.option("-c", "--container", default="", help="Container of the pod; default: the one that trains.")
@click.option("-p", "--previous", is_flag=True, help="The attempt or the container before the present one.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@target_options
def command(
    name: str,
    follow: bool,
    rank: str | None,
    tail: int | None,
    since: str,
    container: str,
    previous: bool,
    timestamps: bool,
    namespace: str,
    kubeconfig: Any,
    context: str,
) -> None:
    """Print what a job (all its ranks, each line with its rank) or a pod wrote."""
    options: dict[str, Any] = {
        "tail_lines": tail,
        "since_seconds": seconds_of(since),
        "timestamps": timestamps,
    }
    kind, _, short = name.rpartition("/")

    async def work(session: Session) -> int:
        screen = terminal_screen()
        job = None if kind in ("pod", "pods", "po") else await _job(session, short)
        if job is None:
            pod = await _pod(session, short)
            await _print(
                session,
                pod,
                None,
                {**options, "container": container, "previous": previous, "follow": follow},
            )
            return 0
        if follow and rank is None and tail is None and not since and not previous and not timestamps:
            verdict = await Following(session.client, job, screen, progress=False).run()
            return EXIT_INTERRUPTED if verdict is None else 0
        pods = _choose(await pods_of(session, short), short, rank, previous)
        if follow and len(pods) > 1:
            raise CliError(
                "-f with --tail, --since or --timestamps follows one pod", "add --rank N", EXIT_USAGE
            )
        for pod in pods:
            prefix = screen if len(pods) > 1 else None
            await _print(
                session,
                pod,
                prefix,
                {**options, "container": container or main_container(pod), "follow": follow},
            )
        return 0

    code = connected(Target(kubeconfig, context, namespace), work)
    if code:
        raise SystemExit(code)


def seconds_of(text: str) -> int | None:
    """`90`, `30s`, `5m`, `2h`, `1h30m` in seconds; None for "". Raises CliError for anything else."""
    if not text:
        return None
    if text.isdigit():
        return int(text)
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CliError(f"--since {text!r}: not a duration", "for example 30s, 5m or 1h30m", EXIT_USAGE)
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


async def _job(session: Session, name: str) -> TrainJob | None:
    try:
        return await session.client.get(TrainJob, name, session.namespace)
    except api.NotFound:
        return None


async def _pod(session: Session, name: str) -> Pod:
    try:
        return await session.client.get(Pod, name, session.namespace)
    except api.NotFound:
        raise CliError(
            f"no job and no pod is named {name!r} in namespace {session.namespace}",
            "`springtide get trainjobs -A` and `springtide get pods -A` list what there is",
        ) from None


def _choose(pods: list[Pod], job: str, rank: str | None, previous: bool) -> list[Pod]:
    """The pods of the newest attempt (or the one before), of one rank if asked."""
    if not pods:
        raise CliError(f"{job} has no pods yet", f"`springtide explain {job}` says why")
    attempts = sorted({attempt_of(pod) for pod in pods})
    if previous and len(attempts) < 2:
        raise CliError(
            f"{job}: no pods of an attempt before this one are kept",
            f"`springtide explain {job}` says how it ended",
        )
    chosen = [pod for pod in pods if attempt_of(pod) == attempts[-2 if previous else -1]]
    if rank is None:
        return chosen
    ranks = {rank_of(pod): pod for pod in chosen}
    if rank not in ranks:
        raise CliError(f"--rank {rank}: {job} has ranks {', '.join(ranks)}", "", EXIT_USAGE)
    return [ranks[rank]]


async def _print(session: Session, pod: Pod, screen: Screen | None, options: dict[str, Any]) -> None:
    """One pod's log: as it is, or with the rank before each line."""
    out = sys.stdout.buffer
    rest = b""
    chunks = session.client.logs(pod.metadata.namespace, pod.metadata.name, **options)
    try:
        async with closing(chunks):
            async for chunk in chunks:
                if screen is None:
                    out.write(chunk)
                    out.flush()
                    continue
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    screen.line(rank_of(pod), line.decode(errors="replace"))
    except api.BadRequest as error:
        click.echo(f"{pod.metadata.name}: {error.message}", err=True)
    if screen is not None and rest:
        screen.line(rank_of(pod), rest.decode(errors="replace"))
