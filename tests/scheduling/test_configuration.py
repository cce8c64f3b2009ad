"""The scheduler's configuration as an object: followed while it runs, refused in words, never half."""

from __future__ import annotations

from typing import Any

import pytest

from springtide import scheduling, workloads
from springtide.api.configuration import SchedulerConfiguration
from springtide.api.core import Pod
from springtide.api.meta import Condition, find_condition
from springtide.api.struct import decode
from springtide.scheduling.configuration import Configuration, configured
from springtide.scheduling.defragmentation import Consolidation
from springtide.scheduling.patience import Patience
from springtide.scheduling.plan import Options
from springtide.scheduling.policies import PACKING
from springtide.scheduling.timing import KUEUE, Timing
from springtide.scheduling.usage import UsageSettings
from tests.builders import at, node, pod, pod_spec
from tests.embedded import Platform, embedded


def config(name: str = "default", **spec: Any) -> SchedulerConfiguration:
    meta = {"name": name, "uid": f"uid-{name}", "generation": 1}
    return decode(SchedulerConfiguration, {"metadata": meta, "spec": spec})


def test_what_is_not_set_stays_as_the_scheduler_was_started() -> None:
    started = Options(PACKING, minimum_run_seconds=5, timing=Timing(backfill=False))
    assert configured(started, config().spec) == started


def test_every_field_reaches_the_cycle() -> None:
    spec = config(
        policy="spread",
        ordering="shortest",
        victims="youngest",
        backfill={"enabled": False, "firmAfterSeconds": 60},
        minimumRunSeconds=120,
        nodeReplacementSeconds=0,
        fairSharing={"preemptionStrategies": ["LessThanInitialShare"]},
        admissionFairSharing={
            "usageHalfLifeTimeSeconds": 3600,
            "usageSamplingIntervalSeconds": 30,
            "resourceWeights": {"cpu": 0},
        },
        waitForPodsReady={"timeoutSeconds": 9, "requeuingStrategy": {"backoffLimitCount": 2}},
        consolidation={
            "movesPerHour": 3,
            "movesAtOnce": 2,
            "idleSeconds": 60,
            "minimumRunSeconds": 0,
            "intervalSeconds": 5,
        },
    ).spec
    found = configured(Options(), spec)
    assert (found.policy.name, found.victims.name, found.timing.ordering.name) == (
        "spread",
        "youngest",
        "shortest",
    )
    assert found.timing.usage == UsageSettings(3600, 30, {"cpu": 0})
    assert (found.timing.backfill, found.timing.firm_after_seconds) == (False, 60)
    assert (found.minimum_run_seconds, found.fair_strategies) == (120, ("LessThanInitialShare",))
    assert found.replacement_seconds == 0
    assert found.patience == Patience(timeout_seconds=9, backoff_limit_count=2)
    assert found.consolidation == Consolidation(3, 2, 60, 0, interval_seconds=5)


def test_nobody_is_moved_unless_it_is_asked_for() -> None:
    assert configured(Options(), config().spec).consolidation is None
    assert configured(Options(), config(consolidation={}).spec).consolidation == Consolidation()
    started = Options(consolidation=Consolidation())
    assert configured(started, config(consolidation={"enabled": False}).spec).consolidation is None


def condition(configuration: Configuration, name: str = "default") -> Condition:
    (told,) = [one for one in configuration.commands(at(0)) if getattr(one, "name", "") == name]
    obj = decode(SchedulerConfiguration, {"status": getattr(told, "fields", {})["status"]})
    found = find_condition(obj.status.conditions, "Accepted")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"ordering": "nonsense"}, "spec.ordering: ordering 'nonsense' is not registered; known: deadline"),
        ({"policy": "/tmp/x.py:MINE"}, "spec.policy is '/tmp/x.py:MINE': files and modules are not loaded"),
    ],
)
def test_one_that_cannot_be_followed_changes_nothing(spec: dict[str, str], says: str) -> None:
    configuration = Configuration(Options())
    good = config(policy="packing")
    assert configuration.change(None, good)
    assert not configuration.change(good, config(minimumRunSeconds=7, **spec))
    assert configuration.options == Options(PACKING), "nor what is right in it"
    told = condition(configuration)
    assert (told.status, told.reason) == ("False", "Invalid")
    assert told.message.startswith(says)
    assert told.message.endswith("The scheduler goes on as before")


def test_another_name_is_told_that_it_does_not_count() -> None:
    configuration = Configuration(Options())
    assert not configuration.change(None, config("mine", policy="packing"))
    assert condition(configuration, "mine").reason == "NotUsed"


def test_an_unknown_field_is_named() -> None:
    configuration = Configuration(Options())
    configuration.change(None, config(polciy="packing"))
    assert condition(configuration).message == "In effect, save for unknown fields: spec.polciy"


def test_without_it_everything_is_as_before() -> None:
    configuration = Configuration(Options())
    configuration.change(None, config(ordering="fifo"))
    assert configuration.change(config(ordering="fifo"), None)
    assert configuration.options.timing == KUEUE
    assert configuration.commands(at(0)) == []


async def _policy_of(platform: Platform, name: str) -> str:
    return (await platform.get(Pod, name)).spec.node_name


async def test_it_is_followed_while_the_scheduler_runs() -> None:
    async with embedded(scheduling.register, workloads.register) as platform:
        await platform.create(node("a", cpu=8), node("b", cpu=8), pod("first", pod_spec(cpu=1)))
        await platform.settle()
        there = await _policy_of(platform, "first")
        await platform.create(pod("second", pod_spec(cpu=1)))
        await platform.settle()
        assert await _policy_of(platform, "second") == there, "nodes in use are filled up"
        await platform.create(config(policy="spread"))
        await platform.settle()
        await platform.create(pod("third", pod_spec(cpu=1)))
        await platform.settle()
        assert await _policy_of(platform, "third") != there
        told = find_condition(
            (await platform.get(SchedulerConfiguration, "default", "")).status.conditions, "Accepted"
        )
        assert told is not None
        assert told.status == "True"
        before = platform.store.revision
        await platform.settle(120)
        assert platform.store.revision == before
