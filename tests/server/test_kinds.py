"""What is particular to Pods, Namespaces, Secrets, PriorityClasses and CRDs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from springtide.server import LogOptions, Request, Stream
from tests.server.serving import (
    CRDS,
    GADGETS,
    PODS,
    TABLE,
    Json,
    configmap,
    gadget,
    gadget_crd,
    pod,
    serving,
)

NAMESPACES = "/api/v1/namespaces"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"


async def test_a_rule_of_a_definition_is_enforced() -> None:
    definition = gadget_crd()
    root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["properties"]["spec"].setdefault("properties", {})["size"] = {
        "type": "integer",
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}, {"rule": "self < 10"}],
    }
    async with serving() as api:
        made = await api.post(CRDS, definition)
        refused = await api.post(GADGETS, gadget("a", size=10))
    assert refused.status == 422
    assert made.warnings == ()
    assert "spec.size: Invalid value: 10: failed rule: self < 10" in refused.json["message"]


async def test_a_pod_gets_the_defaults_kubernetes_gives_it() -> None:
    limits = {"resources": {"limits": {"cpu": "1"}}, "readinessProbe": {"exec": {"command": ["true"]}}}
    async with serving() as api:
        containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "x:1", **limits}]
        made = (await api.post(PODS, pod("a", containers=containers))).json
    spec, (first, second) = made["spec"], made["spec"]["containers"]
    assert [
        spec[key] for key in ("restartPolicy", "dnsPolicy", "terminationGracePeriodSeconds", "schedulerName")
    ] == [
        "Always",
        "ClusterFirst",
        30,
        "default-scheduler",
    ]
    assert (first["imagePullPolicy"], second["imagePullPolicy"]) == ("Always", "IfNotPresent")
    assert second["resources"]["requests"] == {"cpu": "1"}
    assert second["readinessProbe"]["periodSeconds"] == 10
    assert [toleration["tolerationSeconds"] for toleration in spec["tolerations"]] == [300, 300]
    assert made["status"] == {"phase": "Pending", "qosClass": "Burstable"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"spec": {"containers": [{"name": "main", "image": "other:2"}]}}, 200),
        ({"spec": {"activeDeadlineSeconds": 5}}, 200),
        ({"spec": {"nodeName": "n1"}}, 422),
        ({"spec": {"restartPolicy": "Never"}}, 422),
        ({"spec": {"containers": [{"name": "main", "image": "busybox:1.36", "command": ["x"]}]}}, 422),
    ],
)
async def test_what_of_a_pods_spec_may_change(change: Json, status: int) -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        media_type = "application/strategic-merge-patch+json"
        assert (await api.patch(f"{PODS}/a", change, media_type)).status == status


async def test_binding_places_a_pod_once() -> None:
    async with serving() as api:
        uid = (await api.post(PODS, pod("a"))).json["metadata"]["uid"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "a", "uid": "other", "annotations": {"springtide.dev/devices": "0"}},
            "target": {"kind": "Node", "name": "n1"},
        }
        assert (await api.post(f"{PODS}/a/binding", binding)).refusal == (409, "Conflict")
        binding["metadata"] |= {"uid": uid}  # type: ignore[operator]
        assert (await api.post(f"{PODS}/a/binding", binding)).status == 201
        bound = (await api.get(f"{PODS}/a")).json
        assert bound["spec"]["nodeName"] == "n1"
        assert bound["metadata"]["annotations"] == {"springtide.dev/devices": "0"}
        assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
        assert (await api.post(f"{PODS}/a/binding", binding)).refusal == (409, "Conflict")
        assert (await api.post(f"{PODS}/a/binding", {"target": {}})).wrong_fields == ["target.name"]
        assert (await api.post(f"{PODS}/b/binding", {"target": {"name": "n1"}})).refusal == (404, "NotFound")


async def test_eviction_deletes_with_grace() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a", nodeName="n1"))
        eviction = {"metadata": {"name": "a"}, "deleteOptions": {"gracePeriodSeconds": 3}}
        assert (await api.post(f"{PODS}/a/eviction", eviction)).status == 201
        assert (await api.get(f"{PODS}/a")).json["metadata"]["deletionGracePeriodSeconds"] == 3


async def test_a_priority_class_gives_pods_their_priority() -> None:
    high = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "high"},
        "value": 1000,
    }
    usual = {**high, "metadata": {"name": "usual"}, "value": 10, "globalDefault": True}
    async with serving() as api:
        assert (await api.post(PODS, pod("early"))).json["spec"]["priority"] == 0
        await api.post(PRIORITIES, high)
        await api.post(PRIORITIES, usual)
        assert (await api.post(PODS, pod("a", priorityClassName="high"))).json["spec"]["priority"] == 1000
        assert (await api.post(PODS, pod("b"))).json["spec"]["priority"] == 10
        refused = await api.post(PODS, pod("c", priorityClassName="none"))
        assert refused.refusal == (403, "Forbidden")
        assert "no PriorityClass with name none" in refused.json["message"]
        assert (await api.patch(f"{PRIORITIES}/high", {"value": 5})).wrong_fields == ["value"]


class Logs:
    """Tells a log in pieces, and what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[LogOptions] = []
        self.open = 0

    async def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.previous:
            raise LookupError(f"container {options.container} of pod {pod} has not run before")
        self.open += 1
        try:
            yield b"one\n"
            if options.follow:
                await asyncio.sleep(5)
            yield b"two\n"
        finally:
            self.open -= 1


