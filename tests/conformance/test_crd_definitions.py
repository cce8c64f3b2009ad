"""Definitions of kinds: which an API server takes, and where and in which words it refuses the others.

Nearly all are dry runs: nothing is established, so nothing has to be waited for.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.case import CRDS, Case, Json, crd, each, post, table
from tests.conformance.play import Player

_GROUP = "{id}.definitions.conformance.dev"
_ROOT = "spec.validation.openAPIV3Schema"
_TEXT: Json = {"type": "string"}


def _define(schema: Json | None = None, **more: Any) -> Json:
    return crd("things", _GROUP, schema, **more)


def _spec(**schema: Any) -> Json:
    """A schema whose objects have one field, `spec`."""
    return {"type": "object", "properties": {"spec": schema}}


def _dry(definition: Json, **expected: Any) -> Any:
    return post(CRDS, definition, query={"dryRun": "All"}, **expected)


def _taken(name: str, definition: Json, **expected: Any) -> Case:
    return Case(name, [_dry(definition, **expected)])


def _refused(name: str, definition: Json, causes: list[str], *says: str) -> Case:
    return Case(name, [_dry(definition, status=422, reason="Invalid", causes=causes, message=says)])


def _bad_schema(name: str, schema: Json, place: str | list[str], *says: str, **more: Any) -> Case:
    places = [place] if isinstance(place, str) else place
    return _refused(name, _define(schema, **more), [f"{_ROOT}{one}" for one in places], *says)


def _rules(*rules: Json, **schema: Any) -> Json:
    return _spec(**{"type": "object", **schema}, **{"x-kubernetes-validations": list(rules)})


def _bad_rule(name: str, rule: Json | str, key: str, *says: str, **schema: Any) -> Case:
    one = {"rule": rule} if isinstance(rule, str) else rule
    place = f".properties[spec].x-kubernetes-validations[0].{key}"
    return _bad_schema(name, _rules(one, **schema), place, *says)


def _named(**names: Any) -> Json:
    return _define(names={"plural": "things", "singular": "thing", "kind": "Thing", **names})


def _versions(*versions: Json) -> Json:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    filled = [
        {"served": True, "storage": False, "schema": {"openAPIV3Schema": free}, **one} for one in versions
    ]
    return _define(versions=filled)


_COUNTED = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
_LONG = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": _TEXT}}}

TABLE = table(
    "crd definitions",
    [
        _taken("a small definition", _define(_spec(type="object")), warnings=()),
        _taken(
            "names are completed",
            _define(names={"plural": "things", "kind": "Thing"}),
            fields={
                "spec.names.singular": "thing",
                "spec.names.listKind": "ThingList",
                "spec.conversion.strategy": "None",
            },
        ),
        _taken(
            "keywords that are null say nothing",
            _define(
                _spec(
                    type="string", enum=None, pattern=None, required=None, allOf=None, format=None, items=None
                )
            ),
            absent=["spec.versions[0].schema.openAPIV3Schema.properties.spec.enum"],
        ),
        # Names, scope, versions
        _refused(
            "the name must be plural and group",
            {**_define(), "metadata": {"name": "others.{id}.x.dev"}},
            ["metadata.name"],
            'must be spec.names.plural+"."+spec.group',
        ),
        _refused(
            "a group needs a dot",
            crd("things", "nodots{id}"),
            ["spec.group"],
            "should be a domain with at least one dot",
        ),
        _refused(
            "a scope is one of two", _define(scope="Galaxy"), ["spec.scope"], 'Unsupported value: "Galaxy"'
        ),
        _refused(
            "a plural is a label",
            {**_named(plural="Things"), "metadata": {"name": "Things." + _GROUP}},
            ["metadata.name", "spec.names.plural"],
            "DNS-1035 label",
        ),
        _refused(
            "a kind is a label in mixed case",
            _named(kind="Thi_ng"),
            ["spec.names.kind", "spec.names.listKind"],
            "may have mixed case",
        ),
        _refused(
            "kind and listKind differ",
            _named(listKind="Thing"),
            ["spec.names.listKind"],
            "kind and listKind may not be the same",
        ),
        _refused("short names are labels", _named(shortNames=["T"]), ["spec.names.shortNames[0]"]),
        _refused("categories are labels", _named(categories=["All"]), ["spec.names.categories[0]"]),
        _refused(
            "no version is stored",
            _versions({"name": "v1"}),
            ["spec.versions", "status.storedVersions"],
            "must have exactly one version marked as storage version",
        ),
        _refused(
            "version names are labels",
            _versions({"name": "V1", "storage": True}),
            ["spec.versions[0].name", "spec.version"],
        ),
        _refused(
            "version names are unique",
            _versions({"name": "v1", "storage": True}, {"name": "v1"}),
            ["spec.versions"],
            "must contain unique version names",
        ),
        _refused(
            "a warning is for deprecated versions",
            _versions({"name": "v1", "storage": True, "deprecationWarning": "old"}),
            ["spec.versions[0].deprecationWarning"],
            "can only be set for deprecated versions",
        ),
        _refused(
            "a warning says something",
            _versions({"name": "v1", "storage": True, "deprecated": True, "deprecationWarning": ""}),
            ["spec.versions[0].deprecationWarning"],
            "must not be an empty string",
        ),
        _refused(
            "objects need a schema",
            _versions({"name": "v1", "storage": True, "schema": None}),
            ["spec.versions[0].schema.openAPIV3Schema"],
        ),
        _refused(
            "protected groups need approval",
            crd("things", "{id}.k8s.io"),
            ["metadata.annotations[api-approved.kubernetes.io]"],
            "protected groups must have approval annotation",
        ),
        _refused(
            "approval is a URL or says that there is none",
            {
                **crd("things", "{id}.k8s.io"),
                "metadata": {
                    "name": "things.{id}.k8s.io",
                    "annotations": {"api-approved.kubernetes.io": "sure"},
                },
            },
            ["metadata.annotations[api-approved.kubernetes.io]"],
        ),
        _taken(
            "unapproved is an answer",
            {
                **crd("things", "{id}.k8s.io"),
                "metadata": {
                    "name": "things.{id}.k8s.io",
                    "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
                },
            },
        ),
        _refused(
            "unknown fields cannot be kept wholesale",
            _define(preserveUnknownFields=True),
            ["spec.preserveUnknownFields"],
        ),
        # Columns, scale, selectable fields
        _refused(
            "a column has a type",
            _define(version={"additionalPrinterColumns": [{"name": "A", "type": "thing", "jsonPath": ".a"}]}),
            ["spec.additionalPrinterColumns[0].type"],
            "must be one of boolean,date,integer,number,string",
        ),
        _refused(
            "a column's path starts with a dot",
            _define(version={"additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": "a"}]}),
            ["spec.additionalPrinterColumns[0].JSONPath"],
        ),
        _refused(
            "replicas are counted in spec and status",
            _define(
                _spec(type="object"),
                version={"subresources": {"scale": {"specReplicasPath": ".a.b", "statusReplicasPath": ".b"}}},
            ),
            ["spec.subresources.scale.specReplicasPath", "spec.subresources.scale.statusReplicasPath"],
            "should be a json path under .spec",
        ),
        _refused(
            "selectable fields exist",
            _define(_spec(type="object"), version={"selectableFields": [{"jsonPath": ".spec.a"}]}),
            ["spec.selectableFields[0].jsonPath"],
            "is an invalid path",
        ),
        _refused(
            "selectable fields are scalars",
            _define(_spec(type="object"), version={"selectableFields": [{"jsonPath": ".spec"}]}),
            ["spec.selectableFields[0].jsonPath"],
            "must point to a field of type string, boolean or integer",
        ),
        _refused(
            "selectable fields differ",
            _define(
                _spec(type="string"),
                version={"selectableFields": [{"jsonPath": ".spec"}, {"jsonPath": ".spec"}]},
            ),
            ["spec.selectableFields[1].jsonPath"],
            "Duplicate value",
        ),
        # Structure
        _bad_schema("the root is an object", {"type": "string"}, ".type", "must be object at the root"),
        _bad_schema(
            "a field needs a type",
            _spec(description="?"),
            ".properties[spec].type",
            "must not be empty for specified object fields",
        ),
        _bad_schema(
            "items need a type",
            _spec(type="array", items={"description": "?"}),
            ".properties[spec].items.type",
            "must not be empty for specified array items",
        ),
        _bad_schema(
            "a list needs items", _spec(type="array"), ".properties[spec].items", "must be specified"
        ),
        _bad_schema(
            "a type is one of six", _spec(type="text"), ".properties[spec].type", 'Unsupported value: "text"'
        ),
        _bad_schema(
            "values and fields exclude each other",
            _spec(type="object", properties={"a": _TEXT}, additionalProperties=_TEXT),
            ".properties[spec].additionalProperties",
            "mutual exclusive",
        ),
        _bad_schema(
            "the root has no free keys",
            {"type": "object", "additionalProperties": _TEXT},
            ".additionalProperties",
            "must not be used at the root",
        ),
        _bad_schema(
            "the root is not nullable",
            {"type": "object", "nullable": True},
            ".nullable",
            "nullable cannot be true at the root",
        ),
        _bad_schema(
            "logic says no types",
            _spec(type="object", properties={"a": _TEXT}, anyOf=[{"properties": {"a": _TEXT}}]),
            ".properties[spec].anyOf[0].properties[a].type",
            "must be empty to be structural",
        ),
        _bad_schema(
            "logic speaks of what exists",
            {"type": "object", "allOf": [{"properties": {"a": {"minLength": 1}}}]},
            ".properties[a]",
            "because it is defined in",
        ),
        _bad_schema(
            "logic sets no defaults",
            _spec(type="object", properties={"a": _TEXT}, oneOf=[{"properties": {"a": {"default": "x"}}}]),
            ".properties[spec].oneOf[0].properties[a].default",
            "must be undefined to be structural",
        ),
        _bad_schema(
            "logic leaves metadata alone",
            {
                "type": "object",
                "properties": {"metadata": {"type": "object"}},
                "not": {"properties": {"metadata": {}}},
            },
            ".not.properties[metadata]",
            "must not be specified in a nested context",
        ),
        _taken(
            "int-or-string as generators write it",
            _define(
                _spec(
                    **{"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
                )
            ),
        ),
        _bad_schema(
            "uniqueItems is too slow",
            _spec(type="array", items=_TEXT, uniqueItems=True),
            ".properties[spec].uniqueItems",
            "quadratic",
        ),
        _bad_schema(
            "unknown fields are kept or not said",
            _spec(**{"type": "object", "x-kubernetes-preserve-unknown-fields": False}),
            ".properties[spec].x-kubernetes-preserve-unknown-fields",
            "must be true or undefined",
        ),
        _bad_schema(
            "a pattern compiles",
            _spec(type="string", pattern="("),
            ".properties[spec].pattern",
            "must be a valid regular expression",
        ),
        _bad_schema(
            "metadata is what it is",
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            },
            ".properties[metadata]",
            "must not specify anything other than name and generateName",
        ),
        _taken(
            "metadata may restrict names",
            _define(
                {
                    "type": "object",
                    "properties": {
                        "metadata": {
                            "type": "object",
                            "properties": {"name": {"type": "string", "maxLength": 5}},
                        }
                    },
                }
            ),
        ),
        _bad_schema(
            "an embedded resource is an object",
            _spec(
                **{
                    "type": "string",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                }
            ),
            ".properties[spec].type",
            "must be object if x-kubernetes-embedded-resource is true",
        ),
        _bad_schema(
            "an embedded resource has fields",
            _spec(**{"type": "object", "x-kubernetes-embedded-resource": True}),
            ".properties[spec].properties",
        ),
        # Lists and maps
        _bad_schema(
            "a list type is for lists",
            _spec(**{"type": "object", "x-kubernetes-list-type": "set"}),
            ".properties[spec].type",
            "must be array if x-kubernetes-list-type is specified",
        ),
        _bad_schema(
            "a map type is for objects",
            _spec(**{"type": "string", "x-kubernetes-map-type": "atomic"}),
            ".properties[spec].type",
            "must be object if x-kubernetes-map-type is specified",
        ),
        _bad_schema(
            "a list-map has keys",
            _spec(**{"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            ".properties[spec].x-kubernetes-list-map-keys",
            "must not be empty",
        ),
        _bad_schema(
            "keys are required or have a default",
            _spec(
                **{
                    "type": "array",
                    "items": {"type": "object", "properties": {"a": _TEXT}},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["a"],
                }
            ),
            ".properties[spec].items.properties[a].default",
            "so it must have a default or be a required property",
        ),
        _bad_schema(
            "keys are fields",
            _spec(
                **{
                    "type": "array",
                    "items": {"type": "object", "properties": {"a": _TEXT}},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["b"],
                }
            ),
            ".properties[spec].x-kubernetes-list-map-keys",
            "entries must all be names of item properties",
        ),
        _bad_schema(
            "sets hold atoms",
            _spec(**{"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}),
            ".properties[spec].items.x-kubernetes-map-type",
            "must be atomic as item of a list",
        ),
        _bad_schema(
            "keys without a map",
            _spec(
                **{
                    "type": "array",
                    "items": {"type": "object", "properties": {"a": _TEXT}},
                    "x-kubernetes-list-map-keys": ["a"],
                }
            ),
            ".properties[spec].x-kubernetes-list-type",
            "must be map",
        ),
        # Defaults
        _bad_schema(
            "a default fits its type",
            _spec(type="integer", default="x"),
            ".properties[spec].default",
            "must be of type integer",
        ),
        _bad_schema(
            "a default has known fields only",
            _spec(type="object", properties={"a": _TEXT}, default={"b": 1}),
            ".properties[spec].default",
            "must not have unknown fields",
        ),
        _bad_schema(
            "a default keeps the rules",
            _spec(**{"type": "integer", "default": 1, "x-kubernetes-validations": [{"rule": "self > 5"}]}),
            ".properties[spec].default",
            "failed rule: self > 5",
        ),
        _taken(
            "a sound default",
            _define(_spec(type="object", default={}, properties={"a": {"type": "integer", "default": 3}})),
        ),
        # Formats
        _taken(
            "a format that nobody knows is said",
            _define(_spec(type="string", format="odd")),
            warnings=['unrecognized format "odd"'],
        ),
        # Rules
        _taken("a rule", _define(_rules({"rule": "self.a < self.b"}, **_COUNTED)), warnings=()),
        _bad_rule("a rule is said", "", "rule", "rule is not specified"),
        _bad_rule(
            "a rule compiles",
            "self.a <",
            "rule",
            "compilation failed: ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>'",
            **_COUNTED,
        ),
        _bad_rule(
            "a rule names known fields",
            "self.c < 1",
            "rule",
            "compilation failed: ERROR: <input>:1:5: undefined field 'c'",
            **_COUNTED,
        ),
        _bad_rule(
            "a rule names known variables",
            "other.a < 1",
            "rule",
            "undeclared reference to 'other' (in container '')",
            **_COUNTED,
        ),
        _bad_rule(
            "a rule calls known functions",
            "self.a.foo()",
            "rule",
            "undeclared reference to 'foo' (in container '')",
            **_COUNTED,
        ),
        _bad_rule(
            "a rule fits types together",
            "self.a == 'x'",
            "rule",
            "found no matching overload for '_==_' applied to '(int, string)'",
            **_COUNTED,
        ),
        _bad_rule(
            "int and double are not equal by type",
            "self.a == 1.0",
            "rule",
            "found no matching overload for '_==_' applied to '(int, double)'",
            **_COUNTED,
        ),
        _bad_rule(
            "a rule is true or false",
            "self.a + 1",
            "rule",
            "cel expression must evaluate to a bool",
            **_COUNTED,
        ),
        _bad_rule(
            "lists hold one type",
            "self.a in [1, 'x']",
            "rule",
            "expected type 'int' but found 'string'",
            **_COUNTED,
        ),
        _bad_rule(
            "a loop runs over collections",
            "self.a.all(x, true)",
            "rule",
            "expression of type 'int' cannot be range of a comprehension",
            **_COUNTED,
        ),
        _bad_rule(
            "a pattern in a rule compiles",
            "self.matches('(')",
            "rule",
            "invalid matches argument",
            type="string",
            maxLength=5,
        ),
        _bad_rule(
            "an opaque field cannot be seen",
            "self.o.x == 1",
            "rule",
            "undefined field 'x'",
            properties={"o": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        ),
        _bad_rule(
            "a message is one line",
            {"rule": "self.a < 1", "message": "a\nb"},
            "message",
            "must not contain line breaks",
            **_COUNTED,
        ),
        _bad_rule(
            "a long rule needs a message",
            "self.a <\n1",
            "message",
            "message must be specified if rule contains line breaks",
            **_COUNTED,
        ),
        _bad_rule(
            "a message expression is text",
            {"rule": "self.a < 1", "messageExpression": "self.a"},
            "messageExpression",
            "messageExpression must evaluate to a string",
            **_COUNTED,
        ),
        _bad_rule(
            "a message expression compiles",
            {"rule": "self.a < 1", "messageExpression": "self.z"},
            "messageExpression",
            "undefined field 'z'",
            **_COUNTED,
        ),
        _bad_rule(
            "a reason is known",
            {"rule": "self.a < 1", "reason": "Because"},
            "reason",
            'Unsupported value: "Because"',
            **_COUNTED,
        ),
        _bad_rule(
            "a path leads somewhere",
            {"rule": "self.a < 1", "fieldPath": ".z"},
            "fieldPath",
            "must be a valid path",
            **_COUNTED,
        ),
        _bad_rule(
            "an optional old value is for transitions",
            {"rule": "self.a < 1", "optionalOldSelf": True},
            "optionalOldSelf",
            "may not be set if oldSelf is not used in rule",
            **_COUNTED,
        ),
        _bad_schema(
            "items of plain lists have no past",
            _spec(
                type="array",
                maxItems=3,
                items={
                    "type": "string",
                    "maxLength": 3,
                    "x-kubernetes-validations": [{"rule": "self == oldSelf"}],
                },
            ),
            ".properties[spec].items.x-kubernetes-validations[0].rule",
            "oldSelf cannot be used on the uncorrelatable portion of the schema",
        ),
        _bad_schema(
            "a rule that may cost too much",
            _rules({"rule": "self.l.all(x, x.all(y, y.all(z, z.contains('a'))))"}, properties={"l": _LONG}),
            [
                ".properties[spec].x-kubernetes-validations[0].rule",
                ".properties[spec].x-kubernetes-validations[0].rule",
                "",
            ],
            "estimated rule cost exceeds budget by factor of more than 100x",
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        ),
        _bad_schema(
            "a rule just beyond the limit",
            _spec(
                type="array",
                items={
                    "type": "string",
                    "maxLength": 10,
                    "x-kubernetes-validations": [
                        {"rule": "self.contains('abc') && self.contains('abd') && self.contains('abe')"}
                    ],
                },
            ),
            ".properties[spec].items.x-kubernetes-validations[0].rule",
            "estimated rule cost exceeds budget by factor of",
        ),
        _taken(
            "limits make a rule affordable",
            _define(
                _spec(
                    type="array",
                    maxItems=100,
                    items={
                        "type": "string",
                        "maxLength": 10,
                        "x-kubernetes-validations": [
                            {"rule": "self.contains('abc') && self.contains('abd')"}
                        ],
                    },
                )
            ),
        ),
    ],
)


@each(TABLE)
def test_definitions(case: Case, player: Player) -> None:
    player.play(case)
    assert case.steps
