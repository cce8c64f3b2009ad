"""What every verb is given: the store, the served kinds, the clock, and the seams to other rooms.

Built once by `Server`; verbs keep no state of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec
from prometheus_client import CollectorRegistry

from springtide.runtime.clock import Clock
from springtide.server.admit import Admission
from springtide.server.authorize import Authorizer
from springtide.server.kinds import Kinds
from springtide.server.measures import Measures
from springtide.server.templates import Templates
from springtide.server.token_accounts import AccountTokens, Identity
from springtide.server.tokens import SigningKeys
from springtide.store import Record, Store

if TYPE_CHECKING:
    from springtide.server.nodes import NodeAccess

_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels and look-alikes, as Kubernetes' generated names."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What part of a container's log is wanted (the query of `pods/log`)."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: datetime | None = None
    limit_bytes: int | None = None
    stream: str = ""
    """`stdout` or `stderr`; empty for both."""


class LogSource(Protocol):
    """Reads the logs of pods on this machine's nodes; the node room implements it, `up` wires it in."""

    def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of log text. Raises LookupError with a sentence for the user if there is no such log."""
        ...


@dataclass
class Context:
    """The server's parts, as verbs see them."""

    store: Store
    kinds: Kinds
    clock: Clock
    log_source: LogSource | None = None
    nodes: NodeAccess | None = None
    """How nodes are reached; None while there are none."""
    admission: Admission = field(default_factory=Admission)
    authorizer: Authorizer = field(init=False)
    signing_keys: SigningKeys = field(default_factory=SigningKeys)
    account_tokens: AccountTokens = field(init=False)
    identify_token: Callable[[str, Sequence[str]], Identity] = field(init=False)
    """Whose bearer token it is; raises TokenRejected."""
    templates: Templates = field(default_factory=Templates)
    measures: Measures = field(default_factory=Measures)
    registries: list[CollectorRegistry] = field(default_factory=list)
    """Further metrics of this process, which /metrics shows."""
    shutting_down: bool = False
    """No longer ready, though what has been begun is still finished."""
    documents: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Big documents already made, by path: the generation of the kinds they describe, and their JSON."""
    etags: dict[str, str] = field(default_factory=dict)
    """What those documents are recognised by: a hash of each, so that it holds across restarts."""
    _stamp: tuple[int, str] = (0, "")
    _namespaces: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.authorizer = Authorizer(self.store)
        self.account_tokens = AccountTokens(self.store, self.clock, self.signing_keys)
        self.identify_token = self.account_tokens.authenticate

    def now(self) -> datetime:
        return self.clock.now()

    def timestamp(self) -> str:
        """The time as `metav1.Time`: whole seconds, UTC. Formatted once a second."""
        now = self.clock.now()
        second = int(now.timestamp())
        if second != self._stamp[0]:
            self._stamp = (second, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return self._stamp[1]

    def is_terminating(self, namespace: Record) -> bool:
        """Whether a namespace, given by its latest record, is being deleted. Parsed once a revision."""
        known = self._namespaces.get(namespace.key)
        if known is None or known[0] != namespace.revision:
            metadata = msgspec.json.decode(namespace.value)["metadata"]
            known = self._namespaces[namespace.key] = (namespace.revision, "deletionTimestamp" in metadata)
        return known[1]

    def new_uid(self) -> str:
        """A random (version 4) UUID; written out here because `uuid.UUID` takes four times as long."""
        digits = f"{self.clock.random.getrandbits(128):032x}"
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def name_suffix(self) -> str:
        return "".join(self.clock.random.choices(_NAME_ALPHABET, k=5))
