"""Random clusters and their lives: what must be true of a scheduler after every step, by an obvious model.

    python -m tests.endurance.clusters --clusters 10000 [--seed 0] [--keep-going] [--mixed]

Each cluster is made of one number: nodes of several sorts, GPUs in parts, cohorts of queues with flavors,
limits and policies of preemption. Gangs and plain pods come, run, end, fail and go, nodes are lost and come
back, and the scheduler crashes in the middle of its writes. The model counts from the objects alone, slowly.
With `--mixed` plain pods are many, of several priorities, and made anew when they are sent away (`mixture`).
One JSON row is printed, with the number of every wrong cluster; the exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from time import process_time

from springtide.api import labels
from springtide.api.core import Node, Pod, PodSpec, Toleration
from springtide.api.gpus import asked_of, held_by, indices_in, registered_by
from springtide.api.kueue import (
    Admission,
    ClusterQueue,
    Cohort,
    LocalQueue,
    ResourceFlavor,
    Workload,
    places_of,
)
from springtide.api.meta import Object, find_condition
from springtide.api.struct import decode, encode, replace
from springtide.scheduling.devices import WHOLE
from springtide.scheduling.plan import plan
from springtide.scheduling.requests import amounts, pod_requests
from tests.builders import (
    GPU,
    at,
    evicted,
    gpu_node,
    local_queue,
    node,
    pod,
    pod_set,
    pod_spec,
    taint,
    with_condition,
    workload,
)
from tests.endurance.cluster_quotas import Cell, Line, Quotas, expect
from tests.endurance.mixture import Mixture
from tests.scheduling.test_invariants import expect_equal, rebuilt
from tests.scheduling.world import World

STEPS = 7
TAINT = "dedicated"


class Life:
    """One cluster, from one number."""

    def __init__(self, seed: int, *, mixed: bool = False) -> None:
        self.random = Random(seed)
        self.mixture = Mixture(seed) if mixed else None
        self.lines: list[Line] = []
        self.world = World(*self._nodes(), queues=False)
        self.world.add(*self._queues())
        self.world.options = self.random.choice(
            [{}, {}, {"fair_strategies": ("LessThanOrEqualToFinalShare", "LessThanInitialShare")}]
        )
        self.started: set[str] = set()
        self.number = 0
        self.checks = 0

    def play(self) -> None:
        """Live through all steps; raises Wrong."""
        self._arrive(self.random.randint(2, 8) * (1 if self.mixture is None else 4))
        for _ in range(STEPS):
            self._something_happens()
            if self.random.random() < 0.15:
                self._crash()
            else:
                self._cycle()
            self.check()
        expect_equal(self.world.snapshot(), rebuilt(self.world.objects.values()))
        if self.mixture is not None:
            self._come_to_rest()
        self._drain()

    def _come_to_rest(self) -> None:
        """Nothing happens but that pods end, start and are made anew: nobody sends anybody away for ever."""
        most = 4 * len([*self._of(Workload), *self._of(Pod)]) + 12
        for _ in range(most):
            before = dict(self.world.objects)
            decided = self.world.cycle()
            self._check_new(before)
            self.check()
            if not any(map(_is_write, decided.commands)):
                return
            self._end_attempts()
            self._start()
        expect(False, f"no rest after {most} cycles: {[str(one)[:200] for one in decided.commands][:3]}")

    def _drain(self) -> None:
        """Faults stop and all that runs ends: whoever could ever start has started then."""
        for one in self._of(Node):
            self._set_ready(one, "True")
        for _ in range(3 * len(self._of(Workload)) + 10):
            self._end_attempts()
            self._start()
            decided = self.world.cycle()
            self.check()
            running = self._jobs(admitted=True)
            bound = [one for one in self._of(Pod) if not _owner(one) and one.spec.node_name]
            idle = not running and not bound and not any(map(_is_write, decided.commands))
            if idle and all(one.key not in self.started for one in self._of(Workload)):
                break
            for job in running:
                if job.key in self.started and not _is(job, "Evicted"):
                    self._finished(job)
            self.world.remove(*bound)
        self.world.cycle()
        for job in self._jobs(admitted=False):
            alone = World(*self._of(Node), *self._of(Cohort), *self._of(ClusterQueue), queues=False)
            alone.add(*self._of(ResourceFlavor), *self._of(LocalQueue), job)
            alone.cycle()
            told = find_condition(job.status.conditions, "QuotaReserved")
            why = told.message if told is not None else "nothing"
            hopeless = "StrictFIFO" in why or not alone.is_admitted(job.key)
            expect(hopeless, f"{job.key} waits for ever, though it fits: {why}")

    # -- making ------------------------------------------------------------------------------------

    def _nodes(self) -> Iterator[Node]:
        for index in range(self.random.randint(1, 7)):
            name, marks = f"n{index}", {"rack": f"r{index % 3}", "pool": self.random.choice("ab")}
            if self.random.random() < 0.4:
                made = gpu_node(
                    name, self.random.randint(1, 4), cpu=16, gpu_memory=self.random.choice([0, 10000])
                )
                yield replace(made, metadata=replace(made.metadata, labels={**made.metadata.labels, **marks}))
            else:
                yield node(
                    name,
                    cpu=self.random.randint(1, 12),
                    gpu=self.random.choice([None, 2, 8]),
                    pods=self.random.choice([3, 110]),
                    labelled=marks,
                    taints=[taint(TAINT)] if self.random.random() < 0.15 else [],
                )

    def _queues(self) -> Iterator[Object]:
        for flavor in "ab":
            yield decode(
                ResourceFlavor, {"metadata": {"name": flavor}, "spec": {"nodeLabels": {"pool": flavor}}}
            )
        cohorts = self.random.choice([[], ["team"], ["team", "all"]])
        for name in cohorts:
            parent = "all" if name != "all" and "all" in cohorts else ""
            groups, cells = self._quota(chance=0.3)
            self.lines.append(Line(name, parent, cells))
            yield decode(
                Cohort, {"metadata": {"name": name}, "spec": {"parentName": parent, "resourceGroups": groups}}
            )
        for index in range(self.random.randint(1, 4)):
            name, cohort = f"q{index}", self.random.choice([*cohorts, *cohorts, ""])
            groups, cells = self._quota(chance=0.85)
            if cohort and not cells:
                groups, cells = self._quota(chance=1.0)
            if not cohort:
                groups, cells = _unlimited(groups, cells)
            self.lines.append(Line(name, cohort, cells))
            spec = {
                "cohortName": cohort,
                "namespaceSelector": {},
                "queueingStrategy": self.random.choice(["StrictFIFO", "BestEffortFIFO", "BestEffortFIFO"]),
                "resourceGroups": groups,
                "preemption": {
                    "withinClusterQueue": self.random.choice(["Never", "LowerPriority"]),
                    "reclaimWithinCohort": self.random.choice(["Never", "LowerPriority", "Any"]),
                },
                "flavorFungibility": {
                    "whenCanBorrow": self.random.choice(["MayStopSearch", "TryNextFlavor"]),
                    "whenCanPreempt": self.random.choice(["MayStopSearch", "TryNextFlavor"]),
                },
            }
            yield decode(ClusterQueue, {"metadata": {"name": name}, "spec": spec})
            yield local_queue(name, name)

    def _quota(self, chance: float) -> tuple[list[object], dict[Cell, tuple[int, int | None, int | None]]]:
        if self.random.random() > chance:
            return [], {}
        cells: dict[Cell, tuple[int, int | None, int | None]] = {}
        flavors = []
        for flavor in self.random.choice(["a", "b", "ab", "ba"]):
            resources = []
            for name, most in (("cpu", 12), (GPU, 10)):
                nominal = self.random.randint(0, most)
                borrowing = self.random.choice([None, None, self.random.randint(0, 6)])
                lending = self.random.choice([None, None, self.random.randint(0, nominal)])
                scale = 1000 if name == "cpu" else 1
                cells[flavor, name] = (
                    nominal * scale,
                    borrowing * scale if borrowing is not None else None,
                    lending * scale if lending is not None else None,
                )
                limits = {"borrowingLimit": borrowing, "lendingLimit": lending}
                known = {key: value for key, value in limits.items() if value is not None}
                resources.append({"name": name, "nominalQuota": nominal, **known})
            flavors.append({"name": flavor, "resources": resources})
        return [{"coveredResources": ["cpu", GPU], "flavors": flavors}], cells

    def _spec(self) -> PodSpec:
        more = {}
        gpu = self.random.choice([None, None, 1, 1, 2])
        if gpu == 1 and self.random.random() < 0.5:
            more = {"nvidia.com/gpucores": self.random.choice([10, 30, 50, 60])}
            if self.random.random() < 0.5:
                more["nvidia.com/gpumem"] = self.random.choice([1000, 4000])
        tolerations = [Toleration(key=TAINT, operator="Exists")] if self.random.random() < 0.3 else []
        selector = {"rack": f"r{self.random.randint(0, 2)}"} if self.random.random() < 0.15 else {}
        return pod_spec(
            cpu=self.random.choice(("500m", "1", "2", "4")),
            gpu=gpu,
            more=more,
            selector=selector,
            tolerations=tolerations,
        )

    def _arrive(self, count: int) -> None:
        queues = [one.metadata.name for one in self._of(LocalQueue)]
        for _ in range(count):
            self.number += 1
            created = self.world.clock + self.number / 1000
            if self.random.random() < (0.2 if self.mixture is None else 0.5):
                made = pod(f"p{self.number}", self._spec(), created=created)
                self.world.add(made if self.mixture is None else self.mixture.given_priority(made))
                continue
            sets = [
                pod_set(
                    self.random.choice([1, 1, 2, 3, 6]),
                    self._spec(),
                    name=name,
                    within=self.random.choice(["", "", "", "rack"]),
                )
                for name in self.random.choice([["node"], ["node"], ["head", "worker"]])
            ]
            queue, priority = self.random.choice(queues), self.random.choice([0, 0, 1, 5])
            for twin in self.random.choice(["", "", "ab"]) or [""]:
                name = f"w{self.number}{twin}"
                later = created + (twin == "b") / 10_000
                self.world.add(workload(name, *sets, queue=queue, created=later, priority=priority))

    # -- living ------------------------------------------------------------------------------------

    def _something_happens(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            what: list[Callable[[], None]] = [
                self._start,
                self._start,
                self._finish,
                self._finish,
                self._evict,
                self._end_attempts,
                self._end_attempts,
                self._remove,
                self._node,
                self._pod_ends,
                partial(self._arrive, self.random.randint(1, 3)),
            ]
            self.random.choice(what)()

    def _of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [one for (known, _), one in self.world.objects.items() if known is kind]

    def _jobs(self, *, admitted: bool) -> list[Workload]:
        return [
            one
            for one in self._of(Workload)
            if (one.status.admission is not None) is admitted and not _is(one, "Finished")
        ]

    def _pods_of(self, job: Workload) -> list[Pod]:
        label = "kueue.x-k8s.io/workload-name"
        name = job.metadata.name
        return [one for one in self._of(Pod) if name in (one.metadata.labels.get(label), _owner(one))]

    def _start(self) -> None:
        for job in self._jobs(admitted=True):
            if job.key not in self.started and _is(job, "Admitted") and not _is(job, "Evicted"):
                self.started.add(job.key)
                self.world.start_pods(job.key)
                self.world.add(with_condition(job, "PodsReady", "False", reason="WaitForStart"))

    def _finish(self) -> None:
        running = [one for one in self._jobs(admitted=True) if one.key in self.started]
        if running:
            self._finished(self.random.choice(running))

    def _finished(self, job: Workload) -> None:
        for one in self._pods_of(job):
            self.world.add(replace(one, status=replace(one.status, phase="Succeeded")))
        self.world.add(with_condition(job, "Finished", reason="Succeeded"))
        self.started.discard(job.key)

    def _evict(self) -> None:
        running = [one for one in self._jobs(admitted=True) if not _is(one, "Evicted")]
        if running:
            self.world.add(evicted(self.random.choice(running)))

    def _end_attempts(self) -> None:
        """What `workloads` and `health` do when an admission is taken back, or kept for another try."""
        if self.mixture is not None:
            self.mixture.end_doomed(self.world)
        kept = [one for one in self._jobs(admitted=True) if not _is(one, "Admitted")]
        for job in [*self._jobs(admitted=False), *kept]:
            if job.key in self.started:
                self.world.remove(*self._pods_of(job))
                self.started.discard(job.key)
                over = with_condition(job, "PodsReady", "False", reason="NotAdmitted")
                if _is(over, "Evicted"):
                    over = with_condition(over, "Evicted", "False", reason="Requeued")
                self.world.add(over)
            elif _is(job, "Evicted"):
                self.world.add(with_condition(job, "Evicted", "False", reason="Requeued"))
        for job in self._jobs(admitted=True):
            if _is(job, "Evicted") and job.key in self.started:
                self.world.remove(*self._pods_of(job))

    def _remove(self) -> None:
        jobs = self._of(Workload)
        if jobs:
            job = self.random.choice(jobs)
            self.world.remove(*self._pods_of(job), job)
            self.started.discard(job.key)

    def _node(self) -> None:
        """A node stops being ready, or is ready again."""
        one = self.random.choice(self._of(Node))
        self._set_ready(one, "False" if _is_ready(one) else "True")

    def _set_ready(self, one: Node, status: str) -> None:
        raw = encode(one)
        next(c for c in raw["status"]["conditions"] if c["type"] == "Ready")["status"] = status
        self.world.add(decode(Node, raw))

    def _pod_ends(self) -> None:
        plain = [one for one in self._of(Pod) if not _owner(one) and one.spec.node_name]
        if plain:
            self.world.remove(self.random.choice(plain))

    # -- the scheduler -----------------------------------------------------------------------------

    def _cycle(self) -> None:
        before = dict(self.world.objects)
        decided = self.world.cycle()
        self._check_new(before)
        ends = any(told in str(one) for one in decided.commands for told in ("Preempted", "NoReservation"))
        if self.random.random() < 0.3 and not ends:
            again = self.world.cycle()
            left = [one for one in again.commands if not _is_event(one)]
            expect(not left, f"a second plan on what the first wrote does {left[:2]}")

    def _crash(self) -> None:
        """After some of the writes of a plan; who starts anew knows the objects alone."""
        self.world.clock += 1
        before = dict(self.world.objects)
        commands = plan(self.world.snapshot(), at(self.world.clock)).commands
        for command in commands[: self.random.randint(0, max(1, len(commands)))]:
            self.world.execute(command)
        self._check_new(before)
        fresh = World(queues=False)
        fresh.add(*self.world.objects.values())
        self.world.state = fresh.state

    # -- what must be true -------------------------------------------------------------------------

    def check(self) -> None:
        """All of it, by the objects alone."""
        self.checks += 1
        nodes = {one.metadata.name: one for one in self._of(Node)}
        for name, used in self.world.used().items():
            offered = amounts(nodes[name].status.allocatable)
            for resource, amount in used.items():
                if resource in (GPU, "cpu", "pods"):
                    most = offered.get(resource, 0)
                    expect(amount <= most, f"{name} holds {amount} {resource} of {most}")
        for place, mine in self._devices().items():
            expect(mine["power"] <= 100, f"device {place} is given {mine['power']} %")
            expect(not mine["whole"] or mine["pods"] == 1, f"device {place} is given whole and {mine}")
        self._check_quota()

    def _devices(self) -> dict[tuple[str, str], Counter[str]]:
        """Power and pods of every named device: what pods have by their annotations, and what is reserved."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        exist: Counter[tuple[str, str, str, str]] = Counter()
        own: set[tuple[str, str, str]] = set()
        for one in self._of(Pod):
            if one.spec.node_name and one.status.phase not in ("Succeeded", "Failed"):
                for mine in held_by(one.spec, one.metadata.annotations):
                    whole = mine.share == WHOLE
                    found[one.spec.node_name, mine.id].update(power=mine.share, pods=1, whole=whole)
                    own.add((_owner(one), one.spec.node_name, mine.id))
            part = one.metadata.labels.get(labels.PODSET, "")
            devices = one.metadata.annotations.get(labels.DEVICES, "-")
            exist[_owner(one), part, one.spec.node_name, devices] += 1
        for job in self._jobs(admitted=True):
            specs = {one.name: one.template.spec for one in job.spec.pod_sets}
            for assignment in _admission(job).pod_set_assignments:
                asked = asked_of(specs[assignment.name])
                if asked is None or assignment.topology_assignment is None:
                    continue
                for where, devices, count in places_of(assignment.topology_assignment):
                    left = count - exist[job.metadata.name, assignment.name, where, devices]
                    there = self.world.objects[(Node, where)]
                    assert isinstance(there, Node)
                    for index in indices_in(devices) if devices else ():
                        device = registered_by(there)[index]
                        if not _is(job, "Admitted") and (job.metadata.name, where, device.id) in own:
                            continue  # kept for its next attempt, which waits for the pods of this one
                        whole = asked[1].whole
                        power = WHOLE if whole else asked[1].share
                        for _ in range(max(0, left)):
                            found[where, device.id].update(power=power, pods=1, whole=whole)
        return found

    def _check_quota(self) -> None:
        used: dict[str, Counter[Cell]] = {}
        for job in self._jobs(admitted=True):
            admission = _admission(job)
            for assignment in admission.pod_set_assignments:
                for name, amount in amounts(assignment.resource_usage).items():
                    cell = assignment.flavors.get(name, ""), name
                    used.setdefault(admission.cluster_queue, Counter())[cell] += amount
        limited = [
            line for line in self.lines if line.cells or any(o.parent == line.name for o in self.lines)
        ]
        known = {line.name for line in limited}
        Quotas(limited, {name: cells for name, cells in used.items() if name in known}).check()

    def _check_new(self, before: dict[tuple[type[Object], str], Object]) -> None:
        """Of what has just been admitted or bound: whole, and where it may run."""
        if self.mixture is not None:
            self.mixture.check_new(before, self.world.objects)
        nodes = {one.metadata.name: one for one in self._of(Node)}
        for (kind, key), one in self.world.objects.items():
            old = before.get((kind, key))
            if isinstance(one, Pod) and isinstance(old, Pod) and one.spec.node_name != old.spec.node_name:
                _expect_admits(nodes[one.spec.node_name], one.spec, key)
            if not isinstance(one, Workload) or not isinstance(old, Workload):
                continue
            if one.status.admission is None or old.status.admission is not None:
                continue
            twin = self.world.objects.get((Workload, f"{key[:-1]}a")) if key.endswith("b") else None
            if isinstance(twin, Workload) and (Workload, twin.key) in before:
                overtaken = twin.status.admission is None and not _had_an_attempt(twin)
                expect(not overtaken, f"{key} started before {twin.key}, which came first and is the same")
            placed = self.world.placement(key)
            for pod_set_ in one.spec.pod_sets:
                where = placed.get(pod_set_.name, {})
                expect(sum(where.values()) == pod_set_.count, f"{key} is torn: {where} of {pod_set_.count}")
                for name in where:
                    _expect_admits(nodes[name], pod_set_.template.spec, key)
                if pod_set_.topology_request is not None:
                    racks = {nodes[name].metadata.labels["rack"] for name in where}
                    expect(len(racks) == 1, f"{key} must be in one rack and is in {racks}")
            for assignment in one.status.admission.pod_set_assignments:
                pools = {nodes[name].metadata.labels["pool"] for name in placed.get(assignment.name, {})}
                flavors = set(assignment.flavors.values()) - {"default"}
                expect(not flavors or pools <= flavors, f"{key} of flavors {flavors} is on nodes of {pools}")


