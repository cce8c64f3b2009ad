"""Strategies of batch/v1: Job and CronJob. Found by `admission`.

Defaults, rules, what may change and what is warned of are those of the Kubernetes API reference and of
kube-apiserver (`pkg/apis/batch`, `pkg/registry/batch`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api import cron, labels
from springtide.api.names import label_fault
from springtide.server.context import Context
from springtide.server.job_spec_rules import (
    INDEXED,
    MANY_COMPLETIONS,
    MANY_PODS_AT_ONCE,
    NON_INDEXED,
    validate_job_spec,
)
from springtide.server.job_status_rules import validate_job_status
from springtide.server.pod_template_rules import (
    default_template,
    nonnegative,
    parsed_selector,
    selector_errors,
)
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, invalid, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_GROUP = "batch"
_BACKOFF_LIMIT = 6
_NO_LIMIT = 2**31 - 1
_LONGEST_CRON_JOB_NAME = 52
_POLICIES = ("Allow", "Forbid", "Replace")
_PART_OF_ZONE = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")
_JOB_LABELS = (labels.JOB_NAME_LEGACY, labels.JOB_NAME)
_UID_LABELS = (labels.CONTROLLER_UID_LEGACY, labels.CONTROLLER_UID)
_IMMUTABLE = "field is immutable"
_NEVER_CHANGES = (
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")
_NAME_WARNING = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
    "a DNS label is recommended: [{}]"
)
_HUGE_WARNING = (
    "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
    "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)


class JobStrategy(Strategy):
    """batch/v1 Job."""

    selectable_fields = {"status.successful": "status.succeeded"}
    default_propagation = "Orphan"

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec)
        _default_job(spec)
        _default_patterns(spec)
        _take_labels(obj)

    def before_create(self, obj: Json, context: Context) -> None:
        """Make the selector and the labels that go with it; nothing of a status is the user's.

        A Job in a queue begins suspended, as Kueue's own admission has it: no pod is made before its turn.
        """
        if (obj["metadata"].get("labels") or {}).get(labels.QUEUE_NAME):
            obj["spec"]["suspend"] = True
        if not obj["spec"]["manualSelector"]:
            _generate_selector(obj)
        _take_labels(obj)
        obj["status"] = {}
        errors = _selector_errors(obj)
        if errors:
            raise invalid(_GROUP, "Job", obj["metadata"]["name"], errors)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return [*validate_job_spec(obj["spec"], "spec"), *_host_name_errors(obj)]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        errors: list[FieldError] = []
        if new["spec"] != old["spec"]:
            errors += [*_selector_errors(new), *_spec_change_errors(new["spec"], old)]
        if (new.get("status") or {}) != (old.get("status") or {}):
            errors += validate_job_status(new, old)
        return errors

    def warn(self, obj: Json) -> Sequence[str]:
        return [*_name_warnings(obj), *_size_warnings(obj["spec"], "spec")]


class CronJobStrategy(Strategy):
    """batch/v1 CronJob."""

    default_propagation = "Orphan"

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
        for name, value in (
            ("suspend", False),
            ("successfulJobsHistoryLimit", 3),
            ("failedJobsHistoryLimit", 1),
        ):
            if spec.get(name) is None:
                spec[name] = value
        template = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
        default_template(template)
        _default_patterns(template)

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {}
        name = obj["metadata"]["name"]
        errors = list(_schedule_errors(obj["spec"], {}))
        if len(name) > _LONGEST_CRON_JOB_NAME:
            rule = f"must be no more than {_LONGEST_CRON_JOB_NAME} characters"
            errors.append(bad_value("metadata.name", name, rule))
        if errors:
            raise invalid(_GROUP, "CronJob", name, errors)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec, template = obj["spec"], obj["spec"]["jobTemplate"]["spec"]
        errors: list[FieldError] = []
        if not spec.get("schedule"):
            errors.append(required("spec.schedule"))
        errors += nonnegative(
            spec,
            "spec",
            "startingDeadlineSeconds",
            "successfulJobsHistoryLimit",
            "failedJobsHistoryLimit",
        )
        if spec["concurrencyPolicy"] not in _POLICIES:
            errors.append(unsupported("spec.concurrencyPolicy", spec["concurrencyPolicy"], _POLICIES))
        errors += validate_job_spec(template, "spec.jobTemplate.spec")
        if template.get("selector") is not None:
            rule = "`selector` will be auto-generated"
            errors.append(bad_value("spec.jobTemplate.spec.selector", template["selector"], rule))
        if template.get("manualSelector"):
            errors.append(unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return list(_schedule_errors(new["spec"], old["spec"])) if new["spec"] != old["spec"] else ()

    def warn(self, obj: Json) -> Sequence[str]:
        field = "spec.jobTemplate.spec"
        warnings = [*_name_warnings(obj), *_size_warnings(obj["spec"]["jobTemplate"]["spec"], field)]
        if "TZ" in obj["spec"].get("schedule", ""):
            warnings.append("cannot use TZ or CRON_TZ in spec.schedule, use timeZone instead")
        return warnings


# Defaults


def _default_job(spec: Json) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    per_index, policy = spec.get("backoffLimitPerIndex"), spec.get("podFailurePolicy")
    for name, value in (
        ("parallelism", 1),
        ("backoffLimit", _BACKOFF_LIMIT if per_index is None else _NO_LIMIT),
        ("completionMode", NON_INDEXED),
        ("suspend", False),
        ("podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed"),
        ("manualSelector", False),
    ):
        if spec.get(name) is None:
            spec[name] = value


def _default_patterns(spec: Json) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def _take_labels(obj: Json) -> None:
    """A job without labels has those of its pods."""
    of_pods = obj["spec"]["template"]["metadata"].get("labels")
    if of_pods and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(of_pods)


def _generate_selector(obj: Json) -> None:
    """The labels by which the pods of this job, and of no other, are found. What the user wrote stays."""
    metadata, spec = obj["metadata"], obj["spec"]
    template = spec["template"]
    of_pods = {**_job_labels(metadata), **(template["metadata"].get("labels") or {})}
    spec["template"] = {**template, "metadata": {**template["metadata"], "labels": of_pods}}
    selector = spec.get("selector") or {}
    matched = {labels.CONTROLLER_UID: metadata["uid"], **(selector.get("matchLabels") or {})}
    spec["selector"] = {**selector, "matchLabels": matched}


def _job_labels(metadata: Json) -> dict[str, str]:
    uid, name = str(metadata["uid"]), str(metadata["name"])
    return dict(zip((*_UID_LABELS, *_JOB_LABELS), (uid, uid, name, name), strict=True))


# Rules


def _selector_errors(obj: Json) -> list[FieldError]:
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("selector") is None:
        return [required("spec.selector")]
    of_pods = spec["template"]["metadata"].get("labels") or {}
    selector = parsed_selector(spec)
    errors: list[FieldError] = []
    if not spec.get("manualSelector"):
        expected = _job_labels(metadata)
        errors += _expected_label_errors(of_pods, expected)
        if selector is not None and not selector.matches(expected):
            errors.append(bad_value("spec.selector", spec["selector"], "`selector` not auto-generated"))
    errors += [one for one in selector_errors(spec, "spec", "Job") if "empty selector" not in one.message]
    if selector is not None and not selector.matches(of_pods):
        rule = "`selector` does not match template `labels`"
        errors.append(bad_value("spec.template.metadata.labels", of_pods, rule))
    return errors


def _expected_label_errors(found: Json, expected: Json) -> Iterator[FieldError]:
    for key, value in expected.items():
        field, rule = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in found:
            yield required(field, rule)
        elif found[key] != value:
            yield bad_value(field, found[key], rule)


def _host_name_errors(obj: Json) -> Iterator[FieldError]:
    """The longest host name of an indexed job's pods must be one."""
    spec, name = obj["spec"], obj["metadata"].get("name", "")
    if spec.get("completionMode") == INDEXED and (spec.get("completions") or 0) > 0:
        longest = f"{name}-{spec['completions'] - 1}"
        if label_fault(longest):
            rule = f"will not able to create pod with invalid DNS label: {longest}"
            yield bad_value("metadata.name", name, rule)


