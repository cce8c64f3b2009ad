"""What machines recorded, what peers say, what a wrapper wraps: which of them decides."""

from __future__ import annotations

from dataclasses import replace as with_fields
from datetime import datetime

import pytest

from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeHealth, NodeHealthStatus, Observation
from springtide.api.springtide import Action, Blame
from springtide.api.struct import replace
from springtide.faults import Fault, Override
from springtide.health.diagnosis import Cause, RankReport, confidence_in, first_cause, with_overrides
from springtide.health.evidence import read_log
from springtide.health.observed import machine_records
from springtide.health.votes import most_named, only_silent
from tests.builders import at
from tests.health.outputs import stamped
from tests.health.scene import Scene, failed, gang, rank

XID_79 = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
XID_31 = "NVRM: Xid (PCI:0000:a1:00): 31, pid=88, name=python, Ch 00000010, intr 00000000. MMU Fault"
XID_45 = "NVRM: Xid (PCI:0000:a1:00): 45, pid=88, name=python, Ch 00000012"
CGROUP_OOM = "Memory cgroup out of memory: Killed process 88 (python) total-vm:9kB, anon-rss:8kB"
TIMEOUT = (
    "[rank{rank}]:[E ProcessGroupNCCL.cpp:616] [Rank {rank}] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=42, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600013 milliseconds before timing out."
)
LOST = "node2:77:91 [1] NCCL WARN socketProgress: Connection closed by remote peer {peer}<40311>"
RAISED = 'Traceback (most recent call last):\n  File "/code/train.py", line 5, in step\nValueError: bad shape'


def seen(line: str, second: float, *, collector: str = "kernel", pod: str = "", id: str = "1") -> Observation:
    source = "kernel" if collector == "kernel" else "log:default/x/main"
    return Observation(id=id, collector=collector, source=source, line=line, time=at(second), pod=pod)


def judged(scene: Scene, now: datetime | None = None, **records: Observation) -> Cause:
    """The cause, `n0=…` being what the node n0 recorded."""
    reports = [
        with_fields(
            one,
            records=machine_records(
                NodeHealth(status=NodeHealthStatus(observations=[records[one.node]]))
                if one.node in records
                else None
            ),
        )
        for one in scene.reports(now or at(5000))
    ]
    cause = first_cause(reports, now or at(5000))
    assert cause is not None
    return cause


def test_a_pod_that_had_to_leave_and_is_gone_is_explained_by_what_its_machine_recorded() -> None:
    scene = Scene(pods=[rank(0)])
    assert judged(scene, at(20)).fault is Fault.POD_DELETED
    cause = judged(scene, at(20), n1=seen(XID_79, 15))
    assert (cause.fault, cause.report.index, cause.report.node) == (Fault.GPU_OFF_BUS, 1, "n1")
    assert judged(scene, at(2000), n1=seen(XID_79, 15)).fault is Fault.POD_DELETED, "long before"


def with_address(pod: Pod, address: str) -> Pod:
    return replace(pod, status=replace(pod.status, pod_ip=address))


def complaining(*lines: str, running: int | None = None) -> Scene:
    """Rank n says line n at second 700; `running`: this one has not ended."""
    pods = [
        rank(index) if index == running else with_address(failed(index, 700), f"10.0.0.{index}")
        for index in range(len(lines))
    ]
    logs = {index: stamped(line, 700) for index, line in enumerate(lines) if line}
    return Scene(workload=gang(len(lines)), pods=pods, logs=logs)


def test_a_gpu_that_fell_off_the_bus_beats_the_timeouts_ten_minutes_later() -> None:
    scene = complaining(TIMEOUT.format(rank=0), TIMEOUT.format(rank=1))
    cause = judged(scene, n1=seen(XID_79, 95))
    assert (cause.fault, cause.report.index, cause.recorded) == (Fault.GPU_OFF_BUS, 1, True)
    assert (cause.blame, cause.action, confidence_in(cause)) == (Blame.NODE, Action.CORDON_EVICT, 0.99)
    assert cause.meaning is not None
    assert (cause.meaning.signature, cause.meaning.device) == ("xid_79_gpu_off_bus", "0000:a1:00")


def test_a_record_on_the_node_of_a_rank_that_has_not_ended_counts_too() -> None:
    scene = complaining(TIMEOUT.format(rank=0), "", TIMEOUT.format(rank=2), running=1)
    cause = judged(scene, n1=seen(XID_79, 600))
    assert (cause.fault, cause.report.index) == (Fault.GPU_OFF_BUS, 1)


def test_a_programs_own_exception_is_not_explained_by_a_record_of_ten_minutes_ago() -> None:
    scene = Scene(pods=[failed(0, 700), failed(1, 700)], logs={1: stamped(RAISED, 700)})
    assert judged(scene, n1=seen(XID_79, 95)).fault is Fault.PROGRAM_ERROR
    assert judged(scene, n1=seen(XID_79, 650)).fault is Fault.GPU_OFF_BUS


