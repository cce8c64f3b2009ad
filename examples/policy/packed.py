"""A site's own policy in ten lines: the node with the fewest free GPUs that still holds the pod.

springtide simulate openb --nodes NODES.csv --pods PODS.csv --policy fragments --policy packed.py:PACKED
"""

from springtide.scheduling import Policy, Ranking, Sight


def fewest_free_gpus(sight: Sight) -> Ranking:
    return Ranking(sight.nodes.share.sum(axis=1) + sight.nodes.cpu / 1e6)


PACKED = Policy("packed", fewest_free_gpus)
