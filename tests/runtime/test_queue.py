"""The work queue: once per key, never twice at a time, nothing lost, failures later."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from springtide.runtime import Backoff, WorkQueue
from springtide.simulation import loop


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_worked_on_comes_again_afterwards() -> None:
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_failures_back_off_to_a_limit_and_success_forgets_them() -> None:
    queue = WorkQueue(Backoff(base_seconds=1, limit_seconds=5))
    waits = []
    queue.add("a")
    for _ in range(5):
        started = now()
        await queue.get()
        waits.append(now() - started)
        queue.failed("a")
    assert waits == [0, 1, 2, 4, 5]
    await queue.get()
    queue.done("a")
    queue.add("a")
    await queue.get()
    assert queue.failed("a") == 1


async def test_a_change_does_not_wait_for_the_backoff() -> None:
    queue = WorkQueue(Backoff(base_seconds=100))
    queue.add("a")
    await queue.get()
    queue.failed("a")
    queue.add("a")
    await queue.get()
    assert now() == 0
    assert not queue.delayed


async def test_looking_again_is_the_earliest_of_what_was_asked() -> None:
    queue = WorkQueue()
    queue.add_after("a", 50)
    queue.add_after("a", 10)
    queue.add_after("a", 30)
    await queue.get()
    assert now() == 10
    queue.done("a", 7)
    await queue.get()
    assert now() == 17
    queue.done("a")
    assert queue.idle
    assert not queue.delayed


async def test_busy_keys_do_not_starve_others() -> None:
    queue = WorkQueue()
    queue.add("busy")
    queue.add("quiet")
    served = []
    for _ in range(4):
        key = await queue.get()
        served.append(key)
        queue.add("busy")
        queue.done(key)
    assert served[:3] == ["busy", "quiet", "busy"]


async def test_a_worker_that_dies_does_not_take_a_key_with_it() -> None:
    queue = WorkQueue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")  # wakes the first
    first.cancel()
    assert await second == "a"


async def test_depth_and_waiting_time_are_reported() -> None:
    depths, waits = list[int](), list[float]()
    queue = WorkQueue(on_depth=depths.append, on_wait=waits.append)
    queue.add("a")
    queue.add("b")
    await asyncio.sleep(3)
    await queue.get()
    assert depths == [1, 2, 1]
    assert waits == [3]


@given(seed=st.integers(0, 2**32), workers=st.integers(1, 4), keys=st.integers(1, 5))
def test_never_twice_at_a_time_and_nothing_lost(seed: int, workers: int, keys: int) -> None:
    """Whatever the interleaving: the last state of every key is worked on after it was written."""

    async def main() -> None:
        dice = random.Random(seed)
        queue = WorkQueue(Backoff(base_seconds=0.1, limit_seconds=1))
        wanted, reached = dict[str, int](), dict[str, int]()
        active = set[str]()

        async def work() -> None:
            while True:
                key = await queue.get()
                assert key not in active
                active.add(key)
                seen = wanted[key]
                await asyncio.sleep(dice.random())
                active.remove(key)
                if dice.random() < 0.3:
                    queue.failed(key)
                else:
                    reached[key] = seen
                    queue.done(key, dice.choice([None, dice.random()]) if seen < 5 else None)

        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for _ in range(40):
            key = str(dice.randrange(keys))
            wanted[key] = wanted.get(key, 0) + 1
            queue.add(key) if dice.random() < 0.7 else queue.add_after(key, dice.random())
            if dice.random() < 0.5:
                await asyncio.sleep(dice.random())
            if dice.random() < 0.1:
                victim = dice.randrange(workers)
                if not active:
                    tasks[victim].cancel()
                    tasks[victim] = asyncio.create_task(work())
        await asyncio.sleep(1000)
        for task in tasks:
            if task.done():
                await task
            task.cancel()
        assert reached == wanted
        queue.close()

    loop.run(main(), seed=seed)
