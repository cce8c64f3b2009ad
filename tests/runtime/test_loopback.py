"""Blocks of loopback addresses: one holder each, the same one for the same user, another if it must be."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Network

import pytest

from springtide.runtime.loopback import POD_BLOCKS, SERVICE_BLOCKS, BlockTaken, hold

OWN = tuple(IPv4Network(f"198.18.{os.getpid() % 200}.{8 * number}/29") for number in range(4))
"""Blocks that no platform of this machine wants while the tests run."""


def test_a_block_has_one_holder_at_a_time() -> None:
    first = hold(OWN, first=OWN[0])
    second = hold(OWN, first=OWN[0])
    try:
        assert first.block == OWN[0]
        assert second.block in OWN[1:]
    finally:
        second.close()
        first.close()
    again = hold(OWN, first=OWN[0])
    again.close()
    assert again.block == OWN[0]


def test_the_same_user_begins_its_search_at_the_same_block() -> None:
    found = []
    for user in ("/home/a/.springtide", "/home/a/.springtide"):
        held = hold(OWN, user=user)
        held.close()
        found.append(held.block)
    assert found[0] == found[1]


def test_users_spread_over_the_blocks() -> None:
    found = set()
    for number in range(40):
        held = hold(OWN, user=f"/home/{number}")
        held.close()
        found.add(held.block)
    assert found == set(OWN)


def test_none_left_is_said_with_what_to_do() -> None:
    held = [hold(OWN) for _ in OWN]
    try:
        assert {one.block for one in held} == set(OWN)
        with pytest.raises(BlockTaken, match="in use by other platforms or nodes") as caught:
            hold(OWN)
        assert "stop one" in caught.value.hint
        with pytest.raises(BlockTaken, match=str(OWN[2])):
            hold((), first=OWN[2])
    finally:
        for one in held:
            one.close()


@pytest.mark.realtime
def test_a_killed_holder_holds_nothing() -> None:
    program = (
        "import sys; from ipaddress import IPv4Network; from springtide.runtime.loopback import hold\n"
        f"held = hold((), first=IPv4Network('{OWN[3]}')); print(held.block, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline().strip() == str(OWN[3])
        with pytest.raises(BlockTaken):
            hold((), first=OWN[3])
    finally:
        child.kill()
        child.communicate()
    held = hold((), first=OWN[3])
    held.close()
    assert held.block == OWN[3]


def test_services_and_pods_never_want_the_same_addresses() -> None:
    everything = (*SERVICE_BLOCKS, *POD_BLOCKS)
    assert all(block.subnet_of(IPv4Network("127.0.0.0/8")) for block in everything)
    assert len(set(everything)) == len(everything)
    assert IPv4Network("127.0.0.0/16") not in everything
