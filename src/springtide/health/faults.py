"""Fault classes as this room's modules name them; they live in `springtide.faults`, beside the signatures."""

from springtide.faults import VERDICTS, Fault, Verdict

__all__ = ["VERDICTS", "Fault", "Verdict"]
