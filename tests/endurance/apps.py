"""Rollouts under faults: `python -m tests.endurance.apps SEED [COUNT]` prints a JSON row for each seed.

The production controllers keep a Deployment, a StatefulSet and a DaemonSet while a user scales them, changes
their templates, pauses rollouts and deletes pods. The controllers lose answers, get refused, hear of changes
late and die after every few writes. At every committed write: no ReplicaSet and no Deployment has more pods
than it may, no number or node has two, and no controller deletes an available pod that was needed. In the end
everything is as the user said, and nothing is written any more.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from springtide.client import Client, NotFound
from springtide.node import SimulatedNodes
from springtide.node.behaviour import Behaviour
from springtide.node.simulated import SimulationSettings
from springtide.runtime import LoopClock, Runtime, configure_logging
from springtide.server import InProcessTransport, Server
from springtide.simulation import loop
from springtide.simulation.faults import (
    NO_FAULTS,
    ControllersCrashed,
    FaultCounts,
    FaultSettings,
    FaultyTransport,
)
from springtide.simulation.processes import ObservedLog
from springtide.store import Record, Store
from springtide.up.bootstrap import bootstrap
from springtide.up.rooms import register_controllers
from tests.builtin.apps_scene import APPS, FOREVER, is_settled, node, workload

Json = dict[str, Any]

MEMORY_SECONDS = 60.0
"""A limit the user changed holds for controllers that have not heard of it yet, for so long."""
STEPS = 12
PATIENCE_SECONDS = 900.0
QUIET_SECONDS = 60.0
NODES = 4


@dataclass
class Bounds:
    """What was allowed lately."""

    values: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, value: int) -> None:
        if not self.values or self.values[-1][1] != value:
            self.values.append((now, value))

    def lately(self, now: float) -> list[int]:
        while len(self.values) > 1 and self.values[1][0] < now - MEMORY_SECONDS:
            self.values.popleft()
        return [value for _, value in self.values]


class Watchman:
    """Sees every committed write, and says what should not have been written."""

    def __init__(self, clock: LoopClock) -> None:
        self.violations: list[str] = []
        self.writes = 0
        self._clock = clock
        self._pods: dict[str, Json] = {}
        self._sets: dict[str, str] = {}
        self._most: defaultdict[str, Bounds] = defaultdict(Bounds)
        self._least: defaultdict[str, Bounds] = defaultdict(Bounds)
        self.by_user: dict[str, float] = {}
        """When the user deleted which pods, by uid."""

    def see(self, record: Record) -> None:
        raw: Json = msgspec.json.decode(record.value)
        now = self._clock.monotonic()
        if raw.get("kind") not in ("Lease", "Event"):
            self.writes += 1
        if raw.get("apiVersion") == "apps/v1":
            self._see_owner(raw, now)
        elif raw.get("kind") == "Pod":
            self._see_pod(raw, deleted=record.deleted, now=now)

    def _see_owner(self, raw: Json, now: float) -> None:
        uid, spec = raw["metadata"]["uid"], raw.get("spec", {})
        if raw["kind"] == "ReplicaSet":
            self._most[uid].note(now, spec["replicas"])
            self._sets[uid] = raw["metadata"]["ownerReferences"][0]["uid"]
        elif raw["kind"] == "Deployment":
            limits, replicas = spec["strategy"]["rollingUpdate"], spec["replicas"]
            self._most[uid].note(now, replicas + limits["maxSurge"])
            self._least[uid].note(now, replicas - limits["maxUnavailable"])

    def _see_pod(self, raw: Json, *, deleted: bool, now: float) -> None:
        uid = raw["metadata"]["uid"]
        before = self._pods.get(uid)
        if deleted:
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = raw
        goes = deleted or "deletionTimestamp" in raw["metadata"]
        if before is None and not deleted:
            self._check_new(raw, now)
        elif goes and before is not None and "deletionTimestamp" not in before["metadata"]:
            self._check_deletion(before, now)

    def _live(self, owner: str) -> list[Json]:
        return [pod for pod in self._pods.values() if _owner(pod)["uid"] == owner and _is_live(pod)]

    def _check_new(self, pod: Json, now: float) -> None:
        owner = _owner(pod)
        live = self._live(owner["uid"])
        if owner["kind"] == "ReplicaSet":
            self._at_most(f"ReplicaSet {owner['name']}", owner["uid"], len(live), now)
            above = self._sets.get(owner["uid"], "")
            together = [one for uid, up in self._sets.items() if up == above for one in self._live(uid)]
            self._at_most("Deployment", above, len(together), now)
        elif owner["kind"] == "DaemonSet":
            wanted = _target(pod)
            twins = [one["metadata"]["name"] for one in live if _target(one) == wanted]
            if len(twins) > 1:
                self._say(f"node {wanted} has {twins} of DaemonSet {owner['name']}")

    def _at_most(self, what: str, uid: str, live: int, now: float) -> None:
        allowed = self._most[uid].lately(now)
        if allowed and live > max(allowed):
            self._say(f"{what} has {live} pods; lately {allowed} were allowed")

    def _check_deletion(self, pod: Json, now: float) -> None:
        """An available pod of the Deployment was deleted: enough others must be left."""
        if pod["metadata"]["uid"] in self.by_user or not _is_ready(pod):
            return
        above = self._sets.get(_owner(pod)["uid"])
        if above is None:
            return
        left = [
            one for uid, up in self._sets.items() if up == above for one in self._live(uid) if _is_ready(one)
        ]
        needed = self._least[above].lately(now)
        if needed and len(left) < min(needed) and not self._user_took(now):
            self._say(
                f"{pod['metadata']['name']} was deleted with {len(left)} left; lately {needed} were needed"
            )

    def _user_took(self, now: float) -> bool:
        """Whether the user deleted pods a moment ago, so that too few are not the controller's doing."""
        return any(moment > now - MEMORY_SECONDS for moment in self.by_user.values())

    def _say(self, what: str) -> None:
        self.violations.append(f"{self._clock.monotonic():.3f}: {what}")


