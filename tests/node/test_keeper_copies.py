"""Keepers talk over real sockets: copies arrive whole or not at all, and nobody gets what is not theirs."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from springtide.node import keeper_service
from springtide.node.keeper_channel import (
    Address,
    Fetch,
    Given,
    Holdings,
    Identity,
    Put,
    Trust,
    connect,
    make_identity,
    receive,
    receive_bytes,
    send,
    send_bytes,
)
from springtide.node.keeper_copies import Copies, Failed
from springtide.node.keeper_layout import Job, Part, Torn
from springtide.node.keeper_service import KeeperService, Pace
from springtide.node.keeper_shelf import Full, Memory, Shelf
from springtide.runtime import SystemClock
from tests.node.snapshots import CHUNK, manifest, write_part

pytestmark = pytest.mark.realtime

JOB = Job("team-a", "digits", "0b5f3c1e")
BUDGET = 64 * 1024 * 1024
CLOCK = SystemClock()


@dataclass
class Peer:
    """One node's keeper without the node."""

    name: str
    shelf: Shelf
    identity: Identity
    trust: Trust
    service: KeeperService
    copies: Copies
    address: Address
    entitled: set[tuple[str, Job]] = field(default_factory=set)

    async def put(self, other: Peer, part: Part, job: Job = JOB) -> None:
        await self.copies.put(other.name, other.address, job, part)

    async def fetch(self, other: Peer, part: Part, job: Job = JOB) -> None:
        await self.copies.fetch(other.name, other.address, job, part)

    def write(self, step: int, rank: int, data: bytes | None = None, job: Job = JOB) -> Part:
        return write_part(self.shelf.make(job), step, rank, data)

    @property
    def leftovers(self) -> list[Path]:
        return list((self.shelf.root / ".incoming").iterdir())


def plenty() -> Memory:
    return Memory(1 << 40, 1 << 40)


@asynccontextmanager
async def peers(folder: Path, *names: str, budget: int = BUDGET) -> AsyncIterator[list[Peer]]:
    """Keepers that know each other; each may ask the others about JOB."""
    made: list[Peer] = []
    entitled: set[tuple[str, Job]] = {(name, JOB) for name in names}

    async def may(node: str, job: Job) -> bool:
        return (node, job) in entitled

    for name in names:
        shelf = Shelf(folder / name, budget, plenty)
        shelf.open()
        identity = make_identity(name, CLOCK.now())
        trust = Trust(identity, folder)
        service = KeeperService(shelf, trust, may)
        address = Address("127.0.0.1", await service.start("127.0.0.1"), identity.certificate)
        copies = Copies(shelf, trust, Pace(CLOCK, 0))
        made.append(Peer(name, shelf, identity, trust, service, copies, address, entitled))
    for one in made:
        one.trust.learn({other.name: other.address for other in made})
    try:
        yield made
    finally:
        for one in made:
            await one.service.stop()


