"""Snapshots to a peer and back: `python benchmarks/copies.py [--mebibytes 1024] [--rounds 7]`.

Two keepers, each a process of its own, over TLS on loopback, all in memory. A row for leaving a copy with the
peer, one for what a pod elsewhere waits before it starts (who holds what, the part fetched, checked and put
into its folder), and rows for what bounds both on this machine, with one thread: checksum, copy and TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from springtide.node.keeper_channel import Address, Identity, Trust, make_identity
from springtide.node.keeper_copies import Copies
from springtide.node.keeper_layout import Job, Part, parse_manifest
from springtide.node.keeper_service import KeeperService, Pace
from springtide.node.keeper_shelf import Memory, Shelf
from springtide.runtime import SystemClock

MEMORY = Path("/dev/shm")
JOB = Job("default", "bench", "uid-1")
CHUNK = 8 << 20
CLOCK = SystemClock()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return
    folder = Path(tempfile.mkdtemp(prefix="springtide-bench-", dir=MEMORY))
    try:
        bounds(options.mebibytes << 20, options.rounds)
        measure(folder, options.mebibytes << 20, options.rounds)
    finally:
        shutil.rmtree(folder)


def shelf_in(folder: Path) -> Shelf:
    made = Shelf(folder, 1 << 40, lambda: Memory(1 << 40, 1 << 40))
    made.open()
    return made


async def serve(folder: Path) -> None:
    """The peer: hears the node whose certificate comes on its standard input."""
    identity = make_identity("peer", CLOCK.now())
    trust = Trust(identity, folder.parent)

    async def anybody(_node: str, _job: Job) -> bool:
        return True

    service = KeeperService(shelf_in(folder), trust, anybody)
    address = Address("127.0.0.1", await service.start("127.0.0.1"), identity.certificate)
    print(msgspec.json.encode(address).decode(), flush=True)
    caller = msgspec.json.decode(sys.stdin.readline(), type=Address)
    trust.learn({"caller": caller})
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await service.stop()


def measure(folder: Path, size: int, rounds: int) -> None:
    identity = make_identity("caller", CLOCK.now())
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder / "peer")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        address = msgspec.json.decode(peer.stdout.readline(), type=Address)
        peer.stdin.write(msgspec.json.encode(Address("127.0.0.1", 0, identity.certificate)).decode() + "\n")
        peer.stdin.flush()
        assert peer.stdout.readline() == "ready\n"
        asyncio.run(measured(folder, size, rounds, identity, address))
        peer.stdin.close()


async def measured(folder: Path, size: int, rounds: int, identity: Identity, address: Address) -> None:
    here, there = shelf_in(folder / "here"), shelf_in(folder / "there")
    trust = Trust(identity, folder)
    put = Copies(here, trust, Pace(CLOCK, 0))
    fetch = Copies(there, trust, Pace(CLOCK, 0))
    leaving, resuming = [], []
    for step in range(1, rounds + 1):
        part = write_part(here.make(JOB), step, os.urandom(CHUNK), size)
        leaving.append(await timed(partial(put.put, "peer", address, JOB, part)))

        async def resume(part: Part = part) -> None:
            held = await fetch.holdings(JOB, {"peer": address})
            assert part in held["peer"]
            await fetch.fetch("peer", address, JOB, part)
            there.make(JOB)
            there.publish(JOB, part)

        resuming.append(await timed(resume))
        here.remove(JOB)
        there.remove(JOB)
    row("copy left with a peer", size, leaving)
    row("copy fetched from a peer before a pod starts", size, resuming)


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def write_part(folder: Path, step: int, block: bytes, size: int) -> Part:
    """A part of so many bytes, all chunks alike."""
    place = folder / f"step-{step}" / "rank-0"
    place.mkdir(parents=True)
    with (place / "data.bin").open("wb") as file:
        for at in range(0, size, CHUNK):
            file.write(block[: size - at])
    sums = [f"{zlib.crc32(block[: size - at]):08x}" for at in range(0, size, CHUNK)]
    body = json.dumps(
        {
            "format": "springtide-checkpoint/1",
            "step": step,
            "rank": 0,
            "world": 1,
            "local": [0],
            "session": "bench",
            "time": float(step),
            "data": {"bytes": size, "chunk": CHUNK, "crc32": sums},
        }
    ).encode()
    text = b'{"checksum":"crc32:%08x","body":%s}\n' % (zlib.crc32(body), body)
    (place / "manifest.json").write_bytes(text)
    return parse_manifest(text).part


def bounds(size: int, rounds: int) -> None:
    block, target = os.urandom(CHUNK), bytearray(CHUNK)
    count = max(1, size // CHUNK)

    def checksum() -> None:
        for _ in range(count):
            zlib.crc32(block)

    def copy() -> None:
        for _ in range(count):
            target[:] = block

    for what, work in (("bound: crc32, one thread", checksum), ("bound: memory copy, one thread", copy)):
        row(what, count * CHUNK, [clocked(work) for _ in range(rounds)])
    row("bound: TLS records, both sides in one thread", count * CHUNK, [clocked(lambda: tls(block, count))])


def clocked(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tls(block: bytes, count: int) -> None:
    """Encrypt and decrypt between two TLS ends in memory."""
    with tempfile.TemporaryDirectory() as name:
        identity = make_identity("bound", CLOCK.now())
        trust = Trust(identity, Path(name))
        own = Address("127.0.0.1", 0, identity.certificate)
        client = trust.towards(own)
    server = trust.server
    server.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for _ in range(count):
        view = memoryview(block)
        for at in range(0, len(block), 1 << 18):
            one.write(view[at : at + (1 << 18)])
            got = 0
            while got < len(view[at : at + (1 << 18)]):
                got += len(other.read(1 << 18))


def row(what: str, size: int, seconds: list[float]) -> None:
    middle = statistics.median(seconds)
    print(
        json.dumps(
            {
                "what": what,
                "mebibytes": size >> 20,
                "rounds": len(seconds),
                "median_s": round(middle, 3),
                "mebibytes_per_s": round((size >> 20) / middle),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
