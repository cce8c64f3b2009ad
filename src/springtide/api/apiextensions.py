"""apiextensions.k8s.io/v1: the CustomResourceDefinition, by which an API server learns new kinds.

Schemas are kept as plain JSON objects (`dict`): `springtide.api.schema` makes them and the server
walks them.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import field

from springtide.api.listtypes import ListMap
from springtide.api.meta import Condition, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"


class CustomResourceDefinitionNames(Struct):
    """What the kind is called in paths, manifests and on the command line."""

    plural: str
    """Name in URL paths, all lower case."""
    kind: str
    """CamelCase name in manifests."""
    singular: str = ""
    """Singular name on the command line; the lower-case kind by default."""
    short_names: list[str] = []
    """Short names on the command line."""
    list_kind: str = ""
    """Kind of a list of them; `<kind>List` by default."""
    categories: list[str] = []
    """Groups such as `all` under which the kind is listed too."""


class CustomResourceColumnDefinition(Struct):
    """A printer column."""

    name: str
    """Heading of the column."""
    type: str
    """OpenAPI type: integer, number, string, boolean or date."""
    json_path: str = field(name="jsonPath")
    """Simple JSON path of the value in the object."""
    format: str = ""
    """OpenAPI format, a hint for clients."""
    description: str = ""
    """What the column shows."""
    priority: int = 0
    """0 shows always, above 0 only with `-o wide`."""


class CustomResourceSubresourceScale(Struct):
    """Where the scale subresource finds its numbers."""

    spec_replicas_path: str
    """JSON path under `.spec` of the wanted count."""
    status_replicas_path: str
    """JSON path under `.status` of the observed count."""
    label_selector_path: str | None = None
    """JSON path under `.spec` or `.status` of the serialized selector."""


class CustomResourceSubresources(Struct):
    """Subresources that the kind has."""

    status: dict[str, Any] | None = None
    """`{}` enables `/status`: spec and status then have separate writers."""
    scale: CustomResourceSubresourceScale | None = None
    """Enables `/scale`."""


class CustomResourceValidation(Struct):
    """How objects are validated and pruned."""

    open_apiv3_schema: dict[str, Any] | None = field(name="openAPIV3Schema", default=None)
    """A structural OpenAPI v3 schema."""


class SelectableField(Struct):
    """A field that field selectors may name."""

    json_path: str = field(name="jsonPath")
    """Simple JSON path of the field."""


class CustomResourceDefinitionVersion(Struct):
    """One version of the kind."""

    name: str
    """Version name, such as v1alpha1."""
    served: bool
    """Whether the API server serves it."""
    storage: bool
    """Whether objects are stored in it; exactly one version is."""
    deprecated: bool = False
    """Whether a request for it is answered with a warning."""
    deprecation_warning: str | None = None
    """What the warning says."""
    schema: CustomResourceValidation | None = None
    """Validation and pruning."""
    subresources: CustomResourceSubresources | None = None
    """Subresources of this version."""
    additional_printer_columns: list[CustomResourceColumnDefinition] = []
    """Columns of `kubectl get`."""
    selectable_fields: list[SelectableField] = []
    """Fields that field selectors may name."""


class CustomResourceConversion(Struct):
    """How versions are converted into each other."""

    strategy: str
    """`None` changes only apiVersion; `Webhook` asks an HTTP server."""
    webhook: dict[str, Any] | None = None
    """Where that server is."""


class CustomResourceDefinitionSpec(Struct):
    """What the kind is."""

    group: str
    """API group."""
    names: CustomResourceDefinitionNames
    """What it is called."""
    scope: str
    """`Namespaced` or `Cluster`."""
    versions: list[CustomResourceDefinitionVersion]
    """All its versions."""
    conversion: CustomResourceConversion | None = None
    """How versions are converted."""
    preserve_unknown_fields: bool = False
    """Must be false: only then are undeclared fields pruned."""


class CustomResourceDefinitionCondition(Condition):
    """One observation of the definition's state."""

    reason: str = ""
    """CamelCase cause of the last change."""
    message: str = ""
    """What it means, for people."""


class CustomResourceDefinitionStatus(Struct):
    """What the API server made of it."""

    conditions: Annotated[list[CustomResourceDefinitionCondition], ListMap("type")] = []
    """`Established` and `NamesAccepted`, among others."""
    accepted_names: CustomResourceDefinitionNames | None = None
    """Names in use."""
    stored_versions: list[str] = always([])
    """Versions in which objects may be stored."""


@resource(
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    builtin=True,
    columns=(Column("Created At", "date", ".metadata.creationTimestamp"),),
)
class CustomResourceDefinition(Object):
    """Teaches the API server a kind. Its name is `<plural>.<group>`."""

    api_version: str = "apiextensions.k8s.io/v1"
    kind: str = "CustomResourceDefinition"
    spec: CustomResourceDefinitionSpec
    """What the kind is."""
    status: CustomResourceDefinitionStatus = CustomResourceDefinitionStatus()
    """What the API server made of it."""
