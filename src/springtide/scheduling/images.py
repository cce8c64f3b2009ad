"""Images of containers that nodes have already: how much sooner pods start there. Pure.

As with kube-scheduler an image counts by its size, less the fewer nodes have it, so that one node that has
it does not draw all its pods; below 23 MiB nothing is gained, and above 1000 MiB for each container nothing
more. Asked by `nodes` for `placement`, which lets the score decide only where nobody's wish does; `imaging`
says which pods ask for images at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from springtide.api.core import ContainerImage, PodSpec
from springtide.scheduling.arrays import Floats, Ints

_MEBIBYTE = 1024 * 1024
_LEAST = 23 * _MEBIBYTE
_MOST_PER_CONTAINER = 1000 * _MEBIBYTE
SCORE_MAX = 100
_AVERSION_OF_ALL_MISSING = 0.005
"""What a node that has nothing is avoided by: half of the lightest preference that a pod can state."""


@dataclass(frozen=True)
class Images:
    """What a pod runs from."""

    names: tuple[str, ...]
    """By name, with a tag or digest; one of each container and image volume."""
    containers: int


def images_of(spec: PodSpec) -> Images | None:
    """The images of a pod; None if it names none."""
    containers = (*spec.init_containers, *spec.containers)
    mounted = (volume.image.reference for volume in spec.volumes if volume.image is not None)
    names = (*(one.image for one in containers), *mounted)
    found = tuple(sorted(_with_tag(name) for name in names if name))
    return Images(found, len(containers)) if found else None


def _with_tag(name: str) -> str:
    """As a runtime calls it: what names neither tag nor digest is `latest`."""
    tagged = name.rfind(":") > name.rfind("/")
    return name if tagged else f"{name}:latest"


def size_on(images: Iterable[ContainerImage], name: str) -> int:
    """How large an image of this name a node has; 0 for none."""
    return next((one.size_bytes for one in images if name in one.names), 0)


def scores(asked: Images, sizes: Callable[[str], Ints]) -> Floats | None:
    """A score from 0 to 100 for each node; None where all are 0. `sizes`: what nodes have of an image."""
    total: Ints | None = None
    for name in asked.names:
        there = sizes(name)
        having = np.count_nonzero(there)
        if having:
            counted = (there * (having / len(there))).astype(np.int64)
            total = counted if total is None else total + counted
    if total is None:
        return None
    most = _MOST_PER_CONTAINER * max(1, asked.containers)
    found = SCORE_MAX * (np.clip(total, _LEAST, most) - _LEAST) // (most - _LEAST)
    return found.astype(np.float64) if found.any() else None


def aversion(score: Floats) -> Floats:
    """The same as a part of an aversion: see `Constraints.aversion`."""
    found: Floats = (SCORE_MAX - score) * (_AVERSION_OF_ALL_MISSING / SCORE_MAX)
    return found
