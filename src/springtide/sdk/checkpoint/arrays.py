"""What tensors of PyTorch, numpy and JAX have in common: the only file of a save that touches them.

Called by `tree` (what is this leaf?), `slots` (where are its bytes?) and `reading` (put bytes into it). A
library is used only if the program has imported it, or if what is restored needs it. JAX is never imported:
its arrays are numpy arrays to whoever asks for `__array__`.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from springtide.sdk.checkpoint.copying import Move
from springtide.sdk.checkpoint.layout import CheckpointError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """The box of a tensor that this process holds.

    `replica`: another process holds the same and makes it durable.
    """

    start: Shape
    size: Shape
    array: Any
    replica: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """An array of the state: `kind` is torch, numpy, jax or bytes; `shares` where each process holds but a
    part.
    """

    kind: str
    dtype: str
    shape: Shape
    array: Any
    shares: tuple[Share, ...] | None = None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * item_bytes(self.dtype)


def loaded(name: str) -> Any:
    """A library if the program has imported it, else None."""
    return sys.modules.get(name)


def kind_of(value: object) -> str | None:
    """torch, numpy, jax or bytes; None for what is not an array."""
    if isinstance(value, bytes | bytearray):
        return "bytes"
    torch = loaded("torch")
    if torch is not None and (isinstance(value, torch.Tensor) or _is_sharded_tensor(value)):
        return "torch"
    numpy = loaded("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return "numpy"
    jax = loaded("jax")
    if jax is not None and isinstance(value, jax.Array):
        return "jax"
    return None


def leaf_of(value: Any, kind: str, where: str) -> Leaf:
    """Raises CheckpointError for arrays whose bytes say nothing: object arrays, sparse and meta tensors."""
    if kind == "bytes":
        return Leaf("bytes", "uint8", (len(value),), value)
    if kind == "torch":
        return _torch_leaf(value, where)
    if kind == "jax" and not value.is_fully_addressable:
        return _jax_spread(value)
    import numpy

    array = numpy.asarray(value)
    if array.dtype.hasobject or array.dtype.names is not None:
        raise CheckpointError(
            f"{where} is a numpy array of {array.dtype}: only arrays of plain numbers, text and times"
        )
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return Leaf(kind, _numpy_name(array.dtype), tuple(array.shape), array)


def _numpy_name(dtype: Any) -> str:
    """`float32` as in PyTorch; numpy's own code (`<U5`, `<M8[ns]`) for what only numpy has."""
    plain = dtype.kind in "biufc" or dtype.type.__module__.startswith("ml_dtypes")
    return str(dtype.name if plain else dtype.str)


def _torch_leaf(value: Any, where: str) -> Leaf:
    import torch

    if _is_sharded_tensor(value):
        return _sharded_tensor_leaf(value)
    tensor = value.detach()
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        kind = "a meta tensor" if tensor.is_meta else f"a tensor of layout {tensor.layout}"
        raise CheckpointError(f"{where} is {kind}: only dense tensors have bytes to save")
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = tuple(tensor.shape)
    if (sharded := _placed(value, where)) is not None:
        start, size, replica, inner = sharded
        shares = (Share(start, size, inner, replica),) if math.prod(size) else ()
        return Leaf("torch", dtype, shape, value, shares)
    return Leaf("torch", dtype, shape, tensor.resolve_conj().resolve_neg())


def _is_sharded_tensor(value: object) -> bool:
    module = loaded("torch.distributed._shard.sharded_tensor")
    return module is not None and isinstance(value, module.ShardedTensor)


def _sharded_tensor_leaf(value: Any) -> Leaf:
    """FSDP1's sharded state dicts: each rank has blocks of rows."""
    shares = tuple(
        Share(tuple(one.metadata.shard_offsets), tuple(one.metadata.shard_sizes), one.tensor.detach())
        for one in value.local_shards()
    )
    meta = value.metadata()
    return Leaf(
        "torch", str(meta.tensor_properties.dtype).removeprefix("torch."), tuple(meta.size), value, shares
    )


def _placed(value: Any, where: str) -> tuple[Shape, Shape, bool, Any] | None:
    """Of a DTensor: where its local box starts, its size, whether it is a copy, and the local tensor."""
    module = loaded("torch.distributed.tensor")
    if module is None or not isinstance(value, module.DTensor):
        return None
    if any(one.is_partial() for one in value.placements):
        raise CheckpointError(
            f"{where} is a DTensor whose sum is still to be made (Partial): redistribute it first"
        )
    shapes = import_module("torch.distributed.tensor._utils")
    size, start = shapes.compute_local_shape_and_global_offset(
        value.shape, value.device_mesh, value.placements
    )
    coordinate = value.device_mesh.get_coordinate() or [0] * value.device_mesh.ndim
    replica = any(one.is_replicate() and at for one, at in zip(value.placements, coordinate, strict=True))
    return tuple(start), tuple(size), replica, value.to_local().detach()


