"""Rules that make sense only for a whole object: what a schema cannot say, as pure functions.

Called by server admission, by `apply` before anything is sent, and by plans that build objects. The
schema (`springtide.api.schema`) has the last word on types, lengths and enums; here are names, quantities,
references within the object, and fields that may not change. Kinds without rules of their own get those
of metadata alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

from springtide.api.core import Pod
from springtide.api.fielderrors import FieldError as FieldError
from springtide.api.fielderrors import invalid, required
from springtide.api.kueue import ClusterQueue, LocalQueue, Workload
from springtide.api.listtypes import ListMap, Rule
from springtide.api.meta import Object, ObjectMeta
from springtide.api.names import (
    label_fault,
    label_value_fault,
    qualified_fault,
    subdomain_fault,
)
from springtide.api.podrules import pod_spec_errors
from springtide.api.queuerules import (
    cluster_queue_errors,
    local_queue_errors,
    workload_errors,
    workload_update_errors,
)
from springtide.api.resources import resource_of
from springtide.api.schema import fields_of
from springtide.api.struct import Struct
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntime, TrainJob
from springtide.api.trainrules import runtime_errors, train_job_errors, train_job_update_errors

ANNOTATIONS_MAX_BYTES = 256 * 1024
_LABEL_NAMED = frozenset(("Namespace", "Service", "TrainJob"))
"""Kinds whose names become parts of host names, and so must be labels."""


def validate(obj: Object) -> list[FieldError]:
    """Everything that is wrong with an object, looked at alone; empty when nothing is."""
    return [*_metadata_errors(obj), *_own_errors(obj)]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """Everything that may not change from `old` to `new`; `validate(new)` is asked separately."""
    errors = list(_changed(new, old, ""))
    if isinstance(new, TrainJob) and isinstance(old, TrainJob):
        errors += train_job_update_errors(new, old)
    if isinstance(new, Workload) and isinstance(old, Workload):
        errors += workload_update_errors(new, old)
    return errors


def _own_errors(obj: Object) -> list[FieldError]:
    if isinstance(obj, Pod):
        return pod_spec_errors(obj.spec, "spec")
    if isinstance(obj, TrainJob):
        return train_job_errors(obj)
    if isinstance(obj, TrainingRuntime | ClusterTrainingRuntime):
        return runtime_errors(obj.spec)
    if isinstance(obj, Workload):
        return workload_errors(obj)
    if isinstance(obj, LocalQueue):
        return local_queue_errors(obj)
    if isinstance(obj, ClusterQueue):
        return cluster_queue_errors(obj)
    return []


def _metadata_errors(obj: Object) -> Iterator[FieldError]:
    metadata, found = obj.metadata, resource_of(type(obj))
    if not metadata.name and not metadata.generate_name:
        yield required("metadata.name", "name or generateName is required")
    fault_of: Callable[[str], str] = label_fault if found.kind in _LABEL_NAMED else subdomain_fault
    if metadata.name and not isinstance(obj, TrainJob) and (fault := fault_of(metadata.name)):
        yield invalid("metadata.name", metadata.name, fault)
    if metadata.namespace and (fault := label_fault(metadata.namespace)):
        yield invalid("metadata.namespace", metadata.namespace, fault)
    yield from _label_errors(metadata)


def _label_errors(metadata: ObjectMeta) -> Iterator[FieldError]:
    for key, value in metadata.labels.items():
        if fault := qualified_fault(key):
            yield invalid("metadata.labels", key, fault)
        if fault := label_value_fault(value):
            yield invalid("metadata.labels", value, fault)
    for key in metadata.annotations:
        if fault := qualified_fault(key.lower()):
            yield invalid("metadata.annotations", key, fault)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.annotations.items())
    if size > ANNOTATIONS_MAX_BYTES:
        yield invalid(
            "metadata.annotations",
            f"{size} bytes",
            f"must have at most {ANNOTATIONS_MAX_BYTES} bytes in total",
        )


def _changed(new: Struct, old: Struct, field: str) -> Iterator[FieldError]:
    """Fields marked immutable (`self == oldSelf`) that differ; as in CEL, only where both have a value."""
    hints = get_type_hints(type(new), include_extras=True)
    for info in fields_of(type(new)):
        before, after = getattr(old, info.name), getattr(new, info.name)
        if before is after or not before or not after:
            continue
        place = f"{field}.{info.encode_name}" if field else info.encode_name
        markers = get_args(hints[info.name])[1:]
        if any(isinstance(marker, Rule) and marker.cel == "self == oldSelf" for marker in markers):
            if before != after:
                yield invalid(place, _brief(after), "field is immutable")
        elif isinstance(after, Struct):
            yield from _changed(after, before, place)
        elif isinstance(after, list):
            yield from _changed_items(after, before, markers, place)


def _changed_items(
    new: list[Any], old: list[Any], markers: tuple[Any, ...], field: str
) -> Iterator[FieldError]:
    """Items of a list that is a map are compared with the old item of the same key."""
    by = next((marker.keys for marker in markers if isinstance(marker, ListMap)), ())
    if not by or not isinstance(new[0], Struct):
        return
    names = [next(info.name for info in fields_of(type(new[0])) if info.encode_name == key) for key in by]
    before = {tuple(getattr(item, name) for name in names): item for item in old}
    for index, item in enumerate(new):
        found = before.get(tuple(getattr(item, name) for name in names))
        if found is not None:
            yield from _changed(item, found, f"{field}[{index}]")


def _brief(value: object) -> object:
    return type(value).__name__ if isinstance(value, Struct | list) else value
