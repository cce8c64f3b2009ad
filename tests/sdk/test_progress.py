"""Progress reports: what reaches the file, how often, and that trouble never reaches the training code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from springtide import sdk
from springtide.sdk import progress
from springtide.sdk.progress import _Reporter


class Hands:
    """A clock one turns by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, hands: Hands) -> Callable[..., None]:
    """`sdk.report` of a process that has just started."""
    for name in ("RANK", "LOCAL_RANK", "JOB_COMPLETION_INDEX", "SPRINGTIDE_PROGRESS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(progress, "_reporter", _Reporter(clock=hands, wall=lambda: 0.0))
    return sdk.report


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Callable[..., None]) -> Path:
    path = tmp_path / "progress.json"
    monkeypatch.setenv("SPRINGTIDE_PROGRESS_FILE", str(path))
    return path


def written(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def test_a_report_is_the_annotation_the_platform_reads(file: Path, report: Callable[..., None]) -> None:
    report(step=3, total=4, metrics={"loss": 0.25, "epoch": 3, "phase": "warm"}, remaining_seconds=8.4)
    assert written(file) == {
        "progressPercentage": 75,
        "estimatedRemainingSeconds": 8,
        "metrics": [
            {"name": "loss", "value": "0.25"},
            {"name": "epoch", "value": "3"},
            {"name": "phase", "value": "warm"},
        ],
        "time": "1970-01-01T00:00:00Z",
    }
    assert list(file.parent.iterdir()) == [file], "nothing is left beside it"


def test_what_is_left_out_keeps_its_last_value(file: Path, report: Callable[..., None], hands: Hands) -> None:
    report(progress=0.5, metrics={"loss": 1.0})
    hands.now += 1
    report(metrics={"accuracy": 0.9})
    document = written(file)
    assert document["progressPercentage"] == 50
    assert {one["name"]: one["value"] for one in document["metrics"]} == {"loss": "1", "accuracy": "0.9"}


def test_remaining_time_follows_the_pace_since_the_first_report(
    file: Path, report: Callable[..., None], hands: Hands
) -> None:
    report(progress=0.2)
    assert "estimatedRemainingSeconds" not in written(file)
    hands.now += 10
    report(progress=0.4)
    assert written(file)["estimatedRemainingSeconds"] == 30


def test_at_most_two_writes_a_second_but_the_last_report_counts(
    file: Path, report: Callable[..., None], hands: Hands
) -> None:
    report(progress=0.1)
    hands.now += 0.1
    report(progress=0.2)
    assert written(file)["progressPercentage"] == 10
    progress._reporter.flush()
    assert written(file)["progressPercentage"] == 20
    report(progress=1.0)
    assert written(file)["progressPercentage"] == 100, "the end is written at once"


@pytest.mark.parametrize(("value", "percent"), [(-1.0, 0), (2.0, 100), (0.999, 99)])
def test_progress_stays_within_bounds(
    file: Path, report: Callable[..., None], value: float, percent: int
) -> None:
    report(progress=value)
    assert written(file)["progressPercentage"] == percent


def test_only_the_first_process_of_a_pod_reports(
    file: Path, report: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    report(progress=0.5)
    assert not file.exists()


@pytest.mark.parametrize(("rank", "printed"), [("0", "progress: 50%, loss 0.1\n"), ("1", "")])
def test_outside_springtide_rank_0_prints_a_line(
    report: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: str,
    printed: str,
) -> None:
    monkeypatch.setenv("RANK", rank)
    report(progress=0.5, metrics={"loss": 0.1})
    assert capsys.readouterr().out == printed


def test_trouble_with_reporting_is_said_once_and_never_raised(
    report: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SPRINGTIDE_PROGRESS_FILE", str(tmp_path / "no" / "such" / "folder" / "f"))
    report(progress=0.5)
    report(progress=1.0)
    report(step="three", total=object())
    error = capsys.readouterr().err
    assert error.count("springtide.sdk") == 1
    assert "FileNotFoundError" in error


def test_a_program_that_ends_right_after_its_report_has_reported(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    program = "from springtide import sdk; sdk.report(progress=0.1); sdk.report(progress=0.6)"
    subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "SPRINGTIDE_PROGRESS_FILE": str(file)}, check=True
    )
    assert written(file)["progressPercentage"] == 60


def test_importing_the_sdk_imports_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import springtide.sdk; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, env=_with_source()
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "springtide.sdk" in loaded
    assert not loaded & {
        "asyncio",
        "json",
        "logging",
        "msgspec",
        "numpy",
        "pathlib",
        "re",
        "tempfile",
        "typing",
    }


def _with_source() -> dict[str, str]:
    source = Path(sdk.__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(source)}


def test_a_saved_checkpoint_is_told(
    file: Path, report: Callable[..., None], hands: Hands, tmp_path: Path
) -> None:
    report(progress=0.5)
    assert "checkpointTime" not in written(file)
    hands.now += 10
    sdk.save_atomic(tmp_path / "epoch-1.pt", lambda out: out.write(b"state"))
    assert written(file)["checkpointTime"] == "1970-01-01T00:00:00Z"
    assert written(file)["progressPercentage"] == 50, "what was reported before is kept"


def test_code_with_its_own_way_to_save_says_so(file: Path, report: Callable[..., None]) -> None:
    report(progress=0.5, checkpointed=True)
    assert written(file)["checkpointTime"] == "1970-01-01T00:00:00Z"


def test_outside_the_platform_a_checkpoint_prints_nothing(
    report: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sdk.save_atomic(tmp_path / "epoch-1.pt", lambda out: out.write(b"state"))
    assert capsys.readouterr().out == ""
