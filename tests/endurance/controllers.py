"""Our controllers beside real ones: `python -m tests.endurance.controllers [SCENE …]` prints a JSON row each.

The same manifests are given to two embedded API servers with simulated nodes. Behind one are our controllers,
behind the other a real kube-controller-manager, from the folder that `KUBEBUILDER_ASSETS` names. When nothing
moves any more, what both made must be the same: statuses, conditions, sizes, labels, annotations, revisions.
Names that are hashes, times and identities are left out.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from springtide import builtin, scheduling
from springtide.client import Client
from springtide.node import SimulatedNodes
from springtide.node.behaviour import Behaviour
from springtide.node.simulated import SimulationSettings
from springtide.runtime import Runtime, SystemClock, configure_logging
from springtide.server import ADMIN, HttpsServer, InProcessTransport, Server, SigningKeys, ensure_credentials
from springtide.store import MemoryLog, Store
from springtide.up.bootstrap import bootstrap
from springtide.up.rooms import EMBEDDED
from tests.builtin.apps_scene import FOREVER, node, workload

Json = dict[str, Any]

TOKEN = "differential"
STILL_SECONDS = 2.5
PATIENCE_SECONDS = 40.0
_WATCHED = ("deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions")
_CONTROLLERS = ("deployment", "replicaset", "statefulset", "daemonset", "garbage-collector")
_TIMES = ("lastTransitionTime", "lastUpdateTime", "creationTimestamp", "deletionTimestamp")

Step = tuple[str, str, Json]
"""Method, what it is about (`deployments` or `deployments/web`), body."""


def image(tag: str, **more: Any) -> Json:
    container = {"name": "main", "image": tag}
    return {"spec": {"template": {"spec": {"containers": [container], **more}}}}


def create(plural: str, body: Json) -> Step:
    return ("POST", plural, body)


def change(place: str, body: Json) -> Step:
    return ("PATCH", place, body)


_DEPLOYMENT = workload("Deployment", "web", replicas=3)
_STATEFUL = workload("StatefulSet", "db", replicas=3, serviceName="db")
_DAEMON = workload("DaemonSet", "agent")
_NOWHERE = {"nodeSelector": {"no": "where"}}


def _spec(body: Json, **spec: Any) -> Json:
    made = copy.deepcopy(body)
    made["spec"].update(spec)
    return made


SCENES: dict[str, Sequence[Step]] = {
    "a deployment": [create("deployments", _DEPLOYMENT)],
    "scaled up": [create("deployments", _DEPLOYMENT), change("deployments/web", {"spec": {"replicas": 6}})],
    "scaled down": [create("deployments", _DEPLOYMENT), change("deployments/web", {"spec": {"replicas": 1}})],
    "scaled to nothing": [
        create("deployments", _DEPLOYMENT),
        change("deployments/web", {"spec": {"replicas": 0}}),
    ],
    "rolled out": [create("deployments", _DEPLOYMENT), change("deployments/web", image("app:2"))],
    "rolled out and back": [
        create("deployments", _DEPLOYMENT),
        change("deployments/web", image("app:2")),
        change("deployments/web", image("app:1")),
    ],
    "recreated": [
        create("deployments", _spec(_DEPLOYMENT, strategy={"type": "Recreate"})),
        change("deployments/web", image("app:2")),
    ],
    "paused": [
        create("deployments", _DEPLOYMENT),
        change("deployments/web", {"spec": {"paused": True}}),
        change("deployments/web", image("app:2")),
        change("deployments/web", {"spec": {"replicas": 4}}),
    ],
    "paused and resumed": [
        create("deployments", _DEPLOYMENT),
        change("deployments/web", {"spec": {"paused": True}}),
        change("deployments/web", image("app:2")),
        change("deployments/web", {"spec": {"paused": False}}),
    ],
    "stuck": [
        create("deployments", _spec(_DEPLOYMENT, progressDeadlineSeconds=3)),
        change("deployments/web", image("app:2", **_NOWHERE)),
    ],
    "stuck and scaled": [
        create("deployments", _spec(_DEPLOYMENT, replicas=6)),
        change("deployments/web", image("app:2", **_NOWHERE)),
        change("deployments/web", {"spec": {"replicas": 12}}),
        change("deployments/web", {"spec": {"replicas": 4}}),
    ],
    "short history": [
        create("deployments", _spec(_DEPLOYMENT, revisionHistoryLimit=1)),
        *(change("deployments/web", image(f"app:{tag}")) for tag in (2, 3, 4)),
    ],
    "annotated": [
        create("deployments", _DEPLOYMENT),
        change("deployments/web", {"metadata": {"annotations": {"kubernetes.io/change-cause": "why"}}}),
        change("deployments/web", image("app:2")),
    ],
    "a replica set": [create("replicasets", workload("ReplicaSet", "web", replicas=2))],
    "a stateful set": [create("statefulsets", _STATEFUL)],
    "a stateful set, scaled": [
        create("statefulsets", _STATEFUL),
        change("statefulsets/db", {"spec": {"replicas": 1}}),
    ],
    "a stateful set, updated": [
        create("statefulsets", _STATEFUL),
        change("statefulsets/db", image("app:2")),
    ],
    "a stateful set, updated in part": [
        create("statefulsets", _spec(_STATEFUL, updateStrategy={"rollingUpdate": {"partition": 2}})),
        change("statefulsets/db", image("app:2")),
    ],
    "a stateful set, updated when deleted": [
        create("statefulsets", _spec(_STATEFUL, updateStrategy={"type": "OnDelete"})),
        change("statefulsets/db", image("app:2")),
    ],
    "a stateful set, all at once": [
        create("statefulsets", _spec(_STATEFUL, podManagementPolicy="Parallel", ordinals={"start": 4})),
        change("statefulsets/db", {"spec": {"replicas": 2}}),
    ],
    "a stateful set, stuck": [
        create("statefulsets", _STATEFUL),
        change("statefulsets/db", image("app:2", **_NOWHERE)),
    ],
    "a stateful set, there and back": [
        create("statefulsets", _spec(_STATEFUL, replicas=1)),
        change("statefulsets/db", image("app:2")),
        change("statefulsets/db", image("app:1")),
    ],
    "a daemon set": [create("daemonsets", _DAEMON)],
    "a daemon set, updated": [create("daemonsets", _DAEMON), change("daemonsets/agent", image("app:2"))],
    "a daemon set, updated when deleted": [
        create("daemonsets", _spec(_DAEMON, updateStrategy={"type": "OnDelete"})),
        change("daemonsets/agent", image("app:2")),
    ],
    "a daemon set, updated by surge": [
        create(
            "daemonsets",
            _spec(_DAEMON, updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        ),
        change("daemonsets/agent", image("app:2")),
    ],
    "a daemon set on some nodes": [
        create("daemonsets", _DAEMON),
        change("daemonsets/agent", image("app:1", nodeSelector={"kubernetes.io/hostname": "node-1"})),
    ],
}


@dataclass
class World:
    """One API server with nodes, and somebody's controllers."""

    client: Client

    log: Path | None = None
    """What a real manager says."""

    async def wait_for_controllers(self) -> None:
        """Until a first Deployment is looked after."""
        await self._send("POST", "/apis/apps/v1/namespaces/default/deployments", _DEPLOYMENT)
        place = "/apis/apps/v1/namespaces/default/deployments/web"
        for _ in range(240):
            if (await self._send("GET", place))["status"].get("availableReplicas") == 3:
                return
            await asyncio.sleep(0.25)
        said = self.log.read_text()[-2000:] if self.log is not None else ""
        raise TimeoutError(f"nobody made the pods of the first Deployment within 60 s; {said}")

    async def play(self, namespace: str, steps: Sequence[Step]) -> Json:
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        for method, place, body in steps:
            await self._send(method, f"/apis/apps/v1/namespaces/{namespace}/{place}", body)
            found = await self._still(namespace)
        await self._send("DELETE", f"/api/v1/namespaces/{namespace}", {})
        return found

    async def _still(self, namespace: str) -> Json:
        """What there is once nothing changed for a while."""
        loop = asyncio.get_running_loop()
        deadline, known, since = loop.time() + PATIENCE_SECONDS, "", loop.time()
        while True:
            found = await self._collect(namespace)
            text = json.dumps(found, sort_keys=True)
            if text != known:
                known, since = text, loop.time()
            if loop.time() - since > STILL_SECONDS or loop.time() > deadline:
                return normal(found)
            await asyncio.sleep(0.25)

    async def _collect(self, namespace: str) -> Json:
        found = {}
        for plural in _WATCHED:
            found[plural] = (await self._send("GET", f"/apis/apps/v1/namespaces/{namespace}/{plural}"))[
                "items"
            ]
        found["pods"] = (await self._send("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
        return found

    async def _send(self, method: str, path: str, body: Json | None = None) -> Any:
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        data = msgspec.json.encode(body) if body is not None else b""
        return msgspec.json.decode(
            (await self.client.request(method, path, body=data, content_type=kind)).body
        )


def normal(found: Json) -> Json:
    """What does not depend on hashes, times and identities; names are numbered by revision."""
    numbers: dict[str, str] = {}
    for one in sorted(found["replicasets"], key=_revision):
        numbers[one["metadata"]["name"]] = f"set-{_revision(one)}"
        if digest := one["metadata"].get("labels", {}).get("pod-template-hash"):
            numbers[digest] = f"hash-{_revision(one)}"
    for one in found["controllerrevisions"]:
        name = one["metadata"]["name"]
        numbers[name] = f"revision-{one['revision']}"
        numbers[name.rpartition("-")[2]] = f"hash-{one['revision']}"
    result: Json = {}
    for plural in _WATCHED:
        for one in found[plural]:
            result[f"{plural}/{numbers.get(one['metadata']['name'], one['metadata']['name'])}"] = _object(one)
    pods = Counter(_numbered(json.dumps(_pod(one), sort_keys=True), numbers) for one in found["pods"])
    decoded: Json = json.loads(_numbered(json.dumps(result), numbers))
    return {**decoded, "pods": [{"count": count, **json.loads(text)} for text, count in sorted(pods.items())]}


def _numbered(text: str, numbers: dict[str, str]) -> str:
    for name, number in sorted(numbers.items(), key=lambda item: -len(item[0])):
        text = text.replace(name, number)
    return text


def _revision(one: Json) -> int:
    return int(one["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", "0"))


def _object(one: Json) -> Json:
    metadata = {
        key: one["metadata"][key] for key in ("labels", "annotations", "generation") if key in one["metadata"]
    }
    owners = [owner["kind"] for owner in one["metadata"].get("ownerReferences", [])]
    status = _without_times(one.get("status", {}))
    if "conditions" in status:
        status["conditions"] = sorted(status["conditions"], key=lambda condition: str(condition["type"]))
    rest: Json = {key: one[key] for key in ("spec", "data", "revision") if key in one}
    return {"metadata": metadata, "owners": owners, "status": status, **rest}


def _pod(one: Json) -> Json:
    spec = {key: value for key, value in one["spec"].items() if key not in ("nodeName", "serviceAccountName")}
    images = [container["image"] for container in spec.pop("containers")]
    metadata = one["metadata"]
    named = metadata["name"] if "apps.kubernetes.io/pod-index" in metadata.get("labels", {}) else ""
    return {
        "name": named,
        "base": metadata.get("generateName", ""),
        "labels": metadata.get("labels", {}),
        "annotations": metadata.get("annotations", {}),
        "owners": [(owner["kind"], owner.get("controller")) for owner in metadata.get("ownerReferences", [])],
        "phase": one["status"]["phase"],
        "images": images,
        "spec": {**spec, "affinity": "", "volumes": ""},
    }


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(child) for key, child in value.items() if key not in _TIMES}
    if isinstance(value, list):
        return [_without_times(child) for child in value]
    return value


def differences(ours: Any, theirs: Any, place: str = "") -> list[str]:
    """Where two normal forms differ, ours first."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found: list[str] = []
        for key in sorted(ours.keys() | theirs.keys()):
            found += differences(ours.get(key), theirs.get(key), f"{place}.{key}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            one
            for at, pair in enumerate(zip(ours, theirs, strict=True))
            for one in differences(*pair, f"{place}[{at}]")
        ]
    return [] if ours == theirs else [f"{place}: {json.dumps(ours)} and {json.dumps(theirs)}"]


@asynccontextmanager
async def world(folder: Path, manager: Path | None) -> AsyncIterator[World]:
    """A world of our controllers, or of a real kube-controller-manager."""
    clock = SystemClock()
    store = Store(MemoryLog(), monotonic=clock.monotonic)
    server = Server(store, clock=clock, signing_keys=SigningKeys())
    await server.start()
    client = Client(InProcessTransport(server))
    await bootstrap(client.with_manager("bootstrap"))
    runtime = Runtime(client, clock)
    scheduling.register(runtime, scheduling.Settings(scheduler_names=EMBEDDED))
    if manager is None:
        builtin.register(runtime)
    behaviour = Behaviour(duration_seconds=FOREVER, start_delay_seconds=0.1)
    nodes = [node(f"node-{index}") for index in range(3)]
    simulated = SimulatedNodes(runtime, nodes, SimulationSettings(default=behaviour))
    task = asyncio.create_task(runtime.run())
    credentials = ensure_credentials(folder / "pki", clock.now())
    https = HttpsServer(server, server.authenticator({TOKEN: ADMIN}), credentials)
    await https.start()
    process = await _start(manager, folder, https.url, str(credentials.ca_certificate)) if manager else None
    try:
        await simulated.ready()
        yield World(client.with_manager("tester"), folder / "manager.log" if manager else None)
    finally:
        if process is not None and process.returncode is not None:
            print((folder / "manager.log").read_text()[-3000:], file=sys.stderr)
        elif process is not None:
            process.terminate()
            await process.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await https.stop()
        await store.close()


async def _start(binary: Path, folder: Path, url: str, authority: str) -> asyncio.subprocess.Process:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": url, "certificate-authority": authority}}],
        "users": [{"name": "it", "user": {"token": TOKEN}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    with (folder / "manager.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            str(binary),
            f"--kubeconfig={file}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-content-type=application/json",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            f"--controllers={','.join(f'{name}-controller' for name in _CONTROLLERS)}",
            stdout=log,
            stderr=log,
        )


async def compare(names: Sequence[str], assets: Path) -> int:
    """Play scenes in both worlds; returns how many differ."""
    different = 0
    with tempfile.TemporaryDirectory(prefix="controllers-") as folder:
        for part in ("ours", "theirs"):
            (Path(folder) / part).mkdir()
        manager = assets / "kube-controller-manager"
        async with (
            world(Path(folder) / "ours", None) as ours,
            world(Path(folder) / "theirs", manager) as theirs,
        ):
            await asyncio.gather(ours.wait_for_controllers(), theirs.wait_for_controllers())
            for index, name in enumerate(names):
                first, second = await asyncio.gather(
                    *(one.play(f"scene-{index}", SCENES[name]) for one in (ours, theirs))
                )
                found = differences(first, second)
                different += bool(found)
                print(json.dumps({"scene": name, "same": not found, "differences": found}), flush=True)
    return different


def main(arguments: list[str]) -> int:
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    if "--help" in arguments or not assets:
        print(__doc__)
        return 0 if "--help" in arguments else 2
    configure_logging(level="error")
    return 1 if asyncio.run(compare(arguments or list(SCENES), Path(assets))) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
