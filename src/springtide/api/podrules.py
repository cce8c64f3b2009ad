"""Rules of pods that no schema says. Part of `springtide.api.validation`; also called for pod templates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from springtide.api import quantity
from springtide.api.containers import Container, EnvVar, Probe, ResourceRequirements
from springtide.api.fielderrors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    required,
    unsupported,
)
from springtide.api.names import env_name_fault, label_fault, qualified_fault, subdomain_fault
from springtide.api.pods import PodSpec
from springtide.api.volumes import ResourceList, Volume

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_DIVISIBLE = frozenset(("cpu", "memory", "storage", "ephemeral-storage"))
_VOLUME_SOURCES = tuple(name for name in Volume.__struct_fields__ if name not in ("unknown", "name"))
_PROBE_ACTIONS = ("exec", "http_get", "tcp_socket", "grpc")


def pod_spec_errors(spec: PodSpec, field: str, *, image_required: bool = True) -> list[FieldError]:
    """What is wrong with a pod spec that stands at `field`.

    Templates whose image comes from elsewhere (a TrainJob's trainer) pass `image_required=False`.
    """
    errors = list(_volume_errors(spec.volumes, f"{field}.volumes"))
    if not spec.containers:
        errors.append(required(f"{field}.containers", "a pod has at least one container"))
    volumes = {volume.name for volume in spec.volumes}
    names: set[str] = set()
    for part, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for index, container in enumerate(containers):
            place = f"{field}.{part}[{index}]"
            errors += _container_errors(container, place, volumes, image_required=image_required)
            if container.name in names:
                errors.append(duplicate(f"{place}.name", container.name))
            names.add(container.name)
    errors += _choice_errors(spec, field)
    errors += _host_name_errors(spec, field)
    errors += _placement_errors(spec, field)
    for name, seconds, least in (
        ("terminationGracePeriodSeconds", spec.termination_grace_period_seconds, 0),
        ("activeDeadlineSeconds", spec.active_deadline_seconds, 1),
    ):
        if seconds is not None and seconds < least:
            errors.append(invalid(f"{field}.{name}", seconds, f"must be at least {least}"))
    return errors


def resource_errors(resources: ResourceRequirements, field: str) -> list[FieldError]:
    """What is wrong with requests and limits: spelling, sign, whole devices, requests within limits."""
    errors = list(_amount_errors(resources.limits, f"{field}.limits"))
    errors += _amount_errors(resources.requests, f"{field}.requests")
    if errors:
        return errors
    for name, amount in resources.requests.items():
        place, limit = f"{field}.requests[{name}]", resources.limits.get(name)
        if limit is None:
            if _is_extended(name):
                errors.append(
                    required(f"{field}.limits[{name}]", "limit must be set for an extended resource")
                )
        elif quantity.parse(amount) > quantity.parse(limit):
            errors.append(invalid(place, amount, f"must be less than or equal to {name} limit of {limit}"))
        elif _is_extended(name) and quantity.parse(amount) != quantity.parse(limit):
            errors.append(invalid(place, amount, f"must be equal to {name} limit of {limit}"))
    return errors


def env_errors(env: Sequence[EnvVar], field: str) -> Iterator[FieldError]:
    """What is wrong with environment variables."""
    for index, variable in enumerate(env):
        place = f"{field}[{index}]"
        if not variable.name:
            yield required(f"{place}.name")
        elif fault := env_name_fault(variable.name):
            yield invalid(f"{place}.name", variable.name, fault)
        if variable.value and variable.value_from is not None:
            yield invalid(
                f"{place}.valueFrom", variable.name, "may not be specified when `value` is not empty"
            )


def _container_errors(
    container: Container, field: str, volumes: set[str], *, image_required: bool
) -> Iterator[FieldError]:
    if not container.name:
        yield required(f"{field}.name")
    elif fault := label_fault(container.name):
        yield invalid(f"{field}.name", container.name, fault)
    if image_required and not container.image.strip():
        yield required(f"{field}.image")
    if container.image_pull_policy and container.image_pull_policy not in _PULL_POLICIES:
        yield unsupported(f"{field}.imagePullPolicy", container.image_pull_policy, _PULL_POLICIES)
    yield from env_errors(container.env, f"{field}.env")
    yield from resource_errors(container.resources, f"{field}.resources")
    yield from _port_errors(container, field)
    yield from _mount_errors(container, field, volumes)
    for name, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            yield from _probe_errors(probe, f"{field}.{name}")


def _port_errors(container: Container, field: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, port in enumerate(container.ports):
        place = f"{field}.ports[{index}]"
        if not 1 <= port.container_port <= 65535:
            yield invalid(
                f"{place}.containerPort", port.container_port, "must be between 1 and 65535, inclusive"
            )
        if port.name and port.name in names:
            yield duplicate(f"{place}.name", port.name)
        names.add(port.name)


def _mount_errors(container: Container, field: str, volumes: set[str]) -> Iterator[FieldError]:
    paths: set[str] = set()
    for index, mount in enumerate(container.volume_mounts):
        place = f"{field}.volumeMounts[{index}]"
        if mount.name not in volumes:
            yield not_found(f"{place}.name", mount.name)
        if mount.mount_path in paths:
            yield invalid(f"{place}.mountPath", mount.mount_path, "must be unique")
        paths.add(mount.mount_path)
        if mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/"):
            yield invalid(f"{place}.subPath", mount.sub_path, "must be a relative path without '..'")


def _probe_errors(probe: Probe, field: str) -> Iterator[FieldError]:
    actions = sum(getattr(probe, name) is not None for name in _PROBE_ACTIONS)
    if actions == 0:
        yield required(field, "must specify a handler type")
    if actions > 1:
        yield forbidden(field, "may not specify more than 1 handler type")


def _volume_errors(volumes: Sequence[Volume], field: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        place = f"{field}[{index}]"
        if not volume.name:
            yield required(f"{place}.name")
        elif fault := label_fault(volume.name):
            yield invalid(f"{place}.name", volume.name, fault)
        if volume.name in names:
            yield duplicate(f"{place}.name", volume.name)
        names.add(volume.name)
        if sum(getattr(volume, source) is not None for source in _VOLUME_SOURCES) > 1:
            yield forbidden(place, "may not specify more than 1 volume type")


def _choice_errors(spec: PodSpec, field: str) -> Iterator[FieldError]:
    if spec.restart_policy and spec.restart_policy not in _RESTART_POLICIES:
        yield unsupported(f"{field}.restartPolicy", spec.restart_policy, _RESTART_POLICIES)
    if spec.dns_policy and spec.dns_policy not in _DNS_POLICIES:
        yield unsupported(f"{field}.dnsPolicy", spec.dns_policy, _DNS_POLICIES)


def _host_name_errors(spec: PodSpec, field: str) -> Iterator[FieldError]:
    for name, value in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if value and (fault := label_fault(value)):
            yield invalid(f"{field}.{name}", value, fault)
    if spec.node_name and (fault := subdomain_fault(spec.node_name)):
        yield invalid(f"{field}.nodeName", spec.node_name, fault)


def _placement_errors(spec: PodSpec, field: str) -> Iterator[FieldError]:
    for index, toleration in enumerate(spec.tolerations):
        place = f"{field}.tolerations[{index}]"
        if toleration.key and (fault := qualified_fault(toleration.key)):
            yield invalid(f"{place}.key", toleration.key, fault)
        if not toleration.key and toleration.operator != "Exists":
            yield invalid(f"{place}.operator", toleration.operator, "must be Exists when `key` is empty")
        if toleration.operator not in ("", "Equal", "Exists"):
            yield unsupported(f"{place}.operator", toleration.operator, ("Equal", "Exists"))
        if toleration.operator == "Exists" and toleration.value:
            yield invalid(f"{place}.value", toleration.value, "must be empty when `operator` is 'Exists'")
        if toleration.effect and toleration.effect not in _EFFECTS:
            yield unsupported(f"{place}.effect", toleration.effect, _EFFECTS)


def _amount_errors(amounts: ResourceList, field: str) -> Iterator[FieldError]:
    for name, amount in amounts.items():
        place = f"{field}[{name}]"
        if fault := qualified_fault(name):
            yield invalid(place, name, fault)
            continue
        try:
            exact = quantity.parse(amount)
        except ValueError as error:
            yield invalid(place, amount, str(error))
            continue
        if exact < 0:
            yield invalid(place, amount, "must be greater than or equal to 0")
        elif _is_extended(name) and exact.denominator != 1:
            yield invalid(place, amount, "must be an integer")


def _is_extended(name: str) -> bool:
    """Devices and the like: whole numbers, never overcommitted."""
    return name not in _DIVISIBLE and "/" in name
