"""What Katalyst's classes of pods mean here: whose CPUs are their own, and who lives on what others leave.

`dedicated_cores` with NUMA binding keeps a pod's GPUs on one NUMA node. `reclaimed_cores` lives on resources
of its own (`resource.katalyst.kubewharf.io/reclaimed_millicpu`, `…_memory`), which Katalyst's agent offers on
every node and which are counted like any other, and goes before others of its priority when somebody has to.
The rest of a class is the agent's work on the node. Called by `classes`, `sharing`, `victims`, and by
`ineffective` for what is in vain.
Source: kubewharf/katalyst-api, pkg/consts/qos.go and resource.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from springtide.api.kueue import Workload
from springtide.api.pods import PodSpec
from springtide.scheduling.requests import CPU, MEMORY, pod_requests

QOS_LEVEL = "katalyst.kubewharf.io/qos_level"
MEMORY_ENHANCEMENT = "katalyst.kubewharf.io/memory_enhancement"
DEDICATED, SHARED, RECLAIMED, SYSTEM = "dedicated_cores", "shared_cores", "reclaimed_cores", "system_cores"
LEVELS = (SHARED, DEDICATED, RECLAIMED, SYSTEM)
RECLAIMED_CPU = "resource.katalyst.kubewharf.io/reclaimed_millicpu"
RECLAIMED_MEMORY = "resource.katalyst.kubewharf.io/reclaimed_memory"
_INSTEAD_OF = {CPU: RECLAIMED_CPU, MEMORY: RECLAIMED_MEMORY}


def level_of(annotations: Mapping[str, str]) -> str:
    """The class of a pod; `shared_cores` where it says none. Raises ValueError for one that is not known."""
    level = annotations.get(QOS_LEVEL, SHARED)
    if level not in LEVELS:
        raise ValueError(f"annotation {QOS_LEVEL}: {level!r} is none of {', '.join(LEVELS)}")
    return level


def binds_numa(annotations: Mapping[str, str]) -> bool:
    """Whether all of a pod is to be on one NUMA node. Raises ValueError for what cannot be read."""
    if annotations.get(QOS_LEVEL) != DEDICATED:
        return False
    return _enhancements(annotations).get("numa_binding") == "true"


def is_reclaimed(workload: Workload) -> bool:
    """Whether all pods of a workload live on what others leave."""
    for one in workload.spec.pod_sets:
        notes = one.template.metadata.annotations
        if not notes or notes.get(QOS_LEVEL) != RECLAIMED:
            return False
    return bool(workload.spec.pod_sets)


def ineffective(spec: PodSpec, annotations: Mapping[str, str], asks_devices: bool) -> Iterable[str]:
    """What such a pod asks for in vain, or not as its class should, each with what to know."""
    if QOS_LEVEL not in annotations:
        return
    if annotations[QOS_LEVEL] == RECLAIMED:
        asked = pod_requests(spec)
        for name, instead in _INSTEAD_OF.items():
            if asked.get(name):
                yield f"{QOS_LEVEL} {RECLAIMED}: it holds {name} as any pod does; ask for {instead} instead"
    try:
        said = _enhancements(annotations)
    except ValueError:
        return
    if said.get("numa_exclusive") == "true":
        yield f"{MEMORY_ENHANCEMENT} numa_exclusive: other pods may be put on the same NUMA node"
    if binds_numa(annotations) and not asks_devices:
        yield f"{MEMORY_ENHANCEMENT} numa_binding: it counts for GPUs; where CPUs are only the node knows"


def _enhancements(annotations: Mapping[str, str]) -> dict[str, str]:
    text = annotations.get(MEMORY_ENHANCEMENT, "")
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise ValueError(f"annotation {MEMORY_ENHANCEMENT}: {error}") from None
