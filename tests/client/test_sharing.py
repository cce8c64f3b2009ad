"""Sharing decodes the same values as plain decoding, in less memory."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Pod
from springtide.api.meta import ManagedFieldsEntry
from springtide.api.struct import decode, encode_json, replace
from springtide.client.forms import typed
from springtide.client.sharing import Pool, sharing
from springtide.client.watch import EventReader, WatchEvent

NAMES = st.sampled_from(["a", "b", "springtide", ""])
TIMES = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
TEXTS = st.dictionaries(NAMES, NAMES, max_size=2)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES},
        optional={
            "image": NAMES,
            "command": st.lists(NAMES, max_size=2),
            "env": st.lists(st.fixed_dictionaries({"name": NAMES}, optional={"value": NAMES}), max_size=2),
            "resources": some(limits=TEXTS, requests=TEXTS),
            "securityContext": some(privileged=st.booleans()),
        },
    ),
    min_size=1,
    max_size=2,
)
PODS = st.fixed_dictionaries(
    {
        "metadata": some(
            name=NAMES,
            labels=TEXTS,
            creationTimestamp=TIMES,
            deletionGracePeriodSeconds=st.integers(0, 9),
            managedFields=st.just([{"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]),
            ownerReferences=st.lists(
                st.fixed_dictionaries({"apiVersion": NAMES, "kind": NAMES, "name": NAMES, "uid": NAMES}),
                max_size=1,
            ),
        ),
        "spec": st.fixed_dictionaries(
            {"containers": CONTAINERS},
            optional={"nodeName": NAMES, "hostNetwork": st.booleans(), "priority": st.integers(0, 3)},
        ),
    },
    optional={
        "status": some(
            phase=st.sampled_from(["Pending", "Running"]),
            startTime=TIMES,
            conditions=st.lists(
                st.fixed_dictionaries(
                    {"type": NAMES, "status": NAMES}, optional={"lastTransitionTime": TIMES}
                ),
                max_size=2,
            ),
        ),
        "futureField": st.just({"x": 1}),
    },
)


def unexpected(what: str) -> None:
    raise AssertionError(what)


def plain(body: bytes) -> Pod:
    obj = decode(Pod, body)
    return replace(obj, metadata=replace(obj.metadata, managed_fields=[]))


@given(pods=st.lists(PODS, max_size=6), limit=st.integers(1, 20))
def test_the_same_values_whatever_the_pool_remembers(pods: list[dict[str, Any]], limit: int) -> None:
    form = sharing(Pod, Pool(limit), unexpected)
    body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": pods}).encode()
    listed = form.decode_list(body)
    assert listed.items == [plain(json.dumps(pod).encode()) for pod in pods]
    assert listed.resource_version == "7"
    for obj, pod in zip(listed.items, pods, strict=True):
        assert encode_json(obj) == encode_json(plain(json.dumps(pod).encode()))


def pod(name: str, **metadata: Any) -> bytes:
    container = {"name": "main", "image": "pytorch", "env": [{"name": "A", "value": "b"}]}
    spec = {"containers": [container], "nodeName": name, "schedulerName": "springtide"}
    return json.dumps({"metadata": {"name": name, **metadata}, "spec": spec}).encode()


def test_equal_parts_are_one_object() -> None:
    form = sharing(Pod, Pool(), unexpected)
    one, two = form.decode(pod("one")), form.decode(pod("two"))
    assert one.spec.containers is two.spec.containers
    assert one.spec.scheduler_name is two.spec.scheduler_name
    assert one.spec.volumes is two.spec.volumes  # both empty
    assert one.metadata.name != two.metadata.name


@pytest.mark.parametrize(
    "broken",
    [
        b'{"metadata":{"name":7}}',
        b'{"metadata":{"ownerReferences":[{"kind":"A"}]}}',
        b'{"metadata":[]}',
        b"[]",
    ],
)
def test_wrong_types_are_refused_as_ever(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expected|required"):
        sharing(Pod, Pool(), unexpected).decode(broken)


def test_managed_fields_are_gone_even_next_to_unknown_ones() -> None:
    entry = encode_json(ManagedFieldsEntry(manager="m"))
    body = pod("one", managedFields=[json.loads(entry)], future={"x": 1})
    obj = sharing(Pod, Pool(), unexpected).decode(body)
    assert obj.metadata.managed_fields == []
    assert obj.metadata.unknown == {"future": {"x": 1}}
    assert typed(Pod).decode(body).metadata.managed_fields[0].manager == "m"


def test_kinds_that_contain_themselves() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {
        "group": "g",
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Namespaced",
        "versions": [version],
    }
    body = json.dumps({"metadata": {"name": "things.g"}, "spec": spec}).encode()
    assert sharing(CustomResourceDefinition, Pool(), unexpected).decode(body) == decode(
        CustomResourceDefinition, body
    )


def test_one_unreadable_object_does_not_hide_the_others() -> None:
    told = list[str]()
    form = sharing(Pod, Pool(), told.append)
    wrong = json.loads(pod("wrong", namespace="ns")) | {"spec": {"containers": "none"}}
    items = [json.loads(pod("a")), wrong, {"metadata": []}, json.loads(pod("b"))]
    listed = form.decode_list(json.dumps({"metadata": {}, "items": items}).encode())
    assert [obj.metadata.name for obj in listed.items] == ["a", "b"]
    assert told[0].startswith("ns/wrong: Expected `array`, got `str` - at `$.spec.containers`")
    assert told[1].startswith("one without a name: ")

    reader = EventReader(form, "1")
    lines = [json.dumps({"type": "ADDED", "object": item}).encode() + b"\n" for item in items]
    events = reader.feed(b"".join(lines))
    assert [e.object.metadata.name for e in events if isinstance(e, WatchEvent)] == ["a", "b"]
    assert len(told) == 4
