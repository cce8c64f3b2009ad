"""Jobs of Volcano from manifest to end, through the real API server and rooms."""

from __future__ import annotations

from typing import Any

from springtide.api import labels
from springtide.api.core import ConfigMap, Pod
from springtide.api.struct import decode
from springtide.api.volcano import Queue
from springtide.api.volcano_batch import Job
from springtide.client import NotFound
from tests.volcano.scene import (
    events,
    fail,
    job,
    let_go,
    names,
    phase,
    platform,
    rule,
    task,
    the_group,
    the_job,
    the_workload,
    uids,
)


async def test_a_job_becomes_a_podgroup_a_workload_and_pods_with_volcanos_names() -> None:
    async with platform() as found:
        await found.create(job("tf", task("ps"), task("worker", 2), minAvailable=3))
        await found.settle()
        assert await names(found) == ["tf-ps-0", "tf-worker-0", "tf-worker-1"]
        assert (await phase(found, "tf"), (await the_group(found)).status.phase) == ("Pending", "Inqueue")
        await found.play("Running")
        await found.settle()
        made = await the_job(found, "tf")
        group = await the_group(found)
    status = made.status
    assert (status.state.phase, status.running, status.min_available) == ("Running", 3, 3)
    assert status.task_status_count["worker"].phase == {"Running": 2}
    assert [one.status for one in status.conditions] == ["Pending", "Running"]
    assert group.metadata.name == f"tf-{made.metadata.uid}"
    assert (group.spec.min_member, group.spec.min_task_member) == (3, {"ps": 1, "worker": 2})
    assert group.spec.min_resources == {"cpu": "3"}
    assert (group.status.phase, group.status.running) == ("Running", 3)
    assert group.status.conditions[0].type == "Scheduled"


async def test_a_job_that_does_not_fit_waits_whole_and_its_podgroup_says_why() -> None:
    async with platform(cpu=2) as found:
        await found.create(job("big", task("worker", 3)))
        await found.settle()
        made, group = await the_job(found, "big"), await the_group(found)
        assert await names(found) == []
    assert made.status.state.phase == "Pending"
    assert "the cluster can never hold it" in made.status.state.message
    assert (group.status.phase, group.status.conditions[0].type) == ("Pending", "Unschedulable")


async def test_pods_bear_the_labels_and_annotations_of_volcano() -> None:
    async with platform() as found:
        await found.create(job("tf", task("worker", 2)))
        await found.settle()
        pods, group = await found.pods(), await the_group(found)
    for index, pod in enumerate(pods):
        meta = pod.metadata
        assert meta.labels["volcano.sh/job-name"] == "tf"
        assert meta.labels["volcano.sh/job-namespace"] == "default"
        assert meta.labels["volcano.sh/task-spec"] == "worker"
        assert meta.labels["volcano.sh/task-index"] == str(index)
        assert meta.labels["volcano.sh/queue-name"] == "default"
        assert meta.annotations["scheduling.k8s.io/group-name"] == group.metadata.name
        assert (pod.spec.hostname, pod.spec.subdomain) == (f"tf-worker-{index}", "tf")


async def test_a_job_completes_when_all_pods_have_ended_and_enough_succeeded() -> None:
    async with platform() as found:
        await found.create(job("job", task("worker", 3), minAvailable=2))
        await found.settle()
        await found.play("Running")
        await fail(found, "job-worker-2")
        await found.settle()
        assert await phase(found) == "Running"
        await found.play("Succeeded", "job-worker-0", "job-worker-1")
        await found.settle()
        made = await the_job(found)
        assert await names(found) == ["job-worker-0", "job-worker-1", "job-worker-2"], "their logs stay"
        assert (await the_group(found)).status.phase == "Completed"
        finished = {one.type: one for one in (await the_workload(found)).status.conditions}["Finished"]
    assert (made.status.state.phase, made.status.succeeded, made.status.failed) == ("Completed", 2, 1)
    assert made.status.running_duration
    assert (finished.status, finished.reason) == ("True", "Succeeded")


