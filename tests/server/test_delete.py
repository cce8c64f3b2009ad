"""DELETE: finalizers, grace, propagation, preconditions, collections."""

from __future__ import annotations

import pytest

from tests.server.serving import CONFIGMAPS, PODS, configmap, pod, serving


async def test_a_deleted_object_is_gone_and_its_name_is_free() -> None:
    async with serving() as api:
        uid = (await api.post(CONFIGMAPS, configmap("a"))).json["metadata"]["uid"]
        answer = await api.delete(f"{CONFIGMAPS}/a")
        assert (answer.status, answer.json["status"], answer.json["details"]["uid"]) == (200, "Success", uid)
        assert (await api.delete(f"{CONFIGMAPS}/a")).refusal == (404, "NotFound")
        assert (await api.post(CONFIGMAPS, configmap("a"))).status == 201


async def test_finalizers_hold_an_object_until_the_last_is_removed() -> None:
    async with serving() as api:
        body = configmap("a")
        body["metadata"]["finalizers"] = ["example.dev/one", "example.dev/two"]
        await api.post(CONFIGMAPS, body)
        held = (await api.delete(f"{CONFIGMAPS}/a")).json["metadata"]
        assert held["deletionTimestamp"]
        again = await api.delete(f"{CONFIGMAPS}/a")
        assert again.version == held["resourceVersion"], "a second delete changes nothing"
        added = await api.patch(f"{CONFIGMAPS}/a", {"metadata": {"finalizers": ["example.dev/three"]}})
        assert added.wrong_fields == ["metadata.finalizers"]
        await api.patch(f"{CONFIGMAPS}/a", {"metadata": {"finalizers": ["example.dev/two"]}})
        assert (await api.get(f"{CONFIGMAPS}/a")).status == 200
        await api.patch(f"{CONFIGMAPS}/a", {"metadata": {"finalizers": None}})
        assert (await api.get(f"{CONFIGMAPS}/a")).status == 404


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None), ("", None)],
)
async def test_propagation_is_recorded_for_the_garbage_collector(
    policy: str, finalizers: list[str] | None
) -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        await api.delete(f"{CONFIGMAPS}/a", {"propagationPolicy": policy} if policy else None)
        found = await api.get(f"{CONFIGMAPS}/a")
    if finalizers is None:
        assert found.status == 404
    else:
        assert found.json["metadata"]["finalizers"] == finalizers


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [
        ({"preconditions": {"uid": "other"}}, {}, 409),
        ({"preconditions": {"resourceVersion": "1"}}, {}, 409),
        ({"propagationPolicy": "Sideways"}, {}, 422),
        (None, {"gracePeriodSeconds": "-1"}, 400),
        (None, {"gracePeriodSeconds": "soon"}, 400),
        (None, {"dryRun": "All"}, 200),
        ({"dryRun": ["All"]}, {}, 200),
    ],
)
async def test_a_delete_that_does_not_happen(body: object, query: dict[str, str], status: int) -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        assert (await api.delete(f"{CONFIGMAPS}/a", body, **query)).status == status
        assert (await api.get(f"{CONFIGMAPS}/a")).status == 200


async def test_a_pod_that_runs_nowhere_goes_at_once() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        await api.delete(f"{PODS}/a")
        assert (await api.get(f"{PODS}/a")).status == 404


async def test_a_bound_pod_waits_for_its_node_which_deletes_it_with_grace_0() -> None:
    async with serving() as api:
        created = (await api.post(PODS, pod("a", nodeName="n1"))).json["metadata"]
        going = (await api.delete(f"{PODS}/a")).json["metadata"]
        assert going["deletionTimestamp"] == "2026-01-01T00:00:30Z"
        assert (going["deletionGracePeriodSeconds"], going["generation"]) == (30, created["generation"] + 1)
        sooner = (await api.delete(f"{PODS}/a", gracePeriodSeconds="5")).json["metadata"]
        assert (sooner["deletionTimestamp"], sooner["deletionGracePeriodSeconds"]) == (
            "2026-01-01T00:00:05Z",
            5,
        )
        later = (await api.delete(f"{PODS}/a", gracePeriodSeconds="60")).json["metadata"]
        assert later["deletionGracePeriodSeconds"] == 5
        gone = await api.delete(
            f"{PODS}/a", {"gracePeriodSeconds": 0, "preconditions": {"uid": created["uid"]}}
        )
        assert gone.json["metadata"]["uid"] == created["uid"]
        assert (await api.get(f"{PODS}/a")).status == 404


async def test_a_finished_pod_needs_no_grace() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a", nodeName="n1"))
        await api.patch(f"{PODS}/a/status", {"status": {"phase": "Succeeded"}})
        assert (await api.delete(f"{PODS}/a")).json["kind"] == "Pod"
        assert (await api.get(f"{PODS}/a")).status == 404


async def test_deleting_a_collection_takes_what_the_selector_chooses() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a", labels={"job": "x"}))
        await api.post(PODS, pod("b", labels={"job": "x"}, nodeName="n1"))
        await api.post(PODS, pod("c", labels={"job": "y"}))
        answer = await api.delete(PODS, labelSelector="job=x")
        assert sorted(answer.names) == ["a", "b"]
        left = (await api.get(PODS)).json["items"]
    assert [(item["metadata"]["name"], "deletionTimestamp" in item["metadata"]) for item in left] == [
        ("b", True),
        ("c", False),
    ]


async def test_a_collection_is_deleted_within_the_limits_that_a_list_has() -> None:
    async with serving() as api:
        for name in ("a", "b", "c"):
            await api.post(CONFIGMAPS, configmap(name))
        refused = await api.delete(CONFIGMAPS, resourceVersionMatch="Exact")
        assert refused.refusal == (422, "Invalid")
        assert (await api.delete(CONFIGMAPS, limit="2")).names == ["a", "b"]
        assert (await api.get(CONFIGMAPS)).names == ["c"]
