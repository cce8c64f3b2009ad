"""What a user's own training code may import inside a pod: progress, checkpoints, rank.

```python
from springtide import sdk

sdk.report(step=epoch, total=epochs, metrics={"accuracy": accuracy})

checkpoints = sdk.Checkpointer()  # into memory at once, durable beside training
state, step = checkpoints.restore(like=state)
checkpoints.maybe_save(step, state)

sdk.watch(model)  # DDP: the time a rank waits for its peers is told from its own work
with sdk.phase("evaluate"): ...
```

Only the standard library is imported, and little of it: importing this must never slow a training
script down. Outside Springtide everything still works, on the folder the script was started in.
"""

from springtide.sdk import checkpoint
from springtide.sdk.checkpoint import checkpoint_dir, latest, save_atomic
from springtide.sdk.phases import phase
from springtide.sdk.place import rank, world_size
from springtide.sdk.progress import report
from springtide.sdk.watching import watch

TYPE_CHECKING = False  # importing `typing` would be most of this package's import time
if TYPE_CHECKING:
    from springtide.sdk.checkpoint import Checkpointer, CheckpointError, Local

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "Local",
    "checkpoint_dir",
    "latest",
    "phase",
    "rank",
    "report",
    "save_atomic",
    "watch",
    "world_size",
]


def __getattr__(name: str) -> object:
    """What checkpoints of whole states need is imported when it is first used."""
    if name not in {"CheckpointError", "Checkpointer", "Local"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(checkpoint, name)
