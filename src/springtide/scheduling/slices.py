"""Where on a GPU cut by hardware the next instance goes: legal places only, and the one that spoils least.

What is free of a GPU is bits, one a memory slice. Of all legal places on all GPUs of a node the one is taken
after which the most instances of all sorts could still begin somewhere: so small ones fill the gaps that no
large one could use. Called by `devices`. All answers are kept: a GPU has 256 states at most.
Source of the idea: online fragmentation-aware MIG scheduling, arXiv 2511.18906.
"""

from __future__ import annotations

from functools import lru_cache

from springtide.api.mig import Geometry, Profile


@lru_cache(maxsize=16384)
def places(free: int, profile: Profile) -> tuple[int, ...]:
    """Where an instance could begin; no two of these overlap, so that as many fit."""
    return tuple(start for start in profile.starts if bits_of(profile, start) & ~free == 0)


def bits_of(profile: Profile, start: int) -> int:
    """The slices of an instance that begins there."""
    return ((1 << profile.size) - 1) << start


@lru_cache(maxsize=16384)
def kept(geometry: Geometry, free: int) -> int:
    """How much could still begin: the places of all sorts of instances, each by its memory."""
    return sum(len(places(free, profile)) * profile.size for profile in geometry.profiles)


@lru_cache(maxsize=16384)
def best(geometry: Geometry, free: int, profile: Profile) -> tuple[int, int] | None:
    """What the best place spoils, and where it is; None if there is none. Of equals the last."""
    found = [
        (kept(geometry, free) - kept(geometry, free & ~bits_of(profile, start)), -start)
        for start in places(free, profile)
    ]
    if not found:
        return None
    spoiled, start = min(found)
    return spoiled, -start
