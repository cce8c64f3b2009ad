"""`springtide collect` beside a kubelet: on an API server it did not start, with no more rights than it has.

The kubelet is played by the test: pod objects bound to the node, a container's log file, a real process with
the pod's uid. On the embedded server always; on a real kube-apiserver where `KUBEBUILDER_ASSETS` has one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Pod, ServiceAccount
from springtide.api.crds import bundled
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeHealth
from springtide.api.struct import decode, encode
from springtide.client import AlreadyExists, Client, NotFound, connect, load_kubeconfig
from tests.e2e.clusters import BOTH, cluster
from tests.e2e.platforms import SPRINGTIDE
from tests.programs import started, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

NODE = "gpu-node-1"
XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
ECC = "RuntimeError: CUDA error: uncorrectable ECC error encountered"
TRAIN = "import time\ndef train():\n    time.sleep(600)\ntrain()"


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    with cluster(request.param, tmp_path, "collect", "springtide:collectors", "collect.yaml") as made:
        yield made


async def pod(client: Client) -> Pod:
    """A pod of a job, bound to the node as a scheduler would have."""
    crd = next(one for one in bundled() if one.spec.names.kind == "NodeHealth")
    fields = encode(crd)
    fields.pop("status", None)
    await client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
    with suppress(AlreadyExists):
        await client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
    body: dict[str, Any] = {
        "metadata": {"name": "job-0", "namespace": "default", "labels": {"springtide.dev/workload": "job"}},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "train"}]},
    }
    return await client.create(decode(Pod, body))


async def health(client: Client, holds: Callable[[NodeHealth], Any]) -> NodeHealth:
    """The NodeHealth as soon as it is as wanted."""
    found: NodeHealth | None = None
    try:
        async with asyncio.timeout(60):
            while True:
                with suppress(NotFound):
                    found = await client.get(NodeHealth, NODE)
                    if holds(found):
                        return found
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"still waiting: {found}") from None


@contextmanager
def collecting(folder: Path, kubeconfig: Path) -> Iterator[None]:
    """`springtide collect` with a folder of logs and a file in the place of the kernel's log."""
    log = folder / "collect.log"
    (folder / "kmsg").write_text("")
    command = [
        *SPRINGTIDE, "collect", "--node", NODE, "--kubeconfig", str(kubeconfig),
        "--kernel-log", str(folder / "kmsg"),
        "--logs-dir", str(folder / "pods"), "--state-dir", str(folder / "state"),
    ]  # fmt: skip
    with started(command, log) as collect:
        wait_until(lambda: "collecting on" in log.read_text(), collect, log)
        yield


@contextmanager
def training(uid: str) -> Iterator[int]:
    """A rank of the pod; its process id."""
    marks = {"SPRINGTIDE_POD_UID": uid, "RANK": "5", "LOCAL_RANK": "0"}
    process = subprocess.Popen([sys.executable, "-c", TRAIN], env={**os.environ, **marks})
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def log_line(folder: Path, uid: str, text: str) -> None:
    file = folder / "pods" / f"default_job-0_{uid}" / "main" / "0.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as log:
        log.write(f"2026-01-01T00:00:00.0Z stderr F {text}\n")


def kernel_line(folder: Path, text: str) -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    (folder / "kmsg").write_text(f"3,1,{int(uptime * 1e6)},-;{text}\n")


async def test_a_nodes_evidence_reaches_a_server_it_did_not_start(
    server: tuple[Path, Path], tmp_path: Path
) -> None:
    admin, own = server
    client = connect(load_kubeconfig(admin))
    try:
        uid = (await pod(client)).metadata.uid
        log_line(tmp_path, uid, "from before")
        with training(uid) as pid, collecting(tmp_path, own):
            await health(client, lambda found: found.status.pods)
            log_line(tmp_path, uid, ECC)
            kernel_line(tmp_path, XID)
            os.kill(pid, signal.SIGSTOP)
            found = await health(client, is_whole)
    finally:
        await client.close()
    lines = {one.collector: one for one in found.status.observations}
    assert (lines["kernel"].line, lines["logs"].line, lines["logs"].pod_uid) == (XID, ECC, uid)
    (activity,) = found.status.pods
    assert activity.stopped
    (stack,) = activity.stacks
    assert (stack.process, stack.rank, stack.state) == (pid, 5, "T")
    assert stack.frames[0] == "train (<string>:3)"
    states = {one.name: one for one in found.status.collectors}
    assert states["nvidia"].state == "Unavailable"
    assert states["nvidia"].message


def is_whole(found: NodeHealth) -> bool:
    kept = {one.collector for one in found.status.observations}
    stacks = found.status.pods[0].stacks if found.status.pods else []
    return {"kernel", "logs"} <= kept and any(stack.state == "T" for stack in stacks)
