"""Requests that once did harm, each in its smallest form; `tests/endurance/hostile` found them."""

from __future__ import annotations

import time

import pytest

from springtide.api.selectors import parse_labels
from springtide.server import User
from springtide.server.admission import builtin_kinds
from springtide.server.bodies import MAX_VALUES
from springtide.server.json_patch import apply_json_patch
from springtide.server.strategic_patch import apply_strategic_patch
from tests.server.serving import (
    APPLY,
    CONFIGMAPS,
    CRDS,
    GADGETS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    Json,
    configmap,
    gadget,
    gadget_crd,
    pod,
    serving,
)

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n"
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8)
)
REFUSED_YAML = {
    "brackets that once ended the process": "[" * 100_000,
    "nested sequences in one line": "- " * 1_000 + "x",
    "nested keys": HEAD + "data: " + "{a: " * 1_000 + "1" + "}" * 1_000,
    "a billion laughs": HEAD + LAUGHS,
    "an alias of itself": HEAD + "data: &a {a: *a}\n",
    "an unknown alias": HEAD + "data: *nothing\n",
    "a number with more digits than Python reads": HEAD + "data: {a: " + "9" * 5_000 + "}\n",
    "a number of base sixty": HEAD + "data: {a: !!int 1" + ":59" * 100_000 + ", b: !!int x}\n",
    "a number that is none": HEAD + "data: {a: !!int x}\n",
    "a truth that is none": HEAD + "data: {a: !!bool x}\n",
    "infinity": HEAD + "x: .inf\n",
    "not a number": HEAD + "x: .nan\n",
    "a set": HEAD + "data: !!set {a, b}\n",
    "pairs": HEAD + "data: !!omap [a: b]\n",
    "no name of a field": HEAD + "data: {~: x}\n",
    "a list as the name of a field": HEAD + "data: {? [a] : x}\n",
    "an object of Python": HEAD + "data: !!python/object/apply:os.system [ls]\n",
    "two documents": "--- 1\n--- 2\n",
}


@pytest.mark.parametrize("text", REFUSED_YAML.values(), ids=REFUSED_YAML)
async def test_yaml_that_stands_for_no_object_is_refused(text: str) -> None:
    async with serving() as api:
        created = await api.ask("POST", CONFIGMAPS, text.encode(), media_type="application/yaml")
        assert created.refusal == (400, "BadRequest")
        applied = await api.ask(
            "PATCH", f"{CONFIGMAPS}/y", text.encode(), media_type=APPLY, query={"fieldManager": "me"}
        )
        assert applied.refusal == (400, "BadRequest")


async def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    text = HEAD + "data: {when: 2001-01-01, port: 22:22, on: 'x', 7: 'y', all: &a 'z', again: *a}\n"
    async with serving() as api:
        answer = await api.ask("POST", CONFIGMAPS, text.encode(), media_type="application/yaml")
        assert answer.json["data"] == {
            "when": "2001-01-01",
            "port": "22:22",
            "true": "x",
            "7": "y",
            "all": "z",
            "again": "z",
        }


@pytest.mark.parametrize("media_type", [MERGE, STRATEGIC, APPLY])
async def test_a_body_of_more_values_than_anyone_needs_is_refused(media_type: str) -> None:
    finalizers = [f"example.dev/{number}" for number in range(MAX_VALUES)]
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y", "finalizers": finalizers}}
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("y"))
        answer = await api.patch(f"{CONFIGMAPS}/y", body, media_type, fieldManager="me")
        assert answer.refusal == (413, "RequestEntityTooLarge")


def test_a_strategic_patch_of_long_lists_costs_as_much_as_they_are_long() -> None:
    """It once compared each with each: twenty thousand took a minute."""
    containers = {"spec": {"containers": [{"name": f"c{number}", "image": "x"} for number in range(20_000)]}}
    names = {"metadata": {"finalizers": [f"example.dev/{number}" for number in range(20_000)]}}
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": names["metadata"]["finalizers"]}}
    schema = next(kind for kind in builtin_kinds() if kind.kind == "Pod").validator
    doc = apply_strategic_patch(containers, containers, schema)
    assert doc == containers
    named = apply_strategic_patch(apply_strategic_patch({}, names, schema), names, schema)
    assert named == names
    assert apply_strategic_patch(named, gone, schema) == {"metadata": {"finalizers": []}}


