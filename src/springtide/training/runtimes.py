"""The ClusterTrainingRuntimes Springtide ships; bootstrap applies them to a fresh control plane.

`torch-distributed` runs `torchrun`; `plain` runs any program. Both are ordinary manifests in
`manifests/`, which an administrator may copy, change and apply under another name.
"""

from __future__ import annotations

from importlib.resources import files

import yaml

from springtide.api.struct import decode
from springtide.api.trainer import ClusterTrainingRuntime


def builtin_runtimes() -> list[ClusterTrainingRuntime]:
    """The shipped runtimes, by name."""
    manifests = sorted(files(__package__).joinpath("manifests").iterdir(), key=lambda file: file.name)
    return [
        decode(
            ClusterTrainingRuntime, yaml.load(manifest.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        )
        for manifest in manifests
        if manifest.name.endswith(".yaml")
    ]
