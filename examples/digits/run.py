"""The main job, as `make run` does it: platform up, train, platform down, exit with the job's verdict.

Everything goes through the command a user would type; the data folder is a fresh one and is kept only
when something went wrong.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPRINGTIDE = [sys.executable, "-m", "springtide.cli"]


def main() -> int:
    data_dir = Path(tempfile.mkdtemp(prefix="springtide-digits-"))
    place = ["--data-dir", str(data_dir)]
    code = 1
    try:
        up = subprocess.run([*SPRINGTIDE, "up", "--detach", "--port", "0", *place], cwd=ROOT, check=False)
        if up.returncode == 0:
            manifest = "examples/digits/trainjob.yaml"
            kubeconfig = ["--kubeconfig", str(data_dir / "kubeconfig")]
            code = subprocess.run(
                [*SPRINGTIDE, *kubeconfig, "run", "-f", manifest], cwd=ROOT, check=False
            ).returncode
    except KeyboardInterrupt:
        code = 130
    finally:
        down = subprocess.run(
            [*SPRINGTIDE, "down", *place],
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if down.returncode != 0:
        print(down.stdout, file=sys.stderr)
        code = code or 1
    if code:
        print(f"logs and data are kept in {data_dir}", file=sys.stderr)
    else:
        shutil.rmtree(data_dir, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
