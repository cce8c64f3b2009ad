"""`get`: any kind in the server's columns, as data, and while it changes."""

from __future__ import annotations

import asyncio
import json

import pytest
import yaml

from springtide.api.core import ConfigMap
from springtide.api.meta import ObjectMeta
from springtide.client import Client
from tests.cli.scene import Scene, plain_scene, trainjob


def config(name: str, **labels: str) -> ConfigMap:
    return ConfigMap(
        metadata=ObjectMeta(name=name, namespace="default", labels=labels), data={"text": "a\nb\n"}
    )


def test_a_custom_kind_is_listed_in_the_columns_of_its_crd() -> None:
    result = Scene().given(trainjob("digits"), trainjob("letters")).run("get", "trainjobs")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] == "NAME"
    assert [line.split()[0] for line in lines[1:]] == ["digits", "letters"]


@pytest.mark.parametrize("kind", ["configmaps", "configmap", "cm", "ConfigMap"])
def test_a_kind_goes_by_plural_singular_short_name_and_kind(kind: str) -> None:
    result = plain_scene().given(config("one")).run("get", kind, "one", "-o", "name")
    assert result.stdout == "configmap/one\n"


def test_an_unknown_kind_names_the_nearest() -> None:
    result = Scene().run("get", "trainjob5")
    assert result.exit_code == 1
    assert "did you mean" in result.stderr
    assert "\n\nhint: " in result.stderr


def test_json_and_yaml_are_the_object_without_managed_fields() -> None:
    scene = plain_scene().given(config("one"))
    as_json = json.loads(scene.run("get", "configmap", "one", "-o", "json").stdout)
    text = scene.run("get", "configmap/one", "-o", "yaml").stdout
    assert as_json["data"] == {"text": "a\nb\n"}
    assert as_json["kind"] == "ConfigMap"
    assert "managedFields" not in as_json["metadata"]
    assert yaml.safe_load(text)["data"] == as_json["data"]
    assert "text: |" in text


def test_several_objects_come_as_a_list() -> None:
    listed = json.loads(
        plain_scene().given(config("a"), config("b")).run("get", "cm", "a", "b", "-o", "json").stdout
    )
    assert listed["kind"] == "List"
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]


def test_selectors_choose() -> None:
    scene = plain_scene().given(config("a", team="red"), config("b", team="blue"))
    assert scene.run("get", "cm", "-l", "team=red", "-o", "name").stdout == "configmap/a\n"
    assert (
        scene.run("get", "cm", "--field-selector", "metadata.name=b", "-o", "name").stdout == "configmap/b\n"
    )


def test_all_namespaces_have_a_column() -> None:
    result = plain_scene().given(config("a")).run("get", "cm", "-A")
    assert result.stdout.splitlines()[0].split()[:2] == ["NAMESPACE", "NAME"]


def test_nothing_found_says_so_on_stderr_only() -> None:
    result = plain_scene().run("get", "pods", "-n", "elsewhere")
    assert result.stdout == ""
    assert result.stderr == "no pods found in namespace elsewhere\n"
    assert result.exit_code == 0


def test_a_missing_object_is_an_error() -> None:
    result = plain_scene().run("get", "pod", "nobody")
    assert result.exit_code == 1
    assert 'pods "nobody" not found' in result.stderr


@pytest.mark.parametrize("output", ["", "json"])
def test_a_watch_prints_changes_until_interrupted(output: str) -> None:
    async def changes(client: Client) -> None:
        await asyncio.sleep(1)
        await client.create(config("second"))
        await asyncio.sleep(1)
        raise KeyboardInterrupt

    scene = plain_scene().given(config("first")).meanwhile(changes)
    result = scene.run("get", "cm", "-w", *(["-o", output] if output else []))
    assert result.exit_code == 130
    assert "second" in result.stdout


def test_several_kinds_at_once() -> None:
    result = Scene().given(config("a"), trainjob("b")).run("get", "cm,trainjobs")
    assert [line.split()[0] for line in result.stdout.splitlines() if line] == ["NAME", "a", "NAME", "b"]
    assert plain_scene().run("get", "cm,pods", "-w").exit_code == 2


def test_global_options_may_stand_before_the_command() -> None:
    result = plain_scene().run("-n", "elsewhere", "get", "pods")
    assert "namespace elsewhere" in result.stderr
