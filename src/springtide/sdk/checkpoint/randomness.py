"""The state of random numbers, saved with every step so that a resumed run draws what it would have drawn.

Python's, numpy's and PyTorch's (CPU and each GPU of the process), of libraries the program has imported. Each
rank has its own. Called by `checkpointer`.
"""

from __future__ import annotations

from typing import Any

from springtide.sdk.checkpoint.arrays import loaded


def capture() -> dict[str, Any]:
    """A state that `tree.flatten` takes."""
    state: dict[str, Any] = {}
    if (python := loaded("random")) is not None:
        state["python"] = python.getstate()
    if (numpy := loaded("numpy")) is not None:
        state["numpy"] = numpy.random.get_state()
    if (torch := loaded("torch")) is not None:
        state["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def put_back(state: dict[str, Any]) -> None:
    """Of the libraries that are imported now; those that were not then keep their state."""
    if "python" in state and (python := loaded("random")) is not None:
        python.setstate(state["python"])
    if "numpy" in state and (numpy := loaded("numpy")) is not None:
        numpy.random.set_state(state["numpy"])
    if (torch := loaded("torch")) is not None:
        if "torch" in state:
            torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
