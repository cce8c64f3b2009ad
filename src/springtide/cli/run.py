"""`springtide run`: a Python script (or a manifest) becomes a TrainJob, and its end the exit code."""

from __future__ import annotations

import asyncio
import difflib
import signal
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from springtide import client as api
from springtide.api.struct import decode
from springtide.api.trainer import TrainJob
from springtide.cli.apply import apply_manifest, refusal
from springtide.cli.complete import queues, runtimes
from springtide.cli.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, CliError
from springtide.cli.following import Following
from springtide.cli.manifests import Manifest, read
from springtide.cli.output import JSON, NAME, YAML, object_name, output_option, print_objects
from springtide.cli.screen import Screen, terminal_screen
from springtide.cli.script import ScriptJob, parse_env, train_job
from springtide.cli.session import MANAGER, Session, connected
from springtide.cli.target import Target, target_options
from springtide.cli.verdict import Verdict


@click.command(name="run", context_settings={"ignore_unknown_options": True})
@click.argument("script", required=False, type=click.Path(path_type=Path), metavar="[SCRIPT.py]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
@click.option(
    "-f", "--filename", help="Run the TrainJob of this manifest instead of a script.", metavar="FILE|-"
)
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Nodes to train on.")
@click.option("--nproc-per-node", type=click.IntRange(min=1), help="Processes on each node.")
@click.option("--cpus", metavar="AMOUNT", help="CPUs each node's share needs, such as 2 or 500m.")
@click.option("--memory", metavar="AMOUNT", help="Memory each node's share needs, such as 4Gi.")
@click.option("--gpus", type=click.IntRange(min=0), default=0, help="GPUs on each node.")
@click.option("--queue", default="", help="LocalQueue to wait in.", shell_complete=queues)
@click.option("--name", default="", help="Name of the job; default: the script's name and a short suffix.")
@click.option(
    "--env", multiple=True, metavar="NAME=VALUE", help="Environment variable of the script; repeatable."
)
@click.option("--image", default="", help="Container image, where nodes use images.")
@click.option(
    "--runtime",
    default="",
    shell_complete=runtimes,
    help="ClusterTrainingRuntime; default: torch-distributed if the script imports torch, else plain.",
)
@click.option(
    "--follow/--detach", default=True, help="Follow the job to its end (default), or return at once."
)
@click.option("--dry-run", is_flag=True, help="Print the TrainJob instead of running it.")
@output_option(JSON, YAML, NAME)
@target_options
def command(
    script: Path | None, filename: str | None, follow: bool, dry_run: bool, output: str, **given: Any
) -> None:
    """Run a Python script as a training job, and follow it.

    \b
    springtide run train.py --nodes 2
    springtide run train.py --nodes 2 -- --epochs 3
    springtide run -f trainjob.yaml

    Options that springtide does not have go to the script; so does everything after `--`. The script starts
    in the folder this command is called in. [0], [1] … before a line is the node that wrote it.

    Ctrl-C stops following: the job can be left running or be deleted.
    """
    target = Target(given["kubeconfig"], given["context"], given["namespace"])
    if (script is None) == (filename is None):
        raise CliError(
            "give either SCRIPT.py or -f FILE", "for example `springtide run train.py`", EXIT_USAGE
        )
    manifests = read(filename, sys.stdin) if filename else [_of_script(script, given)]
    job = the_train_job(manifests)
    if dry_run:
        print_objects([job.raw], output or YAML, as_list=False)
        return
    code = connected(target, lambda session: _run(session, manifests, job, output, follow=follow))
    if code != EXIT_OK:
        raise SystemExit(code)


def _of_script(script: Path | None, given: dict[str, Any]) -> Manifest:
    assert script is not None
    arguments = tuple(given["arguments"])
    _warn_of_likely_typos(arguments)
    asked = ScriptJob(
        script=script,
        folder=Path.cwd(),
        arguments=arguments,
        name=given["name"],
        namespace=given["namespace"],
        runtime=given["runtime"],
        nodes=given["nodes"],
        processes_per_node=given["nproc_per_node"],
        cpus=given["cpus"],
        memory=given["memory"],
        gpus=given["gpus"],
        queue=given["queue"],
        image=given["image"],
        env=parse_env(given["env"]),
    )
    return Manifest(train_job(asked), str(script))


def _warn_of_likely_typos(arguments: tuple[str, ...]) -> None:
    """An option we do not have goes to the script; one that looks like ours may be meant for us."""
    if "--" in sys.argv:
        return
    own = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    for argument in arguments:
        near = difflib.get_close_matches(argument, own, n=1, cutoff=0.85) if argument.startswith("--") else []
        if near:
            click.echo(f"warning: {argument} goes to the script; did you mean {near[0]}?", err=True)


def the_train_job(manifests: list[Manifest]) -> Manifest:
    """The one TrainJob among them. Raises CliError for none or several."""
    jobs = [manifest for manifest in manifests if manifest.kind == "TrainJob"]
    if len(jobs) != 1:
        raise CliError(
            f"{manifests[0].place}: {len(jobs)} TrainJobs, one is needed",
            "`springtide apply -f` creates any number of objects of any kind",
        )
    return jobs[0]


async def _run(
    session: Session, manifests: list[Manifest], manifest: Manifest, output: str, *, follow: bool
) -> int:
    for other in manifests:
        if other is not manifest:
            await apply_manifest(session, other, dry_run=False, force=False)
    await _check_runtime(session, manifest)
    raw = await _create(session, manifest)
    job = decode(TrainJob, raw)
    if output:
        print_objects([raw], output, as_list=False)
    if follow:
        return await follow_job(session, job, terminal_screen(), created_now=True)
    if not output:
        click.echo(f"{object_name(raw)} created")
    _say_how_to_go_on(job, session)
    return EXIT_OK


async def _create(session: Session, manifest: Manifest) -> dict[str, Any]:
    """Create the job. Raises CliError: a job of that name exists, a field is wrong."""
    resource = await session.find_kind(manifest.api_version, manifest.kind)
    namespace = manifest.namespace or session.namespace
    raw = {**manifest.raw, "metadata": {**manifest.raw["metadata"], "namespace": namespace}}
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
    try:
        response = await session.client.request(
            "POST", resource.path(namespace), query=query, body=msgspec.json.encode(raw)
        )
    except api.AlreadyExists:
        raise CliError(
            f"TrainJob {manifest.name} exists already in namespace {namespace}",
            f"choose another name, or delete it first: `springtide delete trainjob {manifest.name}`",
        ) from None
    except api.Unreachable:
        raise
    except api.ApiError as error:
        raise refusal(manifest, error) from error
    created: dict[str, Any] = msgspec.json.decode(response.body)
    return created


async def _check_runtime(session: Session, manifest: Manifest) -> None:
    """Refuse a job whose runtime does not exist, naming those that do, before it waits in vain."""
    reference = (manifest.raw.get("spec") or {}).get("runtimeRef") or {}
    name, kind = reference.get("name"), reference.get("kind") or "ClusterTrainingRuntime"
    if not name or kind not in ("ClusterTrainingRuntime", "TrainingRuntime"):
        return
    resource = await session.find_kind(manifest.api_version, kind)
    namespace = (manifest.namespace or session.namespace) if resource.namespaced else ""
    listing = await session.client.dynamic(resource).list(namespace)
    known = [item["metadata"]["name"] for item in listing.items]
    if name not in known:
        raise CliError(
            f"{manifest.place}: no {kind} is named {name!r}", f"there are: {', '.join(known) or 'none'}"
        )


async def follow_job(session: Session, job: TrainJob, screen: Screen, *, created_now: bool = False) -> int:
    """Follow a job to its verdict and return the exit code; Ctrl-C leaves it or deletes it."""
    following = Following(session.client, job, screen, created_now=created_now)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, following.stop)
    try:
        found = await following.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if found is None:
        await _leave(session, job)
        return EXIT_INTERRUPTED
    print_verdict(found)
    return found.exit_code


def print_verdict(found: Verdict) -> None:
    """Evidence first, then the line that says it all, last on stdout; the hint on stderr."""
    for line in found.evidence:
        click.echo(line, err=True)
    click.echo(found.line)
    if found.hint:
        click.echo(f"\nhint: {found.hint}", err=True)


async def _leave(session: Session, job: TrainJob) -> None:
    name = job.metadata.name
    if sys.stdin.isatty() and sys.stderr.isatty():
        choice = click.Choice(["detach", "delete"])
        try:
            answer = click.prompt(f"\n{name} goes on. What now?", type=choice, default="detach", err=True)
        except click.Abort:
            answer = "detach"
        if answer == "delete":
            await session.client.delete(TrainJob, name, job.metadata.namespace, uid=job.metadata.uid)
            click.echo(f"{name} deleted", err=True)
            return
    _say_how_to_go_on(job, session)


def _say_how_to_go_on(job: TrainJob, session: Session) -> None:
    name = job.metadata.name
    where = "" if job.metadata.namespace == session.namespace else f" -n {job.metadata.namespace}"
    click.echo(f"follow it: springtide logs -f {name}{where}", err=True)
    click.echo(f"end it:    springtide delete trainjob {name}{where}", err=True)
