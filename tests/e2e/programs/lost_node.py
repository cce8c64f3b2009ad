"""Trains something small on several nodes for some minutes; says what it restored and how far it is.

Run by `test_lost_node.py` as a TrainJob: rank r on its own node, DistributedDataParallel over gloo.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch
from torch import distributed, nn

from springtide import sdk

STEP_SECONDS = 0.2


def say(text: str) -> None:
    print(f"{time.time():.3f} {text}", flush=True)


def main(storage: str, steps: int, every: int) -> None:
    say(f"started on node {os.environ['NODE']}")
    meeting = f"tcp://{os.environ['PET_MASTER_ADDR']}:{os.environ['PET_MASTER_PORT']}"
    rank = sdk.rank()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=sdk.world_size())
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(
        nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 1))
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    state: dict[str, Any] = {"model": model, "optimizer": optimizer, "seen": 0}
    with sdk.Checkpointer(storage, interval=every) as checkpoints:
        state, restored = checkpoints.restore(like=state)
        where = checkpoints.restored.where if checkpoints.restored is not None else "nothing"
        say(f"restored step {restored} from {where}, {state['seen']} batches seen")
        for step in range(0 if restored is None else restored + 1, steps):
            inputs = torch.randn(32, 64)
            optimizer.zero_grad()
            loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            loss.backward()
            optimizer.step()
            state["seen"] += 1
            say(f"step {step} loss {loss.item():.4f}")
            sdk.report(step=step + 1, total=steps)
            checkpoints.maybe_save(step, state)
            time.sleep(STEP_SECONDS)
    if rank == 0:
        say(f"done: {state['seen']} batches seen")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
