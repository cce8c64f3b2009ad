"""The one place where a plan's commands become API calls. Called by `Runtime.apply` and by the CLI.

Commands run in order. What a plan may find changed since its snapshot is fine and skipped: a create that
exists, an apply or delete whose object is gone or was replaced. Everything else raises, and the plan is
made again from newer state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from springtide.api.commands import Apply, Bind, Command, Create, Delete, Emit
from springtide.api.core import Pod
from springtide.api.meta import Object
from springtide.client.client import Client
from springtide.client.errors import AlreadyExists, Conflict, NotFound


async def execute(
    client: Client, commands: Iterable[Command], *, record: Callable[[Emit], None] | None = None
) -> list[Object]:
    """Run a plan; returns the objects as the server stored them (also ones that linger while deleted).

    `record` takes the plan's events (see `runtime.events`); events without a recorder raise ValueError.
    """
    written: list[Object] = []
    for command in commands:
        obj = await _execute_one(client, command, record)
        if obj is not None:
            written.append(obj)
    return written


async def _execute_one(
    client: Client, command: Command, record: Callable[[Emit], None] | None
) -> Object | None:
    match command:
        case Create():
            return await _create(client, command)
        case Apply():
            return await _apply(client, command)
        case Delete():
            return await _delete(client, command)
        case Bind():
            return await _bind(client, command)
        case Emit():
            if record is None:
                raise ValueError(f"event {command.reason}: executing a plan with events needs a recorder")
            record(command)
    return None


async def _create(client: Client, command: Create) -> Object | None:
    try:
        return await client.create(command.obj)
    except AlreadyExists:
        return None


async def _apply(client: Client, command: Apply) -> Object | None:
    fields = command.fields
    if command.uid:
        # servers answer an apply whose uid differs from the live object's (or that would create) with 409
        fields = {**fields, "metadata": {**fields.get("metadata", {}), "uid": command.uid}}
    try:
        return await client.apply(
            command.kind, command.name, command.namespace, fields, subresource=command.subresource
        )
    except Conflict:
        if await _still_there(client, command):
            raise
        return None
    except NotFound:
        if command.uid or command.subresource:
            return None
        raise


async def _delete(client: Client, command: Delete) -> Object | None:
    try:
        return await client.collection(command.kind).delete(
            command.name,
            command.namespace,
            uid=command.uid,
            grace_period_seconds=command.grace_period_seconds,
            propagation=command.propagation,
        )
    except NotFound:
        return None
    except Conflict:
        if await _still_there(client, command):
            raise
        return None


async def _still_there(client: Client, command: Apply | Delete) -> bool:
    """Whether a conflict is about more than an object gone or replaced: then the plan is made again."""
    if not command.uid:
        return True
    try:
        found = await client.get(command.kind, command.name, command.namespace)
    except NotFound:
        return False
    return found.metadata.uid == command.uid


async def _bind(client: Client, command: Bind) -> Object | None:
    """The pod, if somebody else had bound it already: what was decided of it did not happen."""
    try:
        await client.bind(command.namespace, command.pod, command.node, uid=command.uid, notes=command.notes)
    except NotFound:
        return None
    except Conflict:
        try:
            found = await client.get(Pod, command.pod, command.namespace)
        except NotFound:
            return None
        if _still_waits(found, command):
            raise
        return found if found.spec.node_name != command.node else None
    return None


def _still_waits(found: Pod, command: Bind) -> bool:
    """Whether a refused binding is about more than a pod that is bound, gone or replaced."""
    same = not command.uid or found.metadata.uid == command.uid
    return same and not found.spec.node_name and found.metadata.deletion_timestamp is None
