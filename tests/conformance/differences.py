"""Where the embedded server is not like kube-apiserver, and why that stays so.

A case listed here must fail on the embedded server: when it no longer does, its line has to go. The key is
the table and the case's name, as `Case` prints itself.
"""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {
    "list: items of a list of a built-in kind do not repeat kind and apiVersion": (
        "stored bytes are spliced into the answer as they are; an item that says what it is does no harm"
    ),
    "discovery: every answer names the priority level that let it in": (
        "requests wait by user under fixed limits; there are no FlowSchema objects that a uid could name"
    ),
    "discovery: every answer has an audit id": (
        "the audit log is off unless it is asked for, and a request is told apart by it alone"
    ),
}
