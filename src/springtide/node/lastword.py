"""The last word of a node whose process died: everything it ran has ended, others may take over.

The watchdog (`watchdog.py`) ends a dead node's processes and, once sure that none is left, runs this program.
It turns the Node's Ready condition Unknown and puts on the taint that Kubernetes has for nodes known to run
nothing, `node.kubernetes.io/out-of-service`: pods there are evicted at once and their objects removed
without waiting for the node, so that a gang starts elsewhere in seconds, and never while one of its ranks
still lives. Where nobody can vouch (the machine lost its power), the lease runs out and the pods wait for an
administrator or for the Node object to be deleted.
A node that starts again takes its own taint off, in `Registration.begin_life`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from springtide.api.commands import Apply
from springtide.api.labels import NODE_LIFE, TAINT_OUT_OF_SERVICE
from springtide.api.nodes import Node, NodeCondition, Taint
from springtide.api.struct import encode
from springtide.client import ApiError, Client, Conflict, Connection, NotFound, Unreachable, connect, execute
from springtide.runtime import SystemClock

VOUCHED = "springtide-watchdog"
"""Value of the taint where the watchdog put it on."""
MANAGER = "node-watchdog"
TRIES = 60
TRY_SECONDS = 1.0


@dataclass(frozen=True)
class LastWord:
    """What the watchdog needs to have this program run: arguments, and the way to the server."""

    node: str
    life: str
    connection: Connection

    def secret(self) -> bytes:
        """The connection; handed over through memory, never a file."""
        return msgspec.msgpack.encode(self.connection, enc_hook=str)

    def command(self, descriptor: int) -> Sequence[str]:
        """The program; it reads the secret from this descriptor."""
        return (sys.executable, "-m", "springtide.node.lastword", str(descriptor), self.node, self.life)


async def speak(client: Client, node: str, life: str, now: datetime) -> bool:
    """Say it once; False where there is nothing to say (any more). Raises ApiError."""
    known = await client.get(Node, node)
    if known.metadata.annotations.get(NODE_LIFE) != life:
        return False
    told = "the node's process died; its watchdog ended all processes of its pods"
    condition = NodeCondition(
        type="Ready",
        status="Unknown",
        reason="NodeProcessDied",
        message=told,
        last_heartbeat_time=now.replace(microsecond=0),
        last_transition_time=now.replace(microsecond=0),
    )
    fields: dict[str, Any] = {
        "metadata": {"resourceVersion": known.metadata.resource_version},
        "status": {"conditions": [encode(condition)]},
    }
    await execute(client, [Apply(Node, "", node, fields, "status", known.metadata.uid)])
    known = await client.get(Node, node)
    if known.metadata.annotations.get(NODE_LIFE) != life:
        return False
    if not any(taint.key == TAINT_OUT_OF_SERVICE for taint in known.spec.taints):
        out = Taint(
            key=TAINT_OUT_OF_SERVICE, value=VOUCHED, effect="NoExecute", time_added=now.replace(microsecond=0)
        )
        await write_taints(client, known, [*known.spec.taints, out])
    return True


async def return_to_service(client: Client, node: str) -> None:
    """At the start of a new life: the last word of the one before does not hold any more. Raises ApiError."""
    while True:
        try:
            known = await client.get(Node, node)
            kept = [taint for taint in known.spec.taints if not _is_ours(taint)]
            if kept != known.spec.taints:
                await write_taints(client, known, kept)
        except NotFound:
            return
        except Conflict:
            continue
        return


async def write_taints(client: Client, known: Node, taints: list[Taint]) -> None:
    """Replace the taints: a list with several writers, hence the precondition on its version."""
    metadata = {"uid": known.metadata.uid, "resourceVersion": known.metadata.resource_version}
    body = {"metadata": metadata, "spec": {"taints": [encode(taint) for taint in taints]}}
    await client.patch(Node, known.metadata.name, "", body)


def _is_ours(taint: Taint) -> bool:
    return taint.key == TAINT_OUT_OF_SERVICE and taint.value == VOUCHED


async def insist(client: Client, node: str, life: str, now: datetime) -> None:
    """Speak until the server has heard it, or somebody else has written first."""
    for _ in range(TRIES):
        try:
            await speak(client, node, life, now)
        except Conflict:
            continue
        except NotFound:
            return
        except (Unreachable, ApiError):
            await asyncio.sleep(TRY_SECONDS)
            continue
        return


def _path(_kind: type, text: str) -> Path:
    """The only part of a connection that is not plain data."""
    return Path(text)


async def main(descriptor: int, node: str, life: str) -> None:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        connection = msgspec.msgpack.decode(file.read(), type=Connection, dec_hook=_path)
    client = connect(connection).with_manager(MANAGER)
    try:
        await insist(client, node, life, SystemClock().now())
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
