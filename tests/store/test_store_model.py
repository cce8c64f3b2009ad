"""A stateful model test of the store.

Whatever is written, deleted, compacted, failed or restarted, the store agrees with a dictionary, every
watcher hears each committed change once and in order, and nothing acknowledged is lost.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from springtide.simulation.loop import VirtualLoop
from springtide.store import Compacted, MemoryLog, Store, Watcher, WriteFailed

KEYS = st.sampled_from(["a/1", "a/2", "b/1", "b/2"])
PREFIXES = st.sampled_from(["", "a/", "b/"])


class Follower:
    """A watcher with the state that a client builds from its events."""

    def __init__(self, watcher: Watcher, prefix: str, state: dict[str, bytes], revision: int) -> None:
        self.watcher, self.prefix, self.state, self.revision = watcher, prefix, state, revision


class StoreModel(RuleBasedStateMachine):
    followers = Bundle("followers")

    @initialize()
    def open(self) -> None:
        self.loop = VirtualLoop()
        self.log = MemoryLog()
        self.model: dict[str, bytes] = {}
        self.history: dict[int, dict[str, bytes]] = {1: {}}
        self.counter = 0
        self.store = self.run(self._opened())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def _opened(self) -> Store:
        return Store(self.log, monotonic=self.loop.time)

    @rule(key=KEYS)
    def write(self, key: str) -> None:
        self.counter += 1
        value = str(self.counter).encode()
        record = self.run(self._write(key, value, deleted=False))
        self.model[key] = value
        self.history[record.revision] = dict(self.model)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        if key in self.model:
            record = self.run(self._write(key, b"last", deleted=True))
            del self.model[key]
            self.history[record.revision] = dict(self.model)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4))
    def fail(self, keys: list[str]) -> None:
        self.run(self._fail(keys))

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        self.store.compact(self.store.revision - back)

    @rule()
    def crash_and_restart(self) -> None:
        self.store = self.run(self._opened())

    @rule(target=followers, prefix=PREFIXES, back=st.integers(0, 6))
    def follow(self, prefix: str, back: int) -> Follower:
        revision = max(1, self.store.revision - back)
        try:
            watcher = self.store.watch("pods", prefix, after=revision)
            state = {
                record.key: record.value
                for record in self.store.page("pods", prefix, revision=revision).records
            }
        except Compacted:
            assert revision < self.store.compacted
            revision = self.store.revision
            watcher = self.store.watch("pods", prefix, after=revision)
            state = self._expected(prefix, revision)
        assert state == self._expected(prefix, revision)
        return Follower(watcher, prefix, state, revision)

    @rule(follower=followers)
    def hear(self, follower: Follower) -> None:
        for event in self.run(follower.watcher.batch(0)):
            assert event.revision > follower.revision
            follower.revision = event.revision
            if event.record.deleted:
                del follower.state[event.record.key]
            else:
                assert (event.previous is not None) == (event.record.key in follower.state)
                follower.state[event.record.key] = event.record.value
            assert follower.state == self._expected(follower.prefix, event.revision)

    @invariant()
    def reads_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        page = self.store.page("pods")
        assert {record.key: record.value for record in page.records} == self.model
        assert [record.key for record in page.records] == sorted(self.model)

    async def _write(self, key: str, value: bytes, *, deleted: bool) -> Any:
        latest = self.store.latest("pods", key)
        expected = latest.revision if latest is not None else 0
        return await self.store.write("pods", key, value, expected=expected, deleted=deleted)

    async def _fail(self, keys: list[str]) -> None:
        """Several writes wait for a disk that turns out to be full."""
        self.log.commit_after_seconds = 1.0
        self.log.fail_writes(WriteFailed("full"))
        waiting = [asyncio.ensure_future(self._write(key, b"lost", deleted=False)) for key in keys]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, WriteFailed) for result in results)
        self.log.fail_writes(None)
        self.log.commit_after_seconds = 0.0

    def _expected(self, prefix: str, revision: int) -> dict[str, bytes]:
        state = self.history[max(known for known in self.history if known <= revision)]
        return {key: value for key, value in state.items() if key.startswith(prefix)}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()


StoreModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStoreModel = StoreModel.TestCase
