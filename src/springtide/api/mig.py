"""How GPUs of each model are cut by hardware (MIG): which instances there are, and where each may begin.

A GPU has eight memory slices (four, of the small ones); an instance takes some that lie side by side, and
begins at certain ones only. Called by `gpus`, which makes a device of every slice of a GPU in mode `mig`, and
by `scheduling`, which gives slices away. A model that is not listed is not given in parts of this kind.
Source: NVIDIA, Multi-Instance GPU User Guide, supported profiles, and `nvidia-smi mig -lgipp`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """One sort of instance."""

    name: str
    compute: int
    """Compute slices."""
    size: int
    """Memory slices, side by side."""
    starts: tuple[int, ...]
    """At which of them it may begin."""


@dataclass(frozen=True)
class Geometry:
    """How one model is cut."""

    slices: int
    """Memory slices of a GPU."""
    compute: int
    """Compute slices of a GPU."""
    profiles: tuple[Profile, ...]
    """The smallest first."""

    def profile(self, memory: int, percent: int, share: int, total: int) -> Profile | None:
        """The smallest instance with so many MiB (or hundredths of `total`) and hundredths of the power."""
        wanted = memory or total * percent // 100
        for one in self.profiles:
            if one.size * total >= wanted * self.slices and one.compute * 100 >= share * self.compute:
                return one
        return None


_EIGHT = ((1, 1, tuple(range(7))), (1, 2, (0, 2, 4, 6)), (2, 2, (0, 2, 4)), (3, 4, (0, 4)), (4, 4, (0,)))
_WHOLE_OF_EIGHT = (7, 8, (0,))
_FOUR = ((1, 1, (0, 1, 2, 3)), (2, 2, (0, 2)), (4, 4, (0,)))
_MODELS: tuple[tuple[str, int, tuple[int, ...]], ...] = (
    ("A30", 0, (6, 12, 24)),
    ("A100", 60000, (10, 20, 20, 40, 40, 80)),
    ("A100", 0, (5, 10, 10, 20, 20, 40)),
    ("H100", 90000, (12, 24, 24, 48, 48, 96)),
    ("H100", 0, (10, 20, 20, 40, 40, 80)),
    ("H200", 0, (18, 35, 35, 71, 71, 141)),
    ("B200", 0, (23, 45, 45, 90, 90, 180)),
)
"""Part of the model's name, MiB it has at least, and the GB in the names of its instances."""


def geometry_of(model: str, memory: int) -> Geometry | None:
    """How a GPU of this model with so many MiB is cut; None if it is not known."""
    for name, least, sizes in _MODELS:
        if name in model.upper() and memory >= least:
            rows = _FOUR if len(sizes) == len(_FOUR) else (*_EIGHT, _WHOLE_OF_EIGHT)
            profiles = tuple(
                Profile(f"{compute}g.{size}gb", compute, width, starts)
                for (compute, width, starts), size in zip(rows, sizes, strict=True)
            )
            return Geometry(profiles[-1].size, profiles[-1].compute, profiles)
    return None