async def test_a_copy_survives_its_node_and_comes_back_the_same(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b", "c") as (a, b, c):
        part = a.write(7, 0, os.urandom(3 * CHUNK + 17))
        original = (a.shelf.own(JOB) / part.folder / "data.bin").read_bytes()
        await a.put(b, part)
        await a.service.stop()
        held = await c.copies.holdings(JOB, {"a": a.address, "b": b.address})
        assert held == {"a": [], "b": [part]}
        await c.fetch(b, part)
        c.shelf.publish(JOB, part)
        assert (c.shelf.own(JOB) / part.folder / "data.bin").read_bytes() == original
        assert b.shelf.parts(JOB) == [part]


async def test_two_snapshots_of_a_rank_are_kept_and_one_that_is_there_is_not_sent_again(
    tmp_path: Path,
) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        for step in (1, 2, 3):
            part = a.write(step, 0)
            await a.put(b, part)
            other = a.write(step, 1)
            await a.put(b, other)
        assert [(one.step, one.rank) for one in b.shelf.parts(JOB)] == [(3, 0), (3, 1), (2, 0), (2, 1)]
        before = (b.shelf.locate(JOB, part) / "data.bin").stat().st_ino
        await a.put(b, part)
        assert (b.shelf.locate(JOB, part) / "data.bin").stat().st_ino == before


async def test_after_a_fall_back_the_new_lower_steps_are_kept_not_the_old_higher_ones(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        for step in (90, 100, 50, 60):
            await a.put(b, a.write(step, 0))
        assert {one.step for one in b.shelf.parts(JOB)} == {50, 60}


async def test_a_part_written_over_while_it_is_sent_is_not_kept(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        part = a.write(1, 0, bytes(40 * CHUNK))
        with (a.shelf.own(JOB) / part.folder / "data.bin").open("r+b") as file:
            file.seek(30 * CHUNK)
            file.write(b"the next snapshot")
        with pytest.raises(Torn, match="do not fit their checksum"):
            await a.put(b, part)
        await eventually(lambda: not b.leftovers)
        assert b.shelf.parts(JOB) == []


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a thread makes it so
            await asyncio.sleep(0.01)


async def leave(
    a: Peer, b: Peer, text: bytes, data: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Put by hand, up to the bytes; whoever gives fewer or others sees what comes of it."""
    part = a.write(1, 0)
    reader, writer = await connect(a.trust, b.address)
    await send(writer, Put(JOB, part))
    await send_bytes(writer, text)
    assert not (await receive(reader, Given)).refused
    writer.write(data)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("chunks", [0, 1, 3])
async def test_a_line_that_is_cut_leaves_nothing(tmp_path: Path, chunks: int) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        data = os.urandom(4 * CHUNK)
        _, writer = await leave(a, b, manifest(1, 0, data), data[: chunks * CHUNK + 11])
        await eventually(lambda: b.leftovers)
        writer.transport.abort()
        await eventually(lambda: not b.leftovers)
        assert b.shelf.parts(JOB) == []
        assert b.shelf.allowance_bytes(JOB) == BUDGET // 2


async def test_bytes_that_changed_on_the_way_are_refused(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        data = bytearray(os.urandom(4 * CHUNK))
        text = manifest(1, 0, bytes(data))
        data[3 * CHUNK + 5] ^= 1
        reader, writer = await leave(a, b, text, bytes(data))
        with pytest.raises((EOFError, OSError)):
            await receive_bytes(reader)
        writer.transport.abort()
        assert b.shelf.parts(JOB) == []
        assert not b.leftovers


async def test_a_peer_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_service, "PATIENCE_SECONDS", 0.2)
    async with peers(tmp_path, "a", "b") as (a, b):
        data = os.urandom(4 * CHUNK)
        _, writer = await leave(a, b, manifest(1, 0, data), data[:CHUNK])
        await eventually(lambda: b.leftovers)
        await eventually(lambda: not b.leftovers)
        assert b.shelf.parts(JOB) == []
        writer.transport.abort()


async def test_a_full_memory_says_so_and_takes_nothing(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b", budget=10 * CHUNK) as (a, b):
        await a.put(b, a.write(1, 0, os.urandom(6 * CHUNK)))
        with pytest.raises(Failed, match=r"node b: .* bytes are used; .* more are too many"):
            await a.put(b, a.write(2, 0, os.urandom(6 * CHUNK)))
        assert [one.step for one in b.shelf.parts(JOB)] == [1]


async def test_jobs_copied_at_once_share_the_budget(tmp_path: Path) -> None:
    """What is on its way counts: of four that would fit one by one, those are taken that fit together."""
    async with peers(tmp_path, "a", "b", budget=30 * CHUNK) as (a, b):
        jobs = [Job("team-a", f"job-{number}", f"uid-{number}") for number in range(4)]
        a.entitled.update(("a", job) for job in jobs)
        parts = [a.write(1, 0, os.urandom(9 * CHUNK), job) for job in jobs]
        ended = await asyncio.gather(
            *(a.put(b, part, job) for job, part in zip(jobs, parts, strict=True)), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in ended) == ["Failed", "NoneType", "NoneType", "NoneType"]
        assert b.shelf.used_bytes <= 30 * CHUNK
        for job, part, end in zip(jobs, parts, ended, strict=True):
            assert b.shelf.parts(job) == ([part] if end is None else [])


async def test_a_keeper_that_starts_anew_knows_what_it_kept(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        part = a.write(3, 0)
        await a.put(b, part)
        (b.shelf.root / ".incoming" / "9").mkdir()
        again = Shelf(b.shelf.root, BUDGET, plenty)
        again.open()
        assert again.jobs() == [JOB]
        assert again.parts(JOB) == [part]
        assert not b.leftovers


async def test_the_rate_bounds_how_fast_copies_leave(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        slow = Copies(a.shelf, a.trust, Pace(CLOCK, 20 * CHUNK))
        part = a.write(1, 0, bytes(10 * CHUNK))
        began = CLOCK.monotonic()
        await slow.put("b", b.address, JOB, part)
        assert CLOCK.monotonic() - began >= 0.4


# -- who may -----------------------------------------------------------------------------------------


async def test_a_node_without_pods_of_the_job_neither_reads_nor_writes(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b", "stranger") as (a, b, stranger):
        part = a.write(1, 0)
        await a.put(b, part)
        a.entitled.discard(("stranger", JOB))
        assert await stranger.copies.holdings(JOB, {"b": b.address}) == {"b": []}
        with pytest.raises(Failed, match="node stranger has no pods of team-a/digits"):
            await stranger.fetch(b, part)
        with pytest.raises(Failed, match="has no pods"):
            await stranger.put(b, stranger.write(2, 0))
        assert [one.step for one in b.shelf.parts(JOB)] == [1]


@pytest.mark.parametrize("other", [Job("team-b", "digits", JOB.uid), Job("team-a", "digits", "another-uid")])
async def test_a_job_of_the_same_name_is_another_job(tmp_path: Path, other: Job) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        part = a.write(1, 0)
        await a.put(b, part)
        a.entitled.add(("a", other))
        assert await a.copies.holdings(other, {"b": b.address}) == {"b": []}
        with pytest.raises(Failed, match="is not here"):
            await a.fetch(b, part, other)


async def test_without_a_certificate_of_a_node_nobody_is_heard(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        await a.put(b, a.write(1, 0))
        unknown = Trust(make_identity("a", CLOCK.now()), tmp_path)  # says it is node a, and is not
        with pytest.raises((OSError, EOFError)):
            await ask_holdings(unknown, b.address)
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", b.address.port, ssl=bare)
        await send(writer, Holdings(JOB))  # TLS 1.3 tells a client last that it was refused
        with pytest.raises((OSError, EOFError)):
            await receive_bytes(reader)
        writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", b.address.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"springtide" not in await reader.read()
        writer.close()


async def ask_holdings(trust: Trust, address: Address) -> bytes:
    reader, writer = await connect(trust, address)
    try:
        await send(writer, Holdings(JOB))
        return await receive_bytes(reader)
    finally:
        writer.transport.abort()


async def test_a_node_that_has_left_is_not_heard_any_more(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        assert await ask_holdings(a.trust, b.address)
        b.trust.learn({"b": b.address})
        with pytest.raises((OSError, EOFError)):
            await ask_holdings(a.trust, b.address)


async def test_another_server_on_the_peers_port_is_not_trusted(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b", "impostor") as (a, b, impostor):
        part = a.write(1, 0)
        swapped = Address("127.0.0.1", impostor.address.port, b.address.certificate)
        with pytest.raises(Failed, match="node b"):
            await a.copies.put("b", swapped, JOB, part)
        assert impostor.shelf.parts(JOB) == []


@pytest.mark.parametrize("name", ["..", "../../etc", "a/b", "", "UPPER", "x" * 254, "."])
@pytest.mark.parametrize("field", ["namespace", "name", "uid"])
async def test_names_that_are_paths_are_refused(tmp_path: Path, field: str, name: str) -> None:
    if field == "uid" and name in ("UPPER",):
        pytest.skip("a uid may be upper case")
    fields = {"namespace": "team-a", "name": "digits", "uid": "0b5f"} | {field: name}
    with pytest.raises(ValueError, match=f"{field}: "):
        Job(**fields).folder()


async def test_a_peer_that_asks_for_a_path_is_refused(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        evil = Job("..", "..", "..")
        a.entitled.add(("a", evil))
        (b.shelf.root / "secret").write_text("secret")
        assert await a.copies.holdings(evil, {"b": b.address}) == {"b": []}
        reader, writer = await connect(a.trust, b.address)
        await send_bytes(writer, b'{"ask":"fetch","job":{"namespace":"..","name":"..","uid":".."},"part":{}}')
        with pytest.raises((EOFError, OSError)):
            await receive_bytes(reader)
        writer.transport.abort()


async def test_links_that_a_program_puts_into_its_folder_lead_nowhere(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        secret = tmp_path / "secret"
        part = write_part(secret, 5, 0)
        own = a.shelf.make(JOB)
        (own / "step-5").symlink_to(secret / "step-5")
        assert a.shelf.parts(JOB) == []
        (own / "step-5").unlink()
        (own / "step-5").mkdir()
        (own / "step-5" / "rank-0").symlink_to(secret / "step-5" / "rank-0")
        assert a.shelf.parts(JOB) == []
        (own / "step-5" / "rank-0").unlink()
        (own / "step-5" / "rank-0").mkdir()
        for name in ("data.bin", "manifest.json"):
            (own / "step-5" / "rank-0" / name).symlink_to(secret / "step-5" / "rank-0" / name)
        assert a.shelf.parts(JOB) == []
        (own / "step-5" / "rank-0" / "manifest.json").unlink()
        os.link(secret / "step-5" / "rank-0" / "manifest.json", own / "step-5" / "rank-0" / "manifest.json")
        assert a.shelf.parts(JOB) == [part]
        with pytest.raises(Torn):
            await a.put(b, part)
        assert b.shelf.parts(JOB) == []


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="not this node's folder"):
        Shelf(tmp_path / "mine", BUDGET, plenty).open()


def test_a_job_may_use_half_of_what_others_leave(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "node", BUDGET, plenty)
    shelf.open()
    assert shelf.allowance_bytes(JOB) == BUDGET // 2
    write_part(shelf.make(Job("team-b", "other", "uid-2")), 1, 0, os.urandom(BUDGET // 4))
    assert BUDGET // 4 < shelf.allowance_bytes(JOB) <= BUDGET * 3 // 8
    write_part(shelf.make(Job("team-b", "other", "uid-2")), 2, 0, os.urandom(BUDGET))
    with pytest.raises(Full, match="are used by other jobs"):
        shelf.allowance_bytes(JOB)


def test_what_the_machine_needs_for_itself_is_left(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "node", BUDGET, lambda: Memory(1000, 99))
    shelf.open()
    with pytest.raises(Full, match="99 bytes available, of which 100 must stay free"):
        shelf.allowance_bytes(JOB)


def test_folders_are_for_their_owner_alone_and_go_with_the_job(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "node", BUDGET, plenty)
    shelf.open()
    own = shelf.make(JOB)
    assert own.stat().st_mode & 0o777 == 0o700
    assert shelf.root.stat().st_mode & 0o077 == 0o011
    write_part(own, 1, 0)
    shelf.remove(JOB)
    assert shelf.jobs() == []
    assert shelf.used_bytes == 0


async def test_a_fetch_of_what_is_not_there_any_more_says_so(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        part = b.write(1, 0)
        b.shelf.remove(JOB)
        reader, writer = await connect(a.trust, b.address)
        await send(writer, Fetch(JOB, part))
        assert "is not here any more" in (await receive(reader, Given)).refused
        writer.transport.abort()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_part_that_nobody_takes_is_closed_again(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        part = a.write(7, 0)
        await a.put(b, part)
        before = open_files()
        for _ in range(20):
            await a.put(b, part)  # it is there already: no byte of it is asked for
        await b.service.stop()
        for _ in range(20):
            with pytest.raises(Failed):
                await a.put(b, part)
        assert open_files() < before + 10


async def test_a_node_that_publishes_no_certificate_disturbs_nobody_else(tmp_path: Path) -> None:
    nonsense = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
    async with peers(tmp_path, "a", "b") as (a, b):
        for one in (a, b):
            one.trust.learn(
                {"aa": Address("127.0.0.1", 1, nonsense), "a": a.address, "b": b.address},
            )
        part = a.write(7, 0)
        await a.put(b, part)
        assert b.shelf.copied_parts(JOB) == [part]


async def test_a_part_is_not_given_out_through_a_link(tmp_path: Path) -> None:
    async with peers(tmp_path, "a", "b") as (a, b):
        part = a.write(7, 0)
        await a.put(b, part)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (b.shelf.make(JOB) / "step-7").symlink_to(elsewhere)
        with pytest.raises(OSError):
            b.shelf.publish(JOB, part, os.getuid(), os.getgid())
        assert list(elsewhere.iterdir()) == []


def test_a_folder_changes_hands_and_nothing_behind_its_links(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may change the owner of a file")
    shelf = Shelf(tmp_path / "memory", BUDGET, plenty)
    own = shelf.make(JOB)
    write_part(own, 7, 0, None)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "secret").touch()
    (own / "step-8").symlink_to(kept)
    shelf.make(JOB, 4321, 4321)
    assert (own / "step-7" / "rank-0" / "manifest.json").stat().st_uid == 4321
    assert (own.stat().st_uid, (own / "step-8").lstat().st_uid) == (4321, 4321)
    assert (kept.stat().st_uid, (kept / "secret").stat().st_uid) == (0, 0)
