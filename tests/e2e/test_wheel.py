"""The wheel holds everything: installed elsewhere, without the sources, it starts and runs a job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import springtide
from tests.e2e.platforms import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("wheel")]

NO_CODE = {".pyc"}


def run(command: list[str], environment: dict[str, str], cwd: Path, timeout: float = 90) -> str:
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, for setuptools leaves its traces beside the sources."""
    base = tmp_path_factory.mktemp("wheel")
    copy = base / "sources"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(base)]
    run([*pip, "wheel", *options, "."], dict(os.environ), copy)
    (made,) = base.glob("*.whl")
    return made


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    source = ROOT / "src"
    files = {
        str(path.relative_to(source))
        for path in (source / "springtide").rglob("*")
        if path.is_file() and path.suffix not in NO_CODE
    }
    missing = files - set(zipfile.ZipFile(wheel).namelist())
    assert not missing, f"add these to package-data in pyproject.toml: {sorted(missing)}"


def test_an_installed_wheel_runs_a_job(wheel: Path, tmp_path: Path) -> None:
    target, home, data_dir = tmp_path / "installed", tmp_path / "home", str(tmp_path / "data")
    home.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-deps", "--no-index", "--target", str(target), str(wheel)], dict(os.environ), tmp_path)
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    environment |= {"PYTHONPATH": str(target), "HOME": str(home), "SPRINGTIDE_DATA_DIR": data_dir}

    def command(*arguments: str) -> str:
        return run([sys.executable, "-m", "springtide.cli", *arguments], environment, home)

    where = run([sys.executable, "-c", "import springtide; print(springtide.__file__)"], environment, home)
    assert where.startswith(str(target))
    assert command("version") == f"springtide {springtide.__version__}\n"
    (home / "job.py").write_text("print('from the wheel')\n")
    command("up", "--detach", "--port", "0")
    try:
        assert " Ready " in command("get", "nodes")
        assert "from the wheel" in command("run", "job.py", "--nodes", "2", "--cpus", "0.1")
    finally:
        command("down")
