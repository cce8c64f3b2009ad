"""Rendezvous ports: one for each live job, the same for the same job."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from springtide.training.ports import FIRST, LAST, choose


@given(st.lists(st.uuids(), max_size=50, unique=True))
def test_no_two_live_jobs_share_a_port(uids: list[object]) -> None:
    taken: set[int] = set()
    for uid in uids:
        port = choose(str(uid), taken.__contains__)
        assert FIRST <= port <= LAST
        assert port not in taken
        taken.add(port)


def test_the_same_job_gets_the_same_port() -> None:
    assert choose("a", lambda port: False) == choose("a", lambda port: False)


def test_with_every_port_taken_the_preferred_one_is_shared() -> None:
    assert choose("a", lambda port: True) == choose("a", lambda port: False)
