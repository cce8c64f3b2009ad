"""core/v1: what runs in a pod. Part of `springtide.api.core`; read by the node and by runtimes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import field

from springtide.api.listtypes import Default, ListMap, ListSet
from springtide.api.struct import Struct
from springtide.api.volumes import (
    LocalObjectReference,
    ObjectFieldSelector,
    ResourceFieldSelector,
    ResourceList,
    VolumeDevice,
    VolumeMount,
)

DEFINITION_PREFIX = "io.k8s.api.core.v1"

IntOrString = int | str
"""A number, or a name or percentage."""


class ConfigMapKeySelector(LocalObjectReference):
    """One key of a ConfigMap."""

    atomic: ClassVar[bool] = True

    key: str
    """Key to take."""
    optional: bool | None = None
    """Whether the ConfigMap or the key may be missing."""


class SecretKeySelector(LocalObjectReference):
    """One key of a Secret."""

    atomic: ClassVar[bool] = True

    key: str
    """Key to take."""
    optional: bool | None = None
    """Whether the Secret or the key may be missing."""


class FileKeySelector(Struct):
    """One variable of an env file in a volume."""

    atomic: ClassVar[bool] = True

    volume_name: str
    """Volume that holds the file."""
    path: str
    """Relative path of the file in the volume."""
    key: str
    """Variable to take."""
    optional: Annotated[bool | None, Default(False)] = None
    """Whether the file or the variable may be missing."""


class EnvVarSource(Struct):
    """Where the value of a variable comes from; exactly one is set."""

    field_ref: ObjectFieldSelector | None = None
    """A field of the pod."""
    resource_field_ref: ResourceFieldSelector | None = None
    """A resource of a container."""
    config_map_key_ref: ConfigMapKeySelector | None = None
    """A key of a ConfigMap."""
    secret_key_ref: SecretKeySelector | None = None
    """A key of a Secret."""
    file_key_ref: FileKeySelector | None = None
    """A variable of an env file."""


class EnvVar(Struct):
    """One environment variable."""

    name: str
    """Name of the variable."""
    value: str = ""
    """Value; `$(NAME)` is replaced by variables defined before."""
    value_from: EnvVarSource | None = None
    """Where the value comes from, instead of `value`."""


class ConfigMapEnvSource(LocalObjectReference):
    """All keys of a ConfigMap."""

    optional: bool | None = None
    """Whether the ConfigMap may be missing."""


class SecretEnvSource(LocalObjectReference):
    """All keys of a Secret."""

    optional: bool | None = None
    """Whether the Secret may be missing."""


class EnvFromSource(Struct):
    """Variables taken from all keys of an object."""

    prefix: str = ""
    """Put before each name."""
    config_map_ref: ConfigMapEnvSource | None = None
    """The ConfigMap to take."""
    secret_ref: SecretEnvSource | None = None
    """The Secret to take."""


class ContainerPort(Struct):
    """A port the container listens on."""

    container_port: int
    """Port number on the pod's address."""
    protocol: str = "TCP"
    """`TCP`, `UDP` or `SCTP`."""
    name: str = ""
    """Name that services and probes may use."""
    host_port: int = 0
    """Port number on the node, if it is to be reachable there."""
    host_ip: str = field(name="hostIP", default="")
    """Address of the node to bind the host port to."""


class ResourceClaim(Struct):
    """A claim of the pod that the container uses."""

    name: str
    """Name of an entry of `spec.resourceClaims`."""
    request: str = ""
    """One request of the claim; all by default."""


class ResourceRequirements(Struct):
    """What the container needs and may use at most."""

    requests: ResourceList = {}
    """What is reserved for it; the limits by default."""
    limits: ResourceList = {}
    """What it may use at most."""
    claims: Annotated[list[ResourceClaim], ListMap("name", merge=False)] = []
    """Claims of the pod that it uses."""


class ContainerResizePolicy(Struct):
    """What a change of a resource takes."""

    resource_name: str
    """`cpu` or `memory`."""
    restart_policy: str
    """`NotRequired` or `RestartContainer`."""


