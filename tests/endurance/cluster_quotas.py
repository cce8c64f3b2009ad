"""Kueue's arithmetic of cohorts, said outright by recursion: the model of quota for `clusters`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

Cell = tuple[str, str]


class Wrong(AssertionError):
    """Something that must be true is not."""


def expect(holds: object, what: str) -> None:
    """Raises Wrong unless it holds."""
    if not holds:
        raise Wrong(what)


@dataclass
class Line:
    """The quota of one queue or cohort: per cell nominal, borrowing and lending limit."""

    name: str
    parent: str
    cells: dict[Cell, tuple[int, int | None, int | None]] = field(default_factory=dict)


class Quotas:
    """Kueue's arithmetic of cohorts, said outright by recursion."""

    def __init__(self, lines: list[Line], used: dict[str, Counter[Cell]]) -> None:
        self.lines = {line.name: line for line in lines}
        self.used = used

    def subtree(self, name: str, cell: Cell) -> int:
        lent = sum(self.subtree(c, cell) - self.kept(c, cell) for c in self.children(name))
        return self.quota(name, cell)[0] + lent

    def kept(self, name: str, cell: Cell) -> int:
        lending = self.quota(name, cell)[2]
        if lending is None or not self.lines[name].parent:
            return 0
        return max(0, self.subtree(name, cell) - lending)

    def usage(self, name: str, cell: Cell) -> int:
        own = self.used.get(name, Counter())[cell]
        return own + sum(max(0, self.usage(c, cell) - self.kept(c, cell)) for c in self.children(name))

    def children(self, name: str) -> list[str]:
        return [line.name for line in self.lines.values() if line.parent == name]

    def quota(self, name: str, cell: Cell) -> tuple[int, int | None, int | None]:
        return self.lines[name].cells.get(cell, (0, None, None))

    def check(self) -> None:
        cells = {cell for line in self.lines.values() for cell in line.cells}
        for name, line in self.lines.items():
            for cell in cells:
                used, own = self.usage(name, cell), self.subtree(name, cell)
                if not line.parent:
                    expect(used <= own, f"{name} uses {used} of {own} {cell}")
                borrowing = self.quota(name, cell)[1]
                if borrowing is not None and line.parent:
                    beyond = max(0, used - self.kept(name, cell)) - (own - self.kept(name, cell))
                    expect(beyond <= borrowing, f"{name} borrows {beyond} of at most {borrowing} {cell}")
