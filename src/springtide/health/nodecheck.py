"""The check itself: how fast a node computes, copies memory, moves bytes over sockets, and uses its GPUs.

Runs by itself inside a pod (`python3 -c`, standard library only; torch is used where the image has it and a
GPU is there); `checkpods` puts its text there. Each measure is the best of several short rounds, so that a
neighbour's burst does not count against the node. The result is one line of JSON on stdout and in the pod's
termination message: rates, the more the better.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5
ROUND_SECONDS = 0.4
BLOCK = bytes(1 << 20)
TERMINATION_MESSAGE = Path("/dev/termination-log")


def rate(work: Callable[[], float]) -> float:
    """Amount a second, in the best of several rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        began, done = time.perf_counter(), 0.0
        while time.perf_counter() - began < ROUND_SECONDS:
            done += work()
        best = max(best, done / (time.perf_counter() - began))
    return best


def compute() -> float:
    """MiB hashed."""
    hashlib.sha256(BLOCK).digest()
    return 1.0


def interpret() -> float:
    """Thousands of steps of the interpreter: what launches kernels and prepares batches."""
    total = 0
    for number in range(20_000):
        total += number & 7
    return 20.0


def memory() -> Callable[[], float]:
    """MiB copied between buffers larger than any cache."""
    source, target = bytearray(64 << 20), bytearray(64 << 20)

    def copy() -> float:
        target[:] = source
        return 64.0

    return copy


def sockets() -> float:
    """MiB a second through TCP on loopback, in the best round."""
    best = 0.0
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(ROUNDS):
            thread = threading.Thread(target=send, args=(server.getsockname()[1],))
            thread.start()
            connection, _ = server.accept()
            with connection:
                began, received = time.perf_counter(), 0
                while data := connection.recv(1 << 20):
                    received += len(data)
                best = max(best, received / (1 << 20) / (time.perf_counter() - began))
            thread.join()
    return best


def send(port: int) -> None:
    """As much as goes in a round."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        ends = time.perf_counter() + ROUND_SECONDS
        while time.perf_counter() < ends:
            connection.sendall(BLOCK)


def devices() -> dict[str, float]:
    """Of each GPU: products of matrices and copies within its memory; nothing where there is none."""
    try:
        import torch
    except ImportError:
        return {}
    found = {}
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        left = torch.rand(4096, 4096, device=f"cuda:{number}")

        def multiply(left: torch.Tensor = left, number: int = number) -> float:
            left @ left
            torch.cuda.synchronize(number)
            return 1.0

        def copy(left: torch.Tensor = left, number: int = number) -> float:
            left.clone()
            torch.cuda.synchronize(number)
            return 64.0

        found[f"gpu{number}-compute"] = rate(multiply)
        found[f"gpu{number}-memory"] = rate(copy)
    return found


def main() -> int:
    """Measure, and say so."""
    measures = {
        "compute": rate(compute),
        "interpreter": rate(interpret),
        "memory": rate(memory()),
        "sockets": sockets(),
        **devices(),
    }
    line = json.dumps({name: round(value, 1) for name, value in measures.items()})
    print(line, flush=True)  # noqa: T201
    if TERMINATION_MESSAGE.exists():
        TERMINATION_MESSAGE.write_text(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
