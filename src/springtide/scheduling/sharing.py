"""What a pod wants of GPUs: HAMi's resources and annotations as a `DeviceRequest`. Called by `classes`.

Source: HAMi, docs/config.md and pkg/device/devices.go (names; models match by any part, in any case).
"""

from __future__ import annotations

from collections.abc import Mapping

from springtide.api.gpus import GPU as GPU
from springtide.api.gpus import PARTS as PARTS
from springtide.api.gpus import REGISTER as REGISTER
from springtide.api.gpus import asked_of
from springtide.api.gpus import registered as registered
from springtide.api.pods import PodSpec
from springtide.scheduling.devices import BINPACK, SPREAD, DeviceRequest

MODEL_LABEL = "nvidia.com/gpu.product"
"""Label of GPU feature discovery, for nodes that do not register their devices."""
MEMORY_LABEL = "nvidia.com/gpu.memory"
"""The same: MiB of each device."""
USE_MODELS = "nvidia.com/use-gputype"
NOT_MODELS = "nvidia.com/nouse-gputype"
USE_IDS = "nvidia.com/use-gpuuuid"
NOT_IDS = "nvidia.com/nouse-gpuuuid"
NODE_POLICY = "hami.io/node-scheduler-policy"
DEVICE_POLICY = "hami.io/gpu-scheduler-policy"
_POLICIES = (BINPACK, SPREAD)


def device_request(spec: PodSpec, annotations: Mapping[str, str]) -> DeviceRequest | None:
    """What a pod wants of GPUs; None if nothing.

    Raises ValueError when a part is out of range, or containers of the pod ask for different parts.
    """
    asked = asked_of(spec)
    if asked is None:
        return None
    count, part = asked
    return DeviceRequest(
        resource=GPU,
        count=count,
        share=part.share,
        memory=part.memory,
        percent=part.percent,
        models=frozenset(f"*{name}*" for name in _names(annotations, USE_MODELS)),
        not_models=frozenset(f"*{name}*" for name in _names(annotations, NOT_MODELS)),
        ids=_names(annotations, USE_IDS),
        not_ids=_names(annotations, NOT_IDS),
        node_policy=_policy(annotations, NODE_POLICY),
        device_policy=_policy(annotations, DEVICE_POLICY),
    )


def _names(annotations: Mapping[str, str], key: str) -> frozenset[str]:
    return frozenset(name.strip() for name in annotations.get(key, "").split(",") if name.strip())


def _policy(annotations: Mapping[str, str], key: str) -> str:
    """Its policy; the scheduler's own where it names one that is not known here."""
    asked = annotations.get(key, "").strip().lower()
    return asked if asked in _POLICIES else ""
