"""Logs: what the program wrote is read back byte for byte, across rotation and while it is written."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.client import BadRequest
from springtide.node.logreader import LogQuery, last_output, read
from springtide.node.logs import LINE_BYTES, LogFolder, LogWriter
from springtide.runtime import LoopClock
from springtide.runtime.clock import EPOCH
from tests.node.scene import node_alone, python, shell


class Log:
    """A log being written in virtual time."""

    def __init__(self, root: Path, *, file_bytes: int = 10_000_000, files: int = 5) -> None:
        self.folder = LogFolder(root, "default", "pod", "uid", "main")
        self.writer = LogWriter(self.folder, 0, LoopClock(), file_bytes=file_bytes, files=files)

    def write(self, data: bytes) -> None:
        self.writer.stdout.write(data)

    def close(self) -> None:
        self.writer.stdout.write(b"")
        self.writer.close()

    async def text(self, query: LogQuery | None = None) -> bytes:
        return b"".join([chunk async for chunk in read(self.folder, 0, query or LogQuery(), self.writer)])


async def test_lines_come_back_as_written(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(b"one\ntw")
    log.write(b"o\n\nlast without newline")
    log.close()
    assert await log.text() == b"one\ntwo\n\nlast without newline"


async def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    log = Log(tmp_path)
    data = bytes(range(256)) * 3
    log.write(data)
    log.close()
    assert await log.text() == data


async def test_very_long_lines_are_cut_in_the_file_and_whole_when_read(tmp_path: Path) -> None:
    log = Log(tmp_path)
    data = b"x" * (3 * LINE_BYTES + 5) + b"\n" + b"y" * LINE_BYTES + b"\nend\n"
    for start in range(0, len(data), 7000):
        log.write(data[start : start + 7000])
    log.close()
    assert await log.text() == data
    assert max(map(len, log.folder.file(0, 0).read_bytes().split(b"\n"))) < LINE_BYTES + 60
    assert await log.text(LogQuery(tail_lines=2)) == data[3 * LINE_BYTES + 6 :]


@given(chunks=st.lists(st.binary(max_size=40) | st.just(b"\n"), max_size=30), tail=st.integers(0, 12))
def test_any_output_in_any_chunks(
    chunks: list[bytes], tail: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def check() -> None:
        log = Log(tmp_path_factory.mktemp("log"), file_bytes=200, files=1000)
        for chunk in chunks:
            if chunk:
                log.write(chunk)
        log.close()
        data = b"".join(chunks)
        assert await log.text() == data
        lines = data.split(b"\n")
        ended = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
        assert await log.text(LogQuery(tail_lines=tail)) == b"".join(ended[-tail:] if tail else [])

    asyncio.run(check())


async def test_rotation_keeps_the_newest_files(tmp_path: Path) -> None:
    log = Log(tmp_path, file_bytes=1000, files=3)
    for number in range(200):
        log.write(b"line %d\n" % number)
    log.close()
    assert len(log.folder.numbers(0)) == 3
    lines = (await log.text()).splitlines()
    assert lines[-1] == b"line 199"
    assert lines == [b"line %d" % number for number in range(200 - len(lines), 200)]
    assert await log.text(LogQuery(tail_lines=30)) == b"".join(
        b"line %d\n" % number for number in range(170, 200)
    )


async def test_following_goes_on_across_rotation_and_ends_with_the_container(tmp_path: Path) -> None:
    log = Log(tmp_path, file_bytes=300, files=3)
    log.write(b"before\n")

    async def write() -> None:
        for number in range(100):
            await asyncio.sleep(1)
            log.write(b"line %d\n" % number)
        log.close()

    writing = asyncio.create_task(write())
    text = await log.text(LogQuery(follow=True))
    await writing
    assert text == b"before\n" + b"".join(b"line %d\n" % number for number in range(100))


async def test_times_since_and_limits(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for number in range(5):
        log.write(b"line %d\n" % number)
        await asyncio.sleep(10)
    log.close()
    since = LogQuery(since=EPOCH + timedelta(seconds=25))
    assert await log.text(since) == b"line 3\nline 4\n"
    assert (
        await log.text(LogQuery(tail_lines=1, timestamps=True)) == b"2026-01-01T00:00:40.000000000Z line 4\n"
    )
    assert await log.text(LogQuery(limit_bytes=10)) == b"line 0\nlin"
    assert last_output(log.folder, 0, lines=2, limit_bytes=9) == b"3\nline 4\n"


async def test_a_full_disk_loses_lines_and_says_so(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(b"kept\n")
    real = log.writer._file
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230 - this device never blocks
        log.writer._file = full
        log.write(b"lost\n")
    log.writer._file = real
    log.write(b"kept again\n")
    log.close()
    lines = (await log.text()).splitlines()
    assert lines[0] == b"kept"
    assert lines[1].startswith(b"springtide: ")
    assert b"bytes of log lost: [Errno 28] No space left on device" in lines[1]
    assert lines[2] == b"kept again"


@pytest.mark.realtime
async def test_a_lot_of_output_arrives_whole(tmp_path: Path) -> None:
    async with node_alone(tmp_path, log_file_bytes=200_000, log_files=100) as scene:
        await scene.create("loud", python("for i in range(100_000): print(i)\nprint('end', end='')"))
        await scene.finished("loud")
        assert await scene.logs("loud") == "".join(f"{i}\n" for i in range(100_000)) + "end"
        assert await scene.logs("loud", tail_lines=2) == "99999\nend"


@pytest.mark.realtime
async def test_following_a_running_pod(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        await scene.create("slow", shell("for i in 1 2 3; do echo $i; sleep 0.1; done; printf bye"))
        await scene.running("slow")
        assert await scene.logs("slow", follow=True) == "1\n2\n3\nbye"
        with pytest.raises(BadRequest, match='previous terminated container "main" in pod "slow" not found'):
            await scene.logs("slow", previous=True)
