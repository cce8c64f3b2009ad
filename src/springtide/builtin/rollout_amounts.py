"""How many pods a count or percentage of a rollout comes to. Pure; called by the apps plans.

Source of the rounding: apimachinery `intstr` and the deployment controller's fence posts.
"""

from __future__ import annotations

import math

from springtide.api.apps import Deployment
from springtide.api.core import IntOrString

FOREVER = 2**31 - 1
"""As a number of seconds or revisions: no limit."""


def resolve(value: IntOrString | None, total: int, *, round_up: bool, default: int = 0) -> int:
    """A count as it is, a percentage of `total` rounded."""
    if value is None:
        return default
    if isinstance(value, int):
        return value
    percent = value.removesuffix("%")
    if percent == value or not percent.isdecimal():
        return default
    exact = int(percent) * total / 100
    return math.ceil(exact) if round_up else math.floor(exact)


def replicas_of(deployment: Deployment) -> int:
    return deployment.spec.replicas if deployment.spec.replicas is not None else 1


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type != "Recreate"


def max_surge(deployment: Deployment) -> int:
    """Pods that may exist beyond those wanted."""
    limits = deployment.spec.strategy.rolling_update
    if not is_rolling(deployment) or limits is None:
        return 0
    return resolve(limits.max_surge, replicas_of(deployment), round_up=True)


def max_unavailable(deployment: Deployment) -> int:
    """Pods that may be missing during a rollout; one, if nothing else would let it go on."""
    replicas, limits = replicas_of(deployment), deployment.spec.strategy.rolling_update
    if not is_rolling(deployment) or limits is None or replicas == 0:
        return 0
    found = resolve(limits.max_unavailable, replicas, round_up=False)
    if found == 0 and max_surge(deployment) == 0:
        found = 1
    return min(found, replicas)


def has_deadline(deployment: Deployment) -> bool:
    return deployment.spec.progress_deadline_seconds not in (None, FOREVER)
