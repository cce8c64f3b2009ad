"""The plug-ins of admission, in order. `Server` builds the chain once.

Add a plug-in in a file of its own (`admit_<what>.py`) and name it here, where its turn is: those that fill in
before those that count.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from springtide.server.admit import Admission
from springtide.server.admit_defaults import (
    NamespacePlugin,
    RuntimeClassPlugin,
    StorageClassPlugin,
    TolerationPlugin,
)
from springtide.server.admit_limits import LimitsPlugin
from springtide.server.admit_node import NodeRestriction
from springtide.server.admit_priority import PriorityPlugin
from springtide.server.admit_quota import QuotaPlugin
from springtide.server.admit_rbac import EscalationPlugin
from springtide.server.admit_serviceaccount import ServiceAccountPlugin
from springtide.server.admit_services import ServiceAddressPlugin
from springtide.server.service_block import DEFAULT_BLOCK


def admission(*, mount_tokens: bool = False, service_block: IPv4Network = DEFAULT_BLOCK) -> Admission:
    """The chain of a server; plug-ins may keep state, so every server has its own.

    `mount_tokens` gives pods their service account and a token of it. Services get addresses of
    `service_block`.
    """
    identities = (ServiceAccountPlugin(),) if mount_tokens else ()
    return Admission(
        (
            NamespacePlugin(),
            LimitsPlugin(),
            *identities,
            NodeRestriction(),
            PriorityPlugin(),
            TolerationPlugin(),
            EscalationPlugin(),
            RuntimeClassPlugin(),
            StorageClassPlugin(),
            ServiceAddressPlugin(service_block),
            QuotaPlugin(),
        )
    )
