"""The last word of a dead node: said only once nothing of it is left, and never about a later life."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from springtide.api.labels import NODE_LIFE, TAINT_OUT_OF_SERVICE
from springtide.api.meta import find_condition
from springtide.api.nodes import Node
from springtide.client import Client, Connection, NotFound
from springtide.node.lastword import (
    MANAGER,
    VOUCHED,
    LastWord,
    insist,
    return_to_service,
    speak,
)
from springtide.node.process import WATCHDOG
from springtide.runtime import LoopClock
from springtide.server import InProcessTransport
from tests.embedded import server_in_memory

MARK = f"SPRINGTIDE_NODE_ID=node-of-{os.getpid()}"
"""Its own in each process that runs tests: a watchdog ends whatever on this machine bears its mark."""


@asynccontextmanager
async def node_of_life(life: str) -> AsyncIterator[tuple[Client, LoopClock]]:
    """A node that reports itself ready, in this life."""
    clock = LoopClock()
    async with server_in_memory(clock) as server:
        client = Client(InProcessTransport(server)).with_manager("node")
        await client.apply(Node, "a", "", {"metadata": {"annotations": {NODE_LIFE: life}}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        await client.apply(Node, "a", "", {"status": {"conditions": [ready]}}, subresource="status")
        yield client.with_manager(MANAGER), clock


async def test_it_makes_the_node_unknown_and_out_of_service() -> None:
    async with node_of_life("one") as (client, clock):
        assert await speak(client, "a", "one", clock.now())
        node = await client.get(Node, "a")
        ready = find_condition(node.status.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("Unknown", "NodeProcessDied")
        assert [(one.key, one.value, one.effect) for one in node.spec.taints] == [
            (TAINT_OUT_OF_SERVICE, VOUCHED, "NoExecute")
        ]
        await speak(client, "a", "one", clock.now())
        assert len((await client.get(Node, "a")).spec.taints) == 1


async def test_about_a_node_that_lives_again_nothing_is_said() -> None:
    async with node_of_life("two") as (client, clock):
        assert not await speak(client, "a", "one", clock.now())
        node = await client.get(Node, "a")
        ready = find_condition(node.status.conditions, "Ready")
        assert ready is not None
        assert ready.status == "True"
        assert node.spec.taints == []


async def test_the_next_life_takes_its_own_taint_off_and_leaves_an_administrators() -> None:
    async with node_of_life("one") as (client, clock):
        body = {"spec": {"taints": [{"key": "site/drained", "effect": "NoSchedule"}]}}
        await client.patch(Node, "a", "", body)
        await speak(client, "a", "one", clock.now())
        assert len((await client.get(Node, "a")).spec.taints) == 2
        await return_to_service(client, "a")
        assert [one.key for one in (await client.get(Node, "a")).spec.taints] == ["site/drained"]
        switched_off = {
            "spec": {"taints": [{"key": TAINT_OUT_OF_SERVICE, "value": "bmc", "effect": "NoExecute"}]}
        }
        await client.patch(Node, "a", "", switched_off)
        await return_to_service(client, "a")
        assert [one.value for one in (await client.get(Node, "a")).spec.taints] == ["bmc"]


async def test_a_node_that_was_deleted_is_nobodys_business() -> None:
    async with node_of_life("one") as (client, clock):
        await client.delete(Node, "a")
        await insist(client, "a", "one", clock.now())
        await return_to_service(client, "a")
        with pytest.raises(NotFound):
            await client.get(Node, "a")


def test_the_way_to_the_server_is_handed_over_whole_and_in_no_argument() -> None:
    word = LastWord("a", "life", Connection("https://127.0.0.1:1", token="secret", token_file=Path("/t")))
    assert b"secret" in word.secret()
    assert "secret" not in " ".join(word.command(3))


def watchdog(then: list[str], folders: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    arguments = [MARK, str(len(folders)), *folders, *then]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(WATCHDOG), *arguments], stdin=subprocess.PIPE, env={}, bufsize=0
    )


def bystander() -> subprocess.Popen[bytes]:
    name, _, value = MARK.partition("=")
    return subprocess.Popen(["sleep", "60"], env={**os.environ, name: value}, start_new_session=True)


@pytest.mark.realtime
@pytest.mark.parametrize("farewell", [False, True])
async def test_the_watchdog_speaks_after_the_last_process_and_only_without_a_farewell(
    tmp_path: Path, farewell: bool
) -> None:
    said = tmp_path / "said"
    rank = bystander()
    # what is run at the end looks whether the rank is still there
    look = f"import os; open({str(said)!r}, 'w').write(str(os.path.exists('/proc/{rank.pid}/environ')))"
    dog = watchdog([sys.executable, "-c", f"{look}; assert not open('/proc/{rank.pid}/environ').read()"])
    assert dog.stdin is not None
    if farewell:
        dog.stdin.write(b"q")
    dog.stdin.close()
    code = await asyncio.to_thread(dog.wait, 20)
    try:
        if farewell:
            assert (code, said.exists()) == (0, False)
            assert rank.poll() is None
        else:
            assert rank.wait(5) == -signal.SIGKILL
            assert said.exists()
    finally:
        rank.kill()
        rank.wait()


@pytest.mark.realtime
async def test_the_watchdog_says_nothing_while_a_containers_cgroup_is_not_empty(tmp_path: Path) -> None:
    busy = tmp_path / "cgroup"
    (busy / "container" / "still-here").mkdir(parents=True)
    said = tmp_path / "said"
    dog = watchdog([sys.executable, "-c", f"open({str(said)!r}, 'w')"], (str(busy),))
    assert dog.stdin is not None
    dog.stdin.close()
    assert await asyncio.to_thread(dog.wait, 20) == 0
    assert not said.exists()


@pytest.mark.realtime
async def test_the_watchdog_waits_for_a_process_that_takes_long_to_die(tmp_path: Path) -> None:
    busy = tmp_path / "cgroup"
    dying = busy / "container" / "still-here"
    dying.mkdir(parents=True)
    said = tmp_path / "said"
    dog = watchdog([sys.executable, "-c", f"open({str(said)!r}, 'w')"], (str(busy),))
    assert dog.stdin is not None
    dog.stdin.close()
    await asyncio.sleep(1)
    assert dog.poll() is None
    dying.rmdir()
    assert await asyncio.to_thread(dog.wait, 20) == 0
    assert said.exists()
    assert not busy.exists()