async def test_a_job_starts_with_its_fewest_pods_and_the_others_follow_when_there_is_room() -> None:
    three = {"metadata": {"name": "three"}, "spec": {"capability": {"cpu": "3"}}}
    for policies, queue, cpu in (([], "default", 3), ([rule("RestartJob", "PodEvicted")], "three", 8)):
        async with platform(decode(Queue, three), cpu=cpu) as found:
            await found.create(job("job", task("worker", 4), minAvailable=2, policies=policies, queue=queue))
            await found.settle()
            assert await names(found) == ["job-worker-0", "job-worker-1", "job-worker-2"]
            await found.play("Running")
            await found.settle()
            assert await phase(found) == "Running"
            await found.play("Succeeded")
            await found.settle()
            assert await names(found) == [f"job-worker-{index}" for index in range(4)]
            assert await phase(found) == "Running"
            await found.play("Succeeded")
            await found.settle()
            made = await the_job(found)
        assert (made.status.state.phase, made.status.succeeded) == ("Completed", 4)
        assert made.status.retry_count == 0


async def test_a_job_gives_up_what_it_can_spare_and_gets_it_back_later() -> None:
    mine = decode(Queue, {"metadata": {"name": "mine"}, "spec": {"deserved": {"cpu": "2"}}})
    other = decode(Queue, {"metadata": {"name": "other"}, "spec": {"deserved": {"cpu": "2"}}})
    rules = [rule("RestartJob", "PodEvicted")]
    async with platform(mine, other, cpu=4) as found:
        spare = job("job", task("worker", 4), minAvailable=2, queue="other", policies=rules)
        await found.create(spare)
        await found.settle()
        await found.play("Running")
        await found.settle()
        before = await uids(found)
        await found.create(job("late", task("worker", 2), queue="mine"))
        await let_go(found)
        now = await uids(found)
        assert sorted(now.keys() - before.keys()) == ["late-worker-0", "late-worker-1"]
        assert len(now.keys() & before.keys()) == 2
        await found.play("Running", "late")
        await found.settle()
        await found.play("Succeeded", "late")
        await found.settle()
        after, made = await uids(found), await the_job(found)
    assert {name for name in after if name.startswith("job-")} == before.keys()
    assert all(after[name] == now[name] for name in now)
    assert (made.status.state.phase, made.status.retry_count) == ("Running", 0)


async def test_with_fewer_nodes_than_its_fewest_pods_need_nothing_starts() -> None:
    async with platform(cpu=1) as found:
        await found.create(job("job", task("worker", 4), minAvailable=2))
        await found.settle()
        assert await names(found) == []


async def test_a_job_fails_when_too_few_succeed() -> None:
    async with platform() as found:
        await found.create(job("job", task("worker", 2)))
        await found.settle()
        await found.play("Succeeded", "job-worker-0")
        await fail(found, "job-worker-1")
        await found.settle()
        made = await the_job(found)
    assert made.status.state.phase == "Failed"
    assert made.status.state.message == "1 of 2 pods succeeded, minAvailable is 2"


async def test_min_success_ends_a_job_early_and_stops_the_rest() -> None:
    async with platform() as found:
        await found.create(job("job", task("worker", 3), minSuccess=1))
        await found.settle()
        await found.play("Running")
        await found.play("Succeeded", "job-worker-1")
        await let_go(found)
        assert await phase(found) == "Completed"
        assert await names(found) == ["job-worker-1"]


async def test_restartjob_on_a_pod_that_failed_starts_all_pods_anew() -> None:
    async with platform() as found:
        await found.create(job(policies=[rule("RestartJob", "PodFailed")]))
        await found.settle()
        await found.play("Running")
        before = await uids(found)
        await fail(found, "job-worker-1", 137)
        await found.settle()
        assert await phase(found) == "Restarting"
        await let_go(found)
        after, made = await uids(found), await the_job(found)
        assert (made.status.state.phase, made.status.retry_count) == ("Pending", 1)
        await found.play("Running")
        await found.settle()
        assert await phase(found) == "Running"
        told = await events(found, "ExecuteAction")
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert told == [
        "Start to execute action RestartJob on PodFailed: pod job-worker-1 failed with exit code 137"
    ]


async def test_restartjob_on_a_pod_that_was_killed_and_is_gone_at_once() -> None:
    async with platform() as found:
        await found.create(job(policies=[rule("RestartJob", "PodEvicted")]))
        await found.settle()
        await found.play("Running")
        await found.settle()
        before = await uids(found)
        await found.client.delete(Pod, "job-worker-0", "default", grace_period_seconds=0)
        await let_go(found)
        after = await uids(found)
        assert (await the_job(found)).status.retry_count == 1
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


