"""Decoding, changing and encoding an object loses nothing, whoever wrote it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api import decode, encode, encode_json, replace, unknown_paths
from springtide.api.coordination import Lease, LeaseSpec
from springtide.api.core import ConfigMap, ContainerStatus, Node, Pod
from springtide.api.kueue import PodSet, Workload
from springtide.api.meta import Condition, micro_time, set_condition
from springtide.api.trainer import JobStatus, TrainJob

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)
unknown_fields = st.dictionaries(st.from_regex(r"x[A-Za-z]{0,6}", fullmatch=True), json_values, max_size=3)


@given(*[unknown_fields] * 5)
def test_unknown_fields_survive_at_any_depth(
    top: dict[str, Any],
    spec: dict[str, Any],
    item: dict[str, Any],
    deep: dict[str, Any],
    meta: dict[str, Any],
) -> None:
    raw = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", **meta},
        "spec": {
            "containers": [
                {"name": "a", "image": "i", "env": [{"name": "A", **deep}], **item},
                {"name": "b", "volumeMounts": [{"name": "v", "mountPath": "/v", **deep}]},
            ],
            "volumes": [{"name": "v", "emptyDir": {**deep}}],
            **spec,
        },
        **top,
    }
    pod = decode(Pod, msgspec.json.encode(raw))
    renamed = replace(pod, metadata=replace(pod.metadata, labels={"changed": "yes"}))
    expected = {**raw, "metadata": {**raw["metadata"], "labels": {"changed": "yes"}}}
    assert encode(renamed) == expected
    assert msgspec.json.decode(encode_json(renamed)) == expected


@given(unknown_fields, unknown_fields)
def test_unknown_fields_survive_in_the_template_of_a_pod_set(
    template: dict[str, Any], container: dict[str, Any]
) -> None:
    raw = {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {
            "podSets": [
                {
                    "name": "node",
                    "count": 2,
                    "template": {"spec": {"containers": [{"name": "node", **container}]}, **template},
                }
            ]
        },
    }
    assert encode(decode(Workload, raw)) == raw


def test_unknown_fields_are_named_by_their_path() -> None:
    pod = decode(Pod, {"spec": {"containers": [{"name": "a"}, {"name": "b", "imagee": "x"}]}, "staus": {}})
    assert unknown_paths(pod) == ["staus", "spec.containers[1].imagee"]


def test_null_means_the_zero_value_as_in_go() -> None:
    pod = decode(Pod, b'{"metadata":{"labels":null,"creationTimestamp":null},"spec":{"containers":null}}')
    assert pod.metadata.labels == {}
    assert pod.spec.containers == []


def test_a_value_of_the_wrong_type_is_refused_by_its_path() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"spec\.trainer\.numNodes"):
        decode(TrainJob, b'{"spec":{"runtimeRef":{"name":"x"},"trainer":{"numNodes":"two"}}}')


def test_a_wrong_type_beside_an_unknown_field_is_refused_too() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"metadata\.labels"):
        decode(ConfigMap, b'{"bogus":1,"metadata":{"labels":{"a":5}}}')


def test_apiversion_and_kind_are_written_although_they_are_defaults() -> None:
    assert encode(Node())["kind"] == "Node"
    assert encode_json(Node()).startswith(b'{"apiVersion":"v1","kind":"Node"')


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Condition(type="A", status="True"), {"type": "A", "status": "True", "reason": "", "message": ""}),
        (
            JobStatus(name="node"),
            {"name": "node", "ready": 0, "succeeded": 0, "failed": 0, "active": 0, "suspended": 0},
        ),
        (
            ContainerStatus(name="a"),
            {"name": "a", "ready": False, "restartCount": 0, "image": "", "imageID": ""},
        ),
        (PodSet(count=0), {"count": 0}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields_that_kubernetes_requires_are_written_at_their_zero_value(
    value: Any, written: dict[str, Any]
) -> None:
    assert encode(value) == written


def test_equal_objects_are_equal_however_they_were_made() -> None:
    made = Pod()
    assert decode(Pod, encode_json(made)) == made


def test_condition_time_moves_only_with_the_status() -> None:
    first, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 0, 0, 0, 999, tzinfo=UTC)
    conditions = set_condition([], Condition(type="Ready", status="False", reason="Starting"), first)
    conditions = set_condition(conditions, Condition(type="Ready", status="False", reason="Pulling"), later)
    assert conditions[0].last_transition_time == first
    conditions = set_condition(conditions, Condition(type="Ready", status="True", reason="Up"), later)
    assert conditions[0].last_transition_time == later.replace(microsecond=0)


def test_micro_time_always_has_six_decimals_on_the_wire() -> None:
    whole = datetime(2026, 1, 1, tzinfo=UTC)
    lease = Lease(spec=LeaseSpec(renew_time=micro_time(whole)))
    assert b'"renewTime":"2026-01-01T00:00:00.000001Z"' in encode_json(lease)
