"""The table of states of `workloads.plan`, row by row, and the pods it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Emit
from springtide.api.core import Node, Pod, PodCondition, PodTemplateSpec, Service
from springtide.api.kueue import Workload, assign_devices
from springtide.api.meta import Condition, ObjectMeta, OwnerReference, owner_reference
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.api.struct import decode, encode, replace
from springtide.workloads import View, plan
from springtide.workloads.plan import refuse
from springtide.workloads.pods import peer_service, pod_for, slots_of
from tests.builders import admitted, at, evicted, gpu_node, pod_set, pod_spec, with_condition, workload

GANG = admitted(workload("trainjob-job", pod_set(3)), {"a": 2, "b": 1})
CREATED = with_condition(
    GANG, "PodsReady", "False", reason="WaitForStart", message="Waits for 3 pods to be ready"
)
STARTED = with_condition(GANG, "PodsReady", reason="Started", message="All 3 pods are ready")
WAITING = workload("trainjob-job", pod_set(3))


def pods_of(obj: Workload, phase: str = "Running", *, ready: bool = True) -> list[Pod]:
    """The pods as this room creates them and a node runs them."""
    made = []
    for slot in slots_of(obj) or []:
        found = pod_for(obj, slot)
        status = replace(
            found.status,
            phase=phase,
            conditions=[
                PodCondition(type="Ready", status="True" if ready and phase == "Running" else "False")
            ],
        )
        metadata = replace(found.metadata, uid=f"uid-{slot.pod}")
        made.append(replace(found, metadata=metadata, status=status))
    return made


def in_phase(pod: Pod, phase: str) -> Pod:
    return replace(pod, status=replace(pod.status, phase=phase, conditions=[]))


def next_attempt(obj: Workload, attempt: int) -> Workload:
    return admitted(
        replace(obj, status=type(obj.status)(conditions=obj.status.conditions)),
        {"a": 2, "b": 1},
        attempt=attempt,
    )


def diagnosis(attempt: int = 0, action: str = "fail_fast", owner: Workload = GANG) -> Diagnosis:
    return Diagnosis(
        metadata=ObjectMeta(name="d", namespace="default", owner_references=[owner_reference(owner)]),
        spec=DiagnosisSpec(
            workload="trainjob-job",
            attempt=attempt,
            action=action,
            message="rank 1: ValueError: bad batch (train.py:7)",
        ),
    )


def said(commands: Sequence[Command]) -> list[str]:
    """Commands in short, in their order."""
    return [_say(command) for command in commands]


def _say(command: Command) -> str:
    match command:
        case Create(obj=obj):
            return (
                f"create {obj.kind} {obj.metadata.name[:-6] if isinstance(obj, Pod) else obj.metadata.name}"
            )
        case Delete(name=name):
            return f"delete {name[:-6]}"
        case Apply(fields=fields):
            conditions = [decode(Condition, raw) for raw in fields["status"]["conditions"]]
            return ", ".join(f"{c.type}={c.status} {c.reason}" for c in conditions)
        case Emit(reason=reason):
            return f"emit {reason}"
    raise AssertionError(f"unexpected {command}")


CREATE_ALL = ["create Pod job-node-0-0", "create Pod job-node-0-1", "create Pod job-node-0-2"]
DELETE_ALL = ["delete job-node-0-0", "delete job-node-0-1", "delete job-node-0-2"]
SERVICE = peer_service(GANG)


@dataclass(frozen=True)
class Row:
    """One state and what is done about it."""

    why: str
    workload: Workload
    expected: list[str]
    pods: list[Pod] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    service: Service | None = SERVICE


ROWS = [
    Row("a workload that waits for admission has nothing", WAITING, []),
    Row(
        "an admitted workload gets its Service, all its pods, then the mark",
        GANG,
        ["create Service job", *CREATE_ALL, "PodsReady=False WaitForStart"],
        service=None,
    ),
    Row(
        "creation that was cut off goes on with what is missing",
        GANG,
        [CREATE_ALL[2], "PodsReady=False WaitForStart"],
        pods=pods_of(GANG)[:2],
    ),
    Row("a created gang that is not ready yet is waited for", CREATED, [], pods=pods_of(CREATED, "Pending")),
    Row(
        "a gang whose pods are all ready is ready", CREATED, ["PodsReady=True Started"], pods=pods_of(CREATED)
    ),
    Row("a ready gang is left alone", STARTED, [], pods=pods_of(STARTED)),
    Row(
        "pods that succeeded count as ready while others run",
        CREATED,
        ["PodsReady=True Started"],
        pods=[in_phase(pods_of(CREATED)[0], "Succeeded"), *pods_of(CREATED)[1:]],
    ),
    Row(
        "a gang that lost readiness waits for recovery",
        STARTED,
        ["PodsReady=False WaitForRecovery"],
        pods=pods_of(STARTED, ready=False),
    ),
    Row(
        "a gang that got it back has recovered",
        with_condition(STARTED, "PodsReady", "False", reason="WaitForRecovery"),
        ["PodsReady=True Recovered"],
        pods=pods_of(STARTED),
    ),
    Row(
        "a pod that vanished is not created again",
        STARTED,
        ["PodsReady=False WaitForRecovery"],
        pods=pods_of(STARTED)[1:],
    ),
    Row(
        "a gang that vanished before it was ready is not created again",
        CREATED,
        ["PodsReady=False WaitForStart"],
    ),
    Row(
        "a Service that vanished is",
        STARTED,
        ["create Service job"],
        pods=pods_of(STARTED),
        service=None,
    ),
    Row(
        "the workload succeeds with its last pod",
        STARTED,
        ["PodsReady=True Started, Finished=True Succeeded"],
        pods=pods_of(STARTED, "Succeeded"),
    ),
    Row(
        "a pod that failed is for health to judge",
        STARTED,
        ["PodsReady=False WaitForRecovery"],
        pods=[in_phase(pods_of(STARTED)[0], "Failed"), *pods_of(STARTED)[1:]],
    ),
    Row(
        "a verdict of fail_fast ends it, and with it the pods that still run",
        STARTED,
        ["PodsReady=True Started, Finished=True Failed", *DELETE_ALL[1:]],
        pods=[in_phase(pods_of(STARTED)[0], "Failed"), *pods_of(STARTED)[1:]],
        diagnoses=[diagnosis()],
    ),
    Row(
        "a verdict on an earlier attempt does not",
        next_attempt(STARTED, 1),
        [],
        pods=pods_of(next_attempt(STARTED, 1)),
        diagnoses=[diagnosis(attempt=0)],
    ),
    Row(
        "a verdict on an earlier workload of that name does not",
        STARTED,
        [],
        pods=pods_of(STARTED),
        diagnoses=[diagnosis(owner=workload("trainjob-job", namespace="other"))],
    ),
    Row(
        "a verdict to restart leaves the attempt to the scheduler",
        STARTED,
        [],
        pods=pods_of(STARTED),
        diagnoses=[diagnosis(action="restart_in_place")],
    ),
    Row(
        "an evicted workload that still has its admission is left alone",
        evicted(STARTED),
        [],
        pods=pods_of(STARTED),
    ),
    Row(
        "without admission the pods go and the mark is taken back",
        with_condition(WAITING, "PodsReady", reason="Started"),
        [*DELETE_ALL, "PodsReady=False NotAdmitted"],
        pods=pods_of(STARTED),
    ),
    Row(
        "the next attempt is not created beside the pods of the last",
        next_attempt(with_condition(WAITING, "PodsReady", "False", reason="NotAdmitted"), 1),
        [DELETE_ALL[0]],
        pods=pods_of(GANG)[:1],
    ),
    Row(
        "nor beside those of an earlier workload of the same name, which are not ours to delete",
        GANG,
        [],
        pods=[
            replace(
                pods_of(GANG)[0],
                metadata=replace(
                    pods_of(GANG)[0].metadata,
                    owner_references=[
                        OwnerReference(
                            api_version="v",
                            kind="Workload",
                            name="trainjob-job",
                            uid="older",
                            controller=True,
                        )
                    ],
                ),
            )
        ],
    ),
    Row(
        "a finished workload keeps the pods that ended and no others",
        with_condition(STARTED, "Finished", reason="Failed"),
        [DELETE_ALL[1]],
        pods=[in_phase(pods_of(GANG)[0], "Failed"), pods_of(GANG)[1]],
    ),
    Row(
        "an admission that does not go down to nodes creates nothing and says so",
        admitted(WAITING, {"a": 2}),
        ["emit IncompleteAdmission"],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.why)
def test_every_state_has_its_step(row: Row) -> None:
    view = View(row.workload, row.pods, row.service, row.diagnoses)
    decided = plan(view, at(100))
    assert said(decided.commands) == row.expected


def test_the_cause_of_a_failure_is_copied_from_the_diagnosis() -> None:
    decided = plan(View(STARTED, pods_of(STARTED), SERVICE, [diagnosis()]), at(100))
    finish = decided.commands[0]
    assert isinstance(finish, Apply)
    conditions = [decode(Condition, raw) for raw in finish.fields["status"]["conditions"]]
    assert conditions[1].message == "rank 1: ValueError: bad batch (train.py:7)"
    assert conditions[1].last_transition_time == at(100)


def test_pods_being_deleted_are_not_deleted_again() -> None:
    leaving = [
        replace(found, metadata=replace(found.metadata, deletion_timestamp=at(1)))
        for found in pods_of(STARTED)
    ]
    assert plan(View(WAITING, leaving, SERVICE), at(100)).commands == ()


@pytest.mark.parametrize(
    ("why", "reason", "fault", "own", "grace"),
    [
        ("a broken gang has little to say", "NodeFailures", "Killed", 30, 5),
        ("who asked for less gets less", "NodeFailures", "Killed", 3, None),
        ("pods that were asked to go may save a checkpoint", "NodeFailures", "PodDeleted", 30, None),
        ("so may those that go for somebody else", "Preempted", "Killed", 30, None),
    ],
)
def test_how_long_pods_have_to_end(why: str, reason: str, fault: str, own: int, grace: int | None) -> None:
    told = diagnosis(action="restart_in_place")
    told = replace(told, spec=replace(told.spec, fault_class=fault))
    ending = with_condition(with_condition(WAITING, "Evicted", reason=reason), "PodsReady", reason="Started")
    pods = [
        replace(pod, spec=replace(pod.spec, termination_grace_period_seconds=own)) for pod in pods_of(STARTED)
    ]
    deletes = [
        one for one in plan(View(ending, pods, SERVICE, [told]), at(100)).commands if isinstance(one, Delete)
    ]
    assert [one.grace_period_seconds for one in deletes] == [grace] * 3, why


def test_a_workload_being_deleted_is_left_to_the_garbage_collector() -> None:
    leaving = replace(GANG, metadata=replace(GANG.metadata, deletion_timestamp=at(1)))
    assert plan(View(leaving), at(100)).commands == ()


def test_a_pod_carries_its_template_its_place_and_its_identity() -> None:
    template = decode(
        PodTemplateSpec,
        {
            "metadata": {
                "labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"},
                "annotations": {"team": "vision"},
            },
            "spec": {
                **encode(pod_spec(cpu=1)),
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "schedulingGates": [{"name": "kueue.x-k8s.io/admission"}, {"name": "mine"}],
                "fieldOfTomorrow": 7,
            },
        },
    )
    sets = [replace(pod_set(3), template=template)]
    obj = admitted(workload("trainjob-job", *sets), {"a": 2, "b": 1}, attempt=2)
    slots = slots_of(obj)
    assert slots is not None
    assert [slot.node for slot in slots] == ["a", "a", "b"]
    made = pod_for(obj, slots[2])
    assert made.metadata.name.startswith("job-node-0-2-")
    assert made.metadata.labels == {
        "trainer.kubeflow.org/trainjob-ancestor-step": "trainer",
        labels.WORKLOAD: "trainjob-job",
        labels.ATTEMPT: "2",
        labels.PODSET: "node",
        labels.JOBSET_NAME: "job",
        labels.REPLICATED_JOB_NAME: "node",
        labels.JOB_COMPLETION_INDEX: "2",
    }
    assert made.metadata.annotations == {"team": "vision", labels.JOB_COMPLETION_INDEX: "2"}
    assert made.metadata.owner_references[0].uid == obj.metadata.uid
    assert (made.spec.hostname, made.spec.subdomain) == ("job-node-0-2", "job")
    assert (made.spec.node_name, made.spec.scheduler_name) == ("b", "springtide")
    assert [gate.name for gate in made.spec.scheduling_gates] == ["mine"]
    assert made.spec.tolerations[0].key == "gpu"
    assert made.spec.unknown == {"fieldOfTomorrow": 7}


SHARED = (
    f"{labels.DEVICES}: 1",
    "hami.io/vgpu-devices-to-allocate: n1-gpu1,NVIDIA,12000,30:;",
    "hami.io/vgpu-devices-allocated: n1-gpu1,NVIDIA,12000,30:;",
    "hami.io/vgpu-node: n1",
    "hami.io/vgpu-time: 1767225600",
    "hami.io/bind-phase: allocating",
    "hami.io/bind-time: 1767225600",
)
DEVICES = [
    ("as the node names it", gpu_node("n1"), [("n1", "1", 1)], SHARED),
    ("a node that lost it", gpu_node("n1", gpus=1), [("n1", "1", 1)], SHARED[:1]),
    ("a node that is gone", None, [("n1", "1", 1)], SHARED[:1]),
    ("a node that names none", gpu_node("n1"), [("n1", "-", 1)], ()),
]


@pytest.mark.parametrize(
    ("there", "places", "said"), [row[1:] for row in DEVICES], ids=[r[0] for r in DEVICES]
)
def test_a_pod_says_which_devices_it_was_given(
    there: Node | None, places: list[tuple[str, str, int]], said: tuple[str, ...]
) -> None:
    """What its template says of devices is of another pod."""
    spec = pod_spec(gpu=1, more={"nvidia.com/gpucores": 30})
    stale = {"hami.io/vgpu-devices-allocated": "other,NVIDIA,1,1:;", labels.DEVICES: "7"}
    obj = admitted(workload("trainjob-job", pod_set(1, spec, annotated=stale)), {"n1": 1})
    admission = obj.status.admission
    assert admission is not None
    given = replace(admission.pod_set_assignments[0], topology_assignment=assign_devices(places))
    obj = replace(obj, status=replace(obj.status, admission=replace(admission, pod_set_assignments=[given])))
    view = View(obj, node_named=lambda name: there if name == "n1" else None)
    made = [command.obj for command in plan(view, at(9)).commands if isinstance(command, Create)]
    created = next(found for found in made if isinstance(found, Pod))
    annotations = dict(created.metadata.annotations)
    assert annotations.pop(labels.JOB_COMPLETION_INDEX) == "0"
    assert tuple(f"{key}: {text}" for key, text in annotations.items()) == said


def test_names_differ_between_attempts_and_workloads_and_never_otherwise() -> None:
    def names(obj: Workload) -> list[str]:
        return [slot.pod for slot in slots_of(obj) or []]

    assert names(GANG) == names(STARTED)
    other = replace(GANG, metadata=replace(GANG.metadata, uid="another"))
    assert len({*names(GANG), *names(next_attempt(GANG, 1)), *names(other)}) == 9


def test_the_service_names_the_pods_of_the_job_before_they_are_ready() -> None:
    made = peer_service(GANG)
    assert made.spec.cluster_ip == "None"
    assert made.spec.selector == {labels.JOBSET_NAME: "job"}
    assert made.spec.publish_not_ready_addresses


def test_a_workload_whose_pods_are_invalid_fails_with_the_servers_words() -> None:
    decided = refuse(
        View(GANG, pods_of(GANG)[:1], SERVICE), "spec.containers[0].image: Required value", at(1)
    )
    assert said(decided.commands) == ["Finished=True Failed", DELETE_ALL[0]]
