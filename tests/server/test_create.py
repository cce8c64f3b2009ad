"""POST on a collection."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.store import WriteFailed
from tests.server.serving import CONFIGMAPS, PODS, configmap, pod, serving

OWNER_WITHOUT_UID = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}


async def test_a_new_object_gets_its_identity() -> None:
    async with serving() as api:
        answer = await api.post(CONFIGMAPS, configmap("a", x="1"))
        meta = answer.json["metadata"]
    assert answer.status == 201
    assert meta["namespace"] == "default"
    assert len(meta["uid"]) == 36
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert int(meta["resourceVersion"]) > 1
    assert meta["managedFields"][0]["manager"] == "tester"
    assert "generation" not in meta


async def test_what_a_client_may_not_decide_is_ignored_or_refused() -> None:
    sent = configmap("a")
    sent["metadata"] |= {"uid": "mine", "deletionTimestamp": "2020-01-01T00:00:00Z", "generation": 7}
    async with serving() as api:
        meta = (await api.post(CONFIGMAPS, sent)).json["metadata"]
        assert meta["uid"] != "mine"
        assert "deletionTimestamp" not in meta
        sent["metadata"] = {"name": "b", "resourceVersion": "5"}
        assert (await api.post(CONFIGMAPS, sent)).refusal == (400, "BadRequest")


async def test_a_generated_name_starts_as_asked_and_is_free() -> None:
    body = configmap("")
    body["metadata"] = {"generateName": "run-"}
    async with serving() as api:
        names = {(await api.post(CONFIGMAPS, body)).json["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("run-") and len(name) == 9 for name in names)


async def test_a_second_object_of_the_name_is_refused() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        answer = await api.post(CONFIGMAPS, configmap("a"))
    assert answer.refusal == (409, "AlreadyExists")
    assert answer.json["message"] == 'configmaps "a" already exists'


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("not JSON", b"{", 400, "not valid application/json"),
        ("a list", b"[]", 400, "must be an object"),
        ("nothing", b"", 400, "empty"),
        ("another kind", {**configmap("a"), "kind": "Secret"}, 400, "v1 Secret"),
        (
            "another namespace",
            {**configmap("a"), "metadata": {"name": "a", "namespace": "x"}},
            400,
            "does not match",
        ),
        ("metadata of the wrong type", {**configmap("a"), "metadata": []}, 400, "metadata must be an object"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
async def test_a_body_that_makes_no_sense_here(name: str, body: Any, status: int, says: str) -> None:
    async with serving() as api:
        answer = await api.post(CONFIGMAPS, body)
    assert answer.status == status
    assert says in answer.json["message"]


@pytest.mark.parametrize("wrong", [{"metadata": {"name": "a", "labels": {"k": 5}}}, {"data": {"k": 5}}])
async def test_a_field_of_the_wrong_type_cannot_be_read(wrong: dict[str, Any]) -> None:
    async with serving() as api:
        answer = await api.post(CONFIGMAPS, {**configmap("a"), **wrong})
    assert answer.refusal == (400, "BadRequest")
    assert ".k: " in answer.json["message"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "Upper"}}, "metadata.name"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": {"name": "a", "labels": {"bad key!": "x"}}}, "metadata.labels"),
        ({"metadata": {"name": "a", "labels": {"k": "-x"}}}, "metadata.labels"),
        ({"metadata": {"name": "a", "finalizers": ["no good"]}}, "metadata.finalizers"),
        ({"metadata": {"name": "a", "ownerReferences": [OWNER_WITHOUT_UID]}},
         "metadata.ownerReferences.uid"),
    ],
)  # fmt: skip
async def test_a_broken_rule_is_named_by_its_field(change: dict[str, Any], field: str) -> None:
    async with serving() as api:
        answer = await api.post(CONFIGMAPS, {**configmap("a"), **change})
    assert answer.refusal == (422, "Invalid")
    assert answer.wrong_fields == [field]


async def test_every_wrong_field_is_named_at_once() -> None:
    body = pod("A", containers=[{"name": "x"}, {"name": "X", "image": "i"}], restartPolicy="Sometimes")
    async with serving() as api:
        answer = await api.post(PODS, body)
    assert answer.wrong_fields == [
        "metadata.name",
        "spec.containers[0].image",
        "spec.containers[1].name",
        "spec.restartPolicy",
    ]
    assert answer.json["details"]["kind"] == "Pod"


async def test_what_go_fills_with_a_zero_value_may_be_left_out() -> None:
    state = {"name": "main", "state": {"terminated": {"reason": "Completed"}}}
    async with serving() as api:
        await api.post(PODS, pod("a"))
        answer = await api.patch(f"{PODS}/a/status", {"status": {"containerStatuses": [state]}})
        assert answer.status == 200
        nameless = {"status": {"containerStatuses": [{"ready": True}]}}
        assert (
            "status.containerStatuses[0].name" in (await api.patch(f"{PODS}/a/status", nameless)).wrong_fields
        )


@pytest.mark.parametrize(
    ("mode", "status", "warned"),
    [("Strict", 400, False), ("Warn", 201, True), ("", 201, True), ("Ignore", 201, False)],
)
async def test_an_unknown_field_is_refused_warned_about_or_ignored(
    mode: str, status: int, warned: bool
) -> None:
    async with serving() as api:
        answer = await api.post(PODS, pod("a", nodeNam="n"), fieldValidation=mode)
    assert answer.status == status
    assert bool(answer.warnings) == warned
    if status == 201:
        assert "nodeNam" not in answer.json["spec"]
    else:
        assert 'unknown field "spec.nodeNam"' in answer.json["message"]


async def test_a_dry_run_answers_as_if_and_stores_nothing() -> None:
    async with serving() as api:
        before = api.store.revision
        answer = await api.post(CONFIGMAPS, configmap("a"), dryRun="All")
        assert answer.status == 201
        assert answer.json["metadata"]["uid"]
        assert api.store.revision == before
        assert (await api.get(f"{CONFIGMAPS}/a")).status == 404
        assert (await api.post(CONFIGMAPS, configmap("a"), dryRun="Some")).refusal == (422, "Invalid")


async def test_yaml_is_understood_and_other_formats_are_refused_by_name() -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {day: 2026-01-01}\n"
    async with serving() as api:
        answer = await api.ask("POST", CONFIGMAPS, text, media_type="application/yaml")
        assert answer.json["data"] == {"day": "2026-01-01"}
        answer = await api.ask("POST", CONFIGMAPS, b"<a/>", media_type="text/xml")
        assert answer.refusal == (415, "UnsupportedMediaType")
        assert "text/xml" in answer.json["message"]


async def test_a_write_that_could_not_be_stored_says_so_and_why() -> None:
    async with serving() as api:
        api.log.fail_writes(WriteFailed("disk full", "free space"))
        answer = await api.post(CONFIGMAPS, configmap("a"))
        assert answer.refusal == (503, "ServiceUnavailable")
        assert "disk full; free space" in answer.json["message"]
        assert answer.headers["Retry-After"] == "1"
        api.log.fail_writes(None)
        assert (await api.post(CONFIGMAPS, configmap("a"))).status == 201


async def test_copies_of_one_template_are_completed_and_owned_alike() -> None:
    async with serving() as api:
        first = (await api.post(PODS, pod("a", labels={"x": "1"}, hostname="h1", nodeName="n1"))).json
        second = (await api.post(PODS, pod("b", labels={"x": "2"}, hostname="h2"))).json
        third = (await api.post(PODS, pod("c", labels={"x": "3"}, restartPolicy="Never"))).json
    assert {**first["spec"], "hostname": "h2", "nodeName": ""} == {**second["spec"], "nodeName": ""}
    assert "nodeName" not in second["spec"]
    assert third["spec"]["restartPolicy"] == "Never"
    owned = [one["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] for one in (first, second, third)]
    assert owned[0].keys() - owned[1].keys() == {"f:nodeName"}
    assert owned[1].keys() - owned[2].keys() == {"f:hostname"}
    assert "f:terminationGracePeriodSeconds" in owned[1]
    assert "f:priority" not in owned[1], "what the server decides is nobody's"


async def test_a_copy_of_a_known_template_is_checked_where_it_differs() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a", hostname="h"))
        assert "spec.hostname" in (await api.post(PODS, pod("b", hostname=5))).json["message"]
        assert (await api.post(PODS, pod("B", hostname="h"))).wrong_fields == ["metadata.name"]
        answer = await api.post(PODS, {**pod("b"), "spce": {}})
        assert answer.warnings == ('unknown field "spce"',)


@pytest.mark.parametrize(("taken", "status"), [(7, 201), (8, 409)])
async def test_a_generated_name_that_is_taken_is_generated_again(
    taken: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as api:
        for number in range(taken):
            await api.post(CONFIGMAPS, configmap(f"run-{number}"))
        suffixes = iter(map(str, range(100)))
        monkeypatch.setattr(api.server.context, "name_suffix", lambda: next(suffixes))
        made = await api.post(CONFIGMAPS, {"metadata": {"generateName": "run-"}})
        assert made.status == status
        assert made.json["metadata"].get("name") == ("run-7" if status == 201 else None)
