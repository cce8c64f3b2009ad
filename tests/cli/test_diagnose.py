"""`springtide diagnose`: an incident in words, and a verdict on lines of logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from springtide.api import labels
from springtide.api.meta import ObjectMeta
from springtide.api.springtide import Diagnosis, DiagnosisSpec, Evidence
from springtide.cli.diagnose_lines import parse_rows
from springtide.cli.diagnosis_text import in_words
from springtide.cli.errors import CliError
from springtide.cli.root import root
from tests.builders import at
from tests.cli.scene import Scene

XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def diagnosis(attempt: int = 0, **spec: Any) -> Diagnosis:
    told = {
        "workload": "trainjob-digits",
        "attempt": attempt,
        "rank": 1,
        "node": "n1",
        "pod": "digits-node-0-1",
        "fault_class": "GpuOffBus",
        "blame": "node",
        "action": "cordon_evict",
        "confidence": 0.99,
        "message": "rank 1 (digits-node-0-1 on n1): the GPU has fallen off the bus",
        "signature": "xid_79_gpu_off_bus",
        "device": "0000:a1:00",
        "happened_at": at(10),
        "detected_at": at(12.5),
        "next_step": "Nothing for the job.",
        "evidence": [Evidence(source="kernel:n1", line=XID, time=at(10))],
        "stack": ["all_reduce (distributed.py:12)"],
    }
    meta = ObjectMeta(
        name=f"trainjob-digits-{attempt}",
        namespace="default",
        labels={labels.WORKLOAD: "trainjob-digits"},
    )
    return Diagnosis(metadata=meta, spec=DiagnosisSpec(**{**told, **spec}))


def run(*args: str, **more: Any) -> Any:
    return CliRunner().invoke(root, ["diagnose", *args], **more)


def test_the_newest_incident_of_a_job_is_told_in_words() -> None:
    scene = Scene()
    scene.given(diagnosis(0, fault_class="Killed"), diagnosis(1))
    shown = scene.run("diagnose", "digits").output
    for words in (
        "GpuOffBus: rank 1 (digits-node-0-1 on n1)",
        "node (sure, 0.99)",
        "cordon_evict: the node is taken out of service",
        "rank 1, pod digits-node-0-1, node n1, device 0000:a1:00",
        "found 2.5 s later",
        XID,
        "kernel:n1",
        "all_reduce (distributed.py:12)",
        "1 earlier: --all shows them",
    ):
        assert words in shown
    assert "Killed" not in shown
    assert "Killed" in scene.run("diagnose", "digits", "--all").output


def test_the_incidents_of_a_node_as_json() -> None:
    scene = Scene()
    scene.given(diagnosis(0), diagnosis(1, node="n2"))
    found = json.loads(scene.run("diagnose", "--node", "n2", "-o", "json").output)
    assert [one["metadata"]["name"] for one in found["items"]] == ["trainjob-digits-1"]


def test_a_job_without_an_incident_is_said() -> None:
    scene = Scene()
    result = scene.run("diagnose", "digits")
    assert "there is no Diagnosis of 'digits'" in result.stderr


def test_a_verdict_on_consequences_says_so() -> None:
    assert "only consequences were seen" in in_words(diagnosis(secondary=True))


def test_rows_come_back_whole_with_our_verdict_in_them(tmp_path: Path) -> None:
    rows = [
        {"line": XID, "context": "", "why": "kept", "label": "theirs", "blame": "program"},
        {"line": "nothing to see", "context": ["a", "b"]},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    result = run("--lines", str(file), "-o", "jsonl")
    first, second = [json.loads(text) for text in result.output.splitlines()]
    assert list(first)[:5] == ["line", "context", "why", "label", "blame"]
    assert (first["label"], first["blame"], first["action"], first["secondary"], first["why"]) == (
        "xid_79_gpu_off_bus",
        "node",
        "cordon_evict",
        "no",
        "kept",
    )
    assert (second["label"], second["blame"], second["action"]) == ("unknown", "unknown", "ignore")
    assert second["context"] == ["a", "b"]


def test_standard_input_is_read_for_a_dash() -> None:
    result = run("--lines", "-", input=json.dumps({"line": XID}) + "\n")
    assert json.loads(result.output)["blame"] == "node"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"rows, line 2: is no JSON"),
        ("[]", r"rows, line 2: is a list, not an object"),
        ('{"context": ""}', r"rows, line 2: field `line` is missing"),
        ('{"line": 3}', r"rows, line 2: field `line` is a number"),
        ('{"line": "x", "context": [1]}', r"rows, line 2: field `context` is a list"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_field(text: str, words: str) -> None:
    with pytest.raises(CliError, match=words):
        list(parse_rows(['{"line": "good"}', text], "rows"))


def test_exactly_one_question_is_asked() -> None:
    for args in ((), ("digits", "--node", "n1"), ("--lines", "-", "--node", "n1")):
        assert "exactly one" in run(*args).stderr
