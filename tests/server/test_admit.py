"""Admission: who is asked about which change, in which order."""

from __future__ import annotations

from typing import Any

from springtide.server.admit import CREATE, DELETE, Admission, Change, Plugin, refused
from springtide.server.context import Context
from springtide.server.request import ADMIN
from tests.server.serving import CONFIGMAPS, PODS, configmap, serving

Json = dict[str, Any]


class Diary(Plugin):
    """Notes what it is asked."""

    operations = (CREATE, DELETE)

    def __init__(self, name: str, notes: list[str], resources: frozenset[str] | None = None) -> None:
        self.name, self.notes, self.resources = name, notes, resources

    def admit(self, change: Change, context: Context) -> None:
        self.notes.append(f"{self.name} fills in {change.name}")

    def validate(self, change: Change, context: Context) -> None:
        self.notes.append(f"{self.name} looks at {change.operation} {change.name}")

    def accepted(self, resource: str, obj: Json, context: Context, *, deleted: bool) -> None:
        self.notes.append(f"{self.name} hears of {obj['metadata']['name']}{' going' if deleted else ''}")


async def test_plugins_fill_in_first_then_look_then_hear() -> None:
    notes: list[str] = []
    async with serving() as api:
        api.server.context.admission = Admission([Diary("one", notes), Diary("two", notes)])
        await api.post(CONFIGMAPS, configmap("a"))
        await api.delete(f"{CONFIGMAPS}/a")
    assert notes == [
        "one fills in a",
        "two fills in a",
        "one looks at CREATE a",
        "two looks at CREATE a",
        "one hears of a",
        "two hears of a",
        "one looks at DELETE a",
        "two looks at DELETE a",
        "one hears of a going",
        "two hears of a going",
    ]


async def test_a_plugin_is_not_asked_about_other_kinds() -> None:
    notes: list[str] = []
    async with serving() as api:
        api.server.context.admission = Admission([Diary("pods", notes, frozenset({"pods"}))])
        await api.post(CONFIGMAPS, configmap("a"))
    assert notes == []


async def test_a_dry_run_is_not_accepted() -> None:
    notes: list[str] = []
    async with serving() as api:
        api.server.context.admission = Admission([Diary("one", notes)])
        await api.post(CONFIGMAPS, configmap("a"), dryRun="All")
    assert notes == ["one fills in a", "one looks at CREATE a"]


async def test_a_refusal_names_what_is_refused() -> None:
    async with serving() as api:
        kind = api.server.context.kinds.find("apps", "v1", "deployments")
        assert kind is not None
        change = Change(CREATE, kind, "", "default", "web", {}, None, ADMIN, False)
        error = refused(change, "it may not be")
        assert error.message == 'deployments.apps "web" is forbidden: it may not be'


async def test_pods_of_one_template_keep_what_is_filled_in_apart() -> None:
    """The copies share parts of their spec; what a plug-in adds to one must not be found in another."""
    ranges = "/api/v1/namespaces/default/limitranges"
    item = {"type": "Container", "default": {"cpu": "1"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    async with serving() as api:
        await api.post(PODS, {**pod, "metadata": {"name": "before"}})
        await api.post(
            ranges,
            {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": {"name": "l"},
                "spec": {"limits": [item]},
            },
        )
        within = (await api.post(PODS, {**pod, "metadata": {"name": "within"}})).json
        assert within["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1"}
        await api.delete(f"{ranges}/l")
        after = (await api.post(PODS, {**pod, "metadata": {"name": "after"}})).json
        assert after["spec"]["containers"][0]["resources"] == {}
