"""What the scheduler knows, asked once from the server: for `plan`, `explain` and `simulate capacity`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from springtide import client as api
from springtide.cli.session import Session

if TYPE_CHECKING:
    from springtide.api.meta import Object
    from springtide.scheduling.state import ClusterState


async def cluster(session: Session) -> ClusterState:
    """A state as the scheduler has it, that nobody keeps current."""
    from springtide.scheduling.feeds import state_of

    return state_of(await objects(session))


async def objects(session: Session) -> list[Object]:
    """All objects the scheduler looks at; of kinds the server does not serve, none."""
    from springtide.scheduling.feeds import feeds
    from springtide.scheduling.state import ClusterState

    found: list[Object] = []
    for kind in feeds(ClusterState()):
        try:
            found += (await session.client.list(kind)).items
        except api.NotFound:
            continue
    return found