def _expect_admits(there: Node, spec: PodSpec, who: str) -> None:
    name = there.metadata.name
    expect(_is_ready(there), f"{who} was put on {name}, which is not ready")
    marks = there.metadata.labels
    expect(all(marks.get(key) == value for key, value in spec.node_selector.items()), f"{who} on {name}")
    tolerated = {one.key for one in spec.tolerations}
    for one in there.spec.taints:
        expect(one.key in tolerated, f"{who} was put on {name} with taint {one.key}")
    for resource, amount in pod_requests(spec).items():
        if resource in ("cpu", "memory"):
            expect(amount <= amounts(there.status.allocatable).get(resource, 0), f"{who} never fits {name}")


def _admission(job: Workload) -> Admission:
    assert job.status.admission is not None
    return job.status.admission


def _unlimited(
    groups: list[object], cells: dict[Cell, tuple[int, int | None, int | None]]
) -> tuple[list[object], dict[Cell, tuple[int, int | None, int | None]]]:
    """Without a cohort there is nobody to borrow from or lend to, and the limits are refused."""
    for group in groups:
        assert isinstance(group, dict)
        for flavor in group["flavors"]:
            for resource in flavor["resources"]:
                resource.pop("borrowingLimit", None)
                resource.pop("lendingLimit", None)
    return groups, {cell: (quota[0], None, None) for cell, quota in cells.items()}


