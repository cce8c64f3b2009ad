"""Policies by name: registered, a site's own file, or offered by an installed package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from springtide.scheduling.ordering import Ordering, find_ordering
from springtide.scheduling.plugins import Registry
from springtide.scheduling.policies import find_policy
from springtide.scheduling.victim_policies import find_victims

OWN = """
from springtide.scheduling.ordering import Ordering

NEWEST = Ordering("newest", lambda one: (0.0, -one.since, one.key))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that offers `newest`, and something that is no ordering."""
    (tmp_path / "site_orders.py").write_text(OWN + "\nNOTHING = 1\n")
    info = tmp_path / "site_orders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site-orders\nVersion: 1.0\n")
    offers = "[springtide.policies]\nnewest = site_orders:NEWEST\nnothing = site_orders:NOTHING\n"
    (info / "entry_points.txt").write_text(offers)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "site_orders", raising=False)
    return tmp_path


def test_an_installed_package_offers_policies_by_name(package: Path) -> None:
    orderings = Registry(Ordering, "ordering")
    assert orderings.find("newest").name == "newest"
    assert orderings.known() == ["newest"], "it is known from then on"


def test_what_a_package_offers_must_be_of_the_sort_that_is_asked_for(package: Path) -> None:
    with pytest.raises(ValueError, match="site_orders has no Ordering named 'NOTHING'"):
        Registry(Ordering, "ordering").find("nothing")


def test_a_file_of_ones_own_will_do(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    assert find_ordering(f"{tmp_path}/mine.py:NEWEST").name == "newest"


def test_a_name_is_taken_once() -> None:
    orderings = Registry(Ordering, "ordering")
    orderings.register(Ordering("mine", lambda one: (0.0, 0.0, one.key)))
    with pytest.raises(ValueError, match="'mine' is registered already; choose another name"):
        orderings.register(Ordering("mine", lambda one: (0.0, 0.0, one.key)))


@pytest.mark.parametrize(
    ("find", "known"),
    [(find_policy, "fragments"), (find_ordering, "shortest"), (find_victims, "least-lost-work")],
)
def test_an_unknown_name_is_answered_with_the_known_ones(find: object, known: str) -> None:
    assert callable(find)
    with pytest.raises(ValueError, match=rf"'nonsense' is not registered; known: .*{known}"):
        find("nonsense")
