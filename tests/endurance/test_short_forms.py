"""The long proofs in short: enough to notice when something breaks, or a checker goes blind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from springtide.store import Record, SqliteLog, WriteFailed
from springtide.store.database import COMPACTED, set_fact
from tests.careless import leaves_connections
from tests.endurance import fuzz, histories, hostile, kills, powerloss, soak
from tests.endurance.fuzz_victim import Victim
from tests.endurance.planted import PLANTED


def test_histories_are_linearizable_and_watches_tell_everything_in_order() -> None:
    wrong, counted = histories.check(range(1, 13))
    assert wrong == {}
    assert counted["watches told 410"] > 0
    assert counted["operations unknown"] > 0


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found(defect: str) -> None:
    runs, _ = histories.find(defect, first_seed=1)
    assert runs, "no run found it: the checker is blind to it"


def power_lost(folder: Path) -> list[str]:
    wrong, _ = asyncio.run(powerloss.check(seed=1, cuts=60, root=folder, writes=500))
    return wrong


def test_a_power_failure_in_mid_commit_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert power_lost(tmp_path) == []


def test_rows_deleted_before_history_is_said_to_be_shorter_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, forgotten = SqliteLog._forget, SqliteLog._forgotten

    def planted(self: SqliteLog, count: int) -> int:
        held, self._compacted = self._compacted, None
        deleted = forget(self, count)
        self._compacted = held
        return deleted

    def late(self: SqliteLog, count: int) -> None:
        if self._compacted is not None:
            set_fact(self._database, COMPACTED, self._compacted)
        forgotten(self, count)

    monkeypatch.setattr(SqliteLog, "_forget", planted)
    monkeypatch.setattr(SqliteLog, "_forgotten", late)
    assert any("history with gaps" in one for one in power_lost(tmp_path))


def test_a_group_of_writes_committed_in_two_halves_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SqliteLog._commit

    def planted(self: SqliteLog, records: list[Record]) -> WriteFailed | None:
        half = len(records) // 2
        if half:
            commit(self, records[:half])
        return commit(self, records[half:])

    monkeypatch.setattr(SqliteLog, "_commit", planted)
    assert any("middle of a commit" in one for one in power_lost(tmp_path))


def test_a_commit_is_synced_before_it_is_reported(tmp_path: Path) -> None:
    """A file that is read back at once tells nothing of that, so the database is asked what it does."""
    log = SqliteLog(tmp_path)
    assert log._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert log._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    log.close()


def test_a_server_that_is_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    wrong, counted = asyncio.run(kills.check(seed=3, kills=4, folder=tmp_path / "data"))
    assert wrong == []
    assert counted["operations ok"] > 0


def test_a_small_cluster_is_soaked_for_two_minutes() -> None:
    size = soak.Size(nodes=20, pods=100, watchers=10, seconds=120, changes_a_second=10, samples=4)
    found = soak.rows(soak.simulate(1, size), http=False)
    counted = found[1]
    assert counted["events"] > 1000
    assert counted["answers 200"] > 500
    assert {row["verb"] for row in found if "verb" in row} >= {"create pod", "patch pod status", "delete pod"}


@leaves_connections
def test_a_server_that_is_sent_nonsense_answers_and_keeps_what_it_has(tmp_path: Path) -> None:
    wrong, counted = fuzz.run(requests=2000, seed=11, folder=tmp_path / "data")
    assert wrong == []
    assert counted["answers"]["200"] > 200, "hardly any request was good enough to come far"
    assert counted["calm_requests"] > 0


@leaves_connections
def test_a_server_that_is_attacked_answers_others(tmp_path: Path) -> None:
    victim = Victim(tmp_path / "data")
    victim.start()
    try:
        rows = asyncio.run(
            hostile.play(victim, ["deep bodies", "yaml bombs", "odd numbers", "resets", "garbage"])
        )
    finally:
        victim.kill()
    assert [row["wrong"] for row in rows] == [[]] * 5
