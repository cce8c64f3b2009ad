"""`apply` and `delete`: what is reported, what is refused, and that nothing is done halfway in silence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from springtide.api.core import ConfigMap
from springtide.api.meta import ObjectMeta
from springtide.api.trainer import TrainJob
from springtide.client import Client
from tests.cli.scene import Scene, plain_scene, trainjob

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: '%s'}\n"
JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: digits}
spec:
  runtimeRef: {name: plain}
  trainer: {numNodes: 2}
"""


def test_created_configured_unchanged() -> None:
    scene = plain_scene()
    for value, outcome in (("1", "created"), ("1", "unchanged"), ("2", "configured")):
        result = scene.run("apply", "-f", "-", stdin=CONFIG % ("a", value))
        assert result.stdout == f"configmap/a {outcome}\n"
        assert result.exit_code == 0


def test_a_field_left_out_is_removed() -> None:
    scene = plain_scene()
    scene.run("apply", "-f", "-", stdin=CONFIG % ("a", "1"))
    scene.run("apply", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert "\ndata:" not in scene.run("get", "cm", "a", "-o", "yaml").stdout


def test_a_dry_run_changes_nothing() -> None:
    scene = plain_scene()
    assert (
        scene.run("apply", "-f", "-", "--dry-run", stdin=CONFIG % ("a", "1")).stdout
        == "configmap/a created (dry run)\n"
    )
    assert scene.run("get", "cm", "a").exit_code == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("numNodes: 2", "numNode: 2", "spec.trainer.numNode"),
        ("numNodes: 2", "numNodes: two", "spec.trainer.numNodes"),
        ("kind: TrainJob", "kind: TrainJobs", "no kind 'TrainJobs'"),
        ("name: digits", "name: Digits_1", "Digits_1"),
        ("{name: digits}", "{labels: {}}", "field metadata.name is missing"),
        ("{name: digits}", "{name: digits, namespace: nowhere}", "nowhere"),
    ],
)
def test_a_refusal_names_place_field_and_way_out(old: str, new: str, expected: str) -> None:
    result = Scene().run("apply", "-f", "-", stdin=JOB.replace(old, new))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: stdin:1:2: ")
    assert expected in result.stderr
    assert "\n\nhint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_one_refused_document_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(
        (CONFIG % ("a", 1)) + "---\n" + JOB.replace("numNodes", "n") + "---\n" + (CONFIG % ("b", 1))
    )
    result = Scene().run("apply", "-f", str(path))
    assert result.stdout == "configmap/a created\nconfigmap/b created\n"
    assert result.exit_code == 1
    assert f"{path}:2:" in result.stderr


def test_fields_of_another_manager_are_taken_over_only_by_force() -> None:
    async def other(client: Client) -> None:
        await client.with_manager("other").apply(ConfigMap, "a", "default", {"data": {"a": "theirs"}})

    scene = plain_scene().do(other)
    refused = scene.run("apply", "-f", "-", stdin=CONFIG % ("a", "ours"))
    assert refused.exit_code == 1
    assert "data.a" in refused.stderr
    assert "--force-conflicts" in refused.stderr
    assert scene.run("apply", "-f", "-", "--force-conflicts", stdin=CONFIG % ("a", "ours")).exit_code == 0


def test_a_kind_may_be_created_in_the_same_file() -> None:
    crd = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kites.toys.example.com}
spec:
  group: toys.example.com
  scope: Namespaced
  names: {plural: kites, singular: kite, kind: Kite}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
    kite = "apiVersion: toys.example.com/v1\nkind: Kite\nmetadata: {name: red}\n---\n"
    result = plain_scene().run("apply", "-f", "-", stdin=kite + crd)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "kite.toys.example.com/red created"


def test_delete_by_name_and_again() -> None:
    scene = Scene().given(trainjob("digits"))
    deleted = scene.run("delete", "trainjob", "digits")
    assert deleted.stdout == "trainjob.trainer.kubeflow.org/digits deleted\n"
    again = scene.run("delete", "trainjob", "digits")
    assert again.exit_code == 1
    assert "not found" in again.stderr
    assert scene.run("delete", "trainjob/digits", "--ignore-not-found").exit_code == 0


def test_delete_what_a_file_says() -> None:
    scene = Scene().given(trainjob("digits"))
    assert scene.run("delete", "-f", "-", stdin=JOB).exit_code == 0
    assert scene.run("get", "trainjob", "digits").exit_code == 1


def test_delete_by_label_leaves_the_others() -> None:
    labelled = ConfigMap(metadata=ObjectMeta(name="a", namespace="default", labels={"x": "y"}))
    plain = ConfigMap(metadata=ObjectMeta(name="b", namespace="default"))
    scene = plain_scene().given(labelled, plain)
    scene.run("delete", "cm", "-l", "x=y")
    assert scene.run("get", "cm", "-o", "name").stdout == "configmap/b\n"


def test_delete_waits_for_finalizers() -> None:
    held = trainjob("digits")
    held.metadata.finalizers.append("example.com/hold")

    async def release(client: Client) -> None:
        await asyncio.sleep(5)
        await client.patch(TrainJob, "digits", "default", {"metadata": {"finalizers": None}})

    scene = Scene().given(held).meanwhile(release)
    assert scene.run("delete", "trainjob", "digits").exit_code == 0
    assert scene.run("get", "trainjob", "digits").exit_code == 1


def test_delete_that_takes_too_long_says_what_to_look_at() -> None:
    held = trainjob("digits")
    held.metadata.finalizers.append("example.com/hold")
    result = Scene().given(held).run("delete", "trainjob", "digits", "--timeout", "3")
    assert result.exit_code == 1
    assert "still there after 3 s: trainjob.trainer.kubeflow.org/digits" in result.stderr
    assert "finalizer" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("pods",), ("pods", "a", "--all"), ("pod/a", "b")])
def test_delete_wants_to_know_what(arguments: tuple[str, ...]) -> None:
    assert plain_scene().run("delete", *arguments).exit_code == 2
