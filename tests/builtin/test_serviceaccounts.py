"""What every namespace gets, a default account and whom to trust; and cluster roles that collect rules."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from springtide.api.core import ConfigMap, ServiceAccount
from springtide.builtin.serviceaccounts import missing
from tests.builtin.cluster import Cluster, cluster

Json = dict[str, Any]

ACCOUNT = "/api/v1/namespaces/{}/serviceaccounts/default"
ROOT = "/api/v1/namespaces/{}/configmaps/kube-root-ca.crt"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
PUBLISHED: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
    "data": {"client-ca-file": "PEM"},
}


def test_without_a_published_authority_only_the_account_is_missing() -> None:
    (only,) = missing("a", None, None, "")
    assert isinstance(getattr(only, "obj", None), ServiceAccount)
    assert len(missing("a", None, None, "PEM")) == 2


def test_what_is_there_is_not_made_again() -> None:
    assert missing("a", ServiceAccount(), ConfigMap(data={"ca.crt": "PEM"}), "PEM") == []


async def test_every_namespace_gets_both_and_gets_them_back() -> None:
    async with cluster() as c:
        await c.create(PUBLISHED)
        await c.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        await asyncio.sleep(2)
        for namespace in ("default", "team"):
            assert await c.get(ACCOUNT.format(namespace)) is not None
            root = await c.get(ROOT.format(namespace))
            assert root is not None
            assert root["data"] == {"ca.crt": "PEM"}
        await c.delete(ACCOUNT.format("team"))
        await c.patch(ROOT.format("team"), {"data": {"ca.crt": "forged"}})
        await asyncio.sleep(2)
        assert await c.get(ACCOUNT.format("team")) is not None
        root = await c.get(ROOT.format("team"))
        assert root is not None
        assert root["data"] == {"ca.crt": "PEM"}


async def test_a_new_authority_reaches_every_namespace() -> None:
    async with cluster() as c:
        await c.create(PUBLISHED)
        await asyncio.sleep(2)
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        await c.patch(path, {"data": {"client-ca-file": "NEW"}})
        await asyncio.sleep(2)
        root = await c.get(ROOT.format("default"))
        assert root is not None
        assert root["data"] == {"ca.crt": "NEW"}


async def test_a_namespace_that_goes_keeps_nothing_alive() -> None:
    async with cluster() as c:
        await c.create(PUBLISHED)
        await c.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        await asyncio.sleep(2)
        await c.delete("/api/v1/namespaces/team")
        await asyncio.sleep(10)
        assert await c.get("/api/v1/namespaces/team") is None


async def make_role(c: Cluster, name: str, labels: dict[str, str], **content: Any) -> None:
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        **content,
    }
    await c.client.request("POST", ROLES, body=msgspec.json.encode(body))


async def test_collected_rules_are_written_down_as_labels_change() -> None:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    async with cluster() as c:
        selector = {"clusterRoleSelectors": [{"matchLabels": {"team": "a"}}]}
        await make_role(c, "all", {}, aggregationRule=selector)
        await make_role(c, "part", {"team": "a"}, rules=[rule])
        await asyncio.sleep(1)
        assert (await c.get(f"{ROLES}/all") or {})["rules"] == [rule]
        await c.patch(f"{ROLES}/part", {"metadata": {"labels": {"team": None}}})
        await asyncio.sleep(1)
        assert (await c.get(f"{ROLES}/all") or {}).get("rules") == []


async def test_the_roles_for_people_show_what_they_collect() -> None:
    async with cluster() as c:
        sizes = [len((await c.get(f"{ROLES}/{name}") or {})["rules"]) for name in ("view", "edit", "admin")]
        assert 0 < sizes[0] < sizes[1] < sizes[2]
        await make_role(
            c,
            "more",
            {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
            rules=[{"verbs": ["get"], "apiGroups": ["x.example.com"], "resources": ["xs"]}],
        )
        await asyncio.sleep(2)
        for name in ("view", "edit", "admin"):
            rules = (await c.get(f"{ROLES}/{name}") or {})["rules"]
            assert any(one["apiGroups"] == ["x.example.com"] for one in rules), name
