"""What a kind adds to the common course of a write: its defaults, its rules, its special deletions.

The verbs know metadata, patches and storage; everything that is particular to Pods, Namespaces or CRDs
hangs on the hooks here. One `Strategy` a kind, found in `admission.STRATEGIES`; kinds without one use the
base class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from springtide.server.metadata_rules import NameForm
from springtide.server.schema_rules import FieldError

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]


class Strategy:
    """The hooks of one kind. All work on plain JSON objects; those that say so change them in place."""

    selectable_fields: dict[str, str] = {}
    """Field-selector keys beyond metadata.name and metadata.namespace: key -> dotted path in the object."""

    name_form: NameForm = "subdomain"
    """What names of this kind look like; see `metadata_rules`."""

    generation_counts_annotations: bool = False
    """Whether a change of annotations through the main resource counts as one more generation."""

    default_propagation: str = ""
    """What becomes of dependents when a deletion does not say; "" lets the garbage collector have them."""

    individual_fields: tuple[str, ...] | None = None
    """Fields of spec in which the copies of one template differ, all free text. Naming them (or none of them)
    promises that `default` and `validate` look at nothing but the spec, and not at these; see `templates`."""

    def without_texts(self, spec: Json) -> tuple[Json, tuple[str, ...]]:
        """The spec without the free texts deep in it that `default` and `validate` ignore, and these."""
        return spec, ()

    def with_texts(self, spec: Json, texts: tuple[str, ...]) -> Json:
        """The inverse of `without_texts`; parts of the spec may be shared, so they are not written to."""
        return spec

    def default(self, obj: Json) -> None:
        """Fill in what the user left out, in place. Runs before validation on every write."""

    def before_create(self, obj: Json, context: Context) -> None:
        """Set what the server decides (initial status …), in place. May raise StatusError."""

    def before_update(self, new: Json, old: Json) -> None:
        """Carry over what a writer of the main resource may not change, in place."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        """Rules beyond the schema's."""
        return ()

    def validate_create(self, obj: Json) -> Sequence[FieldError]:
        """Rules for new objects alone. Runs after the plug-ins of admission."""
        return ()

    def warn(self, obj: Json) -> Sequence[str]:
        """What is accepted but has no effect here: sent as warnings with the answer to every write."""
        return ()

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        """Rules about change: immutable fields."""
        return ()

    def within_subresource(self, subresource: str, new: Json, old: Json) -> Json:
        """What a write of `new` to a subresource of the kind's own makes of `old`."""
        raise NotImplementedError(subresource)

    def validate_subresource(self, subresource: str, new: Json, old: Json) -> Sequence[FieldError]:
        """Rules about change through a subresource (status, or one of the kind's own)."""
        return self.validate_update(new, old)

    def grace_period_seconds(self, obj: Json, requested: int | None) -> int:
        """How long a deletion waits for whoever must clean up; 0 deletes at once."""
        return 0

    def holds_deletion(self, obj: Json) -> bool:
        """Whether something beyond metadata.finalizers must happen before a deleted object goes away."""
        return False

    def before_delete(self, obj: Json) -> None:
        """Change the object as its deletion begins, in place (a Namespace turns Terminating)."""

    def after_write(self, obj: Json, context: Context, *, deleted: bool) -> None:
        """The write is committed: keep derived state of the server in step (a CRD is served at once)."""