def _had_an_attempt(job: Workload) -> bool:
    """Whether it has run before, so that something of it may still be there."""
    return any(one.type in ("Evicted", "PodsReady", "Finished") for one in job.status.conditions)


def _is_ready(one: Node) -> bool:
    return any(found.type == "Ready" and found.status == "True" for found in one.status.conditions)


def _is(job: Workload, condition: str) -> bool:
    found = find_condition(job.status.conditions, condition)
    return found is not None and found.status == "True"


def _owner(one: Pod) -> str:
    return next((owner.name for owner in one.metadata.owner_references if owner.kind == "Workload"), "")


def _is_write(command: object) -> bool:
    return not _is_event(command)


def _is_event(command: object) -> bool:
    return type(command).__name__ == "Emit"


def run(first: int, clusters: int, *, keep_going: bool = False, mixed: bool = False) -> dict[str, object]:
    """Live through so many clusters; what was checked and what was wrong."""
    began = process_time()
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for seed in range(first, first + clusters):
        life = Life(seed, mixed=mixed)
        try:
            life.play()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is counted, with its number
            wrong.append(f"{seed}: {type(error).__name__}: {error}")
            if not keep_going:
                break
        counts["checks"] += life.checks
        counts["workloads and pods"] += life.number
        counts["nodes"] += len(life._of(Node))
        if life.mixture is not None:
            counts.update(life.mixture.counts)
    seconds = process_time() - began
    return {
        "clusters": clusters,
        "first_seed": first,
        **counts,
        "cpu_seconds": round(seconds, 1),
        "wrong": len(wrong),
        "examples": wrong[:10],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clusters", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--mixed", action="store_true")
    chosen = parser.parse_args()
    found = run(chosen.seed, chosen.clusters, keep_going=chosen.keep_going, mixed=chosen.mixed)
    print(json.dumps(found))
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
