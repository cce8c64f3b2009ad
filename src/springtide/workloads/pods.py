"""The pods of a workload as they are to be created, and the Service that gives them names.

Pure; called by the plan. A pod's name follows from the workload, its attempt and its index, so creating
it twice is one creation. Peers reach each other as `<job>-<pod set>-0-<index>.<job>` (JobSet's names), which
is why every attempt has the same host names but pod names of its own. Pods of a Job of Volcano are called by
their host names, as its users expect.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from dataclasses import dataclass
from datetime import UTC, datetime

from springtide.api import labels
from springtide.api.checkstates import updates_of
from springtide.api.core import Node, Pod, Service, ServiceSpec
from springtide.api.devicetopology import equipment_of, nic_names
from springtide.api.gangpods import admitted_count, host_of, is_of_volcano, job_of, labels_of_pods
from springtide.api.gpus import GPU, indices_in, spelled
from springtide.api.kueue import PodSet, PodSetAssignment, PodSetUpdate, Workload, names_nodes, places_of
from springtide.api.makernotes import NOTES
from springtide.api.makernotes import notes as notes_of
from springtide.api.meta import ObjectMeta, find_condition, owner_reference
from springtide.api.struct import replace

_NO_UPDATE = PodSetUpdate(name="none")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_GATES = (labels.TOPOLOGY_SCHEDULING_GATE, labels.ADMISSION_SCHEDULING_GATE)
"""Gates that hold a pod until it is admitted; these pods are created admitted."""


@dataclass(frozen=True)
class Slot:
    """One pod of a gang: which, and where."""

    pod_set: PodSet
    index: int
    node: str
    host: str
    """Host name, the same in every attempt."""
    pod: str
    """Pod name, of this attempt alone."""
    devices: tuple[int, ...] = ()
    """The devices of the node it was given, where that names them."""


def attempt_of(workload: Workload) -> int:
    """The number of the workload's current attempt, from 0."""
    state = workload.status.requeue_state
    return (state.count or 0) if state is not None else 0


def slots_of(workload: Workload) -> list[Slot] | None:
    """All pods of the admitted workload, neighbours side by side; None if it names too few nodes."""
    admission = workload.status.admission
    assignments = {a.name: a for a in admission.pod_set_assignments} if admission is not None else {}
    suffix = "" if is_of_volcano(workload) else f"-{_suffix(workload)}"
    slots: list[Slot] = []
    for pod_set in workload.spec.pod_sets:
        assignment = assignments.get(pod_set.name)
        given = assignment.count if assignment is not None else None
        count = pod_set.count if given is None else given  # fewer of a pod set that has a minCount
        places = _places(assignment)
        if len(places) < count:
            return None
        for index in range(count):
            host = host_of(workload, pod_set.name, index)
            node, devices = places[index]
            slots.append(Slot(pod_set, index, node, host, f"{host}{suffix}", devices))
    return slots


def pod_for(workload: Workload, slot: Slot, node: Node | None = None) -> Pod:
    """The pod of a slot: its template, bound to its node; unknown fields of the template are kept.

    `node` is the slot's: of its devices the pod says which are its own.
    """
    template, job = slot.pod_set.template, job_of(workload)
    update = updates_of(workload).get(slot.pod_set.name, _NO_UPDATE)
    metadata = replace(
        template.metadata,
        name=slot.pod,
        generate_name="",
        namespace=workload.metadata.namespace,
        labels={**template.metadata.labels, **update.labels, **_labels(workload, slot)},
        annotations={
            **{key: text for key, text in template.metadata.annotations.items() if key not in NOTES},
            **update.annotations,
            **_notes(workload, slot, node),
            labels.JOB_COMPLETION_INDEX: str(slot.index),
            **_rank(slot),
            **_size(workload, slot.pod_set),
        },
        owner_references=[owner_reference(workload)],
    )
    spec = replace(
        template.spec,
        node_name=slot.node,
        node_selector={**template.spec.node_selector, **update.node_selector},
        tolerations=[
            *template.spec.tolerations,
            *(one for one in update.tolerations if one not in template.spec.tolerations),
        ],
        hostname=slot.host,
        subdomain=job,
        scheduler_name=labels.SCHEDULER_NAME,
        restart_policy=template.spec.restart_policy or "Never",
        scheduling_gates=[gate for gate in template.spec.scheduling_gates if gate.name not in _GATES],
    )
    return Pod(metadata=metadata, spec=spec)