def test_a_json_patch_of_a_long_list_costs_as_much_as_it_has_operations() -> None:
    """It once copied the list for each operation: ten thousand took a second, and half the memory."""
    doc = {"env": [{"name": f"A{number}"} for number in range(20_000)]}
    inserts = [{"op": "add", "path": "/env/0", "value": {"name": f"B{number}"}} for number in range(9_999)]
    began = time.process_time()
    made = apply_json_patch(doc, inserts)
    assert time.process_time() - began < 1
    assert [one["name"] for one in made["env"][9_998:10_000]] == ["B0", "A0"]
    assert len(doc["env"]) == 20_000


def test_a_selector_of_many_parts_is_read_in_one_go() -> None:
    with pytest.raises(ValueError, match="unable to parse"):
        parse_labels("a in (" * 20_000)
    assert len(parse_labels(",".join(f"k{number}" for number in range(20_000))).requirements) == 20_000
    assert len(parse_labels("a in (b,c),d notin (e,f),g").requirements) == 3


@pytest.mark.parametrize(
    "odd", [["x"], [1.5], [None], "x", {"a": 1}, 7, [{"time": 7, "fieldsV1": {}}], [[]], [{}, "x"]]
)
async def test_managed_fields_that_are_none_are_refused_or_ignored(odd: object) -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("y"))
        patched = await api.patch(f"{CONFIGMAPS}/y", {"data": {"a": "b"}, "metadata": {"managedFields": odd}})
        assert patched.status in (200, 400, 422)
        applied = await api.patch(
            f"{CONFIGMAPS}/y", configmap("y", a="c"), APPLY, fieldManager="me", force="true"
        )
        assert applied.status == 200


@pytest.mark.parametrize("odd", [" ", ["x"], 7, {"spec": " "}, {"spec": {"properties": "x"}}])
async def test_a_definition_whose_properties_are_none_is_refused(odd: object) -> None:
    definition = gadget_crd()
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = odd
    async with serving() as api:
        assert (await api.post(CRDS, definition)).status in (400, 422)
        await api.post(CRDS, gadget_crd())
        path = f"{CRDS}/{definition['metadata']['name']}"
        assert (await api.patch(path, {"spec": definition["spec"]})).status in (400, 422)


@pytest.mark.parametrize("spec", [{"finalizers": [7]}, {"finalizers": "x"}, {"finalizers": [None]}, "x", [1]])
async def test_a_namespace_keeps_only_finalizers_that_are_texts(spec: object) -> None:
    async with serving() as api:
        await api.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
        answer = await api.put("/api/v1/namespaces/n/finalize", {"metadata": {"name": "n"}, "spec": spec})
        assert answer.refusal == (400, "BadRequest")
        assert (await api.delete("/api/v1/namespaces/n")).status == 200


@pytest.mark.parametrize(
    "spec", [-1, "x", {"versions": 7}, {"versions": [{"schema": {"openAPIV3Schema": "x"}}]}]
)
async def test_what_else_a_change_of_status_brings_does_no_harm(spec: object) -> None:
    async with serving() as api:
        path = f"{CRDS}/{(await api.post(CRDS, gadget_crd())).json['metadata']['name']}/status"
        assert (await api.patch(path, {"spec": spec})).status in (200, 400, 422)
        whole = {**(await api.get(path)).json, "spec": spec}
        assert (await api.put(path, whole)).status in (200, 400, 409, 422)


@pytest.mark.parametrize("address", ["\n", "b", "999.1.1.1", "::1", "1.2.3"])
async def test_an_address_of_a_service_that_is_none_is_refused(address: str) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "clusterIPs": [address]}}
    async with serving() as api:
        assert (await api.post("/api/v1/namespaces/default/services", body)).refusal == (422, "Invalid")


