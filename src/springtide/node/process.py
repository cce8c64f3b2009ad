"""The only file that starts processes: a container or a command inside one becomes a process group.

Called by `pod.py` (containers), `probes.py` and the preStop hook (commands). Every process is started through
`shim.py`, which prepares mounts, limits and user and then executes the program under the same process id.
Raises `StartError` when the program could not be executed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import marshal
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from springtide.node import terminal
from springtide.node.console import Console
from springtide.node.lastword import LastWord

SHIM = Path(__file__).with_name("shim.py")
WATCHDOG = Path(__file__).with_name("watchdog.py")
READ_BYTES = 64 * 1024


class StartError(Exception):
    """The program was not executed; the text says which step failed and why."""


@dataclass(frozen=True)
class Mount:
    """A file or folder of the machine seen at another path inside the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Launch:
    """Everything the shim needs to become the program."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    hostname: str = ""
    namespaces: str = ""
    """`` (none), `root` or `user`: how private namespaces are made (see `capabilities.py`)."""
    mounts: Sequence[Mount] = ()
    keep: Sequence[str] = ()
    """Folders below which missing mount points are really made, because what is written there must stay."""
    staging: str = ""
    """An existing empty folder where a private root may be put together."""
    cgroups: Sequence[str] = ()
    """`cgroup.procs` files to join."""
    join: int = 0
    """Process id whose namespaces to enter instead of making new ones."""
    user: int = -1
    group: int = -1
    groups: Sequence[int] = ()
    stdin: bool = False
    """Whether something may be written to its standard input; else it reads the end at once."""
    tty: bool = False
    """Whether its standard streams are a terminal."""

    def to_bytes(self, report: int) -> bytes:
        """What the shim reads; `report` is the descriptor it writes errors to."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "argv": list(self.argv),
            "env": dict(self.env),
            "mounts": [(mount.source, mount.target, mount.read_only) for mount in self.mounts],
            "report": report,
            "parent": os.getpid(),
        }
        return marshal.dumps(fields)


Sink = Callable[[bytes], None]
"""Takes what a process wrote, chunk by chunk; an empty chunk says the stream ended."""


class Running(Protocol):
    """A started container, as `pod.py` sees it; tests put scripted ones in its place."""

    @property
    def pid(self) -> int: ...
    def signal(self, number: int) -> None:
        """Send a signal to the process group; one that is gone already is fine."""

    async def wait(self) -> int:
        """The exit code once the process ended; minus the signal's number when a signal ended it."""

    async def drain(self, seconds: float) -> None:
        """Wait until all output was read, at most this long: a survivor may hold the pipes open."""

    @property
    def console(self) -> Console | None:
        """How to type into it and hold its output; None for one that has neither input nor terminal."""


