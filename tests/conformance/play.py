"""Plays a case on a target: makes its namespace and what is given, sends its requests, judges the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from tests.conformance.case import CORE, CRDS, Case, Has, Json, Like, Not, Step
from tests.conformance.expectations import at, faults
from tests.conformance.targets import Target
from tests.conformance.users import USERS
from tests.conformance.wire import Answer, Wire

_PAUSE_SECONDS = 0.05
_CRD_SECONDS = 20.0
_PLURALS = {"Ingress": "ingresses", "Endpoints": "endpoints"}
_CLUSTER_SCOPED = frozenset(
    {
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "IngressClass",
        "StorageClass",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
    }
)


@dataclass
class Player:
    """Plays cases on one target, one after the other."""

    target: Target
    wire: Wire = field(init=False)
    _definitions: dict[str, Json] = field(default_factory=dict)
    """Shared CRDs that are there already, by name."""

    def __post_init__(self) -> None:
        self.wire = Wire(self.target.url, self.target.ca_file)

    def close(self) -> None:
        self.wire.close()

    def play(self, case: Case) -> None:
        """Raises AssertionError saying what was not as the case has it."""
        word = uuid4().hex[:8]
        words = {"id": word, "ns": f"case-{word}"}
        self._make_namespace(words["ns"])
        for obj in case.given:
            self._give(_filled(obj, words), words["ns"])
        for number, step in enumerate(case.steps, start=1):
            self._play_step(step, words, f"{case}: step {number}")

    def _play_step(self, step: Step, words: dict[str, str], where: str) -> None:
        filled = replace(
            step,
            **{
                name: _filled(getattr(step, name), words)
                for name in (
                    "path",
                    "body",
                    "query",
                    "headers",
                    "fields",
                    "message",
                    "text",
                    "warnings",
                    "events",
                )
            },
        )
        deadline = time.monotonic() + step.within
        while True:
            answer = self._ask(filled)
            wrong = faults(filled, answer)
            if not wrong or time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE_SECONDS)
        assert not wrong, (
            f"{where} ({step.method} {filled.path}) on {self.target.name}:\n  "
            + "\n  ".join(wrong)
            + f"\n  answer {answer.status}: {answer.text[:2000] or answer.events}"
        )
        for name, path in step.save.items():
            saved = at(answer.events if step.events is not None else answer.json, path)
            assert saved is not None, f"{where}: there is no {path} to save"
            words[name] = saved if isinstance(saved, str) else json.dumps(saved)

    def _ask(self, step: Step) -> Answer:
        headers = dict(step.headers)
        if step.user:
            headers["Authorization"] = f"Bearer {USERS[step.user].token}"
        events = len(step.events) if step.events is not None else None
        return self.wire.ask(step.method, step.path, dict(step.query), headers, step.body, events=events)

    def _make_namespace(self, name: str) -> None:
        self._create(
            f"{CORE}/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        self._create(f"{CORE}/namespaces/{name}/serviceaccounts", account, allowed=(201, 404, 409))

    def _give(self, obj: Json, namespace: str) -> None:
        if obj["kind"] == "CustomResourceDefinition":
            self._define(obj)
            return
        self._create(self._collection_of(obj, namespace), obj)

    def _define(self, definition: Json) -> None:
        """Create a CRD, once, and wait until it is served."""
        name, spec = definition["metadata"]["name"], definition["spec"]
        if name in self._definitions:
            assert self._definitions[name] == definition, f"two different CRDs are called {name}"
            return
        self._create(CRDS, definition)
        ready = Step(
            "GET",
            f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}",
            within=_CRD_SECONDS,
        )
        self._play_step(ready, {}, f"definition of {name}")
        self._definitions[name] = definition

    def _collection_of(self, obj: Json, namespace: str) -> str:
        """The path of the collection an object belongs to."""
        version, kind = obj["apiVersion"], obj["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural = _PLURALS.get(kind) or (f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s")
        if plural.endswith("ys") and plural[-3] not in "aeiou":
            plural = f"{plural[:-2]}ies"
        if kind in _CLUSTER_SCOPED or (version.partition("/")[0], kind) in self._cluster_scoped:
            return f"{root}/{plural}"
        return f"{root}/namespaces/{obj['metadata'].get('namespace') or namespace}/{plural}"

    @property
    def _cluster_scoped(self) -> set[tuple[str, str]]:
        specs = [definition["spec"] for definition in self._definitions.values()]
        return {(spec["group"], spec["names"]["kind"]) for spec in specs if spec["scope"] == "Cluster"}

    def _create(self, path: str, obj: Json, allowed: tuple[int, ...] = (201,)) -> None:
        headers = {"Authorization": f"Bearer {USERS['admin'].token}"}
        answer = self.wire.ask("POST", path, {}, headers, obj)
        assert answer.status in allowed, f"given {obj['kind']} was refused: {answer.status} {answer.text}"


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """A value with every `{word}` replaced, in keys as well."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(f"{{{word}}}", text)
        return value
    if isinstance(value, Mapping):
        return {_filled(key, words): _filled(one, words) for key, one in value.items()}
    if isinstance(value, Like):
        return Like(_filled(value.pattern, words))
    if isinstance(value, Has):
        return Has(_filled(value.wanted, words))
    if isinstance(value, Not):
        return Not(_filled(value.unwanted, words))
    if isinstance(value, list | tuple):
        return type(value)(_filled(one, words) for one in value)
    return value
