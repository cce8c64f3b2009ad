"""Who may ask in the cases: both targets know these users by static tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A user, as both servers' token tables have it."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        return f"conformance-{self.name.replace(':', '-')}"


USERS = {
    "admin": Person("conformance:admin", ("system:masters",)),
    "alice": Person("alice", ("developers",)),
    "bob": Person("bob"),
    "carol": Person("carol", ("auditors", "developers")),
    "dave": Person("dave"),
}
