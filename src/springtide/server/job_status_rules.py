"""Rules of a Job's status: what whoever works on jobs, ours or another by `managedBy`, may not write.

Called by `batch_rules` when a status changes. Most rules hold only for the part that changes, because a user
may have changed the spec since and the controller needs a moment to follow. Rules and messages:
kube-apiserver, `pkg/apis/batch/validation` and `pkg/registry/batch/job`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from springtide.api.indexes import BadIndexes, parse_indexes, read_indexes
from springtide.server.job_spec_rules import INDEXED, omitted
from springtide.server.pod_template_rules import nonnegative
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, required

Json = dict[str, Any]

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")
_FIELD = "status"


def validate_job_status(new: Json, old: Json) -> list[FieldError]:
    """What is wrong with the status of `new`, as a change from `old`."""
    found = _Change(new, old)
    return [
        *nonnegative(found.status, _FIELD, *_COUNTS),
        *_uncounted_errors(found.status.get("uncountedTerminatedPods") or {}),
        *_end_errors(found),
        *_time_errors(found),
        *_finished_errors(found),
        *_index_errors(found),
        *_success_errors(found),
        *_history_errors(found),
    ]


class _Change:
    """Both states of a status, and which parts differ."""

    def __init__(self, new: Json, old: Json) -> None:
        self.spec: Json = new.get("spec") or {}
        self.status: Json = new.get("status") or {}
        self.before: Json = old.get("status") or {}
        self.indexed = self.spec.get("completionMode") == INDEXED

    def is_true(self, type_: str) -> bool:
        return _has(self.status, type_, "True")

    def was_true(self, type_: str) -> bool:
        return _has(self.before, type_, "True")

    @property
    def finished(self) -> bool:
        return self.is_true("Complete") or self.is_true("Failed")

    @property
    def was_finished(self) -> bool:
        return self.was_true("Complete") or self.was_true("Failed")

    def turns(self, *types: str) -> bool:
        """Whether one of these conditions becomes true, or stops to be."""
        return any(self.is_true(one) != self.was_true(one) for one in types)

    def changes(self, *names: str) -> bool:
        return any((self.status.get(name) or None) != (self.before.get(name) or None) for name in names)


def _has(status: Json, type_: str, value: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(one.get("type") == type_ and one.get("status") == value for one in conditions)


def _uncounted_errors(uncounted: Json) -> Iterator[FieldError]:
    seen: set[str] = set()
    for part in ("succeeded", "failed"):
        for index, uid in enumerate(uncounted.get(part) or ()):
            field = f"{_FIELD}.uncountedTerminatedPods.{part}[{index}]"
            if not uid:
                yield bad_value(field, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(field, uid)
            seen.add(uid)


def _end_errors(found: _Change) -> Iterator[FieldError]:
    """Ends that exclude each other, and ends without the announcement that comes first."""
    field = f"{_FIELD}.conditions"
    complete, failed = found.is_true("Complete"), found.is_true("Failed")
    announced = found.is_true("FailureTarget")
    if complete and failed and found.turns("Complete", "Failed"):
        yield omitted(field, "cannot set Complete=True and Failed=true conditions")
    if complete and announced and found.turns("Complete", "FailureTarget"):
        yield omitted(field, "cannot set Complete=True and FailureTarget=true conditions")
    if failed and not announced and (found.turns("Failed") or found.changes("failedIndexes")):
        yield omitted(field, "cannot set Failed=True condition without the FailureTarget=true condition")
    succeeded = found.is_true("SuccessCriteriaMet")
    if complete and not succeeded and found.turns("Complete", "SuccessCriteriaMet"):
        rule = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        yield omitted(field, rule)


def _time_errors(found: _Change) -> Iterator[FieldError]:
    field, complete = f"{_FIELD}.completionTime", found.is_true("Complete")
    started, ended = found.status.get("startTime"), found.status.get("completionTime")
    if found.turns("Complete") or found.changes("completionTime"):
        if ended and not complete:
            yield bad_value(
                field, ended, "cannot set completionTime when there is no Complete=True condition"
            )
        if not ended and complete:
            yield required(field, "completionTime is required for Complete jobs")
    moved = found.changes("startTime", "completionTime")
    if moved and started and ended and datetime.fromisoformat(ended) < datetime.fromisoformat(started):
        yield bad_value(field, ended, "must be equal to or after `startTime`")


def _finished_errors(found: _Change) -> Iterator[FieldError]:
    if not found.finished:
        return
    status, ends = found.status, found.finished != found.was_finished
    active, terminating = status.get("active") or 0, status.get("terminating") or 0
    if active > 0 and (ends or found.changes("active")):
        yield bad_value(f"{_FIELD}.active", active, "active>0 is invalid for finished job")
    never_started = found.spec.get("suspend") and found.spec.get("completions") == 0
    if not status.get("startTime") and (ends or found.changes("startTime")) and not never_started:
        yield required(f"{_FIELD}.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if any(uncounted.values()) and (ends or found.changes("uncountedTerminatedPods")):
        field = f"{_FIELD}.uncountedTerminatedPods"
        yield bad_value(field, uncounted, "must be empty for finished job")
    if terminating > 0 and (ends or found.changes("terminating")):
        yield bad_value(f"{_FIELD}.terminating", terminating, "terminating>0 is invalid for finished job")


def _index_errors(found: _Change) -> Iterator[FieldError]:
    completed, failed = found.status.get("completedIndexes") or "", found.status.get("failedIndexes")
    completions = found.spec.get("completions")
    new_completed, new_failed = found.changes("completedIndexes"), found.changes("failedIndexes")
    if new_completed and completions is not None:
        yield from _form_errors("completedIndexes", completed, completions)
    per_index = found.spec.get("backoffLimitPerIndex") is not None
    if new_failed and completions is not None and per_index and failed is not None:
        yield from _form_errors("failedIndexes", failed, completions)
    if new_completed and completed and not found.indexed:
        rule = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield bad_value(f"{_FIELD}.completedIndexes", completed, rule)
    if new_failed and failed is not None and not per_index:
        rule = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield bad_value(f"{_FIELD}.failedIndexes", failed, rule)
    if (new_completed or new_failed) and failed and completions is not None:
        both = read_indexes(completed, completions).overlap(read_indexes(failed, completions))
        if both:
            rule = f"failedIndexes and completedIndexes overlap at index: {next(iter(both))}"
            yield bad_value(f"{_FIELD}.failedIndexes", failed, rule)


def _form_errors(name: str, text: str, completions: int) -> Iterator[FieldError]:
    try:
        parse_indexes(text, completions)
    except BadIndexes as error:
        yield bad_value(f"{_FIELD}.{name}", text, f"error parsing {name}: {error}")


def _success_errors(found: _Change) -> Iterator[FieldError]:
    field, status = f"{_FIELD}.conditions", found.status
    ready, active = status.get("ready") or 0, status.get("active") or 0
    if ready > active and found.changes("ready", "active"):
        yield bad_value(f"{_FIELD}.ready", ready, "cannot set more ready pods than active")
    met = found.is_true("SuccessCriteriaMet")
    if met and found.is_true("Failed"):
        yield omitted(field, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and found.is_true("FailureTarget"):
        yield omitted(field, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if found.spec.get("successPolicy") is not None and not met and found.is_true("Complete"):
        rule = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield omitted(field, rule)


def _history_errors(found: _Change) -> Iterator[FieldError]:
    """What was said cannot be unsaid."""
    status, before, field = found.status, found.before, f"{_FIELD}.conditions"
    for type_ in _TERMINAL:
        if found.was_true(type_) and not found.is_true(type_):
            yield omitted(field, f"cannot disable the terminal {type_}=True condition")
    scales = found.indexed and found.spec.get("completions") == found.spec.get("parallelism")
    for name in ("failed",) if scales else ("failed", "succeeded"):
        if (status.get(name) or 0) < (before.get(name) or 0):
            yield bad_value(f"{_FIELD}.{name}", status.get(name) or 0, f"cannot decrease the {name} counter")
    if status.get("completionTime") and before.get("completionTime") and found.changes("completionTime"):
        yield bad_value(f"{_FIELD}.completionTime", status["completionTime"], "field is immutable")
    resumes = found.was_true("Suspended") and _has(status, "Suspended", "False")
    may_restart = resumes or found.spec.get("suspend")
    if before.get("startTime") and found.changes("startTime") and not may_restart:
        rule = "field is immutable for unsuspended job once set"
        yield bad_value(f"{_FIELD}.startTime", status.get("startTime"), rule)
    if found.was_true("SuccessCriteriaMet") and not found.is_true("SuccessCriteriaMet"):
        yield omitted(field, "cannot disable the SuccessCriteriaMet=True condition")
    late = found.is_true("SuccessCriteriaMet") and not found.was_true("SuccessCriteriaMet")
    if late and found.was_true("Complete"):
        rule = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield omitted(field, rule)
