"""The floor on the embedded server: what the fakes promise is what a server does."""

import asyncio
from functools import partial

import pytest

from springtide.api.commands import Apply, Bind, Command, Create, Delete, Emit
from springtide.api.containers import Container
from springtide.api.coordination import Lease
from springtide.api.core import ConfigMap, Event, Pod, PodSpec
from springtide.api.meta import ObjectMeta
from springtide.api.trainer import TrainJob
from springtide.client import Conflict, NotFound, find
from springtide.runtime import Election, LeaderSettings
from tests.embedded import embedded


def a_config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


def a_pod(name: str) -> Pod:
    spec = PodSpec(containers=[Container(name="main", image="none")], scheduler_name="springtide")
    return Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


async def test_a_cache_follows_and_reads_own_writes() -> None:
    async with embedded(lambda runtime: runtime.informer(ConfigMap)) as platform:
        runtime = platform.runtime
        cache = runtime.informer(ConfigMap).cache
        await asyncio.sleep(1)
        (made,) = await runtime.apply("tests", [Create(a_config_map("a", x="1"))])
        assert cache.get("default/a") is not None
        await platform.client.patch(ConfigMap, "a", "default", {"data": {"y": "2"}})
        await asyncio.sleep(1)
        found = cache.get("default/a")
        assert found is not None
        assert found.data == {"x": "1", "y": "2"}
        assert found.metadata.managed_fields == []
        assert made.metadata.managed_fields != []
        await runtime.apply("tests", [Delete(ConfigMap, "default", "a", made.metadata.uid)])
        await asyncio.sleep(1)
        assert cache.get("default/a") is None


async def test_preconditions_hold() -> None:
    async with embedded() as platform:
        client, runtime = platform.client, platform.runtime
        made = await client.create(a_config_map("a", x="1"))
        other = "00000000-0000-0000-0000-000000000000"
        fields = {"data": {"x": "2"}}
        skipped: list[Command] = [
            Create(a_config_map("a")),
            Apply(ConfigMap, "default", "a", fields, uid=other),
            Apply(ConfigMap, "default", "gone", fields, uid=other),
            Apply(Pod, "default", "gone", {"status": {"phase": "Failed"}}, subresource="status", uid=other),
            Apply(Pod, "default", "gone", {"status": {"phase": "Failed"}}, subresource="status"),
            Delete(ConfigMap, "default", "a", other),
            Delete(ConfigMap, "default", "gone", other),
            Bind("default", "gone", other, "node-1"),
        ]
        assert await runtime.apply("tests", skipped) == []
        assert (await client.get(ConfigMap, "a", "default")) == made
        with pytest.raises(NotFound):
            await client.get(ConfigMap, "gone", "default")
        applied = Apply(ConfigMap, "default", "a", fields, uid=made.metadata.uid)
        (changed,) = await runtime.apply("tests", [applied])
        assert isinstance(changed, ConfigMap)
        assert changed.data == {"x": "2"}
        (again,) = await runtime.apply("tests", [applied])
        assert (
            again.metadata.resource_version == changed.metadata.resource_version
        )  # the second writes nothing


async def test_binding_checks_the_uid_and_happens_once() -> None:
    async with embedded() as platform:
        client = platform.client
        pod = await client.create(a_pod("p"))
        with pytest.raises(Conflict):
            await client.bind("default", "p", "node-1", uid="another")
        await client.bind("default", "p", "node-1", uid=pod.metadata.uid)
        assert (await client.get(Pod, "p", "default")).spec.node_name == "node-1"
        with pytest.raises(Conflict):
            await client.bind("default", "p", "node-2", uid=pod.metadata.uid)


async def test_a_bound_pod_lingers_while_it_stops() -> None:
    async with embedded() as platform:
        client = platform.client
        pod = await client.create(a_pod("p"))
        await client.bind("default", "p", "node-1")
        pods = client.collection(Pod)
        lingering = await pods.delete("p", "default", uid=pod.metadata.uid, grace_period_seconds=30)
        assert lingering is not None
        assert lingering.metadata.deletion_timestamp is not None
        assert await pods.delete("p", "default", grace_period_seconds=0) is None


async def test_pages_are_one_snapshot() -> None:
    async with embedded() as platform:
        client = platform.client
        for number in range(5):
            await client.create(a_config_map(f"c{number}"))
        first = await client.list(ConfigMap, "default", limit=2)
        await client.delete(ConfigMap, "c4", "default")
        second = await client.list(ConfigMap, "default", limit=10, continue_=first.continue_)
        assert [o.metadata.name for o in (*first.items, *second.items)][:5] == ["c0", "c1", "c2", "c3", "c4"]
        assert second.resource_version == first.resource_version


async def test_discovery_finds_built_in_and_custom_kinds() -> None:
    async with embedded() as platform:
        resources = await platform.client.discover()
        assert find(resources, "po").kind == "Pod"
        found = find(resources, "trainjobs.trainer.kubeflow.org")
        assert (found.kind, found.namespaced, found.status) == ("TrainJob", True, True)
        jobs = platform.client.dynamic(found)
        raw = {"metadata": {"name": "j", "namespace": "default"}, "spec": {"runtimeRef": {"name": "plain"}}}
        made = await jobs.create(raw)
        assert made["kind"] == "TrainJob"
        assert (await platform.client.get(TrainJob, "j", "default")).spec.runtime_ref.name == "plain"


async def test_events_and_leases_are_accepted() -> None:
    async with embedded() as platform:
        client, runtime = platform.client, platform.runtime
        made = await client.create(a_config_map("a"))
        for _ in range(2):
            await runtime.apply("tests", [Emit(made, "Tested", "it works")])
            await asyncio.sleep(1)
        (event,) = (await client.list(Event, "default")).items
        assert (event.count, event.reason, event.involved_object.name) == (2, "Tested", "a")

        election = Election(client, runtime.clock, LeaderSettings(identity="me", namespace="default"))
        task = asyncio.create_task(election.lead(partial(asyncio.sleep, 1e9)))
        await asyncio.sleep(5)
        assert (await client.get(Lease, "springtide", "default")).spec.holder_identity == "me"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get(Lease, "springtide", "default")).spec.holder_identity == ""
