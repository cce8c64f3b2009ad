"""Rules of Workloads and queues that no schema says. Part of `springtide.api.validation`."""

from __future__ import annotations

from collections.abc import Iterator

from springtide.api import quantity
from springtide.api.fielderrors import FieldError, duplicate, invalid, required
from springtide.api.kueue import PodSet, PodSetTopologyRequest, Workload, WorkloadCondition
from springtide.api.meta import is_true
from springtide.api.names import label_fault, subdomain_fault
from springtide.api.podrules import pod_spec_errors
from springtide.api.queues import ClusterQueue, FlavorQuotas, LocalQueue, ResourceGroup

MAX_POD_SETS = 18


def workload_errors(workload: Workload) -> list[FieldError]:
    """What is wrong with a Workload, looked at alone."""
    spec = workload.spec
    errors: list[FieldError] = []
    if not 1 <= len(spec.pod_sets) <= MAX_POD_SETS:
        errors.append(
            invalid("spec.podSets", f"{len(spec.pod_sets)} pod sets", f"must be 1 to {MAX_POD_SETS} of them")
        )
    names: set[str] = set()
    for index, pod_set in enumerate(spec.pod_sets):
        place = f"spec.podSets[{index}]"
        errors += _pod_set_errors(pod_set, place)
        if pod_set.name in names:
            errors.append(duplicate(f"{place}.name", pod_set.name))
        names.add(pod_set.name)
    if spec.queue_name and (fault := subdomain_fault(spec.queue_name)):
        errors.append(invalid("spec.queueName", spec.queue_name, fault))
    if spec.priority_class_ref is not None and spec.priority is None:
        errors.append(required("spec.priority", "must be set when priorityClassRef is"))
    seconds = spec.maximum_execution_time_seconds
    if seconds is not None and seconds < 1:
        errors.append(invalid("spec.maximumExecutionTimeSeconds", seconds, "must be at least 1"))
    return errors + list(_admission_errors(workload))


def workload_update_errors(new: Workload, old: Workload) -> list[FieldError]:
    """What may not change so: pod sets and queue stand while quota is reserved."""
    reserved = WorkloadCondition.QUOTA_RESERVED
    if not is_true(old.status.conditions, reserved) or not is_true(new.status.conditions, reserved):
        return []
    errors = []
    if new.spec.pod_sets != old.spec.pod_sets:
        names = [pod_set.name for pod_set in new.spec.pod_sets]
        errors.append(invalid("spec.podSets", names, "field is immutable while quota is reserved"))
    if new.spec.queue_name != old.spec.queue_name:
        errors.append(
            invalid("spec.queueName", new.spec.queue_name, "field is immutable while quota is reserved")
        )
    return errors


def local_queue_errors(queue: LocalQueue) -> list[FieldError]:
    """What is wrong with a LocalQueue."""
    name = queue.spec.cluster_queue
    if not name:
        return [required("spec.clusterQueue", "name the ClusterQueue whose quota is used")]
    fault = subdomain_fault(name)
    return [invalid("spec.clusterQueue", name, fault)] if fault else []


def cluster_queue_errors(queue: ClusterQueue) -> list[FieldError]:
    """What is wrong with a ClusterQueue: quota, and what belongs to a cohort only."""
    errors: list[FieldError] = []
    covered: set[str] = set()
    for index, group in enumerate(queue.spec.resource_groups):
        place = f"spec.resourceGroups[{index}]"
        errors += _group_errors(group, place)
        for number, name in enumerate(group.covered_resources):
            if name in covered:
                errors.append(duplicate(f"{place}.coveredResources[{number}]", name))
            covered.add(name)
        if not queue.spec.cohort_name:
            errors += _cohort_only_errors(group, place)
    return errors


def _pod_set_errors(pod_set: PodSet, field: str) -> Iterator[FieldError]:
    if fault := label_fault(pod_set.name):
        yield invalid(f"{field}.name", pod_set.name, fault)
    if pod_set.count < 0:
        yield invalid(f"{field}.count", pod_set.count, "must be at least 0")
    if pod_set.min_count is not None and not 1 <= pod_set.min_count <= pod_set.count:
        yield invalid(f"{field}.minCount", pod_set.min_count, "must be at least 1 and at most count")
    if pod_set.topology_request is not None:
        yield from _topology_errors(pod_set.topology_request, f"{field}.topologyRequest")
    yield from pod_spec_errors(pod_set.template.spec, f"{field}.template.spec", image_required=False)


def _topology_errors(request: PodSetTopologyRequest, field: str) -> Iterator[FieldError]:
    chosen = [name for name in ("required", "preferred", "unconstrained") if getattr(request, name)]
    if len(chosen) > 1:
        yield invalid(field, chosen, "only one of required, preferred and unconstrained can be set")
    if (request.pod_set_slice_required_topology is None) != (request.pod_set_slice_size is None):
        yield required(
            f"{field}.podSetSliceSize", "podSetSliceRequiredTopology and podSetSliceSize go together"
        )


def _admission_errors(workload: Workload) -> Iterator[FieldError]:
    admission = workload.status.admission
    if admission is None:
        return
    assigned = [assignment.name for assignment in admission.pod_set_assignments]
    wanted = [pod_set.name for pod_set in workload.spec.pod_sets]
    if sorted(assigned) != sorted(wanted):
        yield invalid(
            "status.admission.podSetAssignments",
            assigned,
            f"must assign every pod set once: {', '.join(wanted)}",
        )


def _group_errors(group: ResourceGroup, field: str) -> Iterator[FieldError]:
    flavors: set[str] = set()
    for index, flavor in enumerate(group.flavors):
        place = f"{field}.flavors[{index}]"
        if flavor.name in flavors:
            yield duplicate(f"{place}.name", flavor.name)
        flavors.add(flavor.name)
        if [quota.name for quota in flavor.resources] != group.covered_resources:
            yield invalid(
                f"{place}.resources",
                [quota.name for quota in flavor.resources],
                "must list the covered resources in the same order",
            )
        yield from _quota_errors(flavor, place)


def _quota_errors(flavor: FlavorQuotas, field: str) -> Iterator[FieldError]:
    for index, quota in enumerate(flavor.resources):
        for name, amount in (
            ("nominalQuota", quota.nominal_quota),
            ("borrowingLimit", quota.borrowing_limit),
            ("lendingLimit", quota.lending_limit),
        ):
            place = f"{field}.resources[{index}].{name}"
            if amount is None:
                continue
            if not quantity.is_quantity(amount):
                yield invalid(place, amount, "must be a quantity such as 500m, 2 or 1.5Gi")
            elif quantity.parse(amount) < 0:
                yield invalid(place, amount, "must be greater than or equal to 0")


def _cohort_only_errors(group: ResourceGroup, field: str) -> Iterator[FieldError]:
    for index, flavor in enumerate(group.flavors):
        for number, quota in enumerate(flavor.resources):
            place = f"{field}.flavors[{index}].resources[{number}]"
            if quota.borrowing_limit is not None:
                yield invalid(
                    f"{place}.borrowingLimit", quota.borrowing_limit, "must be nil when cohort is empty"
                )
            if quota.lending_limit is not None:
                yield invalid(
                    f"{place}.lendingLimit", quota.lending_limit, "must be nil when cohort is empty"
                )
