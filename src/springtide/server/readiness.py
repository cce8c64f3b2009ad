"""What must hold for this server to be ready: one named check each, as /readyz lists them.

Called by `documents`. A check answers what is wrong, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from springtide.server.context import Context

Check = Callable[["Context"], str]


def _store(context: Context) -> str:
    return f"the last write failed: {context.store.failure}" if context.store.failure is not None else ""


def _space(context: Context) -> str:
    return "the database is at its size limit: only deleting is accepted" if context.store.full else ""


def _shutdown(context: Context) -> str:
    return "the server is shutting down" if context.shutting_down else ""


READINESS: dict[str, Check] = {
    "ping": lambda _: "",
    "etcd": _store,
    "store-space": _space,
    "shutdown": _shutdown,
}
"""Under kube-apiserver's names where it has the check too: `etcd` is whatever stores."""
LIVENESS: dict[str, Check] = {"ping": READINESS["ping"]}
"""What a restart would mend: a full disk is nothing of that kind."""


def failures(context: Context, checks: dict[str, Check]) -> dict[str, str]:
    """The checks that fail, and what is wrong."""
    return {name: wrong for name, check in checks.items() if (wrong := check(context))}
