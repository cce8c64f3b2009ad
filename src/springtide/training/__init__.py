"""Training jobs: a TrainJob and its runtime become a Workload, whose course becomes the job's status."""

from springtide.training.controller import register
from springtide.training.runtimes import builtin_runtimes

__all__ = ["builtin_runtimes", "register"]
