"""What runs on a node: pods as processes of this machine, or simulated by the thousand.

`up` makes a `ProcessNode` and, when asked to simulate, `SimulatedNodes`; both offer `logs` to the API server.
"""

from springtide.node.agent import ProcessNode
from springtide.node.settings import ProcessNodeSettings

__all__ = ["ProcessNode", "ProcessNodeSettings"]
