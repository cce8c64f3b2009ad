"""The OpenAPI documents: what kubectl looks for in them, and that every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from springtide.api.core import ConfigMap, Pod
from springtide.api.schema import definition_name, definitions
from springtide.server import openapi

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    group: str
    version: str
    kind: str
    plural: str
    schema: Json
    namespaced: bool = True
    definitions: Json = field(default_factory=dict)
    all_subresources: tuple[str, ...] = ()
    builtin: bool = True


NAMED = definitions((Pod, ConfigMap))
PODS = Kind("", "v1", "Pod", "pods", NAMED[definition_name(Pod)], True, NAMED, ("binding", "log", "status"))
MAPS = Kind("", "v1", "ConfigMap", "configmaps", NAMED[definition_name(ConfigMap)], True, NAMED)
SHIP_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "length": {"type": "integer", "nullable": True},
                "cargo": {
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                },
                "type": {"type": "string"},
                "not": {"type": "string", "description": "a field that is called like a keyword"},
            },
        },
    },
}
SHIPS = Kind("sea.example.com", "v1", "Ship", "ships", SHIP_SCHEMA, False, {}, ("status",), builtin=False)
KINDS = (PODS, MAPS, SHIPS)
SHIP = "com.example.sea.v1.Ship"


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def test_every_reference_of_version_2_leads_somewhere() -> None:
    document = openapi.v2(KINDS)
    assert document["swagger"] == "2.0"
    for reference in references(document):
        assert reference.removeprefix("#/definitions/") in document["definitions"]


@pytest.mark.parametrize("path", ["api/v1", "apis/sea.example.com/v1"])
def test_every_reference_of_version_3_leads_somewhere(path: str) -> None:
    document = openapi.v3(KINDS, path)
    assert document["openapi"] == "3.0.0"
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_a_document_holds_only_its_group_and_version() -> None:
    document = openapi.v3(KINDS, "apis/sea.example.com/v1")
    assert set(document["paths"]) == {
        "/apis/sea.example.com/v1/ships",
        "/apis/sea.example.com/v1/ships/{name}",
        "/apis/sea.example.com/v1/ships/{name}/status",
    }
    assert definition_name(Pod) not in document["components"]["schemas"]
    with pytest.raises(KeyError):
        openapi.v3(KINDS, "apis/sea.example.com/v2")


def test_the_index_changes_when_a_schema_does() -> None:
    index = openapi.v3_index(KINDS)["paths"]
    assert set(index) == {"api/v1", "apis/sea.example.com/v1"}
    longer = Kind("sea.example.com", "v1", "Ship", "ships", {**SHIP_SCHEMA, "required": ["spec"]}, False)
    changed = openapi.v3_index((PODS, MAPS, longer))["paths"]
    assert changed["api/v1"] == index["api/v1"]
    assert changed["apis/sea.example.com/v1"] != index["apis/sea.example.com/v1"]
    url = index["api/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/api/v1?hash=")


@pytest.mark.parametrize("method", ["patch", "put"])
def test_writes_offer_field_validation(method: str) -> None:
    document = openapi.v3(KINDS, "api/v1")
    operation = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"][method]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert operation["x-kubernetes-action"] == method
    assert {"dryRun", "fieldManager", "fieldValidation"} <= {one["name"] for one in operation["parameters"]}


def test_patches_name_their_media_types() -> None:
    patch = openapi.v3(KINDS, "api/v1")["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert "force" in {one["name"] for one in patch["parameters"]}
    custom = openapi.v3(KINDS, "apis/sea.example.com/v1")["paths"]["/apis/sea.example.com/v1/ships/{name}"]
    assert "application/strategic-merge-patch+json" not in custom["patch"]["requestBody"]["content"]


def test_a_list_of_all_namespaces_takes_no_namespace() -> None:
    item = openapi.v3(KINDS, "api/v1")["paths"]["/api/v1/pods"]
    assert set(item) == {"parameters", "get"}
    assert item["parameters"] == []
    assert item["get"]["x-kubernetes-action"] == "list"


def test_operations_have_distinct_names() -> None:
    names = [
        operation["operationId"]
        for item in openapi.v2(KINDS)["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names))


def test_a_custom_kind_has_a_model_with_standard_metadata() -> None:
    model = openapi.v3(KINDS, "apis/sea.example.com/v1")["components"]["schemas"][SHIP]
    assert model["x-kubernetes-group-version-kind"] == [
        {"group": "sea.example.com", "version": "v1", "kind": "Ship"}
    ]
    reference = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert model["properties"]["metadata"] == {"$ref": reference}
    assert {"apiVersion", "kind", "spec"} <= set(model["properties"])


def test_version_2_leaves_out_what_it_does_not_know() -> None:
    spec = openapi.v2(KINDS)["definitions"][SHIP]["properties"]["spec"]["properties"]
    assert "nullable" not in spec["length"]
    assert "anyOf" not in spec["cargo"]
    assert spec["not"]["type"] == "string", "a field may be called like a keyword"


def test_lists_merge_by_the_keys_kubectl_needs() -> None:
    containers = openapi.v2(KINDS)["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
