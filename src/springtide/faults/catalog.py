"""Load the signatures: the YAML files beside this module, read once, when the first line is to be judged.

A file that states a signature wrongly is refused with its name, so that no broken entry is ever skipped in
silence. `matching` turns the catalog into patterns.
"""

from __future__ import annotations

import functools
from importlib import resources

import msgspec
import yaml

from springtide.faults.signature import Signature

FAMILIES = (
    "benign",
    "collectors",
    "xid",
    "nvidia",
    "nvlink",
    "cuda",
    "pcie",
    "rdma",
    "nccl",
    "process_group",
    "elastic",
    "gloo",
    "frameworks",
    "amd",
    "accelerators",
    "memory",
    "host",
    "disk",
    "storage",
    "kubernetes",
    "python",
)
"""One file each, in the order in which equals are preferred."""


class CatalogError(Exception):
    """A signature file is not as it must be; the text names file, entry and rule."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    about: str
    """What the family covers, for the pages of documentation."""
    signatures: list[Signature]


@functools.cache
def catalog() -> tuple[Signature, ...]:
    """All signatures, in order of preference."""
    return tuple(signature for family in FAMILIES for signature in _read(family)[1])


@functools.cache
def signature_named(name: str) -> Signature | None:
    """The signature with this name, or None."""
    return next((signature for signature in catalog() if signature.name == name), None)


def about(family: str) -> str:
    """What a family covers."""
    return _read(family)[0]


def parse(text: str, family: str) -> tuple[str, tuple[Signature, ...]]:
    """The description and the signatures of one file's text."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        file = msgspec.convert(yaml.load(text, Loader=loader), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise CatalogError(f"signatures/{family}.yaml: {error}") from error
    return file.about, tuple(msgspec.structs.replace(one, family=family) for one in file.signatures)


@functools.cache
def _read(family: str) -> tuple[str, tuple[Signature, ...]]:
    text = resources.files(__package__).joinpath("signatures", f"{family}.yaml").read_text("utf-8")
    return parse(text, family)
