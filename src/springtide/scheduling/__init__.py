"""The engine: who runs where, decided in one place. `up` registers it; other rooms meet it through objects.

`ClusterState` keeps the cluster as arrays, `plan` decides one cycle on a `Snapshot` of it, `controller`
runs the cycles. The inside grows (topology, devices, preemption, backfill); this surface stays.
"""

from springtide.scheduling.controller import Settings as Settings
from springtide.scheduling.controller import register as register
from springtide.scheduling.plan import Options as Options
from springtide.scheduling.plan import plan as plan
from springtide.scheduling.policies import Policy as Policy
from springtide.scheduling.policies import Ranking as Ranking
from springtide.scheduling.policies import Sight as Sight
from springtide.scheduling.policies import register_policy as register_policy
from springtide.scheduling.snapshot import Snapshot as Snapshot
from springtide.scheduling.state import ClusterState as ClusterState
from springtide.scheduling.whatif import expected as expected