class ExecAction(Struct):
    """Run a command in the container; exit code 0 is success."""

    command: list[str] = []
    """Program and arguments; no shell is involved."""


class HTTPHeader(Struct):
    """A header of a request."""

    name: str
    """Name of the header."""
    value: str
    """Its value."""


class HTTPGetAction(Struct):
    """Send a GET request; 200 to 399 is success."""

    port: IntOrString
    """Number or name of the port."""
    path: str = ""
    """Path to ask for."""
    host: str = ""
    """Host to connect to; the pod's address by default."""
    scheme: str = ""
    """`HTTP` (default) or `HTTPS`."""
    http_headers: list[HTTPHeader] = []
    """Further headers."""


class TCPSocketAction(Struct):
    """Open a connection; an accepted one is success."""

    port: IntOrString
    """Number or name of the port."""
    host: str = ""
    """Host to connect to; the pod's address by default."""


class GRPCAction(Struct):
    """Ask the gRPC health service."""

    port: int
    """Number of the port."""
    service: Annotated[str | None, Default("")] = None
    """Name of the service to ask about."""


class SleepAction(Struct):
    """Wait."""

    seconds: int
    """How long."""


class LifecycleHandler(Struct):
    """What to do at a point of a container's life; exactly one is set."""

    exec: ExecAction | None = None
    """Run a command."""
    http_get: HTTPGetAction | None = None
    """Send a request."""
    tcp_socket: TCPSocketAction | None = None
    """Has no effect; kept for old manifests."""
    sleep: SleepAction | None = None
    """Wait."""


class Lifecycle(Struct):
    """Hooks of a container's life."""

    post_start: LifecycleHandler | None = None
    """Right after the container was started; a failure kills it."""
    pre_stop: LifecycleHandler | None = None
    """Before the container is asked to stop, within the grace period."""
    stop_signal: str | None = None
    """Signal that asks the container to stop; SIGTERM by default."""


class Probe(Struct):
    """A check that is made again and again; exactly one action is set."""

    exec: ExecAction | None = None
    """Run a command."""
    http_get: HTTPGetAction | None = None
    """Send a request."""
    tcp_socket: TCPSocketAction | None = None
    """Open a connection."""
    grpc: GRPCAction | None = None
    """Ask the gRPC health service."""
    initial_delay_seconds: int = 0
    """How long after the start the first check is made."""
    timeout_seconds: int = 0
    """How long a check may take; 1 by default."""
    period_seconds: int = 0
    """How often it is made; every 10 seconds by default."""
    success_threshold: int = 0
    """Successes in a row after a failure that count as success; 1 by default."""
    failure_threshold: int = 0
    """Failures in a row that count as failure; 3 by default."""
    termination_grace_period_seconds: int | None = None
    """Grace period when this probe ends the container; the pod's by default."""


class SELinuxOptions(Struct):
    """SELinux labels."""

    user: str = ""
    """User label."""
    role: str = ""
    """Role label."""
    type: str = ""
    """Type label."""
    level: str = ""
    """Level label."""


class SeccompProfile(Struct):
    """Which system calls are let through."""

    type: str
    """`RuntimeDefault`, `Unconfined` or `Localhost`."""
    localhost_profile: str | None = None
    """File on the node, for `Localhost`."""


class AppArmorProfile(Struct):
    """Which AppArmor profile confines the process."""

    type: str
    """`RuntimeDefault`, `Unconfined` or `Localhost`."""
    localhost_profile: str | None = None
    """Profile on the node, for `Localhost`."""


class WindowsSecurityContextOptions(Struct):
    """Settings for Windows nodes."""

    gmsa_credential_spec_name: str | None = None
    """Name of the GMSA credential spec."""
    gmsa_credential_spec: str | None = None
    """The GMSA credential spec itself."""
    run_as_user_name: str | None = None
    """User the process runs as."""
    host_process: bool | None = None
    """Whether it runs as a process of the host."""


class Capabilities(Struct):
    """POSIX capabilities."""

    add: list[str] = []
    """Given in addition."""
    drop: list[str] = []
    """Taken away."""