async def test_numbers_of_a_status_below_zero_are_refused() -> None:
    path = "/apis/apps/v1/namespaces/default/statefulsets"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    body = {
        "metadata": {"name": "s"},
        "spec": {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    async with serving() as api:
        await api.post(path, body)
        answer = await api.patch(f"{path}/s/status", {"status": {"replicas": -1, "readyReplicas": -1}})
        assert answer.refusal == (422, "Invalid")


async def test_protobuf_of_more_items_than_anyone_needs_is_refused() -> None:
    entry = b"\x12\x03\x0a\x01a"
    raw = entry * 30_000
    length = bytes([len(raw) & 0x7F | 0x80, len(raw) >> 7 & 0x7F | 0x80, len(raw) >> 14])
    body = b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12" + length + raw
    async with serving() as api:
        answer = await api.ask("POST", CONFIGMAPS, body, media_type="application/vnd.kubernetes.protobuf")
        assert answer.status == 415
        assert "more than" in answer.json["message"]


@pytest.mark.parametrize("operator", ["10%", "", "in"])
async def test_a_role_that_selects_by_nonsense_is_refused_and_nobody_is_shut_out(operator: str) -> None:
    """Stored, it once made every later question about rights fail."""
    chosen = {"matchExpressions": [{"key": "a", "operator": operator, "values": ["b"]}]}
    role = {"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": [chosen]}}
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    async with serving() as api:
        assert (await api.post(path, role)).refusal == (422, "Invalid")
        asked = await api.ask("GET", CONFIGMAPS, user=User("bob", ("system:authenticated",)))
        assert asked.refusal == (403, "Forbidden")


@pytest.mark.parametrize(
    "patch", [{"metadata": "x"}, {"metadata": 7}, {"spec": "x"}, {"spec": 7}, {"spec": [1]}]
)
async def test_a_scale_that_is_none_is_refused(patch: object) -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        await api.post(GADGETS, gadget("g"))
        assert (await api.patch(f"{GADGETS}/g/scale", patch)).refusal == (400, "BadRequest")


async def test_a_number_of_replicas_has_its_place_even_if_what_is_above_it_is_null() -> None:
    definition = gadget_crd()
    version = definition["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    size = {"type": "integer"}
    spec["properties"]["deep"] = {"type": "object", "nullable": True, "properties": {"size": size}}
    version["subresources"]["scale"]["specReplicasPath"] = ".spec.deep.size"
    async with serving() as api:
        assert (await api.post(CRDS, definition)).status == 201
        assert (await api.post(GADGETS, gadget("g", deep=None))).status == 201
        scaled = await api.patch(f"{GADGETS}/g/scale", {"spec": {"replicas": 3}})
        assert (scaled.status, scaled.json["spec"]) == (200, {"replicas": 3})


async def test_a_number_of_thousands_of_digits_is_too_large_and_no_fault() -> None:
    many = "9" * 5000
    async with serving() as api:
        await api.post(CONFIGMAPS, {"metadata": {"name": "a", "finalizers": ["x.dev/y"]}})
        for operation in ("remove", "replace", "add"):
            patch = [{"op": operation, "path": f"/metadata/finalizers/{many}", "value": "x.dev/z"}]
            answer = await api.patch(f"{CONFIGMAPS}/a", patch, "application/json-patch+json")
            assert answer.refusal == (422, "Invalid")
        job = {
            "metadata": {"name": "j"},
            "spec": {
                "completions": 2,
                "completionMode": "Indexed",
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}
                },
            },
        }
        jobs = "/apis/batch/v1/namespaces/default/jobs"
        assert (await api.post(jobs, job)).status == 201
        status = {"status": {"completedIndexes": many}}
        assert (await api.patch(f"{jobs}/j/status", status)).refusal == (422, "Invalid")


async def test_a_limit_range_that_says_nothing_limits_nothing() -> None:
    async with serving() as api:
        empty = await api.post("/api/v1/namespaces/default/limitranges", {"metadata": {"name": "l"}})
        assert empty.status in (201, 422)
        assert (await api.post(PODS, pod("a"))).status == 201


