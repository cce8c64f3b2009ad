"""Makes `protobuf_table.json`: which field number of Kubernetes' protobuf is which JSON field, of what type.

    python -m springtide.server.protobuf_table KUBERNETES > src/springtide/server/protobuf_table.json

reads the struct tags of a Kubernetes source tree (`staging/src/k8s.io/api` and `apimachinery`) and keeps the
facts in them: names, numbers, types, and whether a field is a pointer, so that its zero says something.
Nothing at run time needs this file or that tree; `protobuf` reads the table.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = list[Any]
"""JSON name (empty: the message's own fields stand in its place), type, shape, pointer (0 or 1)."""

_FIELD = re.compile(r"^\s+(?:(\w+)\s+)?([\w.*\[\]]+)\s+`json:\"([^\",]*)[^`]*protobuf:\"\w+,(\d+),")
_STRUCT = re.compile(r"^type (\w+) struct \{")
_NAMED = re.compile(r"^type (\w+) ([\w.*\[\]]+)\s*(?://.*)?$")
_IMPORTED = {"metav1": "meta/v1", "v1": "core/v1", "corev1": "core/v1", "apiv1": "core/v1"}
_SCALARS = {
    "string": "string", "bool": "bool", "byte": "int", "int": "int", "int32": "int", "int64": "int",
    "uint8": "int", "uint32": "int", "uint64": "int", "float64": "double", "[]byte": "bytes",
    "resource.Quantity": "Quantity", "intstr.IntOrString": "IntOrString", "runtime.RawExtension": "Raw",
    "types.UID": "string", "types.NodeName": "string", "runtime.Object": "Raw",
    "meta/v1.Time": "Time", "meta/v1.MicroTime": "MicroTime", "meta/v1.Duration": "Duration",
    "meta/v1.FieldsV1": "FieldsV1",
}  # fmt: skip
_VERSIONS = re.compile(r"v\d+")
_ROOT_MARK = "meta/v1.TypeMeta"
_NO_KINDS = ("List", "Options")
_DELETE_OPTIONS = "DeleteOptions"
"""They come in the version of the kind they delete: known without one."""


def main() -> None:
    """Print the table of the tree given on the command line."""
    source = Path(sys.argv[1]) / "staging" / "src" / "k8s.io"
    structs: dict[str, dict[str, Row]] = {}
    named: dict[str, str] = {}
    for package, file in _packages(source):
        _read(package, file.read_text(), structs, named)
    messages = {name: _resolved(rows, structs, named) for name, rows in structs.items()}
    roots = {name for name, rows in structs.items() if "" in rows and not name.endswith(_NO_KINDS)}
    kinds = {found: name for name in roots if (found := _kind(name))}
    kinds[_DELETE_OPTIONS] = "meta/v1.DeleteOptions"
    wanted = _reachable(set(kinds.values()), messages)
    table = {"kinds": kinds, "messages": {name: messages[name] for name in wanted}}
    json.dump(table, sys.stdout, separators=(",", ":"), sort_keys=True)


def _packages(source: Path) -> Iterator[tuple[str, Path]]:
    """Each versioned package and its types: `apps/v1` and so on."""
    yield "meta/v1", source / "apimachinery/pkg/apis/meta/v1/types.go"
    yield "meta/v1", source / "apimachinery/pkg/apis/meta/v1/duration.go"
    for file in sorted((source / "api").glob("*/*/types.go")):
        if _VERSIONS.fullmatch(file.parent.name):
            yield f"{file.parent.parent.name}/{file.parent.name}", file


def _read(package: str, text: str, structs: dict[str, dict[str, Row]], named: dict[str, str]) -> None:
    """Take in the structs and the named types of one file."""
    rows: dict[str, Row] | None = None
    for line in text.splitlines():
        if found := _STRUCT.match(line):
            rows = structs.setdefault(f"{package}.{found[1]}", {})
        elif line.startswith("}"):
            rows = None
        elif rows is not None:
            if found := _FIELD.match(line):
                rows[found[4]] = [found[3], _qualified(package, found[2]), "one", 0]
            elif "metav1.TypeMeta" in line:
                rows.setdefault("", ["", _ROOT_MARK, "one", 0])
        elif found := _NAMED.match(line):
            named[f"{package}.{found[1]}"] = _qualified(package, found[2])


def _qualified(package: str, go_type: str) -> str:
    """The type with its package: `*metav1.Time` is `*meta/v1.Time`, `[]PodIP` is `[]core/v1.PodIP`."""
    mark, name = re.fullmatch(r"([*\[\]]*(?:map\[[\w.]+\][\[\]]*)?)([\w.]+)", go_type).groups()  # type: ignore[union-attr]
    if f"{mark}{name}" in _SCALARS or name in _SCALARS:
        return f"{mark}{name}"
    prefix, dot, rest = name.partition(".")
    if not dot:
        return f"{mark}{package}.{name}"
    return f"{mark}{_IMPORTED.get(prefix, prefix)}.{rest}"


def _resolved(rows: dict[str, Row], structs: dict[str, Any], named: dict[str, str]) -> dict[str, Row]:
    """Types down to scalars and messages, with the shape taken apart."""
    return {
        number: [name, *_shape(go_type, structs, named)]
        for number, (name, go_type, _, _) in rows.items()
        if number
    }


def _shape(go_type: str, structs: dict[str, Any], named: dict[str, str]) -> tuple[str, str, int]:
    if go_type in _SCALARS:
        return _SCALARS[go_type], "one", 0
    if go_type.startswith("*"):
        inner, shape, _ = _shape(go_type[1:], structs, named)
        return inner, shape, 1
    if go_type.startswith("[]"):
        return _shape(go_type[2:], structs, named)[0], "list", 0
    if go_type.startswith("map["):
        inner, shape, _ = _shape(go_type.partition("]")[2], structs, named)
        return inner, "map" if shape == "one" else "map of lists", 0
    if go_type in named and go_type not in structs:
        inner, shape, pointer = _shape(named[go_type], structs, named)
        return (inner, "items", pointer) if shape == "list" else (inner, shape, pointer)
    return go_type, "one", 0


def _kind(name: str) -> str:
    """`apps/v1 Deployment` for a message of that kind, as envelopes name it; empty for groups not served."""
    package, _, kind = name.rpartition(".")
    group, _, version = package.partition("/")
    if group not in _GROUPS:
        return ""
    return f"{_GROUPS[group]}/{version} {kind}".removeprefix("/")


_GROUPS = {
    "core": "",
    **{name: name for name in ("apps", "autoscaling", "batch", "policy")},
    **{
        name: f"{name}.k8s.io"
        for name in (
            "authentication", "authorization", "certificates", "coordination", "discovery", "events",
            "networking", "node", "resource", "scheduling", "storage",
        )
    },
    "rbac": "rbac.authorization.k8s.io",
}  # fmt: skip


def _reachable(roots: set[str], messages: dict[str, dict[str, Row]]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [row[1] for row in messages[name].values() if row[1] in messages]
    return found


if __name__ == "__main__":
    main()
