"""Pod lives in virtual time: the real node over scripted processes, and the pure decision in tables."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.core import ConfigMap, Pod
from springtide.api.meta import ObjectMeta, is_true
from springtide.api.struct import decode, replace
from springtide.node.cgroups import Group
from springtide.node.lifecycle import (
    Decision,
    Ended,
    Facts,
    Release,
    Situation,
    Start,
    Stop,
    backoff_seconds,
    decide,
    with_end,
    with_start,
)
from springtide.node.podstatus import Addresses, build_status, qos_class
from springtide.node.process import Launch, Outcome, Running, Sink
from springtide.node.processes import Mark
from springtide.node.session import Session
from springtide.runtime import LoopClock
from springtide.runtime.clock import EPOCH
from tests.node.scene import Scene, container, node_alone

# -- scripted processes -----------------------------------------------------------------------------


class ScriptedProcess:
    """Ends with a code after so many seconds, or when signalled (deaf ones only by SIGKILL)."""

    console = None

    def __init__(self, pid: int, script: list[str], out: Sink, err: Sink) -> None:
        self.pid = pid
        self._sinks = (out, err)
        self._deaf = "deaf" in script
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        out(b"started\n")
        if "run" in script:
            seconds, code = script[script.index("run") + 1 :][:2]
            asyncio.get_running_loop().call_later(float(seconds), self._end, int(code))

    def signal(self, number: int) -> None:
        if number == signal.SIGKILL or not self._deaf:
            self._end(-number)

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def drain(self, seconds: float) -> None:
        for sink in self._sinks:
            sink(b"")

    def _end(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)


@dataclass
class ScriptedLauncher:
    """The command is the script: `run SECONDS CODE`, `deaf`."""

    started: list[tuple[float, str]] = field(default_factory=list)
    commands: list[tuple[float, list[str]]] = field(default_factory=list)

    async def start(self, launch: Launch, out: Sink, err: Sink) -> Running:
        self.started.append((asyncio.get_running_loop().time(), launch.env["SPRINGTIDE_CONTAINER"]))
        return ScriptedProcess(1000 + len(self.started), list(launch.argv), out, err)

    async def run(self, launch: Launch, timeout_seconds: float) -> Outcome:
        self.commands.append((asyncio.get_running_loop().time(), list(launch.argv)))
        await asyncio.sleep(float(launch.argv[1]))
        return Outcome(int(launch.argv[2]), "")

    async def open(self, launch: Launch) -> Session:
        raise AssertionError("nobody executes commands in these tests")

    async def end(self, mark: Mark, group: Group | None, pid: int) -> None:
        return

    def start_time(self, pid: int) -> float:
        return 1.0

    def close(self) -> None:
        return


def scripted(tmp_path: Path, launcher: ScriptedLauncher) -> Any:
    return node_alone(
        tmp_path,
        clock=LoopClock(),
        launcher=launcher,
        namespaces="never",
        cgroups="never",
    )


def program(script: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": script.split(), **fields}


async def restarts(scene: Scene, name: str) -> int:
    return container(await scene.pod(name)).restart_count


async def test_back_off_doubles_from_ten_seconds_to_five_minutes(tmp_path: Path) -> None:
    launcher = ScriptedLauncher()
    async with scripted(tmp_path, launcher) as scene:
        await scene.create("crash", program("run 1 1"), restartPolicy="Always")
        await asyncio.sleep(1500)
        times = [time for time, _ in launcher.started]
        gaps = [round(after - before - 1) for before, after in pairwise(times)]
        assert gaps[:8] == [0, 10, 20, 40, 80, 160, 300, 300]
        waiting = container(await scene.pod("crash")).state.waiting
        assert waiting is not None
        assert waiting.message == "back-off 300s restarting failed container=main pod=default/crash"


async def test_ten_good_minutes_make_the_back_off_forget(tmp_path: Path) -> None:
    launcher = ScriptedLauncher()
    async with scripted(tmp_path, launcher) as scene:
        await scene.create("rare", program("run 601 1"), restartPolicy="Always")
        await asyncio.sleep(601 * 4 + 1)
        assert len(launcher.started) == 5


async def test_grace_is_what_the_deletion_grants(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        await scene.create("deaf", program("deaf"), terminationGracePeriodSeconds=30)
        await asyncio.sleep(1)
        await scene.client.delete(Pod, "deaf", "default")
        await asyncio.sleep(28)
        assert container(await scene.pod("deaf")).state.running
        await scene.client.delete(Pod, "deaf", "default", grace_period_seconds=0)
        await asyncio.sleep(1)
        assert "default/deaf" not in scene.node.pods


async def test_a_second_deletion_shortens_the_grace(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        await scene.create("deaf", program("deaf"))
        await asyncio.sleep(1)
        await scene.client.delete(Pod, "deaf", "default", grace_period_seconds=1000)
        await asyncio.sleep(5)
        await scene.client.delete(Pod, "deaf", "default", grace_period_seconds=3)
        await asyncio.sleep(5)
        assert "default/deaf" not in scene.node.pods


async def test_pre_stop_counts_against_the_grace(tmp_path: Path) -> None:
    launcher = ScriptedLauncher()
    async with scripted(tmp_path, launcher) as scene:
        hook = {"preStop": {"exec": {"command": ["hook", "8", "0"]}}}
        await scene.create("deaf", program("deaf", lifecycle=hook))
        await asyncio.sleep(1)
        await scene.client.delete(Pod, "deaf", "default", grace_period_seconds=10)
        await asyncio.sleep(9)
        assert "default/deaf" in scene.node.pods
        await asyncio.sleep(2)
        assert "default/deaf" not in scene.node.pods
        assert [command for _, command in launcher.commands] == [["hook", "8", "0"]]


async def test_a_failing_post_start_hook_ends_the_container(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        hook = {"postStart": {"exec": {"command": ["hook", "2", "1"]}}}
        await scene.create("pod", program("run 99 0", lifecycle=hook))
        await asyncio.sleep(1)
        assert (await scene.pod("pod")).status.phase == "Running"
        await asyncio.sleep(2)
        assert (await scene.pod("pod")).status.phase == "Failed"
        assert await scene.events("FailedPostStartHook") == ["postStart command exited with 1: "]


async def test_config_volumes_follow_their_config_map(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        metadata = ObjectMeta(name="settings", namespace="default")
        made = await scene.client.create(ConfigMap(metadata=metadata, data={"a": "old", "b": "gone soon"}))
        volumes = [{"name": "config", "configMap": {"name": "settings"}}]
        created = await scene.create("pod", program("run 9999 0"), volumes=volumes)
        folder = scene.settings.data_dir / "pods" / created.metadata.uid / "volumes" / "config"
        await asyncio.sleep(1)
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "old", "b": "gone soon"}
        await scene.client.update(replace(made, data={"a": "new"}))
        await asyncio.sleep(70)
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "new"}
        await scene.client.delete(ConfigMap, "settings", "default")
        await asyncio.sleep(70)
        assert (folder / "a").read_text() == "new"
        assert "volumes are not refreshed" in (await scene.events("FailedMount"))[0]


async def test_fields_without_effect_are_said_once(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        main = program(
            "run 9999 0", tty=True, securityContext={"privileged": True, "capabilities": {"add": ["X"]}}
        )
        await scene.create(
            "pod",
            main,
            hostPID=True,
            volumes=[{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
        )
        note = (await scene.events("FieldsIgnored"))[0]
        assert note == (
            "without effect on process nodes: spec.hostPID, spec.volumes[shm].emptyDir.sizeLimit,"
            " spec.volumes[shm].emptyDir.medium,"
            " spec.containers[main].securityContext.capabilities,"
            " spec.containers[main].securityContext.privileged"
        )


async def test_sidecars_outlive_the_main_containers_and_do_not_hold_the_pod(tmp_path: Path) -> None:
    launcher = ScriptedLauncher()
    async with scripted(tmp_path, launcher) as scene:
        sidecars = [program("run 7 1", name, restartPolicy="Always") for name in ("one", "two")]
        await scene.create("pod", program("run 30 0"), initContainers=sidecars)
        await asyncio.sleep(29)
        pod = await scene.pod("pod")
        assert pod.status.phase == "Running"
        assert container(pod, "one").restart_count >= 1
        await asyncio.sleep(3)
        assert (await scene.pod("pod")).status.phase == "Succeeded"
        assert [name for _, name in launcher.started[:3]] == ["one", "two", "main"]


async def test_nothing_is_written_while_nothing_happens(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        await scene.create("calm", program("run 9999 0"))
        await asyncio.sleep(5)
        before = (await scene.pod("calm")).metadata.resource_version
        scene.node._controller.queue.add("default/calm")
        await asyncio.sleep(100)
        assert (await scene.pod("calm")).metadata.resource_version == before


# -- the pure decision ------------------------------------------------------------------------------


def at(seconds: float) -> Any:
    return EPOCH + timedelta(seconds=seconds)


def pod(*containers: str, init: Iterable[str] = (), status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    """Containers by name; `name*` is a sidecar."""
    deleted = spec.pop("deleted", None)
    metadata = {"name": "pod", "namespace": "default", "uid": "u"} | (
        {"deletionTimestamp": at(deleted).isoformat()} if deleted is not None else {}
    )
    inits = [
        {"name": name.rstrip("*"), **({"restartPolicy": "Always"} if "*" in name else {})} for name in init
    ]
    body = {"containers": [{"name": name} for name in containers], "initContainers": inits, **spec}
    return decode(Pod, {"metadata": metadata, "spec": body, "status": status or {}})


def ran(code: int = 0, *, times: int = 1, until: float = 0.0) -> Facts:
    """A container that ended `times` times, each with this code."""
    facts = Facts()
    for _ in range(times):
        facts = with_start(facts, at(until - 1), started=True, ready=True)
        facts = with_end(
            facts, Ended(code, at(until), at(until - 1), reason="Error" if code else "Completed")
        )
    return facts


RUNS = with_start(Facts(), at(0), started=True, ready=True)
STARTING = with_start(Facts(), at(0), started=False, ready=False)
NEVER: dict[str, Any] = {"restartPolicy": "Never"}
ON_FAILURE: dict[str, Any] = {"restartPolicy": "OnFailure"}

TABLE: list[tuple[str, Pod, dict[str, Facts], str, list[str]]] = [
    ("a new pod starts", pod("a"), {}, "Pending", ["start a"]),
    ("both start together", pod("a", "b"), {}, "Pending", ["start a", "start b"]),
    ("init containers first, one by one", pod("a", init=["i", "j"]), {}, "Pending", ["start i"]),
    ("a running init container is waited for", pod("a", init=["i", "j"]), {"i": RUNS}, "Pending", []),
    ("then the next", pod("a", init=["i", "j"]), {"i": ran()}, "Pending", ["start j"]),
    ("then the main ones", pod("a", init=["i"]), {"i": ran()}, "Pending", ["start a"]),
    (
        "a sidecar that started lets others go",
        pod("a", init=["s*", "i"]),
        {"s": RUNS},
        "Pending",
        ["start i"],
    ),
    ("one that has not started does not", pod("a", init=["s*", "i"]), {"s": STARTING}, "Pending", []),
    (
        "a failed init container is tried again",
        pod("a", init=["i"], **ON_FAILURE),
        {"i": ran(1)},
        "Pending",
        ["start i"],
    ),
    ("but not under Never", pod("a", init=["i"], **NEVER), {"i": ran(1)}, "Failed", []),
    ("all run", pod("a", "b"), {"a": RUNS, "b": RUNS}, "Running", []),
    ("one of two succeeded", pod("a", "b", **NEVER), {"a": ran(), "b": RUNS}, "Running", []),
    ("all succeeded", pod("a", "b", **NEVER), {"a": ran(), "b": ran()}, "Succeeded", []),
    ("one failed", pod("a", "b", **NEVER), {"a": ran(1), "b": ran()}, "Failed", []),
    ("success is not restarted OnFailure", pod("a", **ON_FAILURE), {"a": ran()}, "Succeeded", []),
    ("failure is", pod("a", **ON_FAILURE), {"a": ran(1)}, "Running", ["start a"]),
    ("both are under Always", pod("a"), {"a": ran()}, "Running", ["start a"]),
    ("back-off holds", pod("a"), {"a": ran(1, times=2)}, "Running", []),
    ("sidecars end last", pod("a", init=["s*"], **NEVER), {"s": RUNS, "a": ran()}, "Running", ["stop s"]),
    (
        "in reverse order",
        pod("a", init=["s*", "t*"], **NEVER),
        {"s": RUNS, "t": RUNS, "a": ran()},
        "Running",
        ["stop t"],
    ),
    (
        "deletion stops main containers",
        pod("a", init=["s*"], deleted=9),
        {"s": RUNS, "a": RUNS},
        "Running",
        ["stop a"],
    ),
    ("then sidecars", pod("a", init=["s*"], deleted=9), {"s": RUNS, "a": ran(143)}, "Running", ["stop s"]),
    ("then lets go", pod("a", init=["s*"], deleted=9), {"s": ran(143), "a": ran(143)}, "Failed", ["release"]),
    (
        "a deleted pod that had succeeded",
        pod("a", deleted=9, **NEVER),
        {"a": ran()},
        "Succeeded",
        ["release"],
    ),
    ("a deleted pod that never started", pod("a", deleted=9), {}, "Failed", ["release"]),
    ("a finished pod stays as it is", pod("a", status={"phase": "Failed"}), {"a": ran()}, "Failed", []),
    ("until it is deleted", pod("a", status={"phase": "Succeeded"}, deleted=9), {}, "Succeeded", ["release"]),
    (
        "a deadline that passed",
        pod("a", activeDeadlineSeconds=3, status={"startTime": at(-4).isoformat()}),
        {"a": RUNS},
        "Running",
        ["stop a"],
    ),
    (
        "and then fails it",
        pod("a", activeDeadlineSeconds=3, status={"startTime": at(-4).isoformat()}),
        {"a": ran(143)},
        "Failed",
        [],
    ),
]


def words(decision: Decision) -> list[str]:
    said = []
    for action in decision.actions:
        match action:
            case Start(name):
                said.append(f"start {name}")
            case Stop(name, _):
                said.append(f"stop {name}")
            case Release():
                said.append("release")
    return said


@pytest.mark.parametrize(("what", "one", "facts", "phase", "actions"), TABLE, ids=[row[0] for row in TABLE])
def test_decisions(what: str, one: Pod, facts: dict[str, Facts], phase: str, actions: list[str]) -> None:
    decision = decide(one, facts, at(0), Situation())
    assert (decision.verdict.phase, words(decision)) == (phase, actions)


def test_an_unhealthy_container_gets_the_grace_of_its_probe() -> None:
    probe = {"livenessProbe": {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 4}}
    one = decode(Pod, {"spec": {"containers": [{"name": "a", **probe}], "terminationGracePeriodSeconds": 50}})
    sick = Facts(instance=0, running_since=at(0), started=True, unhealthy="liveness probe failed")
    assert decide(one, {"a": sick}, at(10), Situation()).actions == (Stop("a", at(14)),)


def test_a_rejected_pod_fails_with_the_reason() -> None:
    verdict = decide(pod("a"), {}, at(0), Situation(False, rejected=("UnsupportedVolume", "no nfs"))).verdict
    assert (verdict.phase, verdict.reason, verdict.message) == ("Failed", "UnsupportedVolume", "no nfs")


@given(times=st.integers(0, 200))
def test_back_off_never_exceeds_five_minutes(times: int) -> None:
    assert 0 <= backoff_seconds(ran(1, times=times)) <= 300


facts_of_any_container = st.sampled_from(
    [Facts(), RUNS, STARTING, ran(0), ran(1), ran(1, times=3), Facts(blocked="no config")]
)


@given(
    a=facts_of_any_container,
    b=facts_of_any_container,
    i=facts_of_any_container,
    s=facts_of_any_container,
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    deleted=st.sampled_from([None, -1, 9]),
)
def test_whatever_was_observed_the_answer_holds_together(
    a: Facts, b: Facts, i: Facts, s: Facts, policy: str, deleted: float | None
) -> None:
    extra: dict[str, Any] = {} if deleted is None else {"deleted": deleted}
    one = pod("a", "b", init=["s*", "i"], restartPolicy=policy, **extra)
    facts = {"a": a, "b": b, "i": i, "s": s}
    decision = decide(one, facts, at(0), Situation())
    running = {name for name, known in facts.items() if known.running}
    for action in decision.actions:
        match action:
            case Start(name):
                assert name not in running
                assert deleted is None
            case Stop(name, _):
                assert name in running
            case Release():
                assert not running
    if decision.verdict.phase in ("Succeeded", "Failed"):
        assert not running
    assert decision == decide(one, facts, at(0), Situation())
    status = build_status(
        one, facts, decision.verdict, Situation(), Addresses("127.77.1.1", "127.0.0.1"), at(0)
    )
    if is_true(status.conditions, "Ready"):
        assert running >= {"a", "b"}


QUALITIES = [
    ({}, "BestEffort"),
    ({"requests": {"cpu": "1"}}, "Burstable"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    (
        {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "Guaranteed",
    ),
    ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Guaranteed"),
    ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Burstable"),
    ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
]


@pytest.mark.parametrize(("resources", "expected"), QUALITIES)
def test_quality_of_service(resources: dict[str, Any], expected: str) -> None:
    one = decode(Pod, {"spec": {"containers": [{"name": "a", "resources": resources}]}})
    assert qos_class(one) == expected


async def test_who_follows_a_log_hears_the_restarts_too_until_there_are_none(tmp_path: Path) -> None:
    async with scripted(tmp_path, ScriptedLauncher()) as scene:
        await scene.create("pod", program("run 5 1"), restartPolicy="OnFailure")
        await scene.running("pod")
        heard = b""
        stream = scene.client.logs("default", "pod", follow=True)
        async for chunk in stream:
            heard += chunk
            if len(heard) >= 3 * len(b"started\n"):
                break
        assert heard == b"started\n" * 3
        await scene.create("once", program("run 5 1"))
        await scene.running("once")
        assert await scene.logs("once", follow=True) == "started\n"
        following = asyncio.create_task(scene.logs("pod", follow=True))
        await asyncio.sleep(1)
        await scene.client.delete(Pod, "pod", "default")
        assert set((await following).splitlines()) == {"started"}
