"""Writes `docs/reference/cli.md` from the command tree, so that it cannot say anything else than the program.

`python -m springtide.cli.reference --check` fails when the page is out of date (in `make check`);
`--write` writes it (in `make generate`).
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from springtide.cli.errors import EXIT_CODES
from springtide.cli.root import COMMANDS, root

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"

_ENVIRONMENT = {
    "KUBECONFIG": "Kubeconfig files, the first that exists is used; `--kubeconfig` goes before it.",
    "SPRINGTIDE_DATA_DIR": "Data folder of the platform; `~/.springtide` when unset.",
    "SPRINGTIDE_DEBUG": "When set, an error is shown with its stack trace.",
    "NO_COLOR": "When set, nothing is coloured.",
}

_STREAMS = """\
Data goes to stdout, messages and logs to stderr. The connection is chosen in this order: `--kubeconfig`,
`$KUBECONFIG`, the platform that runs on the data folder, `~/.kube/config`."""


def page() -> str:
    """The whole page."""
    context = click.Context(root, info_name="springtide", **root.context_settings)
    parts = [
        "# The `springtide` command",
        "Made from the program by `make generate`; do not edit.",
        _text(root),
        _STREAMS,
        "## Commands",
        _table(
            ["command", "what it does"], [[f"[`{n}`](#springtide-{n})", text] for n, text in COMMANDS.items()]
        ),
        "## Exit codes",
        _table(["code", "meaning"], [[str(code), meaning] for code, meaning in EXIT_CODES.items()]),
        "## Environment",
        _table(["variable", "effect"], [[f"`{name}`", effect] for name, effect in _ENVIRONMENT.items()]),
        "## Options of every command",
        _options(root, context),
    ]
    parts += [section for name in COMMANDS for section in _command(name, context)]
    return "\n\n".join(parts) + "\n"


def _command(name: str, parent: click.Context) -> list[str]:
    command = root.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    return [
        f"## springtide {name}",
        f"```\nspringtide {name} {usage}\n```",
        _text(command),
        _options(command, context),
    ]


def _link(name: str) -> str:
    return f"[`{name}`](#springtide-{name})"


def _text(command: click.Command) -> str:
    """The help text; what click keeps as written (`\\b`) becomes a code block."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        "```console\n" + paragraph.removeprefix("\b\n") + "\n```" if paragraph.startswith("\b") else paragraph
        for paragraph in paragraphs
    )


def _options(command: click.Command, context: click.Context) -> str:
    records = [
        found
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and (found := parameter.get_help_record(context)) is not None
    ]
    return _table(["option", "meaning"], [[f"`{flags}`", _cell(text)] for flags, text in records])


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """`--check` or `--write`; returns the exit code."""
    wanted = page()
    if arguments == ["--write"]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(wanted)
        return 0
    if PAGE.exists() and PAGE.read_text() == wanted:
        return 0
    click.echo(f"{PAGE} is out of date\n\nhint: make generate", err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
