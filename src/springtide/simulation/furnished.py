"""What every platform starts with, made once a process: its records go into the store of each run.

Called by `healthworld`, whose runs are so short that making this anew would be most of them.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

from springtide.client import Client
from springtide.runtime import LoopClock
from springtide.server import InProcessTransport, Server
from springtide.simulation import loop
from springtide.store import MemoryLog, Record, Store
from springtide.up.bootstrap import bootstrap

_UNUSED = frozenset(
    (
        "clustertrainingruntimes.trainer.kubeflow.org",
        "jobs.batch.volcano.sh",
        "podgroups.scheduling.volcano.sh",
        "requestceilings.springtide.dev",
        "trainingruntimes.trainer.kubeflow.org",
        "trainjobs.trainer.kubeflow.org",
    )
)


async def _bootstrapped() -> tuple[Record, ...]:
    log, clock = MemoryLog(), LoopClock()
    store = Store(log, monotonic=clock.monotonic)
    server = Server(store, clock=clock)
    await server.start()
    await bootstrap(Client(InProcessTransport(server)))
    await store.close()
    return tuple(record for record in log.load().records if _is_needed(record))


def _is_needed(record: Record) -> bool:
    """Kinds that nobody here looks at would be a twentieth of every run."""
    group = record.resource.partition("/")[0]
    return group != "trainer.kubeflow.org" and record.key not in _UNUSED


@functools.cache
def furnished() -> tuple[Record, ...]:
    """What every platform starts with, made once: kinds, queues, namespaces, roles."""
    with ThreadPoolExecutor(1) as pool:  # a loop of its own, beside the one that runs
        return pool.submit(loop.run, _bootstrapped()).result()
