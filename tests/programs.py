"""Programs that run beside the tests and benchmarks for a while: start, wait until ready, end.

Used by `kube_apiserver`, the endurance proofs and the benchmarks; a platform under test is `e2e.platforms`.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

READY_SECONDS = 120.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_TAIL_LINES = 20


@contextmanager
def started(
    command: list[str], log: Path, *, kubeconfig: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes to `log` and ends with the block; it sees no kubeconfig but the one given."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Raises `RuntimeError` with the end of the log if the program ends first or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
            raise RuntimeError(f"{process.args!r} is not ready; exit code {process.poll()}\n{tail}")
        time.sleep(_POLL_SECONDS)


def says_ready(port: int, token: str, trust: ssl.SSLContext) -> bool:
    """Whether an API server on 127.0.0.1 answers /readyz with 200."""
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listened on a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
