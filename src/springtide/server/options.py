"""The options of a write, as its query gives them: dry run, field manager, field validation, force.

Called first by the create, update and patch verbs, so that a wrong option is refused before anything is
looked at. Rules and wording: `metav1.CreateOptions`, `UpdateOptions` and `PatchOptions`.
"""

from __future__ import annotations

from collections.abc import Iterator

from springtide.server.request import Request
from springtide.server.schema_rules import NOT_SUPPORTED, TOO_LONG, FieldError
from springtide.server.status import bad_value, forbidden_field, invalid, required

_LONGEST_MANAGER = 128
_FIELD_VALIDATIONS = ("", "Ignore", "Warn", "Strict")
_CHECKED = frozenset({"dryRun", "fieldManager", "fieldValidation", "force"})


def check(request: Request, options: str, *, apply: bool = False) -> None:
    """Raises Invalid naming each wrong option. `options` is the kind the query stands for: CreateOptions …"""
    if not apply and _CHECKED.isdisjoint(request.query):
        return
    errors = list(_errors(request, patch=options == "PatchOptions", apply=apply))
    if errors:
        raise invalid("meta.k8s.io", options, "", errors)


def dry_run_error(value: str) -> FieldError | None:
    """What is wrong with `dryRun`; it takes nothing but All."""
    if value in ("", "All"):
        return None
    return FieldError(NOT_SUPPORTED, "dryRun", f'Unsupported value: ["{value}"]: supported values: "All"')


def _errors(request: Request, *, patch: bool, apply: bool) -> Iterator[FieldError]:
    query = request.query
    manager = query.get("fieldManager", "")
    if apply and not manager:
        yield required("fieldManager", "is required for apply patch")
    if patch and not apply and "force" in query:
        yield forbidden_field("force", "may not be specified for non-apply patch")
    if len(manager) > _LONGEST_MANAGER:
        yield FieldError(TOO_LONG, "fieldManager", f"Too long: may not be more than {_LONGEST_MANAGER} bytes")
    if not manager.isprintable():
        yield bad_value("fieldManager", manager, "should only contain printable characters")
    if error := dry_run_error(query.get("dryRun", "")):
        yield error
    validation = query.get("fieldValidation", "")
    if validation not in _FIELD_VALIDATIONS:
        listed = ", ".join(f'"{one}"' for one in sorted(_FIELD_VALIDATIONS))
        text = f'Unsupported value: "{validation}": supported values: {listed}'
        yield FieldError(NOT_SUPPORTED, "fieldValidation", text)
