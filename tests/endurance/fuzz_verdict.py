"""Whether an answer is one that any request may be given. Called by `fuzz` and `hostile`."""

from __future__ import annotations

import json

from tests.endurance.fuzz_wire import Answer, Sent

ALLOWED_FAULTS = (503, 504, 507)
"""503: no node answers, or the server ends; 504: a version that is not yet; 507: the store is full."""
_UNREACHABLE = b"error dialing backend: "
"""What Kubernetes says, as a 500, of a node that cannot be reached; nothing is wrong with the server."""
_TRACES = (b"Traceback (most recent", b'File "/', b".py:", b"0x7f")
_PLAIN = (b"/healthz", b"/livez", b"/readyz", b"/metrics")
_NOT_HTTP = b"Invalid HTTP request received."


def fault(request: Sent, answer: Answer) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if answer.status >= 500 and answer.status not in ALLOWED_FAULTS and _UNREACHABLE not in answer.body:
        return f"{answer.status} {answer.body[:300]!r}"
    if answer.status < 100 or (answer.status >= 400 and request.method != b"HEAD"):
        if answer.body == _NOT_HTTP and answer.status == 400:
            return ""  # no request at all: Go's server says as much in plain text too
        if request.target.startswith(_PLAIN):
            return ""
        if why := _not_a_status(answer):
            return f"{why}: {answer.status} {answer.body[:300]!r}"
        echoed = request.body + request.target + b"".join(value for _, value in request.headers)
        if any(trace in answer.body and trace not in echoed for trace in _TRACES):
            return f"a trace in {answer.body[:500]!r}"
    return ""


def _not_a_status(answer: Answer) -> str:
    try:
        status = json.loads(answer.body)
    except ValueError:
        return "no JSON"
    if not isinstance(status, dict) or status.get("kind") != "Status" or status.get("apiVersion") != "v1":
        return "no Status"
    if status.get("code") != answer.status or status.get("status") != "Failure":
        return "a Status of something else"
    if not isinstance(status.get("message"), str) or not isinstance(status.get("reason", ""), str):
        return "a Status without a message"
    return ""
