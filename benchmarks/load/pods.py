"""The pods that the benchmarks of API servers create."""

from __future__ import annotations

import json
from typing import Any


def pod(name: str, extra: str = "", scheduler: str = "bench") -> bytes:
    """A pod as a batch system makes them; `extra` makes its spec its own."""
    container: dict[str, Any] = {
        "name": "main",
        "image": "python:3.12",
        "command": ["python", "-c", "pass"],
        "env": [{"name": "RANK", "value": extra}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": "1"}},
    }
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench", "part": name.rpartition("-")[2][-2:]}},
        "spec": {"schedulerName": scheduler, "restartPolicy": "Never", "containers": [container]},
    }
    return json.dumps(body).encode()
