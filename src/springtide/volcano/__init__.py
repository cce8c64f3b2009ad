"""Volcano's Jobs on this engine: each becomes a PodGroup and a Workload. Registered by `up`.

`plan` says what brings a Job one step further; its docstring holds the phases.
"""

from springtide.volcano.controller import Settings as Settings
from springtide.volcano.controller import register as register
