"""Whom the ranks' complaints speak against: a line that names a peer is a vote for that peer. Pure.

Called by `diagnosis` where no rank shows a cause. Two questions: whom do the complaints name, and is there
one rank that does not complain although all others wait for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def most_named(named: Sequence[Sequence[str]], addresses: Sequence[frozenset[str]]) -> tuple[int, int] | None:
    """(rank, how many others name it) of the one rank most others name; None where none or several are.

    `named`: for each rank the peers its lines name; `addresses`: for each rank what it may be called.
    """
    votes: Counter[int] = Counter()
    for speaker, peers in enumerate(named):
        accused = {
            index
            for index, own in enumerate(addresses)
            for peer in peers
            if index != speaker and peer.lower() in own
        }
        votes.update(accused)
    return _single(votes)


def only_silent(complains: Sequence[bool]) -> int | None:
    """The one rank that does not complain while all others, at least two, do; None where there is none."""
    silent = [index for index, one in enumerate(complains) if not one]
    return silent[0] if len(silent) == 1 and len(complains) > 2 else None


def _single(votes: Counter[int]) -> tuple[int, int] | None:
    top = votes.most_common(2)
    if not top or (len(top) > 1 and top[0][1] == top[1][1]):
        return None
    return top[0]
