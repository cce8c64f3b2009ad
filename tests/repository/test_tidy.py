"""The repository's own rules, as tests: sizes, banned calls, docs that keep up with the code."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "springtide"
FILES = sorted(path for path in SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
ROOMS = sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

CLOCK_ROOMS = ("runtime/clock.py", "simulation/", "cli/")
"""Where the wall clock may be read: the clock itself, the simulator's own timing, a terminal's display."""
CHECKS = r"\bassert\b|raises\(|\bcheck|\bexpect|verify_|run_state_machine|fail\(|player\.play\("

STANDALONE = ("sdk/", "node/watchdog.py", "node/shim.py")
"""Code that runs in a process of its own and imports nothing of ours."""
EXPIRY = ("client/credentials.py",)
"""An exec plug-in says when its credential ends by the wall clock of the world outside."""


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def called_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            names.add(ast.unparse(node.func))
    return names


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_module_says_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{relative(path)} needs a module docstring"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_stay_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= FILE_LINES_MAX, f"{relative(path)} has {lines} lines; split it by concept"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_functions_stay_small(path: Path) -> None:
    long = [
        f"{function.name} ({function.end_lineno - function.lineno + 1})"
        for function in functions(path)
        if function.end_lineno is not None and function.end_lineno - function.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long, f"{relative(path)}: {', '.join(long)} exceed {FUNCTION_LINES_MAX} lines"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_only_the_clock_reads_the_clock(path: Path) -> None:
    if relative(path).startswith((*CLOCK_ROOMS, *STANDALONE, *EXPIRY)):
        return
    banned = {"time.time", "time.monotonic", "time.sleep", "datetime.now", "datetime.utcnow", "random.random"}
    assert not (found := called_names(path) & banned), f"{relative(path)} calls {found}; take a Clock instead"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_only_the_node_starts_processes(path: Path) -> None:
    allowed = ("node/", "cli/", "client/credentials.py", "simulation/__main__.py", "sdk/checkpoint/writer.py")
    if relative(path).startswith(allowed):
        return
    banned = {"subprocess.Popen", "subprocess.run", "asyncio.create_subprocess_exec", "os.fork", "os.execve"}
    assert not (found := called_names(path) & banned), f"{relative(path)} calls {found}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_vague_file_names(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}, relative(path)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_in_the_architecture_page(room: str) -> None:
    assert f"`{room}`" in (ROOT / "ARCHITECTURE.md").read_text(), f"no word about the room {room}"


def test_tests_assert_something() -> None:
    """A test function without an assertion, a `raises` or a helper that checks cannot fail."""
    silent: list[str] = []
    for path in TESTS:
        for function in functions(path):
            if not function.name.startswith("test_"):
                continue
            text = ast.unparse(function)
            if not re.search(CHECKS, text):
                silent.append(f"{path.relative_to(ROOT)}::{function.name}")
    assert not silent, f"these tests assert nothing: {silent}"


def test_links_between_pages_lead_somewhere() -> None:
    broken: list[str] = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text())
        broken += [
            f"{page.relative_to(ROOT)} -> {link}" for link in links if not (page.parent / link).exists()
        ]
    assert not broken, broken


def test_the_lock_files_name_no_index() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"https?://|--index-url|--find-links|file://", path.read_text()), path.name


def test_pages_name_no_path_of_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = tracked.stdout.split() if tracked.returncode == 0 else []
    offending = [
        name
        for name in names
        if name.endswith((".md", ".py", ".toml", ".yaml", ".txt", "Makefile"))
        and (ROOT / name).exists()
        and re.search(r"/(root/(?!\.ssh)|work/|home/[a-z]+/work)", (ROOT / name).read_text())
        and name != "tests/repository/test_tidy.py"
    ]
    assert not offending, offending
