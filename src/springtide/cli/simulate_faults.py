"""`springtide simulate faults`: what weeks of faults cost a large job, ours beside a restart by timeout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from springtide.cli.errors import CliError
from springtide.cli.output import JSON, YAML, columns, output_option, print_data

if TYPE_CHECKING:
    from springtide.api.remediation import RemediationPolicy
    from springtide.simulation.ettr import Outcome, Setting

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.command(name="faults")
@click.option("--seeds", type=click.IntRange(min=1), default=10, show_default=True, help="How many runs.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=54.0, show_default=True)
@click.option(
    "--nodes", type=click.IntRange(min=1), default=2048, show_default=True, help="Of the large job."
)
@click.option("--gpus-per-node", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--spares", type=click.IntRange(min=0), default=16, show_default=True, help="Nodes kept free.")
@click.option(
    "--small-jobs", type=click.IntRange(min=0), default=4, show_default=True, help="Of 8 nodes each."
)
@click.option("--mix", "mix_file", type=_FILE, help="Causes with counts and lines (YAML); else Llama 3's.")
@click.option("--profile", type=_FILE, help="Times of recovery that replace the built-in ones (YAML).")
@click.option("--policy", "policy_file", type=_FILE, help="A RemediationPolicy; else what is built in.")
@click.option("--quick", is_flag=True, help="Find places by counting instead of by the scheduling engine.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at a time.")
@click.option("--report", "report_file", type=_OUT, help="Also write picture and tables as an HTML page.")
@click.option("--picture", "picture_file", type=_OUT, help="Also write the picture alone (SVG).")
@output_option(JSON, YAML)
def faults(
    seeds: int,
    seed: int,
    days: float,
    nodes: int,
    gpus_per_node: int,
    spares: int,
    small_jobs: int,
    mix_file: Path | None,
    profile: Path | None,
    policy_file: Path | None,
    quick: bool,
    jobs: int,
    report_file: Path | None,
    picture_file: Path | None,
    output: str,
) -> None:
    """Weeks of training under faults: how much of the time trains, and where the rest goes.

    Every seed draws the causes of the table with their exact counts and plays them twice: as Springtide
    finds, judges and heals them, and as a job that restarts after the timeout of a collective from the last
    checkpoint on storage, which is told for nothing which node is broken.
    """
    from springtide.simulation.ettr import Setting, compare
    from springtide.simulation.ettr_report import picture, report
    from springtide.simulation.faultmix import LLAMA3, MixError, load_mix
    from springtide.simulation.gangplaces import Size
    from springtide.simulation.recoverytimes import load_times, sources

    size = Size(nodes, gpus_per_node, min(128, nodes), spares, small_jobs)
    if nodes % size.block:
        raise CliError(f"--nodes: {nodes} is not a multiple of {size.block}, the nodes of a block")
    try:
        mix, times, told = load_mix(mix_file or LLAMA3), load_times(profile), sources(profile)
    except MixError as error:
        raise CliError(str(error)) from error
    policy = _policy(policy_file) if policy_file is not None else None
    setting = Setting(mix, times, size, days, engine=not quick, policy=policy)
    outcomes = compare(setting, range(seed, seed + seeds), jobs=jobs, done=_say)
    title = f"{mix.source}; {days:g} days on {nodes * gpus_per_node:,} GPUs"
    if report_file is not None:
        report_file.write_text(report(outcomes, title, told))
    if picture_file is not None:
        picture_file.write_text(picture(outcomes))
    if output:
        print_data(_data(outcomes, setting, told), output)
    else:
        click.echo(_table(outcomes))
    for file in (report_file, picture_file):
        if file is not None:
            click.echo(f"wrote {file}", err=True)


def _policy(file: Path) -> RemediationPolicy:
    """The one policy of a file; a misspelt field or step is named."""
    import msgspec

    from springtide.api.remediation import RemediationPolicy, Step
    from springtide.api.struct import decode, unknown_paths
    from springtide.cli.manifests import read

    found = read(str(file), sys.stdin)
    if [one.kind for one in found] != ["RemediationPolicy"]:
        raise CliError(f"{file}: holds {', '.join(one.kind for one in found)}, not one RemediationPolicy")
    try:
        policy = decode(RemediationPolicy, found[0].raw)
    except msgspec.ValidationError as error:
        raise CliError(f"{file}: {error}") from error
    if unknown := unknown_paths(policy):
        raise CliError(f"{file}: no such field: {', '.join(unknown)}")
    for at, rule in enumerate(policy.spec.rules):
        if not rule.steps or not {*rule.steps} <= {*Step}:
            raise CliError(f"{file}: spec.rules[{at}].steps: {rule.steps} must be some of {', '.join(Step)}")
    return policy


def _say(outcome: Outcome) -> None:
    told = f"seed {outcome.seed}: {outcome.system} trains {outcome.ettr:.2%} of the time"
    click.echo(f"{told} ({outcome.cpu_seconds:.1f} s)", err=True)


def _data(
    outcomes: Sequence[Outcome], setting: Setting, told: dict[str, tuple[float, str]]
) -> dict[str, Any]:
    from springtide.api.struct import encode
    from springtide.simulation.ettr import SYSTEMS, gained, mean_down, mean_phases, of_system, spread

    systems = {}
    for system in SYSTEMS:
        own = of_system(outcomes, system)
        systems[system] = {
            "ettr": asdict(spread([one.ettr for one in own])),
            "ettr_all": asdict(spread([one.ettr_all for one in own])),
            "phases": mean_phases(own),
            "by_cause": {
                cause: {"times": stops, "down_seconds": down}
                for cause, (stops, down) in mean_down(own).items()
            },
        }
    return {
        "policy": encode(setting.policy) if setting.policy is not None else None,
        "mix": setting.mix.source,
        "days": setting.days,
        "size": asdict(setting.size),
        "systems": systems,
        "gained": asdict(spread(gained(outcomes))),
        "profile": {name: {"value": value, "source": source} for name, (value, source) in told.items()},
        "runs": [asdict(one) for one in outcomes],
    }


def _table(outcomes: Sequence[Outcome]) -> str:
    from springtide.simulation.ettr import SYSTEMS, gained, mean_phases, of_system, spread
    from springtide.simulation.recovery import PHASES

    means = {system: mean_phases(of_system(outcomes, system)) for system in SYSTEMS}
    phases = [(name, *(f"{100 * means[system][name]:.3f} %" for system in SYSTEMS)) for name in PHASES]
    better = spread(gained(outcomes))
    header = (
        "SYSTEM",
        "TRAINS",
        "±",
        "ALL JOBS",
        "STOPS",
        "SAVES EVERY",
        "CORDONS",
        "BY HISTORY",
        "WRONG",
        "MISSED",
        "OUT",
    )
    gain = (
        f"{100 * better.mean:.2f} points more ({100 * better.least:.2f} to {100 * better.most:.2f} by seed)"
    )
    return "\n\n".join(
        [
            columns(header, [_system(system, of_system(outcomes, system)) for system in SYSTEMS]),
            columns(("PHASE", *(system.upper() for system in SYSTEMS)), phases),
            _causes(outcomes),
            gain,
        ]
    )


def _system(name: str, runs: Sequence[Outcome]) -> tuple[str, ...]:
    from springtide.simulation.ettr import spread
    from springtide.simulation.report import duration

    ratio = spread([one.ettr for one in runs])
    out = spread([one.nodes_out_mean for one in runs]).mean, max(one.nodes_out_max for one in runs)
    return (
        name,
        f"{100 * ratio.mean:.2f} %",
        f"{100 * ratio.deviation:.2f}",
        f"{100 * spread([one.ettr_all for one in runs]).mean:.2f} %",
        f"{spread([one.interruptions for one in runs]).mean:.0f}",
        duration(runs[0].interval_seconds),
        f"{spread([one.cordons for one in runs]).mean:.0f}",
        f"{spread([one.by_history for one in runs]).mean:.1f}",
        f"{spread([one.wrong_cordons for one in runs]).mean:.1f}",
        f"{spread([one.missed for one in runs]).mean:.0f}",
        f"{out[0]:.1f} / {out[1]}",
    )


def _causes(outcomes: Sequence[Outcome]) -> str:
    """By cause: interruptions a run, and the mean time from the fault until training again."""
    from springtide.simulation.ettr import SYSTEMS, mean_down, of_system
    from springtide.simulation.report import duration

    each = {system: mean_down(of_system(outcomes, system)) for system in SYSTEMS}
    lines = []
    for cause in dict.fromkeys(cause for found in each.values() for cause in found):
        cells = [cause]
        for system in SYSTEMS:
            stops, down = each[system].get(cause, (0.0, 0.0))
            cells += [f"{stops:.1f}", duration(down)]
        lines.append(tuple(cells))
    header = ("CAUSE", *(f"{system.upper()}{what}" for system in SYSTEMS for what in (" STOPS", " DOWN")))
    return columns(header, lines)
