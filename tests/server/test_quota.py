"""Quotas hold for requests that come together, and the sum is exact whatever happens to what it counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.quantity import parse
from springtide.server.quota_usage import charge_of, covers, pod_amounts, unstated, written
from springtide.store import WriteFailed
from tests.server.serving import PODS, serving

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
Json = dict[str, Any]


def quota(name: str = "q", **hard: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name},
        "spec": {"hard": {key.replace("_", "."): value for key, value in hard.items()}},
    }


def pod(name: str, cpu: str = "100m", **spec: Any) -> Json:
    container = {"name": "main", "image": "x:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }


async def _used(api: Any, name: str = "q") -> Json:
    found: Json = (await api.get(f"{QUOTAS}/{name}")).json["status"]["used"]
    return found


async def test_of_many_creates_at_once_as_many_get_through_as_fit() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota(pods="7", requests_cpu="1"))
        answers = await asyncio.gather(*(api.post(PODS, pod(f"p{index}")) for index in range(50)))
        assert sorted(answer.status for answer in answers) == [201] * 7 + [403] * 43
        assert await _used(api) == {"pods": "7", "requests.cpu": "700m"}


async def test_used_is_exact_after_every_way_to_go() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota(pods="10"))
        for name in ("deleted", "ended", "held", "swept"):
            await api.post(PODS, pod(name))
        assert await _used(api) == {"pods": "4"}
        await api.delete(f"{PODS}/deleted")
        assert await _used(api) == {"pods": "3"}
        await api.patch(f"{PODS}/ended/status", {"status": {"phase": "Succeeded"}})
        assert await _used(api) == {"pods": "2"}, "a pod that has ended uses no compute"
        await api.patch(f"{PODS}/held", {"metadata": {"finalizers": ["example.com/hold"]}})
        await api.delete(f"{PODS}/held")
        assert await _used(api) == {"pods": "2"}, "a pod that is held is still there"
        await api.patch(f"{PODS}/held", {"metadata": {"finalizers": None}})
        assert await _used(api) == {"pods": "1"}
        await api.delete(PODS)
        assert await _used(api) == {"pods": "0"}


async def test_a_new_quota_counts_what_is_there() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        await api.post(QUOTAS, quota(pods="1", requests_cpu="1"))
        assert await _used(api) == {"pods": "1", "requests.cpu": "100m"}
        await api.patch(f"{QUOTAS}/q", {"spec": {"hard": {"configmaps": "5"}}})
        assert (await _used(api))["configmaps"] == "0"


async def test_a_quota_that_is_gone_binds_nobody() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota(pods="0"))
        assert (await api.post(PODS, pod("a"))).status == 403
        await api.delete(f"{QUOTAS}/q")
        assert (await api.post(PODS, pod("a"))).status == 201


async def test_a_status_that_was_written_by_hand_is_put_right() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota(pods="5"))
        await api.patch(f"{QUOTAS}/q/status", {"status": {"used": {"pods": "5"}}})
        assert (await api.post(PODS, pod("a"))).status == 201
        assert await _used(api) == {"pods": "1"}


async def test_all_quotas_of_a_namespace_hold() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota("wide", pods="5"))
        await api.post(QUOTAS, quota("narrow", pods="1"))
        await api.post(PODS, pod("a"))
        refused = await api.post(PODS, pod("b"))
        assert "exceeded quota: narrow" in refused.json["message"]
        assert await _used(api, "wide") == {"pods": "1"}, "a refused pod is charged nowhere"


async def test_writes_that_were_lost_are_not_counted() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota(pods="2"))
        await api.post(PODS, pod("kept"))
        api.log.fail_writes(WriteFailed("disk full", "free space"))
        assert (await api.post(PODS, pod("lost"))).status == 503
        api.log.fail_writes(None)
        assert (await api.post(PODS, pod("again"))).status == 201
        assert await _used(api) == {"pods": "2"}
        assert (await api.post(PODS, pod("beyond"))).status == 403


async def test_the_account_is_the_same_after_a_restart() -> None:
    async with serving() as api:
        await api.post(QUOTAS, quota(pods="2"))
        await api.post(PODS, pod("a"))
        key, record = "default/q", api.store.latest("resourcequotas", "default/q")
        assert record is not None
        wrong = record.value.replace(b'"used":{"pods":"1"}', b'"used":{"pods":"0"}')
        await api.store.write("resourcequotas", key, wrong, expected=record.revision)
    async with serving(api.log) as again:
        assert await _used(again) == {"pods": "1"}, "what a crash between two writes left is put right"
        await again.post(PODS, pod("b"))
        assert (await again.post(PODS, pod("c"))).status == 403


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=6), st.lists(st.integers(1, 4000), max_size=4))
@settings(max_examples=50)
def test_a_pod_asks_for_its_containers_together_or_its_largest_start(
    main: list[int], init: list[int]
) -> None:
    def containers(amounts: list[int]) -> list[Json]:
        return [{"name": "c", "resources": {"requests": {"cpu": f"{amount}m"}}} for amount in amounts]

    spec = {"containers": containers(main), "initContainers": containers(init)}
    assert pod_amounts(spec, "requests")["cpu"] * 1000 == max(sum(main), *init, 0)


def test_a_sidecar_runs_beside_all_that_start_after_it() -> None:
    def container(cpu: str, **fields: Any) -> Json:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **fields}

    spec = {
        "containers": [container("1")],
        "initContainers": [container("2", restartPolicy="Always"), container("3")],
        "overhead": {"cpu": "500m"},
    }
    assert pod_amounts(spec, "requests")["cpu"] == parse("5500m")


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ({"hard": {"pods": "1"}}, True),
        ({"hard": {"configmaps": "1"}}, False),
        ({"hard": {"pods": "1"}, "scopes": ["Terminating"]}, False),
        ({"hard": {"pods": "1"}, "scopes": ["NotTerminating", "NotBestEffort"]}, True),
    ],
)
def test_which_quotas_count_a_pod(spec: Json, counted: bool) -> None:
    assert covers(spec, charge_of("pods", pod("a"))) is counted


def test_what_is_not_stated_is_listed_by_resource_and_container() -> None:
    spec = {"containers": [{"name": "b"}, {"name": "a"}]}
    assert unstated(spec, ["requests.cpu", "pods"]) == "must specify requests.cpu for: a,b"


@pytest.mark.parametrize(
    ("resource", "amount", "text"),
    [
        ("requests.memory", "1.5Gi", "1536Mi"),
        ("requests.memory", "1G", "1G"),
        ("cpu", "1500m", "1500m"),
        ("pods", "3", "3"),
    ],
)
def test_amounts_are_written_as_people_wrote_them(resource: str, amount: str, text: str) -> None:
    assert written(resource, parse(amount)) == text
