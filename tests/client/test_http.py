"""The HTTPS transport against a real server on a real socket."""

import asyncio
import dataclasses
import gzip
import json
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from springtide.api.core import ConfigMap
from springtide.client import (
    Client,
    Connection,
    ExecPlugin,
    Gone,
    KubeconfigError,
    NotFound,
    Unauthorized,
    Unreachable,
    WatchEvent,
    connect,
)
from springtide.client.http import HttpSettings, HttpTransport
from tests.client.authority import Authority
from tests.client.fake_api import config_map

pytestmark = pytest.mark.realtime

Handler = Callable[[Any], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on a free port; yields its URL."""
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(connection: Connection) -> AsyncIterator[Client]:
    client = connect(connection)
    try:
        yield client
    finally:
        await client.close()


async def echo(request: web.Request) -> web.Response:
    """Answers with a ConfigMap that says what arrived."""
    tls = request.transport.get_extra_info("peercert") if request.transport else None
    names = [value for pair in (tls or {}).get("subject", ()) for key, value in pair if key == "commonName"]
    data = {
        "method": request.method,
        "path": request.raw_path,
        "authorization": request.headers.get("Authorization", ""),
        "encoding": request.headers.get("Accept-Encoding", ""),
        "user": request.headers.get("Impersonate-User", ""),
        "groups": ",".join(request.headers.getall("Impersonate-Group", [])),
        "certificate": ",".join(names),
    }
    return web.json_response(config_map("echo", **data))


async def seen_by(connection: Connection) -> dict[str, str]:
    async with connected(connection) as client:
        return (await client.get(ConfigMap, "echo", "default")).data


async def test_tls_is_verified_with_the_given_authority(tmp_path: Path) -> None:
    authority = Authority()
    async with serving(echo, authority.server_context(tmp_path)) as url:
        data = await seen_by(Connection(url, ca_data=authority.certificate, token="t0ken"))
        assert data["authorization"] == "Bearer t0ken"
        with pytest.raises(Unreachable, match=r"certificate is not trusted .*; check certificate-authority"):
            await seen_by(Connection(url, ca_data=Authority("another").certificate))
        await seen_by(Connection(url, insecure_skip_tls_verify=True))


async def test_the_servers_name_may_differ_from_its_address(tmp_path: Path) -> None:
    authority = Authority()
    async with serving(echo, authority.server_context(tmp_path, host="kubernetes.default")) as url:
        connection = Connection(url, ca_data=authority.certificate)
        with pytest.raises(Unreachable, match="not trusted"):
            await seen_by(connection)
        await seen_by(dataclasses.replace(connection, tls_server_name="kubernetes.default"))


async def test_client_certificates_identify(tmp_path: Path) -> None:
    authority = Authority()
    alice = authority.issue("alice")
    async with serving(echo, authority.server_context(tmp_path, clients=True)) as url:
        connection = Connection(
            url, ca_data=authority.certificate, certificate_data=alice.certificate, key_data=alice.key
        )
        assert (await seen_by(connection))["certificate"] == "alice"
        with pytest.raises(Unreachable):
            await seen_by(Connection(url, ca_data=authority.certificate))
        with pytest.raises(KubeconfigError, match="certificate and key do not fit together"):
            await seen_by(dataclasses.replace(connection, key_data=authority.issue("bob").key))


async def test_paths_queries_and_identity_arrive_as_meant() -> None:
    async with serving(echo) as url:
        connection = Connection(
            url,
            username="admin",
            password="pass",
            impersonate=(("Impersonate-User", "eve"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")),
        )
        async with connected(connection) as client:
            answer = await client.request("GET", "/api/v1/x:y z", query={"labelSelector": "a in (b,c)"})
            data = json.loads(answer.body)["data"]
    assert data["path"] == "/api/v1/x:y%20z?labelSelector=a+in+%28b%2Cc%29"
    assert data["authorization"] == "Basic YWRtaW46cGFzcw=="
    assert (data["user"], data["groups"]) == ("eve", "a,b")
    assert data["encoding"] == ""  # compressing over loopback costs more than it saves


async def test_compressed_answers_are_understood() -> None:
    async def compressed(_: web.Request) -> web.Response:
        body = gzip.compress(json.dumps(config_map("a", x="1")).encode())
        return web.Response(
            body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
        )

    async with serving(compressed) as url:
        assert (await seen_by(Connection(url))) == {"x": "1"}


async def test_a_rotated_token_file_is_read_again_when_refused(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("old\n")
    accepted = "old"

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != f"Bearer {accepted}":
            return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized"}, status=401)
        return await echo(request)

    async with serving(guarded) as url, connected(Connection(url, token_file=token_file)) as client:
        await client.get(ConfigMap, "a", "default")
        token_file.write_text("new\n")
        accepted = "new"
        assert (await client.get(ConfigMap, "a", "default")).data["authorization"] == "Bearer new"
        accepted = "something else"
        with pytest.raises(Unauthorized):
            await client.get(ConfigMap, "a", "default")
        token_file.unlink()
        with pytest.raises(Unauthorized):
            await client.get(ConfigMap, "a", "default")


def plugin(folder: Path, body: str) -> ExecPlugin:
    """A credential plug-in that counts its runs in the file `runs`."""
    script = folder / "plugin.py"
    script.write_text(f"#!{sys.executable}\nimport json, os, pathlib, sys\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return ExecPlugin(str(script), args=("--for", "tests"), env=(("RUNS", str(folder / "runs")),))


COUNTING = """
runs = pathlib.Path(os.environ["RUNS"])
count = len(runs.read_text()) + 1 if runs.exists() else 1
runs.write_text("x" * count)
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["kind"] == "ExecCredential" and info["spec"]["interactive"] is False
assert sys.argv[1:] == ["--for", "tests"]
status = {"token": f"token-{count}"}
"""
V1 = 'info = {"apiVersion": "client.authentication.k8s.io/v1"};'
PRINT = """
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


async def test_an_exec_plugin_runs_once_for_many_requests(tmp_path: Path) -> None:
    connection = Connection("", exec_plugin=plugin(tmp_path, COUNTING + PRINT))
    async with serving(echo) as url, connected(dataclasses.replace(connection, server=url)) as client:
        found = await asyncio.gather(*(client.get(ConfigMap, "a", "default") for _ in range(5)))
    assert {obj.data["authorization"] for obj in found} == {"Bearer token-1"}


async def test_an_expired_or_refused_credential_is_asked_for_again(tmp_path: Path) -> None:
    expiring = COUNTING + 'status["expirationTimestamp"] = "2020-01-01T00:00:00Z"' + PRINT
    refused = {"Bearer token-3"}

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] in refused:
            return web.Response(status=401)
        return await echo(request)

    async with serving(guarded) as url:
        connection = Connection(url, exec_plugin=plugin(tmp_path, expiring))
        async with connected(connection) as client:
            seen = [(await client.get(ConfigMap, "a", "default")).data["authorization"] for _ in range(3)]
    assert seen == ["Bearer token-1", "Bearer token-2", "Bearer token-4"]


