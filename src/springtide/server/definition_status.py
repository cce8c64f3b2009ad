"""What a server says of a CRD: which names it accepted, whether the kind is served, in which versions
objects may be stored.

Called by `customresources` on every write of a CRD: there is no controller to wait for. Conditions, reasons
and messages: apiextensions' naming, establishing, approval and finalizer controllers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from springtide.server.definition_spec import approval_message, approval_of, approval_state
from springtide.server.kinds import ServedKind
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value

Json = dict[str, Any]

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Finalizer of a CRD while its objects go away."""


def stored_versions(spec: Mapping[str, Any], old: Json) -> list[str]:
    """Versions in which objects may lie: those so far, and the one that is stored from now on."""
    known = list(old.get("storedVersions") or ())
    storage = [one["name"] for one in spec["versions"] if one["storage"]]
    return [*known, *(name for name in storage if name not in known)]


def stored_version_errors(definition: Json) -> list[FieldError]:
    """A version that objects may be stored in cannot leave the spec."""
    stored = definition["status"].get("storedVersions") or []
    path, versions = "status.storedVersions", definition["spec"]["versions"]
    if not stored:
        return [bad_value(path, stored, "must have at least one stored version")]
    errors = [
        bad_value(path, stored, f"must have the storage version {one['name']}")
        for one in versions
        if one["storage"] and one["name"] not in stored
    ]
    names = {one["name"] for one in versions}
    for index, name in enumerate(stored):
        if name not in names:
            rule = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} "
                f"and removes {name} from status.storedVersions"
            )
            errors.append(bad_value(f"{path}[{index}]", name, rule))
    return errors


def with_status(definition: Json, others: Iterable[ServedKind], now: str) -> Json:
    """The status of a CRD: from its spec, its status so far, and the kinds of its group that are served."""
    spec, old = definition["spec"], definition.get("status") or {}
    others = list(others)
    accepted, fault = _names(spec["names"], old.get("acceptedNames") or {}, others)
    conditions = _conditions(old)
    if fault:
        _set(conditions, ("NamesAccepted", "False", *fault), now)
    else:
        _set(conditions, ("NamesAccepted", "True", "NoConflicts", "no conflicts found"), now)
    if is_true(old, "Established") or not fault:
        established = ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    else:
        established = ("Established", "False", "NotAccepted", "not all names are accepted")
    _set(conditions, established, now)
    _set_approval(conditions, definition, now)
    return {
        **old,
        "conditions": conditions,
        "acceptedNames": accepted,
        "storedVersions": stored_versions(spec, old),
    }


def terminating(status: Json, now: str, *, started: bool) -> Json:
    """The status of a CRD that is being deleted."""
    conditions = _conditions(status)
    reason = ("InstanceDeletionInProgress", "CustomResource deletion is in progress")
    if not started:
        message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        reason = ("InstanceDeletionPending", message)
    _set(conditions, ("Terminating", "True", *reason), now)
    return {**status, "conditions": conditions}


def is_true(status: Json, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in status.get("conditions") or ())


def _names(wanted: Json, accepted: Json, others: list[ServedKind]) -> tuple[Json, tuple[str, str] | None]:
    """The names in use from now on, and the first conflict (reason, message)."""
    resources = {name for kind in others for name in (kind.plural, kind.singular, *kind.short_names)}
    kinds = {name for kind in others for name in (kind.kind, kind.list_kind)}
    fault: tuple[str, str] | None = None
    names = dict(accepted)
    for key, taken in (
        ("plural", resources),
        ("singular", resources),
        ("shortNames", resources),
        ("kind", kinds),
        ("listKind", kinds),
    ):
        value = wanted.get(key)
        listed = value if isinstance(value, list) else [value]
        known = accepted.get(key) or []
        known = known if isinstance(known, list) else [known]
        clashes = [f'"{name}" is already in use' for name in listed if name in taken and name not in known]
        if clashes:
            message = clashes[0] if len(clashes) == 1 else f"[{', '.join(clashes)}]"
            fault = (f"{key[0].upper()}{key[1:]}Conflict", message)
        elif value:
            names[key] = value
        else:
            names.pop(key, None)
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    else:
        names.pop("categories", None)
    return names, fault


def _conditions(status: Json) -> list[Json]:
    return [dict(one) for one in status.get("conditions") or ()]


def _set(conditions: list[Json], value: tuple[str, str, str, str], now: str) -> None:
    kind, status, reason, message = value
    fresh = {"type": kind, "status": status, "reason": reason, "message": message}
    for one in conditions:
        if one["type"] == kind:
            since = one.get("lastTransitionTime") if one["status"] == status else now
            one.update({**fresh, "lastTransitionTime": since or now})
            return
    conditions.append({"lastTransitionTime": now, **fresh})


def _set_approval(conditions: list[Json], definition: Json, now: str) -> None:
    group = definition["spec"]["group"]
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    value = approval_of(definition)
    state = approval_state(value)
    status = "True" if state == "ApprovedAnnotation" else "False"
    kind = "KubernetesAPIApprovalPolicyConformant"
    _set(conditions, (kind, status, state, approval_message(value)), now)
