"""How long the steps of a recovery take, with where it is known from: `recovery.yaml` or a site's file.

Used by `recovery`; `springtide simulate faults` shows which of them were measured and which are assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from springtide.simulation.faultmix import MixError

DEFAULTS = Path(__file__).with_name("recovery.yaml")


@dataclass(frozen=True)
class Times:
    """Seconds, unless the name says otherwise. What each is, and where from, stands in `recovery.yaml`."""

    program_start_seconds: float
    step_seconds: float
    state_gigabytes: float
    storage_gigabytes_per_second: float
    drain_seconds: float
    reschedule_seconds: float
    detect_exit_seconds: float
    detect_kernel_seconds: float
    detect_hang_seconds: float
    detect_gone_seconds: float
    decide_seconds: float
    straggler_steps: float
    paired_check_seconds: float
    memory_seconds_per_gigabyte: float
    peer_copy_seconds_per_gigabyte: float
    restore_memory_seconds_per_gigabyte: float
    restore_peer_seconds_per_gigabyte: float
    persist_interval_seconds: float
    baseline_timeout_seconds: float
    baseline_checkpoint_seconds: float
    slow_factor: float
    baseline_slow_seconds: float
    unseen_slow_count: float
    unseen_slow_factor: float
    unseen_slow_seconds: float
    silent_seconds: float
    evidence_lost_part: float
    misnamed_part: float
    recurs_seconds: float
    unfixed_part: float
    person_seconds: float
    program_restarts: float
    flap_seconds: float
    switch_seconds: float
    reset_hours: float
    reboot_hours: float
    replace_hours: float


def load_times(path: Path | None = None) -> Times:
    """The default numbers, with those of `path` in their place. Raises MixError."""
    values = {name: value for name, (value, _) in sources(path).items()}
    missing = [one.name for one in fields(Times) if one.name not in values]
    if missing:
        raise MixError(f"{DEFAULTS}: no value of {', '.join(missing)}")
    return Times(**values)


def sources(path: Path | None = None) -> dict[str, tuple[float, str]]:
    """Every number with where it is from. Raises MixError."""
    found = _read(DEFAULTS)
    if path is not None:
        found |= _read(path)
    return found


def _read(path: Path) -> dict[str, tuple[float, str]]:
    try:
        raw = yaml.load(path.read_text(), yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MixError(f"{path}: {error}") from error
    if not isinstance(raw, Mapping):
        raise MixError(f"{path}: must be a mapping of names to {{value, source}}")
    known = {one.name for one in fields(Times)}
    return {str(name): _entry(path, str(name), entry, known) for name, entry in raw.items()}


def _entry(path: Path, name: str, entry: Any, known: set[str]) -> tuple[float, str]:
    if name not in known:
        raise MixError(f"{path}: {name} is unknown: use one of {', '.join(sorted(known))}")
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    source = entry.get("source", "") if isinstance(entry, Mapping) else ""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise MixError(f"{path}: {name}: {value!r} must be a number of at least 0")
    return float(value), str(source) or f"{path}"
