"""CustomResourceDefinitions of the kinds a Kubernetes API server does not know, made from the types.

`springtide up` installs `bundled()` into the embedded server and administrators apply `deploy/crds/`
on a real cluster; both are the same objects. `python -m springtide.api.crds --write` brings the
generated files up to date, the schemas of built-in kinds included, and `--check` (part of `make check`)
fails when they are not.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

import springtide.api  # registers all kinds
from springtide.api.apiextensions import (
    CustomResourceColumnDefinition,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion,
    CustomResourceSubresources,
    CustomResourceValidation,
)
from springtide.api.meta import Object, ObjectMeta
from springtide.api.resources import Resource, registered, resource_of
from springtide.api.schema import BUILTIN, definitions, structural
from springtide.api.struct import decode, encode

BUNDLE = "crds.json"
"""Package data: all definitions, one a line; quicker to load at each start than YAML."""
DEPLOY = Path("deploy") / "crds"
COMMAND = "python -m springtide.api.crds --write"


def custom_kinds() -> tuple[type[Object], ...]:
    """The kinds that need a CustomResourceDefinition."""
    return tuple(kind for kind in registered() if not resource_of(kind).builtin)


@cache
def bundled() -> tuple[CustomResourceDefinition, ...]:
    """The definitions shipped with this version, in the order of their names."""
    lines = resources.files(springtide.api).joinpath(BUNDLE).read_bytes().splitlines()
    return tuple(decode(CustomResourceDefinition, line) for line in lines)


def crd_of(kind: type[Object]) -> CustomResourceDefinition:
    """The definition of a custom kind, schema and printer columns included."""
    found = resource_of(kind)
    return CustomResourceDefinition(
        metadata=ObjectMeta(name=f"{found.plural}.{found.group}"),
        spec=CustomResourceDefinitionSpec(
            group=found.group,
            names=CustomResourceDefinitionNames(
                plural=found.plural,
                singular=found.singular,
                kind=found.kind,
                list_kind=f"{found.kind}List",
                short_names=list(found.short_names),
                categories=list(found.categories),
            ),
            scope="Namespaced" if found.namespaced else "Cluster",
            versions=[_version(kind, found)],
        ),
    )


def _version(kind: type[Object], found: Resource) -> CustomResourceDefinitionVersion:
    return CustomResourceDefinitionVersion(
        name=found.version,
        served=True,
        storage=True,
        schema=CustomResourceValidation(open_apiv3_schema=structural(kind)),
        subresources=CustomResourceSubresources(status={}) if found.status else None,
        additional_printer_columns=[
            CustomResourceColumnDefinition(
                name=column.name,
                type=column.type,
                json_path=column.json_path,
                description=column.description,
                priority=column.priority,
            )
            for column in found.columns
        ],
    )


def _manifest(kind: type[Object]) -> dict[str, Any]:
    manifest = encode(crd_of(kind))
    manifest.pop("status", None)
    return manifest


def _files() -> dict[Path, bytes]:
    """What every generated file should contain."""
    import yaml

    manifests = sorted((_manifest(kind) for kind in custom_kinds()), key=lambda crd: crd["metadata"]["name"])
    root = Path(__file__).parents[3]
    built_in = definitions(kind for kind in registered() if resource_of(kind).builtin)
    files = {
        Path(__file__).with_name(BUNDLE): b"".join(msgspec.json.encode(crd) + b"\n" for crd in manifests),
        Path(__file__).with_name(BUILTIN): msgspec.json.format(msgspec.json.encode(built_in)) + b"\n",
    }
    for crd in manifests:
        text = yaml.dump(crd, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)
        head = f"# Generated from springtide.api by `{COMMAND}`; do not edit.\n"
        files[root / DEPLOY / f"{crd['metadata']['name']}.yaml"] = (head + text).encode()
    return files


def _stale(files: dict[Path, bytes]) -> list[Path]:
    return [path for path, wanted in files.items() if not path.is_file() or path.read_bytes() != wanted]


def main(arguments: list[str] | None = None) -> int:
    """Write the generated files, or say which are out of date."""
    parser = argparse.ArgumentParser(prog="python -m springtide.api.crds", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the generated files")
    mode.add_argument("--check", action="store_true", help="fail when a generated file is out of date")
    options = parser.parse_args(arguments)
    files = _files()
    stale = _stale(files)
    if options.check:
        for path in stale:
            sys.stderr.write(f"{path} is out of date\n")
        if stale:
            sys.stderr.write(f"\nhint: run `{COMMAND}`\n")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
