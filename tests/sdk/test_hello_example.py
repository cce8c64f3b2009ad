"""The smallest example runs as it stands, with nothing around it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HELLO = Path(__file__).parents[2] / "examples" / "hello" / "hello.py"


def test_hello_says_where_it_stands_and_how_far_it_is() -> None:
    environment = {**os.environ, "JOB_COMPLETION_INDEX": "0", "SPRINGTIDE_NUM_NODES": "2"}
    done = subprocess.run(
        [sys.executable, str(HELLO)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hello from rank 0 of 2, step 5 of 5" in done.stdout
    assert "progress: 100%" in done.stdout
