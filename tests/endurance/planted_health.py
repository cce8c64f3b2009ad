"""Defects planted into the code that heals, each of which the health world must find.

    python -m tests.endurance.planted_health [--seeds 200] [--defect NAME] [--first 1]

Each entry patches one function at run time, a well-known pattern of bug in controllers: a lost update, a
precondition that is missing, a trigger by edge, a read of the cache after a write, a budget off by one, a
person's cordon taken back. Seeds that could show it (`where`) are played until one does; one JSON row each:
`{"defect": …, "found": true, "seeds": how many were played, "seed": the one, "invariant": what broke}`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from unittest.mock import patch

from springtide.api import labels
from springtide.api.commands import Plan
from springtide.api.remediation import IncidentPhase, RemediationRule, Step
from springtide.health import plan as planning
from springtide.health import (
    remediation,
    remediation_breaker,
    remediation_controller,
    remediation_ledger,
    remediation_node,
    remediation_plan,
    remediation_rest,
)
from springtide.health.incidents import NAMESPACE
from springtide.health.remediation_policy import Effective
from springtide.health.remediation_view import Steps
from springtide.scheduling.door import Door
from springtide.simulation.healthscenario import (
    CROWDED,
    PERSONS,
    REPAIRS,
    RESTARTS,
    HealthScenario,
    draw,
)
from springtide.simulation.healthworld import settings_of, simulate
from springtide.simulation.seeds import collect_seldom

pods_plan = import_module("springtide.workloads.plan")
"""The module; the package exports a function of that name."""
Where = Callable[[HealthScenario], bool]
Plant = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Defect:
    """One planted bug, and the scenarios that could show it."""

    plant: Plant
    where: Where = lambda _: True


def has(*actions: str) -> Where:
    """Scenarios in which one of these happens."""
    return lambda scenario: any(event.action in actions for event in scenario.events)


def of(*families: str) -> Where:
    """Scenarios of these families."""
    return lambda scenario: scenario.family in families


def out(scenario: HealthScenario) -> bool:
    """Scenarios in which a node may be taken out."""
    return bool(scenario.broken) and scenario.cap > 0 and not scenario.reports_nodes


def many_out(scenario: HealthScenario) -> bool:
    """Scenarios in which more nodes break than may be out."""
    return out(scenario) and len(scenario.broken) > scenario.cap


def waits_when_calm(scenario: HealthScenario) -> bool:
    """Scenarios in which nodes break so late that some still wait for room when no crash wakes them."""
    late = {event.target for event in scenario.events if event.action == "gpu" and event.at > 70}
    return out(scenario) and len(late) > scenario.cap


def waits(scenario: HealthScenario) -> bool:
    """Scenarios in which a job must wait before it is started again."""
    budget = scenario.policy["spec"]["budgets"][0]
    return bool(budget["backoff"]["initialSeconds"] > 0 and budget["restarts"] > 1)


def both(*conditions: Where) -> Where:
    """Scenarios in which all of these hold."""
    return lambda scenario: all(condition(scenario) for condition in conditions)


@contextmanager
def _patched(*places: tuple[Any, str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, planted in places:
            stack.enter_context(patch.object(owner, name, planted))
        yield


def instead(owner: Any, name: str, planted: Any) -> Plant:
    """A function that does something else."""
    return lambda: _patched((owner, name, planted))


def all_of(*places: tuple[Any, str, Any]) -> Plant:
    """Several, where one function is known under several names."""
    return lambda: _patched(*places)


# -- defects of verdicts and budgets ---------------------------------------------------------------------


_restarts_in, _rule_for, _allowed = remediation.restarts_in, remediation.rule_for, remediation._allowed


def _cordons_when(concerned: Callable[[Any], bool]) -> Plant:
    """The node goes for some failures it must not go for."""

    def rule(failure: Any, policy: Effective) -> RemediationRule:
        if concerned(failure):
            return RemediationRule(steps=[Step.CORDON_AND_EVICT.value])
        return _rule_for(failure, policy)

    def allowed(step: Step, failure: Any, policy: Effective, *, elastic: bool) -> tuple[Step, str]:
        if concerned(failure):
            return step, ""
        return _allowed(step, failure, policy, elastic=elastic)

    return all_of((remediation, "rule_for", rule), (remediation, "_allowed", allowed))


_decide = remediation.decide


def _one_more(*arguments: Any) -> int:
    return _restarts_in(*arguments) - 1


def _a_name_a_time() -> Callable[..., str]:
    numbers = itertools.count()
    return lambda workload, attempt: f"{workload.metadata.name}-{attempt}-{next(numbers)}"


def _always_again(*arguments: Any, **options: Any) -> Any:
    found = _decide(*arguments, **options)
    again = Step.RESTART_IN_PLACE
    return replace(found, step=again, action=remediation._ACTIONS[again], budget="platform")


# -- defects of what is done to nodes ----------------------------------------------------------------------

_is_full = remediation_breaker.is_full
_cordon, _restore, _patch = remediation_node.cordon, remediation_node.restore, remediation_node._patch
_at_rest = remediation_rest.at_rest


def _off_by_one(ledger: Any, node: str, peers: Any, cap: int) -> bool:
    return _is_full(ledger, node, peers, cap + 1)


def _never_full(*_: Any) -> bool:
    return False


async def _written_blindly(client: Any, known: Any, node: str, incident: str | None) -> Any:
    """The whole ledger as it was read, with the node in it: who wrote meanwhile is lost."""
    from springtide.api.core import ConfigMap

    body = {"data": {**dict.fromkeys(known.data), **known.data, node: incident}}
    return await client.patch(ConfigMap, remediation_ledger.NAME, NAMESPACE, body)


async def _never_struck(client: Any, node: str) -> None:
    del client, node


def _without_version(node: Any, spec: Any, notes: Any) -> Any:
    made = _patch(node, spec, notes)
    metadata = {name: value for name, value in made.body["metadata"].items() if name != "resourceVersion"}
    return replace(made, body={**made.body, "metadata": metadata})


def _without_note(node: Any, incident: Any, now: Any, *, no_execute: bool) -> Any:
    made = _cordon(node, incident, now, no_execute=no_execute)
    return replace(made, body={**made.body, "metadata": {**made.body["metadata"], "annotations": {}}})


def _forgets_before(node: Any) -> Any:
    notes = {key: one for key, one in node.metadata.annotations.items() if key != labels.CORDONED_BEFORE}
    from springtide.api.struct import replace as replaced

    return _restore(replaced(node, metadata=replaced(node.metadata, annotations=notes)))


def _keeps_taint(node: Any) -> Any:
    made = _restore(node)
    spec = {name: value for name, value in made.body["spec"].items() if name != "taints"}
    return replace(made, body={**made.body, "spec": spec})


async def _believes_its_cache(self: Any, incident: str) -> bool:
    del self, incident
    return True


def _strikes_first(view: Any, node: Any, now: Any) -> Any:
    from springtide.health.remediation_view import Strike

    found = _at_rest(view, node, now)
    strike = (Strike(view.name, ""),) if view.name in view.ledger else ()
    return Steps((*strike, *found.acts), found.again_seconds)


def _returns_whom_it_holds(_: Any, node: Any, incident: Any, now: Any) -> Any:
    return remediation_plan._returned(node, incident, "held for long enough", now)


def _takes_the_wish_for_the_deed(node: Any, incident: Any, until: Any, now: Any) -> Any:
    del node, until
    return Steps((remediation_plan._repaired(incident, "RepairerDone", "as was asked", now),), 0.0)


def _never_drains(_: Any, node: Any, incident: Any, now: Any) -> Any:
    del node, incident, now
    return Steps()


def _phases(phase: IncidentPhase, planted: Any) -> Plant:
    return instead(remediation_plan, "_PHASES", {**remediation_plan._PHASES, phase: planted})


# -- defects of pods -----------------------------------------------------------------------------------

_apply, _verdict, _alone = pods_plan._apply, pods_plan._verdict, Door._alone


class _Any:
    def __ne__(self, other: object) -> bool:
        return False


def _waits_for_no_pods(self: Any, facts: Any) -> Any:
    """Scheduling and workloads both wait for the last attempt's pods: one of them alone hides the other."""
    return _alone(replace(self, pods_of={}), facts)


