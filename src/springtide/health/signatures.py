"""What an exception or a line of a rank's log means, once it is known where it was raised.

Asked by `evidence`. The signatures are those of `springtide.faults`; here is only what a line alone cannot
say: a program may report a closed connection to its own database in the words in which ranks report a lost
peer, so those words count as a consequence only where the text or the traceback shows a collective library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from springtide.faults import Match, Role, Secondary, match, signature_named
from springtide.faults.fault import Fault

_COLLECTIVE = re.compile(
    r"gloo|nccl|c10d|TCPStore|torch\.distributed|[Rr]endezvous|ProcessGroup|MPI_|Dist\w+Error|ncclRemote",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"[Cc]onnection (closed|reset|refused)|Broken pipe|timed? ?out|[Tt]imeout|Interrupted system call"
)
"""What a call into a collective library says when a peer has gone."""
_SAID_OF_ANYTHING = frozenset(("socket_peer_gone", "http_failed", "elastic_address"))
"""Signatures whose words programs use of any connection of theirs."""


def meaning_of(text: str, *, in_collective: bool = False, before: Sequence[str] = ()) -> Match | None:
    """What `text` means; None for what only says that a program failed.

    `in_collective`: its traceback passed a collective library; `before`: lines of the log before it.
    """
    found = match(text, before)
    among_peers = in_collective or _COLLECTIVE.search(text) is not None
    if found is not None and found.signature in _SAID_OF_ANYTHING and not among_peers:
        return None
    plain = found is None or is_plain(found)
    if plain and in_collective and _LOST.search(text) is not None:
        return match("ConnectionResetError: [Errno 104] Connection reset by peer")
    return None if plain else found


def is_plain(found: Match) -> bool:
    """Whether it says no more than that a program raised something."""
    return found.family == "python" and found.fault is Fault.PROGRAM_ERROR


def is_cause(found: Match) -> bool:
    """Whether it shows a cause; what may be a consequence is one only where nothing better is known."""
    return found.role is Role.ROOT and found.secondary is Secondary.NO


def is_sudden(found: Match) -> bool:
    """Whether a line of a log tells it by itself, without an exception: it speaks of machine or peers."""
    if found.role in (Role.BENIGN, Role.TEARDOWN, Role.WRAPPER):
        return False
    told = signature_named(found.signature)
    about = told is not None and told.family not in ("python", "kubernetes", "benign", "memory")
    return about and (not is_cause(found) or _speaks_of_machine(found))


def _speaks_of_machine(found: Match) -> bool:
    return found.blame.value in ("node", "network")