class Process:
    """A real process and its two output pipes, read by the event loop as fast as the sinks take it."""

    def __init__(
        self, popen: subprocess.Popen[bytes], outputs: Mapping[int, Sink], console: Console | None = None
    ) -> None:
        """`outputs` are the reading ends of its pipes, which this object closes, and who takes what comes."""
        self._popen = popen
        self._console = console
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._open: dict[int, Sink] = {}
        self._drained = asyncio.Event()
        for descriptor, sink in outputs.items():
            self._read(descriptor, sink)
        self._watch_exit()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def console(self) -> Console | None:
        return self._console

    def hold(self, *, held: bool) -> None:
        """Stop or go on reading its output; the program waits once its pipe is full."""
        for descriptor in self._open:
            if held:
                self._loop.remove_reader(descriptor)
            else:
                self._loop.add_reader(descriptor, self._readable, descriptor)

    def signal(self, number: int) -> None:
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # macOS says so for a group of zombies
            return

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    async def drain(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._drained.wait(), seconds)
        except TimeoutError:
            for descriptor in list(self._open):
                self._close(descriptor)

    def _read(self, descriptor: int, sink: Sink) -> None:
        os.set_blocking(descriptor, False)
        self._open[descriptor] = sink
        self._loop.add_reader(descriptor, self._readable, descriptor)

    def _readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # nobody holds the terminal's other side any more
        if data:
            self._open[descriptor](data)
        else:
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._open.pop(descriptor)(b"")
        if not self._open:
            self._drained.set()

    def _watch_exit(self) -> None:
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(self._popen.pid)
            self._loop.add_reader(descriptor, self._exited, descriptor)
        else:
            threading.Thread(target=self._wait_in_thread, daemon=True).start()

    def _exited(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._finish(self._popen.wait())

    def _wait_in_thread(self) -> None:
        code = self._popen.wait()
        self._loop.call_soon_threadsafe(self._finish, code)

    def _finish(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)


async def start(launch: Launch, out: Sink, err: Sink) -> Process:
    """Start the program in a session of its own. Returns once it was executed; raises StartError.

    A terminal has one output, which goes to `out`.
    """
    ours: list[int] = []
    theirs: list[int] = []
    try:
        if launch.tty:
            own, its = terminal.open_pair()
            ours, theirs = [own], [its, its, its]
        else:
            add_pipes(ours, theirs, stdin=launch.stdin)
        popen, report = spawn(launch, *theirs)
        outputs = {ours[0]: out} if launch.tty else {ours[0]: out, ours[1]: err}
        console = _console(launch, ours)
    except OSError as error:
        close(ours)
        raise StartError(f"start process: {error}") from None
    finally:
        close(theirs)
    process = Process(popen, outputs, console)
    if console is not None:
        console.holds = process.hold
    try:
        await executed(process, report)
    except BaseException:
        if console is not None:
            console.close()
        raise
    return process


def add_pipes(ours: list[int], theirs: list[int], *, stdin: bool) -> None:
    """Ours: stdout, stderr and, if wanted, stdin. Theirs: stdin, stdout, stderr, as a program counts."""
    if stdin:
        reading, writing = os.pipe()
        theirs.append(reading)
    else:
        theirs.append(os.open(os.devnull, os.O_RDONLY))
    for _ in ("stdout", "stderr"):
        out, end = os.pipe()
        ours.append(out)
        theirs.append(end)
    if stdin:
        ours.append(writing)


def _console(launch: Launch, ours: Sequence[int]) -> Console | None:
    if launch.tty:
        return Console(os.dup(ours[0]), tty=True, writable=launch.stdin)
    return Console(ours[2], tty=False, writable=True) if launch.stdin else None


def close(descriptors: Sequence[int]) -> None:
    """Close each once."""
    for descriptor in set(descriptors):
        os.close(descriptor)


async def executed(process: Process, report: int) -> None:
    """Wait until the program was executed; `report` is what `spawn` gave. Raises StartError."""
    try:
        failure = await _read_report(report)
    except asyncio.CancelledError:
        process.signal(signal.SIGKILL)
        await process.wait()
        await process.drain(1.0)
        raise
    if failure:
        await process.wait()
        await process.drain(1.0)
        raise StartError(failure)


def spawn(launch: Launch, stdin: int, stdout: int, stderr: int) -> tuple[subprocess.Popen[bytes], int]:
    """The new process, and the descriptor on which `executed` hears how its start went. Raises OSError.

    In the calling thread on purpose: the kernel ends the child when the thread that made it ends.
    """
    report, report_end = os.pipe()
    try:
        with tempfile.TemporaryFile() as description:
            description.write(launch.to_bytes(report_end))
            description.seek(0)
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SHIM), str(description.fileno())],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(description.fileno(), report_end),
                env={},
                start_new_session=True,
            )
    except OSError:
        os.close(report)
        raise
    finally:
        os.close(report_end)
    return popen, report


async def _read_report(descriptor: int) -> str:
    """What the shim says went wrong; empty when the descriptor closed because the program was executed."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
        data = os.read(descriptor, READ_BYTES)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return data.decode(errors="replace")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    output: str
    timed_out: bool = False


OUTPUT_BYTES = 10 * 1024


async def run(launch: Launch, timeout_seconds: float) -> Outcome:
    """Run a command to its end, output limited to the first 10 KiB; killed as a group when time is over."""
    kept = bytearray()

    def keep(data: bytes) -> None:
        if len(kept) < OUTPUT_BYTES:
            kept.extend(data[: OUTPUT_BYTES - len(kept)])

    process = await start(launch, keep, keep)
    timed_out = False
    try:
        code = await asyncio.wait_for(process.wait(), timeout_seconds)
    except TimeoutError:
        timed_out, code = True, -signal.SIGKILL
    finally:
        process.signal(signal.SIGKILL)
        await process.wait()
        await process.drain(1.0)
    return Outcome(code, kept.decode(errors="replace"), timed_out)


class Watchdog:
    """A small process that ends everything carrying the mark when this process dies (see `watchdog.py`)."""

    def __init__(
        self, mark: str, cgroup_folders: Sequence[Path] = (), last_word: LastWord | None = None
    ) -> None:
        """`mark` is `NAME=value`, an entry of the environment; the folders are removed at the end.

        Then `last_word` is said, if nothing with the mark is left.
        """
        with contextlib.ExitStack() as stack:
            then: Sequence[str] = ()
            kept: tuple[int, ...] = ()
            if last_word is not None:
                kept = (os.memfd_create("last-word"),)
                stack.callback(os.close, kept[0])
                os.write(kept[0], last_word.secret())
                then = last_word.command(kept[0])
            folders = [str(folder) for folder in cgroup_folders]
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG), mark, str(len(folders)), *folders, *then],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(sys.path)} if then else {},
                cwd="/",
                bufsize=0,
                start_new_session=True,
                pass_fds=kept,
            )

    def dismiss(self) -> None:
        """Say farewell; it ends without killing anything."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.write(b"q")
            self._popen.stdin.close()
        self._popen.wait()
