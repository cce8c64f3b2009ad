"""What one object uses of a ResourceQuota, and which quotas count it. Pure functions; no store, no clock.

Called by the ledger (`quota_ledger`) and the plug-in (`admit_quota`). Which resources an object is charged
for, and what scopes mean: Kubernetes' quota evaluators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from springtide.api.quantity import format_bytes, format_decimal, parse
from springtide.server.pods import quality_of_service
from springtide.server.resource_rules import is_extended, is_huge_page

Json = dict[str, Any]
Usage = Mapping[str, Fraction]

_ONE = Fraction(1)
_FINISHED = ("Succeeded", "Failed")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_NAMED_COUNTS = frozenset({"configmaps", "secrets", "replicationcontrollers", "resourcequotas"})
"""Kinds that a quota may also count by their bare plural."""
_MUST_BE_STATED = (
    ("cpu", "requests", "cpu"),
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
    ("memory", "requests", "memory"),
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
)
_CLASS = ".storageclass.storage.k8s.io/"


class Traits(NamedTuple):
    """What scopes ask of an object. Objects other than pods and claims have none."""

    is_pod: bool = False
    terminating: bool = False
    best_effort: bool = False
    priority_class: str = ""
    crosses_namespaces: bool = False
    is_claim: bool = False
    attributes_class: str = ""


class Charge(NamedTuple):
    """What an object uses, and what it is."""

    usage: Usage
    traits: Traits


NOTHING = Charge({}, Traits())


def charge_of(resource: str, obj: Json) -> Charge:
    """What an object of a collection (`pods`, `apps/deployments`) is charged for."""
    group, slash, plural = resource.rpartition("/")
    usage: dict[str, Fraction] = {f"count/{plural}.{group}" if slash else f"count/{plural}": _ONE}
    if resource == "pods":
        return Charge({**usage, **_pod(obj)}, _pod_traits(obj["spec"]))
    if resource == "services":
        return Charge({**usage, **_service(obj)}, Traits())
    if resource == "persistentvolumeclaims":
        name = (obj.get("spec") or {}).get("volumeAttributesClassName") or ""
        return Charge({**usage, **_claim(obj)}, Traits(is_claim=True, attributes_class=name))
    if resource in _NAMED_COUNTS:
        usage[plural] = _ONE
    return Charge(usage, Traits())


def covers(spec: Json, charge: Charge) -> bool:
    """Whether a quota with this spec counts an object with this charge."""
    return bool(charge.usage.keys() & (spec.get("hard") or {}).keys()) and in_scope(spec, charge.traits)


def in_scope(spec: Json, traits: Traits) -> bool:
    """Whether an object like this is one of those that a quota looks at."""
    if not all(_in_scope(traits, scope, "Exists", ()) for scope in spec.get("scopes") or ()):
        return False
    return all(
        _in_scope(traits, one.get("scopeName", ""), one.get("operator", ""), tuple(one.get("values") or ()))
        for one in (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    )


def unstated(spec: Json, hard: Iterable[str]) -> str:
    """What containers of a pod leave open although a quota counts it; empty if nothing."""
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        return ""
    wanted, missing = set(hard), []
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for counted, part, name in _MUST_BE_STATED:
        if counted not in wanted:
            continue
        silent = {
            str(container.get("name", ""))
            for container in containers
            if name not in ((container.get("resources") or {}).get(part) or {})
        }
        if silent:
            missing.append(f"{counted} for: {','.join(sorted(silent))}")
    return f"must specify {'; '.join(missing)}" if missing else ""


def written(resource: str, amount: Fraction) -> str:
    """An amount as a quantity: bytes in powers of 1024 where that needs no fraction."""
    if ("memory" in resource or "storage" in resource or is_huge_page(resource)) and amount.denominator == 1:
        whole = amount.numerator
        return format_bytes(whole) if whole % 1024 == 0 else format_decimal(amount)
    return format_decimal(amount)


def pod_amounts(spec: Json, part: str) -> dict[str, Fraction]:
    """What the pod asks for in all (`requests` or `limits`): its containers together, or its largest start.

    Init containers run one after the other, each beside the sidecars that were started before it.
    """
    total: dict[str, Fraction] = {}
    sidecars: dict[str, Fraction] = {}
    largest: dict[str, Fraction] = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, part))
    for container in spec.get("initContainers") or ():
        own = _amounts(container, part)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            step = dict(sidecars)
        else:
            step = dict(sidecars)
            _add(step, own)
        for name, amount in step.items():
            largest[name] = max(largest.get(name, amount), amount)
    for name, amount in largest.items():
        total[name] = max(total.get(name, amount), amount)
    total.update(_amounts(spec, part))
    for name, extra in (spec.get("overhead") or {}).items():
        if part == "requests" or name in total:
            total[name] = total.get(name, Fraction(0)) + parse(extra)
    return total


def _amounts(holder: Json, part: str) -> dict[str, Fraction]:
    resources = holder.get("resources") or {}
    return {name: parse(amount) for name, amount in (resources.get(part) or {}).items()}


def _add(total: dict[str, Fraction], more: Usage) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _pod(pod: Json) -> dict[str, Fraction]:
    """A pod that has ended uses nothing but its place in the store."""
    if (pod.get("status") or {}).get("phase") in _FINISHED:
        return {}
    usage = {"pods": _ONE}
    for name, amount in pod_amounts(pod["spec"], "requests").items():
        if name in _COMPUTE or is_huge_page(name):
            usage[name] = usage[f"requests.{name}"] = amount
        elif is_extended(name):
            usage[f"requests.{name}"] = amount
    for name, amount in pod_amounts(pod["spec"], "limits").items():
        if name in _COMPUTE:
            usage[f"limits.{name}"] = amount
    return usage


def _pod_traits(spec: Json) -> Traits:
    affinity = spec.get("affinity") or {}
    terms = [term for part in ("podAffinity", "podAntiAffinity") for term in _terms(affinity.get(part) or {})]
    return Traits(
        is_pod=True,
        terminating=spec.get("activeDeadlineSeconds") is not None,
        best_effort=quality_of_service(spec) == "BestEffort",
        priority_class=spec.get("priorityClassName") or "",
        crosses_namespaces=any(
            term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms
        ),
    )


def _terms(affinity: Json) -> list[Json]:
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return [
        *(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()),
        *(one.get("podAffinityTerm") or {} for one in preferred),
    ]


def _service(service: Json) -> dict[str, Fraction]:
    spec = service.get("spec") or {}
    usage = {"services": _ONE, "services.nodeports": Fraction(0), "services.loadbalancers": Fraction(0)}
    ports = len(spec.get("ports") or ())
    if spec.get("type") == "NodePort":
        usage["services.nodeports"] = Fraction(ports)
    elif spec.get("type") == "LoadBalancer":
        usage["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is not False:
            usage["services.nodeports"] = Fraction(ports)
    return usage


def _claim(claim: Json) -> dict[str, Fraction]:
    spec = claim.get("spec") or {}
    usage = {"persistentvolumeclaims": _ONE}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is not None:
        usage["requests.storage"] = parse(size)
    if name := spec.get("storageClassName"):
        usage[f"{name}{_CLASS}persistentvolumeclaims"] = _ONE
        if size is not None:
            usage[f"{name}{_CLASS}requests.storage"] = parse(size)
    return usage


def _in_scope(traits: Traits, scope: str, operator: str, values: tuple[str, ...]) -> bool:
    if scope == "VolumeAttributesClass":
        return traits.is_claim and _named(traits.attributes_class, operator, values)
    if not traits.is_pod:
        return False
    if scope == "PriorityClass":
        return _named(traits.priority_class, operator, values)
    simple = {
        "Terminating": traits.terminating,
        "NotTerminating": not traits.terminating,
        "BestEffort": traits.best_effort,
        "NotBestEffort": not traits.best_effort,
        "CrossNamespacePodAffinity": traits.crosses_namespaces,
    }
    return simple.get(scope, False)


def _named(name: str, operator: str, values: tuple[str, ...]) -> bool:
    if operator == "In":
        return name in values
    if operator == "NotIn":
        return name not in values
    return bool(name) == (operator == "Exists")