class SecurityContext(Struct):
    """Privileges of one container; they override those of the pod."""

    capabilities: Capabilities | None = None
    """Capabilities to add and drop."""
    privileged: bool | None = None
    """Whether it has all rights of the node's root."""
    se_linux_options: SELinuxOptions | None = None
    """SELinux labels."""
    windows_options: WindowsSecurityContextOptions | None = None
    """Settings for Windows nodes."""
    run_as_user: int | None = None
    """User id of the process."""
    run_as_group: int | None = None
    """Group id of the process."""
    run_as_non_root: bool | None = None
    """Whether to refuse to start as user 0."""
    read_only_root_filesystem: bool | None = None
    """Whether the root file system is read-only."""
    allow_privilege_escalation: bool | None = None
    """Whether a process may gain more rights than its parent."""
    proc_mount: str | None = None
    """How /proc is mounted: `Default` or `Unmasked`."""
    seccomp_profile: SeccompProfile | None = None
    """Which system calls are let through."""
    app_armor_profile: AppArmorProfile | None = None
    """Which AppArmor profile confines it."""


class ContainerRestartRuleOnExitCodes(Struct):
    """Exit codes a rule speaks of."""

    operator: str
    """`In` or `NotIn`."""
    values: Annotated[list[int], ListSet()] = []
    """Exit codes."""


class ContainerRestartRule(Struct):
    """What to do when a container exits in a certain way."""

    action: str
    """`Restart` or `RestartAllContainers`."""
    exit_codes: ContainerRestartRuleOnExitCodes | None = None
    """Exit codes it holds for."""


class Container(Struct):
    """One program of a pod."""

    name: str
    """Name, unique within the pod."""
    image: str = ""
    """Image it is started from."""
    command: list[str] = []
    """Program and first arguments; the image's entrypoint by default. `$(NAME)` stands for a variable."""
    args: list[str] = []
    """Arguments; those of the image by default. `$(NAME)` stands for a variable."""
    working_dir: str = ""
    """Folder it starts in; that of the image by default."""
    ports: Annotated[
        list[ContainerPort], ListMap("containerPort", "protocol", merge_key="containerPort")
    ] = []
    """Ports it listens on; informative, other ports can be reached too."""
    env_from: list[EnvFromSource] = []
    """Objects whose keys become variables; `env` overrides them."""
    env: Annotated[list[EnvVar], ListMap("name")] = []
    """Environment variables."""
    resources: ResourceRequirements = ResourceRequirements()
    """What it needs and may use at most."""
    resize_policy: list[ContainerResizePolicy] = []
    """What a change of its resources takes."""
    restart_policy: str | None = None
    """`Always` makes an init container a sidecar that runs beside the others."""
    restart_policy_rules: list[ContainerRestartRule] = []
    """Exceptions to the restart policy, by exit code."""
    volume_mounts: Annotated[list[VolumeMount], ListMap("mountPath")] = []
    """Volumes it sees."""
    volume_devices: Annotated[list[VolumeDevice], ListMap("devicePath")] = []
    """Block devices it sees."""
    liveness_probe: Probe | None = None
    """Restart it when this check fails."""
    readiness_probe: Probe | None = None
    """It takes traffic only while this check succeeds."""
    startup_probe: Probe | None = None
    """The other probes wait until this check has succeeded."""
    lifecycle: Lifecycle | None = None
    """Hooks after its start and before its end."""
    termination_message_path: str = ""
    """File whose contents become its final message; /dev/termination-log by default."""
    termination_message_policy: str = ""
    """`File` (default), or `FallbackToLogsOnError` to use the end of the log of a failed one."""
    image_pull_policy: str = ""
    """`Always`, `Never` or `IfNotPresent`."""
    security_context: SecurityContext | None = None
    """Its privileges."""
    stdin: bool = False
    """Whether it has a standard input."""
    stdin_once: bool = False
    """Whether standard input closes after the first client."""
    tty: bool = False
    """Whether it has a terminal."""


class EphemeralContainer(Container):
    """A container added to a running pod, for debugging."""

    target_container_name: str = ""
    """Container whose processes it sees."""
