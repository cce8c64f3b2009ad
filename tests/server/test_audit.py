"""The audit log: what is kept of whom, by policy, in files that turn over, and never a secret."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from springtide.server import Request, User, audit
from springtide.server.audit import AuditLog, AuditSettings
from springtide.server.audit_policy import Policy, PolicyError, load_policy
from tests.server.access import allow_everywhere, person, rule
from tests.server.serving import CONFIGMAPS, Api, configmap, serving

Json = dict[str, Any]

JANE = person("jane")
SECRETS = "/api/v1/namespaces/default/secrets"


@asynccontextmanager
async def audited(folder: Path, policy: str = "", **settings: Any) -> AsyncIterator[Api]:
    if policy:
        (folder / "policy.yaml").write_text(policy)
    rules = load_policy(folder / "policy.yaml") if policy else Policy()
    log = AuditLog(AuditSettings(folder, rules, **settings))
    async with serving() as api:
        api.server.audit_to(log)
        try:
            yield api
        finally:
            log.close()


def events(folder: Path) -> list[Json]:
    file = folder / "audit.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def ask(api: Api, method: str, path: str, body: Any = None, *, user: User = JANE, **more: Any) -> Any:
    data = json.dumps(body).encode() if body is not None else b""
    headers = {"content-type": "application/json", "user-agent": "tester/1.0"}
    return await api.server.handle(Request(method, path, {}, headers, data, user, remote="127.0.0.1", **more))


async def test_writes_and_refusals_from_outside_are_kept(tmp_path: Path) -> None:
    async with audited(tmp_path) as api:
        await allow_everywhere(api, JANE, rule("get create", "configmaps"))
        await ask(api, "POST", CONFIGMAPS, configmap("a", x="y"))
        await ask(api, "GET", f"{CONFIGMAPS}/a")
        await ask(api, "GET", SECRETS)
    kept = events(tmp_path)
    assert [(one["verb"], one["responseStatus"]["code"]) for one in kept] == [("create", 201), ("list", 403)]
    first, refusal = kept
    assert first["level"] == "Metadata"
    assert first["stage"] == "ResponseComplete"
    assert first["user"]["username"] == "jane"
    assert first["sourceIPs"] == ["127.0.0.1"]
    assert first["requestURI"] == CONFIGMAPS
    assert first["objectRef"] == {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"}
    assert "requestObject" not in first
    assert refusal["responseStatus"]["reason"] == "Forbidden"
    assert refusal["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_who_acted_as_whom_is_kept(tmp_path: Path) -> None:
    async with audited(tmp_path) as api:
        boss = person("boss")
        await allow_everywhere(api, boss, rule("impersonate", "users"))
        claim = (("impersonate-user", "jane"),)
        await ask(api, "DELETE", f"{CONFIGMAPS}/a", user=boss, impersonate=claim)
    (event,) = events(tmp_path)
    assert event["user"]["username"] == "boss"
    assert event["impersonatedUser"]["username"] == "jane"


POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [robot]
- level: Request
  verbs: [create]
  resources: [{group: "", resources: [configmaps, secrets, serviceaccounts/token]}]
- level: Metadata
  nonResourceURLs: ["/metrics*"]
- level: Metadata
  namespaces: [kube-system]
"""


async def test_the_first_rule_of_a_policy_that_fits_decides(tmp_path: Path) -> None:
    async with audited(tmp_path, POLICY) as api:
        admin = person("admin", "system:masters")
        await ask(api, "POST", CONFIGMAPS, configmap("a", x="y"), user=person("robot", "system:masters"))
        await ask(api, "POST", CONFIGMAPS, configmap("b", x="y"), user=admin)
        await ask(api, "GET", "/metrics", user=admin)
        await ask(api, "GET", "/api/v1/namespaces/kube-system/configmaps", user=admin)
        await ask(api, "GET", CONFIGMAPS, user=admin)
    kept = events(tmp_path)
    assert [(one["level"], one["verb"]) for one in kept] == [
        ("Request", "create"),
        ("Metadata", "get"),
        ("Metadata", "list"),
    ]
    assert kept[0]["requestObject"]["data"] == {"x": "y"}


WHOLE = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: Request
  verbs: [delete]
  omitStages: [ResponseComplete]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: RequestResponse
  omitManagedFields: false
"""


async def test_managed_fields_and_stages_are_left_out_as_the_policy_and_its_rules_say(tmp_path: Path) -> None:
    async with audited(tmp_path, WHOLE) as api:
        admin = person("admin", "system:masters")
        await ask(api, "POST", CONFIGMAPS, configmap("a"), user=admin)
        await ask(api, "GET", CONFIGMAPS, user=admin)
        await ask(api, "DELETE", f"{CONFIGMAPS}/a", user=admin)
        await ask(api, "POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}, user=admin)
    made, listed, namespace = (one["responseObject"] for one in events(tmp_path))
    assert "managedFields" not in made["metadata"]
    assert ["managedFields" in one["metadata"] for one in listed["items"]] == [False]
    assert "managedFields" in namespace["metadata"]


async def test_events_wait_within_bounds_for_a_slow_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_WAITING_BYTES", 4096)
    async with audited(tmp_path, WHOLE) as api:
        for number in range(20):
            body = configmap(f"c{number}", x="y" * 1000)
            await ask(api, "POST", CONFIGMAPS, body, user=person("admin", "system:masters"))
    assert len(events(tmp_path)) == 2


async def test_secrets_and_tokens_are_never_written(tmp_path: Path) -> None:
    async with audited(tmp_path, POLICY.replace("level: Request", "level: RequestResponse")) as api:
        admin = person("admin", "system:masters")
        secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2-secret"}}
        await ask(api, "POST", SECRETS, secret, user=admin)
        await ask(
            api,
            "POST",
            "/api/v1/namespaces/default/serviceaccounts",
            {"metadata": {"name": "bot"}},
            user=admin,
        )
        await ask(
            api, "POST", "/api/v1/namespaces/default/serviceaccounts/bot/token", {"spec": {}}, user=admin
        )
    text = (tmp_path / "audit.log").read_text()
    assert len(events(tmp_path)) == 2
    assert "hunter2" not in text
    assert "password" not in text
    assert "eyJ" not in text


async def test_files_turn_over_and_only_so_many_stay(tmp_path: Path) -> None:
    settings = AuditSettings(tmp_path, max_bytes=2000, keep=2)
    for _ in range(6):
        log = AuditLog(settings)
        async with serving() as api:
            api.server.audit_to(log)
            for _ in range(5):
                await ask(api, "GET", SECRETS)
        log.close()
    assert names(tmp_path) == ["audit.log", "audit.log.1", "audit.log.2"]
    assert (tmp_path / "audit.log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("{", "does not fit"),
        ("apiVersion: v1\nkind: Policy\nrules: []", "apiVersion and kind must be"),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy", "rules"),
        (
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, user: [a]}]",
            "unknown field `user`",
        ),
        (
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]",
            "'Everything' is not one of",
        ),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused(tmp_path: Path, text: str, fragment: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(PolicyError, match=fragment):
        load_policy(file)


def test_a_policy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")
