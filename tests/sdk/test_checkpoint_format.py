"""The format, by properties: what is saved comes back bit for bit, and no changed byte is ever believed."""

from __future__ import annotations

import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from springtide.sdk.checkpoint import arrays as known
from springtide.sdk.checkpoint import layout, sharing, tree
from springtide.sdk.checkpoint.copying import Copier
from springtide.sdk.checkpoint.layout import DamagedError, Manifest, Piece, Stored
from springtide.sdk.checkpoint.loading import Loader
from springtide.sdk.checkpoint.persist import Order, seal
from springtide.sdk.checkpoint.reading import Candidate, Part
from springtide.sdk.checkpoint.slots import Slots
from tests.sdk.states import same

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "float8_e4m3fn",
]


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """Tensors of every dtype: 0-d, empty, transposed, strided and expanded ones, too."""
    shape = draw(st.lists(st.integers(0, 5), max_size=3))
    whole = torch.arange(math.prod(shape), dtype=torch.int64).reshape(shape) + draw(st.integers(0, 100))
    tensor = whole.to(getattr(torch, draw(st.sampled_from(DTYPES))))
    look = draw(st.sampled_from(["as it is", "transposed", "strided", "expanded", "conjugate"]))
    if look == "transposed" and tensor.ndim >= 2:
        return tensor.transpose(0, 1)
    if look == "strided" and tensor.ndim >= 1:
        return tensor[::2]
    if look == "expanded":
        return tensor.unsqueeze(0).expand(3, *tensor.shape)
    return tensor.conj() if look == "conjugate" else tensor


NUMBERS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text() | st.complex_numbers()
)
LEAVES = (
    NUMBERS
    | st.binary(max_size=40)
    | tensors()
    | arrays.arrays(
        st.sampled_from(["<i4", ">f8", "bool", "<U3", "<M8[s]", "complex128"]),
        arrays.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4),
    )
)
KEYS = st.text() | st.binary() | st.integers() | st.booleans() | st.tuples(st.integers(), st.text())
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


def write(root: Path, state: Any, step: int = 7) -> Manifest:
    """Save as `Checkpointer` does, without its processes."""
    flat = tree.flatten(state)
    stowed = sharing.stows(flat.leaves, flat.local, sharing.Place(0, 1, (0,)))
    places, own, size = sharing.offsets(stowed)
    pieces: dict[str, list[Piece]] = {name: [] for name in flat.leaves}
    for stow, at in zip(stowed, places, strict=True):
        pieces[stow.name].append(Piece(at, stow.bytes, stow.start, stow.size))
    stored = {
        name: Stored(leaf.dtype, leaf.shape, tuple(pieces[name]), name in flat.local)
        for name, leaf in flat.leaves.items()
    }
    manifest = Manifest(step, 0, 1, (0,), "000001-a", 0.0, size, own, stored, flat.tree)
    slot = Slots(root, 0, Copier(1)).write(None, step, stowed, places, size)
    layout.put(slot.folder / layout.DRAFT, layout.sealed(manifest.body()), durable=False)
    slot.close()
    return seal(Order(slot.folder, "", 1, 0))


def read(root: Path, like: Any = None, step: int = 7) -> Any:
    path = layout.part(root, step, 0) / layout.MANIFEST
    manifest = Manifest.of(layout.unsealed(path.read_bytes(), path))
    loader = Loader(Candidate((1, step, "a"), 1, "memory", {0: Part(path.parent, manifest)}), 0)
    node = manifest.tree["state"]
    tree.Rebuild(loader.plan, same_world=True).of(node, like, "")
    loader.fill(Copier(1))
    return tree.Rebuild(loader.give, same_world=True).of(node, like, "")


