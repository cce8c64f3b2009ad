"""CEL's operators and conversions: arithmetic with overflow, comparison, indexing, `size`, `int(…)`,
`type(…)`.

One of the libraries of `cel_functions`. Source: the CEL language definition, "Standard Definitions". `&&`,
`||`, `?:` and the like are evaluated by `cel_run`; only their signatures stand here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

from springtide.server import cel_times as times
from springtide.server import cel_types as types
from springtide.server.cel_functions import Function, each, function, no_overload
from springtide.server.cel_types import Type
from springtide.server.cel_values import (
    LARGEST,
    LARGEST_UINT,
    LISTS,
    MAPS,
    SMALLEST,
    CelError,
    Duration,
    ListView,
    ObjectView,
    Optional,
    Timestamp,
    UInt,
    compare,
    contains,
    equal,
    get_key,
    has_key,
    type_name,
)

_LONGEST = 1_000_000
"""Items of a list that an expression makes; what a request can hold is less."""


def whole(value: int) -> int:
    if not SMALLEST <= value <= LARGEST:
        raise CelError("integer overflow")
    return value


def unsigned(value: int) -> UInt:
    if not 0 <= value <= LARGEST_UINT:
        raise CelError("unsigned integer overflow")
    return UInt(value)


def _arithmetic(
    name: str, on_float: Callable[[float, float], float], on_int: Callable[[int, int], int]
) -> Any:
    def run(one: Any, other: Any) -> Any:
        kind = type(one)
        if kind is type(other):
            if kind is int:
                return whole(on_int(one, other))
            if kind is float:
                return on_float(one, other)
            if kind is UInt:
                return unsigned(on_int(one, other))
        raise no_overload(name)

    return run


def _divide_ints(one: int, other: int) -> int:
    if other == 0:
        raise CelError("division by zero")
    found = abs(one) // abs(other)
    return found if (one < 0) == (other < 0) else -found


def _modulo_ints(one: int, other: int) -> int:
    if other == 0:
        raise CelError("modulus by zero")
    found = abs(one) % abs(other)
    return found if one >= 0 else -found


def _divide_floats(one: float, other: float) -> float:
    if other == 0:
        return (
            math.nan
            if one == 0 or math.isnan(one)
            else math.copysign(math.inf, one) * math.copysign(1, other)
        )
    return one / other


def _not_a_number(one: float, other: float) -> float:
    raise no_overload("_%_")


_plus_numbers = _arithmetic("_+_", lambda one, other: one + other, lambda one, other: one + other)
_minus_numbers = _arithmetic("_-_", lambda one, other: one - other, lambda one, other: one - other)


def plus(one: Any, other: Any) -> Any:
    if type(one) in (str, bytes) and type(one) is type(other):
        return one + other
    if isinstance(one, LISTS) and isinstance(other, LISTS):
        if len(one) + len(other) > _LONGEST:
            raise CelError(f"the list would have {len(one) + len(other)} items; at most {_LONGEST} are made")
        return one.joined(other) if isinstance(one, ListView) else [*one, *other]
    moved = times.add(one, other)
    return moved if moved is not None else _plus_numbers(one, other)


def minus(one: Any, other: Any) -> Any:
    moved = times.subtract(one, other)
    return moved if moved is not None else _minus_numbers(one, other)


def negate(value: Any) -> Any:
    if type(value) is int:
        return whole(-value)
    if type(value) is float:
        return -value
    raise no_overload("-_")


def index(holder: Any, key: Any) -> Any:
    """`holder[key]`; of an optional, an optional."""
    if isinstance(holder, Optional):
        return optional_index(holder, key)
    if isinstance(holder, LISTS):
        at = _position(key)
        if not 0 <= at < len(holder):
            raise CelError(f"index out of bounds: {at}")
        return holder[at]
    return get_key(holder, key)


def optional_index(holder: Any, key: Any) -> Optional:
    """`holder[?key]`."""
    if isinstance(holder, Optional):
        if not holder.present:
            return Optional()
        holder = holder.value
    if isinstance(holder, LISTS):
        at = _position(key)
        return Optional(holder[at], True) if 0 <= at < len(holder) else Optional()
    return Optional(get_key(holder, key), True) if has_key(holder, key) else Optional()


def _position(key: Any) -> int:
    if type(key) in (int, UInt) or (type(key) is float and key.is_integer()):
        return int(key)
    raise CelError(f"unsupported index type {type_name(key)!r} in list")


def within(wanted: Any, holder: Any) -> bool:
    if isinstance(holder, LISTS):
        return contains(holder, wanted)
    if isinstance(holder, MAPS):
        return has_key(holder, wanted)
    raise no_overload("@in")


def size(value: Any) -> int:
    if isinstance(value, (str, bytes, *MAPS, *LISTS)) and not isinstance(value, ObjectView):
        return len(value)
    raise no_overload("size")


# Conversions


def to_int(value: Any) -> int:
    if isinstance(value, Timestamp | Duration):
        return times.seconds_of(value) if isinstance(value, Timestamp) else value.ns
    if type(value) is float:
        if not math.isfinite(value) or not -(2.0**63) < value < 2.0**63:
            raise CelError("integer overflow")
        return int(value)
    if isinstance(value, str):
        if not re.fullmatch(r"[+-]?[0-9]+", value):
            raise CelError(f'type conversion error: "{value}" is no int')
        return whole(int(value[:64]))
    return whole(int(value))


def to_uint(value: Any) -> UInt:
    if type(value) is float and not math.isfinite(value):
        raise CelError("unsigned integer overflow")
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+", value):
            raise CelError(f'type conversion error: "{value}" is no uint')
        return unsigned(int(value[:64]))
    return unsigned(int(value))


def to_double(value: Any) -> float:
    if not isinstance(value, str):
        return float(value)
    if not re.fullmatch(
        r"[+-]?(inf(inity)?|nan|[0-9]+\.?[0-9]*(e[+-]?[0-9]+)?|\.[0-9]+(e[+-]?[0-9]+)?)", value, re.I
    ):
        raise CelError(f'type conversion error: "{value}" is no double')
    return float(value)


def to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, Timestamp):
        return times.timestamp_text(value)
    if isinstance(value, Duration):
        return times.duration_text(value)
    return str(value)


def double_text(value: float) -> str:
    """A double as Go prints it (`%g`): 5, 1.5, 1e+21."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    text = repr(value)
    if "e" not in text and abs(value) >= 1e21:
        text = f"{value:e}"
    return text.removesuffix(".0")


