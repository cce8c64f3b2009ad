"""How quickly pods are placed that ask about other pods: JSON rows, one a case.

5,000 nodes in 10 zones, 1,000 pods of one kind of constraint (of one application, or of 100), through the
production cluster state and plan, as a burst in cycles of 256 bindings. kube-scheduler's own threshold is 60
pods/s for required anti-affinity on 5,000 nodes, and 35-250 for the others.

    python benchmarks/filters.py [--nodes 5000] [--pods 1000] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from springtide.api.commands import Bind
from springtide.api.core import Node, Pod
from springtide.api.struct import decode
from springtide.scheduling import ClusterState, plan
from springtide.scheduling.plan import Options

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
ZONES = 10
RUNNING = 1000
"""Pods that run beforehand: one in each application's place, so that affinity has somebody to be near to."""
STARTS_MAX = 256
Json = dict[str, Any]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def node(number: int) -> Node:
    """A node of 32 CPUs."""
    offered = {"cpu": "32", "memory": "128Gi", "pods": "110"}
    name = f"node-{number:05}"
    raw = {
        "metadata": {"name": name, "labels": {HOST: name, ZONE: f"zone-{number % ZONES}"}},
        "status": {"allocatable": offered, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    return decode(Node, raw)


def pod(number: int, app: str, asked: Json, at: str = "") -> Pod:
    """A pod of an application."""
    name = f"{'run' if at else 'pod'}-{number:05}"
    raw = {
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": app}},
        "spec": {
            "schedulerName": "springtide",
            "containers": [{"name": "main", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}],
            **({"nodeName": at} if at else {}),
            **asked,
        },
        "status": {"phase": "Running" if at else "Pending"},
    }
    return decode(Pod, raw)


def _term(app: str, level: str) -> Json:
    return {"topologyKey": level, "labelSelector": {"matchLabels": {"app": app}}}


def _spread(app: str, level: str, when: str) -> Json:
    selector = {"matchLabels": {"app": app}}
    one = {"maxSkew": 1, "topologyKey": level, "whenUnsatisfiable": when, "labelSelector": selector}
    return {"topologySpreadConstraints": [one]}


CASES: dict[str, Callable[[str], Json]] = {
    "nothing": lambda _: {},
    "required anti-affinity by node": lambda app: {
        "affinity": {"podAntiAffinity": {_REQUIRED: [_term(app, HOST)]}}
    },
    "required affinity by zone": lambda app: {"affinity": {"podAffinity": {_REQUIRED: [_term(app, ZONE)]}}},
    "preferred affinity by zone": lambda app: {
        "affinity": {"podAffinity": {_PREFERRED: [{"weight": 10, "podAffinityTerm": _term(app, ZONE)}]}}
    },
    "preferred anti-affinity by node": lambda app: {
        "affinity": {"podAntiAffinity": {_PREFERRED: [{"weight": 10, "podAffinityTerm": _term(app, HOST)}]}}
    },
    "hard spread over zones": lambda app: _spread(app, ZONE, "DoNotSchedule"),
    "hard spread over nodes": lambda app: _spread(app, HOST, "DoNotSchedule"),
    "soft spread over zones": lambda app: _spread(app, ZONE, "ScheduleAnyway"),
    "a port of the node": lambda _: {
        "hostNetwork": True,
        "containers": [
            {
                "name": "main",
                "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}},
                "ports": [{"containerPort": 29500, "hostPort": 29500}],
            }
        ],
    },
}


def run(case: str, nodes: int, pods: int, apps: int) -> Json:
    """One case, from an empty state to the last binding."""
    asked = CASES[case]
    state = ClusterState()
    for number in range(nodes):
        state.change_node(None, node(number))
    for number in range(RUNNING if case != "a port of the node" else 0):
        app = f"app-{number % apps}"
        state.change_pod(None, pod(number, app, asked(app), f"node-{(number * 7) % nodes:05}"))
    waiting = [pod(number, f"app-{number % apps}", asked(f"app-{number % apps}")) for number in range(pods)]
    began = time.process_time()
    for one in waiting:
        state.change_pod(None, one)
    taken_in = time.process_time() - began
    bound, decided, cycles, slowest = 0, 0.0, 0, 0.0
    while bound < pods:
        began = time.process_time()
        found = plan(state.snapshot(), NOW, Options(starts_max=STARTS_MAX, report=False))
        took = time.process_time() - began
        decided += took
        slowest = max(slowest, took)
        cycles += 1
        binds = [one for one in found.commands if isinstance(one, Bind)]
        if not binds:
            break
        for bind in binds:
            state.assume_bound(bind.namespace, bind.pod, bind.uid, bind.node, bind.notes)
        bound += len(binds)
    return {
        "case": case,
        "nodes": nodes,
        "pods": pods,
        "apps": apps,
        "running_before": RUNNING if case != "a port of the node" else 0,
        "bound": bound,
        "pods_per_second": round(bound / decided) if decided else 0,
        "us_per_pod": round(1e6 * decided / max(bound, 1)),
        "cycles": cycles,
        "slowest_cycle_ms": round(1e3 * slowest),
        "taken_in_us_per_pod": round(1e6 * taken_in / pods),
    }


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    for case in CASES:
        if chosen.only in case:
            for apps in (1, 100):
                print(json.dumps(run(case, chosen.nodes, chosen.pods, apps)), flush=True)


if __name__ == "__main__":
    main()
