"""Replays of the GPU trace: the protocol, the baselines, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from springtide.scheduling.policies import find_policy
from springtide.simulation.openb import (
    MILLI,
    TraceError,
    TraceNode,
    TracePod,
    arrivals,
    load_nodes,
    load_pods,
    replay,
)

NODES = [TraceNode(f"n{index}", 64_000, 262_144, 4, "T4" if index % 3 else "G2") for index in range(12)]
PODS = [
    *[TracePod(3_000, 5_600, 1, 810, ())] * 6,
    *[TracePod(8_000, 30_517, 1, 470, ())] * 5,
    *[TracePod(11_000, 49_152, 1, 1000, ())] * 9,
    *[TracePod(4_000, 8_192, 2, 1000, ("G2",))] * 2,
    *[TracePod(12_000, 16_384, 0, 0, ())] * 3,
]
CAPACITY = sum(node.gpus for node in NODES) * MILLI


@pytest.mark.parametrize("factor", [0.2, 1.0, 1.3])
def test_pods_come_until_they_ask_for_what_is_said(factor: float) -> None:
    coming = arrivals(PODS, CAPACITY, factor, seed=7)
    wanted = sum(pod.wanted for pod in coming)
    assert factor * CAPACITY - 2 * MILLI <= wanted <= factor * CAPACITY
    assert coming == arrivals(PODS, CAPACITY, factor, seed=7)
    assert coming != arrivals(PODS, CAPACITY, factor, seed=8)


@pytest.mark.parametrize(
    "policy", ["fragments", "best-fit", "fgd", "least-waste", "packing", "random", "spread"]
)
def test_a_replay_is_the_same_for_the_same_seed_and_within_capacity(policy: str) -> None:
    first, again = (replay(NODES, PODS, find_policy(policy), seed=42) for _ in range(2))
    assert first.placed == again.placed
    assert first.allocation_percent == again.allocation_percent
    assert 50 < first.allocation_percent <= 100
    assert first.allocation_percent_at_capacity <= first.allocation_percent
    assert len(first.decision_us) == first.pods


def test_the_default_wastes_less_than_chance() -> None:
    def mean(policy: str) -> float:
        return sum(replay(NODES, PODS, find_policy(policy), seed=s).allocation_percent for s in range(5)) / 5

    assert mean("fragments") > mean("random")


def test_a_backlog_is_placed_better_than_one_after_another() -> None:
    policy = find_policy("fragments")
    online = sum(replay(NODES, PODS, policy, seed=seed).allocation_percent for seed in range(5))
    backlog = sum(
        replay(NODES, PODS, policy, seed=seed, backlog=True).allocation_percent for seed in range(5)
    )
    assert backlog >= online


def test_the_files_of_the_trace_are_read(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\na,64000,262144,2,P100\nb,96000,1024,0,\n")
    pods.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np,6000,12288,1,460,\nq,1,2,2,1000,P100|T4\nr,3,4,0,0,\n"
    )
    assert load_nodes(nodes) == [TraceNode("a", 64000, 262144, 2, "P100"), TraceNode("b", 96000, 1024, 0, "")]
    assert load_pods(pods) == [
        TracePod(6000, 12288, 1, 460, ()),
        TracePod(1, 2, 2, 1000, ("P100", "T4")),
        TracePod(3, 4, 0, 0, ()),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,cpu_milli\np,1\n", "no column memory_mib, num_gpu, gpu_milli"),
        (
            "cpu_milli,memory_mib,num_gpu,gpu_milli\n1,2,one,3\n",
            "pods.csv:2: num_gpu: 'one' is not a whole number",
        ),
        ("cpu_milli,memory_mib,num_gpu,gpu_milli\n1,-2,1,3\n", "pods.csv:2: memory_mib: '-2'"),
        ("", "no column"),
    ],
    ids=["columns", "no number", "negative", "empty"],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "pods.csv"
    path.write_text(text)
    with pytest.raises(TraceError, match=said):
        load_pods(path)
