"""The composition root: `springtide up` and nothing else wires rooms into a process."""

from springtide.up.platform import serve
from springtide.up.settings import DEFAULT_PORT, Ready, UpSettings

__all__ = ["DEFAULT_PORT", "Ready", "UpSettings", "serve"]
