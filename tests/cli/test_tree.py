"""The command tree: summaries, help, the reference page, completion, and a quick start."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import springtide
from springtide.cli import reference
from springtide.cli.root import COMMANDS, root
from springtide.training import builtin_runtimes
from tests.cli.scene import Scene, trainjob

HEAVY = ("springtide.client", "springtide.api", "aiohttp", "msgspec", "yaml", "rich", "asyncio", "psutil")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_module_a_summary_and_described_options(name: str) -> None:
    context = click.Context(root, info_name="springtide", **root.context_settings)
    command = root.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.opts}"
    result = CliRunner().invoke(root, [name, "--help"], prog_name="springtide")
    assert result.exit_code == 0
    assert f"springtide {name}" in result.output


def test_the_reference_page_is_up_to_date() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run `make generate`"


def test_the_reference_can_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from pathlib import Path

    page = Path(str(tmp_path)) / "docs" / "cli.md"
    monkeypatch.setattr(reference, "PAGE", page)
    assert reference.main(["--check"]) == 1
    assert "hint: make generate" in capsys.readouterr().err
    assert reference.main(["--write"]) == 0
    assert reference.main(["--check"]) == 0


@pytest.mark.realtime
@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["--version"]])
def test_what_needs_no_server_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, contextlib\nfrom springtide.cli import main\n"
        f"sys.argv = ['springtide', *{arguments!r}]\n"
        "with contextlib.suppress(SystemExit):\n    main()\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


def test_version() -> None:
    result = CliRunner().invoke(root, ["version", "-o", "json"], prog_name="springtide")
    assert f'"client": "{springtide.__version__}"' in result.stdout


def test_version_of_the_server() -> None:
    result = Scene().run("version", "--server")
    assert result.stdout.splitlines()[1].startswith("server v")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    result = CliRunner().invoke(root, ["completion", shell], prog_name="springtide")
    assert result.exit_code == 0
    assert "_SPRINGTIDE_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["get", "trainj"], "trainjobs"),
        (["get", "trainjobs", "di"], "digits"),
        (["describe", "trainjobs", "di"], "digits"),
        (["logs", "dig"], "digits"),
        (["explain", ""], "digits"),
        (["run", "--runtime", "pl"], "plain"),
        (["get", "-n", "def"], "default"),
        (["get", "pods", "-o", "y"], "yaml"),
        (["comp"], "completion"),
    ],
)
def test_tab_offers_what_there_is(words: list[str], expected: str) -> None:
    scene = Scene().given(trainjob("digits"), *builtin_runtimes())
    assert expected in complete(scene, words)


def complete(scene: Scene, words: list[str]) -> list[str]:
    from click.shell_completion import ShellComplete

    *before, incomplete = words
    found = ShellComplete(root, {"obj": scene.wiring}, "springtide", "_X").get_completions(before, incomplete)
    return [item.value for item in found]