def _without_precondition(workload: Any, new: Any, now: Any) -> Any:
    made = _apply(workload, new, now)
    return replace(made, fields={"status": made.fields["status"]})


def _of_any_attempt(view: Any, attempt: int) -> str | None:
    """Takes whatever was said of the attempt before for the end of this one."""
    said = (one.spec for one in view.diagnoses if one.spec.attempt == attempt - 1)
    return _verdict(view, attempt) or next((one.message for one in said), None)


DEFECTS: dict[str, Defect] = {
    "a program's error takes the node out": Defect(
        _cordons_when(lambda failure: failure.blame == "program" and not failure.secondary),
        has("error", "oom"),
    ),
    "a consequence takes the node out": Defect(
        _cordons_when(lambda failure: failure.secondary), has("complain")
    ),
    "every restart is forgotten by its budget": Defect(
        instead(remediation, "restarts_in", lambda *_: 0), of(RESTARTS)
    ),
    "a budget is off by one": Defect(instead(remediation, "restarts_in", _one_more), of(RESTARTS)),
    "who must not start again does": Defect(instead(planning, "decide", _always_again), has("error", "oom")),
    "the back-off is forgotten": Defect(
        instead(planning, "left_to_wait", lambda *_: 0.0), both(of(RESTARTS), waits)
    ),
    "an attempt gets another verdict after a crash": Defect(
        lambda: _patched((planning, "diagnosis_name", _a_name_a_time())), of(RESTARTS)
    ),
    "the end of an eviction is forgotten": Defect(
        instead(planning, "_requeue", lambda *_: Plan()), of(RESTARTS)
    ),
    "the cap is off by one": Defect(
        all_of((remediation_plan, "is_full", _off_by_one), (remediation_ledger, "is_full", _off_by_one)),
        many_out,
    ),
    "there is no cap": Defect(
        all_of((remediation_plan, "is_full", _never_full), (remediation_ledger, "is_full", _never_full)),
        many_out,
    ),
    "the cap is read from the cache alone": Defect(
        instead(remediation_ledger, "is_full", _never_full), both(of(CROWDED), has("twin"))
    ),
    "an update of the ledger is lost": Defect(
        instead(remediation_ledger, "_write", _written_blindly), both(of(CROWDED), has("twin"))
    ),
    "a node is patched without its version": Defect(
        instead(remediation_node, "_patch", _without_version), of(PERSONS)
    ),
    "a cordon is written without its note": Defect(instead(remediation_node, "cordon", _without_note), out),
    "a person's cordon is taken back": Defect(
        instead(remediation_node, "restore", _forgets_before), of(PERSONS)
    ),
    "the taint stays when the node returns": Defect(instead(remediation_node, "restore", _keeps_taint), out),
    "a mark is taken off by what the cache says": Defect(
        instead(remediation_controller._Remediation, "_is_over_for_good", _believes_its_cache),
        both(of(CROWDED), has("twin")),
    ),
    "the ledger forgets before the node is back": Defect(
        all_of(
            (remediation_plan, "at_rest", _strikes_first),
            (remediation_controller._Remediation, "_is_in_service", _believes_its_cache),
        ),
        many_out,
    ),
    "the ledger never forgets": Defect(instead(remediation_ledger, "strike", _never_struck), out),
    "many with the same symptom are not noticed": Defect(
        instead(remediation_plan, "crowd", lambda *_: []),
        of(CROWDED),
    ),
    "who waits for the breaker is woken by edge alone": Defect(
        instead(remediation_controller._Remediation, "_in_trouble", lambda _: []), waits_when_calm
    ),
    "who is held returns by itself": Defect(_phases(IncidentPhase.HELD, _returns_whom_it_holds), of(REPAIRS)),
    "a repair that was asked for counts as done": Defect(
        instead(remediation_plan, "_by_another", _takes_the_wish_for_the_deed),
        of(REPAIRS),
    ),
    "a node is never drained": Defect(_phases(IncidentPhase.CORDONED, _never_drains), out),
    "who is back is still said to be ill": Defect(
        instead(remediation_rest, "_told_well", lambda *_: ()), out
    ),
    "report-only acts on nodes": Defect(
        instead(Effective, "reports_nodes_only", property(lambda _: False)),
        both(lambda scenario: scenario.reports_nodes, has("gpu")),
    ),
    "report-only ends attempts": Defect(
        instead(Effective, "reports_only", property(lambda _: False)),
        both(lambda scenario: scenario.reports_all, has("gpu", "error", "complain", "oom", "kill")),
    ),
    "two incarnations of a rank live at once": Defect(
        all_of((pods_plan, "_attempt", lambda _: _Any()), (Door, "_alone", _waits_for_no_pods)),
        of(RESTARTS),
    ),
    "the verdict of an earlier attempt ends a later one": Defect(
        instead(pods_plan, "_verdict", _of_any_attempt), of(RESTARTS)
    ),
    "a mark reaches the next attempt": Defect(
        instead(pods_plan, "_apply", _without_precondition), both(of(RESTARTS), has("twin"))
    ),
}


