"""What a pod wants of devices: HAMi's resources and annotations as a `DeviceRequest`. Called by `classes`.

A pod may ask for devices of several kinds: the first, GPUs if it asks for any, has the rest as `also`.

Source: HAMi, docs/config.md and pkg/device/devices.go (names; models match by any part, in any case).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from springtide.api.gpus import GPU as GPU
from springtide.api.gpus import PARTITIONED, SLICE_SHARE, WHOLE, Part, asked_of
from springtide.api.gpus import PARTS as GPU_PARTS
from springtide.api.gpus import REGISTER as REGISTER
from springtide.api.gpus import registered as registered
from springtide.api.makerdevices import Wish, wishes_of
from springtide.api.makers import PART_RESOURCES
from springtide.api.pods import PodSpec
from springtide.scheduling.colocation import binds_numa
from springtide.scheduling.devices import BINPACK, SPREAD, DeviceRequest
from springtide.scheduling.links import HARD, NONE, POLICIES, SINGLE
from springtide.scheduling.requests import pod_requests

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
MODE = "nvidia.com/vgpu-mode"
"""HAMi's way to ask for a kind of parts: `mig` for those cut by hardware."""
NUMA_BIND = "nvidia.com/numa-bind"
"""HAMi's way to ask for GPUs of one NUMA node: `true`."""
NUMA_POLICY = "volcano.sh/numa-topology-policy"
"""Volcano's, with the policies of Kubernetes' Topology Manager."""
NIC_PREFIX = "rdma/"
"""Resources that are NICs, which nodes may name; `springtide.dev/device-topology` says which of them."""
PARTS = PART_RESOURCES | set(GPU_PARTS)
"""Resources that say which part of each device is asked for; nodes do not list them."""
_POLICIES = (BINPACK, SPREAD)


def device_request(spec: PodSpec, annotations: Mapping[str, str]) -> DeviceRequest | None:
    """What a pod wants of devices; None if nothing.

    Raises ValueError when a part is out of range, or containers of the pod ask for different parts.
    """
    gpus = _gpus(spec, annotations)
    others = [_of_maker(wish, annotations) for wish in wishes_of(spec, annotations)]
    if not others:
        return gpus
    first, *rest = (gpus, *others) if gpus is not None else others
    return replace(first, also=tuple(rest), nics=_nics(spec))


def _of_maker(wish: Wish, annotations: Mapping[str, str]) -> DeviceRequest:
    maker, part, rule = wish.maker, wish.part, _numa_policy(annotations)
    if maker.module > 1 and rule in HARD:
        raise ValueError(
            f"annotation {NUMA_POLICY}: {rule} cannot be kept for {maker.resource},"
            " which is given by modules; leave it out"
        )
    return DeviceRequest(
        resource=maker.resource,
        count=wish.count,
        share=part.share,
        memory=part.memory,
        percent=part.percent,
        models=frozenset(f"*{name}*" for name in _names(annotations, maker.use_models)),
        not_models=frozenset(f"*{name}*" for name in _names(annotations, maker.not_models)),
        ids=frozenset().union(*(_names(annotations, key) for key in maker.use_ids)),
        not_ids=frozenset().union(*(_names(annotations, key) for key in maker.not_ids)),
        node_policy=_policy(annotations, NODE_POLICY),
        device_policy=_policy(annotations, DEVICE_POLICY),
        numa_policy=rule,
        mode=wish.mode,
        module=maker.module,
        alike=maker.alike,
    )


def _gpus(spec: PodSpec, annotations: Mapping[str, str]) -> DeviceRequest | None:
    """What it wants of GPUs."""
    asked = asked_of(spec)
    if asked is None:
        return None
    count, part = asked
    mode, rule = annotations.get(MODE, "").strip(), _numa_policy(annotations)
    if mode == PARTITIONED and rule in HARD:
        raise ValueError(f"annotation {NUMA_POLICY}: {rule} cannot be kept with {MODE}: {PARTITIONED}")
    cut = part if mode == PARTITIONED else None
    if cut is not None:
        part = Part(SLICE_SHARE, percent=WHOLE)
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
        numa_policy=rule,
        nics=_nics(spec),
        cut=cut,
    )


def _numa_policy(annotations: Mapping[str, str]) -> str:
    """The rule about NUMA nodes. Raises ValueError for one that is not known."""
    if annotations.get(NUMA_BIND, "").strip().lower() in ("true", "1", "t"):
        return SINGLE
    if binds_numa(annotations):
        return SINGLE
    said = annotations.get(NUMA_POLICY, "").strip()
    if said and said not in POLICIES:
        raise ValueError(f"annotation {NUMA_POLICY}: {said!r} is none of {', '.join(POLICIES)}")
    return "" if said == NONE else said


def _nics(spec: PodSpec) -> tuple[tuple[str, int], ...]:
    return tuple(
        sorted(item for item in pod_requests(spec).items() if item[0].startswith(NIC_PREFIX) and item[1])
    )


def _names(annotations: Mapping[str, str], key: str) -> frozenset[str]:
    return frozenset(name.strip() for name in annotations.get(key, "").split(",") if name.strip())


def _policy(annotations: Mapping[str, str], key: str) -> str:
    """Its policy; the scheduler's own where it names one that is not known here."""
    asked = annotations.get(key, "").strip().lower()
    return asked if asked in _POLICIES else ""
