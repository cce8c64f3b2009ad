"""What an admission's flavors give the pods that are made of it."""

from __future__ import annotations

import pytest

from springtide.api.commands import Create
from springtide.api.core import Pod, Toleration
from springtide.api.kueue import ResourceFlavor, ResourceFlavorSpec, Workload
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from springtide.workloads.plan import View, plan
from tests.builders import admitted, at, pod_set, pod_spec, workload

SPOT = Toleration(key="spot", operator="Exists")
OWN = Toleration(key="own", operator="Exists")
FLAVORS = {
    "spot": ResourceFlavor(
        metadata=ObjectMeta(name="spot"),
        spec=ResourceFlavorSpec(node_labels={"capacity": "spot"}, tolerations=[SPOT]),
    ),
    "disk": ResourceFlavor(
        metadata=ObjectMeta(name="disk"), spec=ResourceFlavorSpec(node_labels={"disk": "ssd"})
    ),
}


def given(flavors: dict[str, str], tolerations: list[Toleration] | None = None) -> Workload:
    """An admitted workload whose resources have these flavors."""
    spec = pod_spec(cpu=1, selector={"zone": "x"}, tolerations=tolerations or [])
    obj = admitted(workload("trainjob-job", pod_set(1, spec)), {"n1": 1})
    admission = obj.status.admission
    assert admission is not None
    assignment = replace(admission.pod_set_assignments[0], flavors=flavors)
    return replace(
        obj, status=replace(obj.status, admission=replace(admission, pod_set_assignments=[assignment]))
    )


CASES = [
    ("a flavor's labels and tolerations", {"cpu": "spot"}, [], {"zone": "x", "capacity": "spot"}, [SPOT]),
    (
        "those of several flavors",
        {"cpu": "spot", "memory": "disk"},
        [OWN],
        {"zone": "x", "capacity": "spot", "disk": "ssd"},
        [OWN, SPOT],
    ),
    ("a toleration it has already", {"cpu": "spot"}, [SPOT], {"zone": "x", "capacity": "spot"}, [SPOT]),
    ("a flavor that is gone", {"cpu": "gone"}, [OWN], {"zone": "x"}, [OWN]),
    ("no flavor", {}, [], {"zone": "x"}, []),
]


@pytest.mark.parametrize(
    ("flavors", "own", "selector", "tolerations"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_pods_get_what_their_flavors_say(
    flavors: dict[str, str],
    own: list[Toleration],
    selector: dict[str, str],
    tolerations: list[Toleration],
) -> None:
    decided = plan(View(given(flavors, own), flavor_named=FLAVORS.get), at(9))
    made = [one.obj for one in decided.commands if isinstance(one, Create) and isinstance(one.obj, Pod)]
    assert [one.spec.node_selector for one in made] == [selector]
    assert [one.spec.tolerations for one in made] == [tolerations]
