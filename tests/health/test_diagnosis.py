"""Which rank failed first, and why, told by what pods, nodes and logs show."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from springtide.api.core import Pod
from springtide.api.struct import replace
from springtide.health.diagnosis import Cause, first_cause
from springtide.health.faults import VERDICTS, Fault
from springtide.health.signatures import is_cause, meaning_of
from tests.builders import at
from tests.health import outputs
from tests.health.outputs import lines, stamped, torchrun
from tests.health.scene import Scene, failed, gang, node_that_is, rank


@dataclass
class Case:
    what: str
    scene: Scene
    rank: int
    fault: Fault
    words: str
    more: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return self.what


def deleted(pod: Pod, second: float, grace: int = 30) -> Pod:
    metadata = replace(
        pod.metadata, deletion_timestamp=at(second + grace), deletion_grace_period_seconds=grace
    )
    return replace(pod, metadata=metadata)


RAISES = stamped(torchrun(outputs.RAISED, rank=1), 10.2)
COMPLAINS = stamped(torchrun(outputs.PEER_COMPLAINS, rank=0), 10.4)

CASES = [
    Case(
        "an exception, and a peer that complains about the lost connection",
        Scene(pods=[failed(0, 10), failed(1, 10)], logs={0: COMPLAINS, 1: RAISES}),
        1,
        Fault.PROGRAM_ERROR,
        "rank 1 (job-node-0-1 on n1) exited with code 1: ValueError: bad shape at train.py:5",
    ),
    Case(
        "the peer complains first by the clock: a consequence never is the cause",
        Scene(
            pods=[failed(0, 9), failed(1, 10)],
            logs={0: stamped(torchrun(outputs.PEER_COMPLAINS, rank=0), 9), 1: RAISES},
        ),
        1,
        Fault.PROGRAM_ERROR,
        "ValueError: bad shape",
    ),
    Case(
        "two exceptions of their own: the earlier log line",
        Scene(
            pods=[failed(0, 10), failed(1, 10)],
            logs={0: stamped(outputs.SYNTAX, 10.9), 1: stamped(outputs.RAISED, 10.1)},
        ),
        1,
        Fault.PROGRAM_ERROR,
        "ValueError: bad shape",
    ),
    Case(
        "a rank killed without a word beats the ranks that miss it",
        Scene(pods=[failed(0, 11), failed(1, 10, 137)], logs={0: COMPLAINS}),
        1,
        Fault.KILLED,
        "rank 1 (job-node-0-1 on n1) was ended by SIGKILL",
    ),
    Case(
        "torchrun saw its process killed and itself exits with code 1",
        Scene(
            pods=[failed(0, 10), failed(1, 10)],
            logs={0: COMPLAINS, 1: stamped(torchrun("step 1", rank=1, code=-9), 10.2)},
        ),
        1,
        Fault.KILLED,
        "exited with code 1: its process was ended by SIGKILL",
    ),
    Case(
        "torchrun saw a segmentation fault",
        Scene(
            pods=[failed(0, 10), failed(1, 10)],
            logs={0: COMPLAINS, 1: stamped(torchrun("step 1", rank=1, code=-11), 10.2)},
        ),
        1,
        Fault.CRASHED,
        "its process was ended by SIGSEGV",
    ),
    Case(
        "a lost connection in the backward pass is a consequence too",
        Scene(
            pods=[failed(0, 10), failed(1, 10)],
            logs={0: stamped(outputs.BACKWARD_COMPLAINS, 10.0), 1: RAISES},
        ),
        1,
        Fault.PROGRAM_ERROR,
        "ValueError",
    ),
    Case(
        "only complaints: the network, or somebody unknown",
        Scene(
            pods=[failed(0, 10), failed(1, 10)],
            logs={0: COMPLAINS, 1: stamped(outputs.BACKWARD_COMPLAINS, 11)},
        ),
        0,
        Fault.PEER_LOST,
        "Connection closed by peer",
    ),
    Case(
        "a job of one rank has no peers to lose",
        Scene(workload=gang(1), pods=[failed(0, 10)], logs={0: stamped(outputs.PEER_COMPLAINS, 10)}),
        0,
        Fault.PROGRAM_ERROR,
        "RuntimeError",
    ),
    Case(
        "killed by its memory limit",
        Scene(workload=gang(1), pods=[failed(0, 10, 137, reason="OOMKilled")]),
        0,
        Fault.OUT_OF_MEMORY,
        "used more memory than its limit",
    ),
    Case(
        "torchrun saw its process killed, and the kernel's record says for memory",
        Scene(
            pods=[failed(0, 10, reason="OOMKilled"), failed(1, 10)],
            logs={0: stamped(torchrun("step 1", rank=0, code=-9), 9.2), 1: COMPLAINS},
        ),
        0,
        Fault.OUT_OF_MEMORY,
        "used more memory than its limit",
    ),
    Case(
        "an exit without a word beside a node that is lost",
        Scene(pods=[rank(0), failed(1, 10)], nodes={"n0": node_that_is("n0", "Unknown", 12)}),
        0,
        Fault.NODE_LOST,
        "is lost",
    ),
    Case(
        "an exception of its own beside a node that is lost later",
        Scene(
            pods=[rank(0), failed(1, 10)],
            nodes={"n0": node_that_is("n0", "Unknown", 12)},
            logs={1: stamped(outputs.RAISED, 9.5)},
        ),
        1,
        Fault.PROGRAM_ERROR,
        "ValueError",
    ),
    Case(
        "a segmentation fault of the program itself",
        Scene(workload=gang(1), pods=[failed(0, 10, 139)]),
        0,
        Fault.CRASHED,
        "was ended by SIGSEGV",
    ),
    Case(
        "an aborted C++ program says what",
        Scene(workload=gang(1), pods=[failed(0, 10, 134)], logs={0: stamped(outputs.ABORTED, 10)}),
        0,
        Fault.CRASHED,
        "tokenizer table is corrupt",
    ),
    Case(
        "the device error inside a watchdog's line decides",
        Scene(
            pods=[failed(0, 10, 134), failed(1, 10)],
            logs={0: stamped(outputs.ECC_IN_WATCHDOG, 10.5), 1: stamped(outputs.BACKWARD_COMPLAINS, 10.1)},
        ),
        0,
        Fault.GPU_MEMORY,
        "uncorrectable ECC error",
    ),
    Case(
        "an exit without a traceback: its last words",
        Scene(workload=gang(1), pods=[failed(0, 10, 3)], logs={0: lines("loading\nno data at /data")}),
        0,
        Fault.PROGRAM_ERROR,
        "exited with code 3; its last words: no data at /data",
    ),
    Case(
        "a command that does not exist",
        Scene(
            workload=gang(1),
            pods=[failed(0, 10, 128, reason="StartError", message="torchrn: no such file or directory")],
        ),
        0,
        Fault.CANNOT_START,
        "could not be started: torchrn: no such file",
    ),
    Case(
        "a command the shell does not find",
        Scene(workload=gang(1), pods=[failed(0, 10, 127)], logs={0: lines("sh: torchrn: not found")}),
        0,
        Fault.CANNOT_START,
        "could not be started: sh: torchrn: not found",
    ),
    Case(
        "the node restarted",
        Scene(
            pods=[
                failed(0, 10),
                rank(1, "Failed", pod_reason="NodeRestarted", pod_message="the node started anew"),
            ],
            logs={0: COMPLAINS},
        ),
        1,
        Fault.NODE_RESTARTED,
        "was stopped by its node: the node started anew",
    ),
    Case(
        "the node refused the pod",
        Scene(workload=gang(1), pods=[rank(0, "Failed", pod_reason="OutOfnvidia.com/gpu")]),
        0,
        Fault.ADMISSION_REFUSED,
        "OutOfnvidia.com/gpu",
    ),
    Case(
        "the node is not heard from",
        Scene(pods=[rank(0), rank(1)], nodes={"n1": node_that_is("n1", "Unknown", since=5)}),
        1,
        Fault.NODE_LOST,
        "is lost: its node is not ready since 00:00:05 UTC",
    ),
    Case(
        "the node object is gone",
        Scene(pods=[rank(0), rank(1)], absent=["n0"]),
        0,
        Fault.NODE_LOST,
        "is lost",
    ),
    Case(
        "the node and with it the pod object are gone",
        Scene(pods=[rank(0)], absent=["n1"]),
        1,
        Fault.NODE_LOST,
        "rank 1 (job-node-0-1 on n1) is lost",
    ),
    Case(
        "a pod is being deleted",
        Scene(pods=[rank(0), deleted(rank(1), 10)]),
        1,
        Fault.POD_DELETED,
        "rank 1 (job-node-0-1 on n1) was deleted while the attempt ran",
    ),
    Case(
        "a pod is gone",
        Scene(pods=[rank(0)]),
        1,
        Fault.POD_DELETED,
        "was deleted while the attempt ran",
    ),
    Case(
        "a pod that failed before it was deleted failed by itself",
        Scene(pods=[rank(0), deleted(failed(1, 10), 12)], logs={1: RAISES}),
        1,
        Fault.PROGRAM_ERROR,
        "ValueError: bad shape",
    ),
    Case(
        "SIGTERM from nobody here",
        Scene(workload=gang(1), pods=[failed(0, 10, 143)]),
        0,
        Fault.TERMINATED,
        "was ended by SIGTERM",
    ),
]


def judged(scene: Scene) -> Cause:
    found = first_cause(scene.reports(at(60)), at(60))
    assert found is not None
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdict(case: Case) -> None:
    found = judged(case.scene)
    assert (found.report.index, found.fault) == (case.rank, case.fault), found.message
    assert case.words in found.message


@pytest.mark.parametrize(
    ("what", "scene"),
    [
        ("all run", Scene(pods=[rank(0), rank(1)])),
        ("some are done", Scene(pods=[rank(0, "Succeeded"), rank(1)])),
        ("a done rank on a lost node", Scene(pods=[rank(0, "Succeeded"), rank(1)], absent=["n0"])),
        (
            "a node that was not ready for a moment",
            Scene(pods=[rank(0), rank(1)], nodes={"n1": node_that_is("n1", "False", since=59)}),
        ),
        ("pods of an earlier attempt failed", Scene(workload=gang(attempt=1), pods=[])),
    ],
)
def test_no_failure(what: str, scene: Scene) -> None:
    if scene.workload.status.requeue_state is not None:
        created = scene.workload.status.conditions
        waiting = [one for one in created if one.type != "PodsReady"]
        scene.workload = replace(scene.workload, status=replace(scene.workload.status, conditions=waiting))
        scene.pods = [failed(0, attempt=0)]
    assert first_cause(scene.reports(at(60)), at(60)) is None, what


def test_the_global_rank_of_the_log_is_named_where_a_pod_has_several() -> None:
    scene = Scene(workload=gang(1), pods=[failed(0)], logs={0: stamped(outputs.INTERLEAVED, 10)})
    assert judged(scene).message.startswith("rank 3 (job-node-0-0 on n0)")


def test_every_fault_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Fault)


@pytest.mark.parametrize(
    ("text", "consequence"),
    [
        ("ConnectionRefusedError: [Errno 111] Connection refused", None),
        ("RuntimeError: gloo: Connection refused", True),
        ("torch.distributed.DistNetworkError: The client socket has timed out after 600000ms", True),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", False),
        ("OSError: [Errno 28] No space left on device", False),
        ("ValueError: bad shape", None),
    ],
)
def test_a_programs_own_trouble_is_not_taken_for_a_lost_peer(text: str, consequence: bool | None) -> None:
    found = meaning_of(text)
    assert (None if found is None else not is_cause(found)) == consequence
