"""What a request wants, how a refusal reads, what nodes may do, and what reviews say about all of it."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.server import Request, User
from springtide.server.authorize import attributes_of, forbidden
from springtide.server.rbac_rules import Attributes
from springtide.server.routes import parse
from tests.server.access import allow, message, node, person, rule
from tests.server.serving import MERGE, PODS, Api, configmap, pod, serving

Json = dict[str, Any]

JANE = person("jane", "devs")
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("method", "path", "query", "wanted"),
    [
        ("GET", "/api/v1/pods", {}, Attributes("list", "", "pods")),
        ("GET", "/api/v1/pods", {"watch": "1"}, Attributes("watch", "", "pods")),
        ("GET", PODS, {}, Attributes("list", "", "pods", "", "default")),
        ("GET", f"{PODS}/a", {}, Attributes("get", "", "pods", "", "default", "a")),
        ("HEAD", f"{PODS}/a", {}, Attributes("get", "", "pods", "", "default", "a")),
        ("GET", f"{PODS}/a", {"watch": "true"}, Attributes("get", "", "pods", "", "default", "a")),
        ("GET", f"{PODS}/a/log", {}, Attributes("get", "", "pods", "log", "default", "a")),
        ("POST", PODS, {}, Attributes("create", "", "pods", "", "default")),
        ("POST", f"{PODS}/a/exec", {}, Attributes("create", "", "pods", "exec", "default", "a")),
        ("PUT", f"{PODS}/a/status", {}, Attributes("update", "", "pods", "status", "default", "a")),
        ("PATCH", f"{PODS}/a", {}, Attributes("patch", "", "pods", "", "default", "a")),
        ("DELETE", f"{PODS}/a", {}, Attributes("delete", "", "pods", "", "default", "a")),
        ("DELETE", PODS, {}, Attributes("deletecollection", "", "pods", "", "default")),
        (
            "GET",
            PODS,
            {"fieldSelector": "metadata.name=a"},
            Attributes("list", "", "pods", "", "default", "a", field_selector="metadata.name=a"),
        ),
        ("GET", "/api/v1/namespaces/x", {}, Attributes("get", "", "namespaces", "", "x", "x")),
        (
            "GET",
            "/apis/apps/v1/namespaces/x/deployments/d/scale",
            {},
            Attributes("get", "apps", "deployments", "scale", "x", "d"),
        ),
        ("GET", "/metrics", {}, Attributes("get", path="/metrics")),
        ("POST", "/apis/apps", {}, Attributes("post", path="/apis/apps")),
    ],
)
def test_what_a_request_wants(method: str, path: str, query: dict[str, str], wanted: Attributes) -> None:
    found = attributes_of(Request(method, path, query), parse(path))
    assert found._replace(version="") == wanted


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (
            Attributes("list", "", "pods", "", "y"),
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"',
        ),
        (
            Attributes("get", "", "nodes", "", "", "n1"),
            (
                'nodes "n1" is forbidden: User "x" cannot get resource "nodes" in API group "" '
                "at the cluster scope"
            ),
        ),
        (
            Attributes("update", "apps", "deployments", "scale", "y", "d"),
            (
                'deployments.apps "d" is forbidden: User "x" cannot update resource "deployments/scale" '
                'in API group "apps" in the namespace "y"'
            ),
        ),
        (Attributes("get", path="/metrics"), 'forbidden: User "x" cannot get path "/metrics"'),
        (Attributes("get", path="/<b>"), 'forbidden: User "x" cannot get path "/&lt;b&gt;"'),
    ],
)
def test_a_refusal_reads_as_upstream(wanted: Attributes, text: str) -> None:
    assert forbidden(User("x"), wanted).message == text


async def test_refusals_name_the_kind_in_their_details() -> None:
    async with serving() as api:
        refused = await api.ask("GET", f"{PODS}/a", user=JANE)
        assert refused.refusal == (403, "Forbidden")
        assert refused.json["details"] == {"name": "a", "kind": "pods"}


async def test_a_kind_that_does_not_exist_is_forbidden_before_it_is_not_found() -> None:
    async with serving() as api:
        path = "/apis/nowhere.example.com/v1/namespaces/default/things"
        assert (await api.ask("GET", path, user=JANE)).status == 403
        assert (await api.get(path)).status == 404


# -- nodes ------------------------------------------------------------------------------------------


async def with_pods(api: Api) -> None:
    """Pods on nodes `a` and `b` that use ConfigMaps and Secrets of their names, and accounts of theirs."""
    for name in ("a", "b"):
        await api.post("/api/v1/nodes", {"metadata": {"name": name}})
        for plural in ("configmaps", "secrets", "serviceaccounts"):
            await api.post(f"/api/v1/namespaces/default/{plural}", {"metadata": {"name": f"of-{name}"}})
        uses: dict[str, Any] = {
            "nodeName": name,
            "serviceAccountName": f"of-{name}",
            "volumes": [
                {"name": "c", "configMap": {"name": f"of-{name}"}},
                {"name": "s", "projected": {"sources": [{"secret": {"name": f"of-{name}"}}]}},
            ],
        }
        uses["resourceClaims"] = [{"name": "d", "resourceClaimName": f"of-{name}"}]
        uses["volumes"].append({"name": "v", "persistentVolumeClaim": {"claimName": f"of-{name}"}})
        await with_devices(api, name)
        made = await api.post(PODS, pod(f"on-{name}", **uses))
        assert made.status == 201, made.json


async def with_devices(api: Api, name: str) -> None:
    """What belongs to a node beyond pods: its volumes, claims and devices."""
    amount = {"requests": {"storage": "1Gi"}}
    source = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    claimed = {"claimRef": {"namespace": "default", "name": f"of-{name}"}}
    own = {"driver": "d.dev", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}
    attached = {"attacher": "d.dev", "nodeName": name, "source": {"persistentVolumeName": "v"}}
    for path, spec in (
        ("/api/v1/persistentvolumes", {**source, **claimed}),
        (
            "/api/v1/namespaces/default/persistentvolumeclaims",
            {"accessModes": ["ReadWriteOnce"], "resources": amount},
        ),
        ("/apis/storage.k8s.io/v1/volumeattachments", attached),
        (SLICES, {**own, "nodeName": name}),
        ("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims", {}),
        (CSI_NODES, {"drivers": []}),
    ):
        own_name = name if path == CSI_NODES else f"of-{name}"
        made = await api.post(path, {"metadata": {"name": own_name}, "spec": spec})
        assert made.status == 201, made.json


CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "1"}
RELABELLED = {"metadata": {"labels": {"x": "y"}}, "status": {"conditions": []}}


STATUS = {"status": {"phase": "Running"}}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@pytest.mark.parametrize(
    ("method", "path", "body", "own"),
    [
        ("GET", "/api/v1/namespaces/default/configmaps/of-{}", None, 200),
        ("GET", "/api/v1/namespaces/default/secrets/of-{}", None, 200),
        ("GET", "/api/v1/namespaces/default/serviceaccounts/of-{}", None, 200),
        ("GET", "/api/v1/nodes/{}", None, 200),
        ("GET", "/api/v1/namespaces/default/pods/on-{}", None, 200),
        ("PATCH", "/api/v1/namespaces/default/pods/on-{}/status", STATUS, 200),
        ("PATCH", "/api/v1/nodes/{}/status", {"status": {"phase": "Running"}}, 200),
        ("DELETE", "/api/v1/namespaces/default/pods/on-{}", None, 200),
        ("POST", "/api/v1/namespaces/default/pods/on-{}/eviction", {}, 201),
        ("GET", LEASES + "/{}", None, 404),
        ("PATCH", "/api/v1/namespaces/default/pods/on-{}", {"metadata": {"labels": {"x": "y"}}}, 403),
        ("PATCH", "/api/v1/nodes/{}", {"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}, 403),
        (
            "PATCH",
            "/api/v1/nodes/{}",
            {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}},
            403,
        ),
        ("DELETE", "/api/v1/nodes/{}", None, 403),
        ("PATCH", "/api/v1/nodes/{}", {"metadata": {"labels": {"kubernetes.io/zone": "y"}}}, 403),
        ("PATCH", "/api/v1/nodes/{}", {"metadata": {"labels": {"topology.kubernetes.io/zone": "y"}}}, 200),
        ("PATCH", "/api/v1/nodes/{}", {"metadata": {"ownerReferences": [OWNER]}}, 403),
        ("GET", "/api/v1/namespaces/default/pods/on-{}/log", None, 403),
        ("GET", "/api/v1/namespaces/default/pods/on-{}/proxy", None, 403),
        ("GET", CSI_NODES + "/{}", None, 200),
        ("GET", "/api/v1/persistentvolumes/of-{}", None, 200),
        ("GET", "/apis/storage.k8s.io/v1/volumeattachments/of-{}", None, 200),
        ("GET", SLICES + "/of-{}", None, 200),
        ("PATCH", SLICES + "/of-{}", {"metadata": {"labels": {"x": "y"}}}, 200),
        ("GET", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/of-{}", None, 200),
        ("PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/of-{}/status", {"status": {}}, 200),
        ("PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/of-{}/status", RELABELLED, 403),
    ],
)
async def test_a_node_keeps_to_its_own(method: str, path: str, body: Any, own: int) -> None:
    async with serving() as api:
        await with_pods(api)
        answer = await api.ask(method, path.format("b"), body, media_type=MERGE, user=node("a"))
        assert answer.status == 403, answer.json
        answer = await api.ask(method, path.format("a"), body, media_type=MERGE, user=node("a"))
        assert answer.status == own, answer.json


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/api/v1/pods", {}, 403),
        ("/api/v1/pods", {"fieldSelector": "spec.nodeName=a"}, 200),
        ("/api/v1/pods", {"fieldSelector": "spec.nodeName=b"}, 403),
        ("/api/v1/pods", {"fieldSelector": "spec.nodeName!=a"}, 403),
        ("/api/v1/nodes", {}, 403),
        ("/api/v1/nodes", {"fieldSelector": "metadata.name=a"}, 200),
        ("/api/v1/secrets", {}, 403),
        ("/api/v1/namespaces/default/secrets", {"fieldSelector": "metadata.name=of-a"}, 200),
        ("/api/v1/services", {}, 200),
        ("/apis/resource.k8s.io/v1/resourceslices", {}, 403),
        ("/apis/resource.k8s.io/v1/resourceslices", {"fieldSelector": "spec.nodeName=a"}, 200),
    ],
)
async def test_a_node_lists_only_what_concerns_it(path: str, query: dict[str, str], status: int) -> None:
    async with serving() as api:
        await with_pods(api)
        assert (await api.ask("GET", path, query=query, user=node("a"))).status == status


async def test_a_node_creates_nothing_but_mirror_pods_and_its_own_lease() -> None:
    async with serving() as api:
        await with_pods(api)
        assert (await api.ask("POST", PODS, pod("x", nodeName="a"), user=node("a"))).status == 403
        for name, status in (("a", 201), ("b", 403)):
            lease = {"metadata": {"name": name}, "spec": {}}
            assert (await api.ask("POST", LEASES, lease, user=node("a"))).status == status
        assert (
            await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "c"}}, user=node("a"))
        ).status == 403


@pytest.mark.parametrize(
    ("what", "spec", "owner", "words"),
    [
        ("as it should be", {}, {}, ""),
        ("on another node", {"nodeName": "b"}, {}, "spec.nodeName set to itself"),
        ("of another owner", {}, {"name": "b"}, "controller owner reference set to itself"),
        ("of a node that was", {}, {"uid": "1"}, "controller owner reference set to itself"),
        ("in the way of its owner", {}, {"blockOwnerDeletion": True}, "must not set blockOwnerDeletion"),
        (
            "with a Secret",
            {"volumes": [{"name": "v", "secret": {"secretName": "of-b"}}]},
            {},
            "secrets",
        ),
        (
            "with a ConfigMap",
            {"volumes": [{"name": "v", "configMap": {"name": "of-b"}}]},
            {},
            "can not create pods that reference configmaps",
        ),
        (
            "with a claim",
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "of-b"}}]},
            {},
            "persistentvolumeclaims",
        ),
        ("as a service account", {"serviceAccountName": "of-b"}, {}, "service"),
    ],
)
async def test_a_mirror_pod_is_no_way_to_what_belongs_to_others(
    what: str, spec: dict[str, Any], owner: dict[str, Any], words: str
) -> None:
    async with serving() as api:
        await with_pods(api)
        uid = (await api.get("/api/v1/nodes/a")).json["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": uid, "controller": True, **owner}
        mirror = pod("mirror", **{"nodeName": "a", **spec})
        mirror["metadata"] |= {
            "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [reference],
        }
        answer = await api.ask("POST", PODS, mirror, user=node("a"))
        assert answer.status == (403 if words else 201), what
        assert words in str(answer.json), what


async def test_a_pod_does_not_become_a_mirror_pod_and_one_without_a_node_is_none() -> None:
    async with serving() as api:
        mirrored = {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}
        loose = pod("loose")
        loose["metadata"] |= mirrored["metadata"]
        assert (await api.post(PODS, loose)).wrong_fields == [
            "metadata.annotations[kubernetes.io/config.mirror]"
        ]
        assert (await api.post(PODS, pod("plain"))).status == 201
        assert "may not add mirror pod" in (await api.patch(f"{PODS}/plain", mirrored)).json["message"]


async def test_a_node_gets_tokens_only_for_pods_that_run_on_it() -> None:
    async with serving() as api:
        await with_pods(api)
        for name, status in (("a", 201), ("b", 403)):
            uid = (await api.get(f"{PODS}/on-{name}")).json["metadata"]["uid"]
            ref = {"apiVersion": "v1", "kind": "Pod", "name": f"on-{name}", "uid": uid}
            path = f"/api/v1/namespaces/default/serviceaccounts/of-{name}/token"
            answer = await api.ask("POST", path, {"spec": {"boundObjectRef": ref}}, user=node("a"))
            assert answer.status == status, answer.json
            unbound = await api.ask("POST", path, {"spec": {}}, user=node("a"))
            assert unbound.status == 403, unbound.json


async def test_a_name_like_a_nodes_without_the_group_is_nobody() -> None:
    async with serving() as api:
        await with_pods(api)
        pretender = person("system:node:a")
        assert (await api.ask("GET", "/api/v1/nodes/a", user=pretender)).status == 403


# -- reviews ----------------------------------------------------------------------------------------


async def test_reviews_say_what_requests_would() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("get list", "pods"))
        wanted = {"verb": "list", "resource": "pods", "namespace": "default"}
        for verb, allowed in (("list", True), ("delete", False)):
            spec = {"resourceAttributes": {**wanted, "verb": verb}}
            own = await api.ask(
                "POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", {"spec": spec}, user=JANE
            )
            assert own.status == 201, own.json
            assert own.json["status"]["allowed"] is allowed
            other = {"spec": {**spec, "user": "jane", "groups": ["devs"]}}
            said = await api.post(f"{AUTHORIZATION}/subjectaccessreviews", other)
            assert said.json["status"]["allowed"] is allowed
            path = f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews"
            local = await api.post(path, other)
            assert local.json["status"]["allowed"] is allowed
            if allowed:
                assert said.json["status"]["reason"] == (
                    'RBAC: allowed by RoleBinding "jane-may/default" of Role "jane-may" to User "jane"'
                )


async def test_what_somebody_else_may_is_not_for_everybody_to_ask() -> None:
    async with serving() as api:
        spec = {"user": "max", "resourceAttributes": {"verb": "get", "resource": "pods"}}
        answer = await api.ask("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec}, user=JANE)
        assert answer.status == 403
        review = {"spec": {"token": "x"}}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        assert (await api.ask("POST", path, review, user=JANE)).status == 403


async def test_all_that_one_may_is_listed() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("get", "pods", names="a"))
        path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
        answer = await api.ask("POST", path, {"spec": {"namespace": "default"}}, user=JANE)
        status = answer.json["status"]
        assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]} in (
            status["resourceRules"]
        )
        assert any("/healthz" in one["nonResourceURLs"] for one in status["nonResourceRules"])
        assert status["incomplete"] is False
        assert (await api.ask("POST", path, {"spec": {}}, user=JANE)).status == 400


async def test_everybody_may_ask_who_they_are() -> None:
    async with serving() as api:
        user = User("jane", ("devs", "system:authenticated"), "7", (("scopes", ("a", "b")),))
        answer = await api.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=user)
        assert answer.json["status"]["userInfo"] == {
            "username": "jane",
            "uid": "7",
            "groups": ["devs", "system:authenticated"],
            "extra": {"scopes": ["a", "b"]},
        }


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"user": "x"}, "spec.resourceAttributes"),
        ({"resourceAttributes": {"verb": "get"}}, "spec.user"),
        (
            {"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}},
            "spec.nonResourceAttributes",
        ),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(spec: Json, field: str) -> None:
    async with serving() as api:
        answer = await api.post(f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})
        assert (answer.status, answer.wrong_fields) == (422, [field])


async def test_reviews_are_not_stored_and_not_listed() -> None:
    async with serving() as api:
        before = api.store.revision
        spec = {"user": "x", "resourceAttributes": {"verb": "get", "resource": "pods"}}
        await api.post(f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})
        assert api.store.revision == before
        assert (await api.get(f"{AUTHORIZATION}/subjectaccessreviews")).status == 405
        assert (await api.get(f"{AUTHORIZATION}/subjectaccessreviews/x")).status == 404
        assert (await api.delete(f"{AUTHORIZATION}/subjectaccessreviews")).status == 405


async def test_creating_in_a_namespace_needs_no_right_to_read_it() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("create", "configmaps"))
        path = "/api/v1/namespaces/default/configmaps"
        assert (await api.ask("POST", path, configmap("a"), user=JANE)).status == 201
        refused = await api.ask("GET", f"{path}/a", user=JANE)
        assert message(refused).startswith('configmaps "a" is forbidden: User "jane" cannot get resource')
