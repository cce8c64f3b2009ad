"""Pseudo-terminals: a pair of descriptors, and their size. Called by `process.py` and `session.py`."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

END_OF_INPUT = b"\x04"
"""What ends the input of a program that reads a terminal line by line (Ctrl-D)."""


def open_pair() -> tuple[int, int]:
    """Our side and the program's side of a new terminal."""
    return os.openpty()


def resize(descriptor: int, columns: int, rows: int) -> None:
    """Set the size; the kernel tells the program's process group with SIGWINCH."""
    size = struct.pack("HHHH", min(rows, 0xFFFF), min(columns, 0xFFFF), 0, 0)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)
