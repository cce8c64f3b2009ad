"""Ends all containers if the platform dies without doing it: one small process a node.

Its standard input is a pipe that only the platform holds. When the pipe closes without a farewell (`kill
-9`), every process that carries this node's mark in its environment is killed, also those that left their
parents. The kernel already ends the containers' first processes (see `shim.py`); this reaches their children.
Once none is left, in the process table and in the containers' cgroups, the program given as the last
arguments may say so (`lastword.py`). Linux only. Imports nothing of Springtide.
"""
# Importing pathlib would be most of the start time.
# ruff: noqa: PTH106, PTH123, PTH208

import contextlib
import os
import signal
import sys
import time

QUIET_SCANS = 3
PAUSE_SECONDS = 0.05
GIVE_UP_SCANS = 200


def main() -> None:
    mark = sys.argv[1].encode()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 1):
        return  # a farewell: the platform ended its pods itself
    count = int(sys.argv[2])
    folders, last_word = sys.argv[3 : 3 + count], sys.argv[3 + count :]
    quiet, left = 0, True
    for _ in range(GIVE_UP_SCANS):
        quiet = 0 if kill_marked(mark) else quiet + 1
        if quiet >= QUIET_SCANS:
            left = groups_left(folders)  # one that is still dying keeps its group for a moment
            if not left:
                break
        time.sleep(PAUSE_SECONDS)
    if last_word and not left:
        os.execv(last_word[0], last_word)  # says that nothing is left


def kill_marked(mark: bytes) -> int:
    """Kill every process with the mark; how many there were."""
    count = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                found = mark in file.read().split(b"\0")
            if found:
                os.kill(int(name), signal.SIGKILL)
                count += 1
        except OSError:  # gone, or another user's
            continue
    return count


def groups_left(folders: list[str]) -> bool:
    """Remove the containers' cgroups, which are empty now, and their parents; whether one is still there."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    os.rmdir(f"{folder}/{name}")
            os.rmdir(folder)
    return any(map(os.path.exists, folders))


if __name__ == "__main__":
    main()