def to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise CelError(f'type conversion error: "{value}" is no bool')


def to_timestamp(value: Any) -> Timestamp:
    if isinstance(value, str):
        return times.timestamp_of(value)
    return times.timestamp(value * 1_000_000_000) if type(value) is int else value


def to_duration(value: Any) -> Duration:
    if isinstance(value, str):
        return times.duration_of(value)
    return times.duration(value) if type(value) is int else value


def type_value(value: Any) -> Type:
    return Type("type", type_name(value))


def _map_insert(into: Any, *rest: Any) -> dict[Any, Any]:
    """The accumulator of transformMap: it is nobody else's, so it grows in place."""
    key, value = rest if len(rest) == 2 else next(iter(rest[0].items()), (None, None))
    if not isinstance(key, str | int | float):
        raise no_overload("cel.@mapInsert")
    if key in into:
        raise CelError(f"insert failed: key {key} already exists")
    into[key] = value
    return into  # type: ignore[no-any-return]


_PLAINLY_ORDERED = frozenset({int, float, str})
_COMPARED = ("bool", "int64", "uint64", "double", "string", "bytes", "timestamp", "duration")
_NUMERIC = ("int64", "uint64", "double")
_SIZED = {"bytes": "bytes", "list": "list(A)", "map": "map(A, B)", "string": "string"}


def _comparison(name: str, word: str, test: Callable[[Any, Any], bool]) -> Function:
    def run(one: Any, other: Any) -> bool:
        if type(one) is type(other) and type(one) in _PLAINLY_ORDERED:
            return test(one, other)
        if one != one or other != other:  # not a number
            return False
        return test(compare(one, other), 0)

    def written(kind: str) -> str:
        return kind.removesuffix("64")

    pairs = {f"{word}_{kind}": f"({written(kind)}, {written(kind)}) -> bool" for kind in _COMPARED}
    for one in _NUMERIC:
        for other in _NUMERIC:
            if one != other:
                pairs[f"{word}_{one}_{other}"] = f"({written(one)}, {written(other)}) -> bool"
    return function(name, run, **pairs)


def _numbers(name: str, word: str, run: Any, kinds: tuple[str, ...] = _NUMERIC) -> Function:
    texts = {f"{word}_{kind}": "(T, T) -> T".replace("T", kind.removesuffix("64")) for kind in kinds}
    return function(name, run, **texts)


def _unused(*_: Any) -> Any:
    raise AssertionError("evaluated by cel_run")


