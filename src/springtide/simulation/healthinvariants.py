"""What must be true of health and remediation at every committed write, judged by an obvious model.

Feeds on every revision as `invariants.Ledger` does, and knows the truth of the scenario: which nodes broke,
which jobs fail by themselves, what the policy allows. Shares no rule with the code it judges.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from springtide.api.core import ConfigMap, Node, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Object, find_condition, is_true
from springtide.api.springtide import Diagnosis
from springtide.simulation.healthscenario import HealthScenario
from springtide.simulation.invariants import Ledger, Violation

OURS, BEFORE, TAINT, REPAIR = (
    "springtide.dev/cordoned-for",
    "springtide.dev/cordoned-before",
    "springtide.dev/unhealthy",
    "springtide.dev/repair",
)
WORKLOAD, ATTEMPT = "springtide.dev/workload", "springtide.dev/attempt"
CACHES_SECONDS = 20.0
"""How old a cache may be under the faults of a run, a crash and the next start included."""
ROOM_SECONDS = 30.0
"""How long an incident may wait though there is room, once faults have stopped."""
_RESTARTS = ("restart_in_place", "cordon_evict")
_OVER = ("Reported", "Returned", "Released")
_ORDER = ("", "Open", "Cordoned", "Repairing", "Checking")
"""Forward; only to Withheld, for the breaker or for many that show the same, is there a way from Cordoned."""
_FAMILIES = ("GPUHealthy", "NetworkHealthy", "StorageHealthy", "HostHealthy")


@dataclass
class HealthLedger:
    """The rules of section 6, and those of remediation beside them."""

    scenario: HealthScenario
    general: Ledger = field(default_factory=lambda: Ledger(restart_budget=10**6))
    person: set[str] = field(default_factory=set)
    """Nodes a person has cordoned while they were in service."""
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    _nodes: dict[str, Node] = field(default_factory=dict)
    cordoned: set[str] = field(default_factory=set)
    """Nodes that were ever taken out."""
    ended: set[str] = field(default_factory=set)
    """Jobs of which a rank was ended."""
    most_out: int = 0
    mended: set[str] = field(default_factory=set)
    """Nodes whose repairer has said that it is done."""
    admitted_at: dict[tuple[str, int], datetime] = field(default_factory=dict)
    _with_room: dict[str, datetime] = field(default_factory=dict)
    """Incidents that wait for room though there is some, and since when."""
    _ran: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By workload and attempt, the pods that ever ran."""

    @property
    def violations(self) -> list[Violation]:
        return self.general.violations

    def observe(self, value: Object, *, deleted: bool, now: datetime) -> None:
        """One committed revision."""
        self.general.observe(value, deleted=deleted, now=now)
        if deleted:
            return
        if isinstance(value, Node):
            self._check_node(value, now)
        elif isinstance(value, Diagnosis):
            self._check_diagnosis(value, now)
        elif isinstance(value, Workload):
            self._check_workload(value, now)
        elif isinstance(value, Pod):
            noted = value.metadata.labels
            if value.status.phase in ("Running", "Succeeded", "Failed"):
                attempt = noted.get(WORKLOAD, ""), noted.get(ATTEMPT, "")
                self._ran.setdefault(attempt, set()).add(value.metadata.name)
        elif isinstance(value, ConfigMap) and value.metadata.name == "springtide-cordons":
            self._check_ledger(value, now)

    # -- nodes -------------------------------------------------------------------------------------

    def _check_node(self, node: Node, now: datetime) -> None:
        name, before = node.metadata.name, self._nodes.get(node.metadata.name)
        self._nodes[name] = node
        out = self.out()
        self.most_out = max(self.most_out, len(out))
        if name in out and (before is None or OURS not in before.metadata.annotations):
            self.cordoned.add(name)
            self._expect(len(out) <= self.scenario.cap, "cordons never exceed the cap", now, sorted(out))
            self._check_crowd(node, now)
            self._expect(
                name in self.scenario.broken, "only a node with a fault of its own is cordoned", now, name
            )
            self._expect(node.spec.unschedulable, "who is marked is cordoned", now, name)
        if node.metadata.annotations.get(REPAIR) == "done":
            self.mended.add(name)
        touched = name in out or any(taint.key == TAINT for taint in node.spec.taints)
        if self.scenario.reports_nodes:
            self._expect(not touched, "report-only touches no node", now, name)
        if name in self.person:
            self._expect(node.spec.unschedulable, "a person's cordon is a person's to take back", now, name)
        marked = name in out
        tainted = any(taint.key == TAINT for taint in node.spec.taints)
        self._expect(marked == tainted, "mark and taint come and go together", now, name)
        if before is not None and OURS in before.metadata.annotations and not marked:
            mine = self.diagnoses.get(f"kube-system/{before.metadata.annotations[OURS]}")
            over = mine is None or mine.status.phase in (*_OVER, "Withheld")
            self._expect(over, "who is out returns once its incident is over", now, name)
            stays = BEFORE in before.metadata.annotations and before.spec.unschedulable
            self._expect(
                not stays or node.spec.unschedulable,
                "a cordon from before stays when ours goes",
                now,
                name,
            )

    def _check_crowd(self, node: Node, now: datetime) -> None:
        """Who is taken out is not one of many for whom the same was written down a while ago."""
        mine = self.diagnoses.get(f"kube-system/{node.metadata.annotations[OURS]}")
        if mine is None:
            self._expect(False, "a cordon has an incident", now, node.metadata.name)
            return
        began = mine.spec.detected_at or now
        alike = {
            one.spec.node
            for one in self.diagnoses.values()
            if not one.spec.workload
            and one.spec.action == "cordon_evict"
            and one.spec.signature == mine.spec.signature != ""
            and abs(((one.spec.detected_at or now) - began).total_seconds()) <= self.scenario.window_seconds
            and one.metadata.creation_timestamp is not None
            and (now - one.metadata.creation_timestamp).total_seconds() > CACHES_SECONDS
        }
        told = f"{node.metadata.name}: {mine.spec.signature} on {sorted(alike)}"
        self._expect(len(alike) < 3, "a symptom of many takes nobody out", now, told)

    def _check_ledger(self, ledger: ConfigMap, now: datetime) -> None:
        self._expect(
            len(ledger.data) <= self.scenario.cap, "the ledger holds the cap", now, sorted(ledger.data)
        )
        self._expect(not (self.scenario.reports_nodes and ledger.data), "report-only claims nothing", now, "")

    # -- verdicts ----------------------------------------------------------------------------------

    def _check_diagnosis(self, diagnosis: Diagnosis, now: datetime) -> None:
        spec, before = diagnosis.spec, self.diagnoses.get(diagnosis.key)
        same = before is not None and before.metadata.uid == diagnosis.metadata.uid
        self.diagnoses[diagnosis.key] = diagnosis
        if before is not None and same:
            self._expect(before.spec == spec, "a verdict is never rewritten", now, diagnosis.key)
            self._check_phase(before, diagnosis, now)
            return
        asks = spec.action == "cordon_evict"
        self._expect(
            not (asks and spec.blame == "program"), "a user's error never cordons", now, diagnosis.key
        )
        again = spec.action in _RESTARTS and spec.blame == "program" and spec.budget != "retry"
        self._expect(not again, "a user's error does not start again", now, diagnosis.key)
        self._expect(not (asks and spec.secondary), "a consequence never cordons", now, diagnosis.key)
        if asks and spec.node:
            known = spec.node in self.scenario.broken
            self._expect(
                known, "only a node with a fault of its own is blamed", now, f"{diagnosis.key} {spec.node}"
            )
        if spec.fault_class == "Straggler" and spec.workload:
            self._check_slow(diagnosis, now)
        if spec.workload:
            self._check_budgets(diagnosis, now)

    def _check_slow(self, diagnosis: Diagnosis, now: datetime) -> None:
        """Nobody is moved for a suspicion, and no node is suspected for what a job gives a rank to do."""
        spec, told = diagnosis.spec, f"{diagnosis.key} on {diagnosis.spec.node}: {diagnosis.spec.message}"
        self._expect(spec.action == "ignore", "a slow rank ends no attempt", now, told)
        own = spec.blame == "program" or spec.node in self.scenario.slowed
        self._expect(own, "only a node that is slow is suspected of it", now, told)

    def _check_phase(self, before: Diagnosis, after: Diagnosis, now: datetime) -> None:
        old, new = before.status.phase, after.status.phase
        answer = find_condition(after.status.conditions, "Checked")
        if after.spec.workload and answer is not None:
            slow = self.scenario.slowed == {after.spec.node}  # of two, one may be measured beside the other
            told = f"{after.key}: {answer.message}"
            self._expect(answer.reason != "KeepsUp" or not slow, "who is slow is found to be slow", now, told)
            gives_up = answer.reason == "CheckGaveUp"
            self._expect(not gives_up, "no check is given up within minutes", now, told)
        if old == new or after.spec.workload:
            return
        told = f"{after.key}: {old} to {new}"
        self._expect(old not in _OVER, "what is over stays over", now, told)
        self._expect(old != "Held" or new == "Released", "who is held waits for a person", now, told)
        if new == "Checking" and self.scenario.repairs:
            mended = after.spec.node in self.mended
            self._expect(mended, "who is to be mended is mended before it is checked", now, told)
        if old in _ORDER and new in _ORDER:
            forth = _ORDER.index(new) > _ORDER.index(old)
            self._expect(forth, "an incident goes forward", now, f"{after.key}: {old} to {new}")

    def _check_budgets(self, diagnosis: Diagnosis, now: datetime) -> None:
        own = [
            one
            for one in self.diagnoses.values()
            if one.spec.workload == diagnosis.spec.workload
            and one.metadata.owner_references == diagnosis.metadata.owner_references
        ]
        attempts = Counter(one.spec.attempt for one in own if one.spec.fault_class != "Straggler")
        twice = [attempt for attempt, count in attempts.items() if count > 1]
        self._expect(not twice, "an attempt has one verdict", now, f"{diagnosis.key}: {twice}")
        used = Counter(one.spec.budget for one in own if one.spec.action in _RESTARTS)
        for budget, count in used.items():
            allowed = self.scenario.budgets.get(budget, 0)
            told = f"{diagnosis.spec.workload}: {count} of {budget or 'no budget'}"
            self._expect(count <= allowed, "restart budgets hold", now, told)
        same = [one for one in own if one.spec.blame == "program" and one.spec.budget == "program"]
        self._expect(not same, "who may not start again does not", now, diagnosis.key)

    # -- attempts ----------------------------------------------------------------------------------

    def _check_workload(self, workload: Workload, now: datetime) -> None:
        state = workload.status.requeue_state
        attempt = (state.count or 0) if state is not None else 0
        conditions = workload.status.conditions
        if self.scenario.reports_all:
            evicted = find_condition(conditions, "Evicted")
            touched = evicted is not None and evicted.reason in ("NodeFailures", "ProgramFailed")
            self._expect(not touched, "report-only ends no attempt", now, workload.key)
        key = (workload.key, attempt)
        self._check_marks(workload, attempt, now)
        if not is_true(conditions, "Admitted") or key in self.admitted_at:
            return
        self.admitted_at[key] = now
        verdict = self.diagnoses.get(f"{workload.key}-{attempt - 1}")
        if verdict is None or verdict.metadata.creation_timestamp is None:
            return
        waited = (now - verdict.metadata.creation_timestamp).total_seconds()
        told = f"{workload.key} attempt {attempt}: {waited:.1f} of {verdict.spec.retry_after_seconds} s"
        self._expect(waited >= verdict.spec.retry_after_seconds - 1, "a back-off is waited for", now, told)
        ended = verdict.spec.action == "fail_fast"
        self._expect(not ended, "what has failed fast does not start again", now, workload.key)

    def _check_marks(self, workload: Workload, attempt: int, now: datetime) -> None:
        """What is said of an attempt is true of that attempt."""
        conditions, told = workload.status.conditions, f"{workload.key} attempt {attempt}"
        if is_true(conditions, "Admitted") and is_true(conditions, "PodsReady"):
            ran = self._ran.get((workload.metadata.name, str(attempt)), set())
            size = sum(one.count for one in workload.spec.pod_sets)
            self._expect(
                len(ran) >= size, "who is ready has had all its pods running in this attempt", now, told
            )
        finished = find_condition(conditions, "Finished")
        if finished is not None and finished.status == "True" and finished.reason == "Failed":
            ends = any(
                (one.spec.workload, one.spec.attempt, one.spec.action)
                == (workload.metadata.name, attempt, "fail_fast")
                for one in self.diagnoses.values()
            )
            self._expect(ends, "a job fails by the verdict of its own attempt", now, told)

    def unsettled(self) -> list[str]:
        """Incidents that are not over and not held for a person, or by the breaker while persons hold so
        many that there will be no room."""
        held = {one.spec.node for one in self.diagnoses.values() if one.status.phase == "Held"}
        room = len(held & self.out()) < self.scenario.cap
        return [
            key
            for key, one in self.diagnoses.items()
            if not one.spec.workload
            and one.spec.node
            and one.spec.action == "cordon_evict"
            and (one.status.phase not in (*_OVER, "Withheld", "Held") or (room and _waits(one)))
        ]

    def unanswered(self) -> list[str]:
        """Suspicions that no check has answered yet; there may be no idle nodes, or no check that works."""
        return [
            key
            for key, one in self.diagnoses.items()
            if one.spec.workload
            and (one.spec.fault_class, one.spec.blame) == ("Straggler", "unknown")
            and not is_true(one.status.conditions, "Checked")
        ]

    def check_waiting(self, now: datetime) -> None:
        """Once faults have stopped: who waits only for room has it as soon as there is some."""
        room = len(self.out()) < self.scenario.cap
        waiting = {key for key, one in self.diagnoses.items() if room and _waits(one)}
        self._with_room = {key: self._with_room.get(key, now) for key in waiting}
        late = [key for key, since in self._with_room.items() if (now - since).total_seconds() > ROOM_SECONDS]
        self._expect(not late, "who waits for room is taken out once there is some", now, late)

    def out(self) -> set[str]:
        """Nodes that bear our mark."""
        return {name for name, node in self._nodes.items() if OURS in node.metadata.annotations}

    def has_verdict(self, workload: Workload) -> bool:
        """Whether something was said of its last attempt."""
        state = workload.status.requeue_state
        attempt = (state.count or 0) if state is not None else 0
        return f"{workload.key}-{attempt}" in self.diagnoses

    # -- the end -----------------------------------------------------------------------------------

    def check_rest(self, now: datetime) -> None:
        """Once faults have stopped and everything had its time."""
        open_ = self.unsettled()
        for key, one in self.diagnoses.items():
            if one.spec.workload and one.spec.action == "cordon_evict":
                self._expect(bool(one.status.phase), "who asks for a node is answered", now, key)
        self._expect(not open_, "every incident ends", now, open_)
        held = {one.spec.node for one in self.diagnoses.values() if one.status.phase == "Held"}
        ledger = self.general.of(ConfigMap).get("kube-system/springtide-cordons")
        entries = set(ledger.data) if ledger is not None else set()
        marked = self.out()
        self._expect(marked <= held, "who is not held is back in service", now, sorted(marked - held))
        self._expect(
            entries == marked, "the ledger says who is out", now, f"{sorted(entries)} {sorted(marked)}"
        )
        for name, node in self._nodes.items():
            bad = [
                one.type for one in node.status.conditions if one.type in _FAMILIES and one.status == "False"
            ]
            self._expect(not bad or name in marked, "who is back is said to be well", now, f"{name} {bad}")
            ours = name in marked or name in self.person
            self._expect(ours or not node.spec.unschedulable, "what we cordon we uncordon", now, name)

    def _expect(self, holds: bool, invariant: str, now: datetime, detail: object) -> None:
        if not holds:
            self.general.violations.append(Violation(invariant, now, f"{detail}"))


def _waits(incident: Diagnosis) -> bool:
    """Whether the node stays in service only because others are out."""
    found = find_condition(incident.status.conditions, "Withheld")
    return incident.status.phase == "Withheld" and found is not None and found.reason == "BreakerOpen"
