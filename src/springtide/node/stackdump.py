"""The Python stack of a process, read from outside without its help: by the program py-spy.

`--nonblocking` reads the memory of the process while it runs, so that it is neither paused nor, where it is
stopped already (SIGSTOP), waited for. Where that is not possible, the kernel says where it waits. Called by
the collectors, from a thread of theirs; programs are only started by this room.
Source of the output: py-spy's `dump --json` (a list of threads with frames, innermost first).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

FRAMES_MAX = 40
TIMEOUT_SECONDS = 5.0
OUTPUT_BYTES = 4 * 1024 * 1024
REASON_CHARACTERS = 200


@dataclass(frozen=True)
class Dump:
    """What a process was doing."""

    frames: tuple[str, ...]
    """Innermost first, `function (file:line)`; what only the kernel says stands in brackets."""
    why_not: str = ""
    """Why there is no Python stack; empty: there is."""


class _Frame(msgspec.Struct):
    name: str = ""
    filename: str = ""
    line: int = 0


class _Thread(msgspec.Struct):
    pid: int
    os_thread_id: int | None = None
    thread_name: str | None = None
    frames: list[_Frame] = []


def program() -> str | None:
    """Where py-spy is: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def dump(pid: int, *, proc: Path = Path("/proc"), timeout_seconds: float = TIMEOUT_SECONDS) -> Dump:
    """The stack of the process's main thread; never raises."""
    found = program()
    if found is None:
        return _by_kernel(proc, pid, "the program py-spy is not installed")
    command = [found, "dump", "--json", "--nonblocking", "--full-filenames", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_seconds, check=False)
    except subprocess.TimeoutExpired:
        return _by_kernel(proc, pid, f"py-spy took more than {timeout_seconds:g} s")
    except OSError as error:
        return _by_kernel(proc, pid, f"py-spy cannot be started: {error.strerror}")
    if done.returncode != 0:
        return _by_kernel(proc, pid, _reason(done.stderr))
    try:
        threads = msgspec.json.decode(done.stdout[:OUTPUT_BYTES], type=list[_Thread])
    except msgspec.MsgspecError as error:
        return _by_kernel(proc, pid, f"py-spy's output cannot be read: {error}")
    main = next((one for one in threads if one.os_thread_id == one.pid), None)
    main = main or next((one for one in threads if one.thread_name == "MainThread"), None)
    if main is None or not main.frames:
        return _by_kernel(proc, pid, "its main thread runs no Python")
    return Dump(tuple(_text(frame) for frame in main.frames[:FRAMES_MAX]))


def _text(frame: _Frame) -> str:
    return f"{frame.name} ({frame.filename}:{frame.line})"


def _reason(output: bytes) -> str:
    """The sentence that py-spy ends with, in one line."""
    text = " ".join(output.decode("utf-8", "replace").split())
    denied = "ermission" in text or "Operation not permitted" in text
    hint = "; the collectors need CAP_SYS_PTRACE to read the stacks of other users" if denied else ""
    return f"py-spy: {text.removeprefix('Error: ')[:REASON_CHARACTERS]}{hint}"


def _by_kernel(proc: Path, pid: int, why_not: str) -> Dump:
    """Where the kernel says the process waits."""
    folder = proc / str(pid)
    frames: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "stack").read_text().splitlines()[:FRAMES_MAX]
        frames += [f"[kernel: {line.rpartition(' ')[2].partition('+')[0]}]" for line in lines]
    if not frames:
        with contextlib.suppress(OSError):
            waiting = (folder / "wchan").read_text().strip()
            frames += [f"[kernel: {waiting}]"] if waiting not in ("", "0") else []
    with contextlib.suppress(OSError, IndexError):
        number = (folder / "syscall").read_text().split()[0]
        frames += [f"[system call {number}]"] if number.isdecimal() else []
    return Dump(tuple(frames), why_not)
