"""RBAC as the server evaluates it: rules, bindings, aggregation, what a cluster starts with, escalation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.server.rbac_rules import Attributes, Rule, compile_rules, uncovered
from springtide.store import MemoryLog
from tests.server.access import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    ROLES,
    allow,
    allow_everywhere,
    binding,
    cluster_role,
    made,
    message,
    person,
    role,
    rule,
)
from tests.server.serving import CONFIGMAPS, PODS, configmap, serving

Json = dict[str, Any]

JANE = person("jane", "devs")
ALL: Json = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
EVERY_PATH: Json = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def pods(verb: str, name: str = "", subresource: str = "") -> Attributes:
    return Attributes(verb, "", "pods", subresource, "default", name)


@pytest.mark.parametrize(
    ("raw", "wanted", "allowed"),
    [
        (rule("get list", "pods"), pods("get"), True),
        (rule("get list", "pods"), pods("delete"), False),
        (rule("get", "pods"), pods("get", subresource="log"), False),
        (rule("get", "pods/log"), pods("get", subresource="log"), True),
        (rule("get", "pods/log"), pods("get"), False),
        (rule("get", "*/log"), pods("get", subresource="log"), True),
        (rule("get", "*/log"), pods("get"), False),
        (rule("get", "pods/*"), pods("get", subresource="log"), False),
        (rule("get", "*"), pods("get", subresource="log"), True),
        (rule("*", "pods"), pods("escalate"), True),
        (rule("get", "pods", group="apps"), pods("get"), False),
        (rule("get", "pods", group="*"), pods("get"), True),
        (rule("get", "pods", names="a b"), pods("get", "a"), True),
        (rule("get", "pods", names="a b"), pods("get", "c"), False),
        (rule("get list", "pods", names="a"), pods("list"), False),
        (rule("create", "pods", names="a"), pods("create"), False),
        (rule("get", "Pods"), pods("get"), False),
        (rule("GET", "pods"), pods("get"), False),
        (ALL, Attributes("get", path="/metrics"), False),
        (EVERY_PATH, Attributes("get", path="/metrics"), True),
        (EVERY_PATH, pods("get"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes("get", path="/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes("get", path="/api"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, Attributes("get", path="/api/v1"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/a*b"]}, Attributes("get", path="/axb"), False),
    ],
)
def test_a_rule_allows_what_it_names(raw: Json, wanted: Attributes, allowed: bool) -> None:
    (compiled,) = compile_rules([raw])
    assert compiled.allows(wanted) is allowed


_words = st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=3).map(frozenset)
_groups = st.lists(st.sampled_from(["", "apps", "*"]), min_size=1, max_size=2).map(frozenset)
_plurals = st.lists(st.sampled_from(["pods", "pods/log", "*/log", "*"]), min_size=1, max_size=3).map(
    frozenset
)
_names = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(frozenset)
_rules = st.lists(st.builds(Rule, _words, _groups, _plurals, _names), max_size=3)
_requests = st.builds(
    Attributes,
    st.sampled_from(["get", "list", "delete"]),
    st.sampled_from(["", "apps", "batch"]),
    st.sampled_from(["pods", "nodes"]),
    st.sampled_from(["", "log", "exec"]),
    name=st.sampled_from(["", "a", "c"]),
)


@given(owned=_rules, wanted=_rules, request=_requests)
def test_what_is_covered_allows_nothing_more(
    owned: list[Rule], wanted: list[Rule], request: Attributes
) -> None:
    if not uncovered(owned, wanted) and any(one.allows(request) for one in wanted):
        assert any(one.allows(request) for one in owned)


@given(rules=_rules)
def test_everybody_covers_what_they_hold(rules: list[Rule]) -> None:
    assert uncovered(rules, rules) == []


async def test_a_binding_holds_within_its_namespace() -> None:
    async with serving() as api:
        await made(api, "/api/v1/namespaces", {"metadata": {"name": "other"}})
        await allow(api, JANE, rule("get list", "pods"))
        assert (await api.ask("GET", PODS, user=JANE)).status == 200
        for path in ("/api/v1/namespaces/other/pods", "/api/v1/pods", f"{PODS}/a/log"):
            assert (await api.ask("GET", path, user=JANE)).status == 403, path


async def test_a_cluster_role_bound_in_a_namespace_holds_only_there() -> None:
    async with serving() as api:
        await made(api, BINDINGS, binding("jane-views", "view", JANE, kind="ClusterRole"))
        assert (await api.ask("GET", PODS, user=JANE)).status == 200
        assert (await api.ask("GET", "/api/v1/namespaces/default", user=JANE)).status == 200
        assert (await api.ask("GET", "/api/v1/namespaces/kube-system", user=JANE)).status == 403
        assert (await api.ask("GET", "/api/v1/namespaces/default/secrets", user=JANE)).status == 403


async def test_groups_and_service_accounts_are_bound_too() -> None:
    async with serving() as api:
        await made(api, ROLES, role("reader", rule("list", "pods")))
        subjects = [
            {"kind": "Group", "name": "devs", "apiGroup": "rbac.authorization.k8s.io"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "kube-system"},
        ]
        await made(api, BINDINGS, {**binding("readers", "reader"), "subjects": subjects})
        bot = person("system:serviceaccount:kube-system:bot")
        for user, status in ((JANE, 200), (bot, 200), (person("max"), 403), (person("devs"), 403)):
            assert (await api.ask("GET", PODS, user=user)).status == status, user


async def test_a_right_ends_with_its_role_its_binding_or_its_subject() -> None:
    async with serving() as api:
        await allow(api, JANE, rule("list", "pods"))
        for end in ("role", "binding", "subject"):
            assert (await api.ask("GET", PODS, user=JANE)).status == 200
            if end == "role":
                gone = (await api.get(f"{ROLES}/jane-may")).json
                await api.delete(f"{ROLES}/jane-may")
                again = (ROLES, {**role("jane-may"), "rules": gone["rules"]})
            elif end == "binding":
                await api.delete(f"{BINDINGS}/jane-may")
                again = (BINDINGS, binding("jane-may", "jane-may", JANE))
            else:
                await api.patch(f"{BINDINGS}/jane-may", {"subjects": None})
                again = None
            assert (await api.ask("GET", PODS, user=JANE)).status == 403, end
            if again is not None:
                await made(api, *again)


async def test_a_missing_role_is_named() -> None:
    async with serving() as api:
        await made(api, BINDINGS, binding("broken", "nowhere", JANE))
        refused = await api.ask("GET", PODS, user=JANE)
        assert message(refused).endswith('RBAC: role.rbac.authorization.k8s.io "nowhere" not found')


async def test_an_aggregated_role_follows_its_labels_at_once() -> None:
    async with serving() as api:
        selector = {"clusterRoleSelectors": [{"matchLabels": {"team": "a"}}]}
        await made(api, CLUSTER_ROLES, cluster_role("all-of-a", aggregationRule=selector))
        await made(api, CLUSTER_BINDINGS, binding("jane", "all-of-a", JANE, kind="ClusterRole", cluster=True))
        assert (await api.ask("GET", PODS, user=JANE)).status == 403
        await made(api, CLUSTER_ROLES, cluster_role("part", rule("list", "pods"), labels={"team": "a"}))
        assert (await api.ask("GET", PODS, user=JANE)).status == 200
        await api.patch(f"{CLUSTER_ROLES}/part", {"metadata": {"labels": {"team": None}}})
        assert (await api.ask("GET", PODS, user=JANE)).status == 403


async def test_aggregated_roles_that_select_each_other_end() -> None:
    async with serving() as api:
        for name, other in (("a", "b"), ("b", "a")):
            selector = {"clusterRoleSelectors": [{"matchLabels": {"part-of": name}}]}
            labels = {"part-of": other}
            await made(api, CLUSTER_ROLES, cluster_role(name, labels=labels, aggregationRule=selector))
        await made(api, CLUSTER_ROLES, cluster_role("c", rule("list", "pods"), labels={"part-of": "b"}))
        await made(api, CLUSTER_BINDINGS, binding("jane", "a", JANE, kind="ClusterRole", cluster=True))
        assert (await api.ask("GET", PODS, user=JANE)).status == 200


async def test_what_every_cluster_has_is_brought_back_at_the_next_start() -> None:
    log = MemoryLog()
    async with serving(log) as api:
        await api.delete(f"{CLUSTER_BINDINGS}/system:discovery")
        await api.patch(f"{CLUSTER_ROLES}/system:basic-user", {"rules": [rule("get", "pods")]})
        await api.patch(
            f"{CLUSTER_ROLES}/system:heapster",
            {
                "rules": [],
                "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}},
            },
        )
        assert (await api.ask("GET", "/apis", user=JANE)).status == 403
        count = len((await api.get(CLUSTER_ROLES)).names)
    async with serving(log) as api:
        assert (await api.ask("GET", "/apis", user=JANE)).status == 200
        rules = (await api.get(f"{CLUSTER_ROLES}/system:basic-user")).json["rules"]
        assert rule("get", "pods") in rules, "what an administrator added stays"
        assert len(rules) == 3
        assert (await api.get(f"{CLUSTER_ROLES}/system:heapster")).json["rules"] == []
        assert len((await api.get(CLUSTER_ROLES)).names) == count


async def test_a_start_that_finds_everything_writes_nothing() -> None:
    log = MemoryLog()
    async with serving(log) as api:
        before = api.store.revision
    async with serving(log) as api:
        assert api.store.revision == before


@pytest.mark.parametrize(
    ("obj", "path", "fields"),
    [
        (role("a", {"apiGroups": [""], "resources": ["pods"]}), ROLES, ["rules[0].verbs"]),
        (role("a", {"verbs": ["get"]}), ROLES, ["rules[0].apiGroups", "rules[0].resources"]),
        (role("a", {"verbs": ["get"], "nonResourceURLs": ["/x"]}), ROLES, ["rules[0].nonResourceURLs"]),
        (
            cluster_role("a", {**rule("get", "pods"), "nonResourceURLs": ["/x"]}),
            CLUSTER_ROLES,
            ["rules[0].nonResourceURLs"],
        ),
        (
            cluster_role("a", aggregationRule={}),
            CLUSTER_ROLES,
            ["aggregationRule.clusterRoleSelectors"],
        ),
        (binding("a", "r", kind="Rule"), BINDINGS, ["roleRef.kind"]),
        (binding("a", ""), BINDINGS, ["roleRef.name"]),
        (binding("a", "x/y"), BINDINGS, ["roleRef.name"]),
        (binding("a", "r", cluster=True), CLUSTER_BINDINGS, ["roleRef.kind"]),
        (
            {**binding("a", "r"), "subjects": [{"kind": "Robot", "name": "x"}]},
            BINDINGS,
            ["subjects[0].kind"],
        ),
        (
            {
                **binding("a", "r", kind="ClusterRole", cluster=True),
                "subjects": [{"kind": "ServiceAccount", "name": "x"}],
            },
            CLUSTER_BINDINGS,
            ["subjects[0].namespace"],
        ),
    ],
)
async def test_a_wrong_role_or_binding_is_refused_by_field(obj: Json, path: str, fields: list[str]) -> None:
    async with serving() as api:
        answer = await api.post(path, obj)
        assert answer.status == 422, answer.json
        assert answer.wrong_fields == fields


async def test_a_binding_never_changes_its_role() -> None:
    async with serving() as api:
        await made(api, BINDINGS, binding("a", "r"))
        answer = await api.patch(f"{BINDINGS}/a", {"roleRef": {"name": "other"}})
        assert (answer.status, answer.wrong_fields) == (422, ["roleRef"])


WRITES_ROLES = rule("create update patch get", "roles rolebindings", group="rbac.authorization.k8s.io")


async def test_nobody_writes_a_role_with_more_than_they_hold() -> None:
    async with serving() as api:
        await allow(api, JANE, WRITES_ROLES, rule("get", "pods"))
        fine = await api.ask("POST", ROLES, role("fine", rule("get", "pods")), user=JANE)
        assert fine.status == 201, fine.json
        more = role("more", rule("get list", "pods"), rule("get", "secrets"))
        refused = await api.ask("POST", ROLES, more, user=JANE)
        assert refused.status == 403
        assert message(refused) == (
            'roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" (groups=["devs" '
            '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
            '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}\n'
            '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
        )
        changed = await api.ask(
            "PATCH",
            f"{ROLES}/fine",
            {"rules": [rule("*", "pods")]},
            media_type="application/merge-patch+json",
            user=JANE,
        )
        assert changed.status == 403


async def test_who_may_escalate_may_write_any_role() -> None:
    async with serving() as api:
        escalates = rule("escalate", "roles", group="rbac.authorization.k8s.io")
        await allow(api, JANE, WRITES_ROLES, escalates)
        answer = await api.ask("POST", ROLES, role("more", rule("*", "*")), user=JANE)
        assert answer.status == 201, answer.json


async def test_nobody_binds_a_role_with_more_than_they_hold() -> None:
    async with serving() as api:
        await made(api, ROLES, role("secrets", rule("get", "secrets")))
        await allow(api, JANE, WRITES_ROLES)
        refused = await api.ask("POST", BINDINGS, binding("own", "secrets", JANE), user=JANE)
        assert refused.status == 403
        assert "attempting to grant RBAC permissions not currently held" in message(refused)
        missing = await api.ask("POST", BINDINGS, binding("own", "nowhere", JANE), user=JANE)
        assert missing.status == 404
        admin = binding("own", "cluster-admin", JANE, kind="ClusterRole")
        assert (await api.ask("POST", BINDINGS, admin, user=JANE)).status == 403


async def test_who_may_bind_a_role_may_bind_that_one_only() -> None:
    async with serving() as api:
        for name, verb in (("one", "get"), ("two", "list")):
            await made(api, ROLES, role(name, rule(verb, "secrets")))
        binds = rule("bind", "roles", group="rbac.authorization.k8s.io", names="one")
        await allow(api, JANE, WRITES_ROLES, binds)
        assert (await api.ask("POST", BINDINGS, binding("a", "one", JANE), user=JANE)).status == 201
        assert (await api.ask("POST", BINDINGS, binding("b", "two", JANE), user=JANE)).status == 403


async def test_collecting_rules_by_label_is_for_administrators() -> None:
    async with serving() as api:
        await allow_everywhere(api, JANE, rule("create", "clusterroles", group="rbac.authorization.k8s.io"))
        selector: Json = {"clusterRoleSelectors": [{}]}
        refused = await api.ask(
            "POST", CLUSTER_ROLES, cluster_role("everything", aggregationRule=selector), user=JANE
        )
        assert refused.status == 403
        assert "must have cluster-admin privileges to use the aggregationRule" in message(refused)


async def test_garbage_may_be_let_go_by_whoever_may_write_it() -> None:
    async with serving() as api:
        powerful = role("powerful", rule("*", "*"))
        powerful["metadata"]["finalizers"] = ["example.dev/hold"]
        await made(api, ROLES, powerful)
        await allow(api, JANE, WRITES_ROLES)
        freed = await api.ask(
            "PATCH",
            f"{ROLES}/powerful",
            {"metadata": {"finalizers": None}},
            media_type="application/merge-patch+json",
            user=JANE,
        )
        assert freed.status == 200, freed.json


async def test_server_side_apply_is_no_way_around_the_check() -> None:
    async with serving() as api:
        await allow(api, JANE, WRITES_ROLES)
        for name in ("new", "jane-may"):
            answer = await api.ask(
                "PATCH",
                f"{ROLES}/{name}",
                role(name, rule("*", "*")),
                media_type="application/apply-patch+yaml",
                query={"fieldManager": "jane", "force": "true"},
                user=JANE,
            )
            assert answer.status == 403, answer.json


async def test_edit_lets_people_work_but_not_rule() -> None:
    async with serving() as api:
        await made(api, BINDINGS, binding("jane-edits", "edit", JANE, kind="ClusterRole"))
        assert (await api.ask("POST", CONFIGMAPS, configmap("a"), user=JANE)).status == 201
        for method, path, body in (
            ("GET", ROLES, None),
            ("POST", ROLES, role("x", rule("get", "pods"))),
            ("GET", "/api/v1/nodes", None),
            ("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": {"a": "b"}}}),
            ("GET", "/metrics", None),
        ):
            assert (await api.ask(method, path, body, user=JANE)).status == 403, path
