"""exec, attach, cp and port-forward as kubectl and the official Python client do them, on real processes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from kubernetes import client as official
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

from springtide import client
from springtide.client.http import HttpTransport
from springtide.client.websocket import ClientWebSocket
from springtide.server import User
from tests.careless import leaves_connections
from tests.node.scene import Scene, node_on, python, shell
from tests.server.https import Served, eventually, serving_https

pytestmark = pytest.mark.realtime

BIG_BYTES = 8 * 1024 * 1024
ECHO_SERVER = """
import socket, threading
def serve(one):
    total = 0
    while data := one.recv(65536):
        total += len(data)
        one.sendall(data)
    one.sendall(b"<%d>" % total)
    one.close()
listener = socket.create_server(("", PORT))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def echo_server(port: int) -> str:
    """Each test has a port of its own: pods on one machine share its ports, and tests run side by side."""
    return ECHO_SERVER.replace("PORT", str(port))


@asynccontextmanager
async def platform(folder: Path, **users: Any) -> AsyncIterator[tuple[Served, Scene]]:
    async with serving_https(folder / "api", **users) as served, node_on(served.server, folder) as scene:
        yield served, scene


async def begin(scene: Scene, name: str, *containers: dict[str, Any]) -> None:
    """A pod without a token: nobody publishes the authority in these scenes."""
    await scene.create(name, *containers, automountServiceAccountToken=False)


async def start(served: Served, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
    """kubectl with pipes."""
    binary = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert binary is not None
    return await asyncio.create_subprocess_exec(
        binary,
        *arguments,
        env={"KUBECONFIG": str(served.kubeconfig), "HOME": str(served.folder), "PATH": os.environ["PATH"]},
        **{
            "stdin": asyncio.subprocess.PIPE,
            "stdout": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.PIPE,
            **options,
        },
    )


async def run(served: Served, *arguments: str, stdin: bytes = b"") -> tuple[int | None, bytes, str]:
    """Exit code, stdout and stderr of kubectl."""
    process = await start(served, *arguments)
    async with asyncio.timeout(30):
        out, err = await process.communicate(stdin)
    return process.returncode, out, err.decode()


async def test_exec_keeps_streams_apart_and_passes_the_exit_code_on(tmp_path: Path) -> None:
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", shell("sleep 100", env=[{"name": "FOO", "value": "bar"}]))
        await scene.running("p")
        both = await run(served, "exec", "p", "--", "sh", "-c", "echo $FOO; echo bad >&2; exit 3")
        assert both == (3, b"bar\n", "bad\ncommand terminated with exit code 3\n")
        killed = await run(served, "exec", "p", "--", "sh", "-c", "kill -9 $$")
        assert killed[0] == 137
        code, _, text = await run(served, "exec", "p", "--", "no-such-program")
        assert code == 1
        assert "error executing command in container" in text
        assert "executable file not found in PATH" in text
        code, _, text = await run(served, "exec", "missing", "--", "true")
        assert (code, text) == (1, 'Error from server (NotFound): pods "missing" not found\n')
        survivor = await run(served, "exec", "p", "--", "sh", "-c", "sleep 77 & echo done")
        assert survivor[:2] == (0, b"done\n")  # what stays behind belongs to the container
        assert any("77" in process.cmdline() for process in processes_of("p", scene))


async def test_what_goes_in_comes_out_unchanged(tmp_path: Path) -> None:
    data = os.urandom(BIG_BYTES)
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", shell("sleep 100"))
        await scene.running("p")
        code, out, _ = await run(served, "exec", "-i", "p", "--", "cat", stdin=data)
        assert (code, hashlib.sha256(out).digest()) == (0, hashlib.sha256(data).digest())
        folder = tmp_path / "folder"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "data").write_bytes(data)
        (folder / "empty").touch()
        target = tmp_path / "in-pod"
        assert (await run(served, "cp", str(folder), f"p:{target}"))[0] == 0
        assert (await run(served, "cp", f"p:{target}", str(tmp_path / "back")))[0] == 0
        assert (tmp_path / "back" / "deep" / "data").read_bytes() == data
        assert (tmp_path / "back" / "empty").read_bytes() == b""


