"""What breaks in a run of the health world, drawn from its seed: a small cluster, a policy, jobs, faults.

Plain data, made by `draw` and played by `healthworld`. Beside each fault stands the truth that no controller
sees: whose fault it is, and on which nodes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
MIXED, RESTARTS, CROWDED, PERSONS, REPAIRS = "mixed", "restarts", "crowded", "persons", "mended"
SLOWED = "slowed"
FAMILIES = (MIXED, RESTARTS, MIXED, CROWDED, MIXED, PERSONS, SLOWED, REPAIRS, MIXED)
"""Of the seeds in turn. Mixed: anything. Restarts: one job is struck again and again. Crowded: more nodes
break at once than may be out. Persons: they cordon and uncordon while nodes are taken out. Repairs: nodes
break again while others are mended. Slowed: nodes become slow, and ranks have more to do by design."""

NODE_LINES = (
    "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "NVRM: Xid (PCI:0000:1b:00): 95, pid=81237, name=python, Uncontained ECC error",
    "NVRM: Xid (PCI:0000:cb:00): 48, pid='<unknown>', name=<unknown>, DBE (double bit error) ECC Error",
    (
        "NVRM: Xid (PCI:0000:9b:00): 119, pid=2911, name=python, Timeout after 6s of waiting for RPC "
        "response from GPU7 GSP! Expected function 76 (GSP_RM_CONTROL) (0x2080a0d7 0x44)."
    ),
)
"""Records of a kernel by which a node must go."""
HARMLESS_LINES = (
    (
        "NVRM: Xid (PCI:0000:3b:00): 31, pid=5123, name=python, Ch 00000008, intr 10000000. MMU Fault: "
        "ENGINE GRAPHICS GPCCLIENT_T1_0 faulted @ 0x7f3c_80000000. Fault is of "
        "type FAULT_PDE ACCESS_TYPE_VIRT_READ"
    ),
    "NVRM: Xid (PCI:0000:1b:00): 45, pid=81237, name=python, Ch 00000010",
    "NVRM: Xid (PCI:0000:1b:00): 43, pid=81237, name=python, Ch 00000010",
    (
        "NVRM: Xid (PCI:0000:1b:00): 63, pid='<unknown>', name=<unknown>, Row Remapper: New row marked for "
        "remapping, reset gpu to activate."
    ),
)
"""Records that a program's error, or nothing, leaves on a healthy node."""
CUDA_OF_NODE = ("RuntimeError: CUDA error: uncorrectable ECC error encountered",)
ERRORS = (
    (
        "Traceback (most recent call last):",
        '  File "train.py", line 12, in <module>',
        "    main()",
        "ValueError: 3",
    ),
    (
        "Traceback (most recent call last):",
        '  File "train.py", line 1',
        "ModuleNotFoundError: No module named 'x'",
    ),
    (
        "Traceback (most recent call last):",
        '  File "train.py", line 9, in step',
        "RuntimeError: CUDA error: device-side assert triggered",
    ),
)
"""Last words of programs that fail by themselves."""
COMPLAINTS = (
    (
        "Traceback (most recent call last):",
        '  File "/usr/lib/python3/torch/distributed/c10d.py", line 1, in wait',
        "RuntimeError: [../gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:41234",
    ),
)
"""What ranks say once another one is gone."""


