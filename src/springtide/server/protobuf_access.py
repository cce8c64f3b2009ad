"""Protobuf messages of identities and rights: what `kubectl auth` and `kubectl create role` send.

Part of `protobuf`, which explains the tables: by field number the JSON name, the type, the shape and whether
a zero value counts. Field numbers: the `generated.proto` files of k8s.io/api.
"""

from __future__ import annotations

_Row = tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, bool]

_META: dict[int, _Row] = {1: ("metadata", "ObjectMeta")}
_ROLE: dict[int, _Row] = {**_META, 2: ("rules", "PolicyRule", "list")}
_BINDING: dict[int, _Row] = {**_META, 2: ("subjects", "Subject", "list"), 3: ("roleRef", "RoleRef")}
_RBAC, _AUTHENTICATION, _AUTHORIZATION = (
    f"{group}.k8s.io/v1" for group in ("rbac.authorization", "authentication", "authorization")
)

MESSAGES: dict[str, dict[int, _Row]] = {
    f"{_RBAC} Role": _ROLE,
    f"{_RBAC} ClusterRole": {**_ROLE, 3: ("aggregationRule", "AggregationRule", "one", True)},
    f"{_RBAC} RoleBinding": _BINDING,
    f"{_RBAC} ClusterRoleBinding": _BINDING,
    "PolicyRule": {
        1: ("verbs", "string", "list"),
        2: ("apiGroups", "string", "list"),
        3: ("resources", "string", "list"),
        4: ("resourceNames", "string", "list"),
        5: ("nonResourceURLs", "string", "list"),
    },
    "AggregationRule": {1: ("clusterRoleSelectors", "LabelSelector", "list")},
    "LabelSelector": {
        1: ("matchLabels", "string", "map"),
        2: ("matchExpressions", "LabelSelectorRequirement", "list"),
    },
    "LabelSelectorRequirement": {
        1: ("key", "string"),
        2: ("operator", "string"),
        3: ("values", "string", "list"),
    },
    "Subject": {
        1: ("kind", "string"),
        2: ("apiGroup", "string"),
        3: ("name", "string"),
        4: ("namespace", "string"),
    },
    "RoleRef": {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")},
    f"{_AUTHENTICATION} TokenRequest": {**_META, 2: ("spec", "TokenRequestSpec", "one", True)},
    "TokenRequestSpec": {
        1: ("audiences", "string", "list"),
        3: ("boundObjectRef", "BoundObjectReference", "one", True),
        4: ("expirationSeconds", "int", "one", True),
    },
    "BoundObjectReference": {
        1: ("kind", "string"),
        2: ("apiVersion", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
    },
    f"{_AUTHENTICATION} TokenReview": {**_META, 2: ("spec", "TokenReviewSpec", "one", True)},
    "TokenReviewSpec": {1: ("token", "string"), 2: ("audiences", "string", "list")},
    f"{_AUTHENTICATION} SelfSubjectReview": {**_META, 2: ("status", "SelfSubjectReviewStatus")},
    "SelfSubjectReviewStatus": {1: ("userInfo", "UserInfo")},
    "UserInfo": {
        1: ("username", "string"),
        2: ("uid", "string"),
        3: ("groups", "string", "list"),
        4: ("extra", "Extra", "map"),
    },
    "ExtraValue": {1: ("items", "string", "list")},
    f"{_AUTHORIZATION} SelfSubjectAccessReview": {**_META, 2: ("spec", "AccessReviewSpec", "one", True)},
    f"{_AUTHORIZATION} SubjectAccessReview": {**_META, 2: ("spec", "AccessReviewSpec", "one", True)},
    f"{_AUTHORIZATION} LocalSubjectAccessReview": {**_META, 2: ("spec", "AccessReviewSpec", "one", True)},
    f"{_AUTHORIZATION} SelfSubjectRulesReview": {**_META, 2: ("spec", "RulesReviewSpec", "one", True)},
    "RulesReviewSpec": {1: ("namespace", "string")},
    "AccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes", "one", True),
        2: ("nonResourceAttributes", "NonResourceAttributes", "one", True),
        3: ("user", "string"),
        4: ("groups", "string", "list"),
        5: ("extra", "Extra", "map"),
        6: ("uid", "string"),
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "ResourceAttributes": {
        1: ("namespace", "string"),
        2: ("verb", "string"),
        3: ("group", "string"),
        4: ("version", "string"),
        5: ("resource", "string"),
        6: ("subresource", "string"),
        7: ("name", "string"),
        8: ("fieldSelector", "SelectorAttributes", "one", True),
        9: ("labelSelector", "SelectorAttributes", "one", True),
    },
    "SelectorAttributes": {
        1: ("rawSelector", "string"),
        2: ("requirements", "LabelSelectorRequirement", "list"),
    },
}
