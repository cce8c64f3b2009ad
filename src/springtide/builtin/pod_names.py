"""Names for the pods of one owner: they look random, never repeat, and are the same when asked for again.

Called by `own_writes`. Pods of a ReplicaSet or DaemonSet have no number, so upstream lets the server draw a
random suffix; a create whose answer was lost cannot be told from one that never happened then. Here the n-th
pod of an owner has one name for good: n goes through a permutation of all suffixes that follows from the
owner's uid, and back again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels, 0, 1 and 3, so that no words come out; the alphabet of Kubernetes' generated names."""
_LETTERS = 5
_ALL = len(ALPHABET) ** _LETTERS
_LONGEST_BASE = 63 - _LETTERS


class PodNames:
    """The names of one owner's pods."""

    def __init__(self, owner_name: str, owner_uid: str) -> None:
        digest = hashlib.blake2b(owner_uid.encode(), digest_size=16).digest()
        self.base = f"{owner_name}-"[:_LONGEST_BASE]
        factor = int.from_bytes(digest[:8]) % _ALL
        while (
            factor % 3 == 0
        ):  # 3 is the only prime in the number of suffixes: without it the map can be undone
            factor += 1
        self._factor = factor
        self._shift = int.from_bytes(digest[8:]) % _ALL
        self._back = pow(factor, -1, _ALL)

    def name(self, number: int) -> str:
        """The name of the pod with this number, counted from 0."""
        rest = (number * self._factor + self._shift) % _ALL
        letters = []
        for _ in range(_LETTERS):
            rest, place = divmod(rest, len(ALPHABET))
            letters.append(ALPHABET[place])
        return self.base + "".join(letters)

    def number(self, name: str) -> int | None:
        """The number of the pod with this name; None for a name that is not one of these."""
        suffix = name.removeprefix(self.base)
        if suffix == name or len(suffix) != _LETTERS or any(letter not in ALPHABET for letter in suffix):
            return None
        rest = 0
        for letter in reversed(suffix):
            rest = rest * len(ALPHABET) + ALPHABET.index(letter)
        number: int = (rest - self._shift) * self._back % _ALL
        return number

    def after(self, names: Iterable[str]) -> int:
        """One more than the highest number among these names."""
        numbers = (self.number(name) for name in names)
        return max((number + 1 for number in numbers if number is not None), default=0)


def safe_encode(number: int) -> str:
    """A hash as letters of the alphabet, digit by digit, as Kubernetes writes it into names and labels."""
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))
