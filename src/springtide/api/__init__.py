"""What exists: every kind this program speaks of, one module an API group, and the codec for all of them.

Everything else imports from here and this room imports nothing of ours. Types are frozen msgspec
Structs; CRDs (`springtide.api.crds`), OpenAPI documents (`springtide.api.schema`) and validation
(`springtide.api.validation`) are made from them and are imported only where they are needed.
"""

from springtide.api import (
    apiextensions,
    apps,
    authentication,
    authorization,
    batch,
    coordination,
    core,
    kueue,
    labels,
    meta,
    quantity,
    rbac,
    scheduling,
    selectors,
    springtide,
    trainer,
)
from springtide.api.commands import Apply, Bind, Command, Create, Delete, Emit, Plan
from springtide.api.meta import (
    Condition,
    Object,
    ObjectMeta,
    OwnerReference,
    controller_of,
    find_condition,
    is_true,
    owner_reference,
    set_condition,
)
from springtide.api.resources import Column, Resource, registered, resource, resource_of, type_of
from springtide.api.struct import Struct, decode, encode, encode_json, replace, unknown_paths

__all__ = [
    "Apply",
    "Bind",
    "Column",
    "Command",
    "Condition",
    "Create",
    "Delete",
    "Emit",
    "Object",
    "ObjectMeta",
    "OwnerReference",
    "Plan",
    "Resource",
    "Struct",
    "apiextensions",
    "apps",
    "authentication",
    "authorization",
    "batch",
    "controller_of",
    "coordination",
    "core",
    "decode",
    "encode",
    "encode_json",
    "find_condition",
    "is_true",
    "kueue",
    "labels",
    "meta",
    "owner_reference",
    "quantity",
    "rbac",
    "registered",
    "replace",
    "resource",
    "resource_of",
    "scheduling",
    "selectors",
    "set_condition",
    "springtide",
    "trainer",
    "type_of",
    "unknown_paths",
]
