"""The volumes of a pod as folders of this machine, and where containers see them.

Called by `pod.py` when it prepares a pod and again while it runs (ConfigMap and Secret volumes follow their
objects). Raises `Unsupported` for a kind of volume this node does not have (the pod then fails) and
`Unavailable` for what may still appear (the pod then waits).
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from springtide.api.containers import Container
from springtide.api.core import Pod
from springtide.api.volumes import (
    ConfigMapProjection,
    ConfigMapVolumeSource,
    DownwardAPIVolumeFile,
    HostPathVolumeSource,
    KeyToPath,
    ProjectedVolumeSource,
    SecretProjection,
    Volume,
    VolumeProjection,
)
from springtide.node.environment import (
    Sources,
    Unresolvable,
    expand,
    field_value,
    resource_value,
    secret_bytes,
)
from springtide.node.process import Mount
from springtide.node.tokens import token_key

DEFAULT_MODE = 0o644


class Unsupported(Exception):
    """This node can never provide the volume; the text says which and what to use instead."""


class Unavailable(Exception):
    """The volume cannot be provided now."""


@dataclass(frozen=True)
class File:
    """A file of a volume that is made from API objects."""

    data: bytes
    mode: int


Files = dict[str, File]


def prepare_volumes(pod: Pod, folder: Path, sources: Sources) -> dict[str, Path]:
    """Make or refresh all volumes below `folder`; the place of each by name."""
    return {volume.name: _prepare(pod, volume, folder / volume.name, sources) for volume in pod.spec.volumes}


def _prepare(pod: Pod, volume: Volume, path: Path, sources: Sources) -> Path:
    if volume.host_path is not None:
        return _host_path(volume.name, volume.host_path)
    if volume.empty_dir is not None:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        return path
    try:
        files, private = _files(pod, volume, sources), volume.secret is not None or _has_secret(volume)
        private = private or (_has_token(volume) and not _runs_as_another(pod))
    except Unresolvable as error:
        raise Unavailable(f"volume {volume.name!r}: {error}") from None
    write_files(path, files, private=private)
    return path


def is_from_objects(volume: Volume) -> bool:
    """Whether the volume shows API objects, which may change while the pod runs."""
    sources = (volume.config_map, volume.secret, volume.downward_api, volume.projected)
    return any(source is not None for source in sources)


def _files(pod: Pod, volume: Volume, sources: Sources) -> Files:
    if volume.config_map is not None:
        return _config_map(volume.config_map, volume.config_map.default_mode, pod, sources)
    if volume.secret is not None:
        secret = volume.secret
        ref = SecretProjection(name=secret.secret_name, items=secret.items, optional=secret.optional)
        return _secret(ref, secret.default_mode, pod, sources)
    if volume.downward_api is not None:
        return _downward(volume.downward_api.items, volume.downward_api.default_mode, pod, sources)
    if volume.projected is not None:
        return _projected(volume.projected, pod, sources, volume.name)
    kind = _kind_of(volume)
    raise Unsupported(
        f"volume {volume.name!r}: process nodes have no {kind} volumes; use hostPath, emptyDir,"
        " configMap, secret, downwardAPI or projected"
    )


def _kind_of(volume: Volume) -> str:
    """The JSON name of the volume's source, also of one that no type here declares."""
    names = {
        "persistent_volume_claim": "persistentVolumeClaim",
        "nfs": "nfs",
        "csi": "csi",
        "ephemeral": "ephemeral",
        "image": "image",
    }
    for attribute, name in names.items():
        if getattr(volume, attribute) is not None:
            return name
    return next(iter(volume.unknown or {}), "unnamed")


# -- files from objects -----------------------------------------------------------------------------


def _config_map(
    ref: ConfigMapVolumeSource | ConfigMapProjection, mode: int | None, pod: Pod, sources: Sources
) -> Files:
    found = sources.config_maps.get(ref.name)
    if found is None:
        if ref.optional:
            return {}
        raise Unresolvable(f'configmap "{ref.name}" not found in namespace "{pod.metadata.namespace}"')
    data = {key: value.encode() for key, value in found.data.items()}
    data |= {key: base64.b64decode(value) for key, value in found.binary_data.items()}
    return _selected(data, ref.items, mode, bool(ref.optional), f'configmap "{ref.name}"')


def _secret(ref: SecretProjection, mode: int | None, pod: Pod, sources: Sources) -> Files:
    found = sources.secrets.get(ref.name)
    if found is None:
        if ref.optional:
            return {}
        raise Unresolvable(f'secret "{ref.name}" not found in namespace "{pod.metadata.namespace}"')
    data = {key: secret_bytes(ref.name, key, value) for key, value in found.data.items()}
    return _selected(data, ref.items, mode, bool(ref.optional), f'secret "{ref.name}"')


def _selected(
    data: Mapping[str, bytes], items: list[KeyToPath], mode: int | None, optional: bool, where: str
) -> Files:
    default = DEFAULT_MODE if mode is None else mode
    if not items:
        return {key: File(value, default) for key, value in data.items()}
    files: Files = {}
    for item in items:
        if item.key in data:
            files[item.path] = File(data[item.key], default if item.mode is None else item.mode)
        elif not optional:
            raise Unresolvable(f'key "{item.key}" not found in {where}')
    return files


