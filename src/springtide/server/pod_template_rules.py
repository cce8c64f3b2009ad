"""Rules that all kinds with a selector and a pod template share: labels, templates, counts, percentages.

Called by the strategies of such kinds (`apps_rules`). Messages are those of kube-apiserver.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from springtide.api.meta import LabelSelector
from springtide.api.names import label_value_fault, qualified_fault
from springtide.api.selectors import Labels, from_label_selector
from springtide.server.pod_defaults import default_pod_spec
from springtide.server.pod_rules import cost_errors, validate_pod_spec
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field, required, unsupported

Json = dict[str, Any]

NEGATIVE = "must be greater than or equal to 0"
_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def default_template(spec: Json) -> None:
    """Fill in `spec.template` as a pod of it would be, in place."""
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def nonnegative(obj: Json, field: str, *names: str) -> list[FieldError]:
    """Each of these numbers that is below 0."""
    return [
        bad_value(f"{field}.{name}", obj[name], NEGATIVE)
        for name in names
        if isinstance(obj.get(name), int) and obj[name] < 0
    ]


def selector_errors(spec: Json, field: str, kind: str) -> list[FieldError]:
    """Faults of `spec.selector`, which must be there and choose by at least one label."""
    selector = spec.get("selector")
    if selector is None:
        return [required(f"{field}.selector")]
    errors = label_errors(selector.get("matchLabels") or {}, f"{field}.selector.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        errors += _expression_errors(expression, f"{field}.selector.matchExpressions[{index}]")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(bad_value(f"{field}.selector", selector, f"empty selector is invalid for {kind}"))
    return errors


def label_errors(labels: Json, field: str) -> list[FieldError]:
    """Faults of keys and values of labels."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        if fault := qualified_fault(key):
            errors.append(bad_value(field, key, fault))
        if fault := label_value_fault(value):
            errors.append(bad_value(field, value, fault))
    return errors


def _expression_errors(expression: Json, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = expression.get("operator", ""), expression.get("values") or []
    if operator in ("In", "NotIn") and not values:
        errors.append(required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist") and values:
        rule = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        errors.append(forbidden_field(f"{field}.values", rule))
    elif operator not in _OPERATORS:
        errors.append(bad_value(f"{field}.operator", operator, "not a valid selector operator"))
    if fault := qualified_fault(expression.get("key", "")):
        errors.append(bad_value(f"{field}.key", expression.get("key", ""), fault))
    for index, value in enumerate(values):
        if fault := label_value_fault(value):
            errors.append(bad_value(f"{field}.values[{index}]", value, fault))
    return errors


def template_errors(
    spec: Json, field: str, kind: str, *, provided: frozenset[str] = frozenset()
) -> list[FieldError]:
    """Faults of `spec.template` of a kind whose pods are kept running; `provided`: volumes made for them."""
    template, errors = spec["template"], []
    pod_spec, labels = template["spec"], template["metadata"].get("labels") or {}
    selector = parsed_selector(spec)
    if selector is not None and not selector.matches(labels):
        rule = "`selector` does not match template `labels`"
        errors.append(bad_value(f"{field}.template.metadata.labels", labels, rule))
    errors += pod_template_errors(template, f"{field}.template", provided=provided)
    if pod_spec["restartPolicy"] in ("OnFailure", "Never"):
        place = f"{field}.template.spec.restartPolicy"
        errors.append(unsupported(place, pod_spec["restartPolicy"], ("Always",)))
    if pod_spec.get("activeDeadlineSeconds") is not None:
        rule = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden_field(f"{field}.template.spec.activeDeadlineSeconds", rule))
    return errors


def pod_template_errors(
    template: Json, field: str, *, provided: frozenset[str] = frozenset()
) -> list[FieldError]:
    """Faults of a template on its own, whatever its pods are for."""
    metadata, pod_spec = template["metadata"], template["spec"]
    errors = label_errors(metadata.get("labels") or {}, f"{field}.labels")
    errors += [
        bad_value(f"{field}.annotations", key, fault)
        for key in metadata.get("annotations") or {}
        if (fault := qualified_fault(key.lower()))
    ]
    errors += cost_errors(metadata.get("annotations"), f"{field}.annotations")
    errors += validate_pod_spec(_with_volumes(pod_spec, provided), f"{field}.spec")
    if pod_spec.get("ephemeralContainers"):
        rule = "ephemeral containers not allowed in pod template"
        errors.append(forbidden_field(f"{field}.spec.ephemeralContainers", rule))
    return errors


def parsed_selector(spec: Json) -> Labels | None:
    """The selector of a spec; None if there is none or it cannot be understood."""
    try:
        return from_label_selector(msgspec.convert(spec["selector"], LabelSelector))
    except (KeyError, msgspec.ValidationError):
        return None


def count_or_percent_errors(value: Any, field: str) -> list[FieldError]:
    """A number of pods, or a share of them."""
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [bad_value(field, value, _PERCENT_RULE)]
    return [bad_value(field, value, NEGATIVE)] if value < 0 else []


def beyond_all_errors(value: Any, field: str) -> list[FieldError]:
    """A share may not be more than the whole."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [bad_value(field, value, "must not be greater than 100%")]
    return []


def amount(value: Any) -> int:
    """The number in a count or percentage, to compare with 0."""
    if isinstance(value, str):
        return int(value[:-1]) if _PERCENT.fullmatch(value) else 0
    return int(value)


def _with_volumes(pod_spec: Json, names: frozenset[str]) -> Json:
    """The spec as its pods will have it: claims made for each are volumes, too."""
    if not names:
        return pod_spec
    own = [volume for volume in pod_spec.get("volumes") or () if volume.get("name") not in names]
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in sorted(names)]
    return {**pod_spec, "volumes": [*own, *claims]}