async def test_a_terminal_has_a_size_and_dies_with_its_client(tmp_path: Path) -> None:
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", shell("sleep 100"))
        await scene.running("p")
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        process = await start(
            served,
            "exec",
            "-it",
            "p",
            "--",
            "sh",
            "-c",
            "tty; stty size; sleep 88",
            stdin=theirs,
            stdout=theirs,
        )
        os.close(theirs)
        shown = b""
        async with asyncio.timeout(20):
            while b"0 0" not in shown:
                with suppress(BlockingIOError):
                    shown += os.read(ours, 1000)
                await asyncio.sleep(0.05)
        assert b"/dev/pts/" in shown
        process.send_signal(signal.SIGKILL)
        await process.wait()
        os.close(ours)
        await eventually(lambda: not any("88" in one.cmdline() for one in processes_of("p", scene)))


async def test_a_command_without_a_terminal_ends_when_its_client_is_interrupted(tmp_path: Path) -> None:
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", shell("sleep 100"))
        await scene.running("p")
        process = await start(served, "exec", "p", "--", "sh", "-c", "echo up; sleep 99; sleep 99")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        process.terminate()  # as SIGINT, which is ignored where the tests run in a shell's background
        await process.wait()
        await eventually(lambda: not any("99" in " ".join(one.cmdline()) for one in processes_of("p", scene)))


async def test_attach_talks_to_a_container_and_leaves_it_running(tmp_path: Path) -> None:
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "talk", shell("while read word; do echo got $word; done; echo bye", stdin=True))
        await begin(scene, "once", shell("cat", stdin=True, stdinOnce=True))
        await scene.running("talk")
        process = await start(served, "attach", "-i", "talk")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one\n")
        assert await process.stdout.readline() == b"got one\n"
        process.kill()
        await process.wait()
        again = await start(served, "attach", "-i", "talk")
        assert again.stdin is not None
        assert again.stdout is not None
        again.stdin.write(b"two\n")
        assert await again.stdout.readline() == b"got two\n"
        again.kill()
        await again.wait()
        assert await scene.logs("talk") == "got one\ngot two\n"
        await scene.running("once")
        code, out, _ = await run(served, "attach", "-i", "once", stdin=b"all of it")
        assert (code, out) == (0, b"all of it")  # its input ended with the client's, and so did the program
        assert (await scene.finished("once")).status.phase == "Succeeded"


@leaves_connections
async def test_a_container_that_does_not_run_is_said(tmp_path: Path) -> None:
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "done", shell("true"))
        await scene.finished("done")
        code, _, text = await run(served, "exec", "done", "--", "true")
        assert code == 1
        assert (
            'container not found ("main")' in text
            or "cannot exec into a container in a completed pod" in text
        )
        await begin(scene, "two", shell("sleep 50", name="a"), shell("sleep 50", name="b"))
        await scene.running("two")
        with pytest.raises(ApiException) as caught:
            await asyncio.to_thread(exec_plainly, core(served), "two")
        assert "choose one of: [a b]" in str(caught.value.body)


