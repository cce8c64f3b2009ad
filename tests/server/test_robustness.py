"""Whatever a body looks like, it is stored or refused with a reason: never a fault of the server."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.simulation import loop
from tests.server.serving import APPLY, CRDS, GADGETS, MERGE, PODS, Json, gadget, gadget_crd, pod, serving

PRIORITY: Json = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "p", "annotations": {"a": "b"}},
    "value": 5,
}
SECRET: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "finalizers": ["example.dev/x"]},
    "stringData": {"a": "b"},
    "data": {"c": "ZA=="},
}
SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s"},
    "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
}
LEASE: Json = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "l"},
    "spec": {"holderIdentity": "me", "leaseDurationSeconds": 5},
}
EVENT: Json = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
    "reason": "Started",
}
RICH_POD = pod(
    "a",
    labels={"x": "y"},
    hostname="h",
    initContainers=[{"name": "first", "image": "x", "env": [{"name": "A", "valueFrom": {"fieldRef": {}}}]}],
    tolerations=[{"key": "k", "operator": "Exists"}],
    volumes=[{"name": "v", "emptyDir": {}}],
    containers=[
        {
            "name": "main",
            "image": "x:1",
            "ports": [{"containerPort": 1}],
            "resources": {"limits": {"cpu": "1"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "readinessProbe": {"exec": {"command": ["true"]}},
        }
    ],
)
CASES = {
    "pod": (PODS, RICH_POD),
    "crd": (CRDS, gadget_crd()),
    "gadget": (GADGETS, gadget("g")),
    "namespace": ("/api/v1/namespaces", {"metadata": {"name": "n"}, "spec": {"finalizers": ["a.b/c"]}}),
    "secret": ("/api/v1/namespaces/default/secrets", SECRET),
    "service": ("/api/v1/namespaces/default/services", SERVICE),
    "lease": ("/apis/coordination.k8s.io/v1/namespaces/default/leases", LEASE),
    "event": ("/api/v1/namespaces/default/events", EVENT),
    "priority class": ("/apis/scheduling.k8s.io/v1/priorityclasses", PRIORITY),
    "binding": (f"{PODS}/a/binding", {"metadata": {"name": "a"}, "target": {"name": "n"}}),
    "eviction": (
        f"{PODS}/a/eviction",
        {"metadata": {"name": "a"}, "deleteOptions": {"preconditions": {"uid": "x"}}},
    ),
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 2**70, 1.5, True, "", "x", "é", [], [None], [{}], {}, {"": ""}, {"x": None}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    found = [path] if path else []
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        found += places(member, (*path, key))
    return found


def changed(body: Json, path: tuple[Any, ...], value: Any, *, drop: bool) -> Json:
    body = copy.deepcopy(body)
    parent: Any = body
    for key in path[:-1]:
        parent = parent[key]
    if drop:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return body


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_body_is_answered(case: str, data: st.DataObject) -> None:
    path, good = CASES[case]
    body = good
    for _ in range(data.draw(st.integers(1, 2))):
        where = data.draw(st.sampled_from(places(body)))
        body = changed(body, where, data.draw(ODD), drop=data.draw(st.booleans()))
        if not places(body):
            break

    async def ask() -> None:
        async with serving() as api:
            if case == "gadget":
                await api.post(CRDS, gadget_crd())
            if case in ("binding", "eviction"):
                await api.post(PODS, RICH_POD)
            answer = await api.post(path, body)
            assert answer.status in (200, 201, 400, 403, 404, 409, 422), answer.body
            if answer.status in (200, 201) and "/a/" not in path:
                await change(api, f"{path}/{answer.json['metadata']['name']}", body)

    async def change(api: Any, one: str, body: Json) -> None:
        for media_type in (MERGE, APPLY):
            answer = await api.patch(one, body, media_type, fieldManager="me", force="true")
            assert answer.status in (200, 400, 409, 422), answer.body
        answer = await api.put(one, body)
        assert answer.status in (200, 400, 409, 422), answer.body
        assert (await api.get(one)).status == 200
        assert (
            await api.ask("GET", one, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        ).status == 200
        assert (await api.delete(one, body)).status in (200, 400, 409, 422)

    loop.run(ask())
