"""What every controller runs on: caches, queues, time, events and metrics."""

from springtide.runtime.cache import Cache
from springtide.runtime.clock import Clock, LoopClock, SystemClock
from springtide.runtime.controller import Controller
from springtide.runtime.events import EventRecorder, EventSettings
from springtide.runtime.informer import Informer, InformerSettings
from springtide.runtime.leader import Election, LeaderSettings, LeadershipLost
from springtide.runtime.log import configure as configure_logging
from springtide.runtime.log import logger
from springtide.runtime.queue import Backoff, WorkQueue
from springtide.runtime.runtime import Runtime, RuntimeSettings

__all__ = [
    "Backoff",
    "Cache",
    "Clock",
    "Controller",
    "Election",
    "EventRecorder",
    "EventSettings",
    "Informer",
    "InformerSettings",
    "LeaderSettings",
    "LeadershipLost",
    "LoopClock",
    "Runtime",
    "RuntimeSettings",
    "SystemClock",
    "WorkQueue",
    "configure_logging",
    "logger",
]
