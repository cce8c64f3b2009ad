"""What exists: every kind this program speaks of, one module an API group, and the codec for all of them.

Everything else imports from here and this room imports nothing of ours. Types are frozen msgspec
Structs; CRDs (`springtide.api.crds`), OpenAPI documents (`springtide.api.schema`) and validation
(`springtide.api.validation`) are made from them and are imported only where they are needed.
"""

from springtide.api import (
    apiextensions as apiextensions,
)
from springtide.api import (
    coordination as coordination,
)
from springtide.api import (
    core as core,
)
from springtide.api import (
    kueue as kueue,
)
from springtide.api import (
    labels as labels,
)
from springtide.api import (
    meta as meta,
)
from springtide.api import (
    quantity as quantity,
)
from springtide.api import (
    scheduling as scheduling,
)
from springtide.api import (
    selectors as selectors,
)
from springtide.api import (
    springtide as springtide,
)
from springtide.api import (
    trainer as trainer,
)
from springtide.api.commands import Apply as Apply
from springtide.api.commands import Bind as Bind
from springtide.api.commands import Command as Command
from springtide.api.commands import Create as Create
from springtide.api.commands import Delete as Delete
from springtide.api.commands import Emit as Emit
from springtide.api.commands import Plan as Plan
from springtide.api.meta import Condition as Condition
from springtide.api.meta import Object as Object
from springtide.api.meta import ObjectMeta as ObjectMeta
from springtide.api.meta import OwnerReference as OwnerReference
from springtide.api.meta import controller_of as controller_of
from springtide.api.meta import find_condition as find_condition
from springtide.api.meta import is_true as is_true
from springtide.api.meta import owner_reference as owner_reference
from springtide.api.meta import set_condition as set_condition
from springtide.api.resources import Column as Column
from springtide.api.resources import Resource as Resource
from springtide.api.resources import registered as registered
from springtide.api.resources import resource as resource
from springtide.api.resources import resource_of as resource_of
from springtide.api.resources import type_of as type_of
from springtide.api.struct import Struct as Struct
from springtide.api.struct import decode as decode
from springtide.api.struct import encode as encode
from springtide.api.struct import encode_json as encode_json
from springtide.api.struct import replace as replace
from springtide.api.struct import unknown_paths as unknown_paths
