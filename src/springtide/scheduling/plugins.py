"""Policies with a name: those of the program, and those that a site brings along.

There is one `Registry` for each sort: how nodes are chosen (`policies`), who comes first (`ordering`), who
has to go first (`victim_policies`). A site's own is found by `FILE.py:NAME` or `MODULE:NAME`, or by the name
under which an installed package offers it as an entry point of the group `springtide.policies`; packages are
looked into only for a name that is not registered.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Generic, Protocol, TypeVar

GROUP = "springtide.policies"
"""The group of entry points."""


class Named(Protocol):
    """What can be registered."""

    @property
    def name(self) -> str: ...


Plugin = TypeVar("Plugin")
P = TypeVar("P", bound=Named)


class Registry(Generic[P]):
    """All policies of one sort, by name."""

    def __init__(self, kind: type[P], word: str) -> None:
        """`word` says what they are, in errors."""
        self._kind = kind
        self._word = word
        self._known: dict[str, P] = {}

    def register(self, policy: P) -> P:
        """Make a policy known by its name. Raises ValueError when the name is taken."""
        if policy.name in self._known:
            raise ValueError(f"{self._word} {policy.name!r} is registered already; choose another name")
        self._known[policy.name] = policy
        return policy

    def find(self, name: str) -> P:
        """A registered policy, or a site's own: `FILE.py:NAME`, `MODULE:NAME`, or the name of an entry point.

        Raises ValueError, which names the known ones, when there is none.
        """
        if name in self._known:
            return self._known[name]
        if ":" in name:
            return load_plugin(name, self._kind)
        offered = self._offered(name)
        if offered is None:
            known = ", ".join(self.known())
            raise ValueError(f"{self._word} {name!r} is not registered; known: {known}")
        return offered

    def known(self) -> list[str]:
        """The names of all that are registered."""
        return sorted(self._known)

    def _offered(self, name: str) -> P | None:
        """What an installed package offers under this name."""
        from importlib.metadata import entry_points

        for one in entry_points(group=GROUP, name=name):
            found = load_plugin(one.value, self._kind)
            self._known[name] = found
            return found
        return None


def load_plugin(name: str, kind: type[Plugin]) -> Plugin:
    """What the name says, which must be of this kind. Raises ValueError when there is none."""
    word = kind.__name__.lower()
    place, _, attribute = name.rpartition(":")
    try:
        module = _loaded(Path(place)) if place.endswith(".py") else import_module(place)
    except (ImportError, OSError, SyntaxError) as error:
        raise ValueError(f"{word} {name!r}: cannot import {place}: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        raise ValueError(f"{word} {name!r}: {place} has no {kind.__name__} named {attribute!r}")
    return found


def _loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
