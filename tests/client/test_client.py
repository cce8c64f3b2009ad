"""The verbs, from arguments to requests and from answers to values, over the fake."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from springtide.api.core import ConfigMap, Node, Pod
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from springtide.client import (
    AlreadyExists,
    BadRequest,
    Client,
    Conflict,
    NotFound,
    Request,
    Response,
    ServerError,
    TooManyRequests,
    Unreachable,
    WatchEvent,
)
from springtide.client.collection import WATCH_GRACE_SECONDS
from springtide.client.discovery import PODS
from tests.client.fake_api import FakeApi, Target, answering, config_map, failing


def a_config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


async def test_create_read_change_delete() -> None:
    client = Client(FakeApi(), manager="tests")
    made = await client.create(a_config_map("a", x="1"))
    assert made.metadata.uid
    with pytest.raises(AlreadyExists):
        await client.create(a_config_map("a"))
    changed = await client.update(replace(made, data={"x": "2"}))
    with pytest.raises(Conflict):
        await client.update(replace(made, data={"x": "3"}))
    assert (await client.get(ConfigMap, "a", "default")) == changed
    patched = await client.patch(ConfigMap, "a", "default", {"data": {"y": "4"}})
    assert patched.data == {"x": "2", "y": "4"}
    await client.delete(ConfigMap, "a", "default", uid=made.metadata.uid)
    with pytest.raises(NotFound):
        await client.get(ConfigMap, "a", "default")


async def test_requests_carry_manager_and_user_agent() -> None:
    api = FakeApi()
    client = Client(api).with_manager("training")
    await client.create(a_config_map("a"), dry_run=True)
    await client.apply(ConfigMap, "a", "default", {"data": {"x": "1"}}, subresource="")
    create, apply = api.requests
    assert create.query == {"fieldManager": "training", "dryRun": "All"}
    assert create.headers["user-agent"].startswith("springtide/")
    assert create.headers["user-agent"].endswith("(training)")
    assert apply.query == {"fieldManager": "training", "force": "true"}
    assert apply.headers["content-type"] == "application/apply-patch+yaml"


async def test_list_gives_pages() -> None:
    api = FakeApi()
    for name in "abcde":
        api.put("configmaps", config_map(name))
    client = Client(api)
    first = await client.list(ConfigMap, limit=2, label_selector="x=y")
    assert [o.metadata.name for o in first.items] == ["a", "b"]
    second = await client.list(ConfigMap, limit=3, continue_=first.continue_)
    assert [o.metadata.name for o in second.items] == ["c", "d", "e"]
    assert second.continue_ == ""
    assert api.requests[0].query == {"labelSelector": "x=y", "limit": "2"}


async def test_a_list_with_unknown_fields_or_nulls_keeps_them() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("plain"))
    api.put("configmaps", config_map("future") | {"futureField": [1]})
    api.put("configmaps", config_map("null") | {"data": None})
    listed = await Client(api).list(ConfigMap)
    by_name = {obj.metadata.name: obj for obj in listed.items}
    assert by_name["future"].unknown == {"futureField": [1]}
    assert by_name["null"].data == {}
    assert not by_name["plain"].unknown


async def test_an_empty_go_slice_is_null() -> None:
    api = FakeApi()
    api.script.append(lambda _: Response(200, {}, b'{"metadata":{"resourceVersion":"9"},"items":null}'))
    listed = await Client(api).list(Pod)
    assert (listed.items, listed.resource_version) == ([], "9")


async def test_an_answer_that_cannot_be_read_is_the_servers_error() -> None:
    api = FakeApi()
    api.script.append(lambda _: Response(200, {}, b"<html>login</html>"))
    with pytest.raises(ServerError, match=r"GET /api/v1/nodes/n: the server's answer cannot be read"):
        await Client(api).get(Node, "n")


async def test_watch_delivers_what_happens_after_the_version() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("before"))
    client = Client(api)
    async with aclosing(client.watch(ConfigMap, resource_version="1", timeout_seconds=5)) as events:
        api.put("configmaps", config_map("a"))
        api.remove("configmaps", "default", "before")
        seen = [
            (event.type, event.object.metadata.name)
            async for event in events
            if isinstance(event, WatchEvent)
        ]
    assert seen == [("ADDED", "a"), ("DELETED", "before")]
    query = api.requests[-1].query
    assert query["watch"] == query["allowWatchBookmarks"] == "true"


async def test_a_watch_that_outlives_its_time_is_dead() -> None:
    class Silent(FakeApi):
        """A proxy that lost the server: it neither sends nor closes."""

        async def _watch(self, target: Target, request: Request) -> AsyncIterator[bytes]:
            await asyncio.sleep(1e9)
            yield b""

    started = asyncio.get_running_loop().time()
    with pytest.raises(Unreachable, match="the connection is dead"):
        async for _ in Client(Silent()).watch(ConfigMap, resource_version="1", timeout_seconds=60):
            pass
    assert asyncio.get_running_loop().time() - started == 60 + WATCH_GRACE_SECONDS


async def test_a_server_that_asks_to_wait_is_waited_for() -> None:
    api = FakeApi()
    api.put("configmaps", config_map("a"))
    api.script += [failing(429, retry_after="3"), failing(503, retry_after="4")]
    assert (await Client(api).get(ConfigMap, "a", "default")).metadata.name == "a"
    assert asyncio.get_running_loop().time() == 7


async def test_patience_ends() -> None:
    api = FakeApi()
    api.script += [failing(429, retry_after="1")] * 99
    with pytest.raises(TooManyRequests):
        await Client(api).get(ConfigMap, "a", "default")
    assert len(api.requests) == 6


async def test_a_refusal_without_a_time_to_wait_is_raised_at_once() -> None:
    api = FakeApi()
    api.script.append(failing(429))
    with pytest.raises(TooManyRequests):
        await Client(api).get(ConfigMap, "a", "default")


async def test_warnings_reach_the_caller() -> None:
    api, heard = FakeApi(), list[str]()
    header = '299 - "unknown field \\"spec.x\\"", 299 - "v1beta1 is deprecated, use v1"'
    api.script.append(lambda _: Response(200, {"warning": header}, json.dumps(config_map("a")).encode()))
    await Client(api, on_warning=heard.append).get(ConfigMap, "a", "default")
    assert heard == ['unknown field "spec.x"', "v1beta1 is deprecated, use v1"]


async def test_bind_names_node_and_uid() -> None:
    api = FakeApi()
    api.put("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}})
    await Client(api).bind("ns", "p", "node-1", uid="u1")
    request = api.requests[-1]
    assert request.path == "/api/v1/namespaces/ns/pods/p/binding"
    body = json.loads(request.body)
    assert body["target"]["name"] == "node-1"
    assert body["metadata"]["uid"] == "u1"


async def test_deleting_returns_what_lingers() -> None:
    api = FakeApi()
    lingering = config_map("a")
    lingering["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:30Z",
        "deletionGracePeriodSeconds": 30,
        "resourceVersion": "7",
    }
    answers = [
        (lingering, True),
        (config_map("a"), False),  # a server that returns the object it just removed
        ({"kind": "Status", "status": "Success"}, False),
    ]
    configmaps = Client(api).collection(ConfigMap)
    for body, lingers in answers:
        api.script.append(answering(body))
        assert (await configmaps.delete("a", "default") is not None) == lingers


async def test_kinds_only_the_server_knows_are_dicts() -> None:
    api = FakeApi()
    pods = Client(api).dynamic(PODS)
    await pods.create({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"anything": 1}})
    (pod,) = (await pods.list()).items
    assert (pod["kind"], pod["apiVersion"], pod["spec"]) == ("Pod", "v1", {"anything": 1})
    pod["spec"] = {"anything": 2}
    assert (await pods.update(pod))["spec"] == {"anything": 2}
    async with aclosing(pods.watch(resource_version="0", timeout_seconds=1)) as events:
        found = [event.type async for event in events if isinstance(event, WatchEvent)]
        assert found == ["ADDED", "MODIFIED"]


async def test_misuse_is_named() -> None:
    client = Client(FakeApi())
    with pytest.raises(BadRequest, match="use merge, json or strategic"):
        await client.patch(ConfigMap, "a", "default", {}, patch_type="apply")
    with pytest.raises(BadRequest, match=r"metadata\.namespace is empty"):
        await client.create(ConfigMap(metadata=ObjectMeta(name="a")))
