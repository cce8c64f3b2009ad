"""The reference says what the program does: no kind, field, reason, key or variable without a word about it.

Reasons are looked for in the code of the rooms, so that a new one cannot be added in silence.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from springtide.api import kueue, reasons, schema, trainer
from springtide.api.meta import Object
from springtide.api.resources import registered, resource_of
from springtide.cli import reference
from springtide.cli.root import COMMANDS
from springtide.node import behaviour

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "springtide"
ROOMS = ("training", "scheduling", "workloads", "podgroups", "ceilings", "health", "builtin", "node")

REASON_ARGUMENT = {
    "Verdict": 0,
    "Closed": 0,
    "Refused": 0,
    "UnresolvableError": 0,
    "event": 0,
    "tell": 0,
    "Emit": 1,
    "_condition": 1,
    "_finish": 1,
    "_pods_ready": 2,
}
"""Functions of the rooms that take a reason, and the place of it."""
ENUMS: dict[str, type[StrEnum]] = {
    "TrainJobReason": trainer.TrainJobReason,
    "WorkloadReason": kueue.WorkloadReason,
}
CAMEL = re.compile(r"^[A-Z][A-Za-z]{3,}$")
VARIABLE = re.compile(r"^(SPRINGTIDE|PET|GLOO|JOB)_[A-Z_]+$")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = generator()
CUSTOM = [kind for kind in registered() if not resource_of(kind).builtin]


def test_the_pages_are_up_to_date() -> None:
    assert GENERATE.main(["--check"]) == 0, "run `make generate`"
    assert reference.main(["--check"]) == 0, "run `make generate`"


@pytest.mark.parametrize("kind", CUSTOM, ids=lambda kind: kind.__name__)
def test_every_kind_has_a_page(kind: type[Object]) -> None:
    assert kind in GENERATE.KINDS, f"add {kind.__name__} to KINDS in docs/generate.py"


@pytest.mark.parametrize("kind", GENERATE.KINDS, ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is(kind: type[Object]) -> None:
    silent = [row[0] for row in fields(kind) if not row[3]]
    assert not silent, f"write a docstring below these fields of {kind.__name__}: {silent}"


@pytest.mark.parametrize("kind", GENERATE.KINDS, ids=lambda kind: kind.__name__)
def test_what_is_told_to_be_without_effect_exists(kind: type[Object]) -> None:
    known = {row[0] for row in fields(kind)}
    missing = set(GENERATE.without_effect(kind)) - known
    assert not missing, f"{kind.__name__} has no such fields: {missing}"


def fields(kind: type[Object]) -> list[Any]:
    return list(GENERATE._fields(schema.definitions([kind]), schema.definition_name(kind), ""))


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert [name for name in COMMANDS if f"## springtide {name}\n" not in page] == []


def test_every_label_says_what_it_is() -> None:
    silent = [name for name, doc in GENERATE.documented(SOURCE / "api" / "labels.py") if not doc]
    assert not silent, f"write a docstring below these names in api/labels.py: {silent}"


@pytest.mark.parametrize("title", GENERATE.SETTINGS)
def test_every_setting_says_what_it_does(title: str) -> None:
    file, name = GENERATE.SETTINGS[title]
    assert [field for field, doc in GENERATE.documented(SOURCE / file, name) if not doc] == []


def test_every_annotation_of_simulated_pods_is_documented() -> None:
    documented = {key.partition(":")[0] for key, _ in GENERATE.simulation_annotations()}
    assert documented == {behaviour.PREFIX + name for name in behaviour._FIELDS}


def test_every_variable_of_pods_is_documented() -> None:
    files = [*(SOURCE / "node").glob("*.py"), *(SOURCE / "training").glob("*.py")]
    found = {text for file in files for text in strings(file) if VARIABLE.match(text)}
    assert sorted(found - GENERATE.POD_ENVIRONMENT.keys()) == [], "add them to POD_ENVIRONMENT"


def strings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_map_of_the_engine_names_each_module_and_no_other() -> None:
    page = (ROOT / "docs" / "concepts" / "engine.md").read_text()
    map_ = page[page.index("## What is known") : page.index("## Three decisions")]
    named = {name for name in re.findall(r"`([a-z_]+)`", map_) if name != "springtide"}
    modules = {path.stem for path in (SOURCE / "scheduling").glob("*.py")} - {"__init__"}
    assert named == modules


def test_every_reason_that_is_said_is_documented() -> None:
    known = {one.name for group in reasons.GROUPS for one in group.reasons}
    types = {part for group in reasons.GROUPS for part in group.condition.split(", ")}
    said = {reason: file.name for file in room_files() for reason in said_in(file)}
    unknown = {reason: where for reason, where in said.items() if reason not in known | types}
    assert not unknown, f"add these to api/reasons.py: {unknown}"


def test_no_reason_is_documented_that_nobody_says() -> None:
    said = {text for file in room_files() for text in strings(file)}
    said |= {member.value for enum in ENUMS.values() for member in enum}
    built = {"FailedPostStartHook", "FailedPreStopHook"}
    known = {one.name for group in reasons.GROUPS for one in group.reasons}
    assert known - said - built == set()


def room_files() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((SOURCE / room).glob("*.py"))


def said_in(file: Path) -> Iterator[str]:
    """Reasons as they stand in calls: literals, either branch of a choice, constants and enum members."""
    tree = ast.parse(file.read_text())
    constants = {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for expression in reason_expressions(node):
                yield from texts(expression, constants)


def reason_expressions(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = REASON_ARGUMENT.get(name)
    if place is not None and place < len(call.args):
        yield call.args[place]
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "reason")


def texts(expression: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    match expression:
        case ast.Constant(value=str(text)) if CAMEL.match(text):
            yield text
        case ast.IfExp():
            yield from texts(expression.body, constants)
            yield from texts(expression.orelse, constants)
        case ast.Name(id=name) if name in constants:
            yield from texts(constants[name], constants)
        case ast.Attribute(value=ast.Name(id=enum), attr=member) if enum in ENUMS:
            yield ENUMS[enum][member].value
        case _:
            return
