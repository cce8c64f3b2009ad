"""Checkpoints for training on machines that fail: `Checkpointer`, and single files with `save_atomic`.

Which file does what: `checkpointer` is what user code holds; `tree` takes a state apart and puts it together,
`arrays` knows tensors of PyTorch, numpy and JAX, `sharing` says which rank stores which piece; `slots` and
`copying` are the blocking part, into memory of the node; `persist` is the writer process that makes it
durable and `writer` its other end; `layout` is the format (docs/concepts/checkpoints.md), `reading` finds and
checks what is there, `crew` lets the ranks agree, `interval` says how often; `dcp` is a storage of
torch.distributed.checkpoint.

Everything but `save_atomic` and its kin is imported when it is first used: the SDK must not slow a script's
start.
"""

from springtide.sdk.checkpoint.atomic import checkpoint_dir, latest, save_atomic

TYPE_CHECKING = False  # importing `typing` would be most of this package's import time
if TYPE_CHECKING:
    from springtide.sdk.checkpoint.checkpointer import Checkpointer
    from springtide.sdk.checkpoint.layout import CheckpointError
    from springtide.sdk.checkpoint.tree import Local

__all__ = ["CheckpointError", "Checkpointer", "Local", "checkpoint_dir", "latest", "save_atomic"]

_LAZY = {"Checkpointer": "checkpointer", "CheckpointError": "layout", "Local": "tree"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
