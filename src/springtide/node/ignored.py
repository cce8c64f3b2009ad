"""What a pod asks for that a process node does not do: said once in an event, never silently dropped.

Pure. Called by `agent.py` when a pod arrives. What would make the pod wrong rather than different (an unknown
kind of volume, a foreign user without root) fails it instead, see `volumes.py` and `container.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from springtide.api.containers import Container, LifecycleHandler
from springtide.api.core import Pod

_POD_FLAGS = ("host_pid", "host_ipc", "share_process_namespace", "set_hostname_as_fqdn", "runtime_class_name")
_SECURITY = (
    "capabilities",
    "privileged",
    "read_only_root_filesystem",
    "se_linux_options",
    "seccomp_profile",
    "app_armor_profile",
    "run_as_non_root",
)
_DEFAULT_MESSAGE_PATH = "/dev/termination-log"


def ignored_images(pod: Pod) -> list[str]:
    """Images that are not pulled."""
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    return sorted({one.image for one in containers if one.image})


def ignored_fields(pod: Pod, *, private_mounts: bool) -> list[str]:
    """Paths of fields without effect here, as in the pod's JSON."""
    return [*_of_pod(pod), *_of_containers(pod, private_mounts)]


def _of_pod(pod: Pod) -> Iterator[str]:
    for name in _POD_FLAGS:
        if getattr(pod.spec, name):
            yield f"spec.{_camel(name)}"
    if pod.spec.dns_config is not None:
        yield "spec.dnsConfig"
    if pod.spec.ephemeral_containers:
        yield "spec.ephemeralContainers"
    security = pod.spec.security_context
    if security is not None and security.fs_group is not None:
        yield "spec.securityContext.fsGroup"
    if security is not None and security.sysctls:
        yield "spec.securityContext.sysctls"
    for volume in pod.spec.volumes:
        if volume.empty_dir is not None and volume.empty_dir.size_limit is not None:
            yield f"spec.volumes[{volume.name}].emptyDir.sizeLimit"
        if volume.empty_dir is not None and volume.empty_dir.medium:
            yield f"spec.volumes[{volume.name}].emptyDir.medium"


def _of_containers(pod: Pod, private_mounts: bool) -> Iterator[str]:
    for part, containers in (
        ("initContainers", pod.spec.init_containers),
        ("containers", pod.spec.containers),
    ):
        for container in containers:
            for field in _of_container(container, private_mounts):
                yield f"spec.{part}[{container.name}].{field}"


def _of_container(container: Container, private_mounts: bool) -> Iterator[str]:
    for flag in ("volume_devices", "restart_policy_rules"):
        if getattr(container, flag):
            yield _camel(flag)
    for name in _SECURITY:
        if container.security_context is not None and getattr(container.security_context, name):
            yield f"securityContext.{_camel(name)}"
    path = container.termination_message_path
    if path not in ("", _DEFAULT_MESSAGE_PATH) and not private_mounts:
        yield "terminationMessagePath"
    if any(mount.read_only for mount in container.volume_mounts) and not private_mounts:
        yield "volumeMounts[].readOnly"
    if container.lifecycle is not None:
        for name, handler in (
            ("postStart", container.lifecycle.post_start),
            ("preStop", container.lifecycle.pre_stop),
        ):
            if handler is not None and not is_supported(handler):
                yield f"lifecycle.{name}"


def is_supported(handler: LifecycleHandler) -> bool:
    """Hooks run commands or sleep; they do not speak HTTP or TCP here."""
    return handler.exec is not None or handler.sleep is not None


def _camel(name: str) -> str:
    if name == "set_hostname_as_fqdn":
        return "setHostnameAsFQDN"
    head, *rest = name.split("_")
    words = [word.upper() if word in ("pid", "ipc") else word.capitalize() for word in rest]
    return head + "".join(words)
