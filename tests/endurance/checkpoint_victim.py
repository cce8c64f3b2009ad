"""A program that saves as fast as it can until it is killed; started by `checkpoint_cuts`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from springtide import sdk
from tests.endurance.checkpoint_cuts import is_state_at, state_at


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    root = Path(sys.argv[1])
    checkpoints = sdk.Checkpointer(root / "storage", memory=root / "memory", interval=None)
    state, step = checkpoints.restore()
    if step is not None and not is_state_at(state, step):
        say(wrong=f"step {step} is not what was saved")
        return
    where = checkpoints.restored.where if checkpoints.restored is not None else "nowhere"
    say(restored=-1 if step is None else step, where=where)
    number = -1 if step is None else step
    while True:
        number += 1
        checkpoints.save(number, state_at(number))
        if number % 3 == 0:
            checkpoints.wait()
            say(durable=number)


if __name__ == "__main__":
    main()
