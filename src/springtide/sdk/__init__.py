"""What a user's own training code may import inside a pod: progress, checkpoints, rank.

```python
from springtide import sdk

sdk.report(step=epoch, total=epochs, metrics={"accuracy": accuracy})
sdk.save_atomic(sdk.checkpoint_dir() / f"epoch-{epoch:04}.pt", lambda file: torch.save(state, file))
newest = sdk.latest(sdk.checkpoint_dir(), "epoch-*.pt")

sdk.watch(model)  # DDP: the time a rank waits for its peers is told from its own work
with sdk.phase("evaluate"): ...
```

Only the standard library is imported, and little of it: importing this must never slow a training
script down. Outside Springtide everything still works, on the folder the script was started in.
"""

from springtide.sdk.checkpoint import checkpoint_dir, latest, save_atomic
from springtide.sdk.phases import phase
from springtide.sdk.place import rank, world_size
from springtide.sdk.progress import report
from springtide.sdk.watching import watch

__all__ = ["checkpoint_dir", "latest", "phase", "rank", "report", "save_atomic", "watch", "world_size"]
