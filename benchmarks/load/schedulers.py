"""Parts of the platform, and kube-scheduler to compare with, each as a process beside an API server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from tests.programs import started

from load.exchange import Call, Door, send_all
from springtide.api.crds import bundled
from springtide.api.struct import encode_json

SPRINGTIDE, KUBE_SCHEDULER = "springtide", "kube-scheduler"
SCHEDULER_NAMES = {SPRINGTIDE: "springtide", KUBE_SCHEDULER: "default-scheduler"}
"""What pods name in `spec.schedulerName` to be placed by them."""
KUBE_QPS = 5000
"""Requests a second that kube-scheduler may send; its default of 50 would be all that is measured."""


async def install_kinds(door: Door) -> None:
    """The CRDs that `springtide scheduler` needs, as an administrator applies `deploy/crds`."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await send_all(
        door,
        [
            Call(
                "PATCH",
                f"{path}/{crd.metadata.name}?fieldManager=bench&force=true",
                encode_json(crd),
                "application/apply-patch+yaml",
            )
            for crd in bundled()
        ],
        4,
    )


@contextmanager
def part(name: str, kubeconfig: Path, folder: Path, *arguments: str) -> Iterator[psutil.Process]:
    """One part of the platform at work."""
    command = [sys.executable, "-m", "springtide.cli", name, "--kubeconfig", str(kubeconfig), *arguments]
    with started([*command, "--log-level", "warning"], folder / f"{name}.log") as process:
        yield psutil.Process(process.pid)


@contextmanager
def scheduler(name: str, kubeconfig: Path, folder: Path, binaries: Path | None) -> Iterator[psutil.Process]:
    """One of them at work. `binaries` holds kube-scheduler."""
    if name == SPRINGTIDE:
        with part("scheduler", kubeconfig, folder) as process:
            yield process
        return
    assert binaries is not None
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": KUBE_QPS, "burst": KUBE_QPS},
    }
    file = folder / "kube-scheduler.json"
    file.write_text(json.dumps(config))
    command = [str(binaries / KUBE_SCHEDULER), f"--config={file}", "--secure-port=0"]
    with started(command, folder / f"{name}.log") as running:
        yield psutil.Process(running.pid)
