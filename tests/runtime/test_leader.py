"""One leader at a time, whatever clocks, crashes and outages do."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from springtide.api.coordination import Lease
from springtide.client import Client
from springtide.runtime import Election, LeaderSettings, LeadershipLost, LoopClock
from springtide.runtime.clock import EPOCH
from tests.client.fake_api import FakeApi


class Candidate:
    """A process that wants to lead; its wall clock may be wrong, its network may break."""

    def __init__(self, api: FakeApi, name: str, log: list[str], *, skew_seconds: float = 0) -> None:
        self.api = api
        self.name = name
        self.log = log
        self.started = asyncio.Event()
        clock = LoopClock(EPOCH + timedelta(seconds=skew_seconds), seed=hash(skew_seconds))
        self.election = Election(Client(api), clock, LeaderSettings(identity=name))
        self.task = asyncio.create_task(self.election.lead(self._work))

    async def _work(self) -> None:
        self.log.append(f"{self.name} starts")
        self.started.set()
        try:
            await asyncio.sleep(1e9)
        finally:
            self.log.append(f"{self.name} stops")

    async def stop(self) -> None:
        """End politely."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def lease(api: FakeApi) -> Lease:
    return await Client(api).get(Lease, "springtide", "kube-system")


async def test_one_leads_and_the_next_follows_at_once_when_it_stops() -> None:
    api, log = FakeApi(), list[str]()
    one, two = Candidate(api, "one", log), Candidate(api, "two", log)
    await asyncio.sleep(100)
    assert log == ["one starts"]
    held = (await lease(api)).spec
    assert (held.holder_identity, held.lease_duration_seconds, held.lease_transitions) == ("one", 15, 0)
    assert held.renew_time is not None
    assert held.renew_time.microsecond != 0  # MicroTime needs its six digits
    await one.stop()
    assert (await lease(api)).spec.holder_identity == ""
    await asyncio.sleep(3)
    assert log == ["one starts", "one stops", "two starts"]
    assert (await lease(api)).spec.lease_transitions == 1
    await two.stop()


@pytest.mark.parametrize("skew_seconds", [-3600.0, 0.0, 3600.0])
async def test_a_dead_leader_is_followed_after_the_lease_whatever_the_clocks_say(skew_seconds: float) -> None:
    api, log = FakeApi(), list[str]()
    one = Candidate(api, "one", log)
    await asyncio.sleep(5)
    two = Candidate(api, "two", log, skew_seconds=skew_seconds)
    await asyncio.sleep(20)
    assert log == ["one starts"]
    one.election.leading = False  # killed: nothing is released
    await one.stop()
    died = asyncio.get_running_loop().time()
    await two.started.wait()
    assert 13 <= asyncio.get_running_loop().time() - died <= 15 + 2 * 2.4
    await two.stop()


async def test_a_leader_cut_off_stops_before_another_starts() -> None:
    api, log = FakeApi(), list[str]()
    cut_off = FakeApi()
    one = Candidate(cut_off, "one", log)
    cut_off.objects = api.objects  # one store, two networks
    await asyncio.sleep(20)
    two = Candidate(api, "two", log)
    await asyncio.sleep(20)
    cut_off.down = True
    with pytest.raises(LeadershipLost):
        await one.task
    assert log == ["one starts", "one stops"]
    await asyncio.sleep(20)
    assert log == ["one starts", "one stops", "two starts"]
    await two.stop()


async def test_a_server_that_hangs_is_an_outage_too() -> None:
    api, log = FakeApi(), list[str]()
    one = Candidate(api, "one", log)
    await asyncio.sleep(20)
    started = asyncio.get_running_loop().time()
    api.latency_seconds = 1000
    with pytest.raises(LeadershipLost):
        await one.task
    assert asyncio.get_running_loop().time() - started <= 12


async def test_a_short_outage_is_no_loss() -> None:
    api, log = FakeApi(), list[str]()
    one = Candidate(api, "one", log)
    await asyncio.sleep(20)
    api.down = True
    await asyncio.sleep(5)
    api.down = False
    await asyncio.sleep(100)
    assert log == ["one starts"]
    await one.stop()


async def test_a_failure_of_the_work_is_the_callers() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    election = Election(Client(FakeApi()), LoopClock(), LeaderSettings(identity="me"))
    with pytest.raises(ExceptionGroup) as caught:
        await election.lead(fail)
    assert caught.group_contains(ZeroDivisionError)


def test_durations_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="lease_seconds 5 must exceed renew_deadline_seconds 10"):
        LeaderSettings(identity="me", lease_seconds=5)
