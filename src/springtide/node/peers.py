"""Which pods know each other by name here, and the hosts file each of them sees.

Called by `agent.py`, which tells the running pods of a group when one joins. Addresses of pods on this node
are known before their pods start; those of other nodes once their status says so.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from springtide.api.core import Pod
from springtide.node.lifecycle import TERMINAL
from springtide.node.names import AddressBook, Peer, hostname, hosts_text, names_of, peer_group
from springtide.node.service_book import ServiceBook
from springtide.runtime import Cache

INDEX = "node.peers"


def by_group(pod: Pod) -> list[str]:
    """The index function the cache of pods must have under `INDEX`."""
    return [peer_group(pod)]


class Peers:
    """The groups of pods, seen from one node."""

    def __init__(self, pods: Cache[Pod], book: AddressBook, node: str, services: ServiceBook) -> None:
        self._pods = pods
        self._services = services
        self._book = book
        self._node = node
        self._machine_hosts = _machine_hosts()

    def of(self, pod: Pod) -> list[Peer]:
        """The pods of its group that have an address, itself too; of one name the incarnation that lives."""
        by_name: dict[str, Peer] = {}
        for peer in sorted(self._pods.by_index(INDEX, peer_group(pod)), key=_liveliness):
            address = self._address(peer)
            if address:
                by_name[hostname(peer)] = Peer(address, tuple(names_of(peer)))
        by_name[hostname(pod)] = Peer(self._book.assign(pod.metadata.uid), tuple(names_of(pod)))
        return list(by_name.values())

    def hosts(self, pod: Pod) -> str:
        """The text of its hosts file: its peers, then every Service there is."""
        known = [*self.of(pod), *self._services.names(pod.metadata.namespace)]
        return hosts_text(pod, known, self._machine_hosts)

    def _address(self, pod: Pod) -> str:
        here = pod.spec.node_name == self._node and pod.status.phase not in TERMINAL
        return self._book.assign(pod.metadata.uid) if here else pod.status.pod_ip


def _liveliness(pod: Pod) -> tuple[bool, bool, datetime | None, str]:
    """Sorts dead, dying and older pods before living, newer ones."""
    metadata = pod.metadata
    alive = pod.status.phase not in TERMINAL
    return alive, metadata.deletion_timestamp is None, metadata.creation_timestamp, metadata.name


def _machine_hosts() -> str:
    try:
        return Path("/etc/hosts").read_text()
    except OSError:
        return ""
