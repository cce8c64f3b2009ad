"""EndpointSlices and Endpoints follow the pods behind a Service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from springtide.api.commands import Apply
from springtide.api.core import Endpoints, Service
from springtide.api.struct import decode, replace
from springtide.builtin.endpoint_plan import plan
from tests import builders
from tests.builtin.cluster import Cluster, Json, cluster

NAMESPACE = "/api/v1/namespaces/default"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def service(**spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }


async def pod(world: Cluster, name: str, address: str = "", **changes: Any) -> None:
    """A pod of the service; with an address it runs and is ready."""
    spec = {"containers": [{"name": "main", "image": "x", **changes}], "nodeName": "n"}
    metadata = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    await world.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    if address:
        await report(world, name, address, ready=True)


async def report(world: Cluster, name: str, address: str, *, ready: bool, phase: str = "Running") -> None:
    condition = {"type": "Ready", "status": str(ready)}
    body = {"status": {"phase": phase, "podIP": address, "conditions": [condition]}}
    await world.patch(f"{NAMESPACE}/pods/{name}/status", body)


async def slices(world: Cluster) -> list[Json]:
    await asyncio.sleep(2)
    found = await world.get(SLICES)
    assert found is not None
    return list(found["items"])


async def addresses(world: Cluster) -> dict[str, bool]:
    """Address -> whether it is ready, over all slices."""
    return {
        endpoint["addresses"][0]: endpoint["conditions"]["ready"]
        for piece in await slices(world)
        for endpoint in piece["endpoints"]
    }


async def test_addresses_come_with_pods_turn_ready_and_go_with_them() -> None:
    async with cluster() as world:
        await world.create(service())
        await pod(world, "a")
        assert await addresses(world) == {}
        await report(world, "a", "127.77.1.1", ready=False)
        await pod(world, "b", "127.77.1.2")
        assert await addresses(world) == {"127.77.1.1": False, "127.77.1.2": True}
        await report(world, "a", "127.77.1.1", ready=True)
        assert await addresses(world) == {"127.77.1.1": True, "127.77.1.2": True}
        await report(world, "b", "127.77.1.2", ready=False, phase="Succeeded")
        assert await addresses(world) == {"127.77.1.1": True}
        await world.patch(f"{NAMESPACE}/pods/a", {"metadata": {"labels": {"app": "other"}}})
        assert await addresses(world) == {}


async def test_a_slice_says_whose_it_is_and_where_its_pods_are() -> None:
    async with cluster() as world:
        await world.create(service())
        await pod(world, "a", "127.77.1.1")
        (piece,) = await slices(world)
        assert piece["metadata"]["labels"] == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert piece["metadata"]["ownerReferences"][0]["kind"] == "Service"
        assert piece["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
        (endpoint,) = piece["endpoints"]
        assert (endpoint["nodeName"], endpoint["targetRef"]["name"]) == ("n", "a")
        older = await world.get(f"{NAMESPACE}/endpoints/web")
        assert older is not None
        assert older["subsets"][0]["addresses"][0]["ip"] == "127.77.1.1"
        await world.delete(f"{NAMESPACE}/services/web")
        assert await slices(world) == []
        assert await world.get(f"{NAMESPACE}/endpoints/web") is None


async def test_a_named_port_may_have_another_number_in_every_pod() -> None:
    async with cluster() as world:
        await world.create(service(ports=[{"port": 80, "targetPort": "http"}]))
        await pod(world, "a", "127.77.1.1", ports=[{"name": "http", "containerPort": 8000}])
        await pod(world, "b", "127.77.1.2", ports=[{"name": "http", "containerPort": 9000}])
        found = {
            piece["ports"][0]["port"]: piece["endpoints"][0]["addresses"] for piece in await slices(world)
        }
        assert found == {8000: ["127.77.1.1"], 9000: ["127.77.1.2"]}


async def test_a_headless_service_may_want_its_pods_before_they_are_ready() -> None:
    async with cluster() as world:
        await world.create(service(clusterIP="None", publishNotReadyAddresses=True))
        await pod(world, "a")
        await report(world, "a", "127.77.1.1", ready=False)
        assert await addresses(world) == {"127.77.1.1": True}
        (piece,) = await slices(world)
        assert "service.kubernetes.io/headless" in piece["metadata"]["labels"]
        assert await world.get(f"{NAMESPACE}/endpoints/web") is None


async def test_many_pods_are_cut_into_pieces_of_a_hundred() -> None:
    async with cluster() as world:
        await world.create(service())
        for number in range(120):
            await pod(world, f"p{number}", f"127.77.1.{number + 1}")
        sizes = sorted(len(piece["endpoints"]) for piece in await slices(world))
        assert sizes == [20, 100]


async def test_nothing_is_written_when_nothing_changed() -> None:
    async with cluster() as world:
        await world.create(service())
        await pod(world, "a", "127.77.1.1")
        await slices(world)
        before = await world.revision()
        await asyncio.sleep(15)
        await world.patch(f"{NAMESPACE}/pods/a", {"metadata": {"annotations": {"note": "x"}}})
        await asyncio.sleep(15)
        assert int(await world.revision()) == int(before) + 1


async def test_a_service_without_a_selector_is_left_to_its_maker() -> None:
    async with cluster() as world:
        await world.create(service(selector={}))
        await pod(world, "a", "127.77.1.1")
        assert await slices(world) == []


async def test_only_the_services_that_select_a_pod_hear_of_it() -> None:
    async with cluster() as world:
        for name, selector in (("web", {"app": "web"}), ("both", {"app": "web", "tier": "x"})):
            made = service(selector=selector)
            made["metadata"]["name"] = name
            await world.create(made)
        await pod(world, "a", "127.77.1.1")
        assert await addresses(world) == {"127.77.1.1": True}
        await world.patch(f"{NAMESPACE}/services/both", {"spec": {"selector": {"tier": None}}})
        pieces = await slices(world)
        named = {piece["metadata"]["labels"]["kubernetes.io/service-name"]: piece for piece in pieces}
        assert [len(named[name]["endpoints"]) for name in ("both", "web")] == [1, 1]


@pytest.mark.parametrize(("ready", "waiting"), [(1000, 0), (1001, 0), (900, 200)])
def test_the_older_kind_has_no_more_addresses_than_it_can_bear(ready: int, waiting: int) -> None:
    pods = [
        builders.pod(f"p{number}", phase="Running", ready=number < ready, labelled={"app": "web"})
        for number in range(ready + waiting)
    ]
    pods = [replace(one, status=replace(one.status, pod_ip=f"10.0.0.{n}")) for n, one in enumerate(pods)]
    decided = plan(decode(Service, service(clusterIP="10.1.0.1")), pods, [], None)
    (older,) = [one for one in decided.commands if isinstance(one, Apply) and one.kind is Endpoints]
    (subset,) = older.fields["subsets"]
    assert len(subset["addresses"]) == min(ready, 1000)
    assert len(subset.get("notReadyAddresses", ())) == min(waiting, 1000 - min(ready, 1000))
    told = older.fields["metadata"].get("annotations", {})
    over = {"endpoints.kubernetes.io/over-capacity": "truncated"}
    assert told == (over if ready + waiting > 1000 else {})


async def test_services_find_their_pods_by_whatever_label_each_selects() -> None:
    async with cluster() as world:
        names = [f"team-{number}" for number in range(12)]
        for number, name in enumerate(names):
            made = service(selector={name: "yes", "zone": "w"} if number % 2 else {name: "yes"})
            await world.create({**made, "metadata": {"name": name, "namespace": "default"}})
            await pod(world, name, f"127.77.1.{number + 1}")
            await world.patch(
                f"{NAMESPACE}/pods/{name}", {"metadata": {"labels": {name: "yes", "zone": "w"}}}
            )
        found = {
            piece["metadata"]["labels"]["kubernetes.io/service-name"]: [
                one["addresses"][0] for one in piece["endpoints"]
            ]
            for piece in await slices(world)
        }
    assert found == {name: [f"127.77.1.{number + 1}"] for number, name in enumerate(names)}