async def test_forwarded_connections_are_many_big_and_half_closed(tmp_path: Path) -> None:
    data = os.urandom(BIG_BYTES // 4)
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", python(echo_server(7070)))
        await scene.running("p")
        process = await start(served, "port-forward", "pod/p", ":7070", ":7071")
        assert process.stdout is not None
        assert process.stderr is not None
        ports = [await local_port(process.stdout, 7070), await local_port(process.stdout, 7071)]
        answers = await asyncio.gather(*(exchange(ports[0], data) for _ in range(5)))
        assert answers == [data + b"<%d>" % len(data)] * 5
        assert await exchange(ports[1], b"x") == b""
        async with asyncio.timeout(20):
            text = (await process.stderr.read()).decode()  # kubectl gives up after a refused port
        assert "error forwarding port 7071 to pod p" in text
        assert "connect: connection refused" in text
        await process.wait()


@leaves_connections
async def test_the_python_client_executes_and_forwards(tmp_path: Path) -> None:
    def execute(api: official.CoreV1Api) -> tuple[str, str, int, str]:
        command = ["sh", "-c", "read word; echo out $word; echo err >&2; exit 5"]
        answer = stream(
            api.connect_get_namespaced_pod_exec,
            "p",
            "default",
            command=command,
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        answer.write_stdin("hello\n")
        answer.run_forever(timeout=10)
        status = answer.returncode
        answer.close()
        return answer.read_stdout(), answer.read_stderr(), status, answer.read_channel(3)

    def forward(api: official.CoreV1Api) -> bytes:
        ports = portforward(api.connect_get_namespaced_pod_portforward, "p", "default", ports="7072")
        socket = ports.socket(7072)
        socket.settimeout(10)
        socket.sendall(b"knock")
        found: bytes = socket.recv(100)
        socket.close()
        ports.close()
        return found

    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", python(echo_server(7072)))
        await scene.running("p")
        api = core(served)
        out, err, code, _ = await asyncio.to_thread(execute, api)
        assert (out, err, code) == ("out hello\n", "err\n", 5)
        await asyncio.sleep(0.3)  # the server in the pod begins to listen
        assert await asyncio.to_thread(forward, api) == b"knock"
        api.api_client.close()


async def test_who_may_only_read_pods_gets_nowhere(tmp_path: Path) -> None:
    """A GET opens the WebSocket, but it takes `create`, as in Kubernetes since 1.35."""
    jane = User("jane", ("system:authenticated",))
    async with platform(tmp_path, tokens={"janes": jane}) as (served, scene):
        await begin(scene, "p", shell("sleep 100"))
        await scene.running("p")
        await served.kubectl(
            "create",
            "role",
            "reader",
            "--verb=get,list",
            "--resource=pods,pods/exec,pods/attach,pods/portforward",
        )
        await served.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane")
        as_jane = "--as=jane"
        for arguments in (
            ("exec", "p", as_jane, "--", "id"),
            ("attach", "p", as_jane),
            ("port-forward", "p", "7070", as_jane),
        ):
            code, out, text = await run(served, *arguments)
            assert (code, out) == (1, b"")
            assert 'User "jane" cannot create resource "pods/' in text
        await served.kubectl("create", "role", "user", "--verb=create", "--resource=pods/exec")
        await served.kubectl("create", "rolebinding", "user", "--role=user", "--user=jane")
        # `get` opens the WebSocket's way in, `create` is what it takes
        assert (await run(served, "exec", "p", as_jane, "--", "echo", "hi"))[:2] == (0, b"hi\n")
        unknown = replace(served.connection, token="nonsense")
        with pytest.raises(client.Unauthorized):
            await websocket(unknown, "pods/p/exec", "command=id&stdout=1", ["v5.channel.k8s.io"])


@pytest.mark.parametrize(
    ("subprotocol", "sent", "ending"),
    [
        ("v5.channel.k8s.io", [b"\x00in\n", b"\xff\x00"], b"\x03{"),
        ("v4.channel.k8s.io", [b"\x00in\n", b"\x00end\n"], b"\x03{"),
        ("channel.k8s.io", [b"\x00in\n", b"\x00end\n"], b"\x03command terminated with non-zero exit code"),
        ("", [b"\x00in\n", b"\x00end\n"], b"\x03command terminated with non-zero exit code"),
        ("v4.base64.channel.k8s.io", ["0aW4K", "0ZW5kCg=="], "3ey"),
        ("base64.channel.k8s.io", ["0aW4K", "0ZW5kCg=="], "3Y29tbWFuZCB0ZXJtaW5hdGVk"),
    ],
)
async def test_every_dialect_of_exec(
    tmp_path: Path, subprotocol: str, sent: list[bytes | str], ending: bytes | str
) -> None:
    script = "read word; echo $word; while read word && [ $word != end ]; do :; done; exit 7"
    query = urlencode(
        [("command", word) for word in ("sh", "-c", script)] + [("stdin", "1"), ("stdout", "1")]
    )
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", shell("sleep 100"))
        await scene.running("p")
        offered = [one for one in ("nobody.speaks.this", subprotocol) if subprotocol and one]
        opened, transport = await websocket(served.connection, "pods/p/exec", query, offered)
        assert opened.subprotocol == subprotocol
        for message in sent:
            await opened.send(message)
        heard: list[bytes | str] = []
        with suppress(client.Closed):
            while True:
                heard.append(await opened.receive())
        await opened.close()
        await transport.close()
    text = "1aW4K" if isinstance(ending, str) else b"\x01in\n"
    assert heard[1:-1] == [text]  # the first message is empty and says that the command was started
    assert heard[-1][: len(ending)] == ending


@pytest.mark.parametrize(
    ("path", "query", "offered", "code"),
    [
        ("pods/p/exec", "command=id&stdout=1", ["v9.channel.k8s.io"], 400),
        ("pods/p/exec", "command=id", ["v5.channel.k8s.io"], 400),
        ("pods/p/exec", "stdout=1", ["v5.channel.k8s.io"], 400),
        ("pods/q/exec", "command=id&stdout=1", ["v5.channel.k8s.io"], 404),
        ("pods/p/portforward", "", ["v4.channel.k8s.io"], 400),
        ("pods/p/portforward", "ports=99999", ["v4.channel.k8s.io"], 400),
        ("configmaps", "", [], 200),
    ],
)
async def test_a_websocket_that_is_not_to_be(
    tmp_path: Path, path: str, query: str, offered: list[str], code: int
) -> None:
    async with platform(tmp_path) as (served, scene):
        await begin(scene, "p", shell("sleep 100"))
        await scene.running("p")
        with pytest.raises(client.ApiError) as caught:
            await websocket(served.connection, path, query, offered)
    assert caught.value.status.code == code


async def websocket(
    connection: client.Connection, path: str, query: str, offered: list[str]
) -> tuple[ClientWebSocket, HttpTransport]:
    transport = HttpTransport(connection)
    try:
        opened = await transport.websocket(f"/api/v1/namespaces/default/{path}", query, offered)
    except client.ApiError:
        await transport.close()
        raise
    return opened, transport


def core(served: Served) -> official.CoreV1Api:
    api = config.new_client_from_config(str(served.kubeconfig))  # type: ignore[no-untyped-call]
    return official.CoreV1Api(api)


def exec_plainly(api: official.CoreV1Api, pod: str) -> None:
    """Without asking for a WebSocket."""
    try:
        api.connect_get_namespaced_pod_exec(pod, "default", command=["true"], stdout=True)
    finally:
        api.api_client.close()


def processes_of(pod: str, scene: Scene) -> list[psutil.Process]:
    run_ = scene.node.run_of("default", pod)
    assert run_ is not None
    found = []
    for pid in run_.pids():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def local_port(lines: asyncio.StreamReader, remote: int) -> int:
    """The port kubectl listens on, from `Forwarding from 127.0.0.1:NNN -> remote`."""
    async with asyncio.timeout(20):
        while True:
            words = (await lines.readline()).decode().split()
            if words[-1:] == [str(remote)] and words[2].startswith("127."):
                return int(words[2].rpartition(":")[2])


async def exchange(port: int, data: bytes) -> bytes:
    """Send all, say that it was all, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(reader.read())
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(30):
            return await reading
    except ConnectionError:
        return b""
    finally:
        reading.cancel()
        writer.close()


async def test_http_goes_through_the_server_to_pods_services_and_nodes(tmp_path: Path) -> None:
    script = (
        "from http.server import *; ThreadingHTTPServer(('', 7080), SimpleHTTPRequestHandler).serve_forever()"
    )
    async with platform(tmp_path) as (served, scene):
        (scene.settings.working_dir / "file.txt").write_text("over the proxy")
        metadata = {"labels": {"app": "web"}}
        ports = [{"name": "web", "containerPort": 7080}]
        await scene.create(
            "web", python(script, ports=ports), metadata=metadata, automountServiceAccountToken=False
        )
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "web"}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
        await served.kubectl("apply", "-f", "-", stdin=json.dumps(service))
        await scene.running("web")
        await asyncio.sleep(0.5)
        root = "/api/v1/namespaces/default"
        for path in (
            "pods/web",
            "pods/web:7080",
            "pods/http:web:web",
            "services/web",
            "services/http:web:80",
        ):
            assert await served.kubectl("get", "--raw", f"{root}/{path}/proxy/file.txt") == "over the proxy"
        assert "file.txt" in await served.kubectl("get", "--raw", f"{root}/pods/web/proxy/")
        assert await served.kubectl("get", "--raw", "/api/v1/nodes/here/proxy/healthz") == "ok"
        assert '"podRef"' in await served.kubectl("get", "--raw", "/api/v1/nodes/here/proxy/stats/summary")
        assert "container_start_time_seconds{" in await served.kubectl(
            "get", "--raw", "/api/v1/nodes/here/proxy/metrics/resource"
        )
        for path, says in (
            (f"{root}/pods/web:1/proxy/", "error trying to reach service"),
            (f"{root}/pods/nope/proxy/", "not found"),
            (f"{root}/services/web:99/proxy/", "no service port"),
            ("/api/v1/nodes/here/proxy/exec/default/web/main?command=id", "forbidden"),
            ("/api/v1/nodes/here/proxy//exec/default/web/main?command=id", "forbidden"),
            ("/api/v1/nodes/here/proxy/nonsense", "could not find the requested resource"),
        ):
            assert says in await served.kubectl("get", "--raw", path, code=1)


async def test_a_watch_over_a_websocket_sends_a_message_an_event(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await served.kubectl("create", "configmap", "a")
        opened, transport = await websocket(
            served.connection, "configmaps", "watch=true&fieldSelector=metadata.name%3Da", []
        )
        event = json.loads(await opened.receive())
        await opened.close()
        await transport.close()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
