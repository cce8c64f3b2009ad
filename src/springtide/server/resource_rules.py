"""Names and amounts of resources: what containers may ask for, and how amounts are written.

Called by the rules of containers, nodes, volumes, quotas and limit ranges. Rules and messages: Kubernetes'
core validation. Amounts are checked to be quantities by the schema already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from springtide.api.names import qualified_fault
from springtide.api.quantity import canonical, is_quantity, parse
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, forbidden_field, not_found_value, required

Json = dict[str, Any]

_HUGE_PAGES = "hugepages-"
_NATIVE = "kubernetes.io/"
_REQUESTS = "requests."
_FOR_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD = _FOR_CONTAINERS | frozenset(
    {
        "storage",
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
    }
)
_NEGATIVE = "must be greater than or equal to 0"


def canonical_amounts(holder: Json, *parts: str) -> None:
    """Write the amounts in these maps of `holder` the one way the server stores them, in place."""
    for part in parts:
        amounts = holder.get(part)
        if not isinstance(amounts, dict):
            continue
        written = {name: _canonical(value) for name, value in amounts.items()}
        if written != amounts:
            holder[part] = written


def _canonical(value: Any) -> Any:
    """The canonical form; what is no quantity stays as it is, for validation to name it."""
    return _canonical_text(value if isinstance(value, str) else repr(value)) if is_quantity(value) else value


@lru_cache(maxsize=4096)
def _canonical_text(text: str) -> str:
    return canonical(text)


@lru_cache(maxsize=1024)
def is_extended(name: str) -> bool:
    """Devices and the like: not of Kubernetes itself, whole numbers, never overcommitted."""
    if "/" not in name or _NATIVE in name or name.startswith(_REQUESTS):
        return False
    return not qualified_fault(f"{_REQUESTS}{name}")


def is_huge_page(name: str) -> bool:
    return name.startswith(_HUGE_PAGES)


def may_overcommit(name: str) -> bool:
    """Whether the limit may be above the request."""
    return ("/" not in name or _NATIVE in name) and not is_huge_page(name)


@lru_cache(maxsize=1024)
def container_resource_fault(name: str) -> str:
    """Why a container cannot ask for a resource of this name; empty if it can."""
    if fault := resource_fault(name):
        return fault
    if "/" not in name and name not in _FOR_CONTAINERS and not is_huge_page(name):
        return "must be a standard resource for containers"
    if "/" in name and _NATIVE not in name and not is_extended(name):
        return "doesn't follow extended resource name standard"
    return ""


def resource_fault(name: str) -> str:
    """Why this is no name of a resource; empty if it is one."""
    if fault := qualified_fault(name):
        return fault
    if "/" not in name and name not in _STANDARD and not is_huge_page(name):
        return "must be a standard resource type or fully qualified"
    return ""


def amount_errors(name: str, amount: Any, field: str) -> Iterator[FieldError]:
    """An amount below 0, or a part of something that has none."""
    exact = parse(amount)
    if exact < 0:
        yield bad_value(field, str(amount), _NEGATIVE)
    elif is_extended(name) and exact.denominator != 1:
        yield bad_value(field, str(amount), "must be an integer")


def requirement_errors(resources: Json, field: str, claims: Iterable[str] = ()) -> Iterator[FieldError]:
    """Faults of a container's `resources`; `claims`: the names in its pod's `resourceClaims`."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            place = f"{field}.{part}[{name}]"
            if fault := container_resource_fault(name):
                yield bad_value(place, name, fault)
            yield from amount_errors(name, amount, place)
    for name, amount in requests.items():
        yield from _against_limit(name, amount, limits, field)
    names = limits.keys() | requests.keys()
    if any(map(is_huge_page, names)) and not names & {"cpu", "memory"}:
        yield forbidden_field(field, "HugePages require cpu or memory")
    yield from _claim_errors(resources.get("claims") or [], f"{field}.claims", set(claims))


def _against_limit(name: str, amount: Any, limits: Json, field: str) -> Iterator[FieldError]:
    limit = limits.get(name)
    if limit is None:
        if not may_overcommit(name):
            yield required(f"{field}.limits", "Limit must be set for non overcommitable resources")
    elif parse(amount) != parse(limit) and not may_overcommit(name):
        yield bad_value(f"{field}.requests", str(amount), f"must be equal to {name} limit of {limit}")
    elif parse(amount) > parse(limit):
        rule = f"must be less than or equal to {name} limit of {limit}"
        yield bad_value(f"{field}.requests", str(amount), rule)


def _claim_errors(claims: list[Json], field: str, known: set[str]) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        name, request = claim.get("name") or "", claim.get("request") or ""
        place = f"{field}[{index}]"
        if not name:
            yield required(place)
            continue
        whole = (name, "") in seen or (not request and any(one == name for one, _ in seen))
        if whole or (name, request) in seen:
            yield duplicate(place, name)
        seen.add((name, request))
        if name not in known:
            yield not_found_value(place, name)
