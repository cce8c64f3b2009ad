"""Schemas: structural where CRDs need it, complete against upstream's names, described throughout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from springtide.api import registered, resource_of, schema
from springtide.api.core import Container, Event, Node, Pod, PodSpec, Service
from springtide.api.crds import custom_kinds
from springtide.api.kueue import Workload
from springtide.api.meta import Object, ObjectMeta
from springtide.api.springtide import Diagnosis
from springtide.api.struct import Struct
from springtide.api.trainer import TrainJob
from tests.api.upstream import UPSTREAM

STRUCTURAL_KEYWORDS = {
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}


def walk(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from walk(node["additionalProperties"], f"{path}{{}}")


def structural_faults(root: dict[str, Any]) -> Iterator[str]:
    """Rules of structural schemas: kubernetes.io, "Specifying a structural schema" and list types."""
    for path, node in walk(root):
        unknown = node.keys() - STRUCTURAL_KEYWORDS
        if unknown:
            yield f"{path}: keywords {sorted(unknown)}"
        untyped = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
        if "type" not in node and not any(node.get(keyword) for keyword in untyped):
            yield f"{path}: no type"
        if "properties" in node and "additionalProperties" in node:
            yield f"{path}: properties and additionalProperties exclude each other"
        if node.get("type") == "array" and "items" not in node:
            yield f"{path}: array without items"
        missing = set(node.get("required", ())) - node.get("properties", {}).keys()
        if missing:
            yield f"{path}: requires undeclared {sorted(missing)}"
        if node.get("x-kubernetes-list-type") == "map":
            yield from map_list_faults(path, node)


def map_list_faults(path: str, node: dict[str, Any]) -> Iterator[str]:
    items = node["items"]
    for key in node["x-kubernetes-list-map-keys"]:
        declared = items.get("properties", {}).get(key)
        if declared is None:
            yield f"{path}: map key {key} is not declared"
        elif key not in items.get("required", ()) and "default" not in declared:
            yield f"{path}: map key {key} is neither required nor defaulted"


@pytest.mark.parametrize("kind", custom_kinds(), ids=lambda kind: kind.__name__)
def test_schema_of_a_custom_kind_is_structural(kind: type[Object]) -> None:
    assert list(structural_faults(schema.structural(kind))) == []


@pytest.mark.parametrize("kind", custom_kinds(), ids=lambda kind: kind.__name__)
def test_root_metadata_is_left_to_the_server(kind: type[Object]) -> None:
    assert schema.structural(kind)["properties"]["metadata"] == {"type": "object"}


@pytest.mark.parametrize("kind", registered(), ids=lambda kind: kind.__name__)
def test_every_field_is_described(kind: type[Object]) -> None:
    undescribed = [
        f"{name}.{field}"
        for name, definition in schema.definitions([kind]).items()
        for field, value in definition.get("properties", {}).items()
        if not value.get("description")
    ]
    assert undescribed == []


@pytest.mark.parametrize("prefix", ["#/definitions/", "#/components/schemas/"])
def test_definitions_refer_only_to_each_other(prefix: str) -> None:
    definitions = schema.definitions(registered(), prefix)
    for name, definition in definitions.items():
        for path, node in walk(definition, name):
            for reference in [node.get("$ref"), *(part.get("$ref") for part in node.get("allOf", ()))]:
                if reference is not None:
                    assert reference.startswith(prefix), path
                    assert reference.removeprefix(prefix) in definitions, path


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Pod, "io.k8s.api.core.v1.Pod"),
        (Container, "io.k8s.api.core.v1.Container"),
        (ObjectMeta, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        (TrainJob, "org.kubeflow.trainer.v1alpha1.TrainJob"),
        (Workload, "io.x-k8s.kueue.v1beta2.Workload"),
        (Diagnosis, "dev.springtide.v1alpha1.Diagnosis"),
    ],
)
def test_definitions_have_kubernetes_names(kind: type[Struct], name: str) -> None:
    assert schema.definition_name(kind) == name


def test_shipped_definitions_are_those_of_the_types() -> None:
    built_in = [kind for kind in registered() if resource_of(kind).builtin]
    assert schema.builtin_definitions() == schema.definitions(built_in)


def test_lists_merge_as_in_kubernetes() -> None:
    definitions = schema.definitions([Pod, Node, Service, Event])
    container = definitions["io.k8s.api.core.v1.Container"]["properties"]
    assert container["ports"]["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert container["ports"]["x-kubernetes-patch-merge-key"] == "containerPort"
    assert container["env"]["x-kubernetes-patch-merge-key"] == "name"
    assert container["volumeMounts"]["x-kubernetes-patch-merge-key"] == "mountPath"
    assert container["command"]["x-kubernetes-list-type"] == "atomic"
    pod = definitions["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert pod["volumes"]["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert pod["tolerations"]["x-kubernetes-list-type"] == "atomic"
    assert pod["nodeSelector"]["x-kubernetes-map-type"] == "atomic"
    metadata = definitions["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert metadata["finalizers"]["x-kubernetes-list-type"] == "set"
    assert metadata["ownerReferences"]["x-kubernetes-list-map-keys"] == ["uid"]


def test_a_kind_says_its_group_version_and_kind() -> None:
    definition = schema.definitions([TrainJob])["org.kubeflow.trainer.v1alpha1.TrainJob"]
    assert definition["x-kubernetes-group-version-kind"] == [
        {"group": "trainer.kubeflow.org", "version": "v1alpha1", "kind": "TrainJob"}
    ]


@pytest.mark.parametrize(
    ("kind", "path", "names"), UPSTREAM, ids=[f"{kind.__name__}{path}" for kind, path, _ in UPSTREAM]
)
def test_fields_are_those_of_upstream(kind: type[Object], path: str, names: str) -> None:
    node = dict(walk(schema.structural(kind)))[path]
    assert sorted(node["properties"]) == sorted(names.split())


def test_pod_spec_of_templates_is_that_of_pods() -> None:
    pod = schema.definitions([Pod])[schema.definition_name(PodSpec)]["properties"]
    template = dict(walk(schema.structural(Workload)))[".spec.podSets[].template.spec"]["properties"]
    assert pod.keys() == template.keys()


@pytest.mark.parametrize("kind", registered(), ids=lambda kind: kind.__name__)
def test_registered_kinds_say_how_they_are_addressed(kind: type[Object]) -> None:
    found = resource_of(kind)
    assert found.plural == found.plural.lower()
    assert kind().kind == found.kind if not _needs_arguments(kind) else found.kind == kind.__name__


def _needs_arguments(kind: type[Object]) -> bool:
    return any(info.required for info in schema.fields_of(kind))
