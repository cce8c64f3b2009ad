"""CEL, as Kubernetes uses it in schemas: an expression becomes a program with a type and a price.

`compile_expression` parses, checks, prices and compiles; what it returns runs as often as one likes. Called
by `cel_rules`. The parser is the CEL project's own (`cel_syntax`); types, prices and evaluation follow
Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass

from springtide.server.cel_check import CheckFault, check
from springtide.server.cel_cost import estimate
from springtide.server.cel_run import Program, compile_program
from springtide.server.cel_schema import Declared
from springtide.server.cel_syntax import SyntaxFault, parse
from springtide.server.cel_types import Type, optional_of

VARIABLES = ("self", "oldSelf")


class CompileError(ValueError):
    """The expression is wrong; the text is the compiler's."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression over `self` and `oldSelf`."""

    program: Program
    type: Type
    uses: frozenset[str]
    """The variables it reads."""
    cost: int
    """The most that one evaluation can cost, by the sizes the schema allows."""


def compile_expression(text: str, declared: Declared, *, optional_old: bool = False) -> Expression:
    """Compile over values of the type `declared`. `optional_old`: oldSelf is an optional."""
    objects: dict[str, Declared] = {}
    declared.named("selfType", objects)
    kinds = {"self": declared.type, "oldSelf": optional_of(declared.type) if optional_old else declared.type}
    try:
        checked = check(parse(text), kinds, objects)
        price = estimate(checked, declared)
        program = compile_program(checked, VARIABLES)
    except (SyntaxFault, CheckFault) as error:
        raise CompileError(str(error)) from None
    except RecursionError:
        raise CompileError("the expression is nested too deeply") from None
    return Expression(program, checked.result, frozenset(checked.uses), price)
