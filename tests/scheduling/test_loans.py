"""What would be called in at once is not lent; and who goes first of those who are equal."""

from __future__ import annotations

from springtide.api.commands import Apply
from springtide.api.kueue import Workload
from springtide.api.labels import HOSTNAME
from springtide.api.struct import replace
from springtide.scheduling.loans import is_last, with_last
from tests.builders import evicted, node, pod_set, pod_spec, with_condition
from tests.scheduling.preemption import ANY, LOWER, end_pods, job, key, preempted, queue, running
from tests.scheduling.world import World

COHORT = "all"


def lending(*nodes: int) -> World:
    """Queue `lends` has 4 CPUs and may take them back, `lent` has 2 and borrows."""
    world = World(*(node(f"n{number}", cpu=cpu) for number, cpu in enumerate(nodes)), queues=False)
    world.add(*queue("lends", 4, reclaim=ANY, cohort=COHORT), *queue("lent", 2, cohort=COHORT))
    return world


def on(name: str, where: str, to: str, *, created: float = 0, priority: int = 0) -> Workload:
    """A workload of 2 CPUs that runs on one node alone."""
    sets = [pod_set(1, pod_spec(cpu=2, selector={HOSTNAME: where}))]
    return job(name, queue=to, created=created, priority=priority, sets=sets)


def test_who_stands_behind_a_borrower_is_not_passed_by_a_loan_it_would_call_in() -> None:
    """`mine` asks for what belongs to its queue, but stands behind `giant`, which never fits."""
    world = lending(2, 2)
    world.add(
        job("own", 2, queue="lent"),
        job("loan", 2, queue="lent", created=1),
        job("giant", 5, queue="lends", created=2),
        job("mine", 2, queue="lends", created=3),
    )
    world.cycle()
    assert {name for name in ("own", "loan", "giant", "mine") if world.is_admitted(key(name))} == {
        "own",
        "mine",
    }
    assert world.cycle().commands == ()


def test_where_there_is_room_for_both_the_loan_is_given() -> None:
    world = lending(2, 2, 2)
    world.add(job("own", 2, queue="lent"), job("loan", 2, queue="lent", created=1))
    world.add(job("giant", 5, queue="lends", created=2), job("mine", 2, queue="lends", created=3))
    world.cycle()
    assert all(world.is_admitted(key(name)) for name in ("own", "loan", "mine"))


def test_a_loan_that_exposes_who_ran_before_is_given_and_called_in_by_one_plan() -> None:
    """Of its queue the less important goes, as in Kueue: not a cycle later, as if nobody had known."""
    world = lending(2, 2)
    running(world, on("old", "n0", "lent"))
    world.add(on("high", "n1", "lent", created=2, priority=10), on("asks", "n0", "lends", created=1))
    world.cycle()
    assert world.is_admitted(key("high"))
    assert preempted(world) == {"old"}
    assert world.condition(key("asks")).reason == "WaitingForPreemptedWorkloads"
    end_pods(world)
    world.cycle()
    assert world.is_admitted(key("asks"))


def test_of_equals_who_stands_further_back_is_the_loan_and_who_came_first_stays() -> None:
    """Both started in one second; only the place of the first would help, and it is within its quota."""
    world = lending(2, 2)
    world.add(on("z-first", "n0", "lent"), on("a-second", "n1", "lent", created=1))
    world.add(on("asks", "n0", "lends", created=2))
    world.cycle()
    assert world.is_admitted(key("z-first"))
    assert world.is_admitted(key("a-second"))
    assert world.cycle().commands == ()


def test_the_newer_of_two_equals_goes() -> None:
    world = lending(2, 2)
    world.add(job("a-first", 2, queue="lent"), job("b-second", 2, queue="lent", created=1))
    world.cycle()
    world.start_pods(key("a-first"))
    world.start_pods(key("b-second"))
    world.add(job("asks", 2, queue="lends", created=2))
    world.cycle()
    assert preempted(world) == {"b-second"}


def test_who_is_made_to_go_is_told_that_alone_though_its_places_were_found_anew() -> None:
    """A gang that lost a node has new places, and in the same cycle somebody more important needs them."""
    world = World(*(node(f"n{number}", cpu=2) for number in range(3)), queues=False)
    world.add(*queue("q", 4, within=LOWER))
    running(world, job("gang", 2, pods=2))
    (lost,) = {"n0", "n1"} & {*list(world.placement(key("gang"))["node"])[:1]}
    world.add(node(lost, cpu=2, ready=False), evicted(world.workload(key("gang"))))
    world.cycle()
    world.remove(*[one for one in world.objects.values() if one.kind == "Pod"])
    over = with_condition(world.workload(key("gang")), "PodsReady", "False", reason="NotAdmitted")
    world.add(with_condition(over, "Evicted", "False", reason="Requeued"))
    world.add(job("high", 2, pods=2, priority=10, created=1))
    decided = world.cycle()
    said = [one for one in decided.commands if isinstance(one, Apply) and one.name == "gang"]
    assert len(said) == 1
    assert not world.is_admitted(key("gang"))
    world.cycle()
    assert world.is_admitted(key("high"))


def test_from_the_first_victim_on_a_queue_stands_last() -> None:
    last = with_last({"q": (0, 5)}, [("q", (0, 3)), ("q", (0, 4)), ("other", (0, 9))])
    assert last == {"q": (0, 3), "other": (0, 9)}
    assert is_last(last, "q", (0, 3))
    assert is_last(last, "q", (0, 7))
    assert not is_last(last, "q", (0, 2))
    assert not is_last(last, "unknown", (0, 9))


def test_a_queue_that_takes_nothing_back_changes_nothing() -> None:
    world = lending(2, 2)
    world.add(*(replace(one) for one in queue("lends", 4, cohort=COHORT)))
    world.add(job("own", 2, queue="lent"), job("loan", 2, queue="lent", created=1))
    world.add(job("giant", 5, queue="lends", created=2), job("mine", 2, queue="lends", created=3))
    world.cycle()
    assert world.is_admitted(key("loan"))
    assert not world.is_admitted(key("mine"))
