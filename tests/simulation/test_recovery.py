"""Weeks under faults in virtual time: counts are exact, time adds up, both ways of finding places agree."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from springtide.api.remediation import Escalation, RemediationPolicy, RemediationPolicySpec
from springtide.cli.root import root as springtide
from springtide.simulation.ettr import SYSTEMS, Outcome, Setting, compare, gained, play
from springtide.simulation.ettr_report import picture, report
from springtide.simulation.faultmix import (
    Bad,
    Cause,
    Happening,
    Mix,
    MixError,
    Repair,
    Show,
    Symptom,
    benign_lines,
    draw,
    load_mix,
)
from springtide.simulation.gangplaces import CountedPlaces, EnginePlaces, Places, Size
from springtide.simulation.recovery import Job
from springtide.simulation.recoverytimes import Times, load_times, sources
from springtide.simulation.responses import (
    Ours,
    Place,
    Timeout,
    is_sure_of_the_node,
    is_taken_for_a_fault,
)

SURE = load_times()
TIMES = replace(
    SURE,
    state_gigabytes=48.0,
    evidence_lost_part=0.0,
    misnamed_part=0.0,
    unfixed_part=0.0,
    unseen_slow_count=0.0,
)
"""As on the large cluster by node, and nothing is left to chance."""
SMALL = Size(nodes=16, block=8, spares=4, small_jobs=1, small_nodes=2)
XID_79 = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def one_cause(count: int, show: Show, bad: Bad = Bad.NODE) -> Mix:
    return Mix("a test", 1.0, SMALL.nodes * SMALL.gpus, (Cause("it", count, bad, (show,)),))


def crash(kernel: str = XID_79, log: str = "", repair: Repair = Repair.REPLACE) -> Show:
    return Show(1, Symptom.CRASH, repair, kernel, log)


def played(mix: Mix, system: str, times: Times = TIMES, days: float = 1.0) -> Outcome:
    return play(Setting(mix, times, SMALL, days, engine=False), system, 1)


def test_the_table_of_llama_3_has_its_419_interruptions_and_a_run_has_exactly_those() -> None:
    mix = load_mix()
    assert mix.count == 419
    faults = draw(
        mix, mix.days * 86400, random.Random(7), gpus=mix.gpus, evidence_lost_part=0.1, unfixed_part=0
    )
    counted = Counter(fault.cause for fault in faults)
    assert counted == {cause.cause: cause.count for cause in mix.causes}
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)


def test_a_smaller_cluster_has_fewer_faults() -> None:
    mix = load_mix()
    half = [
        len(draw(mix, mix.days * 86400, random.Random(n), gpus=8192, evidence_lost_part=0, unfixed_part=0))
        for n in range(20)
    ]
    assert 200 < sum(half) / len(half) < 220


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_of_the_time_is_accounted_for(system: str) -> None:
    found = play(
        Setting(load_mix(), SURE, replace(SMALL, nodes=2048, block=128), 2.0, engine=False), system, 3
    )
    assert sum(found.phases.values()) == pytest.approx(1.0)
    assert min(found.phases.values()) >= 0.0
    assert found.interruptions > 5


def test_a_lost_gpu_costs_its_steps_and_no_more() -> None:
    found = played(one_cause(1, crash()), "springtide")
    assert found.interruptions == 1
    assert found.cordons == 1
    assert found.wrong_cordons == 0
    steps = (
        TIMES.detect_exit_seconds
        + TIMES.decide_seconds
        + TIMES.drain_seconds
        + TIMES.reschedule_seconds
        + TIMES.program_start_seconds
    )
    restore = TIMES.restore_peer_seconds_per_gigabyte * TIMES.state_gigabytes / SMALL.nodes
    assert found.down_seconds["it"] == pytest.approx(steps + restore)


def test_the_baseline_pays_its_timeout_and_up_to_half_an_hour_of_work() -> None:
    found = played(one_cause(1, crash()), "timeout")
    assert found.phases["detect"] * 86400 == pytest.approx(TIMES.baseline_timeout_seconds)
    assert 0 < found.phases["recompute"] * 86400 <= TIMES.baseline_checkpoint_seconds
    assert found.cordons == 1


def test_a_bug_of_the_program_takes_no_node_out() -> None:
    bug = crash(kernel="", log="AssertionError: expected 8192 tokens, got 8191", repair=Repair.NONE)
    found = played(one_cause(4, bug, Bad.PROGRAM), "springtide")
    assert found.interruptions == 4
    assert found.cordons == found.wrong_cordons == found.moved == 0


def test_a_program_that_may_not_start_again_waits_for_a_person() -> None:
    bug = crash(kernel="", log="AssertionError: expected 8192 tokens, got 8191", repair=Repair.NONE)
    found = played(one_cause(2, bug, Bad.PROGRAM), "springtide", replace(TIMES, program_restarts=1.0))
    assert found.persons == 1
    assert found.phases["manual"] * 86400 == pytest.approx(TIMES.person_seconds)


def test_a_broken_node_that_nobody_recognises_fails_again() -> None:
    quiet = Show(1, Symptom.HANG, Repair.REPLACE)
    found = played(one_cause(1, quiet), "springtide")
    assert found.missed >= 1
    assert found.repeats >= 1
    assert found.interruptions > 1


def test_a_repair_that_did_not_mend_it_is_a_second_fault() -> None:
    mix = one_cause(6, crash(repair=Repair.RESET))
    times = replace(TIMES, reset_hours=0.2)
    assert played(mix, "springtide", replace(times, unfixed_part=1.0)).repeats > 0
    assert played(mix, "springtide", replace(times, unfixed_part=0.0)).repeats == 0


def test_without_free_nodes_a_smaller_job_makes_room_and_then_the_job_waits() -> None:
    found = played(one_cause(12, crash()), "springtide", replace(TIMES, replace_hours=400.0))
    assert found.displaced >= 1
    assert found.phases["wait"] > 0.1


def test_a_slow_node_costs_less_when_it_is_found_in_minutes() -> None:
    slow = one_cause(1, Show(1, Symptom.SLOW, Repair.REPLACE))
    ours, theirs = played(slow, "springtide"), played(slow, "timeout")
    assert 0 < ours.phases["slow"] < theirs.phases["slow"] / 5


def test_what_healthy_machines_say_takes_no_node_out() -> None:
    mix = load_mix()
    lines = {*benign_lines(mix, mix.days * 86400, random.Random(1))}
    assert len(lines) == len(mix.benign.lines)
    assert [line for line in lines if is_taken_for_a_fault(line)] == []


def test_work_between_snapshots_is_lost_and_all_of_it_is_accounted_for() -> None:
    job = Job("large", 1, interval=100.0, blocking=1.0)
    job.advance(250.0)
    assert (job.phases["train"], job.phases["checkpoint"]) == (248.0, 2.0)
    job.stop(250.0, lag=0.0)
    assert (job.phases["train"], job.phases["recompute"]) == (200.0, 48.0)


def test_a_snapshot_that_is_not_with_its_peer_yet_goes_with_its_node() -> None:
    job = Job("large", 1, interval=100.0, blocking=1.0)
    job.stop(205.0, lag=10.0)
    assert job.phases["recompute"] == 103.0


def test_half_speed_is_half_the_work() -> None:
    job = Job("large", 1, interval=1000.0, blocking=1.0, slow={1: 2.0})
    job.advance(100.0)
    assert (job.phases["train"], job.phases["slow"]) == (50.0, 50.0)


def lost_one_by_one(places: Places) -> list[bool]:
    places.start()
    found = []
    for number, part in enumerate((0.1, 0.7, 0.12)):
        node = places.node("large", part)
        places.lose(node)
        found.append(places.place("large", 1000.0 * (number + 1)))
        assert found[-1] is not places.holds("large", node)
    return found


def test_the_engine_and_the_count_agree_while_there_are_spares() -> None:
    assert lost_one_by_one(EnginePlaces(SMALL)) == lost_one_by_one(CountedPlaces(SMALL)) == [True] * 3


def test_the_engine_waits_for_a_node_of_the_block_and_takes_it_when_it_is_back() -> None:
    places = EnginePlaces(Size(nodes=8, block=4, spares=0, small_jobs=0))
    places.start()
    lost = places.node("large", 0.0)
    places.lose(lost)
    assert not places.place("large", 10.0)
    places.restore(lost)
    assert places.place("large", 20.0)


def test_the_engine_holds_the_other_places_for_a_while_and_then_a_smaller_job_makes_room() -> None:
    places = EnginePlaces(Size(nodes=8, block=4, spares=0, small_jobs=1, small_nodes=2))
    places.start()
    lost = places.node("large", 0.0)
    places.lose(lost)
    assert not places.place("large", 10.0)
    assert places.displaced() == []
    assert places.place("large", 311.0)
    assert places.displaced() == ["small-0"]
    assert not places.holds("large", lost)


def test_by_seed_ours_and_the_baseline_meet_the_same_faults() -> None:
    found = compare(Setting(one_cause(1, crash()), TIMES, SMALL, 1.0, engine=True), [1, 2])
    assert [(one.seed, one.system) for one in found] == [(n, system) for n in (1, 2) for system in SYSTEMS]
    assert all(one.stops == {"it": 1} for one in found)
    assert len(gained(found)) == 2
    assert found[0].down_seconds["it"] < found[1].down_seconds["it"]
    page = report(found, "a test", sources())
    assert picture(found) in page
    assert "assumed" in page


def test_a_run_is_the_same_every_time() -> None:
    mix = load_mix()
    first, second = (played(mix, "springtide", SURE, days=200.0) for _ in range(2))
    assert replace(first, cpu_seconds=0.0) == replace(second, cpu_seconds=0.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("step_seconds: {value: -1}", "must be a number of at least 0"),
        ("nonsense: {value: 1}", "nonsense is unknown"),
        ("- 1", "must be a mapping"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(MixError, match=told):
        load_times(file)


def test_a_profile_replaces_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("detect_hang_seconds: {value: 17, source: measured here}")
    assert load_times(file) == replace(SURE, detect_hang_seconds=17.0)
    assert sources(file)["detect_hang_seconds"] == (17.0, "measured here")


def test_the_command_prints_a_table_and_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "faults.html"
    size = ["--nodes", "16", "--small-jobs", "0", "--spares", "2", "--days", "30", "--seeds", "2", "--quick"]
    done = CliRunner().invoke(springtide, ["simulate", "faults", *size, "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert "points more" in done.stdout
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_both_systems_are_named_after_themselves() -> None:
    names = Ours(TIMES, 8, 16).name, Timeout(TIMES, 16).name
    assert names == SYSTEMS
    assert Ours(SURE, 8, 2048).checkpoints(2048)[0] < Timeout(SURE, 2048).checkpoints(2048)[0]


def test_who_answers_is_asked_with_the_lines_of_the_fault() -> None:
    fault = Happening(0, "it", Bad.NODE, Symptom.STALL, Repair.REPLACE, XID_79, "", 0, 0, False)
    answer = Ours(TIMES, 8, 16).answer("large", fault, Place("n0", 0), 0.0)
    assert answer.detect_seconds == TIMES.detect_kernel_seconds


HANG = Happening(0, "it", Bad.NODE, Symptom.HANG, Repair.REPLACE, "", "", 0, 0, False)
"""A node that hangs its job, and nothing says which node it is but the ranks that wait."""


@pytest.mark.parametrize(
    ("incidents", "steps"),
    [
        (2, ["RestartInPlace", "RestartInPlace", "RestartElsewhere", "CordonAndEvict"]),
        (0, ["RestartInPlace", "RestartInPlace", "RestartElsewhere", "RestartElsewhere"]),
    ],
)
def test_a_node_that_hangs_its_job_again_goes_for_its_history(incidents: int, steps: list[str]) -> None:
    policy = RemediationPolicy(spec=RemediationPolicySpec(escalation=Escalation(incidents=incidents)))
    ours = Ours(TIMES, 8, 16, policy)
    ours.watch(f"n{number}" for number in range(2048))
    places = [Place("n7", 1), Place("n8", 2), Place("n9", 3), Place("n9", 4)]
    answers = [ours.answer("large", HANG, place, 40_000.0 * at) for at, place in enumerate(places)]
    assert [one.step.value for one in answers] == steps
    assert [one.by_history for one in answers] == [False, False, False, incidents > 0]


@pytest.mark.parametrize(
    ("what", "fault", "sure"),
    [
        ("a record of the kernel", replace(HANG, kernel=XID_79), True),
        ("the machine is gone", replace(HANG, symptom=Symptom.GONE), True),
        ("a slow node that was checked", replace(HANG, symptom=Symptom.SLOW), True),
        ("only the ranks tell", HANG, False),
    ],
)
def test_only_where_ranks_alone_tell_another_node_may_be_blamed(
    what: str, fault: Happening, sure: bool
) -> None:
    assert is_sure_of_the_node(fault) is sure, what


def test_a_policy_of_the_site_is_played(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: springtide.dev/v1alpha1\nkind: RemediationPolicy\nmetadata: {name: gentle}\n"
        "spec: {cordonConfidence: 1, escalation: {incidents: 0}}\n"
    )
    size = ["--nodes", "16", "--small-jobs", "0", "--days", "30", "--seeds", "1", "--quick", "-o", "json"]
    done = CliRunner().invoke(springtide, ["simulate", "faults", *size, "--policy", str(policy)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["policy"]["spec"]["escalation"]["incidents"] == 0
    policy.write_text(policy.read_text().replace("incidents", "incident"))
    refused = CliRunner().invoke(springtide, ["simulate", "faults", *size, "--policy", str(policy)])
    assert refused.exit_code != 0
    assert "incident" in refused.output
