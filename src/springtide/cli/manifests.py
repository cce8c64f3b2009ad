"""Reads manifests: YAML files, folders and standard input into raw objects that know where they stood.

Called by `apply`, `delete -f` and `run -f`. Every error names file, document and line. Timestamps stay
text (JSON has none) and a key given twice is refused, as the API server does under strict validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from springtide.cli.errors import CliError

_SUFFIXES = (".yaml", ".yml", ".json")
_FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}


@dataclass(frozen=True)
class Manifest:
    """One object as written, and its place for messages: `jobs.yaml:2:14` is document 2, line 14."""

    raw: dict[str, Any]
    place: str

    @property
    def api_version(self) -> str:
        return str(self.raw["apiVersion"])

    @property
    def kind(self) -> str:
        return str(self.raw["kind"])

    @property
    def name(self) -> str:
        return str(self.raw["metadata"].get("name", ""))

    @property
    def namespace(self) -> str:
        return str(self.raw["metadata"].get("namespace", ""))


def read(source: str, stdin: TextIO) -> list[Manifest]:
    """All objects of a file, of a folder's files (not of its sub-folders) or of standard input (`-`).

    Namespaces and CRDs come first, because the others may need them; else the order is kept.
    """
    found = [manifest for name, text in _texts(source, stdin) for manifest in parse(text, name)]
    if not found:
        raise CliError(f"{source}: no objects in it", "a manifest has apiVersion, kind and metadata")
    return sorted(found, key=lambda manifest: _FIRST.get(manifest.kind, 2))


def parse(text: str, name: str) -> list[Manifest]:
    """The objects of one YAML (or JSON) text; `name` is what messages call it."""
    manifests: list[Manifest] = []
    for number, (value, line) in enumerate(list(_documents(text, name)), start=1):
        if value is not None:
            manifests += _objects(value, f"{name}:{number}:{line}")
    return manifests


def _texts(source: str, stdin: TextIO) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "stdin", stdin.read()
        return
    path = Path(source)
    if not path.exists():
        raise CliError(f"{source}: no such file or folder")
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
        if not files:
            raise CliError(f"{source}: no manifests in this folder", "files end in .yaml, .yml or .json")
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CliError(f"{file}: not UTF-8 text (byte {error.start})") from error


class _Loader(yaml.CSafeLoader):
    """Safe YAML whose timestamps stay text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _documents(text: str, name: str) -> Iterator[tuple[Any, int]]:
    """Each document's value and first line, in order; errors say where."""
    number = 1
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None, "check_node said so"
            _refuse_repeated_keys(node, f"{name}:{number}")
            yield loader.construct_document(node), node.start_mark.line + 1
            number += 1
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise CliError(
            f"{name}:{number}:{line}: not valid YAML: {error.problem}",
            "the mistake is often in the line above: indentation, a missing colon or quote",
        ) from error
    except yaml.YAMLError as error:
        raise CliError(f"{name}:{number}: not valid YAML: {error}") from error
    finally:
        loader.dispose()


def _refuse_repeated_keys(node: yaml.Node, place: str) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                first = lines[key.value]
                raise CliError(f"{place}:{line}: key {key.value!r} is given twice, first in line {first}")
            if isinstance(key.value, str) and key.tag != "tag:yaml.org,2002:merge":
                lines[key.value] = line
            _refuse_repeated_keys(value, place)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, place)


def _objects(value: Any, place: str) -> list[Manifest]:
    if not isinstance(value, dict):
        raise CliError(
            f"{place}: an object is a mapping, this is {_described(value)}",
            "a manifest begins with apiVersion:, kind: and metadata:",
        )
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), str) or not value[field]:
            raise CliError(f"{place}: field {field} is missing", f"every object says its {field}")
    if value["kind"] == "List" or (value["kind"].endswith("List") and isinstance(value.get("items"), list)):
        return [found for item in value.get("items") or [] for found in _objects(item, place)]
    if not isinstance(value.get("metadata"), dict):
        raise CliError(f"{place}: field metadata is missing", "metadata: has at least name:")
    return [Manifest(value, place)]


def _described(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), "something else")
