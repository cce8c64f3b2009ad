"""Peers find each other by name, with private mounts and without."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from springtide.node.names import AddressBook, Peer, hold_prefix, substituted, write_in_place
from springtide.runtime.loopback import BlockTaken
from tests.node.scene import container, node_alone, python, shell

RESOLVE = (
    "import os, socket, sys, time\n"
    "name = os.environ['PEER']\n"
    "for _ in range(200):\n"
    "    try:\n"
    "        print(name, socket.getaddrinfo(name, 80, socket.AF_INET)[0][4][0], flush=True); break\n"
    "    except OSError:\n"
    "        time.sleep(0.05)\n"
    "else:\n"
    "    sys.exit('not found')\n"
    "{more}"
)


def member(index: int) -> dict[str, Any]:
    return {"hostname": f"job-{index}", "subdomain": "job"}


@pytest.mark.realtime
@pytest.mark.parametrize("suffix", ["", ".job", ".job.default.svc", ".job.default.svc.cluster.local"])
async def test_a_peer_that_comes_later_is_found(tmp_path: Path, suffix: str) -> None:
    async with node_alone(tmp_path) as scene:
        env = [{"name": "PEER", "value": f"job-1{suffix}"}]
        await scene.create("first", python(RESOLVE.format(more=""), env=env), **member(0))
        await scene.running("first")
        await scene.create("second", shell("sleep 60"), **member(1))
        second = await scene.running("second")
        await scene.finished("first")
        assert await scene.logs("first") == f"job-1{suffix} {second.status.pod_ip}\n"


@pytest.mark.realtime
async def test_without_private_mounts_python_and_env_know_the_peers(tmp_path: Path) -> None:
    async with node_alone(tmp_path, namespaces="never") as scene:
        assert "private-mounts" in scene.node.capabilities.notes()
        env = [{"name": "PEER", "value": "job-1.job"}, {"name": "OTHER", "value": "job-1"}]
        script = RESOLVE.format(more="print(socket.gethostbyname('job-1.job'))")
        await scene.create(
            "first", python(script.replace("os.environ['PEER']", "'job-1.job'"), env=env), **member(0)
        )
        waiting = await scene.until("first", lambda pod: container(pod).state.waiting)
        assert "waiting for this peer" in container(waiting).state.waiting.message  # type: ignore[union-attr]
        await scene.create("second", shell("sleep 60"), **member(1))
        second = await scene.running("second")
        await scene.finished("first")
        address = second.status.pod_ip
        assert await scene.logs("first") == f"job-1.job {address}\n{address}\n"


@pytest.mark.realtime
async def test_the_pod_has_its_own_host_name_and_address(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        script = (
            "import os, socket\n"
            "own = socket.gethostbyname(socket.gethostname())\n"
            "server = socket.socket(); server.bind((own, 0)); server.listen()\n"
            "print(os.environ['HOSTNAME'], own, socket.getfqdn())"
        )
        await scene.create("pod", python(script), **member(3))
        pod = await scene.finished("pod")
        text = await scene.logs("pod")
        if scene.node.capabilities.namespaces:
            assert text == f"job-3 {pod.status.pod_ip} job-3.job.default.svc.cluster.local\n"


def test_addresses_are_unique_kept_and_reused_late(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "book.json", "127.77", distinct=True)
    first, second = book.assign("a"), book.assign("b")
    assert (first, second) == ("127.77.1.1", "127.77.1.2")
    book.release("a")
    again = AddressBook(tmp_path / "book.json", "127.77", distinct=True)
    assert again.get("b") == second
    assert again.assign("c") == "127.77.1.3"
    again.keep({"c"})
    assert again.get("b") == ""


def test_addresses_wrap_around_and_skip_the_living(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "book.json", "127.77", distinct=True)
    book.assign("old")
    book._next = 254 * 254 - 1
    assert book.assign("last") == "127.77.254.254"
    assert book.assign("wrapped") == "127.77.1.2"


def test_addresses_of_another_prefix_are_given_up(tmp_path: Path) -> None:
    AddressBook(tmp_path / "book.json", "127.77", distinct=True).assign("a")
    moved = AddressBook(tmp_path / "book.json", "127.78", distinct=True)
    assert moved.get("a") == ""
    assert moved.assign("a").startswith("127.78.")


def test_two_nodes_have_different_prefixes_and_keep_them(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    prefix, held = hold_prefix(first)
    AddressBook(first, prefix, distinct=True).assign("a")
    shutil.copy(first, second)  # a copy of the data folder, run beside the original
    other, also_held = hold_prefix(second)
    try:
        assert other != prefix
        with pytest.raises(BlockTaken, match=f"{prefix}.0.0/16: in use by other"):
            hold_prefix(second, prefix)
    finally:
        also_held.close()
        held.close()
    again, held = hold_prefix(first)
    held.close()
    assert again == prefix


def test_where_only_one_address_can_be_bound_all_share_it(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "book.json", "127.77", distinct=False)
    assert book.assign("a") == book.assign("b") == "127.0.0.1"


def test_a_mounted_file_is_changed_in_place(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    write_in_place(path, "a long first text\n")
    inode = path.stat().st_ino
    write_in_place(path, "short\n")
    assert path.read_text() == "short\n"
    assert path.stat().st_ino == inode


def test_only_whole_values_are_peers_names() -> None:
    peers = [Peer("127.77.1.1", ("job-0.job", "job-0"))]
    environment = {"A": "job-0.job", "B": "tcp://job-0.job:29500", "C": "job-0.jobs"}
    assert substituted(environment, peers) == {
        "A": "127.77.1.1",
        "B": "tcp://job-0.job:29500",
        "C": "job-0.jobs",
    }
