"""A real API server with a real kube-scheduler, for tests that ask it what it would do.

Runs where `KUBEBUILDER_ASSETS` names a folder with kube-apiserver, etcd and kube-scheduler.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kube_apiserver import Account, kube_apiserver
from tests.programs import started
from tests.scheduling.scenes import Json

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
TOKEN = "oracle"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
needs_binaries = [
    pytest.mark.realtime,
    pytest.mark.skipif(
        not ASSETS or not (Path(ASSETS) / "kube-scheduler").exists(), reason="needs KUBEBUILDER_ASSETS"
    ),
]
_DECIDED_SECONDS = 20.0
MERGE = "application/merge-patch+json"
_PATHS = {
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "CSINode": "/apis/storage.k8s.io/v1/csinodes",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
}
_NAMESPACED = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}


@dataclass
class Cluster:
    """An API server with a kube-scheduler at work."""

    port: int
    trust: ssl.SSLContext

    def call(self, verb: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        """The answer; that something exists, or does not, is one too."""
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.trust, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
            line.request(verb, path, json.dumps(body) if body is not None else None, headers)
            answer = line.getresponse()
            found: Json = json.loads(answer.read())
        finally:
            line.close()
        assert answer.status < 400 or answer.status in (404, 409), f"{verb} {path}: {found}"
        return found

    def create(self, raw: Json) -> None:
        """Create an object, its status included."""
        path, raw = path_of(raw), prepared(raw)
        self.call("POST", path, raw)
        name = raw["metadata"]["name"]
        if raw["kind"] == "Node":
            self.call("PATCH", f"{path}/{name}", {"spec": {"taints": raw["spec"].get("taints", [])}}, MERGE)
        if raw["kind"] == "Namespace":
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self.call("POST", f"{path}/{name}/serviceaccounts", account)
        if "status" in raw:
            self.call("PATCH", f"{path}/{name}/status", {"status": raw["status"]}, MERGE)

    def delete(self, raw: Json) -> None:
        """Delete an object at once, whatever protects it."""
        path = f"{path_of(raw)}/{raw['metadata']['name']}"
        if raw["kind"].startswith("PersistentVolume"):
            self.call("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
        self.call("DELETE", f"{path_of(raw)}/{raw['metadata']['name']}?gracePeriodSeconds=0")

    def decision(self, raw: Json) -> str:
        """The node the pod is bound to; empty once it is told that it waits."""
        path = f"{path_of(raw)}/{raw['metadata']['name']}"
        end = time.monotonic() + _DECIDED_SECONDS
        while time.monotonic() < end:
            found = self.call("GET", path)
            if found["spec"].get("nodeName"):
                return str(found["spec"]["nodeName"])
            if selected := self._selected(raw):
                return selected
            told = [c for c in found["status"].get("conditions", []) if c["type"] == "PodScheduled"]
            if told and told[0]["status"] == "False":
                return ""
            time.sleep(0.02)
        raise AssertionError(f"no decision on {path}")

    def _selected(self, raw: Json) -> str:
        """The node on which a volume is to be made: the scheduler has decided and waits for that."""
        for one in raw["spec"].get("volumes", ()):
            name = one["persistentVolumeClaim"]["claimName"]
            path = f"/api/v1/namespaces/{raw['metadata']['namespace']}/persistentvolumeclaims/{name}"
            notes = self.call("GET", path).get("metadata", {}).get("annotations", {})
            if notes.get(SELECTED_NODE):
                self.call("PATCH", path, {"metadata": {"annotations": {SELECTED_NODE: None}}}, MERGE)
                return str(notes[SELECTED_NODE])
        return ""


def path_of(raw: Json) -> str:
    """The collection an object belongs to."""
    if raw["kind"] in _PATHS:
        return _PATHS[raw["kind"]]
    return _NAMESPACED[raw["kind"]].format(raw["metadata"]["namespace"])


def prepared(raw: Json) -> Json:
    """The object as the server takes it: it gives uids itself."""
    metadata = {k: v for k, v in raw["metadata"].items() if k not in ("uid", "creationTimestamp")}
    raw = {**raw, "metadata": metadata}
    if raw["kind"] == "Node":
        slot = {slot_of(metadata["name"]): "1"}
        status: dict[str, Any] = raw["status"]
        offered = {
            "capacity": {**status["capacity"], **slot},
            "allocatable": {**status["allocatable"], **slot},
        }
        raw["status"] = {**status, **offered}
    if raw["kind"] == "Pod":
        raw["spec"] = {**raw["spec"], "schedulerName": "default-scheduler"}
    return raw


def slot_of(node: str) -> str:
    """What one node alone offers."""
    return f"example.com/slot-{node}"


@contextmanager
def kube_scheduler() -> Iterator[Cluster]:
    """Both of them at work, with the namespaces that scenes use."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as where, _started(Path(where)) as found:
        for name in ("default", "team", "other"):
            found.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield found


@contextmanager
def _started(folder: Path) -> Iterator[Cluster]:
    admin = Account(TOKEN, "admin", ("system:masters",))
    with kube_apiserver(Path(ASSETS), folder, [admin], durable=False) as real:
        file = folder / "scheduler.kubeconfig"
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {
                            "name": "x",
                            "cluster": {
                                "server": f"https://127.0.0.1:{real.port}",
                                "certificate-authority": str(real.ca_file),
                            },
                        }
                    ],
                    "users": [{"name": "x", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                    "current-context": "x",
                }
            )
        )
        command = [str(Path(ASSETS) / "kube-scheduler"), f"--kubeconfig={file}", "--secure-port=0"]
        command.append("--leader-elect=false")
        trust = ssl.create_default_context(cafile=str(real.ca_file))
        with started(command, folder / "kube-scheduler.log"):
            yield Cluster(real.port, trust)
