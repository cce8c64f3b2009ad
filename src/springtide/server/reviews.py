"""Questions about users and rights: kinds that are answered at once and never stored.

TokenReview and SelfSubjectReview say who somebody is; the access reviews say what somebody may do, and the
rules review everything one may do oneself. Each is a POST; `Server` finds its function in `ON_COLLECTION`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec

from springtide.api.authentication import SelfSubjectReview, TokenReview, UserInfo
from springtide.api.authorization import (
    LocalSubjectAccessReview,
    NonResourceAttributes,
    ResourceAttributes,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from springtide.api.meta import Object
from springtide.api.struct import encode
from springtide.server import bodies
from springtide.server.authorize import MASTERS
from springtide.server.authorize_node import node_of
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.rbac import Verdict
from springtide.server.rbac_rules import Attributes, Rule
from springtide.server.request import Answer, Request, Response, User
from springtide.server.routes import Route
from springtide.server.schema_rules import FieldError
from springtide.server.status import BadRequest, bad_value, invalid, required
from springtide.server.token_accounts import ISSUER
from springtide.server.tokens import TokenRejected

Json = dict[str, Any]
T = TypeVar("T", bound=Object)

_AUTHORIZATION = "authorization.k8s.io"


async def token_review(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST tokenreviews: whose token is this?"""
    review, body = _parsed(request, kind, TokenReview)
    if not review.spec.token:
        raise BadRequest("token is required for TokenReview in authentication")
    status: Json = {}
    try:
        found = context.identify_token(review.spec.token, tuple(review.spec.audiences) or (ISSUER,))
    except TokenRejected as error:
        status = {"user": {}, "error": f"[invalid bearer token, {error}]"}
    else:
        status = {"authenticated": True, "user": user_info(found.user), "audiences": list(found.audiences)}
    return _answer(kind, body, status)


