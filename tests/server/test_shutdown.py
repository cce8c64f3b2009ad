"""Shutting down while clients are at work: watches end whole, writes are finished, nobody is kept waiting."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from springtide.store import SqliteLog, Store
from tests.server.https import Served, eventually, serving_https
from tests.server.serving import CONFIGMAPS, configmap


def session(served: Served) -> aiohttp.ClientSession:
    trust = ssl.create_default_context(cadata=served.credentials.ca_data.decode())
    return aiohttp.ClientSession(
        served.url,
        headers={"authorization": f"Bearer {served.credentials.admin_token}"},
        connector=aiohttp.TCPConnector(ssl=trust),
    )


class Stubborn:
    """A client that watches, and watches again the moment its watch ends."""

    def __init__(self) -> None:
        self.whole = 0
        self.events = 0
        self.refusals: list[tuple[int, str]] = []

    async def watch(self, asking: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with asking.get(CONFIGMAPS, params={"watch": "true"}) as response:
                    if response.status != 200:
                        status: dict[str, Any] = await response.json()
                        self.refusals.append((response.status, status["reason"]))
                        continue
                    async for line in response.content:
                        json.loads(line)
                        self.events += 1
                    self.whole += 1  # the last, empty chunk was there: otherwise aiohttp raises
            except aiohttp.ClientConnectorError:
                return


@pytest.mark.realtime
async def test_clients_that_come_back_at_once_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served, session(served) as asking:
        clients = [Stubborn() for _ in range(5)]
        watching = [asyncio.create_task(client.watch(asking)) for client in clients]
        async with asking.post(CONFIGMAPS, json=configmap("a")) as response:
            assert response.status == 201
        await eventually(lambda: all(client.events for client in clients))
        began = time.monotonic()
        await served.https.stop()
        assert time.monotonic() - began < 2
        await asyncio.wait_for(asyncio.gather(*watching), 5)
        assert all(client.whole >= 1 for client in clients)
        assert {refusal for client in clients for refusal in client.refusals} <= {(503, "ServiceUnavailable")}


@pytest.mark.realtime
async def test_writes_under_way_are_answered_and_stored(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served, session(served) as asking:

        async def write(number: int) -> int:
            async with asking.post(CONFIGMAPS, json=configmap(f"c{number}")) as response:
                return response.status

        writing = [asyncio.create_task(write(number)) for number in range(50)]
        await eventually(lambda: served.store.count("configmaps") >= 10)
        await served.https.stop()
        answers = await asyncio.gather(*writing, return_exceptions=True)
        stored = [number for number, answer in enumerate(answers) if answer == 201]
        assert len(stored) >= 10
    store = Store(SqliteLog(tmp_path), monotonic=time.monotonic)
    kept = {record.key for record in store.page("configmaps", "default/").records}
    assert kept >= {f"default/c{number}" for number in stored}
    await store.close()
