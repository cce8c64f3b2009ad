"""What runs on a node: pods as processes of this machine, or simulated by the thousand.

`up` makes a `ProcessNode` and, when asked to simulate, `SimulatedNodes`; both offer `logs` to the API server.
"""

from springtide.node.agent import ProcessNode
from springtide.node.behaviour import Behaviour
from springtide.node.inventory import InventoryError, load_nodes
from springtide.node.registration import Endpoint
from springtide.node.settings import ProcessNodeSettings
from springtide.node.simulated import SimulatedNodes, SimulationSettings

__all__ = [
    "Behaviour",
    "Endpoint",
    "InventoryError",
    "ProcessNode",
    "ProcessNodeSettings",
    "SimulatedNodes",
    "SimulationSettings",
    "load_nodes",
]
