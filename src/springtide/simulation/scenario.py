"""What users and hardware do in a run, drawn from its seed: nodes, jobs, and events at virtual times.

Plain data, made by `draw` and played by `world`; printing a scenario is enough to understand a failing seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DURATION = "simulation.springtide.dev/duration"
EXIT_CODE = "simulation.springtide.dev/exit-code"


@dataclass(frozen=True)
class Event:
    """What happens `at` virtual seconds: submit, delete, suspend, resume, kill_node, restore_node."""

    at: float
    action: str
    target: str


@dataclass(frozen=True)
class Scenario:
    """One run's world. No event comes after `calm_at` seconds; faults end there too."""

    nodes: dict[str, Json]
    """Node name → allocatable resources."""
    jobs: dict[str, Json]
    """TrainJob name → manifest."""
    runtime: Json
    """The ClusterTrainingRuntime all jobs use, with the simulated behaviour in its pod template."""
    events: tuple[Event, ...]
    calm_at: float
    failing: frozenset[str] = field(default_factory=frozenset)
    """Jobs whose program exits non-zero: they must end Failed; all others Complete unless deleted."""


def draw(seed: int) -> Scenario:
    """A small cluster under pressure: more work than room, some of it broken, some nodes dying."""
    chances = random.Random(seed)
    nodes = {
        f"node-{index}": {"cpu": str(chances.choice([4, 8])), "memory": "16Gi", "pods": "20"}
        for index in range(5)
    }
    jobs: dict[str, Json] = {}
    events: list[Event] = []
    failing: set[str] = set()
    calm_at = 240.0
    for index in range(chances.randint(4, 9)):
        name = f"job-{index}"
        broken = chances.random() < 0.2
        if broken:
            failing.add(name)
        jobs[name] = _job(name, chances, exit_code=chances.randint(1, 3) if broken else 0)
        submitted = chances.uniform(0, 90)
        events.append(Event(submitted, "submit", name))
        fate = chances.random()
        if fate < 0.1:
            events.append(Event(submitted + chances.uniform(1, 60), "delete", name))
        elif fate < 0.25:
            paused = submitted + chances.uniform(1, 40)
            events.append(Event(paused, "suspend", name))
            events.append(Event(paused + chances.uniform(1, 60), "resume", name))
    for node in chances.sample(sorted(nodes), chances.randint(0, 2)):
        died = chances.uniform(10, 120)
        events.append(Event(died, "kill_node", node))
        events.append(Event(died + chances.uniform(5, 100), "restore_node", node))
    return Scenario(
        nodes=nodes,
        jobs=jobs,
        runtime=_runtime(),
        events=tuple(sorted(events, key=lambda event: event.at)),
        calm_at=calm_at,
        failing=frozenset(failing),
    )


def _job(name: str, chances: random.Random, *, exit_code: int) -> Json:
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "runtimeRef": {"name": "simulated"},
            "trainer": {
                "numNodes": chances.choice([1, 1, 2, 3, 4]),
                "command": ["train"],
                "resourcesPerNode": {"requests": {"cpu": str(chances.randint(1, 4)), "memory": "1Gi"}},
            },
            "runtimePatches": [
                {
                    "manager": "simulation.springtide.dev/scenario",
                    "trainingRuntimeSpec": {
                        "template": {
                            "spec": {
                                "replicatedJobs": [
                                    {
                                        "name": "node",
                                        "template": {
                                            "spec": {
                                                "template": {
                                                    "metadata": {
                                                        "annotations": {
                                                            DURATION: f"{chances.uniform(2, 60):.1f}s",
                                                            EXIT_CODE: str(exit_code),
                                                        }
                                                    }
                                                }
                                            }
                                        },
                                    }
                                ]
                            }
                        }
                    },
                }
            ],
        },
    }


def _runtime() -> Json:
    container = {"name": "node", "image": "simulated"}
    pod = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    labels = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    job = {"name": "node", "template": {"metadata": {"labels": labels}, "spec": {"template": pod}}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "ClusterTrainingRuntime",
        "metadata": {"name": "simulated"},
        "spec": {"mlPolicy": {"numNodes": 1}, "template": {"spec": {"replicatedJobs": [job]}}},
    }
