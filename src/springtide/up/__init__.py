"""The composition root: nothing else wires rooms into processes.

What a process needs is imported when it is named here, so that a server alone does not load the scheduler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from springtide.up.settings import DEFAULT_PORT, Ready, UpSettings

if TYPE_CHECKING:
    from springtide.up.api_part import ServerSettings, serve_api
    from springtide.up.collect_part import run_collect
    from springtide.up.part_runtime import PartSettings
    from springtide.up.parts import run_controllers, run_node, run_scheduler
    from springtide.up.platform import serve

_HOMES = {
    "PartSettings": "part_runtime",
    "ServerSettings": "api_part",
    "run_collect": "collect_part",
    "run_controllers": "parts",
    "run_node": "parts",
    "run_scheduler": "parts",
    "serve": "platform",
    "serve_api": "api_part",
}

__all__ = [
    "DEFAULT_PORT",
    "PartSettings",
    "Ready",
    "ServerSettings",
    "UpSettings",
    "run_collect",
    "run_controllers",
    "run_node",
    "run_scheduler",
    "serve",
    "serve_api",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
