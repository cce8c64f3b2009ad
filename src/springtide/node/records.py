"""What must be known of running processes after a crash of the node, and what the next start does with it.

One small file per pod, written before anyone is told that a container runs. At start `recover` ends every
process of the earlier life, sure of each: a process id counts only with the start time that was recorded, or
with this node's mark in its environment, so an id that was used again is never touched. Called by `agent.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from springtide.node import cgroups
from springtide.node.capabilities import Capabilities
from springtide.node.processes import NODE_ID, Mark, descendants, end_all, marked, start_time
from springtide.runtime import logger

log = logger("node.records")


@dataclass(frozen=True)
class Started:
    """A container instance that was started."""

    container: str
    instance: int
    pid: int
    start_time: float


class Records:
    """The records of all pods, one JSON file each, named by pod uid."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, uid: str, started: Iterable[Started]) -> None:
        """Replace the record of a pod at once."""
        path = self._path(uid)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps([vars(one) for one in started]))
        fresh.replace(path)

    def read(self, uid: str) -> list[Started]:
        """What was started in the pod; a record that a crash left unreadable counts as unknown."""
        try:
            return [Started(**one) for one in json.loads(self._path(uid).read_bytes())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def remove(self, uid: str) -> None:
        """The pod is gone."""
        self._path(uid).unlink(missing_ok=True)

    def uids(self) -> set[str]:
        """Pods with a record."""
        return {path.stem for path in self._folder.glob("*.json")}

    def _path(self, uid: str) -> Path:
        return self._folder / f"{uid}.json"


def still_running(record: Started) -> bool:
    """Whether the process of this record lives: its id with its start time."""
    return start_time(record.pid) == record.start_time


async def recover(records: Records, node_id: str, capabilities: Capabilities) -> set[str]:
    """End all processes of an earlier life of this node. Returns the uids of pods that had containers."""
    uids = records.uids()
    mark = Mark({NODE_ID: node_id})

    def orphans() -> set[int]:
        known = {one.pid for uid in uids for one in records.read(uid) if still_running(one)}
        grouped = cgroups.members(capabilities.cgroup_folders)
        return known | descendants(known) | marked(mark) | grouped

    first = orphans()
    if first:
        log.info("ending processes of an earlier life", count=len(first))
        left = await end_all(orphans)
        if left:
            log.error("processes cannot be ended", pids=sorted(left))
    cgroups.remove(capabilities.cgroup_folders)
    return uids
