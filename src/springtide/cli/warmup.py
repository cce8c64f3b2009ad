"""The garbage collector pauses while a platform starts: there is no garbage yet, and it takes its time.

Called by `up` and `server`: `begin` before anything heavy is imported, `end` once they are ready.
"""

from __future__ import annotations

import gc


def begin() -> None:
    """Nothing is collected from now on."""
    gc.disable()


def end() -> None:
    """Collect as usual; what was made until now is there to stay and is not looked at again."""
    gc.freeze()
    gc.enable()
