"""What a person sees when something went wrong: message, blank line, hint; and the exit codes.

    CliError                 a message, a hint and an exit code
     ├─ Unreachable          no API server answers (3)
     └─ Interrupted          Ctrl-C (130)

Anything else that reaches the top (an error of the API, of the file system, a defect of ours) is
turned into a `CliError` by `explain`. A stack trace is shown only with SPRINGTIDE_DEBUG=1.
"""

from __future__ import annotations

import sys

import click

EXIT_OK = 0
EXIT_FAILURE = 1
"""The job failed, or the command could not do what was asked."""
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130

EXIT_CODES = {
    EXIT_OK: "done; the job completed",
    EXIT_FAILURE: "the job failed, or the command could not do what was asked",
    EXIT_USAGE: "the command line is wrong",
    EXIT_UNREACHABLE: "no platform answers",
    EXIT_INTERRUPTED: "interrupted with Ctrl-C",
}


class CliError(Exception):
    """A failure that is the user's to read. `message` says what and where, `hint` what to do."""

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class Unreachable(CliError):
    """No API server answers where the connection points."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or "start the platform with `springtide up`", EXIT_UNREACHABLE)


class Interrupted(CliError):
    """The user pressed Ctrl-C."""

    def __init__(self, message: str = "interrupted", hint: str = "") -> None:
        super().__init__(message, hint, EXIT_INTERRUPTED)


def explain(error: BaseException) -> CliError:
    """The error as the user shall read it."""
    if isinstance(error, CliError):
        return error
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Interrupted()
    if isinstance(error, click.UsageError):
        return CliError(_usage_message(error), _usage_hint(error), EXIT_USAGE)
    if isinstance(error, click.ClickException):
        return CliError(error.format_message(), "", error.exit_code)
    if isinstance(error, OSError) and error.filename is not None:
        return CliError(f"{error.filename}: {(error.strerror or str(error)).lower()}")
    own = _explain_own(error)
    if own is not None:
        return own
    return CliError(
        f"unexpected {type(error).__name__}: {error}",
        "this is a defect of springtide; SPRINGTIDE_DEBUG=1 shows where it happened",
    )


def _usage_message(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _usage_hint(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "springtide"
    return f"see `{command} --help`"


def _explain_own(error: BaseException) -> CliError | None:
    """Errors of our rooms say what was wrong; those of the store and the platform also bring a hint.

    The client is not imported for this: an error of it exists only if it has been.
    """
    client = sys.modules.get("springtide.client")
    if client is not None and isinstance(error, client.Unreachable):
        return Unreachable(str(error))
    if client is not None and isinstance(error, client.ApiError):
        return CliError(str(error), _api_hint(type(error).__name__))
    if type(error).__module__.startswith("springtide."):
        return CliError(str(error), str(getattr(error, "hint", "")))
    return None


_HINTS = {
    "Unauthorized": "the login of the kubeconfig is not accepted; choose another with --context",
    "Forbidden": "the user of the kubeconfig lacks this permission; choose another with --context",
    "Conflict": "somebody else changed it meanwhile; look at it with `springtide get` and try again",
    "AlreadyExists": "choose another --name, or delete the old one with `springtide delete`",
    "TooManyRequests": "the server is busy; try again in a moment",
}


def _api_hint(kind: str) -> str:
    return _HINTS.get(kind, "")