async def test_an_exec_plugin_may_give_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority()
    for name in ("first", "second"):
        pair = authority.issue(name)
        (tmp_path / f"{name}.crt").write_bytes(pair.certificate)
        (tmp_path / f"{name}.key").write_bytes(pair.key)
    body = (
        COUNTING
        + f"""
name = pathlib.Path({str(tmp_path)!r}) / ("first" if count == 1 else "second")
status = {{
    "clientCertificateData": name.with_suffix(".crt").read_text(),
    "clientKeyData": name.with_suffix(".key").read_text(),
    "expirationTimestamp": "2020-01-01T00:00:00Z",
}}
"""
        + PRINT
    )
    async with serving(echo, authority.server_context(tmp_path, clients=True)) as url:
        connection = Connection(url, ca_data=authority.certificate, exec_plugin=plugin(tmp_path, body))
        async with connected(connection) as client:
            seen = [(await client.get(ConfigMap, "a", "default")).data["certificate"] for _ in range(2)]
    assert seen == ["first", "second"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("sys.exit('not logged in')", "failed with exit code 1: not logged in"),
        ("print('hello')", "printed no ExecCredential"),
        ("print('{}')", "printed no kind ''; an ExecCredential of client.authentication.k8s.io/v1 is needed"),
        (V1 + "status = {}" + PRINT, "neither token nor"),
        (V1 + "status = {'clientCertificateData': 'x'}" + PRINT, "together"),
    ],
)
async def test_a_failing_plugin_says_so(tmp_path: Path, body: str, complaint: str) -> None:
    with pytest.raises(Unauthorized, match=complaint):
        await seen_by(Connection("http://127.0.0.1:1", exec_plugin=plugin(tmp_path, body)))


