"""How objects are printed: `-o json|yaml|name`, or aligned columns. Data goes to stdout only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

TABLE, WIDE, JSON, YAML, NAME = "", "wide", "json", "yaml", "name"


def output_option(*formats: str) -> Callable[[Function], Function]:
    """`-o FORMAT`, restricted to what a command can do; "" (a table or text) when not given."""
    return click.option(
        "-o", "--output", type=click.Choice(formats), callback=_or_empty, help="Output format."
    )


def _or_empty(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    return value or ""


def print_data(value: Any, output: str) -> None:
    """Print plain data as JSON or YAML."""
    if output == JSON:
        import json

        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo(to_yaml(value), nl=False)


def print_objects(objects: Sequence[Mapping[str, Any]], output: str, *, as_list: bool) -> None:
    """Print raw API objects as JSON, YAML or names; `as_list` wraps them into a List."""
    if output == NAME:
        for raw in objects:
            click.echo(object_name(raw))
        return
    shown = [without_managed_fields(raw) for raw in objects]
    if as_list:
        print_data({"apiVersion": "v1", "kind": "List", "items": shown}, output)
    else:
        for raw in shown:
            print_data(raw, output)


def object_name(raw: Mapping[str, Any]) -> str:
    """`pod/web-0`, `trainjob.trainer.kubeflow.org/digits`: as kubectl prints it."""
    group, _, _ = str(raw.get("apiVersion", "")).rpartition("/")
    kind = str(raw.get("kind", "")).lower()
    metadata = raw.get("metadata") or {}
    name = metadata.get("name") or f"{metadata.get('generateName', '')}…"
    return f"{kind}.{group}/{name}" if group else f"{kind}/{name}"


def without_managed_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object without the bookkeeping of server-side apply, which hides everything else."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, Mapping) or "managedFields" not in metadata:
        return dict(raw)
    return {**raw, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def to_yaml(value: Any) -> str:
    """YAML in block style, keys in their order; text of several lines as a literal block."""
    import yaml  # late: it would be a sixth of the time `springtide version` takes

    class Dumper(yaml.CSafeDumper):
        pass

    def text(dumper: yaml.CSafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return dumped


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, with_header: bool = True) -> str:
    """Left-aligned columns three spaces apart, as kubectl's; no trailing blanks."""
    lines = [list(header), *rows] if with_header else list(rows)
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(len(header))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def dim(text: str) -> str:
    return click.style(text, dim=True)
