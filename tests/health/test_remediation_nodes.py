"""Nodes taken out of service and brought back: the controller against the real server, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api import labels
from springtide.api.batch import Job
from springtide.api.core import ConfigMap, Node, Pod
from springtide.api.events import Event
from springtide.api.meta import LabelSelector, ObjectMeta, find_condition
from springtide.api.nodehealth import NodeHealth
from springtide.api.policy import PodDisruptionBudget, PodDisruptionBudgetSpec
from springtide.api.remediation import (
    Breaker,
    Drain,
    IncidentPhase,
    RemediationPolicy,
    RemediationRule,
    Repair,
    ReturnToService,
)
from springtide.api.springtide import Diagnosis
from springtide.api.struct import encode, replace
from springtide.client import Conflict, NotFound, execute
from springtide.faults import Fault
from springtide.health import policies_controller, remediation_controller, remediation_node
from springtide.health.incidents import NAMESPACE, is_incident, moved
from springtide.health.remediation_drain import due_to_leave, left_on
from tests import builders
from tests.builders import at
from tests.health.incidentscene import OFF_BUS, asking, policy, seen, spec_of
from tests.training.control_plane import ControlPlane, control_plane

QUICK = ReturnToService(quarantine_seconds=60)
TEMPLATE: dict[str, Any] = {
    "spec": {"template": {"spec": {"containers": [{"name": "fix", "image": "fixer", "command": ["fix"]}]}}}
}


def plane_with_remediation() -> Any:
    return control_plane(remediation_controller.register)


async def node_of(plane: ControlPlane, name: str = "n0") -> Node:
    return await plane.client.get(Node, name)


async def incidents(plane: ControlPlane) -> list[Diagnosis]:
    return [one for one in (await plane.client.list(Diagnosis, NAMESPACE)).items if is_incident(one)]


async def phases(plane: ControlPlane) -> dict[str, str]:
    return {one.spec.node: one.status.phase for one in await incidents(plane)}


async def ledger(plane: ControlPlane) -> dict[str, str]:
    try:
        return (await plane.client.get(ConfigMap, "springtide-cordons", NAMESPACE)).data
    except NotFound:
        return {}


async def events(plane: ControlPlane) -> set[str]:
    await plane.settle(5)
    return {one.reason for one in (await plane.client.list(Event)).items}


def is_out(node: Node) -> bool:
    tainted = any(one.key == labels.TAINT_UNHEALTHY for one in node.spec.taints)
    return node.spec.unschedulable and tainted and labels.CORDONED_FOR in node.metadata.annotations


def is_untouched(node: Node) -> bool:
    ours = (labels.CORDONED_FOR, labels.CORDONED_BEFORE, labels.REPAIR)
    return not node.spec.unschedulable and not node.spec.taints and not {*ours} & {*node.metadata.annotations}


async def test_a_node_a_workload_complains_about_goes_out_at_once_and_returns_after_quarantine() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(returning=QUICK))
        await plane.client.create(asking("n0"))
        await plane.settle(1)
        node = await node_of(plane)
        assert is_out(node)
        told = find_condition(node.status.conditions, "GPUHealthy")
        assert told is not None
        assert (told.status, told.reason) == ("False", "GpuOffBus")
        answered = await plane.client.get(Diagnosis, "job-0", "default")
        assert answered.status.phase in ("Cordoned", "Checking")
        assert await ledger(plane) == {"n0": answered.status.incident}
        assert await phases(plane) == {"n0": "Checking"}
        await plane.settle(61)
        node = await node_of(plane)
        assert is_untouched(node)
        told = find_condition(node.status.conditions, "GPUHealthy")
        assert told is not None
        assert (told.status, told.reason) == ("True", "Returned")
        assert await ledger(plane) == {}
        (incident,) = await incidents(plane)
        done = [(one.type, one.status) for one in incident.status.conditions]
        assert done == [(step, "True") for step in ("Cordoned", "Drained", "Repaired", "Checked", "Returned")]
        assert {"NodeCordoned", "NodeReturned"} <= await events(plane)
        before = await plane.revision()
        await plane.settle(600)
        assert await plane.revision() == before, "a controller at rest writes nothing"


async def test_an_xid_on_an_idle_node_takes_it_out_and_a_user_log_never_does() -> None:
    async with plane_with_remediation() as plane:
        await plane.put(seen("n0"))
        await plane.put(seen("n1", source="log:default/liar/main"))
        await plane.settle(1)
        assert is_out(await node_of(plane, "n0"))
        assert is_untouched(await node_of(plane, "n1"))
        (incident,) = await incidents(plane)
        assert incident.spec.signature
        assert incident.spec.evidence[0].line == OFF_BUS


async def test_a_fault_during_quarantine_begins_it_anew() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(returning=QUICK))
        await plane.put(seen("n0"))
        await plane.settle(50)
        await plane.status(seen("n0"), encode(seen("n0", second=50))["status"])
        await plane.settle(30)
        assert is_out(await node_of(plane))
        await plane.settle(35)
        assert is_untouched(await node_of(plane))
        assert len(await incidents(plane)) == 1


async def test_reporting_only_touches_nothing_and_says_what_would_be_done() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(node_mode="Report"))
        before = encode(await node_of(plane))
        await plane.client.create(asking("n0"))
        await plane.settle(5)
        assert encode(await node_of(plane)) == before
        assert await phases(plane) == {"n0": "Reported"}
        assert (await plane.client.get(Diagnosis, "job-0", "default")).status.phase == "Reported"
        assert await ledger(plane) == {}
        assert "WouldCordon" in await events(plane)


async def test_no_more_nodes_than_the_cap_are_out_and_the_next_follows_when_one_returns() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(returning=QUICK, breaker=Breaker(max_cordoned="1")))
        await plane.client.create(asking("n0", "job-0"))
        await plane.settle(1)
        await plane.client.create(asking("n1", "job-1", fault=Fault.NIC_FAULT))
        await plane.settle(1)
        assert is_out(await node_of(plane, "n0"))
        assert is_untouched(await node_of(plane, "n1"))
        assert (await plane.client.get(Diagnosis, "job-1", "default")).status.phase == "Withheld"
        await plane.settle(62)
        assert is_untouched(await node_of(plane, "n0"))
        assert is_out(await node_of(plane, "n1"))


async def test_what_many_nodes_show_at_once_is_none_of_their_faults() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(breaker=Breaker(max_cordoned="100%", symptom_nodes=3)))
        for index in range(2, 6):
            await plane.put(builders.node(f"n{index}"))
        for index in range(4):
            await plane.client.create(asking(f"n{index}", f"job-{index}"))
            await plane.settle(1)
        await plane.settle(5)
        for index in range(4):
            assert is_untouched(await node_of(plane, f"n{index}")), index
        assert set((await phases(plane)).values()) == {"Withheld"}
        system = (await plane.client.list(Diagnosis, NAMESPACE)).items
        (said,) = [one for one in system if not is_incident(one)]
        assert (said.spec.blame, said.spec.action, said.spec.node) == ("platform", "ignore", "")
        assert "n0, n1, n2" in said.spec.message
        assert await ledger(plane) == {}


async def test_a_persons_cordon_stays_when_ours_goes() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(returning=QUICK))
        await plane.client.patch(Node, "n0", "", {"spec": {"unschedulable": True}})
        await plane.client.create(asking("n0"))
        await plane.settle(1)
        assert is_out(await node_of(plane))
        await plane.settle(62)
        node = await node_of(plane)
        assert node.spec.unschedulable
        assert not node.spec.taints
        assert labels.CORDONED_FOR not in node.metadata.annotations


async def test_a_person_who_uncordons_the_node_has_the_last_word() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(asking("n0"))
        await plane.settle(1)
        await plane.client.patch(Node, "n0", "", {"spec": {"unschedulable": None}})
        await plane.settle(2)
        assert await phases(plane) == {"n0": "Released"}
        assert is_untouched(await node_of(plane))
        assert await ledger(plane) == {}


async def test_a_person_who_uncordons_the_node_while_it_is_being_cordoned_has_the_last_word() -> None:
    """Between the cordon and the phase that says so; their own cordon from before is theirs no more."""
    async with plane_with_remediation() as plane:
        incident = Diagnosis(metadata=ObjectMeta(name="n0.1", namespace=NAMESPACE), spec=spec_of("n0"))
        marked = {labels.CORDONED_FOR: "n0.1", labels.CORDONED_BEFORE: "true"}
        taint = {"key": labels.TAINT_UNHEALTHY, "effect": "NoSchedule"}
        body = {"metadata": {"annotations": marked}, "spec": {"taints": [taint]}}
        await plane.client.patch(Node, "n0", "", body)
        await plane.client.create(incident)
        await plane.settle(3)
        assert await phases(plane) == {"n0": "Released"}
        assert is_untouched(await node_of(plane))


@pytest.mark.parametrize(
    ("cordoned", "notes", "before"),
    [
        (False, {}, None),
        (True, {}, "true"),
        (True, {labels.CORDONED_FOR: "n0.1"}, None),
        (True, {labels.CORDONED_FOR: "n0.1", labels.CORDONED_BEFORE: "true"}, "true"),
        (False, {labels.CORDONED_FOR: "n0.1", labels.CORDONED_BEFORE: "true"}, None),
    ],
    ids=["in service", "a person's", "an earlier incident's", "both", "taken back since"],
)
def test_only_a_cordon_that_is_not_ours_is_kept_when_ours_goes(
    cordoned: bool, notes: dict[str, str], before: str | None
) -> None:
    made = builders.node("n0")
    made = replace(
        made,
        metadata=replace(made.metadata, annotations=notes),
        spec=replace(made.spec, unschedulable=cordoned),
    )
    incident = Diagnosis(metadata=ObjectMeta(name="n0.2", namespace=NAMESPACE), spec=spec_of("n0"))
    patch = remediation_node.cordon(made, incident, builders.at(0), no_execute=False)
    written = {**notes, **patch.body["metadata"]["annotations"]}
    assert (written[labels.CORDONED_FOR], written.get(labels.CORDONED_BEFORE)) == ("n0.2", before)


async def test_a_late_write_does_not_take_an_incident_back() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(returning=QUICK))
        await plane.client.create(asking("n0"))
        await plane.settle(1)
        (seen_now,) = await incidents(plane)
        await plane.settle(61)
        late = moved(seen_now, IncidentPhase.REPAIRING, "no pods are left", builders.at(0))
        with pytest.raises(Conflict):
            await execute(plane.client, [late])
        assert await phases(plane) == {"n0": "Returned"}


async def test_a_deleted_incident_returns_its_node() -> None:
    async with plane_with_remediation() as plane:
        await plane.put(seen("n0"))
        await plane.settle(1)
        (incident,) = await incidents(plane)
        await plane.client.delete(NodeHealth, "n0")
        await plane.client.delete(Diagnosis, incident.metadata.name, NAMESPACE)
        await plane.settle(3)
        assert is_untouched(await node_of(plane))
        assert await ledger(plane) == {}


async def test_pods_leave_by_eviction_as_their_budget_allows() -> None:
    async with plane_with_remediation() as plane:
        guarded = builders.pod("guarded", node="n0", phase="Running", ready=True, labelled={"app": "a"})
        free = builders.pod("free", node="n0", phase="Running", ready=True)
        await plane.put(guarded)
        await plane.put(free)
        budget = PodDisruptionBudget(
            metadata=ObjectMeta(name="a", namespace="default"),
            spec=PodDisruptionBudgetSpec(
                max_unavailable=0, selector=LabelSelector(match_labels={"app": "a"})
            ),
        )
        await plane.client.create(budget)
        await plane.client.create(policy(drain=Drain(timeout_seconds=100), returning=QUICK))
        await plane.client.create(asking("n0"))
        await plane.settle(45)
        left = {pod.metadata.name: pod for pod in (await plane.client.list(Pod, "default")).items}
        assert left["guarded"].metadata.deletion_timestamp is None
        assert "free" not in left or left["free"].metadata.deletion_timestamp is not None
        assert await phases(plane) == {"n0": "Cordoned"}
        await plane.settle(60)
        assert await phases(plane) == {"n0": "Checking"}, "the drain has an end all the same"


@pytest.mark.parametrize(("ends", "phase"), [("Complete", "Checking"), ("Failed", "Held")])
async def test_a_job_mends_the_node(ends: str, phase: str) -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(repair=Repair(job_template=TEMPLATE), returning=QUICK))
        await plane.client.create(asking("n0"))
        await plane.settle(2)
        (job,) = (await plane.client.list(Job, NAMESPACE)).items
        pod = job.spec.template.spec
        assert pod.node_name == "n0"
        told = {one.name: one.value for one in pod.containers[0].env}
        assert told == {"NODE_NAME": "n0", "FAULT_CLASS": "GpuOffBus", "SIGNATURE": "", "DEVICE": ""}
        condition = {
            "type": ends,
            "status": "True",
            "reason": "Test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        await end_job(plane, job, condition)
        await plane.settle(2)
        assert await phases(plane) == {"n0": phase}
        assert is_out(await node_of(plane))


async def end_job(plane: ControlPlane, job: Job, condition: dict[str, str]) -> None:
    begun = "2026-01-01T00:00:00Z"
    complete = condition["type"] == "Complete"
    first = {**condition, "type": "SuccessCriteriaMet" if complete else "FailureTarget"}
    status: dict[str, Any] = {"startTime": begun, "conditions": [first, condition]}
    if complete:
        status |= {"completionTime": begun, "succeeded": 1}
    await plane.status(job, status)


async def test_an_external_repairer_is_asked_and_answers() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(repair=Repair(external=True), returning=QUICK))
        await plane.client.create(asking("n0"))
        await plane.settle(2)
        node = await node_of(plane)
        assert node.metadata.annotations[labels.REPAIR] == "wanted"
        answer = {"metadata": {"annotations": {labels.REPAIR: "done"}}}
        await plane.client.patch(Node, "n0", "", answer)
        await plane.settle(2)
        assert await phases(plane) == {"n0": "Checking"}
        await plane.settle(62)
        assert is_untouched(await node_of(plane))


async def test_a_node_that_fails_again_and_again_is_held_for_a_person() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(policy(returning=ReturnToService(quarantine_seconds=10, incidents=3)))
        for index in range(3):
            await plane.client.create(asking("n0", f"job-{index}", detected_at=plane.clock.now()))
            await plane.settle(20)
        assert sorted(one.status.phase for one in await incidents(plane)) == ["Held", "Returned", "Returned"]
        node = await node_of(plane)
        assert is_out(node)
        await plane.settle(10_000)
        assert is_out(await node_of(plane))
        assert "NodeHeld" in await events(plane)


async def test_a_node_that_is_gone_ends_its_incident_and_frees_its_line_in_the_ledger() -> None:
    async with plane_with_remediation() as plane:
        await plane.client.create(asking("n0"))
        await plane.settle(1)
        await plane.client.delete(Node, "n0")
        await plane.settle(2)
        assert await phases(plane) == {"n0": "Released"}
        assert await ledger(plane) == {}


async def test_a_template_that_cannot_be_read_calls_a_person_and_names_the_field() -> None:
    async with plane_with_remediation() as plane:
        wrong = {"spec": {"template": {"spec": {"containers": [{"name": "fix", "command": "fix"}]}}}}
        await plane.client.create(policy(repair=Repair(job_template=wrong)))
        await plane.client.create(asking("n0"))
        await plane.settle(2)
        (incident,) = await incidents(plane)
        assert incident.status.phase == "Held"
        assert "command" in incident.status.message


async def test_a_collector_that_falls_silent_is_spoken_of_and_nothing_is_done() -> None:
    async with plane_with_remediation() as plane:
        await plane.put(seen("n0", line="all is well"))
        await plane.settle(200)
        (silent,) = (await plane.client.list(Diagnosis, NAMESPACE)).items
        assert (silent.spec.fault_class, silent.spec.action) == ("CollectorSilent", "ignore")
        assert is_untouched(await node_of(plane))
        await plane.status(seen("n0"), encode(seen("n0", "all is well", second=200))["status"])
        await plane.settle(2)
        (silent,) = (await plane.client.list(Diagnosis, NAMESPACE)).items
        assert silent.status.phase == "Returned"


async def test_a_site_may_let_a_kernel_line_pass() -> None:
    async with plane_with_remediation() as plane:
        rule = RemediationRule(fault_classes=["GpuOffBus"], steps=["Ignore"])
        await plane.client.create(policy(rules=[rule]))
        await plane.put(seen("n0"))
        await plane.settle(2)
        assert await incidents(plane) == []
        assert is_untouched(await node_of(plane))


async def test_an_unsure_incident_leaves_the_node_in_service() -> None:
    async with plane_with_remediation() as plane:
        made = Diagnosis(
            metadata=ObjectMeta(name="slow", namespace=NAMESPACE),
            spec=spec_of("n0", Fault.STRAGGLER, confidence=0.6),
        )
        await plane.client.create(made)
        await plane.settle(2)
        assert await phases(plane) == {"n0": "Withheld"}
        assert is_untouched(await node_of(plane))


async def test_a_policy_is_told_what_it_misspells() -> None:
    async with control_plane(policies_controller.register) as plane:
        rule = RemediationRule(signatures=["xid_79_of_the_bus"], steps=["CordonAndEvict"])
        await plane.client.create(policy("wrong", rules=[rule]))
        await plane.client.create(policy("right"))
        await plane.settle(1)
        wrong = await plane.client.get(RemediationPolicy, "wrong")
        (told,) = wrong.status.conditions
        assert (told.type, told.status, told.reason) == ("Valid", "False", "UnknownNames")
        assert "spec.rules[0].signatures names 'xid_79_of_the_bus'" in told.message
        (told,) = (await plane.client.get(RemediationPolicy, "right")).status.conditions
        assert told.status == "True"
        before = await plane.revision()
        await plane.settle(60)
        assert await plane.revision() == before


@pytest.mark.parametrize("said", ['{"checkpointTime": "2026-01-01T00:00:00"}', '{"checkpointTime": 7}', "x"])
def test_a_report_that_no_sdk_wrote_is_no_checkpoint_and_breaks_nothing(said: str) -> None:
    pod = Pod(metadata=ObjectMeta(name="job-0", namespace="default", annotations={labels.PROGRESS: said}))
    due, _ = due_to_leave([pod], at(0), Drain(checkpoint_seconds=600), at(1))
    assert due == [pod]


def test_only_jobs_of_the_platform_stay_on_a_node_that_is_drained() -> None:
    def marked(namespace: str) -> Pod:
        return Pod(metadata=ObjectMeta(name="p", namespace=namespace, labels={labels.INCIDENT: "node-0.x"}))

    assert left_on([marked("kube-system"), marked("default")]) == [marked("default")]
