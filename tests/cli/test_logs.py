"""`logs`: of a pod as it is, of a job with ranks, of one rank, of the attempt before."""

from __future__ import annotations

import asyncio

import pytest

from springtide.api.struct import replace
from springtide.api.trainer import TrainJob
from springtide.cli.errors import CliError
from springtide.cli.logs import seconds_of
from springtide.client import Client
from tests.cli.scene import Scene, condition, pod, pod_status, set_status, trainjob

MOMENT = "2026-01-01T00:00:00Z"


def scene_with_logs() -> Scene:
    pods = [pod("digits", 0), pod("digits", 0, attempt=1), pod("digits", 1, attempt=1)]
    scene = Scene().given(trainjob("digits"), *(replace(each, status=pod_status("Running")) for each in pods))
    for each in pods:
        name = each.metadata.name
        scene.logs.lines[name] = [(0.0, f"{name} begins"), (1.0, f"{name} ends")]
    return scene


def test_a_job_s_ranks_are_told_apart_and_only_the_newest_attempt_is_shown() -> None:
    result = scene_with_logs().run("logs", "digits")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "[0] digits-node-0-0-a1 begins",
        "[0] digits-node-0-0-a1 ends",
        "[1] digits-node-0-1-a1 begins",
        "[1] digits-node-0-1-a1 ends",
    ]


def test_one_rank_is_printed_as_it_is() -> None:
    result = scene_with_logs().run("logs", "digits", "--rank", "1", "--timestamps")
    assert result.stdout.splitlines()[0] == "2026-01-01T00:00:00.000000Z digits-node-0-1-a1 begins"


def test_the_attempt_before() -> None:
    result = scene_with_logs().run("logs", "digits", "--previous")
    assert result.stdout.splitlines()[0] == "digits-node-0-0-a0 begins"


def test_a_pod_goes_by_its_name() -> None:
    assert (
        scene_with_logs().run("logs", "digits-node-0-0-a0").stdout.startswith("digits-node-0-0-a0 begins\n")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "no job and no pod is named 'nobody'"),
        (("digits", "--rank", "7"), "--rank 7: digits has ranks 0, 1"),
        (("digits", "--since", "soon"), "not a duration"),
    ],
)
def test_what_there_is_not(arguments: tuple[str, ...], message: str) -> None:
    result = scene_with_logs().run("logs", *arguments)
    assert result.exit_code != 0
    assert message in result.stderr


def test_following_a_job_ends_with_it() -> None:
    scene = scene_with_logs()

    async def life(client: Client) -> None:
        await asyncio.sleep(2)
        scene.logs.write("digits-node-0-1-a1", "last words")
        scene.logs.ended.update(scene.logs.lines)
        await asyncio.sleep(2)
        job = await client.get(TrainJob, "digits", "default")
        failed = condition("Failed")
        fields = {
            "type": "Failed",
            "status": "True",
            "reason": failed.reason,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        await set_status(client, job, conditions=[fields])

    result = scene.meanwhile(life).run("logs", "-f", "digits")
    assert result.exit_code == 0, result.output
    assert "[1] last words" in result.stdout
    assert "Failed" not in result.stdout


def test_following_a_job_that_has_ended_prints_all_it_wrote() -> None:
    scene = scene_with_logs()
    scene.logs.ended.update(scene.logs.lines)
    fields = {
        "type": "Complete",
        "status": "True",
        "reason": "R",
        "message": "",
        "lastTransitionTime": MOMENT,
    }

    async def complete(client: Client) -> None:
        await set_status(client, await client.get(TrainJob, "digits", "default"), conditions=[fields])

    result = scene.do(complete).run("logs", "-f", "digits")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" begins") == 3


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("90", 90), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172800)]
)
def test_durations(text: str, seconds: int | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["5x", "m", "-5s", "1.5h"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(CliError):
        seconds_of(text)
