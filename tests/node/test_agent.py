"""Pods as real processes: how they end, restart, stop, and what the API says of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from springtide.api.coordination import Lease
from springtide.api.core import Node, Pod
from springtide.api.meta import is_true
from springtide.api.version import GIT_VERSION
from tests.node.scene import container, node_alone, python, shell

pytestmark = pytest.mark.realtime


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


ENDS: list[tuple[str, dict[str, Any], tuple[str, int, int, str]]] = [
    ("success", shell("exit 0"), ("Succeeded", 0, 0, "Completed")),
    ("an exit code", shell("exit 3"), ("Failed", 3, 0, "Error")),
    ("an exception", python("raise ValueError('no')"), ("Failed", 1, 0, "Error")),
    ("a signal", shell("kill -SEGV $$"), ("Failed", 139, 11, "Error")),
    ("a killed child of the shell", shell("sh -c 'kill -9 $$'; exit $?"), ("Failed", 137, 0, "Error")),
    ("no such program", {"name": "main", "command": ["no-such-program"]}, ("Failed", 128, 0, "StartError")),
    ("no such file", {"name": "main", "command": ["/no/such/file"]}, ("Failed", 128, 0, "StartError")),
    ("not executable", {"name": "main", "command": ["/etc/hostname"]}, ("Failed", 128, 0, "StartError")),
    ("no such folder", shell("true", workingDir="/no/such"), ("Failed", 128, 0, "StartError")),
]


async def test_how_programs_end(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        for index, (_, spec, _) in enumerate(ENDS):
            await scene.create(f"pod-{index}", spec)
        for index, (what, _, expected) in enumerate(ENDS):
            pod = await scene.finished(f"pod-{index}")
            state = container(pod).state.terminated
            assert state is not None, what
            assert (pod.status.phase, state.exit_code, state.signal, state.reason) == expected, what


async def test_a_start_error_names_the_program_and_where_it_was_looked_for(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("pod", {"name": "main", "image": "busybox", "command": ["no-such-program"]})
        pod = await scene.finished("pod")
        state = container(pod).state.terminated
        assert state is not None
        assert state.message.startswith('exec: "no-such-program": executable file not found in PATH (')
        assert "no-such-program" in (await scene.events("Failed"))[0]
        assert (await scene.events("ImageIgnored")) == ["process nodes run no images: busybox is not pulled"]


async def test_a_pod_of_two_containers_reports_both(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("pair", shell("exit 0", "one"), shell("sleep 60", "two"))
        pod = await scene.until("pair", lambda pod: container(pod, "one").state.terminated)
        assert pod.status.phase == "Running"
        assert not is_true(pod.status.conditions, "Ready")
        assert container(pod, "two").state.running
        assert pod.status.pod_ip.startswith("127.")
        assert pod.status.pod_ip != pod.status.host_ip
        assert pod.status.host_ip == "127.0.0.1"
        assert container(pod, "two").container_id == f"process://{pod.metadata.uid}/two/0"


async def test_a_failed_program_restarts_at_once_then_backs_off(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("crash", shell("echo try; exit 7"), restartPolicy="OnFailure")
        pod = await scene.until(
            "crash",
            lambda pod: (waiting := container(pod).state.waiting) and waiting.reason == "CrashLoopBackOff",
        )
        status = container(pod)
        assert pod.status.phase == "Running"
        assert status.restart_count == 1
        assert status.last_state.terminated is not None
        assert status.last_state.terminated.exit_code == 7
        assert await scene.logs("crash", previous=True) == "try\n"


async def test_always_restarts_what_succeeded(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("again", shell("test -e done && sleep 60; touch done"), restartPolicy="Always")
        pod = await scene.until(
            "again", lambda pod: container(pod).restart_count == 1 and container(pod).state.running
        )
        last = container(pod).last_state.terminated
        assert last is not None
        assert last.reason == "Completed"


async def test_init_containers_run_in_order_and_sidecars_stay(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create(
            "ordered",
            shell("echo main >> order; cat order; sleep 0.2"),
            initContainers=[
                shell("echo one >> order", "one"),
                shell("echo side >> order; exec sleep 60", "side", restartPolicy="Always"),
                shell("sleep 0.1; echo two >> order", "two"),
            ],
        )
        pod = await scene.finished("ordered")
        assert pod.status.phase == "Succeeded"
        assert (await scene.logs("ordered", container="main")).split() == ["one", "side", "two", "main"]
        side = container(pod, "side").state.terminated
        assert side is not None
        assert side.exit_code == 143


async def test_a_failing_init_container_fails_the_pod(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("broken", shell("echo never"), initContainers=[shell("exit 4", "setup")])
        pod = await scene.finished("broken")
        assert pod.status.phase == "Failed"
        waiting = container(pod).state.waiting
        assert waiting is not None
        assert waiting.reason == "PodInitializing"


async def test_deletion_grants_grace(tmp_path: Path) -> None:
    script = "trap 'echo bye; touch ended; exit 0' TERM; touch up; while :; do sleep 0.05; done"
    async with node_alone(tmp_path) as scene:
        await scene.create("polite", shell(script))
        await scene.until("polite", lambda _: (scene.settings.working_dir / "up").exists())
        await scene.client.delete(Pod, "polite", "default")
        await scene.gone("polite")
        assert (scene.settings.working_dir / "ended").exists()


async def test_what_ignores_sigterm_is_killed_when_grace_is_over(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("deaf", shell("trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"))
        await scene.until("deaf", lambda _: (scene.settings.working_dir / "pid").exists())
        pid = int((scene.settings.working_dir / "pid").read_text())
        await scene.client.delete(Pod, "deaf", "default", grace_period_seconds=1)
        await scene.gone("deaf")
        assert not psutil.pid_exists(pid)


async def test_what_is_stopped_is_woken_to_end_by_itself(tmp_path: Path) -> None:
    """A parent that waits for a stopped child would else wait until the grace is over."""
    script = (
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "child.send_signal(signal.SIGSTOP)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "try:\n    open('up', 'w').close()\n    child.wait()\n"
        "finally:\n    child.terminate()\n    child.wait()\n"
    )
    async with node_alone(tmp_path) as scene:
        await scene.create("waiting", python(script))
        await scene.until("waiting", lambda _: (scene.settings.working_dir / "up").exists())
        began = time.monotonic()
        await scene.client.delete(Pod, "waiting", "default", grace_period_seconds=30)
        await scene.gone("waiting")
        assert time.monotonic() - began < 15


async def test_children_in_sessions_of_their_own_are_ended_too(tmp_path: Path) -> None:
    """As torchrun starts its workers; also one whose parent is gone already."""
    script = (
        "import subprocess, time;"
        "a = subprocess.Popen(['sleep', '300'], start_new_session=True);"
        "b = subprocess.run(['sh', '-c', 'setsid sleep 300 >/dev/null & echo $!'],"
        " stdout=subprocess.PIPE, text=True);"
        "open('pids', 'w').write(f'{a.pid} {b.stdout}'); print('up'); time.sleep(300)"
    )
    for settings in ({}, {"cgroups": "never", "namespaces": "never"}):
        folder = tmp_path / str(len(settings))
        folder.mkdir()
        async with node_alone(folder, **settings) as scene:
            await scene.create("family", python(script))
            pids_file = scene.settings.working_dir / "pids"
            await scene.until("family", lambda _: pids_file.exists() and pids_file.read_text())  # noqa: B023
            pids = [int(text) for text in pids_file.read_text().split()]
            await scene.client.delete(Pod, "family", "default", grace_period_seconds=1)
            await scene.gone("family")
            assert [
                pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"
            ] == []


async def test_what_a_finished_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("litter", shell("setsid sleep 300 & echo $! > pid; echo done"))
        await scene.finished("litter")
        pid = int((scene.settings.working_dir / "pid").read_text())
        assert ended(pid)
        assert await scene.logs("litter") == "done\n"


async def test_pre_stop_runs_before_sigterm(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo $NAME-hook >> order"]}}}
        await scene.create(
            "hooked",
            shell(
                "trap 'echo term >> order; exit 0' TERM; touch up; while :; do sleep 0.05; done",
                lifecycle=hook,
                env=[{"name": "NAME", "value": "my"}],
            ),
        )
        await scene.until("hooked", lambda _: (scene.settings.working_dir / "up").exists())
        await scene.client.delete(Pod, "hooked", "default")
        await scene.gone("hooked")
        assert (scene.settings.working_dir / "order").read_text().split() == ["my-hook", "term"]


async def test_a_deadline_ends_the_pod(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("late", shell("sleep 60"), activeDeadlineSeconds=1)
        pod = await scene.finished("late")
        assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
        assert "activeDeadlineSeconds (1 s)" in pod.status.message


async def test_the_last_words_become_the_termination_message(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        await scene.create("log", shell("seq 200; exit 1", **fallback))
        await scene.create("fine", shell("echo fine", **fallback))
        await scene.create("file", shell("echo because > /dev/termination-log; exit 1", **fallback))
        log = container(await scene.finished("log")).state.terminated
        assert log is not None
        assert log.message == "".join(f"{number}\n" for number in range(121, 201))
        fine = container(await scene.finished("fine")).state.terminated
        assert fine is not None
        assert fine.message == ""
        file = container(await scene.finished("file")).state.terminated
        assert file is not None
        if scene.node.capabilities.namespaces:
            assert file.message == "because\n"


async def test_the_node_registers_and_leaves(tmp_path: Path) -> None:
    async with node_alone(tmp_path, cpus=3, extra_capacity={"nvidia.com/gpu": "2"}) as scene:
        node = await scene.client.get(Node, "here")
        assert is_true(node.status.conditions, "Ready")
        assert node.status.capacity["cpu"] == "3"
        assert node.status.capacity["nvidia.com/gpu"] == "2"
        assert node.status.capacity["pods"] == "110"
        assert node.metadata.labels["springtide.dev/node-kind"] == "process"
        assert node.status.node_info.kubelet_version == GIT_VERSION
        lease = await scene.client.get(Lease, "here", "kube-node-lease")
        assert lease.spec.holder_identity == "here"
        client = scene.client
        await scene.create("left", shell("echo $$ > pid; sleep 60"))
        await scene.until("left", lambda _: (scene.settings.working_dir / "pid").exists())
    pid = int((scene.settings.working_dir / "pid").read_text() or "0")
    assert not psutil.pid_exists(pid)
    node = await client.get(Node, "here")
    assert not is_true(node.status.conditions, "Ready")


async def test_a_deleted_pod_leaves_no_files(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("brief", shell("echo hi"))
        await scene.finished("brief")
        data = scene.settings.data_dir
        assert list((data / "logs").iterdir())
        await scene.client.delete(Pod, "brief", "default")
        await scene.gone("brief")
        for folder in ("pods", "logs", "records"):
            assert list((data / folder).iterdir()) == []


async def test_progress_reaches_the_pod(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        script = "import time; from springtide import sdk; sdk.report(progress=0.5); time.sleep(60)"
        await scene.create("trainer", python(script))
        pod = await scene.until("trainer", lambda pod: "springtide.dev/progress" in pod.metadata.annotations)
        assert '"progressPercentage":50' in pod.metadata.annotations["springtide.dev/progress"]


async def test_signals_of_the_machine_reach_the_status(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("victim", shell("echo $$ > pid; sleep 60; true"))
        await scene.until("victim", lambda _: (scene.settings.working_dir / "pid").exists())
        os.kill(int((scene.settings.working_dir / "pid").read_text()), signal.SIGKILL)
        state = container(await scene.finished("victim")).state.terminated
        assert state is not None
        assert (state.exit_code, state.signal, state.reason) == (137, 9, "Error")


async def test_the_programs_user_may_write_where_it_should(tmp_path: Path) -> None:
    shared = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if shared in folder.parents:
            folder.chmod(0o755)  # pytest's folders are closed to other users
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    async with node_alone(tmp_path) as scene:
        script = "id -u; touch $SPRINGTIDE_CHECKPOINT_DIR/x ${SPRINGTIDE_PROGRESS_FILE}.x && echo written"
        await scene.create("pod", shell(script, securityContext={"runAsUser": user}))
        await scene.finished("pod")
        assert await scene.logs("pod") == f"{user}\nwritten\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_does_not_keep_the_groups_of_the_platform() -> None:
    become = "os.setgroups([4, 5]); shim.set_user(65534, 65534, {groups}); print(os.getgroups())"
    for groups in ([], [7]):
        code = f"import os; from springtide.node import shim; {become.format(groups=groups)}"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert done.stdout == f"{groups}\n"


async def test_a_user_this_platform_cannot_become_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    async with node_alone(tmp_path, namespaces="never", cgroups="never") as scene:
        await scene.create("pod", shell("id -u", securityContext={"runAsUser": 65534}))
        assert "runAsUser 65534 needs a platform started by root" in (await scene.events("Failed"))[0]
