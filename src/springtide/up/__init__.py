"""The composition root: nothing else wires rooms into processes."""

from springtide.up.parts import (
    PartSettings,
    ServerSettings,
    run_controllers,
    run_node,
    run_scheduler,
    serve_api,
)
from springtide.up.platform import serve
from springtide.up.settings import DEFAULT_PORT, Ready, UpSettings

__all__ = [
    "DEFAULT_PORT",
    "PartSettings",
    "Ready",
    "ServerSettings",
    "UpSettings",
    "run_controllers",
    "run_node",
    "run_scheduler",
    "serve",
    "serve_api",
]
