"""What a simulated pod does: how long it runs, how it ends, what it reports. Read from the pod's annotations.

    simulation.springtide.dev/duration: 90s        how long each main container runs (a number is seconds)
    simulation.springtide.dev/start-delay: 2s      from binding to running
    simulation.springtide.dev/exit-code: "1"       how it ends
    simulation.springtide.dev/fail-after: 30s      ends early, with the exit code or 1
    simulation.springtide.dev/oom: "true"          ends as if out of memory
    simulation.springtide.dev/message: '{"a": 1}'  what each main container leaves as its termination message
    simulation.springtide.dev/stop-delay: 5s       how long it takes to stop when asked to
    simulation.springtide.dev/progress: 10s        how often it reports progress
    simulation.springtide.dev/checkpoint: 5m       how often it saves a checkpoint, which its reports tell
    simulation.springtide.dev/cpu: 500m            what each main container uses, as `kubectl top` shows it;
    simulation.springtide.dev/memory: 2Gi          without these, what it requests

The same names without the prefix may stand as one JSON object in `springtide.dev/simulated`. Called by
`simulated.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from springtide.api.core import Pod
from springtide.api.labels import SIMULATED
from springtide.api.quantity import parse

PREFIX = "simulation.springtide.dev/"
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")


@dataclass(frozen=True)
class Behaviour:
    """One run of a simulated pod; every restart of a container does the same again."""

    duration_seconds: float = 60.0
    start_delay_seconds: float = 0.0
    exit_code: int = 0
    fail_after_seconds: float | None = None
    oom: bool = False
    message: str = ""
    stop_delay_seconds: float = 0.0
    progress_seconds: float | None = None
    """Seconds between progress reports; None for no reports."""
    checkpoint_seconds: float | None = None
    """Seconds between checkpoints; None for none."""
    cpu_cores: float | None = None
    """What each main container uses; None: what it requests."""
    memory_bytes: float | None = None
    """What each main container uses; None: what it requests."""

    def ending(self) -> tuple[float, int, str]:
        """Seconds until a container ends, its exit code and the reason."""
        fails_early = self.fail_after_seconds is not None and self.fail_after_seconds < self.duration_seconds
        seconds = (
            self.fail_after_seconds
            if fails_early and self.fail_after_seconds is not None
            else self.duration_seconds
        )
        if self.oom:
            return seconds, 137, "OOMKilled"
        code = (self.exit_code or 1) if fails_early else self.exit_code
        return seconds, code, "Completed" if code == 0 else "Error"


class BadBehaviour(ValueError):
    """An annotation that says nothing sensible; the text names it, its value and what is expected."""


def behaviour_of(pod: Pod, default: Behaviour) -> Behaviour:
    """The pod's behaviour, from its annotations over the default. Raises BadBehaviour."""
    values = _whole_object(pod.metadata.annotations.get(SIMULATED, ""))
    for key, text in pod.metadata.annotations.items():
        if key.startswith(PREFIX):
            values[key.removeprefix(PREFIX)] = text
    changes = {}
    for name, value in values.items():
        if name not in _FIELDS:
            raise BadBehaviour(f"{PREFIX}{name} is unknown: use one of {', '.join(_FIELDS)}")
        attribute, parse = _FIELDS[name]
        changes[attribute] = parse(name, str(value))
    return replace(default, **changes)  # type: ignore[arg-type]


def _whole_object(text: str) -> dict[str, object]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadBehaviour(f"annotation {SIMULATED} is not JSON: {error}") from None
    if not isinstance(found, Mapping):
        raise BadBehaviour(f'annotation {SIMULATED} must be a JSON object such as {{"duration": "90s"}}')
    return dict(found)


def seconds(name: str, text: str) -> float:
    """`90`, `90s`, `1.5m`, `2h`, `250ms`. Raises BadBehaviour."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise BadBehaviour(
            f"{PREFIX}{name}: {text!r} is not a duration: write seconds, or a number with ms, s, m or h"
        )
    return float(match.group(1)) * _UNITS[match.group(2)]


def _whole(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) > 255:
        raise BadBehaviour(f"{PREFIX}{name}: {text!r} is not an exit code: write a number from 0 to 255")
    return int(text)


def _amount(name: str, text: str) -> float:
    try:
        return float(parse(text))
    except ValueError:
        raise BadBehaviour(f"{PREFIX}{name}: {text!r} is not a quantity: write 500m, 2 or 1Gi") from None


def _text(_: str, text: str) -> str:
    return text


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise BadBehaviour(f"{PREFIX}{name}: {text!r} must be true or false")
    return text.lower() == "true"


_FIELDS: dict[str, tuple[str, Callable[[str, str], float | int | bool | str]]] = {
    "duration": ("duration_seconds", seconds),
    "start-delay": ("start_delay_seconds", seconds),
    "exit-code": ("exit_code", _whole),
    "fail-after": ("fail_after_seconds", seconds),
    "oom": ("oom", _flag),
    "message": ("message", _text),
    "stop-delay": ("stop_delay_seconds", seconds),
    "progress": ("progress_seconds", seconds),
    "checkpoint": ("checkpoint_seconds", seconds),
    "cpu": ("cpu_cores", _amount),
    "memory": ("memory_bytes", _amount),
}
assert {attribute for attribute, _ in _FIELDS.values()} == {field.name for field in fields(Behaviour)}
