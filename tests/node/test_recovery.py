"""`kill -9` of the platform: its processes end, and the next start knows what happened."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from springtide.api.core import Pod
from springtide.node.capabilities import Capabilities
from springtide.node.processes import NODE_ID, start_time
from springtide.node.records import Records, Started, recover, still_running
from springtide.runtime import SystemClock
from tests.embedded import server_in_memory
from tests.node.scene import container, node_on, shell

pytestmark = pytest.mark.realtime

PLATFORM = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from tests.node.scene import node_alone, shell, python

    async def main():
        async with node_alone(Path(sys.argv[1]), **eval(sys.argv[2])) as scene:
            script = (
                "import os, subprocess, time;"
                "a = subprocess.Popen(['sleep', '300'], start_new_session=True);"
                "open('pids.new', 'w').write(f'{os.getpid()} {a.pid}');"
                "os.rename('pids.new', 'pids'); time.sleep(300)"
            )
            await scene.create("victim", python(script))
            await asyncio.sleep(300)

    asyncio.run(main())
""")


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.02)


def start(*argv: str, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=os.environ | variables)


@pytest.mark.parametrize("settings", ["{}", "{'cgroups': 'never', 'namespaces': 'never'}"])
async def test_kill_9_of_the_platform_ends_its_containers_and_their_children(
    tmp_path: Path, settings: str
) -> None:
    platform = start(sys.executable, "-c", PLATFORM, str(tmp_path), settings)
    pids_file = tmp_path / "work" / "pids"
    await eventually(pids_file.exists)
    pids = [int(text) for text in pids_file.read_text().split()]
    assert not any(map(gone, pids))
    platform.kill()
    platform.wait()
    await eventually(lambda: all(map(gone, pids)))


async def test_after_a_restart_pods_that_ran_have_failed_and_others_start(tmp_path: Path) -> None:
    clock = SystemClock()
    async with server_in_memory(clock) as server:
        async with node_on(server, tmp_path, clock=clock) as scene:
            await scene.create("job", shell("echo first; sleep 300"))
            await scene.create("service", shell("echo started; sleep 300"), restartPolicy="Always")
            await scene.create("done", shell("true"))
            for name in ("job", "service"):
                await scene.running(name)
            await scene.finished("done")
        async with node_on(server, tmp_path, clock=clock) as scene:
            job = await scene.finished("job")
            assert (job.status.phase, job.status.reason) == ("Failed", "NodeRestarted")
            lost = container(job).state.terminated
            assert lost is not None
            assert (lost.exit_code, lost.reason) == (137, "ContainerStatusUnknown")
            service = await scene.until("service", lambda pod: container(pod).restart_count == 1)
            assert service.status.phase == "Running"
            assert (await scene.pod("done")).status.phase == "Succeeded"
            assert await scene.logs("job") == "first\n"
            await scene.client.delete(Pod, "job", "default")
            await scene.client.delete(Pod, "done", "default")
            await scene.gone("job")
            await scene.gone("done")


async def test_orphans_are_ended_but_never_a_stranger_with_a_used_id(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    recorded = start("sleep", "300")
    marked = start("sleep", "300", **{NODE_ID: "node-a"})
    stranger = start("sleep", "300", **{NODE_ID: "node-b"})
    began = start_time(recorded.pid)
    assert began is not None
    records.write("uid-1", [Started("main", 0, recorded.pid, began)])
    records.write("uid-2", [Started("main", 0, stranger.pid, began - 1000)])
    assert still_running(records.read("uid-1")[0])
    assert not still_running(records.read("uid-2")[0])
    try:
        assert await recover(records, "node-a", Capabilities()) == {"uid-1", "uid-2"}
        assert recorded.wait(5) == -signal.SIGKILL
        assert marked.wait(5) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for process in (recorded, marked, stranger):
            process.kill()
            process.wait()


async def test_a_record_that_a_crash_left_unreadable_is_no_record(tmp_path: Path) -> None:
    records = Records(tmp_path)
    (tmp_path / "uid-1.json").write_text('[{"cont')
    assert records.read("uid-1") == []
    assert records.uids() == {"uid-1"}
