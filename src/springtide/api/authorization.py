"""authorization.k8s.io/v1: who may do what. Requests that are answered at once and never stored."""

from __future__ import annotations

from msgspec import field

from springtide.api.meta import LabelSelectorRequirement, Object
from springtide.api.resources import resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.authorization.v1"

GROUP = "authorization.k8s.io"


class FieldSelectorRequirement(Struct):
    """One term of a field selector."""

    key: str
    """Field, such as `spec.nodeName`."""
    operator: str
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""
    values: list[str] = []
    """Values of `In` and `NotIn`."""


class FieldSelectorAttributes(Struct):
    """The field selector of a list, watch or deletion."""

    raw_selector: str = ""
    """As it stands in the query."""
    requirements: list[FieldSelectorRequirement] = []
    """Taken apart; all must hold."""


class LabelSelectorAttributes(Struct):
    """The label selector of a list, watch or deletion."""

    raw_selector: str = ""
    """As it stands in the query."""
    requirements: list[LabelSelectorRequirement] = []
    """Taken apart; all must hold."""


class ResourceAttributes(Struct):
    """A request for objects."""

    namespace: str = ""
    """Namespace; empty for all of them and for objects that have none."""
    verb: str = ""
    """What is done: `get`, `list`, `watch`, `create` …"""
    group: str = ""
    """API group."""
    version: str = ""
    """API version."""
    resource: str = ""
    """Plural of the kind."""
    subresource: str = ""
    """Subresource, if one is meant."""
    name: str = ""
    """Name of the object; empty for all."""
    field_selector: FieldSelectorAttributes | None = None
    """Limits the request by fields."""
    label_selector: LabelSelectorAttributes | None = None
    """Limits the request by labels."""


class NonResourceAttributes(Struct):
    """A request for a path."""

    path: str = ""
    """The path."""
    verb: str = ""
    """HTTP method in lower case."""


class SelfSubjectAccessReviewSpec(Struct):
    """A question about oneself; exactly one of the two is set."""

    resource_attributes: ResourceAttributes | None = None
    """A request for objects."""
    non_resource_attributes: NonResourceAttributes | None = None
    """A request for a path."""


class SubjectAccessReviewSpec(SelfSubjectAccessReviewSpec):
    """A question about somebody."""

    user: str = ""
    """Name of the user."""
    groups: list[str] = []
    """Groups of the user."""
    extra: dict[str, list[str]] = {}
    """Extra of the user."""
    uid: str = ""
    """Identifier of the user."""


class SubjectAccessReviewStatus(Struct):
    """The answer."""

    allowed: bool = always(False)
    """Whether the request would be let through."""
    denied: bool = False
    """Whether somebody said no, rather than nobody yes."""
    reason: str = ""
    """Why."""
    evaluation_error: str = ""
    """What could not be evaluated."""


@resource(plural="subjectaccessreviews", namespaced=False, builtin=True)
class SubjectAccessReview(Object):
    """Asks whether somebody may do something."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "SubjectAccessReview"
    spec: SubjectAccessReviewSpec
    """The question."""
    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()
    """The answer."""


@resource(plural="localsubjectaccessreviews", builtin=True)
class LocalSubjectAccessReview(Object):
    """Asks whether somebody may do something in one namespace."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "LocalSubjectAccessReview"
    spec: SubjectAccessReviewSpec
    """The question."""
    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()
    """The answer."""


@resource(plural="selfsubjectaccessreviews", namespaced=False, builtin=True)
class SelfSubjectAccessReview(Object):
    """Asks whether one may do something oneself (`kubectl auth can-i`)."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "SelfSubjectAccessReview"
    spec: SelfSubjectAccessReviewSpec
    """The question."""
    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()
    """The answer."""


class ResourceRule(Struct):
    """What one may do with objects."""

    verbs: list[str] = always([])
    """Verbs; `*` is all."""
    api_groups: list[str] = []
    """Groups; `*` is all."""
    resources: list[str] = []
    """Plurals and subresources; `*` is all."""
    resource_names: list[str] = []
    """Names; empty is all."""


class NonResourceRule(Struct):
    """What one may do with paths."""

    verbs: list[str] = always([])
    """HTTP methods in lower case; `*` is all."""
    non_resource_urls: list[str] = field(name="nonResourceURLs", default=[])
    """Paths; a final `*` matches any rest."""


class SubjectRulesReviewStatus(Struct):
    """Everything one may do in a namespace."""

    resource_rules: list[ResourceRule] = always([])
    """With objects."""
    non_resource_rules: list[NonResourceRule] = always([])
    """With paths."""
    incomplete: bool = always(False)
    """Whether there may be more."""
    evaluation_error: str = ""
    """What could not be evaluated."""


class SelfSubjectRulesReviewSpec(Struct):
    """The question."""

    namespace: str = ""
    """The namespace in question."""


@resource(plural="selfsubjectrulesreviews", namespaced=False, builtin=True)
class SelfSubjectRulesReview(Object):
    """Asks for everything one may do in a namespace (`kubectl auth can-i --list`)."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "SelfSubjectRulesReview"
    spec: SelfSubjectRulesReviewSpec
    """The question."""
    status: SubjectRulesReviewStatus = SubjectRulesReviewStatus()
    """The answer."""
