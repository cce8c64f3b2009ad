"""GET of objects and collections: consistency, pages, selectors, forms."""

from __future__ import annotations

import pytest

from springtide.store import History
from tests.server.serving import (
    CONFIGMAPS,
    CRDS,
    GADGETS,
    METADATA,
    PODS,
    TABLE,
    Api,
    configmap,
    gadget,
    gadget_crd,
    pod,
    serving,
)


async def fill(api: Api, count: int) -> None:
    for number in range(count):
        await api.post(CONFIGMAPS, configmap(f"c{number:02}"))


async def test_get_answers_the_stored_object_or_404() -> None:
    async with serving() as api:
        created = await api.post(CONFIGMAPS, configmap("a", x="1"))
        assert (await api.get(f"{CONFIGMAPS}/a")).json == created.json
        missing = await api.get(f"{CONFIGMAPS}/b")
    assert missing.refusal == (404, "NotFound")
    assert missing.json["details"] == {"name": "b", "kind": "configmaps"}


async def test_a_list_is_sorted_and_has_a_version() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("b"))
        await api.post(CONFIGMAPS, configmap("a"))
        listed = await api.get(CONFIGMAPS)
    assert (listed.json["kind"], listed.names) == ("ConfigMapList", ["a", "b"])
    assert listed.version == str(api.store.revision)


async def test_all_pages_together_are_the_collection_at_one_moment() -> None:
    async with serving() as api:
        await fill(api, 7)
        first = await api.get(CONFIGMAPS, limit="3")
        assert first.json["metadata"]["remainingItemCount"] == 4
        await api.post(CONFIGMAPS, configmap("c03-later"))
        await api.delete(f"{CONFIGMAPS}/c05")
        names, page = first.names, first
        while token := page.json["metadata"].get("continue"):
            page = await api.get(CONFIGMAPS, limit="3", **{"continue": token})
            assert page.version == first.version
            names += page.names
    assert names == [f"c{number:02}" for number in range(7)]


async def test_a_page_that_compaction_overtook_says_to_start_again() -> None:
    async with serving() as api:
        await fill(api, 4)
        token = (await api.get(CONFIGMAPS, limit="2")).json["metadata"]["continue"]
        await fill(api, 0)
        await api.post(CONFIGMAPS, configmap("x"))
        await api.post(CONFIGMAPS, configmap("y"))
        api.store.compact(api.store.revision - 1)
        answer = await api.get(CONFIGMAPS, limit="2", **{"continue": token})
    assert answer.refusal == (410, "Expired")


async def test_an_exact_version_shows_that_moment() -> None:
    async with serving() as api:
        then = (await api.post(CONFIGMAPS, configmap("a"))).version
        await api.post(CONFIGMAPS, configmap("b"))
        old = await api.get(CONFIGMAPS, resourceVersion=then, resourceVersionMatch="Exact")
        assert (old.names, old.version) == (["a"], then)
        new = await api.get(CONFIGMAPS, resourceVersion=then, resourceVersionMatch="NotOlderThan")
        assert new.names == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"limit": "x"}, "limit"),
        ({"resourceVersion": "x"}, "resourceVersion"),
        ({"continue": "nonsense"}, "continue"),
        ({"labelSelector": "a=(b"}, "selector"),
        ({"fieldSelector": "spec.color=red"}, "spec.color"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_by_name(query: dict[str, str], says: str) -> None:
    async with serving() as api:
        answer = await api.get(CONFIGMAPS, **query)
    assert answer.refusal == (400, "BadRequest")
    assert says in answer.json["message"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"labelSelector": "app=web"}, ["a", "b"]),
        ({"labelSelector": "app in (web, db),tier!=x"}, ["b", "c"]),
        ({"labelSelector": "!tier"}, ["b", "c"]),
        ({"fieldSelector": "metadata.name=b"}, ["b"]),
        ({"fieldSelector": "spec.nodeName=n1"}, ["a"]),
        ({"fieldSelector": "spec.nodeName!=n1,status.phase=Pending"}, ["b", "c"]),
        ({"fieldSelector": "metadata.namespace=other"}, []),
        ({"labelSelector": "app=web", "limit": "1"}, ["a"]),
    ],
)
async def test_selectors_choose(query: dict[str, str], names: list[str]) -> None:
    async with serving() as api:
        await api.post(PODS, pod("a", labels={"app": "web", "tier": "x"}, nodeName="n1"))
        await api.post(PODS, pod("b", labels={"app": "web"}))
        await api.post(PODS, pod("c", labels={"app": "db"}))
        assert (await api.get(PODS, **query)).names == names
        assert (await api.get("/api/v1/pods", **query)).names == names


