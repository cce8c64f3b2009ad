"""What the scheduler knows, asked once from the server: for `plan`, `explain` and `simulate capacity`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from springtide import client as api
from springtide.api.version import is_embedded
from springtide.cli.session import Session

if TYPE_CHECKING:
    from springtide.api.meta import Object
    from springtide.scheduling.plan import Options
    from springtide.scheduling.state import ClusterState


async def cluster(session: Session) -> ClusterState:
    """A state as the scheduler has it, that nobody keeps current."""
    from springtide.scheduling.feeds import state_of

    return state_of(await objects(session), embedded=await embeds(session))


async def embeds(session: Session) -> bool:
    """Whether the server is the embedded one: it has no other scheduler, and its nodes serve claims."""
    return is_embedded((await session.client.request("GET", "/version")).body)


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


async def options(session: Session) -> Options:
    """How the scheduler decides there: by the SchedulerConfiguration `default`, if it has one that holds."""
    from springtide.api.configuration import SchedulerConfiguration
    from springtide.scheduling.configuration import DEFAULT, configured
    from springtide.scheduling.plan import Options

    try:
        found = await session.client.get(SchedulerConfiguration, DEFAULT)
        return configured(Options(), found.spec)
    except (api.NotFound, ValueError):  # one that does not hold is not worked by
        return Options()
