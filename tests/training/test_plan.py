"""The life of a TrainJob under events in any order; and the job of the example, read whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from springtide.api.struct import decode, replace
from springtide.api.trainer import TrainJob
from tests.builders import train_job
from tests.training.world import World, report

moves = st.lists(
    st.sampled_from(
        ["admit", "run", "report", "evict", "requeue", "succeed", "fail", "suspend", "resume", "lose", "tick"]
    ),
    max_size=12,
)


@given(moves)
def test_every_plan_applied_leaves_nothing_to_do_and_the_end_is_final(steps: list[str]) -> None:
    world = World(train_job(nodes=2))
    world.spec(activeDeadlineSeconds=50)
    world.step()
    ended: list[str] = []
    for number, step in enumerate(steps, start=1):
        _play(world, step, number)
        world.step(number * 7)
        conditions = {one.type for one in world.job.status.conditions if one.status == "True"}
        now_ended = sorted(conditions & {"Complete", "Failed"})
        assert len(now_ended) <= 1
        assert not ended or ended == now_ended, "a finished job stays finished"
        ended = now_ended
        phases = conditions & {"Pending", "Running", "Restarting", "Complete", "Failed", "Suspended"}
        assert phases, "a job always says where it stands"


def _play(world: World, step: str, number: int) -> None:
    if world.snapshot.workload is None:
        return
    match step:
        case "admit":
            world.admit(since=number, attempt=number)
        case "run":
            world.pods("Running", "Running", attempt=number)
        case "report":
            world.pods("Running", "Running", progress={0: report(number, "0.5")})
        case "evict":
            world.tell("Evicted", reason="NodeFailures", message="lost")
        case "requeue":
            world.tell("Evicted", "False", reason="Requeued")
            world.tell("QuotaReserved", "False", reason="Pending")
        case "succeed":
            world.tell("Finished", reason="Succeeded")
        case "fail":
            world.tell("Finished", reason="Failed", message="no")
        case "suspend" | "resume":
            world.spec(suspend=step == "suspend")
        case "lose":
            world.set_workload(None)
        case _:
            pass


def test_decoding_the_examples_manifest_gives_a_job_this_room_takes_whole() -> None:
    import pathlib

    import yaml

    text = pathlib.Path(__file__).parents[2].joinpath("examples/digits/trainjob.yaml").read_text()
    job = decode(TrainJob, yaml.safe_load(text))
    world = World(replace(job, metadata=replace(job.metadata, namespace="default", uid="u")))
    world.step()
    assert world.states() == ["Pending"]
