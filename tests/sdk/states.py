"""Comparing states that hold arrays; used by the tests of checkpoints."""

from __future__ import annotations

import struct
from typing import Any

import numpy


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal in types, structure and every bit."""
    if hasattr(one, "untyped_storage") or hasattr(other, "untyped_storage"):
        return _same_tensors(one, other)
    if isinstance(one, numpy.ndarray | numpy.generic):
        return _same_arrays(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (one != one and other != other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    return bool(one == other)


def _same_tensors(one: Any, other: Any) -> bool:
    import torch

    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return False
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    first, second = (torch.empty(one.shape, dtype=one.dtype).copy_(each).flatten() for each in (one, other))
    return bool(one.numel() == 0 or torch.equal(first.view(torch.uint8), second.view(torch.uint8)))


def _same_arrays(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one.shape != other.shape:
        return False
    if one.dtype.newbyteorder("=") != other.dtype.newbyteorder("="):
        return False
    little, other_little = (each.astype(each.dtype.newbyteorder("<")) for each in (one, other))
    return bool(little.tobytes() == other_little.tobytes())
