"""A plan's commands become calls; what changed since the snapshot is skipped, everything else raises."""

import pytest

from springtide.api.commands import Apply, Bind, Command, Create, Delete, Emit
from springtide.api.core import ConfigMap, Pod
from springtide.api.meta import ObjectMeta
from springtide.client import Client, Conflict, Invalid, NotFound, execute
from tests.client.fake_api import FakeApi, config_map, failing

NEW = ConfigMap(metadata=ObjectMeta(name="a", namespace="default"), data={"x": "1"})
FIELDS = {"data": {"x": "2"}}


async def test_a_plan_runs_in_order_and_returns_what_was_written() -> None:
    api = FakeApi()
    written = await execute(Client(api), [Create(NEW), Apply(ConfigMap, "default", "a", FIELDS)])
    assert [obj.metadata.resource_version for obj in written] == ["1", "2"]
    uid = written[-1].metadata.uid
    assert await execute(Client(api), [Delete(ConfigMap, "default", "a", uid)]) == []
    assert api.keys("configmaps") == set()


async def test_the_second_run_writes_nothing() -> None:
    api = FakeApi()
    stored = api.put("configmaps", config_map("a", x="1"))
    uid = stored["metadata"]["uid"]
    plan: list[Command] = [Create(NEW), Apply(ConfigMap, "default", "a", FIELDS, uid=uid)]
    await execute(Client(api), plan)
    version = api.version
    await execute(Client(api), plan)
    assert api.version == version


@pytest.mark.parametrize(
    "command",
    [
        Apply(ConfigMap, "default", "gone", FIELDS, uid="u1"),
        Apply(ConfigMap, "default", "gone", FIELDS, subresource="status", uid="u1"),
        Apply(ConfigMap, "default", "gone", FIELDS, subresource="status"),
        Apply(ConfigMap, "default", "replaced", FIELDS, uid="of-an-earlier-one"),
        Delete(ConfigMap, "default", "gone", "u1"),
        Delete(ConfigMap, "default", "replaced", "of-an-earlier-one"),
    ],
    ids=lambda command: (
        f"{type(command).__name__} {command.name} {command.subresource if isinstance(command, Apply) else ''}"
    ),
)
async def test_objects_that_are_gone_or_replaced_are_left_alone(command: Command) -> None:
    api = FakeApi()
    api.put("configmaps", config_map("replaced"))
    before = api.version
    assert await execute(Client(api), [command]) == []
    assert api.version == before


async def test_binding_a_pod_that_is_gone_or_bound_is_skipped() -> None:
    api = FakeApi()
    for answer in (failing(404, "NotFound"), failing(409, "Conflict")):
        api.script.append(answer)
        assert await execute(Client(api), [Bind("ns", "p", "u1", "n1")]) == []


@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        (Create(NEW), failing(422, "Invalid", "data: wrong"), Invalid),
        (Create(NEW), failing(404, "NotFound", "namespaces default not found"), NotFound),
        (Create(NEW), failing(409, "Conflict", "namespace is terminating"), Conflict),
        (Apply(ConfigMap, "default", "a", FIELDS), failing(409, "Conflict"), Conflict),
        (Apply(ConfigMap, "default", "a", FIELDS), failing(404, "NotFound"), NotFound),
    ],
)
async def test_real_failures_raise(command: Command, answer: object, error: type[Exception]) -> None:
    api = FakeApi()
    api.script.append(answer)  # type: ignore[arg-type]
    with pytest.raises(error):
        await execute(Client(api), [command])


async def test_events_go_to_the_recorder() -> None:
    emit = Emit(Pod(metadata=ObjectMeta(name="p", namespace="ns")), "Started", "it runs")
    heard = list[Emit]()
    await execute(Client(FakeApi()), [emit], record=heard.append)
    assert heard == [emit]
    with pytest.raises(ValueError, match=r"event Started: .* needs a recorder"):
        await execute(Client(FakeApi()), [emit])