def _jax_spread(value: Any) -> Leaf:
    """A JAX array over several processes: the shards this one can address."""
    import numpy

    shares = []
    for shard in value.addressable_shards:
        start = tuple(index.start or 0 for index in shard.index)
        data = numpy.asarray(shard.data)
        shares.append(Share(start, tuple(data.shape), data, shard.replica_id != 0))
    return Leaf("jax", _numpy_name(value.dtype), tuple(value.shape), value, tuple(shares))


def item_bytes(dtype: str) -> int:
    """Bytes of one element."""
    if dtype in _ITEM_BYTES:
        return _ITEM_BYTES[dtype]
    torch = loaded("torch")
    if torch is not None and hasattr(torch, dtype):
        return int(getattr(torch, dtype).itemsize)
    return int(numpy_dtype(dtype).itemsize)


_ITEM_BYTES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "float32": 4,
}
_ITEM_BYTES |= {"int64": 8, "float64": 8, "complex64": 8, "complex128": 16}


def numpy_dtype(name: str) -> Any:
    import numpy

    try:
        return numpy.dtype(name)
    except TypeError:
        try:
            return numpy.dtype(getattr(import_module("ml_dtypes"), name))
        except (ImportError, AttributeError):
            raise CheckpointError(
                f"numpy has no dtype {name} here: install ml_dtypes, or restore with `like`"
            ) from None


def torch_dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)


def moves_into(mapping: Any, address: int, at: int, array: Any) -> list[Move]:
    """Bring an array's bytes to `at` of a mapping: as moves still to be done if they lie in a row, else at
    once.
    """
    if isinstance(array, bytes | bytearray):
        mapping[at : at + len(array)] = array
        return []
    if hasattr(array, "__array_interface__") and not hasattr(array, "data_ptr"):
        return _numpy_moves(mapping, address, at, array)
    import torch

    if array.numel() == 0:
        return []
    if array.device.type == "cpu" and array.is_contiguous():
        return [Move(address + at, array.data_ptr(), array.numel() * array.element_size())]
    flat = torch.frombuffer(mapping, dtype=torch.uint8, count=array.numel() * array.element_size(), offset=at)
    flat.view(array.dtype).view(array.shape).copy_(array, non_blocking=True)
    return []


def _numpy_moves(mapping: Any, address: int, at: int, array: Any) -> list[Move]:
    import numpy

    if array.nbytes == 0:
        return []
    if array.flags.c_contiguous:
        return [Move(address + at, array.ctypes.data, array.nbytes)]
    target = numpy.frombuffer(mapping, numpy.uint8, array.nbytes, at).view(array.dtype).reshape(array.shape)
    numpy.copyto(target, array)
    return []


def finish_copies() -> None:
    """Wait for copies from GPUs that were started without waiting."""
    torch = loaded("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def pin(address: int, size: int) -> None:
    """Let GPUs write into this memory at full speed; without a GPU there is nothing to do."""
    torch = loaded("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.cudart().cudaHostRegister(address, size, 0)


def is_row(size: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a box of so much of a row-major array lies in one row of bytes."""
    inner = len(shape)
    while inner > 0 and size[inner - 1] == shape[inner - 1]:
        inner -= 1
    return all(one == 1 for one in size[: max(inner - 1, 0)])


def offset_of(start: Sequence[int], shape: Sequence[int]) -> int:
    """How many elements come before the first of a box."""
    offset = 0
    for begin, length in zip(start, shape, strict=True):
        offset = offset * length + begin
    return offset


def address_of_array(array: Any) -> int:
    if isinstance(array, bytearray):
        return ctypes.addressof(ctypes.c_char.from_buffer(array)) if array else 0
    return int(array.data_ptr() if hasattr(array, "data_ptr") else array.ctypes.data)


def view(kind: str, mapping: Any, at: int, dtype: str, size: Shape) -> Any:
    """Bytes of a mapping as an array, without a copy."""
    count = math.prod(size) * item_bytes(dtype)
    if kind == "torch":
        import torch

        return (
            torch.frombuffer(mapping, dtype=torch.uint8, count=count, offset=at)
            .view(torch_dtype(dtype))
            .view(size)
        )
    import numpy

    return numpy.frombuffer(mapping, numpy.uint8, count, at).view(numpy_dtype(dtype)).reshape(size)


def empty(kind: str, dtype: str, shape: Shape) -> Any:
    """New memory for what is restored without something to put it into."""
    if kind == "bytes":
        return bytearray(math.prod(shape))
    if kind == "torch":
        import torch

        return torch.empty(shape, dtype=torch_dtype(dtype))
    import numpy

    return numpy.empty(shape, numpy_dtype(dtype))