NONE = Defect(nullcontext)


def find(name: str, first: int, seeds: int) -> dict[str, Any]:
    """Play seeds that could show the defect until one does."""
    defect = DEFECTS[name]
    chosen = (seed for seed in itertools.count(first) if defect.where(draw(seed)))
    for played, seed in enumerate(itertools.islice(chosen, seeds), start=1):
        broke = _broken_by(defect, seed)
        if broke and not _broken_by(NONE, seed):  # a seed that breaks by itself proves nothing
            return {"defect": name, "found": True, "seeds": played, "seed": seed, "invariant": broke}
    return {"defect": name, "found": False, "seeds": seeds}


def _broken_by(defect: Defect, seed: int) -> str:
    """What broke first; empty: nothing."""
    with defect.plant():
        report = simulate(seed, settings_of(seed), to_the_end=False)
    return report.violations[0].invariant if report.violations else ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many are played at most")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--defect", choices=sorted(DEFECTS), action="append")
    chosen = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", "tests.endurance.planted_health", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    collect_seldom()
    found = 0
    names = chosen.defect or list(DEFECTS)
    for name in names:
        row = find(name, chosen.first, chosen.seeds)
        found += row["found"]
        print(json.dumps(row), flush=True)
    print(json.dumps({"planted": len(names), "found": found}))
    return 0 if found == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
