"""Simulated nodes from a YAML file: what `springtide up --simulate NODES.yaml` reads.

    nodes:                        # or the list itself
      - namePrefix: gpu-          # gpu-0 … gpu-15; or `name` for one node
        count: 16
        labels: {topology.kubernetes.io/zone: a}
        capacity: {cpu: 96, memory: 1Ti, nvidia.com/gpu: 8}
        taints: [{key: dedicated, value: training, effect: NoSchedule}]

`gpus: 8` is short for `capacity: {nvidia.com/gpu: 8}`; `allocatable` may differ from capacity. GPUs that pods
may share have names, in the register that HAMi's device plugin writes:

        gpus: {count: 8, sharers: 10, model: NVIDIA-A100, memory: 40Gi}

Called by `up`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from springtide.api.gpus import GPU, REGISTER, WHOLE
from springtide.api.labels import HOSTNAME, NODE_KIND
from springtide.api.meta import ObjectMeta
from springtide.api.nodes import Node, NodeSpec, NodeStatus, Taint
from springtide.api.quantity import is_quantity, to_int
from springtide.api.struct import decode

DEFAULT_CAPACITY = {"cpu": "16", "memory": "64Gi", "pods": "110"}
KNOWN = frozenset(
    ("name", "namePrefix", "count", "labels", "annotations", "capacity", "allocatable", "taints", "gpus")
)
MEBIBYTE = 2**20
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class InventoryError(ValueError):
    """A file of nodes that cannot be used; the text names file, entry, field and fix."""


def load_nodes(path: Path) -> list[Node]:
    """All nodes of the file. Raises InventoryError."""
    try:
        content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise InventoryError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InventoryError(f"{path}: not YAML: {error}") from None
    entries = content.get("nodes") if isinstance(content, Mapping) else content
    if not isinstance(entries, list) or not entries:
        raise InventoryError(f"{path}: must hold a list of nodes, at the top or under `nodes:`")
    nodes: dict[str, Node] = {}
    for index, entry in enumerate(entries):
        for node in _nodes(_Entry(f"{path}: nodes[{index}]", entry)):
            if node.metadata.name in nodes:
                raise InventoryError(f"{path}: nodes[{index}]: the name {node.metadata.name!r} is used twice")
            nodes[node.metadata.name] = node
    return list(nodes.values())


class _Entry:
    """One entry of the file, read field by field."""

    def __init__(self, where: str, fields: object, known: frozenset[str] = KNOWN) -> None:
        if not isinstance(fields, Mapping):
            raise InventoryError(f"{where}: must be an object with `name` or `namePrefix`, not {fields!r}")
        self.where = where
        self._fields = fields
        unknown = sorted(set(map(str, fields)) - known)
        if unknown:
            raise InventoryError(
                f"{where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )

    def get(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value = self._fields.get(name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            nouns = " or ".join(_NOUNS[one] for one in kinds)
            raise InventoryError(f"{self.where}.{name}: {value!r} must be a {nouns}")
        return value

    def texts(self, name: str) -> dict[str, str]:
        """A map of text; numbers and booleans of YAML become text."""
        values = self.get(name, Mapping, {})
        return {str(key): _text(value) for key, value in values.items()}

    def resources(self, name: str) -> dict[str, str]:
        """A map of quantities."""
        values = self.get(name, Mapping, {})
        for key, value in values.items():
            if not is_quantity(value):
                raise InventoryError(
                    f"{self.where}.{name}[{key}]: {value!r} is not a quantity such as 8, 500m or 64Gi"
                )
        return {str(key): str(value) for key, value in values.items()}


_NOUNS = {str: "text", int: "whole number", Mapping: "map", list: "list"}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nodes(entry: _Entry) -> Iterator[Node]:
    name, prefix = entry.get("name", str, ""), entry.get("namePrefix", str, "")
    count = entry.get("count", int, 1)
    if bool(name) == bool(prefix):
        raise InventoryError(f"{entry.where}: give either `name` (one node) or `namePrefix` (with `count`)")
    if count < 1 or (name and count != 1):
        raise InventoryError(
            f"{entry.where}.count: {count} must be at least 1, and needs `namePrefix` above 1"
        )
    capacity = DEFAULT_CAPACITY | entry.resources("capacity")
    gpus = _gpus(entry)
    if gpus.count:
        capacity[GPU] = str(gpus.count * gpus.sharers)
    allocatable = capacity | entry.resources("allocatable")
    taints = [_taint(entry, index, taint) for index, taint in enumerate(entry.get("taints", list, []))]
    for number in range(count):
        full = name or f"{prefix}{number}"
        yield Node(
            metadata=ObjectMeta(
                name=full,
                labels={HOSTNAME: full, NODE_KIND: "simulated", **entry.texts("labels")},
                annotations=gpus.register(full) | entry.texts("annotations"),
            ),
            spec=NodeSpec(taints=taints),
            status=NodeStatus(capacity=dict(capacity), allocatable=dict(allocatable)),
        )


@dataclass(frozen=True)
class _Gpus:
    """The GPUs of a node."""

    count: int
    sharers: int = 1
    model: str = ""
    memory: int = 0
    """MiB."""
    named: bool = False

    def register(self, node: str) -> dict[str, str]:
        """The annotation in which the node names them."""
        if not self.named:
            return {}
        entry = f"{self.sharers},{self.memory},{WHOLE},{self.model},0,true:"
        return {REGISTER: "".join(f"{node}-gpu-{index},{entry}" for index in range(self.count))}


def _gpus(entry: _Entry) -> _Gpus:
    given = entry.get("gpus", (int, Mapping), 0)
    if not isinstance(given, Mapping):
        return _Gpus(given)
    fields = _Entry(f"{entry.where}.gpus", given, frozenset(("count", "sharers", "model", "memory")))
    count, sharers = fields.get("count", int, 1), fields.get("sharers", int, 1)
    model = fields.get("model", str, "")
    if count < 1 or sharers < 1:
        raise InventoryError(f"{fields.where}: count and sharers must be at least 1")
    if set(model) & set(",:"):
        raise InventoryError(f"{fields.where}.model: {model!r} must not contain , or :")
    memory = given.get("memory", 0)
    if not is_quantity(memory):
        raise InventoryError(f"{fields.where}.memory: {memory!r} is not a quantity such as 40Gi")
    return _Gpus(count, sharers, model, to_int(memory) // MEBIBYTE, named=True)


def _taint(entry: _Entry, index: int, fields: object) -> Taint:
    where = f"{entry.where}.taints[{index}]"
    if not isinstance(fields, Mapping):
        raise InventoryError(f"{where}: must be an object with key, value and effect")
    try:
        taint = decode(Taint, dict(fields))
    except msgspec.ValidationError as error:
        raise InventoryError(f"{where}: {error}") from None
    if taint.effect not in EFFECTS:
        raise InventoryError(f"{where}.effect: {taint.effect!r} must be one of {', '.join(EFFECTS)}")
    return taint
