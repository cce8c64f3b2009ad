"""The report of runs under faults as one HTML file: bars of where the time went, tables, every assumption.

Called by `springtide simulate faults --report FILE`; `picture` alone is the drawing, as an SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from springtide.simulation.ettr import SYSTEMS, Outcome, gained, mean_down, mean_phases, of_system, spread
from springtide.simulation.report import STYLE, duration

COLOURS = {
    "slow": "#b7791f",
    "checkpoint": "#2b6cb0",
    "detect": "#c53030",
    "decide": "#dd6b20",
    "drain": "#d69e2e",
    "reschedule": "#38a169",
    "wait": "#718096",
    "start": "#805ad5",
    "restore": "#319795",
    "recompute": "#b83280",
    "corrupt": "#1a202c",
    "manual": "#744210",
}
_WIDTH, _BAR, _LEFT, _RIGHT = 860, 46, 96, 16


def report(outcomes: Sequence[Outcome], title: str, sources: Mapping[str, tuple[float, str]]) -> str:
    """The file."""
    seeds = len({one.seed for one in outcomes})
    better = spread(gained(outcomes))
    told = (
        f"{seeds} seeds, the same faults for both. Ours trains in more of the time than the baseline, in "
        f"points: {100 * better.mean:.1f} ({100 * better.least:.1f} to {100 * better.most:.1f})."
    )
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{told}</p>",
            "<h2>Where the time goes that is not training</h2>",
            picture(outcomes),
            _systems(outcomes),
            "<h2>By cause: interruptions a run, and from the fault until training again</h2>",
            _causes(outcomes),
            "<h2>What was assumed and what was measured</h2>",
            _sources(sources),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def picture(outcomes: Sequence[Outcome]) -> str:
    """One bar a system: its lost time by phase, as parts of the whole run."""
    means = {system: mean_phases(of_system(outcomes, system)) for system in SYSTEMS}
    lost = {system: sum(parts[name] for name in COLOURS) for system, parts in means.items()}
    scale = (_WIDTH - _LEFT - _RIGHT) / max(*lost.values(), 1e-9)
    parts = []
    for row, system in enumerate(SYSTEMS):
        top = 14 + row * (_BAR + 34)
        parts.append(f'<text x="0" y="{top + _BAR / 2 + 5}" font-size="14">{escape(system)}</text>')
        x = float(_LEFT)
        for name, colour in COLOURS.items():
            width = means[system][name] * scale
            told = f"{name}: {100 * means[system][name]:.2f} %"
            parts.append(
                f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{colour}">'
                f"<title>{told}</title></rect>"
            )
            x += width
        ratio = 100 * means[system]["train"]
        note = f"lost {100 * lost[system]:.1f} %, trains {ratio:.1f} %"
        parts.append(f'<text x="{_LEFT}" y="{top + _BAR + 16}" font-size="13">{note}</text>')
    parts += _key(14 + len(SYSTEMS) * (_BAR + 34) + 8)
    height = 14 + len(SYSTEMS) * (_BAR + 34) + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" fill="#1a202c">{"".join(parts)}</svg>'
    )


def _key(top: int) -> list[str]:
    found = []
    for index, (name, colour) in enumerate(COLOURS.items()):
        x, y = _LEFT + index % 6 * 124, top + index // 6 * 22
        found.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="{colour}"/>')
        found.append(f'<text x="{x + 20}" y="{y + 12}" font-size="13">{name}</text>')
    return found


def _systems(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for system in SYSTEMS:
        own = of_system(outcomes, system)
        ratio, every = spread([one.ettr for one in own]), spread([one.ettr_all for one in own])
        rows.append(
            [
                system,
                f"{100 * ratio.mean:.2f} ± {100 * ratio.deviation:.2f} %",
                f"{100 * every.mean:.2f} ± {100 * every.deviation:.2f} %",
                f"{spread([one.interruptions for one in own]).mean:.0f}",
                duration(own[0].interval_seconds),
                f"{spread([one.cordons for one in own]).mean:.0f}",
                f"{spread([one.wrong_cordons for one in own]).mean:.1f}",
                f"{spread([one.nodes_out_mean for one in own]).mean:.1f}",
                f"{max(one.nodes_out_max for one in own)}",
            ]
        )
    head = (
        "system",
        "trains",
        "all jobs",
        "interruptions",
        "saves every",
        "nodes taken out",
        "wrongly",
        "out, mean",
        "most",
    )
    return _table(head, rows)


def _causes(outcomes: Sequence[Outcome]) -> str:
    each = {system: mean_down(of_system(outcomes, system)) for system in SYSTEMS}
    rows = []
    for cause in dict.fromkeys(cause for found in each.values() for cause in found):
        cells = [cause]
        for system in SYSTEMS:
            stops, down = each[system].get(cause, (0.0, 0.0))
            cells += [f"{stops:.1f}", duration(down)]
        rows.append(cells)
    head = ["cause", *(f"{system}: {what}" for system in SYSTEMS for what in ("times", "until training"))]
    return _table(head, rows)


def _sources(sources: Mapping[str, tuple[float, str]]) -> str:
    return _table(("number", "value", "from"), [(n, f"{v:g}", s) for n, (v, s) in sources.items()])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead>\n<tbody>{lines}</tbody></table>"