@dataclass(frozen=True)
class HealthEvent:
    """What happens `at` virtual seconds.

    slow: a node takes so many times as long for each step; skew: one rank of a job always did. gpu: a
    node's GPU fails; mass: the same on many nodes; noise: a healthy node's kernel says something;
    error, oom, complain: a rank of a job ends; hang: a job stands still; kill, restore: a machine; cordon,
    uncordon: a person; silent: collectors of a node are gone; cut, join: a controller process is cut off;
    twin: a second health process for a while.
    """

    at: float
    action: str
    target: str = ""
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class HealthScenario:
    """One run's world. No event comes after `calm_at`; faults of the API end there too."""

    nodes: tuple[str, ...]
    jobs: dict[str, Json]
    """Name and manifest of each Workload."""
    policy: Json
    """The RemediationPolicy; empty: none."""
    cap: int
    """By the policy, how many nodes may be out at a time: reckoned here, not by the code under test."""
    budgets: dict[str, int]
    """How many restarts of a job each budget allows."""
    events: tuple[HealthEvent, ...]
    calm_at: float
    reports_nodes: bool = False
    """Nodes must not be touched."""
    reports_all: bool = False
    """Nothing must be touched."""
    repairs: bool = False
    """Somebody else mends nodes, and answers."""
    window_seconds: float = 300.0
    """Within which the same on three nodes is nobody's own fault."""
    broken: frozenset[str] = frozenset()
    """Nodes that may be taken out of service: something of theirs breaks."""
    slowed: frozenset[str] = frozenset()
    """Nodes that become slow."""
    broken_checks: bool = False
    """No check of a node says anything: its image is broken."""
    failing: frozenset[str] = field(default_factory=frozenset)
    """Jobs whose program fails by itself."""
    family: str = MIXED
    """One of FAMILIES."""


def draw(seed: int) -> HealthScenario:
    """A few nodes, one to three jobs, two to five faults."""
    return _Drawing(random.Random(f"health {seed}"), FAMILIES[seed % len(FAMILIES)]).scenario()


