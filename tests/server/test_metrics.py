"""/metrics and /readyz: what is counted under which name, and what makes the server not ready."""

from __future__ import annotations

import asyncio
import re

import pytest
from prometheus_client import CollectorRegistry, Gauge

from springtide.store import Limits, MemoryLog, WriteFailed
from tests.server.serving import CONFIGMAPS, PODS, Api, configmap, pod, serving


async def metrics(api: Api) -> dict[str, float]:
    """Every sample by its name and labels as they stand in the text."""
    answer = await api.get("/metrics")
    assert answer.status == 200
    lines = [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def requests(found: dict[str, float]) -> dict[tuple[str, ...], float]:
    """Counted requests by verb, resource, subresource, scope and code."""
    wanted = ("verb", "resource", "subresource", "scope", "code")
    counted = {}
    for name, value in found.items():
        if name.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            counted[tuple(labels[label] for label in wanted)] = value
    return counted


async def test_requests_are_counted_by_verb_resource_scope_and_code() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        await api.post(CONFIGMAPS, configmap("a"))
        await api.get(CONFIGMAPS)
        await api.get("/api/v1/configmaps")
        await api.get(f"{CONFIGMAPS}/a")
        await api.patch(f"{CONFIGMAPS}/a", {"data": {"x": "y"}})
        await api.get(f"{PODS}/none/status")
        await api.watch(CONFIGMAPS)
        counted = requests(await metrics(api))
        assert (
            counted.items()
            >= {
                ("POST", "configmaps", "", "resource", "201"): 1.0,
                ("POST", "configmaps", "", "resource", "409"): 1.0,
                ("LIST", "configmaps", "", "namespace", "200"): 1.0,
                ("LIST", "configmaps", "", "cluster", "200"): 1.0,
                ("GET", "configmaps", "", "resource", "200"): 1.0,
                ("PATCH", "configmaps", "", "resource", "200"): 1.0,
                ("GET", "pods", "status", "resource", "404"): 1.0,
                ("WATCH", "configmaps", "", "namespace", "200"): 1.0,
            }.items()
        )


async def test_nobody_can_make_up_labels() -> None:
    async with serving() as api:
        before = len(requests(await metrics(api)))
        for number in range(20):
            await api.get(f"/apis/made.up/v1/namespaces/default/things{number}")
            await api.get(f"/nowhere/{number}")
            await api.get(f"{PODS}/a/made-up-{number}")
            await api.ask(f"MADE{number}", PODS)
        assert len(requests(await metrics(api))) - before < 6


async def test_a_slow_write_is_in_the_histogram_and_in_flight_meanwhile() -> None:
    log = MemoryLog()
    async with serving(log) as api:
        log.commit_after_seconds = 0.3
        writing = asyncio.create_task(api.post(CONFIGMAPS, configmap("a")))
        await asyncio.sleep(0.1)
        found = await metrics(api)
        assert found['apiserver_current_inflight_requests{request_kind="mutating"}'] == 1
        assert found["springtide_store_pending_writes"] == 1
        await writing
        found = await metrics(api)
        assert found['apiserver_current_inflight_requests{request_kind="mutating"}'] == 0
        name = next(
            one
            for one in found
            if one.startswith("apiserver_request_duration_seconds_sum") and "configmaps" in one
        )
        assert found[name] == pytest.approx(0.3)
        buckets = name.replace("_sum", "_bucket")
        assert found[buckets.replace(",resource=", ',le="0.2",resource=')] == 0
        assert found[buckets.replace(",resource=", ',le="0.4",resource=')] == 1


async def test_the_store_says_how_it_is() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        watcher = api.store.watch("pods", after=api.store.revision)
        found = await metrics(api)
        assert found['apiserver_resource_objects{group="",resource="pods"}'] == 1
        assert found['apiserver_longrunning_requests{group="",resource="pods",verb="WATCH"}'] == 1
        assert found["springtide_store_revision"] == api.store.revision
        assert found["etcd_server_quota_backend_bytes"] == 2 * 1024**3
        assert found["etcd_mvcc_db_total_size_in_use_in_bytes"] > 0
        watcher.close()


async def test_metrics_of_others_in_the_process_are_shown_too() -> None:
    async with serving() as api:
        registry = CollectorRegistry()
        Gauge("springtide_something", "A number.", registry=registry).set(7)
        api.server.measure_too(registry)
        assert (await metrics(api))["springtide_something"] == 7


async def test_a_full_disk_a_full_database_and_a_shutdown_make_it_not_ready_but_alive() -> None:
    log = MemoryLog()
    async with serving(log) as api:
        assert (await api.get("/readyz")).body == b"ok"
        log.fail_writes(WriteFailed("the disk is full"))
        await api.post(CONFIGMAPS, configmap("a"))
        assert b"[-]etcd failed: the last write failed: the disk is full" in (await api.get("/readyz")).body
        log.fail_writes(None)
        await api.post(CONFIGMAPS, configmap("a"))
        assert (await api.get("/readyz")).status == 200
        api.store.limits = Limits(database_bytes=1)
        assert (await api.get("/readyz/store-space")).status == 500
        assert (await metrics(api))["springtide_store_full"] == 1
        api.store.limits = Limits()
        api.server.shut_down()
        assert (await api.get("/readyz")).status == 500
        assert (await api.get("/livez")).body == b"ok"


async def test_a_full_database_refuses_what_grows_and_lets_delete() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a", terminationGracePeriodSeconds=5, nodeName="somewhere"))
        api.store.limits = Limits(database_bytes=1)
        refused = await api.post(CONFIGMAPS, configmap("a"))
        assert refused.refusal == (507, "InsufficientStorage")
        assert "database space exceeded" in refused.json["message"]
        assert (await api.delete(f"{PODS}/a")).json["metadata"]["deletionGracePeriodSeconds"] == 5
        assert (await api.delete(f"{PODS}/a", gracePeriodSeconds="0")).status == 200
        assert (await api.get(f"{PODS}/a")).status == 404


async def test_an_object_that_is_too_large_is_refused() -> None:
    async with serving() as api:
        api.store.limits = Limits(object_bytes=2000)
        refused = await api.post(
            PODS, {**pod("a"), "metadata": {"name": "a", "annotations": {"x": "y" * 3000}}}
        )
        assert refused.refusal == (413, "RequestEntityTooLarge")
        assert "limit is 2000" in refused.json["message"]
