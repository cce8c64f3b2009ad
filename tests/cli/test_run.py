"""`run`: from a script or a manifest to a verdict, with everything that can happen on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from springtide.api.meta import ObjectMeta
from springtide.api.springtide import Diagnosis, DiagnosisSpec, Evidence
from springtide.api.trainer import TrainJob
from springtide.client import Client
from springtide.training import builtin_runtimes
from tests.cli.scene import Scene, create_with_status, pod, pod_status, set_status, trainjob, workload

MANIFEST = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: digits}
spec:
  runtimeRef: {name: plain}
  trainer: {numNodes: 2, command: [python, train.py]}
"""


def ready() -> Scene:
    return Scene().given(*builtin_runtimes())


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST)
    return str(path)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "train.py").write_text("print('hello')\n")
    monkeypatch.chdir(tmp_path)
    return "train.py"


async def the_job(client: Client) -> TrainJob:
    """The job once the command has created it."""
    while True:
        jobs = (await client.list(TrainJob, "default")).items
        if jobs:
            return jobs[0]
        await asyncio.sleep(0.1)


def quota(status: str, message: str = "") -> list[dict[str, Any]]:
    moment = "2026-01-01T00:00:00Z"
    base = {"status": status, "reason": "Test", "message": message, "lastTransitionTime": moment}
    kinds = ["QuotaReserved", "Admitted"] if status == "True" else ["QuotaReserved"]
    return [{"type": kind, **base} for kind in kinds]


def ended(type_: str, message: str = "") -> list[dict[str, Any]]:
    return [
        {
            "type": type_,
            "status": "True",
            "reason": "Test",
            "message": message,
            "lastTransitionTime": "2026-01-01T00:00:09Z",
        }
    ]


async def start(client: Client, scene: Scene, *, attempt: int = 0) -> TrainJob:
    """The job is admitted and its two pods run."""
    job = await the_job(client)
    made = workload(job)
    if attempt == 0:
        await client.create(made)
    await set_status(client, made, conditions=quota("True"))
    for rank in (0, 1):
        each = pod(job.metadata.name, rank, attempt=attempt)
        await create_with_status(client, each)
        scene.logs.write(each.metadata.name, f"rank {rank} begins")
        await set_status(client, each, **running())
    return job


def running() -> dict[str, Any]:
    return status_of(pod_status("Running"))


def status_of(status: Any) -> dict[str, Any]:
    from springtide.api.struct import encode

    return encode(status)


async def finish_pods(client: Client, scene: Scene, job: TrainJob, *codes: int) -> None:
    for rank, code in enumerate(codes):
        each = pod(job.metadata.name, rank)
        scene.logs.ended.add(each.metadata.name)
        await set_status(
            client, each, **status_of(pod_status("Failed" if code else "Succeeded", exit_code=code))
        )


def test_a_job_is_followed_to_its_verdict(manifest: str) -> None:
    scene = ready()

    async def life(client: Client) -> None:
        job = await start(client, scene)
        metrics = [{"name": "accuracy", "value": "0.97122"}]
        moment = "2026-01-01T00:00:05Z"
        await set_status(
            client,
            job,
            trainerStatus={"progressPercentage": 40, "metrics": metrics, "lastUpdatedTime": moment},
        )
        await asyncio.sleep(20)
        await finish_pods(client, scene, job, 0, 0)
        await set_status(client, job, conditions=ended("Complete"))

    result = scene.meanwhile(life).run("run", "-f", manifest)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert sorted(lines[:2]) == ["[0] rank 0 begins", "[1] rank 1 begins"]
    assert lines[-1].startswith("digits: Complete in 20.")
    assert lines[-1].endswith(" s, accuracy 0.971")
    assert "digits: Running: 40 %, accuracy 0.971" in result.stderr


def test_a_failure_shows_evidence_cause_and_next_step_and_exits_1(manifest: str) -> None:
    scene = ready()
    verdict = Diagnosis(
        metadata=ObjectMeta(name="trainjob-digits-0", namespace="default"),
        spec=DiagnosisSpec(
            workload="trainjob-digits",
            message="rank 1: ValueError: bad shape (train.py:6)",
            next_step="correct train.py:6 and run it again",
            evidence=[Evidence(source="log:digits-node-0-1/node", line="ValueError: bad shape")],
        ),
    )

    async def life(client: Client) -> None:
        job = await start(client, scene)
        await asyncio.sleep(3)
        await client.create(verdict)
        await finish_pods(client, scene, job, 143, 1)
        await set_status(client, job, conditions=ended("Failed", verdict.spec.message))

    result = scene.meanwhile(life).run("run", "-f", manifest)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("digits: Failed in 3.")
    assert "rank 1: ValueError: bad shape (train.py:6)" in result.stdout.splitlines()[-1]
    assert "log:digits-node-0-1/node:\n  ValueError: bad shape" in result.stderr
    assert result.stderr.endswith("\nhint: correct train.py:6 and run it again\n")


def test_waiting_is_explained(manifest: str) -> None:
    scene = ready()

    async def life(client: Client) -> None:
        job = await the_job(client)
        made = workload(job)
        await client.create(made)
        await set_status(client, made, conditions=quota("False", "needs 2 × 4 cpu, 3 are free"))
        await asyncio.sleep(5)
        await client.delete(TrainJob, job.metadata.name, "default")

    result = scene.meanwhile(life).run("run", "-f", manifest)
    assert "digits: Waiting: needs 2 × 4 cpu, 3 are free" in result.stderr
    assert result.exit_code == 1
    assert "deleted after" in result.stdout.splitlines()[-1]


