"""Manifests: what is read, in which order, and how each mistake is located."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from springtide.cli.errors import CliError
from springtide.cli.manifests import parse, read

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("a: [1\n", "f:1:2", "not valid YAML"),
        ("a: b: c\n", "f:1:1", "not valid YAML"),
        (f"{GOOD}---\nx: 1\ny: }}\n", "f:2:7", "not valid YAML"),
        ("a:\n\t- b\n", "f:1:2", "cannot start any token"),
        (GOOD + "data:\n  x: '1'\n  x: '2'\n", "f:1:7", "key 'x' is given twice, first in line 6"),
        (f"{GOOD}---\n- 1\n", "f:2:6", "an object is a mapping, this is a list"),
        (f"{GOOD}---\nhello\n", "f:2:6", "an object is a mapping, this is text"),
        (f"{GOOD}---\nkind: Pod\nmetadata: {{}}\n", "f:2:6", "field apiVersion is missing"),
        ("\n\napiVersion: v1\nmetadata: {}\n", "f:1:3", "field kind is missing"),
        ("apiVersion: v1\nkind: Pod\n", "f:1:1", "field metadata is missing"),
        ("a: *nothing\n", "f:1:1", "undefined alias"),
    ],
)
def test_mistakes_are_located_by_file_document_and_line(text: str, place: str, what: str) -> None:
    with pytest.raises(CliError) as caught:
        parse(text, "f")
    assert caught.value.message.startswith(f"{place}: ")
    assert what in caught.value.message


def test_text_that_is_not_yaml_is_said_before_anything_about_objects() -> None:
    with pytest.raises(CliError, match="f:2:4: not valid YAML"):
        parse("x: 1\n---\na: 1\nb: }\n", "f")


def test_empty_documents_are_skipped_but_counted() -> None:
    found = parse(f"---\n# nothing\n---\n{GOOD}", "f")
    assert [manifest.place for manifest in found] == ["f:2:4"]


def test_lists_are_taken_apart() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
    assert [(m.kind, m.name) for m in parse(text, "f")] == [("Pod", "a")]


def test_timestamps_stay_text_and_anchors_work() -> None:
    (found,) = parse(GOOD + "data: {a: &x 2026-01-01, b: *x}\n", "f")
    assert found.raw["data"] == {"a": "2026-01-01", "b": "2026-01-01"}


def test_json_is_yaml_too() -> None:
    text = '{"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {"name": "a"}}'
    assert parse(text, "f.json")[0].name == "a"


def test_a_folder_is_read_in_order_namespaces_and_crds_first(tmp_path: Path) -> None:
    (tmp_path / "1.yaml").write_text(GOOD)
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: c}\n"
    (tmp_path / "2.yml").write_text(f"{crd}---\n{namespace}")
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert [m.name for m in read(str(tmp_path), io.StringIO())] == ["n", "c", "a"]


def test_stdin_is_a_dash() -> None:
    assert read("-", io.StringIO(GOOD))[0].place == "stdin:1:1"


@pytest.mark.parametrize(
    ("content", "what"), [(None, "no such file"), (b"", "no objects in it"), (b"\xff\xfe", "not UTF-8")]
)
def test_unusable_files_say_why(content: bytes | None, what: str, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CliError, match=what):
        read(str(path), io.StringIO())


def test_an_empty_folder_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no manifests in this folder"):
        read(str(tmp_path), io.StringIO())