async def test_logs_come_from_the_node() -> None:
    source = Logs()
    async with serving(log_source=source) as api:
        await api.post(PODS, pod("a", nodeName="n1"))
        answer = await api.get(f"{PODS}/a/log", tailLines="5", timestamps="true")
        assert answer.body == b"one\ntwo\n"
        assert source.asked == [LogOptions(container="main", tail_lines=5, timestamps=True)]
        stream = await api.server.handle(Request("GET", f"{PODS}/a/log", {"follow": "true"}))
        assert isinstance(stream, Stream)
        assert [chunk async for chunk in stream.chunks] == [b"one\n", b"two\n"]
        left_early = await api.server.handle(Request("GET", f"{PODS}/a/log", {"follow": "true"}))
        assert isinstance(left_early, Stream)
        assert await anext(left_early.chunks) == b"one\n"
        assert source.open == 1
        await left_early.chunks.aclose()
        assert source.open == 0


@pytest.mark.parametrize(
    ("spec", "query", "status", "says"),
    [
        ({"nodeName": "n"}, {"container": "x"}, 400, "container x is not valid"),
        ({"nodeName": "n"}, {"previous": "true"}, 400, "has not run before"),
        ({"nodeName": "n"}, {"tailLines": "-1"}, 422, "tailLines: Invalid value: -1"),
        ({"nodeName": "n"}, {"tailLines": "two"}, 400, "must be a whole number"),
        ({"nodeName": "n"}, {"limitBytes": "0"}, 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"nodeName": "n"}, {"sinceSeconds": "0"}, 422, "must be greater than 0"),
        ({"nodeName": "n"}, {"sinceTime": "yesterday"}, 400, "RFC 3339"),
        (
            {"nodeName": "n"},
            {"sinceSeconds": "5", "sinceTime": "2026-01-01T00:00:00Z"},
            422,
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ({"nodeName": "n"}, {"stream": "Both"}, 422, 'Unsupported value: "Both"'),
        ({"nodeName": "n"}, {"stream": "Stderr", "tailLines": "1"}, 422, "mutually exclusive"),
        (
            {"nodeName": "n", "containers": [{"name": c, "image": "x"} for c in "ab"]},
            {},
            400,
            "choose one of: [a b]",
        ),
    ],
)
async def test_logs_that_cannot_be_had(spec: Json, query: dict[str, str], status: int, says: str) -> None:
    async with serving(log_source=Logs()) as api:
        await api.post(PODS, pod("a", **spec))
        answer = await api.get(f"{PODS}/a/log", **query)
    assert answer.status == status
    assert says in answer.json["message"]


async def test_a_pod_that_is_nowhere_has_no_log() -> None:
    async with serving(log_source=Logs()) as api:
        await api.post(PODS, pod("a"))
        answer = await api.get(f"{PODS}/a/log")
    assert (answer.status, answer.body) == (204, b"")


