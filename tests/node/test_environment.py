"""Environment, command and arguments, as Kubernetes computes them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from springtide.api.core import ConfigMap, Pod, Secret
from springtide.api.struct import decode, replace
from springtide.node.environment import (
    Sources,
    Unresolvable,
    argv,
    base_environment,
    container_environment,
    expand,
)

EXPANSIONS = [
    ("plain", "plain"),
    ("$(A)", "1"),
    ("$(A)$(B)-$(A)", "12-1"),
    ("$$(A)", "$(A)"),
    ("$$$(A)", "$1"),
    ("$$$$(A)", "$$(A)"),
    ("$(MISSING)", "$(MISSING)"),
    ("$A", "$A"),
    ("$(A", "$(A"),
    ("$(", "$("),
    ("cost: $5", "cost: $5"),
    ("trailing $", "trailing $"),
    ("$()", "$()"),
    ("$(A)B)", "1B)"),
    ("$($(A))", "$($(A))"),
    ("a$$b", "a$b"),
]


@pytest.mark.parametrize(("text", "expected"), EXPANSIONS)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def pod(container: dict[str, Any]) -> Pod:
    return decode(
        Pod,
        {
            "metadata": {
                "name": "job-node-0-1",
                "namespace": "team",
                "uid": "u-1",
                "labels": {"app": "x", "tier/name": "y"},
                "annotations": {"batch.kubernetes.io/job-completion-index": "7", "multi": 'a"b\nc'},
            },
            "spec": {
                "nodeName": "here",
                "containers": [{"name": "main", "command": ["run"], **container}, {"name": "other"}],
            },
        },
    )


SOURCES = Sources(
    config_maps={"settings": ConfigMap(data={"mode": "fast", "level": "3"})},
    secrets={"keys": Secret(data={"token": base64.b64encode(b"s3cret").decode()})},
    allocatable={"cpu": "4", "memory": "8Gi"},
    pod_ip="127.77.1.1",
    host_ip="127.0.0.1",
)


def environment(**container: Any) -> dict[str, str]:
    one = pod(container)
    return container_environment(one, one.spec.containers[0], SOURCES)


def field(path: str) -> dict[str, Any]:
    return {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}


FIELDS = [
    ("metadata.name", "job-node-0-1"),
    ("metadata.namespace", "team"),
    ("metadata.uid", "u-1"),
    ("metadata.labels['app']", "x"),
    ("metadata.labels['tier/name']", "y"),
    ("metadata.labels['absent']", ""),
    ("metadata.annotations['batch.kubernetes.io/job-completion-index']", "7"),
    ("metadata.labels", 'app="x"\ntier/name="y"'),
    ("spec.nodeName", "here"),
    ("spec.serviceAccountName", "default"),
    ("status.podIP", "127.77.1.1"),
    ("status.hostIP", "127.0.0.1"),
]


@pytest.mark.parametrize(("path", "expected"), FIELDS)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    assert environment(env=[field(path)]) == {"X": expected}


def test_a_field_that_is_not_offered_names_those_that_are() -> None:
    with pytest.raises(Unresolvable, match=r"'spec.priority' is not supported: use one of metadata.name"):
        environment(env=[field("spec.priority")])


def test_variables_see_those_before_them_but_not_env_from() -> None:
    found = environment(
        envFrom=[{"prefix": "CM_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}],
        env=[
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)$(C)$(CM_mode)"},
            {"name": "C", "value": "$(B)"},
            {"name": "token", "value": "own"},
        ],
    )
    assert found == {
        "CM_mode": "fast",
        "CM_level": "3",
        "A": "1",
        "B": "1$(C)$(CM_mode)",
        "C": "1$(C)$(CM_mode)",
        "token": "own",
    }


def reference(kind: str, name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key, **more}}}


def test_keys_of_config_maps_and_secrets() -> None:
    assert environment(env=[reference("configMap", "settings", "mode")]) == {"X": "fast"}
    assert environment(env=[reference("secret", "keys", "token")]) == {"X": "s3cret"}
    assert environment(env=[reference("configMap", "absent", "mode", optional=True)]) == {}
    assert environment(env=[reference("secret", "keys", "absent", optional=True)]) == {}


MISSING = [
    ({"env": [reference("configMap", "absent", "mode")]}, 'configmap "absent" not found in namespace "team"'),
    (
        {"env": [reference("configMap", "settings", "absent")]},
        'key "absent" not found in configmap "settings"',
    ),
    ({"env": [reference("secret", "keys", "absent")]}, 'key "absent" not found in secret "keys"'),
    ({"envFrom": [{"secretRef": {"name": "absent"}}]}, 'secret "absent" not found in namespace "team"'),
]


@pytest.mark.parametrize(("container", "message"), MISSING)
def test_what_is_missing_is_named(container: dict[str, Any], message: str) -> None:
    with pytest.raises(Unresolvable) as error:
        environment(**container)
    assert str(error.value) == message


RESOURCES = [
    ("limits.cpu", "", "2"),
    ("requests.cpu", "", "1"),
    ("requests.cpu", "1m", "500"),
    ("limits.memory", "", str(8 << 30)),
    ("limits.memory", "1Gi", "8"),
    ("requests.memory", "1Mi", "1024"),
]


@pytest.mark.parametrize(("resource", "divisor", "expected"), RESOURCES)
def test_resources(resource: str, divisor: str, expected: str) -> None:
    found = environment(
        resources={"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1500m"}},
        env=[{"name": "X", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}],
    )
    assert found == {"X": expected}


def test_commands_see_everything() -> None:
    one = pod({"args": ["--index=$(X)", "$(Y)", "$$(X)"]})
    assert argv(one.spec.containers[0], {"X": "1"}) == ["run", "--index=1", "$(Y)", "$(X)"]


def test_without_a_command_the_field_to_set_is_named() -> None:
    with pytest.raises(Unresolvable, match=r"set spec.containers\[\].command"):
        argv(pod({}).spec.containers[1], {})


def test_the_base_environment_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no")
    found = base_environment(("PATH", "LC_*"))
    assert found["LC_TIME"] == "C"
    assert "AWS_SECRET_ACCESS_KEY" not in found
    assert found["PYTHONUNBUFFERED"] == "1"


@pytest.mark.parametrize(("links", "seen"), [(True, "10.0.0.7:80"), (False, "$(WEB_SERVICE_HOST):80")])
def test_variables_see_the_services_that_the_pod_sees(links: bool, seen: str) -> None:
    made = pod({"env": [{"name": "URL", "value": "$(WEB_SERVICE_HOST):80"}]})
    made = replace(made, spec=replace(made.spec, enable_service_links=links))
    sources = Sources(services={"WEB_SERVICE_HOST": "10.0.0.7"})
    assert container_environment(made, made.spec.containers[0], sources)["URL"] == seen
