"""Nobody gets in: every route without a token, with a wrong one, with too little right; and the tricks.

The sweep takes what the server says it serves, by discovery, documents and subresources, and tries every
method over HTTPS. The tricks are each a test of what an attacker would try next.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from springtide.server import User
from tests.server.access import allow, allow_everywhere, binding, made, person, role, rule
from tests.server.https import Served, serving_https
from tests.server.serving import PODS, gadget_crd, pod, serving

Json = dict[str, Any]

pytestmark = pytest.mark.xdist_group("security")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
OPEN = ("/healthz", "/livez", "/readyz", "/version")
NOBODY = "nobody-token"
BASE = {"host": "x", "content-type": "application/json"}


class Wire:
    """One kept connection that sends exactly what it is told."""

    def __init__(self, served: Served) -> None:
        url = urlsplit(served.url)
        self._place = (url.hostname, url.port)
        self._trust = ssl.create_default_context(cafile=str(served.credentials.ca_certificate))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def status(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> int:
        """The status code of the answer; 0 if the connection was closed instead."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place, ssl=self._trust)
        reader, writer = self._streams
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in BASE.items())]
        lines += [f"{name}: {value}" for name, value in headers]
        lines.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        try:
            return await self._answer(reader, method)
        except (asyncio.IncompleteReadError, ConnectionError, IndexError):
            await self.close()
            return 0

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _answer(self, reader: asyncio.StreamReader, method: str) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        if "content-length" in fields and method != "HEAD":
            await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked" or "connection" in fields:
            await self.close()
        return status


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@asynccontextmanager
async def attacked(
    folder: Path, users: Mapping[str, User] | None = None
) -> AsyncIterator[tuple[Served, Wire]]:
    """A server with a CRD, a pod and a Secret; `nobody-token` is of a user without any role."""
    tokens = {NOBODY: User("nobody", ("outsiders",)), **(users or {})}
    async with serving_https(folder, tokens=tokens) as served:
        wire = Wire(served)
        admin = bearer(served.credentials.admin_token)
        for path, obj in (
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", gadget_crd()),
            (PODS, pod("a")),
            ("/api/v1/namespaces/default/secrets", {"metadata": {"name": "a"}, "stringData": {"x": "y"}}),
        ):
            assert await wire.status("POST", path, admin, msgspec.json.encode(obj)) == 201, path
        try:
            yield served, wire
        finally:
            await wire.close()


def routes(served: Served) -> list[str]:
    """Every path the server serves, an object of every kind and every subresource among them."""
    found = ["/", "/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks"]
    found += ["/.well-known/openid-configuration", "/openapi/v3/api/v1", "/healthz/etcd", "/debug/pprof/"]
    for kind in served.server.context.kinds:
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
        found.append(root)
        collection = (
            f"{root}/namespaces/default/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
        )
        found += [collection, f"{collection}/a", *(f"{collection}/a/{one}" for one in kind.all_subresources)]
        found.append(f"{root}/{kind.plural}")
        found.append(f"{collection}/a/nothing")
    return sorted(set(found))


@pytest.mark.realtime
async def test_every_route_is_closed_to_strangers(tmp_path: Path) -> None:
    async with attacked(tmp_path) as (served, wire):
        paths = routes(served)
        assert len(paths) > 150
        before = served.store.revision
        for headers, wanted in (
            ((), 401),
            (bearer("wrong"), 401),
            (bearer("a.b.c"), 401),
            (bearer(NOBODY), 403),
        ):
            let_in = [
                (method, path, status)
                for path in paths
                for method in METHODS
                if (status := await wire.status(method, path, headers, b"{}")) != wanted
            ]
            assert let_in == [], (headers, let_in[:10])
        assert served.store.revision == before


@pytest.mark.realtime
async def test_only_health_and_version_are_open(tmp_path: Path) -> None:
    async with attacked(tmp_path) as (_, wire):
        for path in OPEN:
            assert await wire.status("GET", path) == 200, path
            assert await wire.status("POST", path) in (401, 403, 405), path
            assert await wire.status("GET", path, bearer("wrong")) == 401, "a wrong token is never nobody"
        assert await wire.status("GET", "/healthz/../metrics") in (401, 403)


