"""Gangs of pods that somebody else made: one Workload for each, so that the engine decides about it whole.

PodGroups of Kubernetes and of Volcano, and pods with Kueue's labels. `scheduling` binds the pods.
"""

from springtide.podgroups.controller import ROOM as ROOM
from springtide.podgroups.controller import Settings as Settings
from springtide.podgroups.controller import register as register
