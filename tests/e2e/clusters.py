"""An API server that a part meets with no more rights than its own: embedded, or a real kube-apiserver.

Used by tests of `springtide collect`, `controllers` and `scheduler` beside a server they did not start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.platforms import ROOT, SPRINGTIDE, Platform, kubectl_path
from tests.kube_apiserver import Account, kube_apiserver
from tests.programs import started, wait_until

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
NEEDS_ASSETS = pytest.mark.skipif(not ASSETS, reason="KUBEBUILDER_ASSETS names no kube-apiserver and etcd")
BOTH = ["embedded", pytest.param("real", marks=NEEDS_ASSETS)]
"""Parameters of a fixture that opens `cluster`."""


@contextmanager
def cluster(which: str, folder: Path, part: str, group: str, rights: str) -> Iterator[tuple[Path, Path]]:
    """Kubeconfigs of its administrator and of the part.

    `which`: embedded or real. On the real one the part is in `group`, with the rights of the file `rights`
    of deploy/rbac.
    """
    with _embedded(folder, part) if which == "embedded" else _real(folder, part, group, rights) as made:
        yield made


@contextmanager
def _embedded(folder: Path, part: str) -> Iterator[tuple[Path, Path]]:
    log, data = folder / "server.log", folder / "data"
    with started([*SPRINGTIDE, "server", "--data-dir", str(data), "--port", "0"], log) as server:
        wait_until(lambda: "export KUBECONFIG=" in log.read_text(), server, log)
        yield data / "kubeconfig", data / "kubeconfigs" / part


@contextmanager
def _real(folder: Path, part: str, group: str, rights: str) -> Iterator[tuple[Path, Path]]:
    accounts = [Account("admin", "admin", ("system:masters",)), Account(part, part, (group,))]
    with kube_apiserver(Path(ASSETS), folder / "data", accounts, durable=False) as running:
        reached = {
            "server": f"https://127.0.0.1:{running.port}",
            "certificate-authority": str(running.ca_file),
        }
        for account in accounts:
            config = {
                "clusters": [{"name": "real", "cluster": reached}],
                "users": [{"name": account.name, "user": {"token": account.token}}],
                "contexts": [{"name": "real", "context": {"cluster": "real", "user": account.name}}],
                "current-context": "real",
            }
            (folder / account.name).write_text(json.dumps(config))
        applied = Platform(folder, folder).execute(
            [
                kubectl_path(),
                *("--kubeconfig", str(folder / "admin"), "apply", "-f"),
                str(ROOT / "deploy" / "rbac" / rights),
            ]
        )
        assert applied.code == 0, applied.text
        yield folder / "admin", folder / part