def _spec_change_errors(new: Json, old: Json) -> Iterator[FieldError]:
    before = old["spec"]
    if new.get("completions") != before.get("completions"):
        if new.get("completionMode") != INDEXED:
            yield bad_value("spec.completions", new.get("completions"), _IMMUTABLE)
        elif new.get("completions") is not None and new["completions"] != new.get("parallelism"):
            rule = "can only be modified in tandem with spec.parallelism"
            yield bad_value("spec.completions", new["completions"], rule)
    if new.get("selector") != before.get("selector"):
        yield bad_value("spec.selector", new.get("selector"), _IMMUTABLE)
    yield from _template_change_errors(new["template"], old)
    for name in _NEVER_CHANGES:
        if new.get(name) != before.get(name):
            yield bad_value(f"spec.{name}", new.get(name), _IMMUTABLE)


def _template_change_errors(template: Json, old: Json) -> Iterator[FieldError]:
    """While a job is suspended and has no pods, where they may run and what they need may change."""
    before = old["spec"]["template"]
    if not _is_at_rest(old):
        if template != before:
            yield bad_value("spec.template", template, _IMMUTABLE)
    elif _without_directives(template["spec"]) != _without_directives(before["spec"]):
        yield bad_value("spec.template.spec", template["spec"], _IMMUTABLE)


