"""The report of a replay of jobs as one HTML file: a table and curves, drawn without any script or network.

Called by `springtide simulate jobs --report FILE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from springtide.simulation.outcome import QUANTILES, Figures, Outcome

COLOURS = ("#b3541e", "#2b6cb0", "#2f855a", "#805ad5", "#718096", "#b7791f")
WIDTH, HEIGHT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 14, 34
_TICKS = 5
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a202c; max-width: 900px; margin: 2rem auto }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid #e2e8f0 }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #4a5568 }
.key span { display: inline-block; width: 1.6em; height: .2em; margin: 0 .4em .2em 1.2em }
"""
_RULES = (
    "Every job is a gang that starts whole; nobody is preempted. Where a policy is not marked as knowing "
    "durations, it has learned them from the jobs that had ended before."
)


@dataclass(frozen=True)
class _Axis:
    """Values along one side of a drawing."""

    top: float
    unit: str


def report(outcomes: Sequence[Outcome], trace: str) -> str:
    """The file: every policy in one table and in each drawing."""
    first = outcomes[0]
    names = [_name(outcome) for outcome in outcomes]
    parts = [
        f"<h1>{escape(trace)} on {first.nodes} nodes, {first.gpus} GPUs</h1>",
        f"<p>Mean demand is {100 * first.load:.1f} % of the GPUs. {_RULES}</p>",
        _table(outcomes),
        _key(names),
        "<h2>Jobs that wait</h2>",
        _drawing([outcome.curves.waiting for outcome in outcomes], _days(outcomes), "jobs"),
        "<h2>GPUs in use</h2>",
        _drawing(
            [[100 * part for part in outcome.curves.busy] for outcome in outcomes],
            _days(outcomes),
            "%",
            top=100,
        ),
        "<h2>How many jobs wait no longer than so</h2>",
        _waits(outcomes),
    ]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(trace)}: {escape(', '.join(names))}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _name(outcome: Outcome) -> str:
    return f"{outcome.policy} (durations known)" if outcome.oracle else outcome.policy


def _table(outcomes: Sequence[Outcome]) -> str:
    head = ("policy", "GPUs", "jobs", "wait mean", "p50", "p99", "completion mean", "p50", "p99")
    rows = []
    for outcome in outcomes:
        for size, figures in {"all": outcome.overall, **outcome.by_size}.items():
            rows.append("".join(f"<td>{cell}</td>" for cell in _cells(_name(outcome), size, figures)))
    totals = "".join(
        f"<p>{escape(_name(one))}: utilization {100 * one.utilization:.1f} % until the last arrival, "
        f"makespan {one.makespan / 86400:.1f} d, fairness over virtual clusters (Jain) {one.fairness:.3f}, "
        f"{one.backfilled} jobs started before their turn, {one.decisions_per_second:.0f} decisions/s.</p>"
        for one in outcomes
    )
    header = "".join(f"<th>{name}</th>" for name in head)
    lines = "".join(f"<tr>{row}</tr>\n" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead>\n<tbody>{lines}</tbody></table>\n{totals}"


def _cells(policy: str, size: str, figures: Figures) -> list[str]:
    seconds = (
        figures.wait_mean,
        figures.wait_p50,
        figures.wait_p99,
        figures.completion_mean,
        figures.completion_p50,
        figures.completion_p99,
    )
    return [escape(policy), escape(size), str(figures.jobs), *(duration(value) for value in seconds)]


def duration(seconds: float) -> str:
    """Three digits or so, in the unit that suits."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _key(names: Sequence[str]) -> str:
    items = "".join(
        f'<span style="background:{COLOURS[i % len(COLOURS)]}"></span>{escape(name)}'
        for i, name in enumerate(names)
    )
    return f'<p class="key">{items}</p>'


def _days(outcomes: Sequence[Outcome]) -> list[list[float]]:
    return [
        [(i + 0.5) * one.curves.step_seconds / 86400 for i in range(len(one.curves.waiting))]
        for one in outcomes
    ]


def _waits(outcomes: Sequence[Outcome]) -> str:
    along = [[value / 3600 for value in one.curves.wait_quantiles] for one in outcomes]
    up = [[100 * i / QUANTILES for i in range(QUANTILES + 1)] for _ in outcomes]
    return _drawing(up, along, "%", top=100, along="h")


def _drawing(
    up: Sequence[Sequence[float]],
    across: Sequence[Sequence[float]],
    unit: str,
    *,
    top: float = 0.0,
    along: str = "d",
) -> str:
    """Lines, one an outcome."""
    y = _Axis(top or _round(max((max(line, default=0.0) for line in up), default=1.0)), unit)
    x = _Axis(_round(max((max(line, default=0.0) for line in across), default=1.0)), along)
    lines = "".join(
        f'<polyline fill="none" stroke="{COLOURS[i % len(COLOURS)]}" points="{_points(a, b, x, y)}"/>'
        for i, (a, b) in enumerate(zip(across, up, strict=True))
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{_grid(x, y)}{lines}</svg>'


def _points(across: Sequence[float], up: Sequence[float], x: _Axis, y: _Axis) -> str:
    return " ".join(f"{_at_x(a, x):.1f},{_at_y(b, y):.1f}" for a, b in zip(across, up, strict=True))


def _at_x(value: float, axis: _Axis) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / axis.top


def _at_y(value: float, axis: _Axis) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / axis.top


def _grid(x: _Axis, y: _Axis) -> str:
    found = []
    for tick in range(_TICKS + 1):
        up, across = y.top * tick / _TICKS, x.top * tick / _TICKS
        where = f"{_at_y(up, y):.1f}"
        found.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{where}" y2="{where}" stroke="#e2e8f0"/>'
            f'<text x="{_LEFT - 6}" y="{where}" text-anchor="end">{up:g} {escape(y.unit)}</text>'
            f'<text x="{_at_x(across, x):.1f}" y="{HEIGHT - 12}" text-anchor="middle">'
            f"{across:g} {escape(x.unit)}</text>"
        )
    return "".join(found)


def _round(value: float) -> float:
    """The next number up that divides well by the number of ticks."""
    if value <= 0:
        return 1.0
    scale = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    while value / scale > 10:
        scale *= 10
    for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10):
        if value <= step * scale:
            return step * scale
    return value
