"""What goes over the wire, in tables."""

import json

import pytest

from springtide.api.coordination import Lease
from springtide.api.core import Node, Pod
from springtide.api.resources import resource_of
from springtide.client import BadRequest, prepare

POD, NODE, LEASE = resource_of(Pod), resource_of(Node), resource_of(Lease)


def test_paths_of_core_groups_and_cluster_scoped_kinds() -> None:
    assert prepare.object_path(POD, "ns", "p", "status") == "/api/v1/namespaces/ns/pods/p/status"
    assert prepare.object_path(NODE, "ignored", "n") == "/api/v1/nodes/n"
    assert prepare.object_path(LEASE, "ns", "l") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"
    assert prepare.collection_path(POD, "") == "/api/v1/pods"
    assert prepare.collection_path(POD, "ns") == "/api/v1/namespaces/ns/pods"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2fb"])
def test_a_name_that_would_change_the_path_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="name"):
        prepare.object_path(POD, "ns", name)


def test_a_namespaced_object_needs_its_namespace() -> None:
    with pytest.raises(BadRequest, match="Pod: namespace is empty; give the namespace"):
        prepare.object_path(POD, "", "p")


def test_empty_query_values_are_left_out_and_zero_is_not() -> None:
    query = {"a": "", "b": None, "c": False, "tailLines": 0, "d": True, "e": "x=y"}
    assert prepare.request("GET", "/x", query).query == {"tailLines": "0", "d": "true", "e": "x=y"}


def test_an_apply_says_who_it_is_about_whatever_the_fields_say() -> None:
    fields = {"kind": "Wrong", "metadata": {"labels": {"a": "b"}, "name": "wrong"}, "spec": {}}
    assert json.loads(prepare.apply_body(POD, "ns", "p", fields)) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"a": "b"}, "name": "p", "namespace": "ns"},
        "spec": {},
    }
    assert "namespace" not in json.loads(prepare.apply_body(NODE, "", "n", {}))["metadata"]


def test_delete_options() -> None:
    options = json.loads(prepare.delete_options("u1", 0, "Foreground", dry_run=True))
    assert options["preconditions"] == {"uid": "u1"}
    assert options["gracePeriodSeconds"] == 0
    assert options["propagationPolicy"] == "Foreground"
    assert options["dryRun"] == ["All"]
    assert set(json.loads(prepare.delete_options("", None, "", dry_run=False))) == {"apiVersion", "kind"}