async def test_without_rules_a_pod_that_is_deleted_is_made_again_and_the_others_run_on() -> None:
    async with platform() as found:
        await found.create(job())
        await found.settle()
        await found.play("Running")
        await found.settle()
        before = await uids(found)
        await found.client.delete(Pod, "job-worker-0", "default", grace_period_seconds=0)
        await let_go(found)
        after, made = await uids(found), await the_job(found)
    assert after["job-worker-0"] != before["job-worker-0"]
    assert after["job-worker-1"] == before["job-worker-1"]
    assert (made.status.state.phase, made.status.retry_count) == ("Running", 0)


async def test_restartpod_and_restarttask_leave_the_others_alone() -> None:
    anew = {
        "RestartPod": {"worker-1"},
        "RestartTask": {"worker-0", "worker-1"},
        "RestartPartition": {"worker-0", "worker-1"},
    }
    partition: dict[str, Any] = {"partitionPolicy": {"totalPartitions": 2, "partitionSize": 2}}
    worker = task("worker", 2), task("worker", 2), task("worker", 4, **partition)
    async with platform(cpu=20) as found:
        for action, workers in zip(anew, worker, strict=True):
            rules = [rule(action, "PodFailed")]
            await found.create(job(action.lower(), task("ps"), workers, policies=rules))
        await found.settle()
        await found.play("Running")
        before = await uids(found)
        for action in anew:
            await fail(found, f"{action.lower()}-worker-1")
        await let_go(found)
        await found.play("Running")
        await found.settle()
        after = await uids(found)
        statuses = [(await the_job(found, action.lower())).status for action in anew]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{action.lower()}-{pod}" for action, pods in anew.items() for pod in pods}
    assert [(one.state.phase, one.retry_count) for one in statuses] == [("Running", 1)] * 3


async def test_a_job_that_was_restarted_too_often_fails() -> None:
    async with platform() as found:
        await found.create(job(policies=[rule("RestartJob", "PodFailed")], maxRetry=2))
        await found.settle()
        for _ in range(2):
            await found.play("Running")
            await fail(found, "job-worker-0")
            await let_go(found)
        made = await the_job(found)
    assert (made.status.state.phase, made.status.retry_count) == ("Failed", 2)
    assert "spec.maxRetry 2 is reached" in made.status.state.message


async def test_an_exit_code_and_the_rules_of_a_task_come_before_those_of_the_job() -> None:
    async with platform() as found:
        worker = task("worker", 2, policies=[rule("CompleteJob", exitCode=3)])
        await found.create(job("job", worker, policies=[rule("RestartJob", "PodFailed")]))
        await found.settle()
        await found.play("Running")
        await fail(found, "job-worker-0", 3)
        await let_go(found)
        assert await phase(found) == "Completed"


async def test_completejob_when_the_workers_are_done_stops_the_parameter_server() -> None:
    async with platform() as found:
        worker = task("worker", 2, policies=[rule("CompleteJob", "TaskCompleted")])
        await found.create(job("job", task("ps"), worker))
        await found.settle()
        await found.play("Running")
        await found.play("Succeeded", "job-worker")
        await found.settle()
        assert await phase(found) == "Completing"
        await let_go(found)
        assert await phase(found) == "Completed"
        assert await names(found) == ["job-worker-0", "job-worker-1"]


async def test_abort_and_terminate_take_the_pods_away_for_good() -> None:
    async with platform() as found:
        for name, action in (("abort", "AbortJob"), ("terminate", "TerminateJob")):
            await found.create(job(name, policies=[rule(action, "PodFailed")]))
        await found.settle()
        await found.play("Running")
        for name in ("abort", "terminate"):
            await fail(found, f"{name}-worker-0")
        await let_go(found)
        phases = [await phase(found, name) for name in ("abort", "terminate")]
        await found.settle(600)
        assert all(pod.status.phase == "Failed" for pod in await found.pods())
    assert phases == ["Aborted", "Terminated"]


