"""Blocks of this machine's loopback addresses, each used by one process at a time.

Everything in 127.0.0.0/8 is this machine, for every program on it alike: two platforms that gave out the same
addresses would take each other's connections. So a block is held before an address of it is given out:
`up.control_plane` holds the one for Services, `node.agent` the one for its pods.

Held is a name in Linux's abstract socket namespace. It belongs to the same network namespace as the addresses
themselves, whoever the user and whatever the file system, and falls with the process, also after `kill -9`.
"""

from __future__ import annotations

import errno
import socket
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

SERVICE_BLOCKS = tuple(IPv4Network(f"127.{number}.0.0/16") for number in range(10, 64))
"""For the addresses of Services."""
POD_BLOCKS = tuple(IPv4Network(f"127.{number}.0.0/16") for number in range(64, 192))
"""For the addresses of pods."""


class BlockTaken(Exception):
    """Every block that would do is held by other processes; the text names them."""

    hint = "stop one of the other platforms or nodes of this machine"


@dataclass
class Held:
    """A block that is this process's until `close`."""

    block: IPv4Network
    _name: socket.socket | None

    def close(self) -> None:
        """Somebody else may have it now."""
        if self._name is not None:
            self._name.close()


def hold(blocks: Sequence[IPv4Network], *, user: str = "", first: IPv4Network | None = None) -> Held:
    """A block nobody on this machine holds: `first` if it is free, else one of `blocks`.

    `user` is whoever holds it, by a lasting name such as the path of its folder: the search begins at a place
    made from it, so that platforms which seldom run together do not come to want the same block. Raises
    BlockTaken.
    """
    start = zlib.crc32(user.encode()) % len(blocks) if blocks else 0
    wanted = [*([first] if first is not None else []), *blocks[start:], *blocks[:start]]
    for block in wanted:
        held = _try(block)
        if held is not None:
            return held
    span = f"{blocks[0]} to {blocks[-1]}" if blocks else f"{first}"
    raise BlockTaken(f"loopback addresses {span}: in use by other platforms or nodes of this machine")


def _try(block: IPv4Network) -> Held | None:
    """None if another process has it. Where there are no such names nothing is held, and nothing refused."""
    if not sys.platform.startswith("linux"):
        return Held(block, None)
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0springtide/loopback/{block}")
    except OSError as error:
        name.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return Held(block, name)
