"""Copies of one template are checked once; what is stored is what each of them said."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from springtide.server import pod_texts
from tests.server.serving import PODS, serving

Json = dict[str, Any]

_VARIABLES = st.lists(
    st.one_of(
        st.builds(
            lambda name, value: {"name": name, "value": value}, st.text(max_size=3), st.text(max_size=5)
        ),
        st.builds(
            lambda name: {"name": name, "valueFrom": {"fieldRef": {}}, "value": "kept"}, st.text(max_size=3)
        ),
        st.just({"name": "empty"}),
        st.just("no object"),
    ),
    max_size=4,
)
_CONTAINERS = st.lists(
    st.one_of(
        st.builds(lambda env: {"env": env}, _VARIABLES),
        st.builds(lambda args: {"args": args}, st.lists(st.text(max_size=3) | st.just(3), max_size=3)),
        st.just({}),
        st.just(3),
    ),
    max_size=3,
)


def pod(name: str, env: list[Json], **more: Any) -> Json:
    container = {"name": "main", "image": "x", "env": env, "args": ["--as", name, ""]}
    spec = {"containers": [container], "initContainers": [{**container, "name": "first"}], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@given(st.fixed_dictionaries({"containers": _CONTAINERS}, optional={"initContainers": _CONTAINERS}))
def test_taking_the_texts_out_and_putting_them_back_changes_nothing(spec: Json) -> None:
    shared, texts = pod_texts.without(spec)
    assert pod_texts.filled(shared, texts) == spec
    assert pod_texts.without(shared)[0] == shared


async def test_each_copy_keeps_its_own_values() -> None:
    async with serving() as served:
        for number in range(4):
            env = [
                {"name": "RANK", "value": str(number)},
                {"name": "NONE", "value": ""},
                {"name": "B", "value": "b"},
            ]
            made = await served.post(PODS, pod(f"p{number}", env, hostname=f"h{number}"))
            assert made.status == 201
            for listed in ("containers", "initContainers"):
                (container,) = made.json["spec"][listed]
                values = {one["name"]: one.get("value", "") for one in container["env"]}
                assert values == {"RANK": str(number), "NONE": "", "B": "b"}
                assert container["args"] == ["--as", f"p{number}", ""]
            assert made.json["spec"]["hostname"] == f"h{number}"
            stored = (await served.get(f"{PODS}/p{number}")).json
            assert stored["spec"] == made.json["spec"]
            assert len(stored["metadata"]["managedFields"]) == 1


async def test_a_copy_with_another_mistake_is_still_refused() -> None:
    async with serving() as served:
        good = [{"name": "RANK", "value": "0"}]
        assert (await served.post(PODS, pod("a", good))).status == 201
        bad = [{"name": "RANK", "value": "1"}, {"name": "1=wrong", "value": "x"}]
        assert (await served.post(PODS, pod("b", bad))).status == 422
        both = [{"name": "RANK", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        assert (await served.post(PODS, pod("c", both))).status == 422