def test_a_broken_log_stream_continues_without_repetition(manifest: str) -> None:
    scene = ready()

    async def life(client: Client) -> None:
        job = await start(client, scene)
        name = pod("digits", 0).metadata.name
        scene.logs.break_after[name] = 3
        for number in range(6):
            await asyncio.sleep(0.5)
            scene.logs.write(name, f"step {number}")
        await asyncio.sleep(5)
        await finish_pods(client, scene, job, 0, 0)
        await set_status(client, job, conditions=ended("Complete"))

    result = scene.meanwhile(life).run("run", "-f", manifest)
    steps = [line for line in result.stdout.splitlines() if "step" in line]
    assert steps == [f"[0] step {number}" for number in range(6)]


def test_a_new_attempt_is_announced_and_followed(manifest: str) -> None:
    scene = ready()

    async def life(client: Client) -> None:
        job = await start(client, scene)
        await asyncio.sleep(2)
        await finish_pods(client, scene, job, 1, 143)
        await start(client, scene, attempt=1)
        await asyncio.sleep(2)
        for rank in (0, 1):
            each = pod("digits", rank, attempt=1)
            scene.logs.ended.add(each.metadata.name)
            await set_status(client, each, **status_of(pod_status("Succeeded", exit_code=0)))
        await set_status(client, job, conditions=ended("Complete"))

    result = scene.meanwhile(life).run("run", "-f", manifest)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("[0] rank 0 begins") == 2
    assert "digits: attempt 2 begins" in result.stderr


def test_detached_it_returns_at_once_and_says_how_to_go_on(manifest: str) -> None:
    scene = ready()
    result = scene.run("run", "-f", manifest, "--detach")
    assert result.exit_code == 0, result.output
    assert result.stdout == "trainjob.trainer.kubeflow.org/digits created\n"
    assert "springtide logs -f digits" in result.stderr
    assert "springtide delete trainjob digits" in result.stderr


def test_a_name_in_use_is_refused_with_the_way_out(manifest: str) -> None:
    scene = ready().given(trainjob("digits"))
    result = scene.run("run", "-f", manifest)
    assert result.exit_code == 1
    assert "TrainJob digits exists already in namespace default" in result.stderr
    assert "springtide delete trainjob digits" in result.stderr


def test_a_runtime_that_does_not_exist_is_refused_with_those_that_do(script: str) -> None:
    result = ready().run("run", script, "--runtime", "nope")
    assert result.exit_code == 1
    assert "no ClusterTrainingRuntime is named 'nope'" in result.stderr
    assert "plain" in result.stderr.split("hint:")[1]


def test_a_mistyped_field_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST.replace("numNodes", "numNode"))
    result = ready().run("run", "-f", str(path))
    assert result.exit_code == 1
    assert f"{path}:1:2: TrainJob digits: " in result.stderr
    assert "spec.trainer.numNode" in result.stderr


def test_a_script_becomes_a_job_with_a_generated_name(script: str) -> None:
    scene = ready()
    result = scene.run("run", script, "--nodes", "3", "--env", "EPOCHS=2", "--detach", "--", "--name", "x")
    assert result.exit_code == 0, result.output
    name = result.stdout.split("/")[1].split()[0]
    stored = yaml.safe_load(scene.run("get", "trainjob", name, "-o", "yaml").stdout)
    trainer = stored["spec"]["trainer"]
    assert name.startswith("train-")
    assert stored["spec"]["runtimeRef"]["name"] == "plain"
    assert trainer["numNodes"] == 3
    assert trainer["command"][2:] == ['cd "$0" && exec "$@"', str(Path.cwd()), "python", "train.py"]
    assert trainer["args"] == ["--name", "x"]
    assert trainer["env"] == [{"name": "EPOCHS", "value": "2"}]


def test_a_dry_run_needs_no_platform(script: str) -> None:
    result = Scene().run("run", script, "--dry-run", "--gpus", "1", "--cpus", "2", "--queue", "research")
    job = yaml.safe_load(result.stdout)
    assert job["metadata"] == {"generateName": "train-", "labels": {"kueue.x-k8s.io/queue-name": "research"}}
    assert job["spec"]["trainer"]["resourcesPerNode"] == {
        "requests": {"cpu": "2", "nvidia.com/gpu": "1"},
        "limits": {"nvidia.com/gpu": "1"},
    }


def test_an_option_like_ours_that_goes_to_the_script_is_pointed_out(script: str) -> None:
    result = Scene().run("run", script, "--dry-run", "--node", "2", "--epochs", "3")
    assert "warning: --node goes to the script; did you mean --nodes?" in result.stderr
    assert yaml.safe_load(result.stdout)["spec"]["trainer"]["args"] == ["--node", "2", "--epochs", "3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either SCRIPT.py or -f FILE"),
        (("nowhere.py",), "nowhere.py: no such script"),
        (("notes.txt",), "not a Python script"),
        (("broken.py",), "broken.py:2:"),
        (("train.py", "--env", "novalue"), "--env 'novalue': not NAME=VALUE"),
        (("train.py", "--nodes", "0"), "--nodes"),
    ],
)
def test_wrong_calls_say_what_is_wrong(arguments: tuple[str, ...], message: str, script: str) -> None:
    Path("notes.txt").write_text("")
    Path("broken.py").write_text("x = 1\ndef broken(\n")
    result = Scene().run("run", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.output
