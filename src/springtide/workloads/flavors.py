"""What the flavors of an admission give a pod: labels its nodes have, and tolerations, as Kueue injects them.

Without the tolerations a `NoExecute` taint of the nodes would end the pods that the scheduler has put
there. Called by the plan for every pod it creates. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from springtide.api.core import Pod
from springtide.api.kueue import ResourceFlavor, Workload
from springtide.api.struct import replace

FlavorNamed = Callable[[str], ResourceFlavor | None]


def with_flavors(pod: Pod, workload: Workload, pod_set: str, flavor_named: FlavorNamed) -> Pod:
    """The pod, with the node selector and the tolerations of the flavors its pod set was given."""
    selector = dict(pod.spec.node_selector)
    tolerations = list(pod.spec.tolerations)
    for flavor in _flavors_of(workload, pod_set, flavor_named):
        selector.update(flavor.spec.node_labels)
        tolerations += [one for one in flavor.spec.tolerations if one not in tolerations]
    if len(tolerations) == len(pod.spec.tolerations) and selector == pod.spec.node_selector:
        return pod
    return replace(pod, spec=replace(pod.spec, node_selector=selector, tolerations=tolerations))


def _flavors_of(workload: Workload, pod_set: str, flavor_named: FlavorNamed) -> Iterator[ResourceFlavor]:
    admission = workload.status.admission
    for assignment in admission.pod_set_assignments if admission is not None else ():
        if assignment.name == pod_set:
            for name in sorted(set(assignment.flavors.values())):
                found = flavor_named(name)
                if found is not None:
                    yield found