async def test_a_rule_with_a_timeout_waits_whether_the_pod_comes_up() -> None:
    pending = [rule("RestartJob", "PodPending", timeout="1m")]
    async with platform() as found:
        await found.create(job("late", policies=pending), job("well", policies=pending))
        await found.settle(30)
        await found.play("Running", "late-worker-0", "well")
        await found.settle(20)
        assert (await the_job(found, "late")).status.retry_count == 0
        await found.settle(20)
        assert (await the_job(found, "late")).status.retry_count == 1
        await found.settle(60)
        assert (await the_job(found, "well")).status.retry_count == 0


async def test_a_task_that_depends_on_another_starts_when_that_runs() -> None:
    async with platform() as found:
        worker = task("worker", 2, dependsOn={"name": ["ps"]})
        await found.create(job("job", worker, task("ps"), policies=[rule("RestartJob", "PodEvicted")]))
        await found.settle()
        assert await names(found) == ["job-ps-0"]
        await found.play("Running")
        await found.settle()
        assert await names(found) == ["job-ps-0", "job-worker-0", "job-worker-1"]
        assert (await the_job(found)).status.retry_count == 0


async def test_a_job_is_deleted_after_its_time_to_live() -> None:
    async with platform() as found:
        await found.create(job(ttlSecondsAfterFinished=60))
        await found.settle()
        await found.play("Succeeded")
        await found.settle(30)
        assert await phase(found) == "Completed"
        await found.settle(60)
        try:
            await found.get(Job, "job")
        except NotFound:
            return
    raise AssertionError("the job is there still")


async def test_the_svc_plugin_tells_pods_who_their_peers_are() -> None:
    async with platform() as found:
        await found.create(job("tf", task("ps"), task("big-worker", 2), plugins={"svc": [], "env": []}))
        await found.settle()
        hosts = await found.get(ConfigMap, "tf-svc")
        (pod, *_) = await found.pods()
    assert hosts.data == {
        "ps.host": "tf-ps-0.tf",
        "VC_PS_HOSTS": "tf-ps-0.tf",
        "VC_PS_NUM": "1",
        "big_worker.host": "tf-big-worker-0.tf\ntf-big-worker-1.tf",
        "VC_BIG_WORKER_HOSTS": "tf-big-worker-0.tf,tf-big-worker-1.tf",
        "VC_BIG_WORKER_NUM": "2",
    }
    (container,) = pod.spec.containers
    assert {one.name for one in container.env} == {
        *hosts.data.keys() - {"ps.host", "big_worker.host"},
        "VC_TASK_INDEX",
        "VK_TASK_INDEX",
    }
    assert ("tf-svc", "/etc/volcano") in {(one.name, one.mount_path) for one in container.volume_mounts}


async def test_what_has_no_effect_is_said_in_an_event() -> None:
    async with platform() as found:
        worker = task("worker", topologyPolicy="best-effort", maxRetry=4)
        await found.create(job("job", worker, plugins={"ssh": []}, policies=[rule("RestartJob", "Unknown")]))
        await found.settle()
        (said,) = await events(found, "UnsupportedFields")
    assert [part.split(":")[0] for part in said.removeprefix("No effect: ").split("; spec")] == [
        "spec.policies[0].event",
        ".tasks[0].topologyPolicy",
        ".tasks[0].maxRetry",
        ".plugins.ssh",
    ]


async def test_a_job_of_somebody_elses_scheduler_is_left_alone() -> None:
    async with platform() as found:
        await found.create(job(schedulerName="other"))
        await found.settle()
        assert await phase(found) == ""
        assert await names(found) == []


async def test_a_priority_class_that_does_not_exist_is_waited_for() -> None:
    async with platform() as found:
        await found.create(job(priorityClassName="urgent"))
        await found.settle()
        made = await the_job(found)
    assert made.status.state.reason == "Misconfigured"
    assert "PriorityClass 'urgent', which doesn't exist" in made.status.state.message


async def test_a_change_before_the_start_counts_and_reconciling_again_writes_nothing() -> None:
    async with platform(cpu=2) as found:
        await found.create(job("job", task("worker", 3)))
        await found.settle()
        smaller = {"spec": {"tasks": [task("worker", 2)]}}
        await found.client.patch(Job, "job", "default", smaller)
        await found.settle()
        assert await names(found) == ["job-worker-0", "job-worker-1"]
        version = (await the_job(found)).metadata.resource_version
        workload = (await the_workload(found)).metadata
        await found.settle(300)
        assert (await the_job(found)).metadata.resource_version == version
        assert workload.annotations[labels.VERDICT] == "open"
