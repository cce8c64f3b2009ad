"""Jobs run to completion: how many pods run when, what counts, how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta
from springtide.builtin import job_pods
from tests.builtin.batch_scene import (
    JOBS,
    PODS,
    TRACKING,
    BatchScene,
    batch_scene,
    index_of,
    indexed,
    indexes,
    job,
)

Json = dict[str, Any]


async def test_a_job_of_one_pod_is_complete_when_the_pod_has_succeeded() -> None:
    async with batch_scene() as scene:
        made = await scene.create(job("a"))
        (pod,) = await scene.pods()
        assert pod["metadata"]["name"].startswith("a-")
        assert pod["metadata"]["generateName"] == "a-"
        assert pod["metadata"]["finalizers"] == [TRACKING]
        assert pod["metadata"]["labels"] == {
            "batch.kubernetes.io/controller-uid": made["metadata"]["uid"],
            "batch.kubernetes.io/job-name": "a",
            "controller-uid": made["metadata"]["uid"],
            "job-name": "a",
        }
        status = await scene.status("a")
        assert (status["active"], status["ready"], status["terminating"]) == (1, 0, 0)
        assert status["startTime"]
        await scene.end("Running")
        assert (await scene.status("a"))["ready"] == 1
        await scene.end("Succeeded")
        status = await scene.status("a")
        assert status["succeeded"] == 1
        assert "active" not in status
        assert status["uncountedTerminatedPods"] == {}
        assert status["completionTime"]
        assert await scene.conditions("a") == {
            "SuccessCriteriaMet": ("True", "CompletionsReached"),
            "Complete": ("True", "CompletionsReached"),
        }
        (pod,) = await scene.pods()
        assert "finalizers" not in pod["metadata"]
        assert [reason for reason, _ in await scene.events()] == ["SuccessfulCreate", "Completed"]


async def test_never_more_pods_than_parallelism_and_never_more_than_are_still_needed() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=5, parallelism=2))
        seen: list[int] = []
        for _ in range(3):
            seen.append(len(await scene.active()))
            await scene.end("Succeeded")
        assert seen == [2, 2, 1]
        assert (await scene.status("a"))["succeeded"] == 5
        assert len(await scene.pods()) == 5


async def test_without_completions_one_success_stops_new_pods_and_the_rest_may_end() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", parallelism=3))
        first, second, third = await scene.pods()
        await scene.play(first, "Succeeded")
        await asyncio.sleep(1)
        assert len(await scene.active()) == 2
        assert await scene.conditions("a") == {}
        await scene.play(second, "Failed", 1)
        await scene.play(third, "Succeeded")
        await asyncio.sleep(1)
        status = await scene.status("a")
        assert (status["succeeded"], status["failed"]) == (2, 1)
        assert "Complete" in await scene.conditions("a")


async def test_a_job_of_no_completions_is_complete_at_once() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=0, parallelism=2))
        assert await scene.pods() == []
        assert "Complete" in await scene.conditions("a")


async def test_failures_are_retried_ever_more_slowly_up_to_the_limit() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", backoffLimit=2))
        for wait in (10, 20):
            await scene.end("Failed", exit_code=1)
            assert await scene.active() == []
            await asyncio.sleep(wait - 3)
            assert await scene.active() == []
            await asyncio.sleep(4)
            assert len(await scene.active()) == 1
        await scene.end("Failed", exit_code=1)
        assert await scene.conditions("a") == {
            "FailureTarget": ("True", "BackoffLimitExceeded"),
            "Failed": ("True", "BackoffLimitExceeded"),
        }
        status = await scene.status("a")
        assert status["failed"] == 3
        assert "completionTime" not in status
        assert ("BackoffLimitExceeded", "Job has reached the specified backoff limit") in await scene.events()
        await asyncio.sleep(100)
        assert await scene.active() == []


async def test_a_success_resets_the_wait() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=3))
        await scene.end("Failed", exit_code=1)
        await asyncio.sleep(10)
        await scene.end("Succeeded")
        assert len(await scene.active()) == 1
        await scene.end("Failed", exit_code=1)
        await asyncio.sleep(10)
        assert len(await scene.active()) == 1, "the first wait again, not the second"


async def test_the_wait_survives_a_restart() -> None:
    from tests.builtin.batch_scene import running

    async with batch_scene(controllers=False) as scene:
        async with running(scene.client, scene.clock):
            await asyncio.sleep(0.5)
            await scene.create(job("a"))
            await scene.end("Failed", exit_code=1)
        async with running(scene.client, scene.clock):
            await asyncio.sleep(5)
            assert await scene.active() == []
            await asyncio.sleep(6)
            assert len(await scene.active()) == 1


async def test_pods_that_run_when_the_job_fails_are_ended_and_count_as_failed() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=3, parallelism=3, backoffLimit=0))
        await scene.bind()
        await scene.end("Running")
        first, *others = await scene.active()
        await scene.play(first, "Failed", 1)
        await asyncio.sleep(1)
        assert [one["metadata"]["name"] for one in await scene.active()] == []
        assert "FailureTarget" in await scene.conditions("a")
        assert "Failed" not in await scene.conditions("a"), "two pods still run"
        status = await scene.status("a")
        assert (status["failed"], status["terminating"]) == (3, len(others))
        await scene.end_deleted()
        assert "Failed" in await scene.conditions("a")
        assert (await scene.status("a"))["terminating"] == 0


async def test_restarts_in_place_count_as_failures() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", restart="OnFailure", backoffLimit=2))
        (pod,) = await scene.pods()
        await scene.play(pod, "Running", containerStatuses=[{"name": "main", "restartCount": 1}])
        await asyncio.sleep(1)
        assert await scene.conditions("a") == {}
        await scene.play(pod, "Running", containerStatuses=[{"name": "main", "restartCount": 2}])
        await asyncio.sleep(1)
        assert (await scene.conditions("a"))["Failed"] == ("True", "BackoffLimitExceeded")


async def test_a_deadline_ends_the_job() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", activeDeadlineSeconds=30))
        await asyncio.sleep(27)
        assert await scene.conditions("a") == {}
        await asyncio.sleep(5)
        assert (await scene.conditions("a"))["Failed"] == ("True", "DeadlineExceeded")
        assert await scene.pods() == []


async def test_a_suspended_job_has_no_pods_and_starts_anew_when_it_is_resumed() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=2, parallelism=2, activeDeadlineSeconds=100))
        await asyncio.sleep(60)
        await scene.patch(f"{JOBS}/a", {"spec": {"suspend": True}})
        status = await scene.status("a")
        assert await scene.pods() == []
        assert await scene.conditions("a") == {"Suspended": ("True", "JobSuspended")}
        assert "startTime" not in status
        assert "failed" not in status, "pods that are no longer wanted are no failures"
        await asyncio.sleep(300)
        await scene.patch(f"{JOBS}/a", {"spec": {"suspend": False}})
        assert await scene.conditions("a") == {"Suspended": ("False", "JobResumed")}
        assert len(await scene.active()) == 2
        await asyncio.sleep(60)
        assert "Failed" not in await scene.conditions("a"), "the deadline counts from the resumption"
        await scene.end("Succeeded")
        assert "Complete" in await scene.conditions("a")
        reasons = [reason for reason, _ in await scene.events()]
        assert [one for one in reasons if not one.startswith("Successful")] == [
            "Suspended",
            "Resumed",
            "Completed",
        ]


async def test_a_job_made_suspended_waits_without_a_start_time() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", suspend=True))
        assert await scene.pods() == []
        assert "startTime" not in await scene.status("a")


async def test_another_controllers_job_is_left_alone() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", managedBy="example.com/theirs"))
        await scene.create(job("b", managedBy="kubernetes.io/job-controller"))
        assert [one["metadata"]["labels"]["job-name"] for one in await scene.pods()] == ["b"]
        assert await scene.status("a") == {}


async def test_a_pod_that_was_deleted_counts_as_failed_and_is_replaced() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a"))
        await scene.bind()
        (pod,) = await scene.pods()
        await scene.delete(f"{PODS}/{pod['metadata']['name']}")
        await asyncio.sleep(12)
        assert (await scene.status("a"))["failed"] == 1
        assert len(await scene.active()) == 1
        assert (await scene.status("a"))["terminating"] == 1


async def test_a_job_may_wait_for_the_end_of_a_pod_before_it_replaces_it() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", podReplacementPolicy="Failed"))
        await scene.bind()
        (pod,) = await scene.pods()
        await scene.delete(f"{PODS}/{pod['metadata']['name']}")
        await asyncio.sleep(60)
        assert await scene.active() == []
        assert "failed" not in await scene.status("a")
        await scene.play(pod, "Failed", 1)
        await asyncio.sleep(12)
        assert len(await scene.active()) == 1
        assert (await scene.status("a"))["failed"] == 1


async def test_fewer_at_once_takes_those_that_have_come_least_far() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=9, parallelism=3))
        await scene.bind()
        first, *_ = await scene.active()
        await scene.play(first, "Running")
        await scene.patch(f"{JOBS}/a", {"spec": {"parallelism": 1}})
        assert [one["metadata"]["name"] for one in await scene.active()] == [first["metadata"]["name"]]
        assert "failed" not in await scene.status("a")


async def test_pods_of_a_deleted_job_are_let_go() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a"))
        await scene.delete(f"{JOBS}/a", propagationPolicy="Background")
        await asyncio.sleep(1)
        (pod,) = await scene.pods()
        assert "finalizers" not in pod["metadata"]


async def test_a_job_with_a_selector_of_its_own_takes_in_pods_that_match() -> None:
    async with batch_scene() as scene:
        stray = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stray", "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "main", "image": "x"}]},
        }
        await scene.create(stray)
        made = job("a", manualSelector=True, selector={"matchLabels": {"app": "x"}})
        made["spec"]["template"]["metadata"] = {"labels": {"app": "x"}}
        await scene.create(made)
        (pod,) = await scene.pods()
        assert pod["metadata"]["name"] == "stray"
        assert pod["metadata"]["finalizers"] == [TRACKING]
        assert pod["metadata"]["ownerReferences"][0]["name"] == "a"
        await scene.end("Succeeded")
        assert "Complete" in await scene.conditions("a")


async def test_a_refused_pod_is_told_and_tried_again() -> None:
    async with batch_scene() as scene:
        made = job("a")
        made["spec"]["template"]["spec"]["priorityClassName"] = "missing"
        await scene.create(made)
        assert await scene.pods() == []
        assert (await scene.status("a"))["startTime"], "the status is written all the same"
        told = dict(await scene.events())
        assert "no PriorityClass with name missing was found" in told["FailedCreate"]
        assert told["FailedCreate"].startswith("Error creating: ")


# Indexed


async def test_every_index_runs_once_and_the_finished_ones_are_written_as_intervals() -> None:
    async with batch_scene() as scene:
        await scene.create(indexed("a", completions=5, parallelism=3))
        pods = await scene.pods()
        assert indexes(pods) == [0, 1, 2]
        zero = next(pod for pod in pods if index_of(pod) == 0)
        assert zero["metadata"]["name"].startswith("a-0-")
        assert zero["metadata"]["generateName"] == "a-0-"
        assert zero["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "0"
        assert zero["spec"]["hostname"] == "a-0"
        assert zero["spec"]["containers"][0]["env"] == [
            {
                "name": "JOB_COMPLETION_INDEX",
                "valueFrom": {
                    "fieldRef": {
                        "apiVersion": "v1",
                        "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']",
                    }
                },
            }
        ]
        await scene.end("Succeeded", "a-0", "a-2")
        assert (await scene.status("a"))["completedIndexes"] == "0,2"
        assert indexes(await scene.active()) == [1, 3, 4]
        await scene.end("Succeeded")
        status = await scene.status("a")
        assert (status["completedIndexes"], status["succeeded"]) == ("0-4", 5)
        assert "Complete" in await scene.conditions("a")


async def test_a_second_pod_of_an_index_goes() -> None:
    async with batch_scene() as scene:
        await scene.create(indexed("a", completions=2))
        original = (await scene.pods())[0]
        twin = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **{key: original["metadata"][key] for key in ("labels", "annotations", "ownerReferences")},
                "name": "twin",
                "finalizers": [TRACKING],
            },
            "spec": {"containers": [{"name": "main", "image": "x"}]},
        }
        await scene.create(twin)
        assert indexes(await scene.active()) == [0, 1]
        assert "failed" not in await scene.status("a")


async def test_an_indexed_job_grows_and_shrinks() -> None:
    async with batch_scene() as scene:
        await scene.create(indexed("a", completions=2))
        await scene.patch(f"{JOBS}/a", {"spec": {"completions": 4, "parallelism": 4}})
        assert indexes(await scene.active()) == [0, 1, 2, 3]
        await scene.end("Succeeded", "a-0", "a-3")
        assert (await scene.status("a"))["completedIndexes"] == "0,3"
        await scene.patch(f"{JOBS}/a", {"spec": {"completions": 3, "parallelism": 3}})
        status = await scene.status("a")
        assert (status["completedIndexes"], status["succeeded"]) == ("0", 1)
        assert indexes(await scene.active()) == [1, 2]
        await scene.end("Succeeded")
        assert "Complete" in await scene.conditions("a")


async def test_an_index_that_failed_too_often_fails_alone() -> None:
    async with batch_scene() as scene:
        await scene.create(indexed("a", completions=3, backoffLimitPerIndex=1))
        assert (await scene.job("a"))["spec"]["backoffLimit"] == 2**31 - 1
        await scene.end("Failed", "a-1", exit_code=1)
        assert indexes(await scene.active()) == [0, 2]
        await asyncio.sleep(10)
        again = next(pod for pod in await scene.active() if index_of(pod) == 1)
        assert again["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
        await scene.end("Failed", "a-1", exit_code=1)
        assert (await scene.status("a"))["failedIndexes"] == "1"
        assert indexes(await scene.active()) == [0, 2]
        await scene.end("Succeeded")
        status = await scene.status("a")
        assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 2)
        assert (await scene.conditions("a"))["Failed"] == ("True", "FailedIndexes")


async def test_too_many_failed_indexes_end_the_job() -> None:
    async with batch_scene() as scene:
        await scene.create(indexed("a", completions=4, backoffLimitPerIndex=0, maxFailedIndexes=1))
        await scene.end("Failed", "a-0", exit_code=1)
        assert await scene.conditions("a") == {}
        await scene.end("Failed", "a-1", exit_code=1)
        assert (await scene.conditions("a"))["Failed"] == ("True", "MaxFailedIndexesExceeded")
        assert (await scene.status("a"))["failedIndexes"] == "0,1"


# Policies


def _on_exit(action: str, *codes: int, operator: str = "In") -> Json:
    return {"rules": [{"action": action, "onExitCodes": {"operator": operator, "values": list(codes)}}]}


@pytest.mark.parametrize(
    ("policy", "exit_code", "ended", "failed"),
    [
        (_on_exit("FailJob", 42), 42, ("True", "PodFailurePolicy"), 1),
        (_on_exit("FailJob", 42), 41, None, 1),
        (_on_exit("FailJob", 42, operator="NotIn"), 41, ("True", "PodFailurePolicy"), 1),
        (_on_exit("Ignore", 42), 42, None, 0),
        (_on_exit("Count", 42), 42, None, 1),
    ],
)
async def test_exit_codes_decide(
    policy: Json, exit_code: int, ended: tuple[str, str] | None, failed: int
) -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", podFailurePolicy=policy, backoffLimit=1))
        await scene.end("Failed", exit_code=exit_code)
        assert (await scene.conditions("a")).get("Failed") == ended
        assert (await scene.status("a")).get("failed", 0) == failed
        await asyncio.sleep(12)
        assert bool(await scene.active()) == (ended is None)


async def test_the_message_says_which_pod_which_code_which_rule() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", podFailurePolicy=_on_exit("FailJob", 42)))
        (pod,) = await scene.pods()
        await scene.end("Failed", exit_code=42)
        conditions = (await scene.status("a"))["conditions"]
        assert conditions[-1]["message"] == (
            f"Container main for pod default/{pod['metadata']['name']} failed with exit code 42 "
            "matching FailJob rule at index 0"
        )


async def test_disruptions_may_be_ignored() -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    async with batch_scene() as scene:
        await scene.create(job("a", podFailurePolicy=policy, backoffLimit=0))
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        for _ in range(2):
            await scene.end("Failed", exit_code=137, conditions=[condition])
            await asyncio.sleep(25)
            assert len(await scene.active()) == 1
        assert "failed" not in await scene.status("a")


async def test_a_rule_may_fail_one_index_at_once() -> None:
    async with batch_scene() as scene:
        policy = _on_exit("FailIndex", 42)
        await scene.create(indexed("a", completions=2, backoffLimitPerIndex=5, podFailurePolicy=policy))
        await scene.end("Failed", "a-0", exit_code=42)
        assert (await scene.status("a"))["failedIndexes"] == "0"
        await scene.end("Failed", "a-1", exit_code=1)
        assert (await scene.status("a"))["failedIndexes"] == "0"


@pytest.mark.parametrize(
    ("rule", "succeed", "met"),
    [
        ({"succeededIndexes": "0,2"}, ("a-0",), False),
        ({"succeededIndexes": "0,2"}, ("a-0", "a-2"), True),
        ({"succeededCount": 2}, ("a-1", "a-3"), True),
        ({"succeededCount": 2}, ("a-1",), False),
        ({"succeededIndexes": "0-2", "succeededCount": 1}, ("a-3",), False),
        ({"succeededIndexes": "0-2", "succeededCount": 1}, ("a-1",), True),
    ],
)
async def test_some_successes_may_be_enough(rule: Json, succeed: tuple[str, ...], met: bool) -> None:
    async with batch_scene() as scene:
        await scene.create(indexed("a", completions=4, backoffLimit=0, successPolicy={"rules": [rule]}))
        await scene.bind()
        await scene.end("Succeeded", *succeed)
        conditions = await scene.conditions("a")
        assert conditions.get("SuccessCriteriaMet") == (("True", "SuccessPolicy") if met else None)
        assert bool(await scene.active()) != met
        if met:
            assert "Complete" not in conditions, "pods still end"
            await scene.end_deleted("Failed")
            assert (await scene.conditions("a"))["Complete"] == ("True", "SuccessPolicy")
            assert (await scene.status("a")).get("failed", 0) == 0
            assert (await scene.status("a"))["succeeded"] == len(succeed)


# The end


async def test_a_finished_job_is_deleted_after_its_time() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", ttlSecondsAfterFinished=100))
        await scene.create(job("b"))
        await scene.end("Succeeded")
        await asyncio.sleep(90)
        assert "deletionTimestamp" not in (await scene.job("a"))["metadata"]
        await asyncio.sleep(20)
        gone = await scene.job("a")
        assert gone["metadata"]["deletionTimestamp"]
        assert gone["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert "deletionTimestamp" not in (await scene.job("b"))["metadata"]


async def test_more_time_may_be_given() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", ttlSecondsAfterFinished=100))
        await scene.end("Succeeded")
        await asyncio.sleep(50)
        await scene.patch(f"{JOBS}/a", {"spec": {"ttlSecondsAfterFinished": 500}})
        await asyncio.sleep(300)
        assert "deletionTimestamp" not in (await scene.job("a"))["metadata"]


async def test_many_pods_are_counted_in_portions() -> None:
    async with batch_scene() as scene:
        await scene.create(job("a", completions=620, parallelism=620), wait=5)
        assert len(await scene.active()) == 620
        await scene.end("Succeeded", wait=10)
        status = await scene.status("a")
        assert status["succeeded"] == 620
        assert "Complete" in await scene.conditions("a")


async def test_the_second_run_writes_nothing() -> None:
    from tests.builtin.batch_scene import running

    async with batch_scene(controllers=False) as scene:
        async with running(scene.client, scene.clock):
            await asyncio.sleep(0.5)
            await scene.create(indexed("a", completions=3, backoffLimitPerIndex=1))
            await scene.end("Failed", "a-0", exit_code=1)
            await scene.end("Succeeded", "a-1")
        before = await _revision(scene)
        async with running(scene.client, scene.clock):
            await asyncio.sleep(3)
        assert await _revision(scene) == before


async def _revision(scene: BatchScene) -> str:
    return str((await scene.ask("GET", PODS))["metadata"]["resourceVersion"])


def test_an_index_that_is_no_number_of_32_bits_is_none() -> None:
    for text, index in (("7", 7), ("", None), ("-1", None), ("2147483648", None), ("9" * 5000, None)):
        metadata = ObjectMeta(name="p", annotations={"batch.kubernetes.io/job-completion-index": text})
        assert job_pods.index_of(Pod(metadata=metadata)) == index
