"""Errors look the same everywhere: message, blank line, hint; no stack trace; the documented exit code."""

from __future__ import annotations

import click
import pytest

from springtide import client as api
from springtide.cli.errors import CliError, Interrupted, Unreachable, explain
from springtide.cli.root import report
from springtide.store import FolderInUse
from tests.cli.scene import plain_scene


@pytest.mark.parametrize(
    ("error", "message", "hint", "code"),
    [
        (CliError("no", "do"), "no", "do", 1),
        (Unreachable("nobody answers"), "nobody answers", "start the platform with `springtide up`", 3),
        (Interrupted(), "interrupted", "", 130),
        (click.Abort(), "interrupted", "", 130),
        (click.UsageError("Missing argument."), "missing argument", "see `springtide --help`", 2),
        (api.NotFound('pods "a" not found'), 'pods "a" not found', "", 1),
        (
            api.Unreachable("https://x: refused"),
            "https://x: refused",
            "start the platform with `springtide up`",
            3,
        ),
        (PermissionError(13, "Permission denied", "/x"), "/x: permission denied", "", 1),
        (FolderInUse("in use by 7", "stop it"), "in use by 7", "stop it", 1),
        (ZeroDivisionError("oh"), "unexpected ZeroDivisionError: oh", "this is a defect", 1),
    ],
)
def test_each_kind_of_error_has_its_words_and_code(
    error: Exception, message: str, hint: str, code: int
) -> None:
    found = explain(error)
    assert found.message == message
    assert found.hint.startswith(hint)
    assert found.exit_code == code


def test_the_layout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert report(CliError("the port is taken", "use another")) == 1
    assert capsys.readouterr() == ("", "error: the port is taken\n\nhint: use another\n")


def test_debugging_shows_the_stack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRINGTIDE_DEBUG", "1")
    try:
        raise ValueError("inside")
    except ValueError as error:
        report(error)
    assert "Traceback" in capsys.readouterr().err


def test_a_mistyped_command_is_guessed() -> None:
    result = plain_scene().run("statsu")
    assert result.exit_code == 2
    assert (
        result.stderr
        == "error: no such command 'statsu'; did you mean `status`?\n\nhint: see `springtide --help`\n"
    )


def test_a_mistyped_option_is_guessed() -> None:
    result = plain_scene().run("get", "pods", "--selectr", "a=b")
    assert result.exit_code == 2
    assert "--selector" in result.stderr
    assert "see `springtide get --help`" in result.stderr


def test_no_kubeconfig_and_no_platform_exits_3(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from springtide.cli.root import root

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPRINGTIDE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    result = CliRunner().invoke(root, ["get", "pods"])
    assert result.exit_code == 3
    assert "springtide up" in result.stderr
