"""The training controller against the real server, in virtual time; the test plays the other rooms."""

from __future__ import annotations

from springtide import training
from springtide.api.kueue import Workload
from springtide.api.struct import decode
from springtide.api.trainer import ClusterTrainingRuntime, TrainJob
from tests.training.control_plane import ControlPlane, condition_of, control_plane


def digits(**spec: object) -> TrainJob:
    trainer = {"numNodes": 2, "command": ["torchrun", "train.py"]}
    document = {
        "metadata": {"name": "digits", "namespace": "default"},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer, **spec},
    }
    return decode(TrainJob, document)


async def workload(plane: ControlPlane) -> Workload:
    return await plane.client.get(Workload, "trainjob-digits", "default")


async def job(plane: ControlPlane) -> TrainJob:
    return await plane.client.get(TrainJob, "digits", "default")


async def test_a_job_goes_from_pending_to_complete() -> None:
    async with control_plane(training.register) as plane:
        await plane.client.create(digits())
        await plane.settle()
        made = await workload(plane)
        assert made.spec.pod_sets[0].count == 2
        assert condition_of(await job(plane), "Pending") is not None
        await plane.admit(made, "n0", "n1")
        await plane.settle()
        starting = condition_of(await job(plane), "Pending")
        assert starting is not None
        assert starting.reason == "Starting"
        await plane.tell(made, "Finished", reason="Succeeded")
        await plane.settle()
        assert condition_of(await job(plane), "Complete") is not None
        before = await plane.revision()
        await plane.settle(60)
        assert await plane.revision() == before, "a controller at rest writes nothing"


async def test_a_runtime_that_appears_later_lets_the_job_go_on() -> None:
    async with control_plane(training.register) as plane:
        await plane.client.create(digits(runtimeRef={"name": "mine"}))
        await plane.settle()
        pending = condition_of(await job(plane), "Pending")
        assert pending is not None
        assert pending.reason == "TrainingRuntimeNotSupported"
        assert "plain, torch-distributed" in pending.message
        shipped = await plane.client.get(ClusterTrainingRuntime, "plain")
        mine = {"metadata": {"name": "mine"}, "spec": _spec(shipped)}
        await plane.client.create(decode(ClusterTrainingRuntime, mine))
        await plane.settle()
        assert (await workload(plane)).spec.pod_sets[0].count == 2


def _spec(runtime: ClusterTrainingRuntime) -> dict[str, object]:
    from springtide.api.struct import encode

    spec: dict[str, object] = encode(runtime)["spec"]
    return spec


async def test_suspending_and_deadline_reach_the_workload() -> None:
    async with control_plane(training.register) as plane:
        await plane.client.create(digits(activeDeadlineSeconds=30))
        await plane.settle()
        await plane.client.patch(TrainJob, "digits", "default", {"spec": {"suspend": True}})
        await plane.settle()
        assert not (await workload(plane)).spec.active
        await plane.client.patch(TrainJob, "digits", "default", {"spec": {"suspend": False}})
        await plane.settle()
        resumed = await workload(plane)
        assert resumed.spec.active
        assert resumed.spec.pod_sets[0].count == 2, "toggling leaves the rest of the spec alone"
        await plane.admit(resumed, "n0", "n1")
        await plane.settle(40)
        failed = condition_of(await job(plane), "Failed")
        assert failed is not None
        assert failed.reason == "DeadlineExceeded"
        assert not (await workload(plane)).spec.active


async def test_two_jobs_meet_at_different_ports() -> None:
    async with control_plane(training.register) as plane:
        for name in ("a", "b", "c"):
            made = decode(
                TrainJob,
                {
                    "metadata": {"name": name, "namespace": "default"},
                    "spec": {"runtimeRef": {"name": "plain"}},
                },
            )
            await plane.client.create(made)
        await plane.settle()
        found = (await plane.client.list(Workload, "default")).items
        ports = {one.metadata.annotations["springtide.dev/rendezvous-port"] for one in found}
        assert len(found) == len(ports) == 3
