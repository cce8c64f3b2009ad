"""Keeps an owner's ControllerRevisions as its history says. Called by `statefulsets` and `daemonsets`."""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.apps import ControllerRevision
from springtide.api.meta import controller_of
from springtide.api.selectors import Labels
from springtide.builtin.own_writes import OwnWrites
from springtide.builtin.ownership import ORPHANS, claim, owners_of, settle_claim
from springtide.builtin.revisions import History, Owner, history
from springtide.client import AlreadyExists, Conflict, NotFound
from springtide.runtime import Runtime

_BY_OWNER = "builtin.owner"


class RevisionWrites:
    """The revisions of one kind of owner."""

    def __init__(self, runtime: Runtime, manager: str, writes: OwnWrites, label: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self._client = runtime.client.with_manager(manager)
        self._writes = writes
        self._label = label
        self.revisions = runtime.informer(ControllerRevision, indexes={_BY_OWNER: owners_of})

    async def current(self, owner: Owner, selector: Labels) -> History | None:
        """The history, written so that the present template is its newest; None: look again soon."""
        mine = self.revisions.cache.by_index(_BY_OWNER, owner.metadata.uid)
        orphans = self.revisions.cache.by_index(_BY_OWNER, ORPHANS + owner.metadata.namespace)
        found = claim(owner, selector, [*mine, *orphans])
        known = await settle_claim(self._runtime, self._manager, owner, found)
        if known is None:
            return None
        decided = history(owner, known, self._label)
        if decided.create:
            return await self._create(owner, decided)
        if decided.renumber is not None:
            written = await self._writes.change(owner, decided.current, {"revision": decided.renumber})
            return History(written, decided.older)
        return decided

    async def _create(self, owner: Owner, decided: History) -> History | None:
        wanted = decided.current
        try:
            made = await self._client.create(wanted)
        except AlreadyExists:
            await self._settle_collision(owner, wanted)
            return None
        self._runtime.observe(made)
        return History(made, decided.older)

    async def _settle_collision(self, owner: Owner, wanted: ControllerRevision) -> None:
        """The name is taken: by what we wanted, which the cache does not show yet, or by another."""
        try:
            found = await self._client.get(
                ControllerRevision, wanted.metadata.name, wanted.metadata.namespace
            )
        except NotFound:
            return
        self._runtime.observe(found)
        controller = controller_of(found)
        if controller is not None and controller.uid == owner.metadata.uid and found.data == wanted.data:
            return
        count = (owner.status.collision_count or 0) + 1
        try:
            body = {"status": {"collisionCount": count}}
            await self._writes.change(owner, owner, body, subresource="status")
        except Conflict:
            return

    async def remove(self, revisions: Iterable[ControllerRevision]) -> None:
        """Delete revisions nobody rolls back to any more."""
        for one in revisions:
            metadata = one.metadata
            try:
                await self._client.delete(
                    ControllerRevision, metadata.name, metadata.namespace, uid=metadata.uid
                )
            except (NotFound, Conflict):
                continue
