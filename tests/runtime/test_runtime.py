"""Runtime and controllers as a room uses them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest

from springtide.api.commands import Apply, Create, Delete, Emit
from springtide.api.core import ConfigMap, Secret
from springtide.api.meta import ObjectMeta
from springtide.client import Client, Forbidden
from springtide.runtime import Backoff, LeaderSettings, LeadershipLost, LoopClock, Runtime, RuntimeSettings
from tests.client.fake_api import FakeApi, config_map, failing


def keys(obj: ConfigMap) -> Iterable[str]:
    return [obj.key]


def runtime_on(api: FakeApi, **settings: object) -> Runtime:
    return Runtime(Client(api), LoopClock(), RuntimeSettings(**settings))  # type: ignore[arg-type]


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(runtime.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, LeadershipLost):
            await task


async def test_every_object_is_reconciled_at_start_and_on_each_change() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    runtime, seen = runtime_on(api), list[str]()

    async def reconcile(key: str) -> None:
        seen.append(key)

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), keys)])
    async with running(runtime):
        await asyncio.sleep(1)
        assert seen == ["default/a"]
        api.put("configmaps", config_map("b"))
        await asyncio.sleep(1)
        api.remove("configmaps", "default", "a")
        await asyncio.sleep(1)
        assert seen == ["default/a", "default/b", "default/a"]
        assert runtime.idle


async def test_what_an_object_pointed_at_before_hears_of_the_change() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a", owner="old"))
    runtime, seen = runtime_on(api), list[str]()

    async def reconcile(key: str) -> None:
        seen.append(key)

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), lambda obj: [obj.data["owner"]])])
    async with running(runtime):
        await asyncio.sleep(1)
        api.put("configmaps", config_map("a", owner="new"))
        await asyncio.sleep(1)
    assert seen == ["old", "old", "new"]


async def test_a_plan_reads_its_own_writes() -> None:
    api = FakeApi()
    runtime = runtime_on(api)
    informer = runtime.informer(ConfigMap)
    new = ConfigMap(metadata=ObjectMeta(name="made", namespace="default"))
    creates = 0

    async def reconcile(key: str) -> float | None:
        nonlocal creates
        if informer.cache.get("default/made") is None:
            creates += 1
            await runtime.apply("tests", [Create(new)])
            assert informer.cache.get("default/made") is not None
        return 1

    controller = runtime.controller("tests", reconcile, [(informer, keys)])
    api.swallow = 1  # the watch never tells of the write
    async with running(runtime):
        controller.queue.add("start")
        await asyncio.sleep(10)
    assert creates == 1


async def test_informers_are_shared_and_indexes_add_up() -> None:
    runtime = runtime_on(FakeApi())
    one = runtime.informer(ConfigMap, indexes={"data": lambda obj: obj.data})
    two = runtime.informer(ConfigMap, indexes={"name": lambda obj: [obj.metadata.name]})
    assert one is two
    assert one.cache.by_index("data", "x") == one.cache.by_index("name", "x") == []
    assert runtime.informer(ConfigMap, namespace="ns") is not one


async def test_controllers_start_only_when_all_caches_are_warm() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    api.put(
        "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
    )
    runtime = runtime_on(api)
    secrets = runtime.informer(Secret)
    found = list[int]()

    async def reconcile(key: str) -> None:
        found.append(len(secrets.cache))

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), keys)])
    api.script += [failing(500), failing(500), failing(500)]
    async with running(runtime):
        assert not runtime.idle
        await asyncio.sleep(30)
    assert found == [1]


async def test_a_failing_key_backs_off_and_others_go_on() -> None:
    api = FakeApi()
    for name in ("bad", "good"):
        api.put("configmaps", config_map(name))
    runtime = runtime_on(api, backoff=Backoff(base_seconds=1, limit_seconds=60))
    times = dict[str, list[float]]()

    async def reconcile(key: str) -> None:
        times.setdefault(key, []).append(asyncio.get_running_loop().time())
        if key == "default/bad" and len(times[key]) < 5:
            raise [ValueError("a bug"), Forbidden("not allowed")][len(times[key]) % 2]

    runtime.controller("tests.room", reconcile, [(runtime.informer(ConfigMap), keys)])
    async with running(runtime):
        await asyncio.sleep(100)
    assert times == {"default/bad": [0, 1, 3, 7, 15], "default/good": [0]}

    def sample(name: str) -> float | None:
        label = {"controller": "tests.room"}
        return runtime.metrics().get_sample_value(f"springtide_tests_{name}", label)

    assert sample("reconcile_errors_total") == 4
    assert sample("reconcile_seconds_count") == 6
    assert sample("queue_depth") == 0


async def test_queues_are_measured_under_the_names_of_client_go() -> None:
    api = FakeApi()
    for name in ("bad", "slow"):
        api.put("configmaps", config_map(name))
    runtime = runtime_on(api, backoff=Backoff(base_seconds=1, limit_seconds=60))
    failed = list[str]()

    async def reconcile(key: str) -> None:
        if key == "default/slow":
            await asyncio.sleep(1000)
        if not failed:
            failed.append(key)
            raise ValueError("a bug")

    def sample(name: str, **labels: str) -> float | None:
        return runtime.metrics().get_sample_value(f"workqueue_{name}", {"name": "tests", **labels})

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), keys)])
    async with running(runtime):
        await asyncio.sleep(10)
        assert sample("adds_total") == 3
        assert sample("retries_total") == 1
        assert sample("depth") == 1
        assert sample("longest_running_processor_seconds") == sample("unfinished_work_seconds") == 10
        assert sample("queue_duration_seconds_count") == 2
        assert sample("work_duration_seconds_bucket", le="+Inf") == 1


async def test_a_triggers_bug_stops_nothing() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    api.put("configmaps", config_map("b", owner="me"))
    runtime, seen = runtime_on(api), list[str]()

    async def reconcile(key: str) -> None:
        seen.append(key)

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), lambda obj: [obj.data["owner"]])])
    async with running(runtime):
        await asyncio.sleep(1)
    assert seen == ["me"]


async def test_looking_again_after_what_reconcile_returns() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    runtime, times = runtime_on(api), list[float]()

    async def reconcile(key: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return 10 if len(times) < 4 else None

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), keys)])
    async with running(runtime):
        await asyncio.sleep(100)
    assert times == [0, 10, 20, 30]


async def test_workers_share_the_keys() -> None:
    api = FakeApi()
    for number in range(8):
        api.put("configmaps", config_map(str(number)))
    runtime = runtime_on(api)
    active, most = 0, 0

    async def reconcile(key: str) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(1)
        active -= 1

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), keys)], workers=3)
    async with running(runtime):
        await asyncio.sleep(2.5)
        assert most == 3


async def test_apply_writes_as_the_room_and_records_events() -> None:
    api = FakeApi()
    stored = api.put("configmaps", config_map("a"))
    runtime = runtime_on(api)
    informer = runtime.informer(ConfigMap)
    async with running(runtime):
        await asyncio.sleep(1)
        (obj,) = informer.cache.list()
        await runtime.apply(
            "health",
            [
                Apply(ConfigMap, "default", "a", {"data": {"x": "1"}}, uid=stored["metadata"]["uid"]),
                Emit(obj, "Checked", "all is well"),
                Delete(ConfigMap, "default", "gone", "u"),
            ],
        )
        assert informer.cache.list()[0].data == {"x": "1"}
        assert len(api.keys("events")) == 0
        await asyncio.sleep(1)
        assert runtime.idle
    assert len(api.keys("events")) == 1
    managers = {r.query["fieldManager"] for r in api.requests if "fieldManager" in r.query}
    assert managers == {"health"}


async def test_what_was_written_before_a_failure_is_seen() -> None:
    api = FakeApi()
    runtime = runtime_on(api)
    informer = runtime.informer(ConfigMap)
    first, second = (ConfigMap(metadata=ObjectMeta(name=name, namespace="default")) for name in "ab")
    api.script += [lambda _: None, failing(403, "Forbidden")]
    with pytest.raises(Forbidden):
        await runtime.apply("tests", [Create(first), Create(second)])
    assert [obj.metadata.name for obj in informer.cache.list()] == ["a"]


async def test_losing_the_lease_stops_everything() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    runtime = runtime_on(api, leader=LeaderSettings(identity="me"))
    stopped = asyncio.Event()

    async def reconcile(key: str) -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            stopped.set()

    runtime.controller("tests", reconcile, [(runtime.informer(ConfigMap), keys)])
    async with running(runtime) as task:
        await asyncio.sleep(30)
        assert not task.done()
        api.down = True
        with pytest.raises(
            LeadershipLost, match=r"lease kube-system/springtide could not be renewed for 10 s"
        ):
            await task
        assert stopped.is_set()
