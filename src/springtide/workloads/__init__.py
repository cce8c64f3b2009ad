"""Admitted workloads become pods: one room for every kind that owns workloads. `up` registers it.

`plan` says what brings a workload one step further; its docstring holds the table of states.
"""

from springtide.workloads.controller import Settings as Settings
from springtide.workloads.controller import register as register
from springtide.workloads.plan import View as View
from springtide.workloads.plan import plan as plan