async def test_kubectl_gets_tables_and_metadata_clients_get_metadata() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        table = (await api.ask("GET", PODS, accept=TABLE)).json
        assert (table["kind"], table["rows"][0]["cells"][:3]) == ("Table", ["a", "0/1", "Pending"])
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        whole = (await api.ask("GET", PODS, accept=TABLE, query={"includeObject": "Object"})).json
        assert whole["rows"][0]["object"]["kind"] == "Pod"
        one = (await api.ask("GET", f"{PODS}/a", accept=TABLE)).json
        assert one["rows"][0]["cells"][0] == "a"
        partial = (await api.ask("GET", PODS, accept=METADATA)).json
        assert partial["kind"] == "PartialObjectMetadataList"
        assert partial["items"][0].keys() == {"kind", "apiVersion", "metadata"}
        refused = await api.ask("GET", PODS, accept="application/vnd.kubernetes.protobuf")
        assert refused.refusal == (406, "NotAcceptable")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/namespaces/default/widgets", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/pods/a", 404),
        ("GET", "/nowhere", 404),
        ("GET", f"{PODS}/a/shell", 404),
        ("POST", f"{PODS}/a", 405),
        ("PUT", PODS, 405),
        ("POST", "/version", 405),
    ],
)
async def test_a_path_or_method_that_is_not_there(method: str, path: str, status: int) -> None:
    async with serving() as api:
        answer = await api.ask(method, path, {} if method != "GET" else None)
    assert answer.status == status
    assert answer.json["kind"] == "Status"


async def test_history_limits_hold_in_the_server_too() -> None:
    async with serving(history=History(revisions=10)) as api:
        await fill(api, 40)
        assert api.store.compacted > 20
        assert len((await api.get(CONFIGMAPS)).names) == 40


async def test_fields_that_become_selectable_later_are_found_in_objects_that_were_selected_before() -> None:
    async with serving() as api:
        definition = gadget_crd()
        version = definition["spec"]["versions"][0]
        fields = version.pop("selectableFields")
        assert (await api.post(CRDS, definition)).status == 201
        assert (await api.post(GADGETS, gadget("a", color="red"))).status == 201
        assert (await api.get(GADGETS, fieldSelector="metadata.name=a")).names == ["a"]
        change = {"spec": {"versions": [{**version, "selectableFields": fields}]}}
        assert (await api.patch(f"{CRDS}/gadgets.example.dev", change)).status == 200
        assert (await api.get(GADGETS, fieldSelector="spec.color=red")).names == ["a"]


async def test_both_forms_of_events_are_selected_by_their_own_fields() -> None:
    async with serving() as api:
        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        event = {"metadata": {"name": "e"}, "involvedObject": about, "source": {"component": "me"}}
        events = "namespaces/default/events"
        assert (await api.post(f"/api/v1/{events}", event)).status == 201
        later = await api.get(f"/apis/events.k8s.io/v1/{events}", fieldSelector="regarding.name=p")
        assert later.names == ["e"]
        assert (await api.get(f"/api/v1/{events}", fieldSelector="source=me")).names == ["e"]