async def self_subject_review(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST selfsubjectreviews: who am I?"""
    _, body = _parsed(request, kind, SelfSubjectReview)
    metadata = {**(body.get("metadata") or {}), "creationTimestamp": context.timestamp()}
    return _answer(kind, {**body, "metadata": metadata}, {"userInfo": user_info(request.user)})


async def subject_access(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST subjectaccessreviews: may somebody do this?"""
    review, body = _parsed(request, kind, SubjectAccessReview)
    _check(kind, _subject_errors(review.spec))
    return _answer(kind, body, _decide(context, _subject(review.spec), review.spec))


async def local_subject_access(
    context: Context, request: Request, route: Route, kind: ServedKind
) -> Response:
    """POST localsubjectaccessreviews: may somebody do this in the namespace?"""
    review, body = _parsed(request, kind, LocalSubjectAccessReview)
    errors = _subject_errors(review.spec)
    if review.spec.non_resource_attributes is not None:
        rule = "disallowed on this kind of request"
        errors.append(bad_value("spec.nonResourceAttributes", "…", rule))
    resource = review.spec.resource_attributes
    if resource is not None and resource.namespace != route.namespace:
        rule = "must match metadata.namespace"
        errors.append(bad_value("spec.resourceAttributes.namespace", resource.namespace, rule))
    _check(kind, errors)
    metadata = {**(body.get("metadata") or {}), "namespace": route.namespace}
    return _answer(kind, {**body, "metadata": metadata}, _decide(context, _subject(review.spec), review.spec))


async def self_subject_access(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST selfsubjectaccessreviews: may I do this?"""
    review, body = _parsed(request, kind, SelfSubjectAccessReview)
    _check(kind, _question_errors(review.spec))
    return _answer(kind, body, _decide(context, request.user, review.spec))


async def self_subject_rules(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST selfsubjectrulesreviews: what may I do in a namespace?"""
    review, body = _parsed(request, kind, SelfSubjectRulesReview)
    if not review.spec.namespace:
        raise BadRequest("no namespace on request")
    user = request.user
    if MASTERS in user.groups:
        everything = frozenset(("*",))
        rules = [Rule(everything, everything, everything), Rule(everything, paths=everything)]
        return _answer(kind, body, _rules_status(rules, ()))
    grants = list(context.authorizer.rbac.grants(user, review.spec.namespace))
    errors = [grant.error for grant in grants if grant.error]
    if node_of(user):
        errors.append("node authorizer does not support user rule resolution")
    return _answer(
        kind, body, _rules_status((rule for grant in grants for rule in grant.rules or ()), errors)
    )


Review = Callable[[Context, Request, Route, ServedKind], Awaitable[Answer]]

ON_COLLECTION: dict[str, dict[str, Review]] = {
    "authentication.k8s.io/tokenreviews": {"POST": token_review},
    "authentication.k8s.io/selfsubjectreviews": {"POST": self_subject_review},
    "authorization.k8s.io/subjectaccessreviews": {"POST": subject_access},
    "authorization.k8s.io/localsubjectaccessreviews": {"POST": local_subject_access},
    "authorization.k8s.io/selfsubjectaccessreviews": {"POST": self_subject_access},
    "authorization.k8s.io/selfsubjectrulesreviews": {"POST": self_subject_rules},
}
"""By collection: what can be done with it, and nothing else can."""


def user_info(user: User) -> Json:
    """`authentication/v1` UserInfo of a user."""
    info = UserInfo(
        username=user.name,
        uid=user.uid,
        groups=list(user.groups),
        extra={key: list(values) for key, values in user.extra},
    )
    return encode(info)


def _parsed(request: Request, kind: ServedKind, type_: type[T]) -> tuple[T, Json]:
    body = bodies.parse_object(request)
    bodies.prune_unknown(body, kind, request)
    return bodies.typed(body, type_), body


def _answer(kind: ServedKind, body: Json, status: Json) -> Response:
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": body.get("metadata") or {}}
    spec = {"spec": body["spec"]} if "spec" in body else {}
    return Response(201, msgspec.json.encode({**head, **spec, "status": status}))


def _check(kind: ServedKind, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(_AUTHORIZATION, kind.kind, "", errors)


def _question_errors(spec: SelfSubjectAccessReviewSpec) -> list[FieldError]:
    rule = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    if spec.resource_attributes is not None and spec.non_resource_attributes is not None:
        return [
            bad_value(
                "spec.nonResourceAttributes",
                "…",
                "cannot be specified in combination with resourceAttributes",
            )
        ]
    if spec.resource_attributes is None and spec.non_resource_attributes is None:
        return [bad_value("spec.resourceAttributes", None, rule)]
    return []


def _subject_errors(spec: SubjectAccessReviewSpec) -> list[FieldError]:
    errors = _question_errors(spec)
    if not spec.user and not spec.groups:
        errors.append(required("spec.user", "at least one of user or group must be specified"))
    return errors


def _subject(spec: SubjectAccessReviewSpec) -> User:
    extra = tuple((key, tuple(values)) for key, values in sorted(spec.extra.items()))
    return User(spec.user, tuple(spec.groups), spec.uid, extra)


def _decide(context: Context, user: User, spec: SelfSubjectAccessReviewSpec) -> Json:
    if spec.resource_attributes is not None:
        wanted = _resource(spec.resource_attributes)
    else:
        path = spec.non_resource_attributes or NonResourceAttributes()
        wanted = Attributes(path.verb, path=path.path)
    verdict: Verdict = context.authorizer.check(user, wanted)
    status: Json = {"allowed": verdict.allowed}
    if verdict.reason:
        status["reason"] = verdict.reason
    return status


def _resource(asked: ResourceAttributes) -> Attributes:
    selector = asked.field_selector
    return Attributes(
        asked.verb,
        asked.group,
        asked.resource or "*",
        asked.subresource,
        asked.namespace,
        asked.name,
        "",
        asked.version,
        selector.raw_selector if selector is not None else "",
    )


def _rules_status(rules: Iterable[Rule], errors: Iterable[str]) -> Json:
    resource_rules: list[Json] = []
    path_rules: list[Json] = []
    for rule in rules:
        verbs = sorted(rule.verbs)
        if rule.paths:
            path_rules.append({"verbs": verbs, "nonResourceURLs": sorted(rule.paths)})
            continue
        entry = {"verbs": verbs, "apiGroups": sorted(rule.groups), "resources": sorted(rule.resources)}
        resource_rules.append({**entry, "resourceNames": sorted(rule.names)} if rule.names else entry)
    status: Json = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
    if text := ", ".join(dict.fromkeys(errors)):
        status |= {"incomplete": True, "evaluationError": text}
    return status