def _is_at_rest(job: Json) -> bool:
    status = job.get("status") or {}
    conditions = status.get("conditions") or ()
    suspended = any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions)
    return (
        bool(job["spec"].get("suspend"))
        and (not status.get("startTime") or suspended)
        and not status.get("active")
    )


def _without_directives(pod: Json) -> Json:
    """A pod spec without what may change while its job is suspended."""
    rest = {key: value for key, value in pod.items() if key not in _DIRECTIVES}
    affinity = {key: value for key, value in (pod.get("affinity") or {}).items() if key != "nodeAffinity"}
    rest.pop("affinity", None)
    if affinity:
        rest["affinity"] = affinity
    for part in ("containers", "initContainers"):
        if part in rest:
            rest[part] = [
                {key: value for key, value in one.items() if key != "resources"} for one in rest[part]
            ]
    return rest


def _schedule_errors(spec: Json, old: Json) -> Iterator[FieldError]:
    schedule, zone, field = spec.get("schedule", ""), spec.get("timeZone"), "spec.schedule"
    try:
        if schedule:
            cron.parse(schedule)
    except cron.BadSchedule as error:
        yield bad_value(field, schedule, str(error))
    except cron.UnknownZone as error:
        yield bad_value(field, schedule, f"provided bad location: {error}")
    if "TZ" in schedule and "TZ" not in old.get("schedule", ""):
        yield bad_value(field, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif "TZ" in schedule and zone is not None:
        rule = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        yield bad_value(field, schedule, rule)
    if zone is not None and zone != old.get("timeZone"):
        yield from _zone_errors(zone, "spec.timeZone")


def _zone_errors(zone: str, field: str) -> Iterator[FieldError]:
    if not zone:
        yield bad_value(field, zone, "timeZone must be nil or non-empty string")
        return
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _PART_OF_ZONE.fullmatch(part):
            yield bad_value(field, zone, f"unknown time zone {zone}")
            return
    if zone.lower() == "local":
        rule = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield bad_value(field, zone, rule)
        if zone == "Local":
            return
    try:
        cron.find_zone(zone)
    except cron.UnknownZone as error:
        yield bad_value(field, zone, str(error))


# Warnings


def _name_warnings(obj: Json) -> Iterator[str]:
    fault = label_fault(obj["metadata"].get("name", ""))
    if fault:
        yield _NAME_WARNING.format(fault)


def _size_warnings(spec: Json, field: str) -> Iterator[str]:
    huge = (spec.get("completions") or 0) > MANY_COMPLETIONS
    if spec.get("completionMode") == INDEXED and huge and (spec.get("parallelism") or 0) > MANY_PODS_AT_ONCE:
        yield _HUGE_WARNING.format(field)