def _downward(items: Iterable[DownwardAPIVolumeFile], mode: int | None, pod: Pod, sources: Sources) -> Files:
    files: Files = {}
    for item in items:
        if item.field_ref is not None:
            text = field_value(pod, item.field_ref.field_path, sources)
        elif item.resource_field_ref is not None:
            text = resource_value(pod, pod.spec.containers[0], item.resource_field_ref, sources)
        else:
            raise Unsupported(f"downwardAPI item {item.path!r} has neither fieldRef nor resourceFieldRef")
        default = DEFAULT_MODE if mode is None else mode
        files[item.path] = File(text.encode(), default if item.mode is None else item.mode)
    return files


def _projected(projected: ProjectedVolumeSource, pod: Pod, sources: Sources, name: str) -> Files:
    files: Files = {}
    for part in projected.sources:
        files |= _projection(part, projected.default_mode, pod, sources, name)
    return files


def _projection(part: VolumeProjection, mode: int | None, pod: Pod, sources: Sources, name: str) -> Files:
    if part.config_map is not None:
        return _config_map(part.config_map, mode, pod, sources)
    if part.secret is not None:
        return _secret(part.secret, mode, pod, sources)
    if part.downward_api is not None:
        return _downward(part.downward_api.items, mode, pod, sources)
    if part.service_account_token is not None:
        wanted = part.service_account_token
        token = sources.tokens.get(token_key(wanted))
        if token is None:
            account = pod.spec.service_account_name or "default"
            raise Unresolvable(f'no token of service account "{account}": {sources.token_fault}')
        return {wanted.path: File(token.encode(), DEFAULT_MODE if mode is None else mode)}
    raise Unsupported(
        f"volume {name!r}: process nodes project configMap, secret, downwardAPI and serviceAccountToken"
        " sources only (no trust bundles or pod certificates)"
    )


def _has_secret(volume: Volume) -> bool:
    return volume.projected is not None and any(part.secret is not None for part in volume.projected.sources)


def _has_token(volume: Volume) -> bool:
    sources = volume.projected.sources if volume.projected is not None else []
    return any(part.service_account_token is not None for part in sources)


def _runs_as_another(pod: Pod) -> bool:
    """Whether a container's program is another user than this node, who must be able to read its token."""
    contexts = [pod.spec.security_context, *(one.security_context for one in pod.spec.containers)]
    return any(context is not None and context.run_as_user is not None for context in contexts)


def write_files(folder: Path, files: Files, *, private: bool) -> None:
    """Make the folder hold exactly these files; each changes by a rename, so no reader sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700 if private else 0o755)
    for name, file in files.items():
        _write_file(_inside(folder, name), file)
    wanted = {_inside(folder, name) for name in files}
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()


def _write_file(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_bytes() == file.data and stat.S_IMODE(path.stat().st_mode) == file.mode:
        return
    fresh = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.data)
    fresh.chmod(file.mode)
    fresh.replace(path)


def _inside(folder: Path, name: str) -> Path:
    """The path below the folder; a name that leads out of it is refused."""
    if name.startswith("/") or ".." in Path(name).parts:
        raise Unsupported(f"path {name!r} must be relative and must not contain '..'")
    return folder / name


# -- hostPath ---------------------------------------------------------------------------------------


_CHECKS: Mapping[str, tuple[Callable[[Path], bool], str]] = {
    "Directory": (Path.is_dir, "directory"),
    "File": (Path.is_file, "file"),
    "Socket": (Path.is_socket, "socket"),
    "CharDevice": (Path.is_char_device, "character device"),
    "BlockDevice": (Path.is_block_device, "block device"),
}


def _host_path(name: str, source: HostPathVolumeSource) -> Path:
    path, kind = Path(source.path), source.type or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(mode=0o644, exist_ok=True)
    elif kind in _CHECKS:
        holds, noun = _CHECKS[kind]
        if not holds(path):
            raise Unavailable(
                f"volume {name!r}: hostPath {source.path} (type {kind}) is not a {noun} on this machine"
            )
    elif kind:
        raise Unsupported(
            f"volume {name!r}: hostPath type {kind!r} is unknown; use one of {', '.join(_CHECKS)}"
        )
    elif not path.exists():
        path.mkdir(
            mode=0o755, parents=True, exist_ok=True
        )  # as container runtimes do for an untyped hostPath
    return path


# -- what containers see ----------------------------------------------------------------------------


def mounts(container: Container, places: Mapping[str, Path], environment: Mapping[str, str]) -> list[Mount]:
    """The container's volume mounts; a `subPath` that does not exist becomes a folder."""
    result = []
    for mount in container.volume_mounts:
        if mount.name not in places:
            raise Unsupported(
                f"container {container.name!r} mounts volume {mount.name!r}, which the pod does not have"
            )
        source = places[mount.name]
        sub_path = expand(mount.sub_path_expr, environment) or mount.sub_path
        if sub_path:
            source = _inside(source, sub_path)
            if not source.exists():
                source.mkdir(parents=True)
        result.append(Mount(str(source), mount.mount_path.rstrip("/") or "/", mount.read_only))
    return result


def remove(folder: Path) -> None:
    """Forget a pod's folder; files a container made read-only go too."""
    shutil.rmtree(folder, ignore_errors=True)
