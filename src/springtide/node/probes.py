"""Startup, readiness and liveness probes of one running container instance.

`pod.py` starts one `watch` task per instance; it reports through callbacks and ends with the instance. Rules
as the kubelet's: startup first, the others only after it passed; thresholds count results in a row; a failed
startup or liveness probe makes the container unhealthy, a failed readiness probe only not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from springtide.api.containers import Container, HTTPGetAction, Probe
from springtide.node.process import Outcome, StartError

PERIOD_SECONDS, TIMEOUT_SECONDS, FAILURES, SUCCESSES = 10, 1, 3, 1
ANSWER_BYTES = 10 * 1024

Execute = Callable[[list[str], float], Awaitable[Outcome]]
"""Run a command inside the container within so many seconds."""


@dataclass(frozen=True)
class Result:
    """What one check found; `why` is said when it failed."""

    passed: bool
    why: str = ""


@dataclass(frozen=True)
class Target:
    """The container instance that is probed."""

    container: Container
    address: str
    execute: Execute
    on_started: Callable[[], None]
    on_ready: Callable[[bool, str], None]
    on_unhealthy: Callable[[str], None]


async def watch(target: Target) -> None:
    """Probe until the container is unhealthy or the task is cancelled."""
    container = target.container
    if container.startup_probe is not None:
        result = await _Repeated(container.startup_probe, target).verdict()
        if not result.passed:
            target.on_unhealthy(f"startup probe failed: {result.why}")
            return
    target.on_started()
    async with asyncio.TaskGroup() as group:
        if container.readiness_probe is not None:
            group.create_task(_readiness(_Repeated(container.readiness_probe, target), target))
        if container.liveness_probe is not None:
            group.create_task(_liveness(_Repeated(container.liveness_probe, target), target))


async def _readiness(probe: _Repeated, target: Target) -> None:
    while True:
        result = await probe.verdict()
        target.on_ready(result.passed, f"readiness probe failed: {result.why}")


async def _liveness(probe: _Repeated, target: Target) -> None:
    while True:
        result = await probe.verdict()
        if not result.passed:
            target.on_unhealthy(f"liveness probe failed: {result.why}")
            return


class _Repeated:
    """Does a probe again and again; counts equal results in a row until a threshold is reached."""

    def __init__(self, probe: Probe, target: Target) -> None:
        self._probe, self._target = probe, target
        self._thresholds = {
            True: probe.success_threshold or SUCCESSES,
            False: probe.failure_threshold or FAILURES,
        }
        self._delay = float(probe.initial_delay_seconds)
        self._last: bool | None = None
        self._count = 0

    async def verdict(self) -> Result:
        """The next result that reaches its threshold."""
        while True:
            await asyncio.sleep(self._delay)
            self._delay = float(self._probe.period_seconds or PERIOD_SECONDS)
            result = await check(self._probe, self._target)
            self._count = self._count + 1 if result.passed == self._last else 1
            self._last = result.passed
            if self._count >= self._thresholds[result.passed]:
                return result


async def check(probe: Probe, target: Target) -> Result:
    """Do the probe once."""
    timeout = float(probe.timeout_seconds or TIMEOUT_SECONDS)
    try:
        if probe.exec is not None:
            return await _exec(probe.exec.command, target, timeout)
        async with asyncio.timeout(timeout):
            if probe.http_get is not None:
                return await http_get(probe.http_get, target)
            if probe.tcp_socket is not None:
                return await _tcp(
                    probe.tcp_socket.host, port_of(probe.tcp_socket.port, target.container), target
                )
    except TimeoutError:
        return Result(False, f"no answer within {timeout:g} s")
    except (OSError, ValueError) as error:
        return Result(False, str(error))
    return Result(False, "the probe has no exec, httpGet or tcpSocket action (grpc is not supported here)")


async def _exec(command: list[str], target: Target, timeout: float) -> Result:
    try:
        outcome = await target.execute(command, timeout)
    except StartError as error:
        return Result(False, str(error))
    if outcome.timed_out:
        return Result(False, f"command did not end within {timeout:g} s")
    return Result(outcome.code == 0, f"command exited with {outcome.code}: {outcome.output.strip()[:200]}")


async def _tcp(host: str, port: int, target: Target) -> Result:
    _, writer = await asyncio.open_connection(host or target.address, port)
    writer.close()
    return Result(True)


async def http_get(action: HTTPGetAction, target: Target) -> Result:
    """200 to 399 pass. HTTPS is not verified, as the kubelet does not."""
    host = action.host or target.address
    port = port_of(action.port, target.container)
    context = _unverified() if action.scheme.upper() == "HTTPS" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    with contextlib.closing(writer):
        writer.write(_request(action, host, port))
        status = _status(await reader.readline())
        body = b"" if 200 <= status < 400 else (await reader.read(ANSWER_BYTES)).partition(b"\r\n\r\n")[2]
    return Result(200 <= status < 400, f"HTTP status {status} {body[:200].decode(errors='replace')}".strip())


def _request(action: HTTPGetAction, host: str, port: int) -> bytes:
    headers = {
        "Host": f"{host}:{port}",
        "User-Agent": "kube-probe/1.34",
        "Accept": "*/*",
        "Connection": "close",
    }
    headers |= {header.name: header.value for header in action.http_headers}
    path = action.path or "/"
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _status(line: bytes) -> int:
    parts = line.split(b" ")
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise ValueError(f"not an HTTP answer: {line[:60]!r}")
    return int(parts[1])


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def port_of(port: int | str, container: Container) -> int:
    """A port number, or the number of the container port of that name. Raises ValueError."""
    if isinstance(port, int):
        return port
    if port.isdecimal():
        return int(port)
    for known in container.ports:
        if known.name == port:
            return known.container_port
    raise ValueError(f"container {container.name!r} has no port named {port!r}")
