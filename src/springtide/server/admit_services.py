"""Admission: every Service has an address, and a port of every node where its type asks for one.

Part of the chain in `admit_chain`. Addresses come from a block of loopback, because that is what processes of
one machine can be reached at without any set-up; a node's proxy (`node/proxy.py`) listens there. Which block
it is, `up` says, so that platforms of one machine have different ones. What is taken is known from the
Services themselves and read anew at every start: nothing can leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import msgspec

from springtide.server.admit import CREATE, UPDATE, Change, Plugin
from springtide.server.service_block import API_SERVER, DEFAULT_BLOCK, first_address
from springtide.server.service_rules import NONE, OUTSIDE
from springtide.server.status import InternalError, bad_value, invalid

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]

NODE_PORTS = range(30_000, 32_768)
"""Kubernetes' default `--service-node-port-range`."""
_PORTS_APART = 50
"""Node ports between the first ones of two neighbouring blocks."""
_SERVICES = "services"


class ServiceAddressPlugin(Plugin):
    """Gives out addresses and node ports; one is never given to two Services at a time."""

    operations = (CREATE, UPDATE)
    resources = frozenset({_SERVICES})

    def __init__(self, block: IPv4Network = DEFAULT_BLOCK) -> None:
        self._block = block
        self._holders: dict[str | int, str] = {}
        """Address or node port -> key of the Service that has it."""
        self._held: dict[str, tuple[str | int, ...]] = {}
        self._last_address = first_address(block)
        self._last_port = _first_port(block) - 1

    # -- what is taken --------------------------------------------------------------------------------

    def started(self, context: Context) -> None:
        self._holders.clear()
        self._held.clear()
        for record in context.store.page(_SERVICES).records:
            self._note(msgspec.json.decode(record.value), deleted=False)

    def lost(self, context: Context) -> None:
        self.started(context)

    def accepted(self, resource: str, obj: Json, context: Context, *, deleted: bool) -> None:
        if resource == _SERVICES:
            self._note(obj, deleted=deleted)

    def _note(self, service: Json, *, deleted: bool) -> None:
        key = f"{service['metadata'].get('namespace', '')}/{service['metadata']['name']}"
        for taken in self._held.pop(key, ()):
            self._holders.pop(taken, None)
        if deleted:
            return
        held: tuple[str | int, ...] = (*_addresses(service["spec"]), *_node_ports(service["spec"]))
        self._held[key] = held
        self._holders.update(dict.fromkeys(held, key))

    # -- what is given --------------------------------------------------------------------------------

    def admit(self, change: Change, context: Context) -> None:
        if change.obj is None:
            return
        spec = change.obj["spec"] = dict(change.obj["spec"])
        key = f"{change.namespace}/{change.obj['metadata'].get('name', '')}"
        self._give_address(change, spec, key)
        self._give_ports(change, spec, key)

    def _give_address(self, change: Change, spec: Json, key: str) -> None:
        if spec.get("type") == "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
            return
        address = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if not address:
            address = self._free_address(is_api_server=key == API_SERVER)
        elif address != NONE:
            self._claim(change, address, key)
        spec["clusterIP"], spec["clusterIPs"] = address, [address]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _claim(self, change: Change, address: str, key: str) -> None:
        """Raises Invalid for an address outside the block, or of another Service."""
        field = "spec.clusterIPs"
        if self._holders.get(address, key) != key:
            raise _refused(
                change, field, [address], f"failed to allocate IP {address}: provided IP is already allocated"
            )
        if address not in self._held.get(key, ()) and not self._is_in_block(address):
            raise _refused(
                change,
                field,
                [address],
                f"failed to allocate IP {address}: the provided IP is not in the valid range. "
                f"The range of valid IPs is {self._block}",
            )

    def _free_address(self, *, is_api_server: bool) -> str:
        first = first_address(self._block)
        if is_api_server and str(first) not in self._holders:
            return str(first)
        for _ in range(self._block.num_addresses):
            self._last_address += 1
            if self._last_address >= self._block.broadcast_address:
                self._last_address = first + 1
            if str(self._last_address) not in self._holders:
                return str(self._last_address)
        raise InternalError(f"failed to allocate a serviceIP: all of {self._block} are taken")

    def _is_in_block(self, address: str) -> bool:
        """Whether it is an address at all, and one of the block."""
        try:
            return IPv4Address(address) in self._block
        except AddressValueError:
            return False

    def _give_ports(self, change: Change, spec: Json, key: str) -> None:
        wanted = spec.get("type") in OUTSIDE and spec.get("allocateLoadBalancerNodePorts") is not False
        if not spec.get("ports"):
            return
        spec["ports"] = [dict(port) for port in spec["ports"]]
        given: dict[int, str] = {}
        for index, port in enumerate(spec["ports"]):
            number = port.get("nodePort")
            if number and spec.get("type") in OUTSIDE:
                self._claim_port(change, f"spec.ports[{index}].nodePort", number, key)
            elif wanted:
                number = port["nodePort"] = self._free_port(given)
            if number:
                given[number] = key

    def _claim_port(self, change: Change, field: str, number: int, key: str) -> None:
        if self._holders.get(number, key) != key:
            raise _refused(change, field, number, "provided port is already allocated")
        if number not in NODE_PORTS:
            raise _refused(
                change,
                field,
                number,
                f"provided port is not in the valid range. The range of valid ports is "
                f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}",
            )

    def _free_port(self, given: dict[int, str]) -> int:
        for _ in NODE_PORTS:
            self._last_port = self._last_port + 1 if self._last_port + 1 in NODE_PORTS else NODE_PORTS.start
            if self._last_port not in self._holders and self._last_port not in given:
                return self._last_port
        raise InternalError("failed to allocate a nodePort: range is full")


def _addresses(spec: Json) -> Iterator[str]:
    address = spec.get("clusterIP")
    if address and address != NONE:
        yield address


def _node_ports(spec: Json) -> Iterator[int]:
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]


def _first_port(block: IPv4Network) -> int:
    """Where the search for node ports begins: all platforms of a machine share them, so each elsewhere."""
    away = int(block.network_address) - int(DEFAULT_BLOCK.network_address)
    return NODE_PORTS.start + (away // block.num_addresses) * _PORTS_APART % len(NODE_PORTS)


def _refused(change: Change, field: str, value: Any, rule: str) -> Exception:
    name = change.name or (change.obj or {})["metadata"].get("name", "")
    return invalid(change.kind.group, change.kind.kind, name, [bad_value(field, value, rule)])