class _Drawing:
    def __init__(self, chances: random.Random, family: str) -> None:
        self._chances = chances
        self._family = family
        self._nodes = tuple(f"node-{n}" for n in range(chances.randint(4, 6)))
        self._calm_at = 100.0
        self._events: list[HealthEvent] = []
        self._broken: set[str] = set()
        self._slow: set[str] = set()
        self._failing: set[str] = set()
        self._jobs = {f"job-{n}": self._job(f"job-{n}") for n in range(chances.randint(1, 3))}
        self._mode = chances.choice(["", "", "", "", "", "", "", "", "nodes", "all"])
        self._cap = chances.choice([1, 1, 1, 2, 2, 2, 4, 0])
        self._repairs = chances.random() < 0.25
        self._window_seconds = chances.choice([20, 300])
        if family in (CROWDED, PERSONS, REPAIRS):
            self._mode = ""
            self._cap = chances.choice([1, 1, 2]) if family == CROWDED else chances.choice([1, 2, 4])
            self._repairs = family == REPAIRS

    def scenario(self) -> HealthScenario:
        chances = self._chances
        for name in self._jobs:
            self._happens("submit", chances.uniform(0, 5), name)
        getattr(self, f"_{self._family}")()
        platform = chances.choice([1, 2, 3] if self._family == RESTARTS else [1, 2, 10])
        return HealthScenario(
            nodes=self._nodes,
            jobs=self._jobs,
            policy=self._policy(platform),
            cap=self._cap,
            budgets={"platform": platform, "retry": 3, "program": 0},
            events=tuple(sorted(self._events, key=lambda one: one.at)),
            calm_at=self._calm_at,
            reports_nodes=self._mode != "",
            reports_all=self._mode == "all",
            repairs=self._repairs,
            window_seconds=self._window_seconds,
            broken=frozenset(self._broken),
            slowed=frozenset(self._slow),
            failing=frozenset(self._failing),
            family=self._family,
            broken_checks=self._family == SLOWED and chances.random() < 0.2,
        )

    # -- families ----------------------------------------------------------------------------------

    def _mixed(self) -> None:
        chances = self._chances
        if chances.random() < 0.6:
            self._gpu()
        faults = ["gpu", "gpu", "mass", "mass", "noise", "error", "oom", "complain", "hang", "kill", "person"]
        for fault in chances.choices([*faults, "silent", "cut", "twin"], k=chances.randint(1, 4)):
            getattr(self, f"_{fault}")()

    def _restarts(self) -> None:
        job, moment = self._job_name(), 6.0
        while moment < self._calm_at - 20:
            self._happens("complain", moment, job, *self._chances.choice(COMPLAINTS))
            moment += self._chances.uniform(6, 16)
        for fault in self._chances.choices(["gpu", "hang", "kill", "twin", "cut", "noise"], k=2):
            getattr(self, f"_{fault}")()

    def _crowded(self) -> None:
        chances = self._chances
        alike = chances.random() < 0.4
        begins = chances.choice(
            [chances.uniform(6, 20), chances.uniform(self._calm_at - 25, self._calm_at - 8)]
        )
        nodes = chances.sample(self._nodes, chances.randint(3, len(self._nodes)))
        for number, node in enumerate(nodes):
            self._broken.add(node)
            line = NODE_LINES[0 if alike else number % len(NODE_LINES)]
            how = chances.choice(["stall", "stall", "crash", "late"])
            self._happens("gpu", begins + chances.choice([0, chances.uniform(0, 5)]), node, line, how)
        if chances.random() < 0.7:
            lasts = min(chances.uniform(15, 50), self._calm_at - begins)
            self._happens("twin", begins - 4, "health", f"{lasts:.1f}")
        self._person() if chances.random() < 0.2 else self._gpu()

    def _persons(self) -> None:
        chances = self._chances
        for node in chances.sample(self._nodes, 2):
            begins = chances.uniform(8, 40)
            self._broken.add(node)
            self._happens("gpu", begins, node, chances.choice(NODE_LINES), "stall")
            cordoned = begins + chances.uniform(-1, 4)
            self._happens("cordon", cordoned, node)
            if chances.random() < 0.4:
                self._happens("uncordon", cordoned + chances.uniform(0.2, 30), node)
        self._twin() if chances.random() < 0.3 else self._noise()

    def _mended(self) -> None:
        first, second = self._chances.sample(self._nodes, 2)
        for node in (first, first, second):
            self._broken.add(node)
            self._happens("gpu", self._moment(), node, self._chances.choice(NODE_LINES), "stall")

    def _slowed(self) -> None:
        """The same job, of ranks that train for long enough to be compared; and something beside it."""
        chances = self._chances
        for name in self._jobs:
            pods, seconds = chances.choice([2, 3]), chances.uniform(70, 90)
            self._jobs[name] = self._job(name, pods, seconds, cpu="3")  # each on a node of its own
        job = self._job_name()
        if chances.random() < 0.4:
            self._happens("skew", 0, job, str(chances.randint(0, 1)), f"{chances.uniform(1.8, 4):.2f}")
        for node in chances.sample(self._nodes, chances.choice([1, 1, 2])):
            self._broken.add(node)  # by a check it may be found to be slow, and go
            self._slow.add(node)
            self._happens("slow", chances.uniform(25, 50), node, f"{chances.uniform(2.2, 4):.2f}")
        for fault in chances.choices(["gpu", "noise", "kill", "complain", "twin", "cut", "silent"], k=1):
            getattr(self, f"_{fault}")()

    # -- faults ------------------------------------------------------------------------------------

    def _gpu(self) -> None:
        node = self._chances.choice(self._nodes)
        self._broken.add(node)
        how = self._chances.choice(["crash", "stall", "late"])
        self._happens("gpu", self._moment(), node, self._chances.choice(NODE_LINES), how)
        if self._chances.random() < 0.3:  # and once more, on another: two out at a time, or one too many
            other = self._chances.choice(self._nodes)
            self._broken.add(other)
            self._happens("gpu", self._moment(), other, self._chances.choice(NODE_LINES), how)

    def _mass(self) -> None:
        count = self._chances.randint(3, len(self._nodes))
        begins, line = self._moment(), self._chances.choice(NODE_LINES)
        for node in self._chances.sample(self._nodes, count):
            self._broken.add(node)  # each by itself looks broken, and may be taken out up to the cap
            self._happens("gpu", begins + self._chances.uniform(0, 8), node, line, "stall")

    def _noise(self) -> None:
        for _ in range(3):
            line = self._chances.choice(HARMLESS_LINES)
            self._happens("noise", self._moment(), self._chances.choice(self._nodes), line)

    def _error(self) -> None:
        job = self._chances.choice(sorted(self._jobs))
        self._failing.add(job)
        with_noise = self._chances.choice(["", self._chances.choice(HARMLESS_LINES)])
        self._happens("error", self._moment(), job, with_noise, *self._chances.choice(ERRORS))

    def _oom(self) -> None:
        job = self._chances.choice(sorted(self._jobs))
        self._failing.add(job)
        self._happens("oom", self._moment(), job)

    def _complain(self) -> None:
        self._happens("complain", self._moment(), self._job_name(), *self._chances.choice(COMPLAINTS))

    def _hang(self) -> None:
        self._happens("hang", self._moment(), self._job_name())

    def _kill(self) -> None:
        node, begins = self._chances.choice(self._nodes), self._moment()
        self._happens("kill", begins, node)
        self._happens("restore", begins + self._chances.uniform(5, 40), node)

    def _person(self) -> None:
        node, begins = self._chances.choice(self._nodes), self._moment()
        self._happens("cordon", begins, node)
        if self._chances.random() < 0.7:
            self._happens("uncordon", begins + self._chances.uniform(5, 60), node)
        if self._chances.random() < 0.5:
            self._broken.add(node)
            self._happens("gpu", begins + self._chances.uniform(-3, 20), node, NODE_LINES[0], "stall")

    def _silent(self) -> None:
        self._happens("silent", self._moment(), self._chances.choice(self._nodes))

    def _cut(self) -> None:
        begins, process = self._moment(), self._chances.choice(["health", "scheduling"])
        self._happens("cut", begins, process)
        self._happens("join", begins + self._chances.uniform(3, 30), process)

    def _twin(self) -> None:
        self._happens("twin", self._moment(), "health", f"{self._chances.uniform(5, 30):.1f}")

    # -- pieces ------------------------------------------------------------------------------------

    def _moment(self) -> float:
        return self._chances.uniform(4, self._calm_at - 45)

    def _job_name(self) -> str:
        return self._chances.choice(sorted(self._jobs))

    def _happens(self, action: str, at: float, target: str, *more: str) -> None:
        self._events.append(HealthEvent(max(0.0, min(at, self._calm_at - 1)), action, target, more))

    def _job(self, name: str, pods: int = 0, seconds: float = 0.0, cpu: str = "2") -> Json:
        pods = pods or self._chances.choice([1, 2, 2, 3])
        seconds = seconds or self._chances.uniform(10, 50)
        container = {"name": "main", "image": "simulated", "resources": {"requests": {"cpu": cpu}}}
        annotations = {"simulation.springtide.dev/duration": f"{seconds:.1f}s"}
        template = {
            "metadata": {"annotations": annotations},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [container]},
        }
        return {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "Workload",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "queueName": "default",
                "podSets": [{"name": "node", "count": pods, "template": template}],
            },
        }

    def _policy(self, platform: int) -> Json:
        chances = self._chances
        text = str(self._cap)
        spec: Json = {
            "mode": "Report" if self._mode == "all" else "Enforce",
            "nodeMode": "Report" if self._mode == "nodes" else "",
            "breaker": {
                "maxCordoned": text,
                "symptomNodes": 3,
                "symptomWindowSeconds": self._window_seconds,
            },
            "drain": {"noExecute": chances.random() < 0.2, "timeoutSeconds": chances.choice([10, 60])},
            "repair": {"external": self._repairs, "timeoutSeconds": 40},
            "returning": {
                "quarantineSeconds": chances.choice([3, 10, 30]),
                "incidents": chances.choice([0, 3]),
            },
            "budgets": [
                {
                    "name": "platform",
                    "restarts": platform,
                    "windowSeconds": 0,
                    "backoff": {"initialSeconds": chances.choice([0, 12]), "maxSeconds": 20},
                }
            ],
        }
        return {
            "apiVersion": "springtide.dev/v1alpha1",
            "kind": "RemediationPolicy",
            "metadata": {"name": "site"},
            "spec": spec,
        }
