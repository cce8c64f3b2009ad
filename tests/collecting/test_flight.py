"""The flight recorder's dumps: how far a rank came, and that a pickle is never trusted."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from springtide.collecting.flight import Flight, describe
from springtide.collecting.flightrecord import BadDump, GroupProgress, read
from springtide.collecting.rounds import Process
from tests.collecting.scripted import POD, UID, Proc, scene


def entry(
    number: int, state: str, group: tuple[str, str] = ("0", "default_pg"), **more: Any
) -> dict[str, Any]:
    return {
        "collective_seq_id": number,
        "process_group": group,
        "profiling_name": "nccl:all_reduce",
        "input_sizes": [[1024]],
        "state": state,
        "is_p2p": False,
    } | more


def dump(*entries: dict[str, Any]) -> bytes:
    return pickle.dumps({"version": "2.10", "entries": list(entries), "pg_config": {}})


STUCK = dump(
    *(entry(number, "completed") for number in range(1, 123)),
    entry(123, "started"),
    entry(124, "scheduled"),
    entry(7, "completed", ("3", "tensor")),
    entry(5, "scheduled", is_p2p=True),
)


def test_how_far_a_rank_came_by_process_group() -> None:
    assert read(STUCK) == (
        GroupProgress("0 default_pg", 124, 122, 123, "nccl:all_reduce [[1024]]", "started"),
        GroupProgress("3 tensor", 7, 7),
    )
    assert describe(3, read(STUCK)[0]) == (
        "flight recorder: rank 3, group 0 default_pg: entered 124, completed 122,"
        " stuck in 123 nccl:all_reduce [[1024]] (started)"
    )


def test_gloo_never_says_completed_of_an_entry_but_counts_them() -> None:
    entries = [entry(number, "scheduled", pg_id=0, retired=True) for number in (1, 2, 3)]
    document = {"entries": entries, "pg_status": {"0": {"last_completed_collective": 2}}}
    assert read(pickle.dumps(document)) == (
        GroupProgress("0 default_pg", 3, 2, 3, "nccl:all_reduce [[1024]]", "scheduled"),
    )


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/springtide-was-here",)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (pickle.dumps(Evil()), "it names posix.system"),
        (b"", "cannot be unpickled"),
        (b"hello", "cannot be unpickled"),
        (STUCK[:-20], "cannot be unpickled"),
        (pickle.dumps([1, 2]), "no list of entries"),
        (pickle.dumps({"entries": {"a": 1}}), "no list of entries"),
    ],
)
def test_what_is_no_dump_is_refused_and_nothing_in_it_runs(data: bytes, why: str) -> None:
    with pytest.raises(BadDump, match=why):
        read(data)


def write(path: Path, data: bytes, at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    moment = scene(at).now.timestamp()
    os.utime(path, (moment, moment))


def test_dumps_are_found_where_the_environment_says_and_read_once(tmp_path: Path) -> None:
    proc = Proc(tmp_path / "proc")
    found = []
    for rank in (3, 4, 5):
        folder = proc.process(10 + rank)
        variables = f"RANK={rank}\0TORCH_NCCL_DEBUG_INFO_TEMP_FILE=/traces/rank_\0"
        (folder / "environ").write_bytes(variables.encode())
        found.append(Process(10 + rank, 100))
    processes = {UID: tuple(found)}
    source = Flight(proc.folder)
    assert source.look(scene(1000, [POD], processes)).seen == ()
    write(proc.folder / "13" / "root" / "traces" / "rank_3", STUCK, 1001)
    write(proc.folder / "14" / "root" / "traces" / "rank_4", dump(entry(120, "completed")), 1001)
    write(proc.folder / "15" / "root" / "traces" / "rank_5", pickle.dumps(Evil()), 1001)
    assert source.look(scene(1001.5, [POD], processes)).seen == (), "it may not be whole"
    now = source.look(scene(1003, [POD], processes))
    assert [one.line.partition(":")[2] for one in now.seen] == [
        f" {describe(3, read(STUCK)[0]).partition(': ')[2]}",
        " rank 3, group 3 tensor: entered 7, completed 7",
        " rank 4, group 0 default_pg: entered 120, completed 120",
    ]
    assert now.activity == {UID: {"collective": 120}}
    assert now.seen[0].time == scene(1001).now
    assert source.look(scene(1006, [POD], processes)).seen == ()


def test_a_folder_of_the_node_is_read_after_the_program_has_ended(tmp_path: Path) -> None:
    proc = Proc(tmp_path / "proc")
    own = tmp_path / "flight"
    (proc.process(10) / "environ").write_bytes(f"RANK=0\0TORCH_FR_DUMP_TEMP_FILE={own}/rank_\0".encode())
    source = Flight(proc.folder)
    source.look(scene(1000, [POD], {UID: (Process(10, 100),)}))
    write(own / "rank_0", STUCK, 1001)
    assert len(source.look(scene(1010, [POD])).seen) == 2


def test_a_dump_of_before_the_pod_was_seen_is_another_jobs(tmp_path: Path) -> None:
    proc = Proc(tmp_path / "proc")
    (proc.process(10) / "environ").write_bytes(b"RANK=0\0TORCH_FR_DUMP_TEMP_FILE=/t/rank_\0")
    write(proc.folder / "10" / "root" / "t" / "rank_0", STUCK, 900)
    assert Flight(proc.folder).look(scene(1000, [POD], {UID: (Process(10, 100),)})).seen == ()


def test_lists_within_lists_and_endless_numbers_are_not_printed() -> None:
    nested: list[Any] = ["x"]
    for _ in range(60):
        nested = [nested, nested]  # a few bytes as a pickle, 2**60 names in print
    found = read(
        dump(
            entry(1, "started", ("0", nested), input_sizes=nested, profiling_name=nested),  # type: ignore[arg-type]
            entry(10**5000, "started"),
            entry(2, nested, ("1", "pp"), pg_id=10**5000),  # type: ignore[arg-type]
        )
    )
    assert found == (
        GroupProgress("0", 1, 0, 1, "unknown [[], []]", "started"),
        GroupProgress("1 pp", 2, 0, 2, "nccl:all_reduce [[1024]]", ""),
    )


def test_processes_that_come_and_go_are_not_remembered(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    source = Flight(proc.folder)
    for pid in range(100, 150):
        (proc.process(pid) / "environ").write_bytes(b"RANK=0\0")
        source.look(scene(1000, processes={UID: (Process(pid, 1),)}))
    assert len(source._known[UID].files) == 1