def peer_service(workload: Workload) -> Service:
    """A headless Service: on a cluster it makes the pods' names resolve, ready or not."""
    job = job_of(workload)
    return Service(
        metadata=ObjectMeta(
            name=job,
            namespace=workload.metadata.namespace,
            labels={labels.WORKLOAD: workload.metadata.name, labels.JOBSET_NAME: job},
            owner_references=[owner_reference(workload)],
        ),
        spec=ServiceSpec(
            cluster_ip="None", selector={labels.JOBSET_NAME: job}, publish_not_ready_addresses=True
        ),
    )


def _labels(workload: Workload, slot: Slot) -> dict[str, str]:
    return {
        **labels_of_pods(workload, slot.pod_set.name),
        labels.ATTEMPT: str(attempt_of(workload)),
        labels.JOB_COMPLETION_INDEX: str(slot.index),
        **_numbers(slot),
    }


def _numbers(slot: Slot) -> dict[str, str]:
    """The labels by which the pod set wants its pods numbered."""
    asked = slot.pod_set.topology_request
    found: dict[str, str] = {}
    if asked is not None and asked.pod_index_label:
        found[asked.pod_index_label] = str(slot.index)
    if asked is not None and asked.sub_group_index_label and asked.sub_group_count:
        size = max(1, slot.pod_set.count // asked.sub_group_count)
        found[asked.sub_group_index_label] = str(slot.index // size)
    return found


def _rank(slot: Slot) -> dict[str, str]:
    first = slot.pod_set.template.metadata.annotations.get(labels.FIRST_RANK, "")
    return {labels.RANK: str(int(first) + slot.index)} if first.isdecimal() else {}


def _size(workload: Workload, pod_set: PodSet) -> dict[str, str]:
    """Of pod sets that may be smaller than asked for: how many pods there are in this attempt."""
    if pod_set.min_count is None:
        return {}
    return {labels.NUM_NODES: str(admitted_count(workload, pod_set))}


def _notes(workload: Workload, slot: Slot, node: Node | None) -> dict[str, str]:
    """Which devices the pod has: for who counts them, and for HAMi's device plugin.

    Of a node that is not known, or has not these devices any more, only their numbers can be said.
    """
    if not slot.devices:
        return {}
    given = {labels.DEVICES: spelled(slot.devices)}
    if node is None:
        return given
    nics = nic_names(node, [~one for one in slot.devices if one < 0])
    if nics:
        given[labels.NICS] = ",".join(nics)
    equipment = equipment_of(node)
    there = equipment.devices
    admitted = find_condition(workload.status.conditions, "Admitted")
    since = admitted.last_transition_time if admitted is not None else None
    if max(slot.devices) >= len(there):
        return given
    every = [there[index] for index in slot.devices if index >= 0]
    devices = [one for one in every if equipment.registered or one.kind != GPU]
    template = slot.pod_set.template
    notes = template.metadata.annotations
    return given | notes_of(template.spec, notes, slot.node, devices, since or _LONG_AGO)


def _places(assignment: PodSetAssignment | None) -> list[tuple[str, tuple[int, ...]]]:
    """Node and devices of each pod, in the order of the assignment; none if it does not go down to nodes."""
    topology = assignment.topology_assignment if assignment is not None else None
    if topology is None or not names_nodes(topology):
        return []
    return [(node, indices_in(devices)) for node, devices, count in places_of(topology) for _ in range(count)]


def _suffix(workload: Workload) -> str:
    identity = f"{workload.metadata.uid}/{attempt_of(workload)}".encode()
    return b32encode(hashlib.blake2b(identity, digest_size=4).digest()).decode().lower()[:5]
