"""PUT and PATCH: conflicts, isolation of status, no-ops, generation, server-side apply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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


async def test_an_update_based_on_an_old_version_is_refused() -> None:
    async with serving() as api:
        old = (await api.post(CONFIGMAPS, configmap("a", x="1"))).json
        new = {**old, "data": {"x": "2"}}
        updated = await api.put(f"{CONFIGMAPS}/a", new)
        assert (updated.status, updated.json["data"]) == (200, {"x": "2"})
        stale = await api.put(f"{CONFIGMAPS}/a", {**old, "data": {"x": "3"}})
        assert stale.refusal == (409, "Conflict")
        assert "the object has been modified" in stale.json["message"]
        unconditional = await api.put(f"{CONFIGMAPS}/a", configmap("a", x="4"))
        assert unconditional.json["data"] == {"x": "4"}


async def test_an_update_of_another_incarnation_is_refused() -> None:
    async with serving() as api:
        body = (await api.post(CONFIGMAPS, configmap("a"))).json
        body["metadata"] = {"name": "a", "uid": "of-an-earlier-one"}
        assert (await api.put(f"{CONFIGMAPS}/a", body)).refusal == (409, "Conflict")
        body["metadata"] = {"name": "b"}
        assert (await api.put(f"{CONFIGMAPS}/a", body)).refusal == (400, "BadRequest")
        assert (await api.put(f"{CONFIGMAPS}/b", configmap("b"))).refusal == (404, "NotFound")


async def test_identity_survives_whatever_an_update_says() -> None:
    async with serving() as api:
        old = (await api.post(CONFIGMAPS, configmap("a"))).json["metadata"]
        body = configmap("a", x="1")
        body["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
        new = (await api.put(f"{CONFIGMAPS}/a", body)).json["metadata"]
        body["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z"
        refused = await api.put(f"{CONFIGMAPS}/a", body)
    assert refused.wrong_fields == ["metadata.deletionTimestamp"]
    assert [new.get(key) for key in ("uid", "creationTimestamp", "deletionTimestamp")] == [
        old["uid"],
        old["creationTimestamp"],
        None,
    ]


@pytest.mark.parametrize("method", ["PUT", MERGE, JSON_PATCH, STRATEGIC, APPLY])
async def test_a_write_that_changes_nothing_makes_no_revision(method: str) -> None:
    async with serving() as api:
        config = configmap("a", x="1")
        await api.patch(f"{CONFIGMAPS}/a", config, APPLY, fieldManager="me")
        before = api.store.revision
        if method == "PUT":
            answer = await api.put(f"{CONFIGMAPS}/a", configmap("a", x="1"))
        elif method == JSON_PATCH:
            answer = await api.patch(
                f"{CONFIGMAPS}/a", [{"op": "test", "path": "/data/x", "value": "1"}], method
            )
        else:
            answer = await api.patch(f"{CONFIGMAPS}/a", config, method, fieldManager="me")
        assert answer.status == 200
        assert answer.version == str(before)
        assert api.store.revision == before


@pytest.mark.parametrize(
    ("media_type", "body", "data"),
    [
        (MERGE, {"data": {"x": None, "z": "3"}}, {"y": "2", "z": "3"}),
        (STRATEGIC, {"data": {"x": None, "z": "3"}}, {"y": "2", "z": "3"}),
        (JSON_PATCH, [{"op": "replace", "path": "/data/x", "value": "9"}], {"x": "9", "y": "2"}),
    ],
)
async def test_patches(media_type: str, body: Any, data: dict[str, str]) -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a", x="1", y="2"))
        answer = await api.patch(f"{CONFIGMAPS}/a", body, media_type)
    assert (answer.status, answer.json["data"]) == (200, data)


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        (JSON_PATCH, [{"op": "test", "path": "/data/x", "value": "2"}], 422),
        (JSON_PATCH, {"op": "test"}, 400),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": []}], 400),
        (MERGE, [], 400),
        (MERGE, {"metadata": {"name": "b"}}, 400),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
        (MERGE, {"data": {"x": 5}}, 422),
        ("text/plain", b"x", 415),
    ],
)
async def test_a_patch_that_cannot_be_done_changes_nothing(media_type: str, body: Any, status: int) -> None:
    async with serving() as api:
        created = await api.post(CONFIGMAPS, configmap("a", x="1"))
        answer = await api.patch(f"{CONFIGMAPS}/a", body, media_type)
        assert answer.status == status
        assert (await api.get(f"{CONFIGMAPS}/a")).json == created.json


async def test_a_dry_run_of_a_patch_stores_nothing() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a", x="1"))
        answer = await api.patch(f"{CONFIGMAPS}/a", {"data": {"x": "2"}}, dryRun="All")
        assert answer.json["data"] == {"x": "2"}
        assert (await api.get(f"{CONFIGMAPS}/a")).json["data"] == {"x": "1"}


async def test_generation_counts_changes_of_spec_only() -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        generations = [(await api.post(GADGETS, gadget("a"))).json["metadata"]["generation"]]
        for path, body in (
            (f"{GADGETS}/a", {"metadata": {"labels": {"x": "1"}}}),
            (f"{GADGETS}/a", {"spec": {"size": 2}}),
            (f"{GADGETS}/a/status", {"status": {"size": 2}}),
            (f"{GADGETS}/a", {"spec": {"size": 2}}),
            (f"{GADGETS}/a", {"spec": {"size": 3}}),
        ):
            generations.append((await api.patch(path, body)).json["metadata"]["generation"])
    assert generations == [1, 1, 2, 2, 2, 3]


async def test_spec_and_status_have_separate_writers() -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        body: Json = {**gadget("a"), "status": {"phase": "faked"}}
        created = (await api.post(GADGETS, body)).json
        assert "status" not in created
        status = {**created, "spec": {"size": 9}, "status": {"phase": "Ready"}}
        after = (await api.put(f"{GADGETS}/a/status", status)).json
        assert (after["spec"]["size"], after["status"]) == (1, {"phase": "Ready"})
        main = (await api.patch(f"{GADGETS}/a", {"spec": {"size": 2}, "status": {"phase": "faked"}})).json
        assert (main["spec"]["size"], main["status"]) == (2, {"phase": "Ready"})
        owners = {(e["manager"], e.get("subresource", "")) for e in main["metadata"]["managedFields"]}
        assert owners == {("tester", ""), ("tester", "status")}


async def test_labels_can_be_set_through_the_status_of_built_in_kinds_only() -> None:
    labels = {"metadata": {"labels": {"seen": "yes"}}, "status": {}}
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        await api.post(GADGETS, gadget("a"))
        await api.post(PODS, pod("a"))
        assert "labels" not in (await api.patch(f"{GADGETS}/a/status", labels)).json["metadata"]
        assert (await api.patch(f"{PODS}/a/status", labels)).json["metadata"]["labels"] == {"seen": "yes"}


async def test_apply_creates_changes_and_takes_back_what_its_manager_owns() -> None:
    async with serving() as api:
        path = f"{CONFIGMAPS}/a"
        created = await api.patch(path, configmap("a", x="1", y="1"), APPLY, fieldManager="me")
        assert created.status == 201
        await api.patch(path, configmap("a", z="1"), APPLY, fieldManager="you")
        shrunk = await api.patch(path, configmap("a", x="1"), APPLY, fieldManager="me")
        assert (shrunk.status, shrunk.json["data"]) == (200, {"x": "1", "z": "1"})
        conflict = await api.patch(path, configmap("a", z="2"), APPLY, fieldManager="me")
        assert conflict.refusal == (409, "Conflict")
        assert conflict.wrong_fields == [".data.z"]
        forced = await api.patch(path, configmap("a", z="2"), APPLY, fieldManager="me", force="true")
        assert forced.json["data"] == {"z": "2"}


@pytest.mark.parametrize(
    ("path", "body", "query", "status"),
    [
        (f"{CONFIGMAPS}/a", configmap("a"), {}, 422),
        (f"{CONFIGMAPS}/a", configmap("b"), {"fieldManager": "me"}, 400),
        (f"{PODS}/a/status", {"apiVersion": "v1", "kind": "Pod", "status": {}}, {"fieldManager": "me"}, 404),
        (
            f"{CONFIGMAPS}/a",
            {**configmap("a"), "metadata": {"name": "a", "uid": "x"}},
            {"fieldManager": "me"},
            409,
        ),
        (
            f"{CONFIGMAPS}/a",
            {**configmap("a"), "daat": {}},
            {"fieldManager": "me", "fieldValidation": "Strict"},
            400,
        ),
    ],
    ids=["no manager", "another name", "status of nothing", "of another incarnation", "unknown field"],
)
async def test_an_apply_that_is_refused(path: str, body: Json, query: dict[str, str], status: int) -> None:
    async with serving() as api:
        assert (await api.patch(path, body, APPLY, **query)).status == status


async def test_concurrent_patches_all_count() -> None:
    async with serving() as api:
        api.log.commit_after_seconds = 0.5
        await api.post(CONFIGMAPS, configmap("a"))
        await asyncio.gather(*(api.patch(f"{CONFIGMAPS}/a", {"data": {f"k{n}": "1"}}) for n in range(20)))
        assert len((await api.get(f"{CONFIGMAPS}/a")).json["data"]) == 20


async def test_a_refusal_waits_for_the_write_it_rests_on() -> None:
    """Who is told `AlreadyExists` finds the object, even if it was still on its way to the disk."""
    async with serving() as api:
        api.log.commit_after_seconds = 1.0
        first = asyncio.ensure_future(api.post(CONFIGMAPS, configmap("a")))
        await asyncio.sleep(0)
        second = await api.post(CONFIGMAPS, configmap("a"))
        assert second.refusal == (409, "AlreadyExists")
        assert (await api.get(f"{CONFIGMAPS}/a")).status == 200
        assert (await first).status == 201