@pytest.mark.parametrize(
    ("what", "record"),
    [
        ("a consequence", seen(XID_45, 699)),
        ("what the program did itself", seen(XID_31, 699)),
        ("a line of a program's log", seen(XID_79, 699, collector="logs")),
        ("what happened before the job was there", seen(XID_79, -30)),
        ("what happened long after", seen(XID_79, 1000)),
    ],
)
def test_a_record_that_does_not_count(what: str, record: Observation) -> None:
    scene = Scene(pods=[failed(0, 700), failed(1, 700)], logs={1: stamped(RAISED, 700)})
    assert judged(scene, n1=record).fault is Fault.PROGRAM_ERROR, what


def test_the_kernels_record_says_who_was_killed_for_memory() -> None:
    scene = Scene(pods=[failed(0, 700), failed(1, 700, 137)])
    mine, other = "default/job-node-0-1-abcde", "default/somebody-else"
    assert judged(scene, n1=seen(CGROUP_OOM, 699, pod=mine)).fault is Fault.OUT_OF_MEMORY
    assert judged(scene, n1=seen(CGROUP_OOM, 699, pod=other)).fault is not Fault.OUT_OF_MEMORY


def test_lines_that_name_a_peer_count_against_the_peer() -> None:
    scene = complaining(
        LOST.format(peer="10.0.0.2"), LOST.format(peer="10.0.0.2"), LOST.format(peer="10.0.0.0")
    )
    cause = judged(scene)
    assert (cause.report.index, cause.primary, cause.is_consequence) == (2, False, True)
    assert "is the peer that 2 other ranks lost" in cause.message


def test_the_one_rank_that_does_not_complain_is_the_missing_one() -> None:
    scene = complaining(TIMEOUT.format(rank=0), TIMEOUT.format(rank=1), "", running=2)
    cause = judged(scene)
    assert (cause.report.index, cause.rank, cause.fault) == (2, 2, Fault.COLLECTIVE_TIMEOUT)
    assert cause.action is Action.RESTART_IN_PLACE
    assert "shows nothing while all its peers wait" in cause.message


@pytest.mark.parametrize(
    ("line", "fault", "blame"),
    [
        ("CUDA error: uncorrectable ECC error encountered", Fault.GPU_MEMORY, Blame.NODE),
        ("CUDA error: an illegal memory access was encountered", Fault.GPU_PROGRAM, Blame.PROGRAM),
    ],
)
def test_the_error_inside_a_watchdogs_line_decides(line: str, fault: Fault, blame: Blame) -> None:
    text = f"  what():  [Rank 0] NCCL watchdog thread terminated with exception: {line}"
    (found,) = read_log(stamped(text, 10)).findings
    assert found.meaning is not None
    assert (found.fault, found.primary, found.meaning.blame) == (fault, True, blame)


def test_a_line_of_a_log_that_only_looks_like_trouble_is_no_finding() -> None:
    text = "\n".join(
        [
            "INFO caught CUDA out of memory, trying a smaller batch",
            "ValueError: was handled, going on",
            "node1:12:34 [0] NCCL INFO NET/IB : No device found.",
            "W torch/distributed/elastic api.py:858] Sending process 2172 closing signal SIGTERM",
        ]
    )
    assert read_log(stamped(text, 10)).findings == ()


def test_votes_that_are_even_name_nobody() -> None:
    own = [frozenset((name,)) for name in ("a", "b", "c")]
    assert most_named([["b"], ["a"], []], own) is None
    assert most_named([["a"], [], ["a"]], own) == (0, 1)
    assert most_named([[], [], []], own) is None


def test_silence_counts_only_where_it_is_one_rank_of_three_or_more() -> None:
    assert only_silent([True, False, True]) == 1
    assert only_silent([True, False]) is None
    assert only_silent([True, False, False]) is None


def test_what_a_rank_report_knows_of_its_machine_is_in_order() -> None:
    records = [seen("b", 20, id="2"), seen("a", 10, id="1"), seen("c", 5, collector="logs", id="0")]
    health = NodeHealth(status=NodeHealthStatus(observations=records))
    assert [one.line for one in machine_records(health)] == ["a", "b"]
    assert RankReport("node", 0, None, "h").records == ()


def test_a_site_that_knows_a_signature_better_is_believed() -> None:
    scene = Scene(pods=[failed(0, 700), failed(1, 700)])
    found = judged(scene, n1=seen(XID_79, 690))
    softer = with_overrides(found, {"xid_79_gpu_off_bus": Override(action=Action.RESTART_IN_PLACE)})
    other = with_overrides(found, {"xid_48_double_bit_ecc": Override(action=Action.IGNORE)})
    assert (softer.blame, softer.action) == (Blame.NODE, Action.RESTART_IN_PLACE)
    assert other == found
    program = judged(Scene(pods=[failed(0, 700), failed(1, 700)], logs={1: stamped(RAISED, 700)}))
    assert with_overrides(program, {"python_exception": Override(action=Action.IGNORE)}) == program


def test_what_a_program_may_have_made_up_is_no_record_of_the_machine() -> None:
    dumped = "flight recorder: rank 0, group 0: entered 3, completed 2, stuck in 3 NVRM: Xid 79 (started)"
    status = NodeHealthStatus(
        observations=[
            Observation(id=name, collector=name, source=f"{name}:default/job-0", line=dumped)
            for name in ("logs", "exits", "activity", "marks", "stacks", "flight")
        ]
    )
    assert machine_records(NodeHealth(metadata=ObjectMeta(name="node-0"), status=status)) == ()
