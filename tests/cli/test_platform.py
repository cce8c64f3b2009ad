"""The platform as a process: its pid file, `down`, and the errors of `up` before anything is started."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from springtide.cli import platform
from springtide.cli.down import stop
from springtide.cli.errors import CliError, Unreachable
from springtide.cli.root import root
from springtide.cli.target import Target, choose_kubeconfig

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT = f"""
import os, subprocess, sys
own = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.DEVNULL)
os.environ["SPRINGTIDE_POD_UID"] = "uid"
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
child.wait()
"""
"""A platform with a process of its own and one of a job."""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[str]]:
    yield from _process(SLEEP)


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[str]]:
    yield from _process(STUBBORN)


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    yield from _process(PARENT)


def _process(code: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(root, list(arguments), prog_name="springtide", env={"NO_COLOR": "1"})
    return result.exit_code, result.stderr


def record(folder: Path, pid: int) -> platform.Running:
    started_at = platform.process_started_at(pid)
    assert started_at is not None
    running = platform.Running(pid, started_at, "https://127.0.0.1:7443", "0.1.0")
    platform.record(folder, running)
    return running


@pytest.mark.realtime
def test_a_live_process_is_found(tmp_path: Path, sleeper: subprocess.Popen[str]) -> None:
    assert platform.running(tmp_path) is None
    assert platform.running(tmp_path / "nowhere") is None
    written = record(tmp_path, sleeper.pid)
    assert platform.running(tmp_path) == written
    assert json.loads((tmp_path / "platform.json").read_text())["pid"] == sleeper.pid


@pytest.mark.realtime
def test_a_dead_process_and_a_reused_number_are_not_running(
    tmp_path: Path, sleeper: subprocess.Popen[str]
) -> None:
    running = record(tmp_path, sleeper.pid)
    platform.record(
        tmp_path, platform.Running(running.pid, running.started_at - 100, running.server, "0.1.0")
    )
    assert platform.running(tmp_path) is None
    record(tmp_path, sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert platform.running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "garbage", "[]", "{}", '{"pid": 1, "more": 2}'])
def test_a_damaged_file_is_no_platform(tmp_path: Path, text: str) -> None:
    (tmp_path / "platform.json").write_text(text)
    assert platform.running(tmp_path) is None


def test_only_the_own_record_is_forgotten(tmp_path: Path) -> None:
    record(tmp_path, os.getpid())
    platform.forget(tmp_path, 1)
    assert platform.running(tmp_path) is not None
    platform.forget(tmp_path, os.getpid())
    assert not (tmp_path / "platform.json").exists()


def test_the_holder_of_the_lock_is_known_without_a_record(tmp_path: Path) -> None:
    assert platform.holder(tmp_path) is None
    with (tmp_path / "lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        assert platform.holder(tmp_path) is None
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert platform.holder(tmp_path) == 4711


@pytest.mark.realtime
def test_down_stops_the_process_and_is_idempotent(tmp_path: Path, sleeper: subprocess.Popen[str]) -> None:
    record(tmp_path, sleeper.pid)
    code, text = run("down", "--data-dir", str(tmp_path))
    assert code == 0
    assert text.startswith(f"springtide (process {sleeper.pid}) stopped in ")
    assert platform.process_started_at(sleeper.pid) is None
    assert run("down", "--data-dir", str(tmp_path)) == (0, f"nothing is running on {tmp_path}\n")


@pytest.mark.realtime
def test_down_kills_what_does_not_end(stubborn: subprocess.Popen[str]) -> None:
    assert "killed after 0.2 s" in stop(stubborn.pid, 0.2)
    assert platform.process_started_at(stubborn.pid) is None


@pytest.mark.realtime
def test_down_ends_the_processes_of_jobs_too(parent: subprocess.Popen[str]) -> None:
    import psutil

    own, child = psutil.Process(parent.pid).children()
    assert stop(parent.pid, 5).endswith(", with 1 process of jobs")
    assert not own.is_running()
    assert not child.is_running()


def test_up_names_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = run("up", "--data-dir", str(tmp_path), "--port", str(port))
    assert code == 1
    assert f"port {port} on 127.0.0.1 is in use" in text
    assert "--port 0" in text


def test_a_second_up_names_the_first(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        for detach in ((), ("--detach",)):
            code, text = run("up", *detach, "--data-dir", str(tmp_path))
            assert code == 1
            assert f"a platform runs on {tmp_path} already (process 4711)" in text
            assert "springtide down" in text


def test_up_on_a_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    code, text = run("up", "--detach", "--data-dir", str(path))
    assert code != 0
    assert str(path) in text
    assert "hint:" in text


@pytest.mark.parametrize(
    ("given", "environment", "home_config", "expected"),
    [
        ("given", "KUBECONFIG", True, "given"),
        ("", "KUBECONFIG", True, "environment"),
        ("", "missing:KUBECONFIG", True, "environment"),
        ("", "", True, "home/.kube/config"),
    ],
)
def test_the_order_of_kubeconfigs(
    given: str, environment: str, home_config: bool, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    for name in ("given", "environment", "home/.kube/config"):
        (tmp_path / name).write_text("")
    environ = {"KUBECONFIG": environment.replace("KUBECONFIG", str(tmp_path / "environment"))}
    target = Target(tmp_path / given if given else None, data_dir=tmp_path / "data")
    assert choose_kubeconfig(target, environ, tmp_path / "home") == tmp_path / expected


def test_a_running_platform_goes_before_the_home_s_kubeconfig(tmp_path: Path) -> None:
    record(tmp_path, os.getpid())
    assert choose_kubeconfig(Target(data_dir=tmp_path), {}, tmp_path) == tmp_path / "kubeconfig"


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"--kubeconfig: .*does not exist"):
        choose_kubeconfig(Target(tmp_path / "none"), {}, tmp_path)
    with pytest.raises(Unreachable, match=r"KUBECONFIG: .*does not exist"):
        choose_kubeconfig(Target(), {"KUBECONFIG": str(tmp_path / "none")}, tmp_path)
