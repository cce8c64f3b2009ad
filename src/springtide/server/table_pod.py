"""The row of a Pod: how many containers are ready, what one word says best how it is, how often it restarted.

Called by `table_kinds`. The order of precedence is that of `kubectl get pods` (printers `printPod`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from springtide.api.resources import Column
from springtide.server.table_time import age, created, since

Json = dict[str, Any]

COLUMNS = (
    Column("Ready", "string", "", "Containers that are ready, of all that keep running"),
    Column("Status", "string", "", "The state of the pod, or what keeps it from running"),
    Column("Restarts", "string", "", "How often containers restarted, and when last"),
    Column("Age", "string", "", "Time since the pod was created"),
    Column("IP", "string", "", "Address of the pod", 1),
    Column("Node", "string", "", "Node the pod is bound to", 1),
    Column("Nominated Node", "string", "", "Node where preemption makes room for the pod", 1),
    Column("Readiness Gates", "string", "", "Readiness gates that are true, of all", 1),
)


def cells(pod: Json, now: datetime) -> list[Any]:
    """READY, STATUS, RESTARTS, AGE and the wide columns."""
    spec, status = pod.get("spec", {}), pod.get("status", {})
    found = _Seen(pod)
    return [
        f"{found.ready}/{found.total}",
        _final_word(pod, found.word),
        _restarts(found, now),
        created(pod, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        _gates(spec, status),
    ]


def conditions(pod: Json) -> list[Json]:
    """The row's condition by which clients may hide finished pods."""
    phase = pod.get("status", {}).get("phase")
    if phase not in ("Succeeded", "Failed"):
        return []
    message = "The pod has completed successfully." if phase == "Succeeded" else "The pod failed."
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


class _Seen:
    """What the containers of a pod say, read once: init containers in order, then the others."""

    def __init__(self, pod: Json) -> None:
        spec, status = pod.get("spec", {}), pod.get("status", {})
        inits = spec.get("initContainers", [])
        self._sidecars = {item["name"] for item in inits if item.get("restartPolicy") == "Always"}
        self._init_count = len(inits)
        self.total = len(spec.get("containers", [])) + len(self._sidecars)
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""
        self.word = _phase_word(status)
        initializing = self._read_inits(status.get("initContainerStatuses", []))
        if not initializing or _is_true(status, "Initialized"):
            self._read_containers(status)

    def _read_inits(self, statuses: list[Json]) -> bool:
        """Whether the pod is still initializing; then `word` says where it stands."""
        for index, status in enumerate(statuses):
            self._count_restarts(status)
            state = status.get("state", {})
            terminated, waiting = state.get("terminated"), state.get("waiting")
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if status.get("name") in self._sidecars and status.get("started"):
                self.ready += bool(status.get("ready"))
                continue
            if terminated is not None:
                self.word = "Init:" + _termination(terminated)
            elif waiting and waiting.get("reason", "") not in ("", "PodInitializing"):
                self.word = "Init:" + str(waiting["reason"])
            else:
                self.word = f"Init:{index}/{self._init_count}"
            return True
        return False

    def _read_containers(self, status: Json) -> None:
        self.restarts, self.last_restart = 0, ""
        for sidecar in status.get("initContainerStatuses", []):
            if sidecar.get("name") in self._sidecars:
                self._count_restarts(sidecar)
        running = False
        for container in reversed(status.get("containerStatuses", [])):
            self._count_restarts(container)
            state = container.get("state", {})
            if state.get("waiting", {}).get("reason"):
                self.word = str(state["waiting"]["reason"])
            elif "terminated" in state:
                self.word = _termination(state["terminated"])
            elif container.get("ready") and "running" in state:
                running = True
                self.ready += 1
        if self.word == "Completed" and running:
            self.word = "Running" if _is_true(status, "Ready") else "NotReady"

    def _count_restarts(self, status: Json) -> None:
        self.restarts += int(status.get("restartCount", 0))
        finished = status.get("lastState", {}).get("terminated", {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


def _phase_word(status: Json) -> str:
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _final_word(pod: Json, word: str) -> str:
    status = pod.get("status", {})
    if "deletionTimestamp" not in pod["metadata"]:
        return word
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return word if status.get("phase") in ("Succeeded", "Failed") else "Terminating"


def _termination(terminated: Json) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(found: _Seen, now: datetime) -> str:
    if not found.restarts or not found.last_restart:
        return str(found.restarts)
    return f"{found.restarts} ({age(since(found.last_restart, now))} ago)"


def _gates(spec: Json, status: Json) -> str:
    gates = spec.get("readinessGates", [])
    if not gates:
        return "<none>"
    return f"{sum(_is_true(status, gate['conditionType']) for gate in gates)}/{len(gates)}"


def _is_true(status: Json, type_: str) -> bool:
    found = (item for item in status.get("conditions", []) if item.get("type") == type_)
    return any(item.get("status") == "True" for item in found)
