"""What the rules of a CRD cost: creates of one kind without rules, and with ten CEL rules on it.

In process, without HTTPS or a disk, so that rules are as large a part of the work as they can be. One JSON
object a row.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from springtide.runtime.clock import SystemClock
from springtide.server import Request, Server
from springtide.server.request import Response
from springtide.store import MemoryLog, Store

OBJECTS = 2_000
ROUNDS = 3
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RULES = [
    "self.replicas <= self.limit",
    "!has(self.note) || self.note.size() < 100",
    "self.ports.all(p, p.number > 0 && p.number < 65536)",
    "self.ports.all(p, self.ports.exists_one(q, q.name == p.name))",
    "self.image.matches('^[a-z0-9./:-]+$')",
    "self.mode in ['fast', 'safe']",
    "self.labels.all(k, k.size() < 20)",
    "quantity(self.memory).isGreaterThan(quantity('1Mi'))",
    "self.mode == 'fast' ? self.replicas > 0 : true",
    "self.?note.orValue('') != 'forbidden'",
]


def definition(group: str, rules: list[str]) -> dict[str, Any]:
    text = {"type": "string", "maxLength": 100}
    number = {"type": "integer"}
    spec: dict[str, Any] = {
        "type": "object",
        "properties": {
            **dict.fromkeys(("note", "image", "mode", "memory"), text),
            **dict.fromkeys(("replicas", "limit"), number),
            "labels": {"type": "object", "maxProperties": 20, "additionalProperties": text},
            "ports": {
                "type": "array",
                "maxItems": 20,
                "items": {"type": "object", "properties": {"name": text, "number": number}},
            },
        },
    }
    if rules:
        spec["x-kubernetes-validations"] = [{"rule": rule} for rule in rules]
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version],
        },
    }


def thing(group: str, name: str) -> dict[str, Any]:
    ports = [{"name": f"p{number}", "number": 8000 + number} for number in range(5)]
    spec = {"replicas": 2, "limit": 4, "image": "registry/app:1", "mode": "fast", "memory": "2Gi"}
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": {**spec, "labels": {"a": "1", "b": "2"}, "ports": ports},
    }


async def creates_a_second(server: Server, group: str, prefix: str) -> float:
    bodies = [json.dumps(thing(group, f"{prefix}-{number}")).encode() for number in range(OBJECTS)]
    began = time.process_time()
    for body in bodies:
        answer = await server.handle(Request("POST", f"/apis/{group}/v1/things", body=body))
        assert isinstance(answer, Response)
        assert answer.status == 201
    return OBJECTS / (time.process_time() - began)


async def main() -> None:
    clock = SystemClock()
    store = Store(MemoryLog(), monotonic=clock.monotonic)
    server = Server(store, clock=clock)
    await server.start()
    groups = {"plain.bench.dev": [], "ruled.bench.dev": RULES}
    best: dict[str, float] = {}
    for group, rules in groups.items():
        began = time.process_time()
        body = json.dumps(definition(group, rules)).encode()
        answer = await server.handle(Request("POST", CRDS, body=body))
        assert isinstance(answer, Response)
        assert answer.status == 201
        print(
            json.dumps(
                {
                    "benchmark": "crd_create_cpu_ms",
                    "rules": len(rules),
                    "value": round((time.process_time() - began) * 1000, 1),
                }
            )
        )
    for turn in range(ROUNDS):
        for group in groups:
            rate = await creates_a_second(server, group, f"t{turn}")
            best[group] = max(best.get(group, 0.0), rate)
    for group, rules in groups.items():
        print(
            json.dumps(
                {
                    "benchmark": "custom_resource_creates_per_cpu_second",
                    "rules": len(rules),
                    "value": round(best[group]),
                }
            )
        )
    added = 1e6 / best["ruled.bench.dev"] - 1e6 / best["plain.bench.dev"]
    print(json.dumps({"benchmark": "microseconds_per_rule", "value": round(added / len(RULES), 1)}))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
