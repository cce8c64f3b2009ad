"""How a part finds its API server: a kubeconfig that is named, or in a pod its service account."""

from __future__ import annotations

from pathlib import Path

import pytest

from springtide.cli.part import part_settings
from springtide.client import kubeconfig

NAMED = """\
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters: [{name: one, cluster: {server: "https://named.example:6443"}}]
users: [{name: one, user: {token: secret}}]
"""


@pytest.fixture
def in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("of the pod")
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


def server(path: Path | None) -> str:
    settings = part_settings(path, "", leader_elect=False, metrics_port=0, log_level="info")
    return settings.connection.server


def test_in_a_pod_the_service_account_is_taken(in_a_pod: Path) -> None:
    assert server(None) == "https://10.0.0.1:443"


def test_a_kubeconfig_that_is_named_comes_first(in_a_pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = in_a_pod / "config"
    named.write_text(NAMED)
    assert server(named) == "https://named.example:6443"
    monkeypatch.setenv("KUBECONFIG", str(named))
    assert server(None) == "https://named.example:6443"