TRICKS = (
    "/api/v1/namespaces/default/secrets/a",
    "//api/v1/namespaces/default/secrets/a",
    "/api//v1/namespaces/default/secrets/a",
    "/api/v1/namespaces/default//secrets/a",
    "/healthz/../api/v1/namespaces/default/secrets/a",
    "/healthz/%2e%2e/api/v1/namespaces/default/secrets/a",
    "/healthz%2f..%2fapi/v1/namespaces/default/secrets/a",
    "/version;/api/v1/namespaces/default/secrets/a",
    "/version?/api/v1/namespaces/default/secrets/a",
    "/%61pi/v1/namespaces/default/secrets/a",
    "/API/v1/namespaces/default/secrets/a",
    "/api/v1/Namespaces/default/Secrets/a",
    "/api/v1/namespaces/default/secrets/a%00",
    "/api/v1/namespaces/default/secrets%2fa",
    "/api/v1/namespaces/default%2fsecrets/a",
    "/api/v1/namespaces/default/pods/../secrets/a",
    "/api/v1/namespaces/default/pods/%2e%2e/secrets/a",
    "/api/v1/namespaces/default/configmaps/..%2fsecrets/a",
    "/api/v1/namespaces/other/../default/secrets/a",
    "/api/v1/namespaces/default/secrets/a/",
    "/api/v1/namespaces/default/secrets/a/status",
    "/api/v1/namespaces/default/secrets/a?watch=true",
    "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name=mine",
    "/api/v1/secrets?fieldSelector=metadata.namespace=default",
    "/api/v1/watch/namespaces/default/secrets/a",
    "/api/v1/proxy/namespaces/default/secrets/a",
    "/api/v1/namespaces/default/secrets/a/.",
    "/api/v1/namespaces/default/./secrets/a",
    "/apis/core/v1/namespaces/default/secrets/a",
    "/apis//v1/namespaces/default/secrets/a",
    "http://x/api/v1/namespaces/default/secrets/a",
    "/healthz#/api/v1/namespaces/default/secrets/a",
    "/..%c0%af../api/v1/namespaces/default/secrets/a",
    "/api/v1/namespaces/default/secrets/a\x0b",
)


@pytest.mark.realtime
async def test_no_spelling_of_a_path_leads_around_the_check(tmp_path: Path) -> None:
    """A user who may read ConfigMaps, pods, paths and one Secret of their own never gets the other Secret."""
    reader = person("reader")
    async with attacked(tmp_path, {"reader-token": reader}) as (served, wire):
        admin = bearer(served.credentials.admin_token)
        mine = {"metadata": {"name": "mine"}}
        rules = (
            rule("*", "configmaps configmaps/* pods pods/*"),
            rule("get", "secrets", names="mine"),
        )
        granted = role("reader", *rules)
        for path, obj in (
            ("/api/v1/namespaces/default/secrets", mine),
            ("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", granted),
            (
                "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
                binding("reader", "reader", reader),
            ),
        ):
            assert await wire.status("POST", path, admin, msgspec.json.encode(obj)) == 201, path
        own = "/api/v1/namespaces/default/secrets/mine"
        assert await wire.status("GET", own, bearer("reader-token")) == 200
        for target in TRICKS:
            status = await wire.status("GET", target, bearer("reader-token"))
            if target.startswith(("/version?", "/healthz#")):
                assert status == 200
            else:
                assert status in (0, 400, 403, 404, 405), (target, status)
            assert await wire.status("GET", target, ()) in (0, 200, 400, 401), target


