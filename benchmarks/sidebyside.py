"""`springtide server` beside a real kube-apiserver with etcd: the same load on both. One JSON object a row.

    KUBEBUILDER_ASSETS=/folder/with/both python benchmarks/sidebyside.py [--pods 16000] [--rounds 2]

Both write durably (SQLite and etcd sync every commit) and are loaded by the same client over 64 TLS
connections, one server at a time, in rounds that alternate. Without KUBEBUILDER_ASSETS the embedded server is
measured alone, against the figures of the architecture page (1,204 creates a second for the real one).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import uvloop

from load.exchange import Call, Door, Listener, merge_patch, send_all
from load.pods import pod
from load.servers import Peer, kube_apiserver, springtide

PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WATCHERS, CHANGES = 100, 10_000
KNOWN_CREATES_PER_SECOND = 1204
"""Of a real kube-apiserver with etcd on a machine of this size (architecture page, section 8)."""


def config_map(number: int) -> bytes:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"change-{number}"}}
    return json.dumps(body).encode()


async def measure(peer: Peer, pods: int) -> dict[str, float]:
    """All figures of one server in one round."""
    figures: dict[str, float] = {"start_seconds": round(peer.start_seconds, 2), "idle_mb": peer.resident_mb()}
    door = peer.door
    account = b'{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}'
    if not await _exists(door, "/api/v1/namespaces/default/serviceaccounts/default"):
        await send_all(door, [Call("POST", "/api/v1/namespaces/default/serviceaccounts", account)], 1)
    half = pods // 2
    await send_all(door, [Call("POST", PODS, pod(f"warm-{number}")) for number in range(500)])
    same = await send_all(door, [Call("POST", PODS, pod(f"same-{number}")) for number in range(half)])
    own = await send_all(
        door, [Call("POST", PODS, pod(f"own-{number}", str(number))) for number in range(half)]
    )
    figures["creates_per_second"] = round(half / same.seconds)
    figures["creates_all_different_per_second"] = round(half / own.seconds)
    figures["create_p50_ms"], figures["create_p99_ms"] = same.percentile_ms(50), same.percentile_ms(99)
    status = {"status": {"phase": "Running", "podIP": "127.0.0.9", "startTime": "2026-01-01T00:00:00Z"}}
    patches = [merge_patch(f"{PODS}/same-{number}/status", status) for number in range(half // 2)]
    patched = await send_all(door, patches)
    figures["status_patches_per_second"] = round(len(patches) / patched.seconds)
    listed = [await send_all(door, [Call("GET", PODS, b"")], 1) for _ in range(3)]
    figures["list_seconds"] = round(min(one.seconds for one in listed), 3)
    figures["loaded_mb"] = peer.resident_mb()
    seconds, resumed = await watchers(door)
    figures["watchers_seconds"], figures["watches_dropped"] = round(seconds, 2), resumed
    return figures


async def _exists(door: Door, path: str) -> bool:
    try:
        await send_all(door, [Call("GET", path, b"")], 1)
    except RuntimeError:
        return False
    return True


async def watchers(door: Door) -> tuple[float, int]:
    """Seconds until the last of 100 watchers has heard 10,000 changes, from the first change on, and how
    often a watcher was dropped and had to resume.
    """
    listeners = [Listener(door, CONFIG_MAPS, CHANGES) for _ in range(WATCHERS)]
    running = [asyncio.create_task(listener.run()) for listener in listeners]
    for listener in listeners:
        await listener.opened.wait()
    began = time.perf_counter()
    changes = [Call("POST", CONFIG_MAPS, config_map(number)) for number in range(CHANGES)]
    await send_all(door, changes)
    await asyncio.gather(*running)
    return time.perf_counter() - began, sum(listener.resumed for listener in listeners)


Start = Callable[[Path], AbstractContextManager[Peer]]


def rounds(starts: dict[str, Start], count: int, pods: int) -> dict[str, dict[str, float]]:
    """Per server the median of every figure; a row for every round."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in starts}
    for number in range(count):
        for name, start in starts.items():
            with (
                tempfile.TemporaryDirectory(prefix="sidebyside-") as folder,
                start(Path(folder) / "data") as peer,
            ):
                figures = uvloop.run(measure(peer, pods))
            seen[name].append(figures)
            print(
                json.dumps({"bench": "side by side", "server": name, "round": number + 1, **figures}),
                flush=True,
            )
    return {
        name: {key: round(statistics.median(one[key] for one in measured), 3) for key in measured[0]}
        for name, measured in seen.items()
    }


def compare(ours: dict[str, float], real: dict[str, float]) -> dict[str, float]:
    """Ours to theirs: rates as ours/theirs (more is better), times and memory likewise (less is better)."""
    return {key: round(ours[key] / real[key], 2) for key in ours if real[key]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    starts: dict[str, Start] = {"springtide": springtide}
    if assets:
        starts["kube-apiserver + etcd"] = lambda folder: kube_apiserver(Path(assets), folder)
    medians = rounds(starts, options.rounds, options.pods)
    ours = medians["springtide"]
    if assets:
        print(
            json.dumps(
                {"bench": "side by side, ours to theirs", **compare(ours, medians["kube-apiserver + etcd"])}
            )
        )
    else:
        ratio = round(ours["creates_per_second"] / KNOWN_CREATES_PER_SECOND, 2)
        print(json.dumps({"bench": "creates to a known kube-apiserver's", "ratio": ratio}))


if __name__ == "__main__":
    main()
