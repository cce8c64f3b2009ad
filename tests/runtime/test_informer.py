"""An informer keeps its cache equal to the server through everything a network does."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hypothesis import given
from hypothesis import strategies as st

from springtide.api.core import ConfigMap, Pod
from springtide.api.meta import ObjectMeta
from springtide.client import ApiError, Client, NotFound
from springtide.runtime import Backoff, Informer, InformerSettings, LoopClock
from springtide.runtime.informer import Scope
from springtide.simulation import loop
from tests.client.fake_api import FakeApi, config_map, failing

QUICK = InformerSettings(page_size=3, backoff=Backoff(base_seconds=1, limit_seconds=8))


@asynccontextmanager
async def informing(
    api: FakeApi, settings: InformerSettings = QUICK, scope: Scope[ConfigMap] | None = None
) -> AsyncIterator[Informer[ConfigMap]]:
    informer = Informer(Client(api), scope or Scope(ConfigMap), LoopClock(), settings)
    task = asyncio.create_task(informer.run())
    try:
        yield informer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def lists(api: FakeApi) -> int:
    return sum(1 for r in api.requests if "watch" not in r.query and "continue" not in r.query)


async def test_it_lists_pages_then_watches() -> None:
    api = FakeApi()
    for number in range(7):
        api.put("configmaps", config_map(f"c{number}"))
    async with informing(api) as informer:
        assert not informer.synced
        await informer.wait_synced()
        assert len(informer.cache) == 7
        api.put("configmaps", config_map("later"))
        api.remove("configmaps", "default", "c0")
        await asyncio.sleep(0.1)
        assert {obj.key for obj in informer.cache.list()} == api.keys("configmaps")
    assert [r.query.get("limit") for r in api.requests[:3]] == ["3", "3", "3"]


async def test_managed_fields_are_dropped() -> None:
    api = FakeApi()
    obj = config_map("a")
    obj["metadata"]["managedFields"] = [{"manager": "kubectl", "operation": "Apply"}]
    api.put("configmaps", obj)
    async with informing(api) as informer:
        await informer.wait_synced()
        api.put("configmaps", obj | {"metadata": obj["metadata"] | {"name": "b"}})
        await asyncio.sleep(0.1)
        assert [o.metadata.managed_fields for o in informer.cache.list()] == [[], []]


async def test_a_broken_watch_resumes_where_it_was() -> None:
    api = FakeApi()
    async with informing(api) as informer:
        await informer.wait_synced()
        await asyncio.sleep(0.1)
        api.cut_watches()
        api.put("configmaps", config_map("while-away"))
        await asyncio.sleep(5)
        assert "default/while-away" in informer.cache
    assert lists(api) == 1


async def test_a_bookmark_moves_the_version_past_other_kinds_changes() -> None:
    api = FakeApi()
    async with informing(api) as informer:
        await informer.wait_synced()
        api.put("pods", {"metadata": {"name": "p", "namespace": "ns"}})
        api.bookmark("configmaps", "ConfigMap")
        await asyncio.sleep(0.1)
        api.compacted = api.version  # everything before the bookmark is forgotten
        api.end_watches()
        await asyncio.sleep(5)
        assert informer.synced
    assert lists(api) == 1


async def test_a_forgotten_version_is_listed_again() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("old"))
    async with informing(api) as informer:
        await informer.wait_synced()
        await asyncio.sleep(0.1)
        api.down = True
        api.cut_watches()
        await asyncio.sleep(1)
        api.put("configmaps", config_map("new"))
        api.remove("configmaps", "default", "old")
        api.compact()
        api.down = False
        await asyncio.sleep(30)
        assert {obj.key for obj in informer.cache.list()} == {"default/new"}
    assert lists(api) >= 2


async def test_a_continue_token_that_expires_starts_the_list_over() -> None:
    api = FakeApi()
    for number in range(7):
        api.put("configmaps", config_map(f"c{number}"))
    api.script += [lambda _: None, failing(410, "Expired")]
    async with informing(api) as informer:
        await informer.wait_synced()
        assert len(informer.cache) == 7


async def test_an_outage_is_outwaited_with_growing_pauses() -> None:
    api = FakeApi(down=True)
    async with informing(api) as informer:
        await asyncio.sleep(100)
        attempts = len(api.requests)
        assert 12 <= attempts <= 30
        api.down = False
        await asyncio.sleep(10)
        assert informer.synced


async def test_a_server_restored_from_a_backup_is_listed_again() -> None:
    api = FakeApi()
    for number in range(5):
        api.put("configmaps", config_map(f"c{number}"))
    async with informing(api) as informer:
        await informer.wait_synced()
        api.objects.clear()
        api.compact()
        api.version = api.compacted = 1
        api.put("configmaps", config_map("restored"))
        api.script += [failing(504, "Timeout", "too large resource version")] * 5
        api.cut_watches()
        await asyncio.sleep(60)
        assert {obj.key for obj in informer.cache.list()} == {"default/restored"}


async def test_a_lost_event_is_found_by_the_next_list() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    async with informing(api, InformerSettings(relist_seconds=100)) as informer:
        await informer.wait_synced()
        await asyncio.sleep(1)
        api.swallow = 2
        api.remove("configmaps", "default", "a")
        api.put("configmaps", config_map("b"))
        await asyncio.sleep(50)
        assert {obj.key for obj in informer.cache.list()} == {"default/a"}
        await asyncio.sleep(60)
        assert {obj.key for obj in informer.cache.list()} == {"default/b"}


async def test_watches_end_at_random_times_within_their_range() -> None:
    api = FakeApi()
    async with informing(api, InformerSettings(watch_seconds=(10, 20))):
        await asyncio.sleep(300)
    limits = {r.query["timeoutSeconds"] for r in api.requests if "watch" in r.query}
    assert len(limits) > 3
    assert all(10 <= int(limit) <= 20 for limit in limits)


async def test_writes_outside_the_scope_stay_outside() -> None:
    api = FakeApi()
    async with informing(api, scope=Scope(ConfigMap, namespace="ns")) as informer:
        await informer.wait_synced()
        informer.cache.observe(ConfigMap(metadata=ObjectMeta(name="a", namespace="x", resource_version="9")))
        assert len(informer.cache) == 0
        informer.cache.observe(ConfigMap(metadata=ObjectMeta(name="a", namespace="ns", resource_version="9")))
        assert len(informer.cache) == 1
    selected = Informer(Client(api), Scope(Pod, field_selector="spec.nodeName=n1"), LoopClock())
    selected.cache.observe(Pod(metadata=ObjectMeta(name="a", namespace="x", resource_version="9")))
    assert len(selected.cache) == 0


@given(seed=st.integers(0, 2**32))
def test_whatever_happens_the_cache_ends_equal_to_the_server(seed: int) -> None:
    """Any interleaving of writes by others, own writes observed late, cuts, outages, compaction, relists."""

    async def main() -> None:
        dice = random.Random(seed)
        api = FakeApi(latency_seconds=0.2)
        client = Client(api)
        settings = InformerSettings(
            page_size=dice.choice([0, 2]),
            watch_seconds=(5, 10),
            relist_seconds=dice.choice([7, 1e9]),
            backoff=Backoff(base_seconds=0.5, limit_seconds=2),
        )
        writers = list[asyncio.Task[None]]()

        async with informing(api, settings) as informer:

            async def write(name: str) -> None:
                """An own write, whose answer is fed back at some later time."""
                try:
                    obj = await client.apply(ConfigMap, name, "default", {"data": {"x": str(dice.random())}})
                except ApiError:
                    return
                await asyncio.sleep(dice.choice([0, 0.1, 3, 20]))
                informer.cache.observe(obj)

            async def delete(name: str) -> None:
                with suppress(NotFound, ApiError):
                    await client.delete(ConfigMap, name, "default")

            for _ in range(60):
                name = dice.choice("abcd")
                match dice.randrange(9):
                    case 0 | 1 | 2:
                        writers.append(asyncio.create_task(write(name)))
                    case 3 | 4:
                        writers.append(asyncio.create_task(delete(name)))
                    case 5:
                        api.put("configmaps", config_map(name, x=str(dice.random())))
                    case 6:
                        api.cut_watches() if dice.random() < 0.5 else api.end_watches()
                    case 7:
                        api.compact() if dice.random() < 0.5 else api.bookmark("configmaps", "ConfigMap")
                    case _:
                        api.down = not api.down
                await asyncio.sleep(dice.choice([0, 0.1, 1, 3]))
            api.down = False
            await asyncio.gather(*writers)
            await asyncio.sleep(30)
            expected = {
                f"default/{name}": obj["metadata"]["resourceVersion"]
                for (plural, _, name), obj in api.objects.items()
                if plural == "configmaps"
            }
            assert {obj.key: obj.metadata.resource_version for obj in informer.cache.list()} == expected

    loop.run(main(), seed=seed)
