"""Trees as JAX programs have them: arrays that know their shards, in named tuples.

JAX itself is played by a few lines with the names and meanings of its public interface, so that these run
where it is not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy
import pytest

from springtide import sdk
from springtide.sdk.checkpoint import arrays, sharing, tree

pytestmark = pytest.mark.realtime


@dataclass(frozen=True)
class Shard:
    index: tuple[slice, ...]
    data: Any
    replica_id: int


class Array:
    """An array that cannot be written into, in one piece or in rows over two processes."""

    def __init__(self, value: Any, rows: slice | None = None) -> None:
        self._value = numpy.asarray(value)
        self._rows = rows
        self.shape, self.dtype, self.sharding = self._value.shape, self._value.dtype, rows
        self.is_fully_addressable = rows is None

    @property
    def addressable_shards(self) -> list[Shard]:
        rows = self._rows or slice(None)
        index = (rows, *(slice(None),) * (len(self.shape) - 1))[: len(self.shape)]
        return [Shard(index, self._value[index], 0)]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        assert self.is_fully_addressable, "as with JAX: another process has the rest"
        return self._value


class Moments(NamedTuple):
    steps: int
    mean: Any


@pytest.fixture
def jax(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(shape: Any, sharding: Any, data: Callable[[Any], Any]) -> Array:
        index = (sharding or slice(None), *(slice(None),) * (len(shape) - 1))[: len(shape)]
        whole = numpy.zeros(shape, data(index).dtype)
        whole[index] = data(index)
        return Array(whole, sharding)

    module = ModuleType("jax")
    module.__dict__.update(Array=Array, make_array_from_callback=made)
    monkeypatch.setitem(sys.modules, "jax", module)


def test_a_tree_comes_back_as_the_arrays_and_tuples_it_was(jax: None, tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "params": {"w": Array(numpy.arange(6.0).reshape(2, 3))},
        "moments": Moments(3, Array(numpy.ones(2))),
    }
    like: dict[str, Any] = {
        "params": {"w": Array(numpy.zeros((2, 3)))},
        "moments": Moments(0, Array(numpy.zeros(2))),
    }
    with sdk.Checkpointer(tmp_path / "disk", memory=tmp_path / "memory") as checkpoints:
        checkpoints.save(1, state)
        checkpoints.wait()
        back, _ = checkpoints.restore(like=like)
        plain, _ = checkpoints.restore()
    assert isinstance(back["params"]["w"], Array)
    assert numpy.array_equal(back["params"]["w"], state["params"]["w"])
    assert isinstance(back["moments"], Moments)
    assert back["moments"].steps == 3
    assert numpy.array_equal(plain["params"]["w"], state["params"]["w"])
    assert plain["moments"][0] == 3


def test_each_process_stores_the_shards_it_can_address(jax: None) -> None:
    value = numpy.arange(12.0).reshape(4, 3)
    held = []
    for rank, rows in enumerate((slice(0, 2), slice(2, 4))):
        flat = tree.flatten({"w": Array(value, rows)})
        (stow,) = sharing.stows(flat.leaves, flat.local, sharing.Place(rank, 2, (rank,)))
        assert flat.leaves["w"] == arrays.Leaf(
            "jax", "float64", (4, 3), flat.leaves["w"].array, flat.leaves["w"].shares
        )
        assert numpy.array_equal(stow.array, value[rows])
        held.append((stow.start, stow.size))
    assert held == [((0, 0), (2, 3)), ((2, 0), (2, 3))]


def test_text_numbers_and_generators_of_a_program_without_pytorch(tmp_path: Path) -> None:
    state: dict[Any, Any] = {
        "rate": numpy.float32(0.5),
        "names": ("a", "b"),
        7: {1, 2},
        "keys": {(1, "x"): b"y"},
    }
    with sdk.Checkpointer(tmp_path / "disk", memory=tmp_path / "memory") as checkpoints:
        checkpoints.save(1, state)
        checkpoints.wait()
        back, _ = checkpoints.restore()
    assert back == state
    assert type(back["rate"]) is numpy.float32