async def test_a_missing_plugin_says_how_to_get_it() -> None:
    missing = ExecPlugin("no-such-plugin", install_hint="Install it with\n  apt.")
    with pytest.raises(Unauthorized, match=r"no-such-plugin cannot be started: .*; Install it with apt"):
        await seen_by(Connection("http://127.0.0.1:1", exec_plugin=missing))


async def test_a_watch_streams_and_its_end_is_no_error() -> None:
    async def watch(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for number in range(3):
            obj = config_map(f"c{number}")
            obj["metadata"]["resourceVersion"] = str(number)
            line = json.dumps({"type": "ADDED", "object": obj}).encode() + b"\n"
            await answer.write(line[:10])
            await answer.write(line[10:])
        return answer

    async with (
        serving(watch) as url,
        connected(Connection(url)) as client,
        aclosing(client.watch(ConfigMap, resource_version="0")) as events,
    ):
        names = [event.object.metadata.name async for event in events if isinstance(event, WatchEvent)]
        assert names == ["c0", "c1", "c2"]


async def test_a_stream_that_is_refused_raises_on_entry() -> None:
    async def expired(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)

    async with serving(expired) as url, connected(Connection(url)) as client:
        with pytest.raises(Gone):
            async for _ in client.watch(ConfigMap, resource_version="1"):
                pass
        with pytest.raises(Gone):
            async for _ in client.logs("default", "p", follow=True):
                pass


async def test_logs_are_bytes_as_they_come() -> None:
    async def logs(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(request.raw_path.encode())
        await answer.write(b"\nline\n")
        return answer

    async with serving(logs) as url, connected(Connection(url)) as client:
        found = client.logs("ns", "p", container="main", follow=True, tail_lines=0)
        text = b"".join([chunk async for chunk in found]).decode()
    assert text == "/api/v1/namespaces/ns/pods/p/log?container=main&follow=true&tailLines=0\nline\n"


async def test_a_connection_that_breaks_in_the_middle_is_unreachable() -> None:
    async def breaking(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'{"type":"ADDED"')
        assert request.transport is not None
        request.transport.abort()
        return answer

    async with serving(breaking) as url, connected(Connection(url)) as client:
        with pytest.raises(Unreachable, match="it closed the connection"):
            async for _ in client.watch(ConfigMap, resource_version="0"):
                pass


async def test_failures_to_connect_name_server_cause_and_fix() -> None:
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1: GET .* cannot connect .*is it running"):
        await seen_by(Connection("http://127.0.0.1:1"))
    async with serving(echo) as url:
        with pytest.raises(Unreachable, match=r"TLS failed .*does the address speak https"):
            await seen_by(Connection(url.replace("http", "https")))


async def test_an_answer_that_never_comes_times_out() -> None:
    released = asyncio.Event()

    async def stuck(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with serving(stuck) as url:
        client = Client(HttpTransport(Connection(url), HttpSettings(answer_seconds=0.05)))
        with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
            await client.get(ConfigMap, "a", "default")
        released.set()
        await client.close()


async def test_connections_are_kept_and_limited() -> None:
    peers = set[object]()

    async def count(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(0)
        return web.json_response(config_map("a"))

    async with serving(count) as url:
        client = Client(HttpTransport(Connection(url), HttpSettings(connections=3)))
        for _ in range(3):
            await asyncio.gather(*(client.get(ConfigMap, "a", "default") for _ in range(10)))
        await client.close()
    assert len(peers) <= 3


async def test_a_status_in_the_body_is_the_error() -> None:
    async def missing(_: web.Request) -> web.Response:
        status = {"kind": "Status", "code": 404, "reason": "NotFound", "message": 'configmaps "a" not found'}
        return web.json_response(status, status=404)

    async with serving(missing) as url:
        with pytest.raises(NotFound, match='configmaps "a" not found'):
            await seen_by(Connection(url))