async def test_every_cluster_has_its_four_namespaces_and_a_restart_keeps_them() -> None:
    async with serving() as api:
        first = await api.get(NAMESPACES)
    async with serving(api.log) as again:
        second = await again.get(NAMESPACES)
    assert first.names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert second.json == first.json


async def test_nothing_is_created_in_a_namespace_that_is_missing_or_going_away() -> None:
    async with serving() as api:
        missing = await api.post("/api/v1/namespaces/team/configmaps", configmap("a"))
        assert missing.refusal == (404, "NotFound")
        await api.post(NAMESPACES, {"metadata": {"name": "team"}})
        assert (await api.post("/api/v1/namespaces/team/configmaps", configmap("a"))).status == 201
        going = (await api.delete(f"{NAMESPACES}/team")).json
        assert (going["status"]["phase"], going["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
        refused = await api.post("/api/v1/namespaces/team/configmaps", configmap("b"))
        assert refused.refusal == (403, "Forbidden")
        going["spec"] = {"finalizers": []}
        assert (await api.put(f"{NAMESPACES}/team/finalize", going)).status == 200
        assert (await api.get(f"{NAMESPACES}/team")).status == 404


async def test_finalizing_a_namespace_that_is_not_deleted_keeps_it() -> None:
    async with serving() as api:
        await api.post(NAMESPACES, {"metadata": {"name": "team"}})
        await api.put(f"{NAMESPACES}/team/finalize", {"metadata": {"name": "team"}, "spec": {}})
        found = (await api.get(f"{NAMESPACES}/team")).json
    assert found["status"]["phase"] == "Active"


async def test_events_are_found_by_what_they_are_about_and_forgotten_after_an_hour() -> None:
    path = "/api/v1/namespaces/default/events"

    def event(name: str, about: str, **more: Any) -> Json:
        return {"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": about}, **more}

    async with serving() as api:
        await api.post(path, event("old", "a"))
        await api.post(path, event("repeated", "a"))
        assert (await api.get(path, fieldSelector="involvedObject.name=a,type!=Warning")).names == [
            "old",
            "repeated",
        ]
        await asyncio.sleep(3000)
        await api.patch(f"{path}/repeated", {"lastTimestamp": "2026-01-01T00:50:00Z", "count": 2})
        await asyncio.sleep(1000)
        await api.post(path, event("new", "b"))
        assert (await api.get(path)).names == ["new", "repeated"]
        misplaced = event("x", "a")
        misplaced["involvedObject"]["namespace"] = "other"
        assert (await api.post(path, misplaced)).wrong_fields == ["involvedObject.namespace"]


async def test_secrets_take_plain_text_and_refuse_what_is_not_base64() -> None:
    path = "/api/v1/namespaces/default/secrets"
    secret: Json = {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "immutable": True}
    async with serving() as api:
        made = (await api.post(path, secret)).json
        assert made["data"] == {"a": base64.b64encode(b"b").decode()}
        assert ("stringData" in made, made["type"]) == (False, "Opaque")
        assert (await api.patch(f"{path}/s", {"stringData": {"a": "c"}})).wrong_fields == ["data"]
        broken = {"metadata": {"name": "t"}, "data": {"k": "not base64!"}}
        refused = await api.post(path, broken)
        assert refused.refusal == (400, "BadRequest"), "as a client that cannot be read"
        assert "data[k]" in refused.json["message"]


async def test_a_crd_is_served_at_once_and_gone_with_its_objects_at_once() -> None:
    async with serving() as api:
        assert (await api.get(GADGETS)).status == 404
        crd = (await api.post(CRDS, gadget_crd())).json
        assert {(c["type"], c["status"]) for c in crd["status"]["conditions"]} == {
            ("NamesAccepted", "True"),
            ("Established", "True"),
        }
        made = (await api.post(GADGETS, gadget("a"))).json
        assert made["spec"] == {"size": 1, "color": "red"}
        assert (await api.get(GADGETS)).json["kind"] == "GadgetList"
        table = (await api.ask("GET", GADGETS, accept=TABLE)).json
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
        await api.delete(f"{CRDS}/gadgets.example.dev")
        assert (await api.get(GADGETS)).status == 404
        await api.post(CRDS, gadget_crd())
        assert (await api.get(GADGETS)).names == []


async def test_crds_and_their_objects_survive_a_restart() -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        await api.post(GADGETS, gadget("a"))
    async with serving(api.log) as again:
        assert (await again.get(GADGETS)).names == ["a"]
        assert (await again.get(GADGETS, fieldSelector="spec.color=blue")).names == []


async def test_objects_of_a_kind_that_another_version_knew_are_kept() -> None:
    later = "later.example.dev/things"
    async with serving() as api:
        await api.store.write(later, "default/a", b'{"metadata":{"name":"a"}}', expected=0)
    async with serving(api.log) as again:
        assert again.store.count(later) == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (gadget("a", size=0), ["spec.size"]),
        (gadget("a", size="big"), ["spec.size"]),
        (gadget("a", color="green"), ["spec.color"]),
        ({**gadget("a"), "spec": {}}, ["spec.size"]),
    ],
)
async def test_objects_of_a_crd_are_held_to_its_schema(body: Json, fields: list[str]) -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        answer = await api.post(GADGETS, body)
    assert answer.refusal == (422, "Invalid")
    assert answer.wrong_fields == fields


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "wrong"}}, "metadata.name"),
        ({"spec": {"scope": "Galaxy"}}, "spec.scope"),
        ({"spec": {"conversion": {"strategy": "Webhook"}}}, "spec.conversion.strategy"),
        ({"spec": {"versions": [{"name": "v1", "served": True, "storage": True}]}},
         "spec.versions[0].schema.openAPIV3Schema"),
        ({"spec": {"versions": []}}, "spec.versions"),
    ],
)  # fmt: skip
async def test_a_crd_that_cannot_be_served_is_refused(change: Json, field: str) -> None:
    crd = gadget_crd()
    crd["spec"] |= change.get("spec", {})
    crd["metadata"] |= change.get("metadata", {})
    async with serving() as api:
        assert field in (await api.post(CRDS, crd)).wrong_fields