FRONT_PROXY = (
    ("X-Remote-User", "system:admin"),
    ("X-Remote-Group", "system:masters"),
    ("X-Remote-Extra-Scopes", "all"),
    ("X-Forwarded-User", "system:admin"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Original-URL", "/healthz"),
    ("X-Rewrite-URL", "/healthz"),
    ("X-HTTP-Method-Override", "GET"),
    ("Ssl-Client-S-Dn", "CN=system:admin,O=system:masters"),
)


@pytest.mark.realtime
async def test_headers_of_a_proxy_in_front_mean_nothing(tmp_path: Path) -> None:
    async with attacked(tmp_path) as (_, wire):
        path = "/api/v1/namespaces/default/secrets/a"
        assert await wire.status("GET", path, FRONT_PROXY) == 401
        assert await wire.status("GET", path, (*bearer(NOBODY), *FRONT_PROXY)) == 403


@pytest.mark.realtime
async def test_credentials_sent_twice_or_oddly_are_no_credentials(tmp_path: Path) -> None:
    async with attacked(tmp_path) as (served, wire):
        token, path = served.credentials.admin_token, "/api/v1/namespaces/default/secrets/a"
        for headers in (
            (("authorization", f"Basic {token}"),),
            (("authorization", token),),
            (("authorization", f"Bearer {token}x"),),
            (("authorization", f"Bearer {token[:-1]}"),),
            (("authorization", f"Bearer {token.upper()}"),),
            (("authorization", "Bearer"),),
            (("cookie", f"token={token}"),),
            (("proxy-authorization", f"Bearer {token}"),),
        ):
            assert await wire.status("GET", path, headers) == 401, headers
        assert await wire.status("GET", f"{path}?access_token={token}&token={token}") == 401


IMPERSONATION = (
    (("Impersonate-User", "system:admin"),),
    (("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters")),
    (("Impersonate-Group", "system:masters"),),
    (("impersonate-user", "system:serviceaccount:kube-system:generic-garbage-collector"),),
    (
        ("Impersonate-User", "nobody"),
        ("Impersonate-Group", "outsiders"),
        ("Impersonate-Group", "system:masters"),
    ),
    (("Impersonate-Uid", "1"),),
    (("Impersonate-Extra-Scopes", "all"),),
    (("Impersonate-User", ""), ("Impersonate-Group", "system:masters")),
)


@pytest.mark.realtime
async def test_nobody_becomes_somebody_else_unasked(tmp_path: Path) -> None:
    async with attacked(tmp_path) as (_, wire):
        path = "/api/v1/namespaces/default/secrets/a"
        for headers in IMPERSONATION:
            assert await wire.status("GET", path, (*bearer(NOBODY), *headers)) in (400, 403), headers
            assert await wire.status("GET", path, headers) == 401, headers


@pytest.mark.realtime
async def test_a_repeated_group_is_checked_as_often_as_it_stands_there(tmp_path: Path) -> None:
    """A proxy in front that only looks at the first header must not be fooled, nor we by the last."""
    boss = person("boss")
    async with attacked(tmp_path, {"boss-token": boss}) as (served, wire):
        admin = bearer(served.credentials.admin_token)
        rules = role("x", rule("impersonate", "users"), rule("impersonate", "groups", names="devs"))
        obj = {**rules, "kind": "ClusterRole", "metadata": {"name": "x"}}
        bound = binding("x", "x", boss, kind="ClusterRole", cluster=True)
        root = "/apis/rbac.authorization.k8s.io/v1"
        assert await wire.status("POST", f"{root}/clusterroles", admin, msgspec.json.encode(obj)) == 201
        assert (
            await wire.status("POST", f"{root}/clusterrolebindings", admin, msgspec.json.encode(bound)) == 201
        )
        devs, masters = ("Impersonate-Group", "devs"), ("Impersonate-Group", "system:masters")
        user = ("Impersonate-User", "jane")
        token = bearer("boss-token")
        assert await wire.status("GET", "/apis", (*token, user, devs)) == 200
        for groups in ((devs, masters), (masters, devs), (devs, masters, devs)):
            assert await wire.status("GET", "/metrics", (*token, user, *groups)) == 403, groups


# -- escalation through what one may do -------------------------------------------------------------

JANE = person("jane")


@pytest.mark.parametrize(
    ("rules", "method", "path", "body"),
    [
        ([rule("get", "pods")], "GET", f"{PODS}/a/exec", None),
        ([rule("get", "pods")], "POST", f"{PODS}/a/exec", {}),
        ([rule("get", "pods")], "GET", f"{PODS}/a/attach", None),
        ([rule("get", "pods")], "GET", f"{PODS}/a/portforward", None),
        ([rule("get", "pods")], "GET", f"{PODS}/a/log", None),
        ([rule("get", "pods")], "GET", f"{PODS}/a/proxy", None),
        ([rule("*", "pods")], "POST", f"{PODS}/a/binding", {"target": {"name": "n"}}),
        ([rule("*", "pods")], "POST", f"{PODS}/a/eviction", {}),
        ([rule("*", "pods")], "PATCH", f"{PODS}/a/status", {"status": {"phase": "Failed"}}),
        ([rule("*", "pods")], "PATCH", f"{PODS}/a/ephemeralcontainers", {"spec": {}}),
        ([rule("*", "pods/status")], "PATCH", f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}}),
        ([rule("get", "nodes")], "GET", "/api/v1/nodes/n/proxy", None),
        ([rule("get", "services")], "GET", "/api/v1/namespaces/default/services/s/proxy", None),
        ([rule("*", "serviceaccounts")], "POST", "/api/v1/namespaces/default/serviceaccounts/bot/token", {}),
        ([rule("*", "namespaces")], "PUT", "/api/v1/namespaces/default/finalize", {}),
        (
            [rule("*", "deployments", group="apps")],
            "GET",
            "/apis/apps/v1/namespaces/default/deployments/d/scale",
            None,
        ),
        ([rule("get", "secrets", names="mine")], "GET", "/api/v1/namespaces/default/secrets/a", None),
        ([rule("get", "secrets", names="mine")], "GET", "/api/v1/namespaces/default/secrets", None),
        ([rule("list", "secrets", names="*")], "GET", "/api/v1/namespaces/default/secrets", None),
        ([rule("get", "secrets", names="*")], "GET", "/api/v1/namespaces/default/secrets/a", None),
        ([rule("delete", "secrets")], "DELETE", "/api/v1/namespaces/default/secrets", None),
        ([rule("get list", "pods")], "GET", f"{PODS}?watch=true", None),
        (
            [rule("patch", "secrets")],
            "PUT",
            "/api/v1/namespaces/default/secrets/a",
            {"metadata": {"name": "a"}},
        ),
        ([rule("*", "*", group="apps")], "GET", "/api/v1/namespaces/default/secrets/a", None),
    ],
)
async def test_one_right_is_not_another(rules: list[Json], method: str, path: str, body: Any) -> None:
    async with serving() as api:
        await made(api, PODS, pod("a"))
        await made(api, "/api/v1/namespaces/default/secrets", {"metadata": {"name": "a"}})
        await made(api, "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bot"}})
        await allow(api, JANE, *rules)
        plain, _, query = path.partition("?")
        asked = dict(part.split("=", 1) for part in query.split("&")) if query else {}
        answer = await api.ask(
            method, plain, body, query=asked, media_type="application/merge-patch+json", user=JANE
        )
        assert answer.refusal == (403, "Forbidden"), answer.json