FUNCTIONS: list[Function] = [
    function("_?_:_", _unused, conditional="(bool, A, A) -> A"),
    function("_&&_", _unused, logical_and="(bool, bool) -> bool"),
    function("_||_", _unused, logical_or="(bool, bool) -> bool"),
    function("!_", lambda value: not value, logical_not="(bool) -> bool"),
    function("@not_strictly_false", _unused, not_strictly_false="(bool) -> bool"),
    function("_==_", equal, equals="(A, A) -> bool"),
    function("_!=_", lambda one, other: not equal(one, other), not_equals="(A, A) -> bool"),
    _comparison("_<_", "less", operator.lt),
    _comparison("_<=_", "less_equals", operator.le),
    _comparison("_>_", "greater", operator.gt),
    _comparison("_>=_", "greater_equals", operator.ge),
    function(
        "_+_",
        plus,
        add_bytes="(bytes, bytes) -> bytes",
        add_double="(double, double) -> double",
        add_duration_duration="(duration, duration) -> duration",
        add_duration_timestamp="(duration, timestamp) -> timestamp",
        add_timestamp_duration="(timestamp, duration) -> timestamp",
        add_int64="(int, int) -> int",
        add_list="(list(A), list(A)) -> list(A)",
        add_string="(string, string) -> string",
        add_uint64="(uint, uint) -> uint",
    ),
    function(
        "_-_",
        minus,
        subtract_double="(double, double) -> double",
        subtract_duration_duration="(duration, duration) -> duration",
        subtract_int64="(int, int) -> int",
        subtract_timestamp_duration="(timestamp, duration) -> timestamp",
        subtract_timestamp_timestamp="(timestamp, timestamp) -> duration",
        subtract_uint64="(uint, uint) -> uint",
    ),
    _numbers("_*_", "multiply", _arithmetic("_*_", lambda a, b: a * b, lambda a, b: a * b)),
    _numbers("_/_", "divide", _arithmetic("_/_", _divide_floats, _divide_ints)),
    _numbers("_%_", "modulo", _arithmetic("_%_", _not_a_number, _modulo_ints), ("int64", "uint64")),
    function("-_", negate, negate_double="(double) -> double", negate_int64="(int) -> int"),
    function(
        "_[_]",
        index,
        index_list="(list(A), int) -> A",
        index_map="(map(A, B), A) -> B",
        optional_list_index_int="(optional_type(list(V)), int) -> optional_type(V)",
        optional_map_index_value="(optional_type(map(K, V)), K) -> optional_type(V)",
    ),
    function(
        "_[?_]",
        optional_index,
        list_optindex_optional_int="(list(V), int) -> optional_type(V)",
        optional_list_optindex_optional_int="(optional_type(list(V)), int) -> optional_type(V)",
        map_optindex_optional_value="(map(K, V), K) -> optional_type(V)",
        optional_map_optindex_optional_value="(optional_type(map(K, V)), K) -> optional_type(V)",
    ),
    function("@in", within, in_list="(A, list(A)) -> bool", in_map="(A, map(A, B)) -> bool"),
    function(
        "size",
        size,
        **{f"size_{kind}": f"({text}) -> int" for kind, text in _SIZED.items()},
        **{f"{kind}_size": f"{text}.() -> int" for kind, text in _SIZED.items()},
    ),
    function("type", type_value, type="(A) -> type(A)"),
    function("dyn", lambda value: value, to_dyn="(A) -> dyn"),
    function("bool", to_bool, bool_to_bool="(bool) -> bool", string_to_bool="(string) -> bool"),
    function(
        "bytes",
        lambda value: value.encode() if isinstance(value, str) else value,
        bytes_to_bytes="(bytes) -> bytes",
        string_to_bytes="(string) -> bytes",
    ),
    each("double", to_double, "T_to_double", "(T) -> double", ("double", "int", "string", "uint")),
    each("duration", to_duration, "T_to_duration", "(T) -> duration", ("duration", "int", "string")),
    each(
        "int", to_int, "T_to_int", "(T) -> int", ("int", "double", "duration", "string", "timestamp", "uint")
    ),
    each(
        "string",
        to_string,
        "T_to_string",
        "(T) -> string",
        ("string", "bool", "bytes", "double", "duration", "int", "timestamp", "uint"),
    ),
    each("timestamp", to_timestamp, "T_to_timestamp", "(T) -> timestamp", ("timestamp", "int", "string")),
    each("uint", to_uint, "T_to_uint", "(T) -> uint", ("uint", "double", "int", "string")),
    function(
        "cel.@mapInsert",
        _map_insert,
        map_insert_key_value="(map(K, V), K, V) -> map(K, V)",
        map_insert_map="(map(K, V), map(K, V)) -> map(K, V)",
    ),
    *(
        function(
            name,
            part,
            **{
                f"timestamp_{name}": "timestamp.() -> int",
                f"timestamp_{name}_tz": "timestamp.(string) -> int",
            },
            **({f"duration_{name}": "duration.() -> int"} if spans else {}),
        )
        for name, (part, spans) in times.PARTS.items()
    ),
]

TYPE_NAMES: dict[str, Type] = {
    "bool": types.BOOL,
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "string": types.STRING,
    "bytes": types.BYTES,
    "list": types.list_of(types.DYN),
    "map": types.map_of(types.DYN, types.DYN),
    "null_type": types.NULL,
    "optional_type": types.optional_of(types.DYN),
    "google.protobuf.Timestamp": types.TIMESTAMP,
    "google.protobuf.Duration": types.DURATION,
    "type": types.type_of(types.DYN),
}
"""Names that stand for types: `type(self) == string`."""
