"""`springtide simulate capacity`: what if nodes, quotas or the policy of the cluster were others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from springtide.api.quantity import milli
from springtide.cli.cluster import embeds, objects, options
from springtide.cli.errors import CliError
from springtide.cli.output import JSON, YAML, columns, output_option, print_data
from springtide.cli.saved_cluster import Saved, load
from springtide.cli.saved_cluster import save as write
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options

if TYPE_CHECKING:
    from springtide.api.meta import Object
    from springtide.scheduling.plan import Options
    from springtide.scheduling.policies import Policy
    from springtide.simulation.capacity import Changes, Outlook, Quota

_FILE = click.Path(dir_okay=False, path_type=Path)
_SHOWN = 10


@dataclass(frozen=True)
class _There:
    """A cluster, live or saved."""

    objects: list[Object]
    now: datetime
    options: Options | None
    """None: not known."""
    provisioned: bool
    """Whether somebody binds claims to volumes."""


@click.command(name="capacity")
@click.option(
    "--add-nodes", "added", multiple=True, metavar="COUNT=NODE", help="More nodes like this one; repeatable."
)
@click.option(
    "--remove-node", "removed", multiple=True, metavar="NODE", help="Without this node; repeatable."
)
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    metavar="QUEUE/[FLAVOR/]RESOURCE=AMOUNT",
    help="Another nominalQuota of a ClusterQueue; repeatable. Slashes within RESOURCE are fine.",
)
@click.option("--policy", default="", help="Another placement policy: registered, or FILE.py:NAME.")
@click.option(
    "--snapshot",
    type=_FILE,
    help="Decide on the cluster in this file, as --save or `kubectl get KINDS -A -o json` writes it.",
)
@click.option("--save", type=_FILE, help="Write the cluster as it is to a file, and end.")
@output_option(JSON, YAML)
@target_options
def capacity(
    added: Sequence[str],
    removed: Sequence[str],
    quotas: Sequence[str],
    policy: str,
    snapshot: Path | None,
    save: Path | None,
    output: str,
    namespace: str,
    kubeconfig: Any,
    context: str,
) -> None:
    """What if there were other nodes, quotas or another policy? Decided by the scheduler's own code on the
    cluster as it is; nothing is written.
    """
    changes = _changes(added, removed, quotas)
    other = _policy(policy)
    if snapshot is not None:
        known = load(snapshot)
        there = _There(known.objects, known.now, None, known.provisioned)
    else:

        async def read(session: Session) -> _There:
            found, known = await objects(session), await options(session)
            return _There(found, session.now(), known, not await embeds(session))

        there = connected(Target(kubeconfig, context, namespace), read)
    if save is not None:
        write(Saved(there.objects, there.now, there.provisioned), save)
        click.echo(f"{len(there.objects)} objects written to {save}", err=True)
        return
    before, after = _outlooks(there, changes, other)
    if output:
        print_data({"now": asdict(before), "then": asdict(after)}, output)
    else:
        click.echo(render(before, after))


def _outlooks(there: _There, changes: Changes, policy: Policy | None) -> tuple[Outlook, Outlook]:
    from springtide.scheduling.plan import Options
    from springtide.simulation.capacity import ChangeError, changed, outlook

    try:
        wanted = changed(there.objects, changes)
    except ChangeError as error:
        raise CliError(str(error)) from None
    as_is = there.options or Options()
    other = replace(as_is, policy=policy) if policy is not None else as_is
    return (
        outlook(there.objects, there.now, as_is, embedded=not there.provisioned),
        outlook(wanted, there.now, other, embedded=not there.provisioned),
    )


def render(before: Outlook, after: Outlook) -> str:
    """Both side by side, then who would start, go and wait."""
    rows = [
        ("nodes", str(before.nodes), str(after.nodes)),
        ("workloads that run", str(before.runs), str(after.runs)),
        ("start at once", str(len(before.starts)), str(len(after.starts))),
        ("make way", str(len(before.goes)), str(len(after.goes))),
        ("wait", str(len(before.waits)), str(len(after.waits))),
    ]
    resources = sorted({*before.used, *after.used})
    rows += [(name, before.used.get(name, "-"), after.used.get(name, "-")) for name in resources]
    parts = [columns(("", "NOW", "THEN"), rows)]
    lists: tuple[tuple[str, list[str]], ...] = (
        ("starts then, not now", sorted(set(after.starts) - set(before.starts))),
        ("starts now, not then", sorted(set(before.starts) - set(after.starts))),
        ("makes way then", list(after.goes)),
        ("waits then", [f"{one.key}: {one.why}" for one in after.waits]),
    )
    for title, names in lists:
        if names:
            more = [f"  … and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
            parts.append("\n".join([title, *(f"  {name}" for name in names[:_SHOWN]), *more]))
    return "\n\n".join(parts)


def _changes(added: Sequence[str], removed: Sequence[str], quotas: Sequence[str]) -> Changes:
    from springtide.simulation.capacity import Changes

    more: dict[str, int] = {}
    for text in added:
        count, _, node = text.partition("=")
        if not count.isdecimal() or not int(count) or not node:
            raise CliError(f"--add-nodes {text!r}: not COUNT=NODE", "as in --add-nodes 4=gpu-node-1")
        more[node] = more.get(node, 0) + int(count)
    return Changes(more, tuple(removed), tuple(map(_quota, quotas)))


def _quota(text: str) -> Quota:
    """`QUEUE/RESOURCE=AMOUNT` or `QUEUE/FLAVOR/RESOURCE=AMOUNT`; names of resources may have a slash."""
    from springtide.simulation.capacity import Quota

    where, _, amount = text.partition("=")
    queue, _, rest = where.partition("/")
    if not queue or not rest or not amount:
        raise CliError(
            f"--quota {text!r}: not QUEUE/[FLAVOR/]RESOURCE=AMOUNT", "as in research/nvidia.com/gpu=64"
        )
    try:
        milli(amount)
    except ValueError as error:
        raise CliError(f"--quota {text!r}: {error}") from None
    first, _, others = rest.partition("/")
    if others and "." not in first:
        return Quota(queue, others, amount, first)
    return Quota(queue, rest, amount)


def _policy(name: str) -> Policy | None:
    from springtide.scheduling.policies import find_policy

    try:
        return find_policy(name) if name else None
    except ValueError as error:
        raise CliError(str(error)) from None
