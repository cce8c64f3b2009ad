"""Pods as the objects of a history over HTTPS, and watchers that follow them from server to server.

Of a pod's data `v` is an annotation, written through the pod, and `w` is its status message, written through
the status subresource: two writers that must not undo each other. Called by `kills`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.endurance.operations import Action, Data, Operation, Outcome

COLLECTION = "/api/v1/namespaces/default/pods"
_MERGE = {"content-type": "application/merge-patch+json"}
_CONTAINERS = [{"name": "main", "image": "busybox"}]

Json = dict[str, Any]


def request_of(one: Operation, base: Json | None) -> Json:
    """The arguments of an HTTP request; with a `base`, `v` is written by a PUT of it instead of a patch."""
    url = f"{COLLECTION}/{one.key}"
    metadata: Json = {"name": one.key, "namespace": "default", "annotations": {"v": one.data[0]}}
    if one.expected:
        metadata["resourceVersion"] = str(one.expected)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": _CONTAINERS}}
    match one.action:
        case Action.GET:
            return {"method": "GET", "url": url}
        case Action.CREATE:
            one.data = (one.data[0], "")
            return {"method": "POST", "url": COLLECTION, "json": pod}
        case Action.PATCH_V if base is not None:
            kept = {name: value for name, value in base["metadata"].items() if name != "resourceVersion"}
            return {"method": "PUT", "url": url, "json": {**base, "metadata": {**kept, **metadata}}}
        case Action.PATCH_W:
            body: Json = {"status": {"message": one.data[1]}}
            return {"method": "PATCH", "url": f"{url}/status", "headers": _MERGE, "data": json.dumps(body)}
        case Action.DELETE:
            options = {"preconditions": {"resourceVersion": str(one.expected)}} if one.expected else {}
            return {
                "method": "DELETE",
                "url": url,
                "json": {"apiVersion": "v1", "kind": "DeleteOptions", **options},
            }
    return {"method": "PATCH", "url": url, "headers": _MERGE, "data": json.dumps({"metadata": metadata})}


def version_of(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


def data_of(obj: Json) -> Data:
    return (
        (obj["metadata"].get("annotations") or {}).get("v", ""),
        (obj.get("status") or {}).get("message", ""),
    )


class Follower:
    """A watcher with a cache that resumes from the last revision it heard of, whoever serves by then."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.stale = True
        self.revision = 0
        self.cache: dict[str, tuple[int, Data]] = {}
        self.counted: Counter[str] = Counter()
        self._wrong: list[str] = []
        self._heard: set[tuple[str, int]] = set()
        self._covered: list[list[int]] = []
        """Spans of revisions, first exclusive and last inclusive, of which it must have heard everything."""

    def start(self, revision: int, items: dict[str, tuple[int, Data]]) -> None:
        """Begin anew with a list."""
        self.counted["lists of watchers"] += 1
        self.stale, self.revision, self.cache = False, revision, dict(items)
        self._covered.append([revision, revision])

    async def follow(self, session: aiohttp.ClientSession, see: Callable[[int], None]) -> None:
        """One connection, to its end."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": str(self.revision)}
        self.counted["watches"] += 1
        async with session.get(COLLECTION, params=query) as response:
            async for line in response.content:
                if not line.endswith(b"\n"):
                    return  # the server died in the middle of it
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self.stale = True
                    self.counted["watches told 410"] += 1
                    if event["object"]["code"] != 410:
                        self._wrong.append(f"a watch was told {event['object']}")
                    return
                self._take(event)
                see(self.revision)

    def _take(self, event: Json) -> None:
        obj, type_ = event["object"], event["type"]
        revision, name = version_of(obj), obj["metadata"].get("name", "")
        if revision < self.revision or (type_ != "BOOKMARK" and revision == self.revision):
            self._wrong.append(f"watcher {self.number}: {type_} {revision} came after {self.revision}")
        self.revision = self._covered[-1][1] = revision
        self.counted["events"] += 1
        if type_ == "BOOKMARK":
            return
        self._heard.add((name, revision))
        if (type_ == "ADDED") == (name in self.cache):
            self._wrong.append(f"watcher {self.number}: {type_} of {name}, cached: {name in self.cache}")
        if type_ == "DELETED":
            self.cache.pop(name, None)
        else:
            self.cache[name] = (revision, data_of(obj))

    def faults(self, operations: list[Operation], final: dict[str, tuple[int, Data]]) -> list[str]:
        """What was wrong: events that contradict each other, gaps, or another state than there is."""
        missed = [
            f"watcher {self.number} was not told of {one.key} at {one.revision}"
            for one in operations
            if one.outcome is Outcome.OK
            and one.revision
            and one.action is not Action.GET
            and any(first < one.revision <= last for first, last in self._covered)
            and (one.key, one.revision) not in self._heard
        ]
        if self.cache != final:
            differing = sorted(
                key for key in self.cache.keys() | final.keys() if self.cache.get(key) != final.get(key)
            )
            missed.append(f"watcher {self.number} ends with another state of {differing}")
        return [*self._wrong, *missed]