def _owner(pod: Json) -> Json:
    owners: list[Json] = pod["metadata"].get("ownerReferences") or [{"uid": "", "kind": "", "name": ""}]
    return owners[0]


def _is_live(pod: Json) -> bool:
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return "deletionTimestamp" not in pod["metadata"] and not ended


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _target(pod: Json) -> str:
    affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    name: str = affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    return name


@dataclass
class World:
    """One run."""

    seed: int
    faults: FaultSettings
    steps: int = STEPS
    """How often the user acts."""
    counts: FaultCounts = field(default_factory=FaultCounts)

    async def play(self) -> Json:
        self._chances = random.Random(self.seed)
        self._clock = LoopClock(seed=self.seed)
        self._watchman = Watchman(self._clock)
        store = Store(ObservedLog(self._watchman.see), monotonic=self._clock.monotonic)
        server = Server(store, clock=self._clock)
        await server.start()
        self._inner = InProcessTransport(server)
        self._user = Client(self._inner).with_manager("user")
        await bootstrap(self._user)
        background = [
            asyncio.ensure_future(self._run_nodes()),
            asyncio.ensure_future(self._keep_controllers_running()),
        ]
        try:
            await self._use()
            await self._calm_down()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await store.close()
        return self._row()

    def _row(self) -> Json:
        return {
            "seed": self.seed,
            "violations": self._watchman.violations,
            "writes": self._watchman.writes,
            "crashes": self.counts.crashes,
            "lost_answers": self.counts.lost_answers,
            "virtual_seconds": round(self._clock.monotonic()),
        }

    # -- processes ---------------------------------------------------------------------------------

    async def _run_nodes(self) -> None:
        runtime = Runtime(Client(self._inner).with_manager("node"), self._clock)
        behaviour = Behaviour(duration_seconds=FOREVER, start_delay_seconds=0.5)
        nodes = [node(f"node-{index}") for index in range(NODES)]
        SimulatedNodes(runtime, nodes, SimulationSettings(default=behaviour))
        await runtime.run()

    async def _keep_controllers_running(self) -> None:
        while True:
            self._transport = FaultyTransport(
                self._inner, self._chances, self.faults, self.counts, crash=self._crash
            )
            runtime = Runtime(Client(self._transport), self._clock)
            register_controllers(runtime)
            self._controllers = asyncio.ensure_future(runtime.run())
            try:
                await asyncio.wait([self._controllers])
            finally:
                self._controllers.cancel()
            if not self._controllers.cancelled():
                error = self._controllers.exception()
                _, others = (
                    error.split(ControllersCrashed)
                    if isinstance(error, BaseExceptionGroup)
                    else (None, error)
                )
                if others is not None:
                    raise others
            await asyncio.sleep(self._chances.uniform(0.1, 10))

    def _crash(self) -> None:
        self._controllers.cancel()

    # -- the user ----------------------------------------------------------------------------------

    async def _use(self) -> None:
        chances = self._chances
        limits = {"maxSurge": chances.randint(0, 3), "maxUnavailable": chances.randint(0, 2)}
        if not any(limits.values()):
            limits["maxSurge"] = 1
        deployment = workload(
            "Deployment", "web", replicas=chances.randint(1, 8), strategy={"rollingUpdate": limits}
        )
        await self._send("POST", "deployments", deployment)
        stateful = workload("StatefulSet", "db", replicas=chances.randint(1, 4), serviceName="db")
        stateful["spec"]["podManagementPolicy"] = chances.choice(["OrderedReady", "Parallel"])
        await self._send("POST", "statefulsets", _labelled(stateful, "db"))
        await self._send("POST", "daemonsets", _labelled(workload("DaemonSet", "agent"), "agent"))
        for step in range(self.steps):
            await asyncio.sleep(chances.uniform(0.2, 25))
            await self._act(step)

    async def _act(self, step: int) -> None:
        chances = self._chances
        place = chances.choice(("deployments/web", "deployments/web", "statefulsets/db", "daemonsets/agent"))
        match chances.choice(("scale", "scale", "image", "image", "back", "delete", "pause")):
            case "scale" if not place.startswith("daemonsets"):
                await self._send("PATCH", place, {"spec": {"replicas": chances.randint(0, 8)}})
            case "image":
                await self._send("PATCH", place, _image(f"app:{step + 2}"))
            case "back":
                await self._send("PATCH", place, _image("app:1"))
            case "delete":
                await self._delete_a_pod()
            case "pause":
                await self._send("PATCH", "deployments/web", {"spec": {"paused": chances.random() < 0.5}})

    async def _delete_a_pod(self) -> None:
        pods = (await self._get("/api/v1/namespaces/default/pods"))["items"]
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        if live:
            pod = self._chances.choice(live)
            self._watchman.by_user[pod["metadata"]["uid"]] = self._clock.monotonic()
            path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
            try:
                await self._user.request("DELETE", path)
            except NotFound:
                return

    # -- the end -----------------------------------------------------------------------------------

    async def _calm_down(self) -> None:
        await self._send("PATCH", "deployments/web", {"spec": {"paused": False}})
        self.faults = self._transport.settings = NO_FAULTS
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        while not await self._is_done():
            if self._clock.monotonic() > deadline:
                self._watchman.violations.append(f"not settled: {await self._states()}")
                return
            await asyncio.sleep(2)
        await asyncio.sleep(QUIET_SECONDS)
        before = self._watchman.writes
        await asyncio.sleep(QUIET_SECONDS)
        if self._watchman.writes != before:
            self._watchman.violations.append(f"{self._watchman.writes - before} writes after all was done")

    async def _is_done(self) -> bool:
        deployment = await self._get(f"{APPS}/deployments/web")
        stateful = await self._get(f"{APPS}/statefulsets/db")
        daemon = (await self._get(f"{APPS}/daemonsets/agent"))["status"]
        pods = (await self._get("/api/v1/namespaces/default/pods"))["items"]
        wanted = deployment["spec"]["replicas"] + stateful["spec"]["replicas"] + NODES
        return (
            is_settled(deployment)
            and is_settled(stateful)
            and daemon.get("numberAvailable") == daemon.get("updatedNumberScheduled") == NODES
            and len(pods) == wanted
        )

    async def _states(self) -> list[Json]:
        places = ("deployments/web", "statefulsets/db", "daemonsets/agent")
        pods = (await self._get("/api/v1/namespaces/default/pods"))["items"]
        waiting = [
            {"pod": one["metadata"]["name"], "on": one["spec"].get("nodeName"), "status": one["status"]}
            for one in pods
            if not _is_ready(one)
        ]
        return [*waiting, *[(await self._get(f"{APPS}/{place}"))["status"] for place in places]]

    async def _get(self, path: str) -> Json:
        decoded: Json = msgspec.json.decode((await self._user.request("GET", path)).body)
        return decoded

    async def _send(self, method: str, place: str, body: Json) -> None:
        kind = "application/json" if method == "POST" else "application/strategic-merge-patch+json"
        await self._user.request(method, f"{APPS}/{place}", body=msgspec.json.encode(body), content_type=kind)


def _labelled(body: Json, name: str) -> Json:
    body["spec"]["selector"] = {"matchLabels": {"app": name}}
    body["spec"]["template"]["metadata"] = {"labels": {"app": name}}
    return body


def _image(tag: str) -> Json:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": tag}]}}}}


def faults_of(seed: int) -> FaultSettings:
    """All faults together but stale lists: an API server answers a list from its newest state."""
    drawn = FaultSettings.of_seed(seed)
    return FaultSettings(
        crash_every_writes=drawn.crash_every_writes + 3,
        conflict=drawn.conflict,
        server_error=drawn.server_error,
        lost_answer=drawn.lost_answer,
        drop_event=drawn.drop_event,
        delay_event=drawn.delay_event,
    )


def play(seed: int, faults: FaultSettings | None = None, steps: int = STEPS) -> Json:
    """Play one seed; the row says what was violated."""
    configure_logging(level="error")
    return loop.run(World(seed, faults or faults_of(seed), steps).play(), seed=seed)


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(__doc__)
        return 0
    first, count = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 1
    failed = 0
    for seed in range(first, first + count):
        row = play(seed)
        print(json.dumps(row), flush=True)
        failed += bool(row["violations"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
