"""Addresses and names of pods on one machine: each has a loopback address, peers find each other by name.

Peers are the pods of one namespace and subdomain, as behind a headless Service. Where the machine permits
private mounts, every pod sees its own /etc/hosts, kept up to date in place; elsewhere
`resolver/sitecustomize.py` teaches Python programs the same file. Called by `agent.py` and `pod.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from springtide.api.core import Pod
from springtide.runtime.loopback import POD_BLOCKS, Held, hold

SHARED_ADDRESS = "127.0.0.1"
CLUSTER_DOMAIN = "cluster.local"


class AddressBook:
    """Gives every pod uid an address no living pod has; kept on disk so that a restart changes none."""

    def __init__(self, path: Path, prefix: str, *, distinct: bool) -> None:
        """`prefix` is what all addresses begin with; those of another one are given up.

        `distinct` is False where only 127.0.0.1 can be bound; then all pods share it.
        """
        self._path = path
        self._prefix = prefix
        self._distinct = distinct
        self._next = 0
        self._addresses: dict[str, str] = {}
        if path.exists():
            saved = json.loads(path.read_bytes())
            self._next = int(saved["next"])
            found = dict(saved["addresses"])
            self._addresses = {uid: one for uid, one in found.items() if one.startswith(f"{prefix}.")}

    def get(self, uid: str) -> str:
        """The pod's address, empty if it has none."""
        return self._addresses.get(uid, "")

    def assign(self, uid: str) -> str:
        """The pod's address, a new one if it has none. Addresses are reused as late as possible."""
        if not self._distinct:
            return SHARED_ADDRESS
        if uid not in self._addresses:
            self._addresses[uid] = self._free()
            self._save()
        return self._addresses[uid]

    def release(self, uid: str) -> None:
        """The pod is gone."""
        if self._addresses.pop(uid, None) is not None:
            self._save()

    def keep(self, uids: Iterable[str]) -> None:
        """Release all but these."""
        living = set(uids)
        for uid in [uid for uid in self._addresses if uid not in living]:
            self.release(uid)

    def _free(self) -> str:
        taken = set(self._addresses.values())
        while True:
            # 254 addresses in each of 254 blocks, none ending in 0 or 255
            block, host = divmod(self._next, 254)
            self._next = (self._next + 1) % (254 * 254)
            address = f"{self._prefix}.{block + 1}.{host + 1}"
            if address not in taken:
                return address

    def _save(self) -> None:
        fresh = self._path.with_suffix(".new")
        saved = {"prefix": self._prefix, "next": self._next, "addresses": self._addresses}
        fresh.write_text(json.dumps(saved))
        fresh.replace(self._path)


def hold_prefix(path: Path, wanted: str = "") -> tuple[str, Held]:
    """Addresses for pods that no other node of this machine gives out: the prefix, and the hold on it.

    `wanted` or none; else the one that the book at `path` had last time, if it is free. Raises BlockTaken.
    """
    if wanted:
        held = hold((), first=_block(wanted))
    else:
        last = str(json.loads(path.read_bytes()).get("prefix", "")) if path.exists() else ""
        held = hold(POD_BLOCKS, user=str(path), first=_block(last) if last else None)
    return ".".join(str(held.block.network_address).split(".")[:2]), held


def _block(prefix: str) -> IPv4Network:
    return IPv4Network(f"{prefix}.0.0/16")


def hostname(pod: Pod) -> str:
    """The pod's host name: `spec.hostname`, else its own name, within 63 characters."""
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def peer_group(pod: Pod) -> str:
    """Pods of one group know each other's names; a pod without subdomain is alone."""
    return f"{pod.metadata.namespace}/{pod.spec.subdomain or pod.metadata.uid}"


def names_of(pod: Pod) -> list[str]:
    """All names of the pod, the full one first."""
    short, subdomain, namespace = hostname(pod), pod.spec.subdomain, pod.metadata.namespace
    if not subdomain:
        return [short]
    base = f"{short}.{subdomain}"
    return [
        f"{base}.{namespace}.svc.{CLUSTER_DOMAIN}",
        f"{base}.{namespace}.svc",
        f"{base}.{namespace}",
        base,
        short,
    ]


@dataclass(frozen=True)
class Peer:
    """One line of a hosts file."""

    address: str
    names: tuple[str, ...]


def hosts_text(pod: Pod, peers: Iterable[Peer], machine: str) -> str:
    """The pod's /etc/hosts. Of the machine's own, the lines for addresses elsewhere are kept."""
    lines = [
        "# Made by Springtide for this pod; peers are added as they appear.",
        "127.0.0.1 localhost",
        "::1 localhost",
    ]
    lines += [
        line for line in machine.splitlines() if line.strip() and not line.startswith(("127.", "::1", "#"))
    ]
    lines += [f"{peer.address} {' '.join(peer.names)}" for peer in peers]
    for alias in pod.spec.host_aliases:
        lines.append(f"{alias.ip} {' '.join(alias.hostnames)}")
    return "\n".join(lines) + "\n"


def write_in_place(path: Path, text: str) -> None:
    """Change a bind-mounted file: it must stay the same file, so one write goes over it, then it is cut."""
    data = text.encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.pread(descriptor, len(data) + 1, 0) == data:
            return
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def substituted(environment: Mapping[str, str], peers: Iterable[Peer]) -> dict[str, str]:
    """Peers' names in environment values, as addresses: for programs that cannot be taught names."""
    addresses = {name: peer.address for peer in peers for name in peer.names}
    return {key: addresses.get(value, value) for key, value in environment.items()}
