"""Deprecated paths of watches, and what they stand for."""

from __future__ import annotations

import pytest

from springtide.server.routes import without_watch


@pytest.mark.parametrize(
    ("path", "stands_for", "name"),
    [
        ("/api/v1/watch/pods", "/api/v1/pods", ""),
        ("/api/v1/watch/nodes/n1", "/api/v1/nodes", "n1"),
        ("/api/v1/watch/namespaces", "/api/v1/namespaces", ""),
        ("/api/v1/watch/namespaces/x", "/api/v1/namespaces", "x"),
        ("/api/v1/watch/namespaces/x/pods", "/api/v1/namespaces/x/pods", ""),
        ("/api/v1/watch/namespaces/x/pods/p", "/api/v1/namespaces/x/pods", "p"),
        ("/apis/apps/v1/watch/deployments", "/apis/apps/v1/deployments", ""),
        ("/apis/apps/v1/watch/namespaces/x/deployments/d", "/apis/apps/v1/namespaces/x/deployments", "d"),
        ("/api/v1/namespaces/watch/pods", "/api/v1/namespaces/watch/pods", ""),
        ("/api/v1/watch", "/api/v1/watch", ""),
        ("/watch/pods", "/watch/pods", ""),
    ],
)
def test_a_path_of_watches_stands_for_one_of_lists(path: str, stands_for: str, name: str) -> None:
    assert without_watch(path) == (stands_for, name)
