"""From a container in a pod's spec to the process that runs it: the launch description, and its cgroup.

Called by `pod.py` before every start. Where private mounts are not possible, mount paths are rewritten in
command, arguments and environment, and peers' names in the environment become addresses (see
`capabilities.py`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from springtide.api.containers import Container
from springtide.api.core import Pod
from springtide.api.labels import JOBSET_NAME
from springtide.api.meta import controller_of
from springtide.node import names
from springtide.node.capabilities import Capabilities
from springtide.node.cgroups import Group
from springtide.node.environment import (
    Sources,
    Unresolvable,
    argv,
    base_environment,
    container_environment,
    with_terminal,
)
from springtide.node.limits import limits_of
from springtide.node.process import Launch, Mount
from springtide.node.processes import CONTAINER, NODE_ID, POD_UID
from springtide.node.settings import ProcessNodeSettings
from springtide.node.termination import message_file
from springtide.node.tokens import TOKEN_FOLDER
from springtide.node.volumes import mounts

RESOLVER = Path(__file__).with_name("resolver")
PROGRESS_FILE = Path("report") / "progress.json"
FLIGHT_FOLDER = Path("report") / "flight"
"""Where PyTorch's flight recorder leaves its dumps, from which the collectors take them."""


@dataclass(frozen=True)
class Kit:
    """One container of one pod, and what it is built with."""

    pod: Pod
    container: Container
    settings: ProcessNodeSettings
    capabilities: Capabilities
    folder: Path
    memory: Mapping[str, str] = field(default_factory=dict)
    """Variables that say where its job keeps snapshots in memory."""

    def launch(
        self,
        sources: Sources,
        volumes: Mapping[str, Path],
        peers: Sequence[names.Peer],
        node_id: str,
        group: Group | None,
    ) -> Launch:
        """Everything the shim needs. Raises Unresolvable or volumes.Unsupported."""
        platform = self._platform_environment(node_id)
        environment = base_environment(self.settings.inherit_environment) | platform
        asked = container_environment(self.pod, self.container, sources)
        environment |= asked
        environment |= {name: platform[name] for name in (POD_UID, CONTAINER, NODE_ID)}
        if self.container.tty:
            environment = with_terminal(environment)
        words = argv(self.container, asked | {name: platform[name] for name in platform if name not in asked})
        cwd = self.container.working_dir or str(self.settings.working_dir)
        binds = mounts(self.container, volumes, asked)
        if not self.capabilities.namespaces:
            words, environment, cwd = self._without_mounts(words, environment, cwd, binds, peers)
        user, group_id, groups = self._user()
        return Launch(
            argv=words,
            env=environment,
            cwd=cwd,
            hostname=names.hostname(self.pod),
            namespaces=self.capabilities.namespaces,
            mounts=[*binds, *self._own_mounts()] if self.capabilities.namespaces else (),
            keep=(str(self.settings.working_dir), str(Path.home()), tempfile.gettempdir()),
            staging=str(self.folder / "root"),
            cgroups=group.procs if group is not None else (),
            user=user,
            group=group_id,
            groups=groups,
            stdin=self.container.stdin,
            tty=self.container.tty,
        )

    def make_group(self, instance: int) -> Group | None:
        """A cgroup with the container's limits; None where cgroups cannot be written."""
        if self.capabilities.cgroups is None:
            return None
        name = f"{self.pod.metadata.uid}-{self.container.name}-{instance}"
        return self.capabilities.cgroups.create(name, limits_of(self.container))

    def _platform_environment(self, node_id: str) -> dict[str, str]:
        metadata = self.pod.metadata
        checkpoints = self._writable(checkpoint_dir(self.settings.data_dir, self.pod))
        self._writable((self.folder / PROGRESS_FILE).parent)
        return {
            **self._way_to_the_server(),
            POD_UID: metadata.uid,
            CONTAINER: self.container.name,
            NODE_ID: node_id,
            "SPRINGTIDE_POD_NAME": metadata.name,
            "SPRINGTIDE_POD_NAMESPACE": metadata.namespace,
            "SPRINGTIDE_PROGRESS_FILE": str(self.folder / PROGRESS_FILE),
            "SPRINGTIDE_CHECKPOINT_DIR": str(checkpoints),
            **self.memory,
            "GLOO_SOCKET_IFNAME": "lo",
            "HOSTNAME": names.hostname(self.pod),
            "TORCH_FR_BUFFER_SIZE": "2000",
            "TORCH_FR_DUMP_TEMP_FILE": str(self._writable(self.folder / FLIGHT_FOLDER) / "rank_"),
            "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
        }

    def _way_to_the_server(self) -> dict[str, str]:
        """What clients in a cluster look for; where nothing can be mounted, the folder is the real one."""
        variables = {}
        if self.settings.api_server:
            server = urlsplit(self.settings.api_server)
            variables["KUBERNETES_SERVICE_HOST"] = server.hostname or ""
            variables["KUBERNETES_SERVICE_PORT"] = variables["KUBERNETES_SERVICE_PORT_HTTPS"] = str(
                server.port or 443
            )
        if any(mount.mount_path == TOKEN_FOLDER for mount in self.container.volume_mounts):
            variables["SPRINGTIDE_SERVICEACCOUNT_DIR"] = TOKEN_FOLDER
        return variables

    def _own_mounts(self) -> list[Mount]:
        binds = [Mount(str(self.folder / "hosts"), "/etc/hosts")]
        path = self.container.termination_message_path
        if path:
            file = message_file(self.folder, self.container.name)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"")
            binds.append(Mount(str(file), path))
        return binds

    def _user(self) -> tuple[int, int, list[int]]:
        """User, group and further groups to become; -1 keeps this process's. Raises Unresolvable."""
        own, of_pod = self.container.security_context, self.pod.spec.security_context
        contexts = [context for context in (own, of_pod) if context is not None]
        user = _first(*(context.run_as_user for context in contexts))
        group = _first(*(context.run_as_group for context in contexts))
        groups = list(of_pod.supplemental_groups) if of_pod else []
        if os.geteuid() != 0:
            if user not in (None, os.geteuid()):
                raise Unresolvable(
                    f"container {self.container.name!r}: runAsUser {user} needs a platform started by root;"
                    f" this one runs as user {os.geteuid()}: leave runAsUser out"
                )
            return -1, -1, []
        return -1 if user is None else user, -1 if group is None else group, groups

    def _writable(self, folder: Path) -> Path:
        """Make a folder in which the container's user may write."""
        folder.mkdir(parents=True, exist_ok=True)
        user, group, _ = self._user()
        if user >= 0 and folder.stat().st_uid != user:
            os.chown(folder, user, group)
        return folder

    def _without_mounts(
        self,
        words: list[str],
        environment: dict[str, str],
        cwd: str,
        binds: Sequence[Mount],
        peers: Sequence[names.Peer],
    ) -> tuple[list[str], dict[str, str], str]:
        for name, value in environment.items():
            _require_peer(self.pod, name, value, peers)
        environment = names.substituted(environment, peers)
        hook = os.pathsep.join(filter(None, (str(RESOLVER), environment.get("PYTHONPATH", ""))))
        environment |= {"PYTHONPATH": hook, "SPRINGTIDE_HOSTS_FILE": str(self.folder / "hosts")}
        environment = {
            name: rewritten(value, binds) if name not in ("PATH", "PYTHONPATH") else value
            for name, value in environment.items()
        }
        return [rewritten(word, binds) for word in words], environment, rewritten(cwd, binds)


