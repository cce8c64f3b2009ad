"""Who is asking: tokens, certificates, WebSockets, and acting as somebody else."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from springtide.server import Authenticator, Request, Server, User
from springtide.server.authn import subprotocol_token
from springtide.server.impersonation import impersonated
from springtide.server.rbac_rules import Attributes
from springtide.server.status import BadRequest, Forbidden, Unauthorized
from tests.server.access import allow_everywhere, person, rule
from tests.server.serving import serving

Json = dict[str, Any]

JANE = person("jane")
BOSS = person("boss")
AUTHENTICATION = "authentication.k8s.io"


@pytest.mark.parametrize(
    ("header", "fragment"),
    [
        ("", "no credentials"),
        ("Basic YTpi", "scheme 'Basic' is not supported"),
        ("Bearer", "not one of this server's"),
        ("Bearer nonsense", "not one of this server's"),
        ("Bearer a.b.c", "not a signed token"),
        ("Bearer jane-token-and-more", "not one of this server's"),
        ("Bearer \udcff", "not one of this server's"),
    ],
)
async def test_what_is_no_credential_is_refused(header: str, fragment: str) -> None:
    async with serving() as api:
        authenticator = api.server.authenticator({"jane-token": JANE})
        with pytest.raises(Unauthorized, match=fragment):
            authenticator.identify(header, None)


def test_a_token_of_the_table_is_its_user() -> None:
    authenticator = Authenticator({"jane-token": JANE})
    assert authenticator.identify("Bearer jane-token", None) == JANE
    assert authenticator.identify("bearer  jane-token ", None) == JANE


def test_a_certificate_names_user_and_groups() -> None:
    subject = ((("organizationName", "devs"),), (("organizationName", "ops"),), (("commonName", "jane"),))
    found = Authenticator({}).identify("", {"subject": subject})
    assert (found.name, found.groups) == ("jane", ("devs", "ops", "system:authenticated"))
    with pytest.raises(Unauthorized, match="no common name"):
        Authenticator({}).identify("", {"subject": subject[:1]})


def test_a_browser_sends_its_token_as_a_subprotocol() -> None:
    text = base64.urlsafe_b64encode(b"jane-token").decode().rstrip("=")
    listed = ("v5.channel.k8s.io", f"base64url.bearer.authorization.k8s.io.{text}")
    assert subprotocol_token(listed) == "jane-token"
    assert subprotocol_token(("v5.channel.k8s.io",)) == ""
    assert subprotocol_token(("base64url.bearer.authorization.k8s.io.!",)) == ""


# -- impersonation ----------------------------------------------------------------------------------


def claim(*headers: tuple[str, str]) -> Request:
    return Request("GET", "/", user=BOSS, impersonate=headers)


USER = ("impersonate-user", "jane")


async def acting(server: Server, *headers: tuple[str, str]) -> User:
    return impersonated(claim(*headers), server.context.authorizer).user


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ((USER,), User("jane", ("system:authenticated",))),
        ((USER, ("impersonate-group", "devs")), User("jane", ("devs", "system:authenticated"))),
        (
            (USER, ("impersonate-group", "system:unauthenticated")),
            User("jane", ("system:unauthenticated",)),
        ),
        ((("impersonate-user", "system:anonymous"),), User("system:anonymous", ("system:unauthenticated",))),
        (
            (("impersonate-user", "system:serviceaccount:ns:bot"),),
            User(
                "system:serviceaccount:ns:bot",
                ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            ),
        ),
        (
            (
                USER,
                ("impersonate-uid", "7"),
                ("impersonate-extra-scopes%2fx", "a"),
                ("impersonate-extra-b", "c"),
            ),
            User("jane", ("system:authenticated",), "7", (("b", ("c",)), ("scopes/x", ("a",)))),
        ),
    ],
)
async def test_who_may_impersonate_becomes_that_user(headers: Any, user: User) -> None:
    async with serving() as api:
        await allow_everywhere(
            api,
            BOSS,
            rule("impersonate", "users groups serviceaccounts"),
            rule("impersonate", "uids userextras/scopes/x userextras/b", group=AUTHENTICATION),
        )
        assert await acting(api.server, *headers) == user


@pytest.mark.parametrize(
    ("headers", "resource"),
    [
        ((("impersonate-user", "max"),), 'resource "users"'),
        ((USER, ("impersonate-group", "system:masters")), 'resource "groups"'),
        ((USER, ("impersonate-group", "devs"), ("impersonate-group", "ops")), 'resource "groups"'),
        ((USER, ("impersonate-uid", "7")), 'resource "uids"'),
        ((USER, ("impersonate-extra-scopes", "a")), 'resource "userextras/scopes"'),
        ((("impersonate-user", "system:serviceaccount:ns:bot"),), 'resource "serviceaccounts"'),
    ],
)
async def test_every_part_of_a_claim_needs_its_right(headers: Any, resource: str) -> None:
    async with serving() as api:
        await allow_everywhere(
            api, BOSS, rule("impersonate", "users", names="jane"), rule("impersonate", "groups", names="devs")
        )
        with pytest.raises(Forbidden, match=resource):
            await acting(api.server, *headers)


async def test_a_claim_of_groups_alone_makes_no_sense() -> None:
    async with serving() as api:
        with pytest.raises(BadRequest, match="without impersonating a user"):
            await acting(api.server, ("impersonate-group", "devs"))


async def test_who_impersonates_has_the_rights_of_the_other_and_no_more() -> None:
    async with serving() as api:
        await allow_everywhere(api, BOSS, rule("impersonate", "users"), rule("list", "pods"))
        request = Request("GET", "/api/v1/pods", user=BOSS, impersonate=(USER,))
        answer = await api.server.handle(request)
        assert getattr(answer, "status", 0) == 403
        assert not api.server.context.authorizer.check(JANE, Attributes("list", "", "pods")).allowed