async def test_a_list_full_of_twins_is_refused_at_once() -> None:
    """Each twin was once looked for in the whole of what there was."""
    twins = [{"name": f"A{number // 2}"} for number in range(4_000)]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    async with serving() as api:
        await api.post(path, {"metadata": {"name": "d"}, "spec": spec})
        doubled = [{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": twins}]
        answer = await api.patch(f"{path}/d", doubled, "application/json-patch+json")
        assert answer.status in (200, 422)


async def test_a_service_selects_by_labels_only() -> None:
    """Stored, a selector that is none once made a proxied request fail."""
    services = "/api/v1/namespaces/default/services"
    spec: Json = {"ports": [{"port": 80}], "selector": {"$x/y z": "="}}
    odd = {"metadata": {"name": "s"}, "spec": spec}
    async with serving() as api:
        answer = await api.post(services, odd)
        assert answer.refusal == (422, "Invalid")
        assert set(answer.wrong_fields) == {"spec.selector"}
        spec["selector"] = {"a": ""}
        assert (await api.post(services, odd)).status == 201
        assert (await api.get(f"{services}/s/proxy")).refusal == (503, "ServiceUnavailable")


def gadgets_with(fields: Json) -> Json:
    """A definition of gadgets whose spec has these fields, and nothing else."""
    definition = gadget_crd()
    spec = {"type": "object", "properties": fields}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    first = definition["spec"]["versions"][0]["name"]
    version = {"name": first, "served": True, "storage": True, "schema": schema}
    definition["spec"]["versions"] = [version]
    return definition


_CHARACTERS = "".join("ab"[number * number % 7 % 2] for number in range(100_000))
DEAR_SCHEMAS: dict[str, tuple[Json, Json]] = {
    "a pattern as long as its text": (
        {"type": "string", "pattern": "a" * 5_000 + "b"},
        {"a": "ab" * 500_000},
    ),
    "a pattern that remembers a thousand letters": (
        {"type": "array", "items": {"type": "string", "pattern": "[ab]*a[ab]{900}c"}},
        {"a": [_CHARACTERS] * 20},
    ),
    "alternatives of alternatives": (
        {
            "type": "array",
            "items": {"type": "string", "anyOf": [{"pattern": f"^{n}$"} for n in range(3_000)]},
        },
        {"a": ["x" * 40] * 20_000},
    ),
    "all that is allowed": (
        {"type": "array", "items": {"type": "string", "enum": [f"value-{n}" for n in range(20_000)]}},
        {"a": ["x"] * 50_000},
    ),
    "all that is required": (
        {"type": "array", "items": {"type": "object", "required": [f"field{n}" for n in range(20_000)]}},
        {"a": [{}] * 20_000},
    ),
}


@pytest.mark.parametrize(("schema", "spec"), DEAR_SCHEMAS.values(), ids=DEAR_SCHEMAS)
async def test_a_schema_takes_its_time_and_no_more(schema: Json, spec: Json) -> None:
    """Schemas and objects multiply: each of these once took a minute, or all memory."""
    definition = gadgets_with({"a": schema})
    async with serving() as api:
        assert (await api.post(CRDS, definition)).status == 201
        began = time.process_time()
        answer = await api.post(GADGETS, {**gadget("g"), "spec": spec})
        assert time.process_time() - began < 10
        assert answer.refusal == (422, "Invalid")
        assert len(answer.body) < 4_000_000


async def test_defaults_do_not_make_an_object_larger_than_a_body_may_be() -> None:
    item = {"type": "object", "properties": {"text": {"type": "string", "default": "x" * 10_000}}}
    definition = gadgets_with({"a": {"type": "array", "items": item}})
    async with serving() as api:
        assert (await api.post(CRDS, definition)).status == 201
        assert (await api.post(GADGETS, {**gadget("g"), "spec": {"a": [{}] * 9}})).status == 201
        answer = await api.post(GADGETS, {**gadget("h"), "spec": {"a": [{}] * 50_000}})
        assert answer.refusal == (413, "RequestEntityTooLarge")


async def test_a_schema_that_became_stricter_is_soon_checked() -> None:
    """Each old fault was once looked for in the whole of what there was."""
    loose = {"type": "array", "items": {"type": "string"}}
    strict = {"type": "array", "items": {"type": "string", "maxLength": 1}}
    before, after = (gadgets_with({"a": one, "b": {"type": "string"}}) for one in (loose, strict))
    async with serving() as api:
        name = (await api.post(CRDS, before)).json["metadata"]["name"]
        spec = {"a": [f"text {number}" for number in range(30_000)]}
        await api.post(GADGETS, {**gadget("g"), "spec": spec})
        assert (await api.patch(f"{CRDS}/{name}", {"spec": after["spec"]})).status == 200
        began = time.process_time()
        assert (await api.patch(f"{GADGETS}/g", {"spec": {"b": "x"}})).status == 200
        assert time.process_time() - began < 3
        assert (await api.patch(f"{GADGETS}/g", {"spec": {"a": ["text"]}})).status == 422


@pytest.mark.parametrize("target", ["/spec", "/status", "/spec/any"])
async def test_what_a_patch_moves_is_pruned_where_it_comes_to_and_not_where_it_was(target: str) -> None:
    """The old object was once pruned too: it lost its metadata, and the request failed."""
    meta = {"name": "g", "labels": {"a": "b"}}
    definition = gadgets_with({"any": {"type": "object", "properties": {"x": {"type": "string"}}}})
    async with serving() as api:
        await api.post(CRDS, definition)
        await api.post(GADGETS, {**gadget("g"), "metadata": meta, "spec": {}})
        for moves in (
            [{"op": "move", "from": "/metadata", "path": target}],
            [{"op": "copy", "from": "/metadata", "path": target}],
            [
                {"op": "move", "from": "/metadata", "path": target},
                {"op": "add", "path": "/metadata", "value": meta},
            ],
        ):
            answer = await api.patch(f"{GADGETS}/g", moves, JSON_PATCH)
            assert answer.status in (200, 400, 404, 422), answer.body
            assert (await api.get(f"{GADGETS}/g")).json["metadata"]["name"] == "g"


@pytest.mark.parametrize("subresource", ["resize", "ephemeralcontainers"])
@pytest.mark.parametrize(
    "spec",
    [
        *("x", 7, {"containers": "x"}, {"containers": ["x"]}, {"containers": [{"name": {"a": "b"}}]}),
        *({"containers": [{"name": "main", "resources": 7}]}, {"ephemeralContainers": [{"name": []}, 7]}),
    ],
    ids=repr,
)
async def test_a_pod_of_wrong_types_is_no_part_of_a_pod(subresource: str, spec: object) -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        whole = {**(await api.get(f"{PODS}/a")).json, "spec": spec}
        assert (await api.put(f"{PODS}/a/{subresource}", whole)).refusal == (400, "BadRequest")
        for media_type in (MERGE, STRATEGIC):
            answer = await api.patch(f"{PODS}/a/{subresource}", {"spec": spec}, media_type)
            assert answer.status in (200, 400, 422), answer.body


async def test_a_name_cannot_be_owned() -> None:
    """An apply that left out a namespace it owned once wrote to an object of no namespace."""
    owned: Json = {"f:metadata": {".": {}, "f:name": {}, "f:namespace": {}}}
    entry = {"manager": "me", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    async with serving() as api:
        whole = (await api.post(CONFIGMAPS, configmap("y"))).json
        whole["metadata"]["managedFields"] = [{**entry, "fieldsV1": owned}]
        assert (await api.put(f"{CONFIGMAPS}/y", whole)).status == 200
        nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"c": "d"}}
        answer = await api.patch(f"{CONFIGMAPS}/y", nameless, APPLY, fieldManager="me", force="true")
        assert answer.status == 200
        metadata = answer.json["metadata"]
        assert (metadata["name"], metadata["namespace"]) == ("y", "default")


async def test_a_rule_meets_an_old_value_of_another_type() -> None:
    """The schema was another when it was written; reading it as today's once made the request fail."""
    text = {"type": "string", "maxLength": 9}
    as_map = {"type": "object", "maxProperties": 9, "additionalProperties": text}
    as_list = {"type": "array", "maxItems": 9, "items": text}
    rules = [
        {"rule": "self.a == oldSelf.a"},
        {"rule": "self.a.size() < 9"},
        {"rule": "oldSelf.orValue(self).a.all(x, x == x)", "optionalOldSelf": True},
    ]
    async with serving() as api:
        name = (await api.post(CRDS, gadgets_with({"a": as_map}))).json["metadata"]["name"]
        await api.post(GADGETS, {**gadget("g"), "spec": {"a": {"b": "c"}}})
        after = gadgets_with({"a": {**as_list, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}})
        schema = after["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        schema["x-kubernetes-validations"] = rules
        assert (await api.patch(f"{CRDS}/{name}", {"spec": after["spec"]})).status == 200
        answer = await api.patch(f"{GADGETS}/g", {"spec": {"a": ["x"]}})
        assert answer.refusal == (422, "Invalid")
        assert "expected an array" in answer.json["message"]
