"""The server behind HTTPS: credentials, limits, compression, streams that end with their client."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from pathlib import Path

import pytest

from springtide import client
from springtide.api.core import ConfigMap
from springtide.api.meta import ObjectMeta
from tests.server.https import Served, eventually, serving_https
from tests.server.serving import CONFIGMAPS, configmap

pytestmark = pytest.mark.realtime

Reply = tuple[int, dict[str, str], bytes]


async def raw(served: Served, head: str, body: bytes = b"", *, token: str | None = None) -> Reply:
    """One request on a connection of its own, without a client library: status, headers, body."""
    host, port = served.url.removeprefix("https://").split(":")
    trust = ssl.create_default_context(cadata=served.credentials.ca_data.decode())
    reader, writer = await asyncio.open_connection(host, int(port), ssl=trust)
    known = served.credentials.admin_token if token is None else token
    credentials = f"authorization: Bearer {known}\r\n" if known else ""
    more = f"host: {host}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(f"{head}{credentials}{more}".encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    first, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), rest


async def test_who_has_no_credentials_sees_health_and_version_only(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        for path, status in (("/healthz", 200), ("/version", 200), ("/api", 401), (CONFIGMAPS, 401)):
            assert (await raw(served, f"GET {path} HTTP/1.1\r\n", token=""))[0] == status
        code, _, body = await raw(served, f"GET {CONFIGMAPS} HTTP/1.1\r\n", token="wrong")
        assert (code, json.loads(body)["reason"]) == (401, "Unauthorized")
        assert "not one of this server's" in json.loads(body)["message"]
        code, _, body = await raw(
            served, f"GET {CONFIGMAPS} HTTP/1.1\r\nauthorization: Basic eDp5\r\n", token=""
        )
        assert "Basic" in json.loads(body)["message"]


async def test_a_body_that_is_too_large_is_refused_whether_announced_or_not(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        big = json.dumps(configmap("a", x="x" * 3_500_000)).encode()
        code, _, body = await raw(served, f"POST {CONFIGMAPS} HTTP/1.1\r\n", big)
        assert (code, json.loads(body)["reason"]) == (413, "RequestEntityTooLarge")


async def test_big_answers_are_compressed_for_who_asks(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        for name in "abc":
            body = json.dumps(configmap(name, x="x" * 100_000)).encode()
            assert (await raw(served, f"POST {CONFIGMAPS} HTTP/1.1\r\n", body))[0] == 201
        head = f"GET {CONFIGMAPS} HTTP/1.1\r\naccept-encoding: gzip\r\n"
        _, headers, packed = await raw(served, head)
        assert headers["content-encoding"] == "gzip"
        _, headers, plain = await raw(served, f"GET {CONFIGMAPS} HTTP/1.1\r\n")
        assert "content-encoding" not in headers
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain) / 10


async def test_warnings_travel_as_headers(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        body = json.dumps({**configmap("a"), 'odd"field': 1}).encode()
        _, headers, _ = await raw(served, f"POST {CONFIGMAPS} HTTP/1.1\r\n", body)
    assert headers["warning"] == '299 - "unknown field \\"odd\\"field\\""'


async def test_answers_on_one_connection_come_in_order_whatever_form_each_takes(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        body = json.dumps(configmap("a", x="y")).encode()
        asked = (  # created, read, only its head, not JSON, missing
            ("POST", CONFIGMAPS, body),
            ("GET", f"{CONFIGMAPS}/a", b""),
            ("HEAD", f"{CONFIGMAPS}/a", b""),
            ("GET", "/healthz", b""),
            ("GET", f"{CONFIGMAPS}/none", b""),
        )
        host, port = served.url.removeprefix("https://").split(":")
        trust = ssl.create_default_context(cadata=served.credentials.ca_data.decode())
        reader, writer = await asyncio.open_connection(host, int(port), ssl=trust)
        for method, path, sent in asked:  # all at once: none waits for the answer before it
            token = served.credentials.admin_token
            head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}"
            writer.write(f"{head}\r\ncontent-length: {len(sent)}\r\n\r\n".encode() + sent)
        seen = []
        for method, *_ in asked:
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            assert headers["cache-control"] == "no-cache, private"
            if method != "HEAD":
                content = await reader.readexactly(int(headers["content-length"]))
                assert (headers["content-type"] == "application/json") == content.startswith(b"{")
            seen.append(int(status.split()[1]))
        writer.close()
        await writer.wait_closed()
    assert seen == [201, 200, 200, 200, 404]


async def test_a_watch_streams_and_ends_with_its_client(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        api = client.connect(served.connection)
        version = (await api.list(ConfigMap, "default")).resource_version
        watching = api.watch(ConfigMap, "default", resource_version=version)
        first = asyncio.ensure_future(anext(aiter(watching)))
        await eventually(lambda: served.store.watchers == 1)
        made = await api.create(
            ConfigMap(metadata=ObjectMeta(name="a", namespace="default"), data={"x": "1"})
        )
        assert await first == client.WatchEvent("ADDED", made)
        await watching.aclose()
        await api.close()
        await eventually(lambda: served.store.watchers == 0)


async def test_stopping_ends_open_watches_at_once(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with serving_https(tmp_path) as served:
        watching = asyncio.create_task(raw(served, f"GET {CONFIGMAPS}?watch=true HTTP/1.1\r\n"))
        await eventually(lambda: served.store.watchers == 1)
        began = loop.time()
        await served.https.stop()
        assert loop.time() - began < 2
        status, _, body = await watching
        assert (status, body) == (200, b"0\r\n\r\n")


async def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    from springtide.server import Authenticator, HttpsServer

    async with serving_https(tmp_path) as served:
        port = int(served.url.rpartition(":")[2])
        second = HttpsServer(served.server, Authenticator({}), served.credentials, port=port)
        with pytest.raises(OSError, match="in use"):
            await second.start()


async def test_a_client_certificate_names_user_and_groups(tmp_path: Path) -> None:
    from tests.server.certificates import issue

    async with serving_https(tmp_path) as served:
        seen = []
        handle = served.server.handle

        async def note(request):  # type: ignore[no-untyped-def]
            seen.append(request.user)
            return await handle(request)

        served.server.handle = note  # type: ignore[method-assign]
        certificate, key = issue(served.folder / "pki", "jane", ("team-a", "system:masters"))
        connection = client.Connection(
            server=served.url, ca_data=served.credentials.ca_data, certificate_data=certificate, key_data=key
        )
        api = client.connect(connection)
        assert (await api.list(ConfigMap, "default")).items == []
        await api.close()
    assert (seen[0].name, seen[0].groups) == ("jane", ("team-a", "system:masters", "system:authenticated"))


async def test_not_modified_says_nothing_about_type_or_length(tmp_path: Path) -> None:
    """Caches merge the headers of a 304 into the answer they keep; kubectl would forget what it holds."""
    async with serving_https(tmp_path) as served:
        accept = "accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n"
        _, headers, _ = await raw(served, f"GET /apis HTTP/1.1\r\n{accept}")
        again = f"if-none-match: {headers['etag']}\r\n"
        code, headers, body = await raw(served, f"GET /apis HTTP/1.1\r\n{accept}{again}")
        assert (code, body) == (304, b"")
        assert not {"content-type", "content-length"} & headers.keys()