@settings(max_examples=150)
@given(state=STATES)
def test_what_is_saved_comes_back(state: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    write(root, state)
    assert same(read(root), state)


@settings(max_examples=60)
@given(state=st.dictionaries(st.text(), tensors(), max_size=4))
def test_it_comes_back_into_the_programs_own_tensors(
    state: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    write(root, state)
    own = {key: torch.zeros_like(one) for key, one in state.items()}
    back = read(root, own)
    assert same(back, state)
    assert all(back[key] is own[key] for key in own)


def test_views_that_are_the_same_are_stored_once_and_others_each(tmp_path: Path) -> None:
    weight = torch.arange(1000.0)
    state = {"embedding": weight, "head": weight, "slice": weight[10:20]}
    manifest = write(tmp_path, state)
    assert sorted(manifest.tensors) == ["embedding", "slice"]
    back = read(tmp_path)
    assert back["head"] is back["embedding"], "tied they were, tied they are"
    assert same(back, state)


def test_names_that_look_alike_are_kept_apart(tmp_path: Path) -> None:
    state = {"a.b": torch.ones(1), "a": {"b": torch.zeros(2)}}
    write(tmp_path, state)
    assert same(read(tmp_path), state)


FIELDS = st.fixed_dictionaries(
    {"step": st.integers(0), "session": st.text(), "tree": st.recursive(st.none() | st.text(), st.lists)}
)


@given(body=FIELDS, data=st.data())
def test_no_changed_byte_of_a_sealed_line_is_believed(body: dict[str, Any], data: st.DataObject) -> None:
    line = layout.sealed(body)
    assert layout.unsealed(line, "manifest") == body
    at = data.draw(st.integers(0, len(line) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = line[:at] + bytes([line[at] ^ (1 << bit)]) + line[at + 1 :]
    with pytest.raises(DamagedError):
        layout.unsealed(flipped, "manifest")
    with pytest.raises(DamagedError):
        layout.unsealed(line[:at], "manifest")


PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "checkpoints.md"


def test_the_page_about_the_format_says_how_to_check_a_part(tmp_path: Path) -> None:
    """Its program is run here: who copies checkpoints relies on it."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(code) == 1
    names: dict[str, Any] = {}
    exec(code[0], names)
    write(tmp_path, {"weight": torch.arange(5_000_000.0)})
    part = layout.part(tmp_path, 7, 0)
    body = names["check"](part)
    assert body == json.loads((part / "manifest.json").read_text())["body"]
    with (part / "data.bin").open("r+b") as file:
        file.seek(12_345_678)
        file.write(b"\xff")
    with pytest.raises(ValueError, match="chunk 1 is damaged"):
        names["check"](part)


def test_the_checksum_is_the_one_everybody_has() -> None:
    line = layout.sealed({"step": 1})
    assert layout.checksum_of(line) == f"{zlib.crc32(line[-12:-2]):08x}"
    assert line[-12:-2] == b'{"step":1}'


@pytest.mark.parametrize(
    ("size", "shape", "row"),
    [
        ((), (), True),
        ((3,), (5,), True),
        ((2, 4), (5, 4), True),
        ((1, 2), (5, 4), True),
        ((2, 2), (5, 4), False),
        ((1, 2, 4), (5, 3, 4), True),
        ((2, 1, 4), (5, 3, 4), False),
    ],
)
def test_which_boxes_lie_in_a_row(size: tuple[int, ...], shape: tuple[int, ...], row: bool) -> None:
    assert known.is_row(size, shape) is row
    flat = numpy.arange(math.prod(shape)).reshape(shape)[tuple(slice(one) for one in size)].ravel()
    assert (flat.size == 0 or numpy.array_equal(flat, numpy.arange(flat.size))) is row


WORLDS = [(1, 1), (2, 1), (2, 2), (4, 2), (6, 3), (5, 2)]


@pytest.mark.parametrize(("world", "each"), WORLDS)
def test_every_node_holds_the_whole_and_storage_gets_it_once(world: int, each: int) -> None:
    leaves = {
        "large": known.Leaf("numpy", "float32", (40, 1 << 20), numpy.zeros((40, 1))),
        "small": known.Leaf("numpy", "float32", (10,), numpy.zeros(10)),
        "scalar": known.Leaf("numpy", "int64", (), numpy.zeros(())),
    }
    total = sum(leaf.bytes for leaf in leaves.values())
    durable = 0
    in_memory: dict[int, int] = {}
    for rank in range(world):
        node = rank // each
        place = sharing.Place(rank, world, tuple(range(node * each, min((node + 1) * each, world))))
        stowed = sharing.stows(leaves, set(), place)
        assert [one.own for one in stowed] == sorted((one.own for one in stowed), reverse=True)
        durable += sum(one.bytes for one in stowed if one.own)
        in_memory[node] = in_memory.get(node, 0) + sum(one.bytes for one in stowed)
    assert durable == total
    assert all(held >= total for held in in_memory.values())
    if world % each == 0:
        assert set(in_memory.values()) == {total}
