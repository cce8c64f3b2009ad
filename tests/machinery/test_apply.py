"""Server-side apply after Kubernetes' documentation, and the laws of ownership."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api import labels
from springtide.server import fieldset
from springtide.server.apply import ApplyConflict, PatchError, apply, track_update
from springtide.server.schema import Schema
from tests.machinery.schemas import DEPLOYMENT, containers_of, deployment

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Obj = dict[str, Any]


def ssa(
    live: Obj | None,
    config: Obj,
    manager: str = "alice",
    *,
    force: bool = False,
    subresource: str = "",
    minute: int = 0,
    schema: Schema | None = DEPLOYMENT,
) -> Obj:
    return apply(
        live,
        config,
        manager=manager,
        force=force,
        schema=schema,
        subresource=subresource,
        now=NOON + timedelta(minutes=minute),
        api_version="apps/v1",
    )


def put(old: Obj | None, new: Obj, manager: str = "bob", *, subresource: str = "", minute: int = 0) -> Obj:
    """An ordinary create or update: the object with its tracked managedFields."""
    entries = track_update(
        old,
        new,
        manager=manager,
        subresource=subresource,
        now=NOON + timedelta(minutes=minute),
        schema=DEPLOYMENT,
        api_version="apps/v1",
    )
    return {**new, "metadata": {**new["metadata"], "managedFields": entries}}


def owners(obj: Obj) -> dict[str, set[str]]:
    """Field paths by manager (and subresource)."""
    found: dict[str, set[str]] = {}
    for entry in obj["metadata"]["managedFields"]:
        name = entry["manager"] + ("/" + entry["subresource"] if "subresource" in entry else "")
        found.setdefault(name, set()).update(fieldset.paths(entry["fieldsV1"]))
    return found


def edited(obj: Obj, **spec: Any) -> Obj:
    return {**obj, "spec": {**obj["spec"], **spec}}


def test_a_create_by_apply_owns_exactly_what_it_says() -> None:
    made = ssa(None, deployment(replicas=2, containers=[{"name": "web", "ports": [{"containerPort": 80}]}]))
    entry = made["metadata"]["managedFields"][0]
    assert entry == {
        "manager": "alice",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "time": "2026-01-01T12:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:spec": {
                "f:replicas": {},
                "f:template": {
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"web"}': {
                                ".": {},
                                "f:name": {},
                                "f:ports": {
                                    'k:{"containerPort":80,"protocol":"TCP"}': {
                                        ".": {},
                                        "f:containerPort": {},
                                    }
                                },
                            }
                        }
                    }
                },
            }
        },
    }


def test_a_second_apply_of_the_same_is_the_very_same_object() -> None:
    config = deployment(replicas=2, containers=[{"name": "web", "image": "a"}])
    live = ssa(None, config)
    assert ssa(live, copy.deepcopy(config), minute=5) is live


def test_a_field_left_out_is_removed() -> None:
    live = ssa(None, deployment(replicas=2, zones=["a", "b"], selector={"matchLabels": {"a": "b"}}))
    after = ssa(live, deployment(zones=["b"]), minute=1)
    assert after["spec"] == {"zones": ["b"]}
    assert owners(after) == {"alice": {'.spec.zones[="b"]'}}


def test_a_field_left_out_stays_while_another_owns_it_too() -> None:
    live = ssa(None, deployment(replicas=2))
    live = ssa(live, deployment(replicas=2), "carol")
    after = ssa(live, deployment(zones=["z"]), minute=1)
    assert after["spec"]["replicas"] == 2
    assert owners(after) == {"alice": {'.spec.zones[="z"]'}, "carol": {".spec.replicas"}}


def test_a_field_that_an_update_changed_is_no_longer_removed() -> None:
    live = ssa(None, deployment(replicas=2))
    live = put(live, edited(live, replicas=5))
    after = ssa(live, deployment())
    assert after["spec"]["replicas"] == 5


def test_a_removed_list_item_goes_whole_though_others_put_something_into_it() -> None:
    live = ssa(None, deployment(containers=[{"name": "web", "image": "a"}, {"name": "side", "image": "b"}]))
    containers = copy.deepcopy(containers_of(live))
    containers[1]["args"] = ["--verbose"]
    live = put(live, edited(live, template={"spec": {"containers": containers}}))
    after = ssa(live, deployment(containers=[{"name": "web", "image": "a"}]))
    assert containers_of(after) == [{"name": "web", "image": "a"}]


def test_a_removed_list_item_goes_whole_when_nobody_else_cares() -> None:
    live = ssa(None, deployment(containers=[{"name": "web"}, {"name": "side", "image": "b"}]))
    after = ssa(live, deployment(containers=[{"name": "web"}]))
    assert containers_of(after) == [{"name": "web"}]


def test_a_conflict_names_manager_and_field() -> None:
    live = put(None, deployment(replicas=2))
    with pytest.raises(ApplyConflict) as caught:
        ssa(live, deployment(replicas=3))
    assert caught.value.conflicts == [("bob", ".spec.replicas")]
    assert caught.value.causes == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "bob" using apps/v1 at 2026-01-01T12:00:00Z',
            "field": ".spec.replicas",
        }
    ]
    assert str(caught.value) == (
        "Apply failed with 1 conflict: "
        'conflict with "bob" using apps/v1 at 2026-01-01T12:00:00Z: .spec.replicas'
    )


def test_several_conflicts_are_listed_by_manager() -> None:
    live = ssa(ssa(None, deployment(replicas=2)), deployment(zones=["a"], selector={}), "carol")
    with pytest.raises(ApplyConflict) as caught:
        ssa(live, deployment(replicas=3, selector={"matchLabels": {"a": "b"}}), "dave")
    assert str(caught.value) == (
        "Apply failed with 2 conflicts: "
        'conflicts with "alice":\n- .spec.replicas\nconflicts with "carol":\n- .spec.selector'
    )


def test_the_same_value_is_no_conflict_but_shared() -> None:
    live = put(None, deployment(replicas=2))
    after = ssa(live, deployment(replicas=2))
    assert owners(after) == {"alice": {".spec.replicas"}, "bob": {".spec", ".spec.replicas"}}


def test_force_takes_the_field_from_its_owner() -> None:
    live = ssa(None, deployment(replicas=2, zones=["a"]))
    after = ssa(live, deployment(replicas=3), "carol", force=True)
    assert after["spec"]["replicas"] == 3
    assert owners(after) == {"alice": {'.spec.zones[="a"]'}, "carol": {".spec.replicas"}}


def test_an_owner_of_nothing_is_forgotten() -> None:
    live = ssa(None, deployment(replicas=2))
    after = ssa(live, deployment(replicas=3), "carol", force=True)
    assert list(owners(after)) == ["carol"]


def test_an_atomic_map_is_owned_whole() -> None:
    live = ssa(None, deployment(selector={"matchLabels": {"a": "1"}}))
    assert owners(live) == {"alice": {".spec.selector"}}
    after = ssa(live, deployment(selector={"matchLabels": {"b": "1"}}))
    assert after["spec"]["selector"] == {"matchLabels": {"b": "1"}}


def test_two_managers_share_a_list_map() -> None:
    live = ssa(None, deployment(containers=[{"name": "web"}]))
    after = ssa(live, deployment(containers=[{"name": "side"}]), "carol")
    assert [item["name"] for item in containers_of(after)] == ["web", "side"]


def test_a_default_key_of_a_list_map_matches_the_item_that_says_it() -> None:
    live = put(
        None, deployment(containers=[{"name": "w", "ports": [{"containerPort": 80, "protocol": "TCP"}]}])
    )
    after = ssa(
        live, deployment(containers=[{"name": "w", "ports": [{"containerPort": 80, "name": "http"}]}])
    )
    assert containers_of(after)[0]["ports"] == [{"containerPort": 80, "protocol": "TCP", "name": "http"}]


def test_labels_and_finalizers_of_metadata_are_owned() -> None:
    config = deployment()
    del config["spec"]
    config["metadata"] |= {"labels": {"a": "1"}, "finalizers": ["x"], "uid": "u", "creationTimestamp": None}
    live = ssa(None, config)
    assert owners(live) == {"alice": {".metadata.labels.a", '.metadata.finalizers[="x"]'}}
    assert "creationTimestamp" not in live["metadata"]


def test_what_the_server_set_survives_a_config_with_null_for_it() -> None:
    live = ssa(None, deployment(replicas=1))
    live["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    config = deployment(replicas=1)
    config["metadata"]["creationTimestamp"] = None
    assert ssa(live, config) is live


def test_status_is_applied_and_owned_by_its_subresource_alone() -> None:
    live = ssa(None, deployment(replicas=1))
    config = {**deployment(replicas=9), "status": {"phase": "Ready"}}
    after = ssa(live, config, subresource="status")
    assert after["spec"]["replicas"] == 1
    assert after["status"] == {"phase": "Ready"}
    assert owners(after) == {"alice": {".spec.replicas"}, "alice/status": {".status.phase"}}
    assert ssa(after, deployment(replicas=1))["status"] == {"phase": "Ready"}


def test_null_is_a_value_that_can_conflict_and_be_owned() -> None:
    live = put(None, deployment(replicas=2, zones=["a"]))
    with pytest.raises(ApplyConflict):
        ssa(live, deployment(replicas=None))
    after = ssa(live, deployment(replicas=None), force=True)
    assert after["spec"] == {"replicas": None, "zones": ["a"]}
    assert ssa(after, deployment(replicas=None), minute=3) is after


def test_what_was_there_before_the_first_apply_has_an_owner() -> None:
    live = deployment(replicas=2, zones=["a"])
    after = ssa(live, deployment(zones=["b"]))
    assert owners(after)["before-first-apply"] == {
        ".spec",
        ".spec.replicas",
        ".spec.zones",
        '.spec.zones[="a"]',
    }
    with pytest.raises(ApplyConflict):
        ssa(live, deployment(replicas=3))


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "somebody"])
def test_kubectl_may_change_what_it_applied_client_side(manager: str) -> None:
    first = {**deployment(replicas=2, zones=["a"]), "apiVersion": "apps/v1"}
    first["metadata"]["annotations"] = {labels.LAST_APPLIED: json.dumps(first)}
    live = put(None, first, manager)
    after = ssa(live, {**deployment(replicas=3), "apiVersion": "apps/v1"}, "kubectl", minute=1)
    assert after["spec"] == {"replicas": 3, "zones": ["a"]}
    assert owners(after)["kubectl"] == {".spec.replicas"}
    kept = json.loads(after["metadata"]["annotations"][labels.LAST_APPLIED])
    assert kept["spec"] == {"replicas": 3}, "client-side apply finds its way back"


def test_kubectl_keeps_the_last_applied_annotation_true() -> None:
    live = ssa(None, deployment(replicas=2), "kubectl")
    live["metadata"]["annotations"] = {labels.LAST_APPLIED: "{}"}
    after = ssa(live, deployment(replicas=4), "kubectl", force=True)
    recorded = json.loads(after["metadata"]["annotations"][labels.LAST_APPLIED])
    assert recorded["spec"] == {"replicas": 4}
    assert "managedFields" not in recorded["metadata"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            deployment(containers=[{"name": "a"}, {"name": "a"}]),
            'containers[1]: duplicate entries for key [name="a"]',
        ),
        (
            deployment(containers=[{"image": "a"}]),
            "containers[0]: an item of this list needs its key field (name)",
        ),
        (deployment(zones=["a", "a"]), 'spec.zones[1]: duplicate entries for key [="a"]'),
        ({"metadata": {"managedFields": [{}]}}, "metadata.managedFields: must be empty"),
    ],
)
def test_a_config_that_cannot_be_applied_says_where(config: Obj, text: str) -> None:
    with pytest.raises(PatchError) as caught:
        ssa(None, config)
    assert text in str(caught.value)


def test_without_a_schema_lists_are_atomic_and_maps_are_shared() -> None:
    live = ssa(None, {"metadata": {}, "spec": {"a": {"x": 1}, "list": [1]}}, schema=None)
    after = ssa(live, {"metadata": {}, "spec": {"a": {"y": 2}, "list": [1]}}, "carol", schema=None)
    assert after["spec"] == {"a": {"x": 1, "y": 2}, "list": [1]}
    with pytest.raises(ApplyConflict):
        ssa(after, {"metadata": {}, "spec": {"list": [2]}}, "dave", schema=None)


# Ordinary writes


def test_an_update_owns_what_it_changes_and_loses_what_it_removes() -> None:
    live = put(None, deployment(replicas=2, zones=["a"]))
    after = put(live, deployment(replicas=3), "carol", minute=1)
    assert owners(after) == {"bob": {".spec"}, "carol": {".spec.replicas"}}


def test_a_write_that_changes_nothing_leaves_the_entries_alone() -> None:
    live = put(None, deployment(replicas=2))
    assert put(live, copy.deepcopy(live), "carol", minute=9) == live


def test_a_removal_by_one_is_a_removal_for_all() -> None:
    live = ssa(None, deployment(replicas=2, containers=[{"name": "web", "image": "a"}]))
    gone = edited(live)
    del gone["spec"]["template"]
    assert owners(put(live, gone)) == {"alice": {".spec.replicas"}}


def test_an_empty_list_resets_the_entries_until_the_next_apply() -> None:
    live = put(None, deployment(replicas=2))
    reset = put(live, {**live, "metadata": {**live["metadata"], "managedFields": [{}]}})
    assert reset["metadata"]["managedFields"] == []
    assert put(reset, edited(reset, replicas=3))["metadata"]["managedFields"] == []
    assert "before-first-apply" in owners(ssa(reset, deployment(zones=["a"])))


def test_entries_written_by_hand_are_taken_over_if_they_make_sense() -> None:
    live = put(None, deployment(replicas=2))
    mine = {"manager": "dora", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1"}
    good = {**mine, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    bad = {**mine, "fieldsV1": {"f:spec": {"f:replicas": 7}}}
    for entry, owner in ((good, "dora"), (bad, "bob"), ({**good, "manager": 3}, "bob")):
        edit = {**live, "metadata": {**live["metadata"], "managedFields": [entry]}}
        assert list(owners(put(live, edit))) == [owner]


def test_a_status_write_has_an_entry_of_its_own() -> None:
    live = put(None, deployment(replicas=2), "bob")
    after = put(live, {**live, "status": {"replicas": 2}}, "bob", subresource="status")
    assert owners(after) == {
        "bob": {".spec", ".spec.replicas"},
        "bob/status": {".status", ".status.replicas"},
    }


def test_many_updaters_are_folded_into_ancient_changes() -> None:
    live = put(None, deployment(zones=[]))
    for number in range(14):
        zones = [*live["spec"]["zones"], f"z{number}"]
        live = put(live, edited(live, zones=zones), f"m{number:02}", minute=number + 1)
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert "ancient-changes" in managers
    assert {path for found in owners(live).values() for path in found} >= {
        f'.spec.zones[="z{n}"]' for n in range(14)
    }


def test_a_scalar_that_becomes_a_map_belongs_to_who_made_it() -> None:
    live = put(None, deployment(extra={"a": "x"}))
    after = put(live, edited(live, extra={"a": {"b": 1}}), "carol")
    assert owners(after) == {
        "bob": {".spec", ".spec.extra"},
        "carol": {".spec.extra.a", ".spec.extra.a.b"},
    }


# Laws

Strategies = dict[str, st.SearchStrategy[Any]]

texts = st.sampled_from(["1", "2"])
variable: Strategies = {"name": st.sampled_from("AB"), "value": texts}
variables = st.lists(st.fixed_dictionaries(variable), unique_by=lambda item: str(item["name"]), max_size=2)
container: Strategies = {"name": st.sampled_from(["web", "side", "init"])}
container_options: Strategies = {"image": texts, "args": st.lists(texts, max_size=2), "env": variables}
containers = st.lists(
    st.fixed_dictionaries(container, optional=container_options),
    unique_by=lambda item: str(item["name"]),
    max_size=3,
)
spec_options: Strategies = {
    "replicas": st.integers(0, 2),
    "zones": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
    "selector": st.fixed_dictionaries({"matchLabels": st.dictionaries(st.sampled_from("ab"), texts)}),
    "extra": st.dictionaries(st.sampled_from("ab"), texts | st.lists(texts) | st.dictionaries(texts, texts)),
    "containers": containers,
}
nothing: Strategies = {}
specs = st.fixed_dictionaries(nothing, optional=spec_options)
configs: st.SearchStrategy[Obj] = specs.map(lambda spec: deployment(**spec))


@given(configs, configs)
def test_applying_twice_is_applying_once(first: Obj, second: Obj) -> None:
    live = ssa(None, first)
    once = ssa(live, second, minute=1)
    assert ssa(once, second, minute=2) is once


@given(configs, configs)
def test_what_a_forced_apply_says_is_there_and_owned(other: Obj, config: Obj) -> None:
    live = ssa(None, other, "carol")
    after = ssa(live, config, force=True)
    said = _spec_fields(config)
    assert _exists(said, _spec_fields(after))
    assert set(fieldset.paths(said)) == owners(after).get("alice", set())


@given(configs)
def test_a_lone_applier_gets_exactly_its_last_config(config: Obj) -> None:
    live = ssa(None, deployment(replicas=1, zones=["z"], containers=[{"name": "old", "image": "x"}]))
    assert ssa(live, config)["spec"] == config["spec"] or _without_empty(ssa(live, config)) == _without_empty(
        config
    )


@given(configs, configs)
def test_disjoint_configs_never_conflict_and_both_hold(first: Obj, second: Obj) -> None:
    schema = DEPLOYMENT.child("spec")
    mine, theirs = (fieldset.fields_of(config["spec"], schema) for config in (first, second))
    live = ssa(None, first)
    if fieldset.intersection(mine, theirs):
        return
    after = ssa(live, second, "carol")
    assert ssa(after, first, minute=2) is after
    assert ssa(after, second, "carol", minute=2) is after


@given(configs, configs, configs)
def test_forced_ownership_never_leaves_anyone_owning_what_is_not_there(a: Obj, b: Obj, c: Obj) -> None:
    live = ssa(ssa(None, a), b, "carol", force=True)
    after = put(live, {**live, "spec": c["spec"]}, "bob")
    for entry in after["metadata"]["managedFields"]:
        assert _exists(entry["fieldsV1"], _spec_fields(after)), entry["manager"]


@given(configs, configs)
def test_apply_never_touches_what_it_was_given(first: Obj, second: Obj) -> None:
    live = ssa(None, first, "carol")
    before = copy.deepcopy((live, second))
    ssa(live, second, force=True)
    put(live, second)
    assert (live, second) == before


def _spec_fields(obj: Obj) -> fieldset.FieldSet:
    return fieldset.fields_of({"spec": obj["spec"]}, DEPLOYMENT)


def _exists(fields: fieldset.FieldSet, there: fieldset.FieldSet) -> bool:
    return all(key == "." or (key in there and _exists(node, there[key])) for key, node in fields.items())


def _without_empty(obj: Any) -> Any:
    if isinstance(obj, dict):
        cleaned = {key: _without_empty(value) for key, value in obj.items() if key != "managedFields"}
        return {key: value for key, value in cleaned.items() if value not in ({}, [])}
    return [_without_empty(item) for item in obj] if isinstance(obj, list) else obj