async def test_a_second_version_serves_the_same_objects_and_warns_when_deprecated() -> None:
    crd = gadget_crd()
    old: Json = {**crd["spec"]["versions"][0], "name": "v1alpha1", "storage": False, "deprecated": True}
    crd["spec"]["versions"].append(old)
    async with serving() as api:
        await api.post(CRDS, crd)
        path = GADGETS.replace("/v1/", "/v1alpha1/")
        made = await api.post(path, {**gadget("a"), "apiVersion": "example.dev/v1alpha1"})
        assert made.json["apiVersion"] == "example.dev/v1alpha1"
        assert made.warnings == ("example.dev/v1alpha1 Gadget is deprecated; use example.dev/v1 Gadget",)
        assert (await api.get(f"{GADGETS}/a")).json["apiVersion"] == "example.dev/v1"
        patched = await api.patch(f"{path}/a", {"spec": {"size": 4}})
        assert patched.json["apiVersion"] == "example.dev/v1alpha1"
        (event,) = await api.watch(path)
        assert event["object"]["apiVersion"] == "example.dev/v1alpha1"


async def test_scale_reads_and_writes_one_number() -> None:
    async with serving() as api:
        await api.post(CRDS, gadget_crd())
        await api.post(GADGETS, gadget("a", size=2))
        scale = (await api.get(f"{GADGETS}/a/scale")).json
        assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 2}, {"replicas": 0})
        scale["spec"] = {"replicas": 5}
        assert (await api.put(f"{GADGETS}/a/scale", scale)).json["spec"] == {"replicas": 5}
        assert (await api.patch(f"{GADGETS}/a/scale", {"spec": {"replicas": 6}})).status == 200
        assert (await api.get(f"{GADGETS}/a")).json["spec"]["size"] == 6
        assert (await api.put(f"{GADGETS}/a/scale", scale)).refusal == (409, "Conflict")
        wrong: Any = {"spec": {"replicas": "many"}}
        assert (await api.patch(f"{GADGETS}/a/scale", wrong)).wrong_fields == [".spec.size"]
