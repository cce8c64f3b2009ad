"""core/v1: references to any object. Part of `springtide.api.core`."""

from __future__ import annotations

from typing import ClassVar

from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class ObjectReference(Struct):
    """A reference to any object, or to a part of it."""

    atomic: ClassVar[bool] = True

    kind: str = ""
    """Kind of the object."""
    namespace: str = ""
    """Namespace of the object."""
    name: str = ""
    """Name of the object."""
    uid: str = ""
    """UID of the object."""
    api_version: str = ""
    """API version of the object."""
    resource_version: str = ""
    """Version of the object that is meant."""
    field_path: str = ""
    """Part of the object that is meant, such as `spec.containers{main}`."""
