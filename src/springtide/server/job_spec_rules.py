"""Rules of a Job's spec, alone and in a CronJob's template: `batch_rules` calls them.

Rules and messages: kube-apiserver, `pkg/apis/batch/validation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from springtide.api.indexes import BadIndexes, parse_indexes
from springtide.api.names import qualified_fault, subdomain_fault
from springtide.server.pod_template_rules import nonnegative, pod_template_errors
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, required, unsupported

Json = dict[str, Any]

NON_INDEXED, INDEXED = "NonIndexed", "Indexed"
MANY_COMPLETIONS = 100_000
MANY_PODS_AT_ONCE = 10_000
_MOST_PODS_AT_ONCE = 100_000
_MOST_FAILED_INDEXES = 100_000
_MOST_FAILED_INDEXES_OF_MANY = 10_000
_MOST_RULES = 20
_MOST_EXIT_CODES = 255
_MOST_PATTERNS = 20
_LONGEST_MANAGER = 63
_LONGEST_INDEXES = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_NOT_NEGATIVE = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)


def validate_job_spec(spec: Json, field: str) -> list[FieldError]:
    """All rules but those of the selector, which a template does not have."""
    errors = nonnegative(spec, field, *_NOT_NEGATIVE)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.get("managedBy") is not None:
        errors += _manager_errors(str(spec["managedBy"]), f"{field}.managedBy")
    mode = spec.get("completionMode", NON_INDEXED)
    if mode not in (NON_INDEXED, INDEXED):
        errors.append(unsupported(f"{field}.completionMode", mode, (NON_INDEXED, INDEXED)))
    errors += _indexed_errors(spec, field) if mode == INDEXED else _not_indexed_errors(spec, field, mode)
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy_errors(spec, f"{field}.podFailurePolicy.rules")
    if spec.get("successPolicy") is not None:
        if mode != INDEXED:
            policy = spec["successPolicy"]
            errors.append(bad_value(f"{field}.successPolicy", policy, "requires indexed completion mode"))
        else:
            errors += _success_policy_errors(spec, f"{field}.successPolicy.rules")
    errors += _replacement_errors(spec, f"{field}.podReplacementPolicy")
    errors += pod_template_errors(spec["template"], f"{field}.template")
    errors += _restart_errors(spec, f"{field}.template.spec.restartPolicy")
    return errors


def omitted(field: str, rule: str) -> FieldError:
    """A value that is wrong as a whole and is not repeated."""
    return FieldError("FieldValueInvalid", field, f"Invalid value: {rule}")


def too_many(field: str, count: int, most: int) -> FieldError:
    return FieldError("FieldValueTooMany", field, f"Too many: {count}: must have at most {most} items")


def _manager_errors(name: str, field: str) -> Iterator[FieldError]:
    host, slash, path = name.partition("/")
    if not name:
        yield required(field)
    elif not (host and slash and path):
        yield bad_value(field, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    elif fault := subdomain_fault(host):
        yield bad_value(field, host, fault)
    if len(name) > _LONGEST_MANAGER:
        rule = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        yield FieldError("FieldValueTooLong", field, rule)


def _indexed_errors(spec: Json, field: str) -> Iterator[FieldError]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed = spec.get("maxFailedIndexes")
    if completions is None:
        yield required(f"{field}.completions", f"when completion mode is {INDEXED}")
    if parallelism is not None and parallelism > _MOST_PODS_AT_ONCE:
        rule = f"must be less than or equal to {_MOST_PODS_AT_ONCE} when completion mode is {INDEXED}"
        yield bad_value(f"{field}.parallelism", parallelism, rule)
    if failed is not None:
        if completions is not None and failed > completions:
            yield bad_value(f"{field}.maxFailedIndexes", failed, "must be less than or equal to completions")
        if failed > _MOST_FAILED_INDEXES:
            rule = f"must be less than or equal to {_MOST_FAILED_INDEXES}"
            yield bad_value(f"{field}.maxFailedIndexes", failed, rule)
    if (completions or 0) <= MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return
    if failed is None:
        rule = f"must be specified when completions is above {MANY_COMPLETIONS}"
        yield required(f"{field}.maxFailedIndexes", rule)
    limits = (
        ("parallelism", parallelism, MANY_PODS_AT_ONCE),
        ("maxFailedIndexes", failed, _MOST_FAILED_INDEXES_OF_MANY),
    )
    for name, value, most in limits:
        if value is not None and value > most:
            yield bad_value(
                f"{field}.{name}",
                value,
                f"must be less than or equal to {most} when completions are above {MANY_COMPLETIONS} "
                "and used with backoff limit per index",
            )


def _not_indexed_errors(spec: Json, field: str, mode: str) -> Iterator[FieldError]:
    if mode != NON_INDEXED:
        return
    for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(name) is not None:
            yield bad_value(f"{field}.{name}", spec[name], "requires indexed completion mode")


def _replacement_errors(spec: Json, field: str) -> Iterator[FieldError]:
    policy = spec.get("podReplacementPolicy")
    supported = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if policy is not None and policy not in supported:
        yield unsupported(field, policy, supported)


def _restart_errors(spec: Json, field: str) -> Iterator[FieldError]:
    policy = spec["template"].get("spec", {}).get("restartPolicy", "")
    if policy in ("", "Always"):
        yield required(field, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield unsupported(field, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        yield bad_value(field, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _failure_policy_errors(spec: Json, field: str) -> Iterator[FieldError]:
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > _MOST_RULES:
        yield too_many(field, len(rules), _MOST_RULES)
    pod = spec["template"].get("spec", {})
    containers = {one.get("name") for part in ("containers", "initContainers") for one in pod.get(part) or ()}
    for index, rule in enumerate(rules):
        yield from _failure_rule_errors(spec, rule, f"{field}[{index}]", containers)


def _failure_rule_errors(spec: Json, rule: Json, field: str, containers: set[Any]) -> Iterator[FieldError]:
    action = rule.get("action", "")
    if not action:
        yield required(f"{field}.action", f"valid values: {_quoted(_ACTIONS)}")
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield bad_value(f"{field}.action", action, "requires the backoffLimitPerIndex to be set")
    elif action not in _ACTIONS:
        yield unsupported(f"{field}.action", action, _ACTIONS)
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        yield from _exit_code_errors(codes, f"{field}.onExitCodes", containers)
    if patterns:
        yield from _pattern_errors(patterns, f"{field}.onPodConditions")
    if codes is not None and patterns:
        yield omitted(field, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not patterns:
        yield omitted(field, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_code_errors(rule: Json, field: str, containers: set[Any]) -> Iterator[FieldError]:
    operator, values = rule.get("operator", ""), rule.get("values") or []
    if not operator:
        yield required(f"{field}.operator", f"valid values: {_quoted(_OPERATORS)}")
    elif operator not in _OPERATORS:
        yield unsupported(f"{field}.operator", operator, _OPERATORS)
    if rule.get("containerName") is not None and rule["containerName"] not in containers:
        yield bad_value(
            f"{field}.containerName",
            rule["containerName"],
            "must be one of the container or initContainer names in the pod template",
        )
    if not values:
        yield bad_value(f"{field}.values", rule.get("values"), "at least one value is required")
    elif len(values) > _MOST_EXIT_CODES:
        yield too_many(f"{field}.values", len(values), _MOST_EXIT_CODES)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield bad_value(f"{field}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield duplicate(f"{field}.values[{index}]", value)
    if values != sorted(values):
        yield bad_value(f"{field}.values", values, "must be ordered")


def _pattern_errors(patterns: list[Json], field: str) -> Iterator[FieldError]:
    if len(patterns) > _MOST_PATTERNS:
        yield too_many(field, len(patterns), _MOST_PATTERNS)
    for index, pattern in enumerate(patterns):
        if fault := qualified_fault(pattern.get("type", "")):
            yield bad_value(f"{field}[{index}].type", pattern.get("type", ""), fault)
        status = pattern.get("status", "")
        if not status:
            yield required(f"{field}[{index}].status", f"valid values: {_quoted(_STATUSES)}")
        elif status not in _STATUSES:
            yield unsupported(f"{field}[{index}].status", status, _STATUSES)


def _success_policy_errors(spec: Json, field: str) -> Iterator[FieldError]:
    rules = spec["successPolicy"].get("rules") or []
    if not rules:
        yield required(field, "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _MOST_RULES:
        yield too_many(field, len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _success_rule_errors(spec.get("completions") or 0, rule, f"{field}[{index}]")


def _success_rule_errors(completions: int, rule: Json, field: str) -> Iterator[FieldError]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        yield required(field, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        if len(indexes) > _LONGEST_INDEXES:
            rule_text = f"Too long: may not be more than {_LONGEST_INDEXES} bytes"
            yield FieldError("FieldValueTooLong", f"{field}.succeededIndexes", rule_text)
        try:
            total = len(parse_indexes(indexes, completions))
        except BadIndexes as error:
            why = f"error parsing succeededIndexes: {error}"
            yield bad_value(f"{field}.succeededIndexes", indexes, why)
    if count is None:
        return
    yield from nonnegative(rule, field, "succeededCount")
    limits = [(completions, "the number of specified completions")]
    if indexes is not None:
        limits.append((total, "the number of indexes in the specified succeededIndexes field"))
    for most, meaning in limits:
        if count > most:
            rule_text = f"must be less than or equal to {most} ({meaning})"
            yield bad_value(f"{field}.succeededCount", count, rule_text)


def _quoted(values: tuple[str, ...]) -> str:
    """A list as Go prints one of strings."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
