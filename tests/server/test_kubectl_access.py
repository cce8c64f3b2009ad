"""kubectl against the server's rights: can-i, whoami, tokens, roles, acting as others, reconcile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.https import Served, serving_https

pytestmark = [pytest.mark.realtime, pytest.mark.xdist_group("kubectl")]

MANIFESTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules:
- {apiGroups: [""], resources: [secrets], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
subjects: [{kind: User, name: joe, apiGroup: rbac.authorization.k8s.io}]
roleRef: {kind: Role, name: reader, apiGroup: rbac.authorization.k8s.io}
"""


async def with_reader(served: Served) -> None:
    """A service account `bot` that may read pods in `default`."""
    await served.kubectl("create", "serviceaccount", "bot")
    await served.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,configmaps")
    await served.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:bot")


async def test_an_administrator_is_told_so(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        shown = await served.kubectl("auth", "whoami")
        assert "system:admin" in shown
        assert "system:masters" in shown
        assert (await served.kubectl("auth", "can-i", "delete", "nodes")).strip().endswith("yes")
        assert "*.*" in await served.kubectl("auth", "can-i", "--list")


async def test_a_token_is_made_used_and_known(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await with_reader(served)
        token = (await served.kubectl("create", "token", "bot", "--duration=10m")).strip()
        own = f"--token={token}"
        shown = await served.kubectl(own, "auth", "whoami")
        assert "system:serviceaccount:default:bot" in shown
        assert "system:serviceaccounts:default" in shown
        assert "No resources found" in await served.kubectl(own, "get", "pods")
        refused = await served.kubectl(own, "get", "secrets", code=1)
        assert 'cannot list resource "secrets" in API group "" in the namespace "default"' in refused
        short = await served.kubectl("create", "token", "bot", "--duration=5m", code=1)
        assert "may not specify a duration less than 10 minutes" in short
        await served.kubectl("delete", "serviceaccount", "bot")
        assert "Unauthorized" in await served.kubectl(own, "get", "pods", code=1)


async def test_what_others_may_is_asked_and_tried(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await with_reader(served)
        bot = "--as=system:serviceaccount:default:bot"
        assert (await served.kubectl("auth", "can-i", "list", "pods", bot)).strip() == "yes"
        assert (await served.kubectl("auth", "can-i", "delete", "pods", bot, code=1)).strip() == "no"
        assert "configmaps" in await served.kubectl("auth", "can-i", "--list", bot)
        shown = await served.kubectl(
            "auth", "whoami", "--as=jane", "--as-group=devs", "--as-uid=7", "--as-user-extra=scopes=a"
        )
        for part in ("jane", "devs", "7", "scopes"):
            assert part in shown


async def test_roles_and_bindings_of_every_kind_are_created(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await served.kubectl(
            "create", "clusterrole", "nodes", "--verb=get,list", "--resource=nodes", "--non-resource-url=/x",
            code=1,
        )  # fmt: skip
        await served.kubectl("create", "clusterrole", "nodes", "--verb=get,list", "--resource=nodes")
        await served.kubectl("create", "clusterrole", "paths", "--verb=get", "--non-resource-url=/metrics")
        await served.kubectl("create", "clusterrole", "all", "--aggregation-rule=example.dev/part=true")
        await served.kubectl(
            "create", "clusterrolebinding", "nodes", "--clusterrole=nodes", "--user=jane", "--group=devs"
        )
        assert "No resources found" in await served.kubectl("get", "nodes", "--as=jane")
        wide = await served.kubectl("get", "clusterrolebinding", "nodes", "-o", "wide")
        assert "ClusterRole/nodes" in wide
        assert "jane" in wide
        assert "devs" in wide
        await served.kubectl("set", "subject", "clusterrolebinding", "nodes", "--user=max")
        assert "No resources found" in await served.kubectl("get", "nodes", "--as=max")
        assert "aggregate-to-edit" in await served.kubectl("describe", "clusterrole", "view")


async def test_reconcile_adds_what_is_missing(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        await with_reader(served)
        shown = await served.kubectl("auth", "reconcile", "-f", "-", stdin=MANIFESTS)
        assert "role.rbac.authorization.k8s.io/reader reconciled" in shown
        assert "missing rules added" in shown
        assert "missing subjects added" in shown
        assert (await served.kubectl("auth", "can-i", "get", "secrets", "--as=joe")).strip() == "yes"
        again = await served.kubectl("auth", "reconcile", "-f", "-", stdin=MANIFESTS)
        assert "missing" not in again
