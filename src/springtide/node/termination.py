"""Why a container ended: the reason and message of its terminated state.

Called by `pod.py` when a container ended. Source: the kubelet's rules for `terminationMessagePath` and
`terminationMessagePolicy`, limits included.
"""

from __future__ import annotations

from pathlib import Path

from springtide.api.containers import Container
from springtide.node.logreader import last_output
from springtide.node.logs import LogFolder

MESSAGE_BYTES = 4096
LOG_MESSAGE_BYTES = 2048
LOG_MESSAGE_LINES = 80
FALLBACK = "FallbackToLogsOnError"


def ended_reason(code: int, oom_kills: int) -> str:
    """Completed, OOMKilled or Error. `code` is negative when a signal ended the first process."""
    if code == 0:
        return "Completed"
    return "OOMKilled" if oom_kills > 0 else "Error"


def message_file(folder: Path, container: str) -> Path:
    """The file behind the container's `terminationMessagePath`."""
    return folder / "termination" / container


def termination_message(container: Container, folder: Path, logs: LogFolder, instance: int, code: int) -> str:
    """What the program left as its last words, else (if wanted, and it failed) the end of its log."""
    file = message_file(folder, container.name)
    try:
        data = file.read_bytes()[:MESSAGE_BYTES]
    except FileNotFoundError:
        data = b""
    if not data and code != 0 and container.termination_message_policy == FALLBACK:
        data = last_output(logs, instance, lines=LOG_MESSAGE_LINES, limit_bytes=LOG_MESSAGE_BYTES)
    return data.decode(errors="replace")
