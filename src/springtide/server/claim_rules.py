"""Rules of claims for storage and of volumes, on their own and inside of pods and StatefulSets.

Called by `storage_rules` and `volume_rules`. Rules and messages: Kubernetes' core validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from springtide.api.names import subdomain_fault
from springtide.api.quantity import parse
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_selector_errors
from springtide.server.status import bad_value, forbidden_field, required, unsupported

Json = dict[str, Any]

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_POSITIVE = "must be greater than zero"


def claim_spec_errors(spec: Json, field: str) -> Iterator[FieldError]:
    """Faults of what a claim asks for."""
    yield from access_mode_errors(spec, field, "at least 1 access mode is required")
    if (selector := spec.get("selector")) is not None:
        yield from label_selector_errors(selector, f"{field}.selector")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        yield required(f"{field}.resources[storage]")
    elif parse(size) <= 0:
        yield bad_value(f"{field}.resources[storage]", str(size), _POSITIVE)
    name = spec.get("storageClassName")
    if name and (fault := subdomain_fault(name)):
        yield bad_value(f"{field}.storageClassName", name, fault)
    yield from volume_mode_errors(spec, field)
    if (source := spec.get("dataSource")) is not None:
        yield from _source_errors(source, f"{field}.dataSource")


def access_mode_errors(spec: Json, field: str, missing: str) -> Iterator[FieldError]:
    """How a volume may be mounted; one that is for a single pod is for nobody else."""
    modes = spec.get("accessModes") or []
    if not modes:
        yield required(f"{field}.accessModes", missing)
    for index, mode in enumerate(modes):
        if mode not in _MODES:
            place = (
                f"{field}.accessModes"
                if missing.startswith("at least 1")
                else f"{field}.accessModes[{index}]"
            )
            yield unsupported(place, mode, _MODES)
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        rule = "may not use ReadWriteOncePod with other access modes"
        yield forbidden_field(f"{field}.accessModes", rule)


def volume_mode_errors(spec: Json, field: str) -> Iterator[FieldError]:
    """A file system or a block device."""
    mode = spec.get("volumeMode")
    if mode is not None and mode not in _VOLUME_MODES:
        yield unsupported(f"{field}.volumeMode", mode, _VOLUME_MODES)


def _source_errors(source: Json, field: str) -> Iterator[FieldError]:
    for part in ("name", "kind"):
        if not source.get(part):
            yield required(f"{field}.{part}")
    if not source.get("apiGroup") and source.get("kind") not in ("PersistentVolumeClaim", "", None):
        yield bad_value(
            field, source["kind"], "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        )
