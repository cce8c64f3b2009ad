"""With how few nodes a job can do: `mlPolicy.torch.elasticPolicy` of its runtime. Pure; called by `merge`.

Ranks of one attempt meet in a fixed number (static rendezvous), so a job is elastic from attempt to attempt:
it begins with as many pods as there is room for, at least `minNodes`, and is told how many they are.
"""

from __future__ import annotations

from springtide.api.trainer import ClusterTrainingRuntime, TorchElasticPolicy, TrainingRuntime


def elastic_policy(runtime: ClusterTrainingRuntime | TrainingRuntime) -> TorchElasticPolicy | None:
    """The runtime's, if it is elastic."""
    policy = runtime.spec.ml_policy
    return policy.torch.elastic_policy if policy is not None and policy.torch is not None else None


def fewest_nodes(runtime: ClusterTrainingRuntime | TrainingRuntime, count: int) -> int | None:
    """With how few of so many nodes the job can run; None: with no fewer. Raises ValueError."""
    elastic = elastic_policy(runtime)
    if elastic is None or elastic.min_nodes is None:
        return None
    if not 1 <= elastic.min_nodes <= count:
        raise ValueError(
            f"{runtime.kind} {runtime.metadata.name}: spec.mlPolicy.torch.elasticPolicy.minNodes is "
            f"{elastic.min_nodes}; it must be from 1 to the number of nodes, which is {count}",
        )
    return elastic.min_nodes if elastic.min_nodes < count else None