async def test_a_websocket_to_a_pod_needs_the_right_to_create_one() -> None:
    from springtide.server import Request

    async with serving() as api:
        await allow(api, JANE, rule("get", "pods/exec pods/attach pods/portforward"))
        for name in ("exec", "attach", "portforward"):
            request = Request("GET", f"{PODS}/a/{name}", user=JANE, websocket=True)
            answer = await api.server.handle(request)
            assert getattr(answer, "status", 0) == 403, name


async def test_apply_cannot_create_with_the_right_to_patch_alone() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("patch", "configmaps"))
        answer = await api.ask(
            "PATCH",
            "/api/v1/namespaces/default/configmaps/new",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}},
            media_type="application/apply-patch+yaml",
            query={"fieldManager": "jane"},
            user=JANE,
        )
        assert answer.status == 403, answer.json


async def test_a_role_bound_in_one_namespace_is_none_in_another() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("*", "*"), rule("create", "*", group="rbac.authorization.k8s.io"))
        for path in (
            "/api/v1/namespaces/kube-system/secrets",
            "/api/v1/secrets",
            "/api/v1/nodes",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
        ):
            assert (await api.ask("GET", path, user=JANE)).status == 403, path
        grab = binding("grab", "cluster-admin", JANE, kind="ClusterRole")
        path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
        assert (await api.ask("POST", path, grab, user=JANE)).status == 403


async def test_who_lists_objects_with_a_body_of_another_namespace_is_refused() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("create", "configmaps"))
        obj = {"metadata": {"name": "x", "namespace": "kube-system"}}
        answer = await api.ask("POST", "/api/v1/namespaces/default/configmaps", obj, user=JANE)
        assert answer.status == 400, answer.json


async def test_what_a_user_no_longer_may_ends_at_the_next_request() -> None:
    async with serving() as api:
        await allow_everywhere(api, JANE, rule("list", "pods"))
        assert (await api.ask("GET", "/api/v1/pods", user=JANE)).status == 200
        await api.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/jane-may-everywhere")
        assert (await api.ask("GET", "/api/v1/pods", user=JANE)).status == 403
