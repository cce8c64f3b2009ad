"""Fields of queues and workloads that are accepted and change nothing here, each with what to know.

Called by `reports` for queues and by `status` for workloads, which say it in the condition
`UnsupportedFields`, so that nothing is ignored without a word.
"""

from __future__ import annotations

from typing import Any

from springtide.api.gpus import GPU
from springtide.api.kueue import ClusterQueue, ClusterQueueSpec, LocalQueue, LocalQueueSpec, Workload
from springtide.api.meta import Condition
from springtide.api.struct import encode, unknown_paths
from springtide.scheduling import colocation
from springtide.scheduling.requests import pod_requests

UNSUPPORTED = "UnsupportedFields"
_MESSAGE_CHARACTERS_MAX = 32768
"""The API's limit for a condition's message."""

_UNFAIR = "it counts only if the scheduler shares fairly; else the order is priority, then age"
CLUSTER_QUEUE_WHY = {
    "flavorFungibility.preference": "whenCanBorrow and whenCanPreempt alone decide which flavor is next",
    "fairSharing": _UNFAIR,
    "concurrentAdmissionPolicy": "a workload stays in the flavor it was admitted with",
}
_FAIR_WHY = {"preemption.borrowWithinCohort": "it counts only if the scheduler does not share fairly"}
COHORT_WHY = {"fairSharing": _UNFAIR}
FLAVOR_WHY = {"resourceWeights": "they count only if the scheduler shares fairly"}
ADMISSION_CHECK_WHY = {"retryDelayMinutes": "a check that wants another try says itself when"}
"""Kinds without a status to say it in; their pages of the reference do."""
LOCAL_QUEUE_WHY = {"fairSharing": "it counts only in a ClusterQueue whose admissionScope shares by use"}
_UNKNOWN_WHY = "not a field of this API version"
_DEFAULTS = {
    "whenCanBorrow": "MayStopSearch",
    "whenCanPreempt": "TryNextFlavor",
    "reclaimWithinCohort": "Never",
    "withinClusterQueue": "Never",
    "policy": "Never",
    "admissionMode": "NoAdmissionFairSharing",
}
"""Values that ask for what is done anyway; the API server writes some of them by default."""


def unsupported_condition(
    obj: ClusterQueue | LocalQueue | Workload, *, fair: bool = False
) -> Condition | None:
    """What the object has set in vain; None where everything takes effect. `fair`: queues share fairly.

    Queues say so with every cycle and change rarely: what was found of a spec is remembered.
    """
    if isinstance(obj, Workload):
        return _found(obj, fair)
    known = _known.get((id(obj.spec), fair))
    if known is None or known[0] is not obj.spec:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        known = _known[id(obj.spec), fair] = obj.spec, _found(obj, fair)
    return known[1]


_known: dict[tuple[int, bool], tuple[ClusterQueueSpec | LocalQueueSpec, Condition | None]] = {}
_KNOWN_MAX = 16_384


def _found(obj: ClusterQueue | LocalQueue | Workload, fair: bool) -> Condition | None:
    found = [one for one in ineffective_fields(obj) if not (fair and one.endswith(_UNFAIR))]
    if fair and isinstance(obj, ClusterQueue):
        found += _named("spec", encode(obj.spec), _FAIR_WHY)
    if not found:
        return None
    message = "No effect: " + "; ".join(found)
    return Condition(
        type=UNSUPPORTED, status="True", reason="NoEffect", message=message[:_MESSAGE_CHARACTERS_MAX]
    )


def ineffective_fields(obj: ClusterQueue | LocalQueue | Workload) -> list[str]:
    """`path: what to know`, in the order of the document; unknown fields first."""
    unknown = [f"{path}: {_UNKNOWN_WHY}" for path in unknown_paths(obj.spec, "spec")]
    if isinstance(obj, ClusterQueue):
        return [*unknown, *_named("spec", encode(obj.spec), CLUSTER_QUEUE_WHY)]
    if isinstance(obj, LocalQueue):
        return [*unknown, *_named("spec", encode(obj.spec), LOCAL_QUEUE_WHY)]
    return [*(one for one in unknown if ".template." not in one), *_of_classes(obj)]


def _of_classes(obj: Workload) -> list[str]:
    """What pods ask for that does not go with their class of colocation."""
    found: list[str] = []
    for number, pod_set in enumerate(obj.spec.pod_sets):
        template = pod_set.template
        notes = template.metadata.annotations
        if colocation.QOS_LEVEL in notes:
            asks_devices = GPU in pod_requests(template.spec)
            said = colocation.ineffective(template.spec, notes, asks_devices)
            found += [f"spec.podSets[{number}].template.metadata.annotations.{one}" for one in said]
    return found


def _named(path: str, said: dict[str, Any], why: dict[str, str]) -> list[str]:
    return [f"{path}.{name}: {why[name]}" for name in why if _asks(_at(said, name))]


def _at(said: dict[str, Any], path: str) -> Any:
    found: Any = said
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _asks(value: Any) -> bool:
    """Whether a value asks for anything but the default."""
    if isinstance(value, dict):
        return any(_asks(child) and child != _DEFAULTS.get(name) for name, child in value.items())
    return value not in (None, "", [])
