"""Tokens of service accounts: what they say, when they end, that nobody makes one; pods that carry them."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from springtide.server import SigningKeys
from springtide.server.token_accounts import ISSUER
from springtide.server.tokens import TokenRejected
from tests.server.access import allow, made, message, person, rule
from tests.server.serving import PODS, Api, pod, serving

Json = dict[str, Any]

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


async def account(api: Api, name: str = "bot", **more: Any) -> Json:
    return await made(api, ACCOUNTS, {"metadata": {"name": name}, **more})


async def token(api: Api, name: str = "bot", **spec: Any) -> str:
    answer = await api.post(f"{ACCOUNTS}/{name}/token", {"spec": spec})
    assert answer.status == 201, answer.json
    return str(answer.json["status"]["token"])


def claims(signed: str) -> Json:
    part = signed.split(".")[1]
    found: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def reference(obj: Json, kind: str) -> Json:
    meta = obj["metadata"]
    return {"apiVersion": "v1", "kind": kind, "name": meta["name"], "uid": meta["uid"]}


def fault(api: Api, signed: str, audience: str = ISSUER) -> str:
    """Why a token is rejected; empty if it is good."""
    try:
        api.server.context.account_tokens.authenticate(signed, (audience,))
    except TokenRejected as error:
        return str(error)
    return ""


async def test_a_token_says_whose_it_is_and_until_when() -> None:
    async with serving() as api:
        made_account = await account(api)
        answer = await api.post(f"{ACCOUNTS}/bot/token", {"spec": {"expirationSeconds": 600}})
        assert answer.json["kind"] == "TokenRequest"
        assert answer.json["spec"]["audiences"] == [ISSUER]
        said = claims(answer.json["status"]["token"])
        assert said["sub"] == "system:serviceaccount:default:bot"
        assert said["exp"] - said["iat"] == 600
        assert said["kubernetes.io"] == {
            "namespace": "default",
            "serviceaccount": {"name": "bot", "uid": made_account["metadata"]["uid"]},
        }


async def test_a_token_is_its_service_account() -> None:
    async with serving() as api:
        await account(api)
        authenticator = api.server.authenticator({})
        user = authenticator.identify(f"Bearer {await token(api)}", None)
        assert user.name == "system:serviceaccount:default:bot"
        assert user.groups == (
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated",
        )


async def test_a_token_of_a_pod_says_where_it_runs() -> None:
    async with serving() as api:
        await account(api)
        await made(api, "/api/v1/nodes", {"metadata": {"name": "n1"}})
        runs = await made(api, PODS, pod("a", serviceAccountName="bot", nodeName="n1"))
        signed = await token(api, boundObjectRef=reference(runs, "Pod"))
        extra = dict(api.server.context.account_tokens.authenticate(signed).user.extra)
        assert extra["authentication.kubernetes.io/pod-name"] == ("a",)
        assert extra["authentication.kubernetes.io/pod-uid"] == (runs["metadata"]["uid"],)
        assert extra["authentication.kubernetes.io/node-name"] == ("n1",)


@pytest.mark.parametrize("kind", ["Pod", "Secret", "Node", "ServiceAccount"])
async def test_a_token_dies_with_what_it_is_bound_to(kind: str) -> None:
    paths = {
        "Pod": (PODS, pod("x", serviceAccountName="bot")),
        "Secret": ("/api/v1/namespaces/default/secrets", {"metadata": {"name": "x"}}),
        "Node": ("/api/v1/nodes", {"metadata": {"name": "x"}}),
    }
    async with serving() as api:
        await account(api)
        if kind == "ServiceAccount":
            collection, name, body = ACCOUNTS, "bot", {"metadata": {"name": "bot"}}
            signed = await token(api)
        else:
            (collection, body), name = paths[kind], "x"
            signed = await token(api, boundObjectRef=reference(await made(api, collection, body), kind))
        assert fault(api, signed) == ""
        await api.delete(f"{collection}/{name}")
        assert "is gone" in fault(api, signed)
        await made(api, collection, body)
        assert "is gone" in fault(api, signed), "another object of the same name is another object"


async def test_a_pod_that_ends_slowly_keeps_its_token_for_its_grace() -> None:
    async with serving() as api:
        await account(api)
        runs = await made(
            api, PODS, pod("a", serviceAccountName="bot", nodeName="n", terminationGracePeriodSeconds=30)
        )
        signed = await token(api, boundObjectRef=reference(runs, "Pod"))
        await api.delete(f"{PODS}/a")
        assert fault(api, signed) == ""
        await asyncio.sleep(95)
        assert "is gone" in fault(api, signed)


async def test_a_token_ends_with_its_time() -> None:
    async with serving() as api:
        await account(api)
        signed = await token(api, expirationSeconds=600)
        await asyncio.sleep(599)
        assert fault(api, signed) == ""
        await asyncio.sleep(2)
        assert fault(api, signed) == "service account token has expired"


async def test_a_token_for_others_is_no_credential_here() -> None:
    async with serving() as api:
        await account(api)
        signed = await token(api, audiences=["vault"])
        assert "meant for vault" in fault(api, signed)
        assert fault(api, signed, "vault") == ""


def forged(signed: str, change: Any) -> list[str]:
    """A token with other claims, or another head, and the old signature or none."""
    head, body, signature = signed.split(".")
    said = claims(signed)
    change(said)
    text = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    nothing = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    hmac = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
    return [
        f"{head}.{text}.{signature}",
        f"{nothing}.{text}.",
        f"{nothing}.{body}.{signature}",
        f"{hmac}.{text}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}.",
        f"{head}.{body}",
        f".{body}.{signature}",
        f"{head}.{body}.{'A' * 86}",
    ]


async def test_a_token_cannot_be_made_or_changed_by_others() -> None:
    async with serving() as api, serving() as other:
        await account(api)
        await account(other)
        signed = await token(api)

        def become_admin(said: Json) -> None:
            said["kubernetes.io"]["serviceaccount"]["name"] = "admin"

        for attempt in forged(signed, become_admin):
            assert fault(api, attempt), attempt
        assert "not signed by a key of this server" in fault(api, await token(other))


@pytest.mark.parametrize(
    ("spec", "status", "fragment"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 33}, 422, "larger than 2^32 seconds"),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "none"}}, 404, "not found"),
        (
            {"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}},
            400,
            "cannot bind token to object of type",
        ),
        (
            {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "a"}},
            400,
            "running with different serviceaccount name",
        ),
    ],
)
async def test_a_request_for_a_token_is_checked(spec: Json, status: int, fragment: str) -> None:
    async with serving() as api:
        await account(api)
        await made(api, PODS, pod("a", serviceAccountName="other"))
        answer = await api.post(f"{ACCOUNTS}/bot/token", {"spec": spec})
        assert answer.status == status, answer.json
        assert fragment in message(answer)


async def test_a_token_for_a_replaced_object_is_refused() -> None:
    async with serving() as api:
        await account(api)
        ref = {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "another"}
        await made(api, "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
        answer = await api.post(f"{ACCOUNTS}/bot/token", {"spec": {"boundObjectRef": ref}})
        assert answer.status == 409
        assert (await api.post(f"{ACCOUNTS}/nobody/token", {"spec": {}})).status == 404


async def test_tokens_are_given_to_those_who_may_ask() -> None:
    async with serving() as api:
        jane = person("jane")
        await account(api)
        await account(api, "admin")
        await allow(api, jane, rule("create", "serviceaccounts/token", names="bot"))
        for name, status in (("bot", 201), ("admin", 403)):
            answer = await api.ask("POST", f"{ACCOUNTS}/{name}/token", {"spec": {}}, user=jane)
            assert answer.status == status, name


async def test_a_review_says_whose_token_it_is() -> None:
    async with serving() as api:
        await account(api)
        api.server.authenticator({"table-token": person("jane")})
        for given, user in (("table-token", "jane"), (await token(api), "system:serviceaccount:default:bot")):
            answer = await api.post(REVIEWS, {"spec": {"token": given}})
            assert answer.json["status"]["authenticated"] is True
            assert answer.json["status"]["user"]["username"] == user
            assert answer.json["status"]["audiences"] == [ISSUER]
        for given in ("nonsense", "a.b.c"):
            status = (await api.post(REVIEWS, {"spec": {"token": given}})).json["status"]
            assert not status.get("authenticated")
            assert "invalid bearer token" in status["error"]
        assert (await api.post(REVIEWS, {"spec": {}})).status == 400


async def test_the_public_keys_are_published(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)
    async with serving(signing_keys=keys) as api:
        await account(api)
        signed = await token(api)
        head = json.loads(base64.urlsafe_b64decode(signed.split(".")[0] + "=="))
        published = (await api.get("/openid/v1/jwks")).json["keys"]
        assert [one["kid"] for one in published] == [head["kid"]]
        issuer = (await api.get("/.well-known/openid-configuration")).json
        assert issuer["issuer"] == ISSUER


async def test_a_new_signing_key_leaves_older_tokens_good(tmp_path: Path) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        await account(api)
        keys = api.server.context.signing_keys
        before = await token(api)
        SigningKeys(tmp_path).rotate()
        assert keys.reload()
        assert not keys.reload()
        after = await token(api)
        assert fault(api, before) == fault(api, after) == ""
        assert before.split(".")[0] != after.split(".")[0]
        assert len((await api.get("/openid/v1/jwks")).json["keys"]) == 2
        restarted = SigningKeys(tmp_path)
        assert restarted.verify(before)["sub"] == restarted.verify(after)["sub"]
        assert (tmp_path / "sa.key").stat().st_mode & 0o077 == 0


# -- pods -------------------------------------------------------------------------------------------


async def test_a_pod_gets_the_default_account_and_its_token(tmp_path: Path) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        created = await made(api, PODS, pod("a", initContainers=[{"name": "first", "image": "x"}]))
        spec = created["spec"]
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        (volume,) = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        sources = volume["projected"]["sources"]
        assert [next(iter(one)) for one in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
        assert volume["projected"]["defaultMode"] == 0o644
        mount = {
            "name": volume["name"],
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
        for part in ("containers", "initContainers"):
            assert spec[part][0]["volumeMounts"] == [mount]
        assert (await api.get(f"{ACCOUNTS}/default")).status == 200, "it was made for the pod"


async def test_copies_of_one_template_get_volumes_of_their_own(tmp_path: Path) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        names = set()
        for name in ("a", "b", "c"):
            spec = (await made(api, PODS, pod(name)))["spec"]
            assert len(spec["volumes"]) == len(spec["containers"][0]["volumeMounts"]) == 1
            names.add(spec["volumes"][0]["name"])
        assert len(names) == 3


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [
        ({}, {}, True),
        ({"automountServiceAccountToken": False}, {}, False),
        ({"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}, True),
        ({}, {"automountServiceAccountToken": False}, False),
    ],
)
async def test_pod_and_account_say_whether_a_token_is_mounted(
    tmp_path: Path, of_account: Json, of_pod: Json, mounted: bool
) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        await account(api, **of_account)
        created = await made(api, PODS, pod("a", serviceAccountName="bot", **of_pod))
        assert bool(created["spec"].get("volumes")) is mounted


async def test_what_a_pod_already_has_is_left_alone(tmp_path: Path) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        await account(api, imagePullSecrets=[{"name": "registry"}])
        mount = {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        container = {"name": "main", "image": "x", "volumeMounts": [mount]}
        own: dict[str, Any] = {"volumes": [{"name": "own", "emptyDir": {}}], "containers": [container]}
        spec = (await made(api, PODS, pod("a", serviceAccountName="bot", **own)))["spec"]
        assert [one["name"] for one in spec["volumes"]] == ["own"]
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        pulls: dict[str, Any] = {"imagePullSecrets": [{"name": "mine"}]}
        spec = (await made(api, PODS, pod("b", serviceAccountName="bot", **pulls)))["spec"]
        assert spec["imagePullSecrets"] == [{"name": "mine"}]


async def test_a_pod_of_an_unknown_account_is_refused(tmp_path: Path) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        answer = await api.post(PODS, pod("a", serviceAccountName="ghost"))
        assert answer.status == 403
        assert message(answer) == (
            'pods "a" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" '
            "not found"
        )


async def test_a_dry_run_makes_no_account(tmp_path: Path) -> None:
    async with serving(signing_keys=SigningKeys(tmp_path)) as api:
        answer = await api.post(PODS, pod("a"), dryRun="All")
        assert answer.json["spec"]["volumes"]
        assert (await api.get(f"{ACCOUNTS}/default")).status == 404