def rewritten(text: str, binds: Sequence[Mount]) -> str:
    """`text` with every whole path at or below a mount path replaced by the real place."""
    for bind in sorted(binds, key=lambda one: -len(one.target)):
        pattern = rf"(?<![\w./-]){re.escape(bind.target)}(?![\w.-])"
        text = re.sub(pattern, lambda _, place=bind.source: place, text)  # type: ignore[misc]
    return text


def _require_peer(pod: Pod, variable: str, value: str, peers: Sequence[names.Peer]) -> None:
    """A peer named in the environment must have its address before the start: it cannot be told later."""
    subdomain = pod.spec.subdomain
    if not subdomain or not re.fullmatch(rf"[a-z0-9-]+\.{re.escape(subdomain)}(\..*)?", value):
        return
    if not any(value in peer.names for peer in peers):
        raise Unresolvable(f"{variable}={value}: waiting for this peer to be placed on the node")


def checkpoint_dir(data_dir: Path, pod: Pod) -> Path:
    """Where the job keeps its checkpoints: the same folder for every attempt and pod of one workload."""
    owner = controller_of(pod)
    job = pod.metadata.labels.get(JOBSET_NAME) or (owner.name if owner is not None else pod.metadata.name)
    uid = owner.uid if owner is not None else pod.metadata.uid
    return data_dir / "checkpoints" / pod.metadata.namespace / f"{job}-{uid}"


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
