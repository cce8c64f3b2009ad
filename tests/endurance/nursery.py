"""A process that has everything imported and forks API servers: a restart then takes tens of milliseconds.

    python -m tests.endurance.nursery FOLDER PORT

Each line on stdin starts a server (`serve_api`, what `springtide server` runs) in a process of its own, whose
number is printed. It lives until somebody kills it. Started by `kills`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path

import uvloop

from springtide.up.api_part import ServerSettings, serve_api


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            _serve(folder, port)
        print(child, flush=True)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _serve(folder: Path, port: int) -> None:
    """Never returns."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        uvloop.run(serve_api(ServerSettings(folder, port=port, log_level="error"), lambda _: None))
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
