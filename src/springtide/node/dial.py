"""Connecting to a port of a pod, for port forwarding and proxies.

A pod's programs are reached at its own address. One that listens on 127.0.0.1 only is reached too, as inside
a pod's own network, but only if the listening process is the pod's: on this machine all pods and everything
else share that address. Called by `agent.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil

LOOPBACK = ("127.0.0.1", "::1")
CONNECT_SECONDS = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(address: str, port: int, pids: Callable[[], set[int]]) -> Streams:
    """Raises OSError that names address, port and cause. `pids` are asked for if nobody listens there."""
    try:
        return await _connect(address, port)
    except OSError as error:
        cause = error
    for loopback in await asyncio.to_thread(_listening, port, pids):
        try:
            return await _connect(loopback, port)
        except OSError as error:
            cause = error
    raise OSError(f"dial tcp4 {address}:{port}: connect: {_text(cause)}") from None


async def _connect(address: str, port: int) -> Streams:
    async with asyncio.timeout(CONNECT_SECONDS):
        return await asyncio.open_connection(address, port)


def _listening(port: int, pids: Callable[[], set[int]]) -> list[str]:
    """Loopback addresses on which one of the processes listens at the port."""
    found: set[str] = set()
    for pid in pids():
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:  # gone, or another user's
            continue
        found |= {
            one.laddr.ip
            for one in connections
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.laddr.ip in LOOPBACK
        }
    return sorted(found)


def _text(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    return (error.strerror or str(error)).lower()
