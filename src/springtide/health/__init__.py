"""Why a workload failed and what is done about it: evidence, diagnosis, restart or the end."""

from springtide.health.controller import register
from springtide.health.plan import Settings

__all__ = ["Settings", "register"]
