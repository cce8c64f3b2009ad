"""Kubernetes' own CEL functions: URLs, IP addresses and CIDRs, quantities, named formats, semantic
versions.

One of the libraries of `cel_functions`. Source: apiserver `cel/library`; its authorizer is not for CRDs and
is left out.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from springtide.api import names, quantity
from springtide.api.numbers import whole_number
from springtide.server.cel_functions import CLASSES, Function, function
from springtide.server.cel_values import LARGEST, SMALLEST, CelError, Optional
from springtide.server.schema_formats import FORMATS

_remembered = lru_cache(maxsize=1024)
"""The same texts come again and again, as literals or with every object."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An amount, exact."""

    amount: Fraction
    type_name = "kubernetes.Quantity"


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute URL or path, as written."""

    text: str
    type_name = "kubernetes.URL"


@dataclass(frozen=True, slots=True)
class Ip:
    address: Address
    type_name = "net.IP"

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Cidr:
    """An address with a prefix length; bits beyond the prefix are kept."""

    address: Address
    bits: int
    type_name = "net.CIDR"

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    @property
    def network(self) -> Any:
        return ipaddress.ip_network(str(self), strict=False)


@dataclass(frozen=True, slots=True)
class Format:
    """A named rule for texts; `check` gives what is wrong, empty if nothing."""

    name: str
    check: Callable[[str], str]
    regex_size: int
    type_name = "kubernetes.NamedFormat"


@dataclass(frozen=True, slots=True)
class Semver:
    """A semantic version; build metadata does not count in comparisons."""

    numbers: tuple[int, int, int]
    pre: tuple[tuple[int, int, str], ...]
    type_name = "kubernetes.Semver"

    @property
    def order(self) -> Any:
        return (self.numbers, not self.pre, self.pre)


for _class in (Quantity, Url, Ip, Cidr, Format, Semver):
    CLASSES[_class.type_name] = (_class,)


# Quantities


@_remembered
def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantity.parse(text))
    except ValueError as error:
        raise CelError(f"quantity {text!r}: {error}") from None


def _holds(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            make(text)
        except CelError:
            return False
        return True

    return run


def _compare(one: Any, other: Any) -> int:
    if isinstance(one, Semver):
        return int(one.order > other.order) - int(one.order < other.order)
    return int(one.amount > other.amount) - int(one.amount < other.amount)


def _is_integer(value: Quantity) -> bool:
    return value.amount.denominator == 1 and SMALLEST <= value.amount <= LARGEST


def _as_integer(value: Quantity) -> int:
    if not _is_integer(value):
        raise CelError("cannot convert value to integer")
    return int(value.amount)


def _amount(value: Quantity | int) -> Fraction:
    return value.amount if isinstance(value, Quantity) else Fraction(value)


# URLs


def _url(text: str) -> Url:
    if not _is_url(text):
        raise CelError(
            f'URL parse error during conversion from string: parse "{text}": invalid URI for request'
        )
    return Url(text)


@_remembered
def _is_url(text: str) -> bool:
    """What Go's `url.ParseRequestURI` takes: an absolute path, or scheme and rest."""
    if not text or any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):
        return False
    if text == "*":
        return True
    if re.search(r"%(?![0-9A-Fa-f]{2})", text.partition("?")[0]):
        return False
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", text)
    if scheme is None:
        return text.startswith("/")
    try:
        split = urlsplit(text)
        host = split.netloc.rpartition("@")[2]
        if host and not re.fullmatch(r"(\[[0-9a-fA-F:.%\w-]*\]|[^\[\]:\s<>\"\\^`{|}]*)(:\d*)?", host):
            return False
    except ValueError:
        return False
    return True


def _host(value: Url) -> str:
    return urlsplit(value.text).netloc.rpartition("@")[2]


def _hostname(value: Url) -> str:
    host = _host(value)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _port(value: Url) -> str:
    rest = _host(value).rpartition("]")[2]
    return rest.rpartition(":")[2] if ":" in rest else ""


def _escaped_path(value: Url) -> str:
    return quote(urlsplit(value.text).path, safe="/%:@!$&'()*+,;=~-._")


def _query(value: Url) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, member in parse_qsl(urlsplit(value.text).query, keep_blank_values=True):
        found.setdefault(key, []).append(member)
    return found


# Addresses


@_remembered
def _ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise CelError(
            f'IP Address "{text}" parse error during conversion from string: unable to parse IP'
        ) from None
    return Ip(_plain(address, text))


def _plain(address: Address, text: str) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise CelError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped:
            raise CelError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


@_remembered
def _cidr(text: str) -> Cidr:
    host, slash, bits = text.partition("/")
    try:
        if not slash or not re.fullmatch(r"0|[1-9]\d?\d?", bits):
            raise ValueError("no prefix length")
        address = _plain(ipaddress.ip_address(host), text)
        if int(bits) > address.max_prefixlen:
            raise ValueError("prefix length out of range")
    except ValueError as error:
        raise CelError(f"network address parse error during conversion from string: {error}") from None
    return Cidr(address, int(bits))


def _ip_of(value: Any) -> Ip:
    return _ip(value) if isinstance(value, str) else Ip(value.address)


def _contains_ip(holder: Cidr, other: Any) -> bool:
    address = _ip_of(other).address
    return bool(address.version == holder.address.version and address in holder.network)


def _contains_cidr(holder: Cidr, other: Any) -> bool:
    inner = _cidr(other) if isinstance(other, str) else other
    if inner.address.version != holder.address.version:
        return False
    return holder.bits <= inner.bits and bool(holder.network.overlaps(inner.network))


def _masked(value: Cidr) -> Cidr:
    return Cidr(value.network.network_address, value.bits)


def _is_global_unicast(value: Ip) -> bool:
    address = value.address
    if str(address) == "255.255.255.255":
        return False
    return not (
        address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    )


def _is_link_local_multicast(value: Ip) -> bool:
    if isinstance(value.address, ipaddress.IPv4Address):
        return value.address in ipaddress.ip_network("224.0.0.0/24")
    return value.address.packed[0] == 0xFF and value.address.packed[1] & 0x0F == 2


# Formats


def _by_schema(name: str, fault: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        return "" if FORMATS[name](text) else fault

    return check


def _prefix(check: Callable[[str], str]) -> Callable[[str], str]:
    """The rule for a name that something will be appended to: it may end in a dash."""
    return lambda text: check(re.sub(r"-$", "a", text))


def _uri_fault(text: str) -> str:
    return "" if _is_url(text) else f'parse "{text}": invalid URI for request'


_FORMATS = {
    "dns1123Label": Format("DNS1123Label", names.label_fault, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.subdomain_fault, 60),
    "dns1035Label": Format("DNS1035Label", names.label_1035_fault, 30),
    "qualifiedName": Format("QualifiedName", names.qualified_fault, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(names.label_fault), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _prefix(names.subdomain_fault), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(names.label_1035_fault), 30),
    "labelValue": Format("LabelValue", names.label_value_fault, 40),
    "uri": Format("URI", _uri_fault, 1000),
    "uuid": Format("uuid", _by_schema("uuid", "does not match the UUID format"), 100),
    "byte": Format("byte", _by_schema("byte", "invalid base64"), 90),
    "date": Format("date", _by_schema("date", "invalid date"), 120),
    "datetime": Format("datetime", _by_schema("date-time", "invalid datetime"), 120),
}


def _constant(value: Format) -> Callable[[], Format]:
    return lambda: value


def _named(name: str) -> Optional:
    return Optional(_FORMATS[name], True) if name in _FORMATS else Optional()


def _validate(rule: Format, text: str) -> Optional:
    fault = rule.check(text)
    return Optional([fault], True) if fault else Optional()


# Semantic versions


_NUMBER = r"(0|[1-9]\d*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


@_remembered
def _semver(text: str, normalize: bool = False) -> Semver:
    if normalize:
        text = _normalized(text)
    found = _SEMVER.fullmatch(text)
    parts = found[4].split(".") if found and found[4] else []
    if found is None or any(part.isdigit() and len(part) > 1 and part[0] == "0" for part in parts):
        raise CelError(f'"{text}" is no semantic version such as 1.2.3')
    pre = tuple((0, _part(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return Semver((_part(found[1]), _part(found[2]), _part(found[3])), pre)


def _part(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise CelError("a part of a semantic version must be a number of 64 bits")
    return number


def _normalized(text: str) -> str:
    """Without a leading v, leading zeros, and with the parts that are left out."""
    parts = text.removeprefix("v").split(".", 2)
    parts = [re.sub(r"^0+(?=\d)", "", part) for part in parts]
    if len(parts) < 3 and re.search(r"[+-]", parts[-1]):
        raise CelError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][:3] if len(parts) < 3 else parts)


_Q, _U, _S = "kubernetes.Quantity", "kubernetes.URL", "kubernetes.Semver"

FUNCTIONS: list[Function] = [
    function("quantity", _quantity, string_to_quantity=f"(string) -> {_Q}"),
    function("isQuantity", _holds(_quantity), is_quantity_string="(string) -> bool"),
    function(
        "sign",
        lambda value: (value.amount > 0) - (value.amount < 0),
        quantity_sign=f"({_Q}) -> int",
    ),
    function(
        "isGreaterThan",
        lambda one, other: _compare(one, other) > 0,
        quantity_is_greater_than=f"{_Q}.({_Q}) -> bool",
        semver_is_greater_than=f"{_S}.({_S}) -> bool",
    ),
    function(
        "isLessThan",
        lambda one, other: _compare(one, other) < 0,
        quantity_is_less_than=f"{_Q}.({_Q}) -> bool",
        semver_is_less_than=f"{_S}.({_S}) -> bool",
    ),
    function(
        "compareTo",
        _compare,
        quantity_compare_to=f"{_Q}.({_Q}) -> int",
        semver_compare_to=f"{_S}.({_S}) -> int",
    ),
    function(
        "asApproximateFloat", lambda value: _float(value.amount), quantity_get_float=f"{_Q}.() -> double"
    ),
    function("asInteger", _as_integer, quantity_get_int=f"{_Q}.() -> int"),
    function("isInteger", _is_integer, quantity_is_integer=f"{_Q}.() -> bool"),
    function(
        "add",
        lambda one, other: Quantity(one.amount + _amount(other)),
        quantity_add=f"{_Q}.({_Q}) -> {_Q}",
        quantity_add_int=f"{_Q}.(int) -> {_Q}",
    ),
    function(
        "sub",
        lambda one, other: Quantity(one.amount - _amount(other)),
        quantity_sub=f"{_Q}.({_Q}) -> {_Q}",
        quantity_sub_int=f"{_Q}.(int) -> {_Q}",
    ),
    function("url", _url, string_to_url=f"(string) -> {_U}"),
    function("isURL", _is_url, is_url_string="(string) -> bool"),
    function("getScheme", lambda value: urlsplit(value.text).scheme, url_get_scheme=f"{_U}.() -> string"),
    function("getHost", _host, url_get_host=f"{_U}.() -> string"),
    function("getHostname", _hostname, url_get_hostname=f"{_U}.() -> string"),
    function("getPort", _port, url_get_port=f"{_U}.() -> string"),
    function("getEscapedPath", _escaped_path, url_get_escaped_path=f"{_U}.() -> string"),
    function("getQuery", _query, url_get_query=f"{_U}.() -> map(string, list(string))"),
    function("ip", _ip_of, string_to_ip="(string) -> net.IP", cidr_ip="net.CIDR.() -> net.IP"),
    function("isIP", _holds(_ip), is_ip="(string) -> bool"),
    function("ip.isCanonical", lambda text: str(_ip(text)) == text, ip_is_canonical="(string) -> bool"),
    function("family", lambda value: value.address.version, ip_family="net.IP.() -> int"),
    function(
        "isUnspecified", lambda value: value.address.is_unspecified, ip_is_unspecified="net.IP.() -> bool"
    ),
    function("isLoopback", lambda value: value.address.is_loopback, ip_is_loopback="net.IP.() -> bool"),
    function(
        "isLinkLocalMulticast", _is_link_local_multicast, ip_is_link_local_multicast="net.IP.() -> bool"
    ),
    function(
        "isLinkLocalUnicast",
        lambda value: value.address.is_link_local,
        ip_is_link_local_unicast="net.IP.() -> bool",
    ),
    function("isGlobalUnicast", _is_global_unicast, ip_is_global_unicast="net.IP.() -> bool"),
    function("cidr", _cidr, string_to_cidr="(string) -> net.CIDR"),
    function("isCIDR", _holds(_cidr), is_cidr="(string) -> bool"),
    function(
        "containsIP",
        _contains_ip,
        cidr_contains_ip_string="net.CIDR.(string) -> bool",
        cidr_contains_ip_ip="net.CIDR.(net.IP) -> bool",
    ),
    function(
        "containsCIDR",
        _contains_cidr,
        cidr_contains_cidr_string="net.CIDR.(string) -> bool",
        cidr_contains_cidr="net.CIDR.(net.CIDR) -> bool",
    ),
    function("prefixLength", lambda value: value.bits, cidr_prefix_length="net.CIDR.() -> int"),
    function("masked", _masked, cidr_masked="net.CIDR.() -> net.CIDR"),
    function("string", str, ip_to_string="(net.IP) -> string", cidr_to_string="(net.CIDR) -> string"),
    *(
        function(f"format.{name}", _constant(rule), **{f"format.{name}": "() -> kubernetes.NamedFormat"})
        for name, rule in _FORMATS.items()
    ),
    function("format.named", _named, **{"format-named": "(string) -> optional_type(kubernetes.NamedFormat)"}),
    function(
        "validate",
        _validate,
        **{"format-validate": "kubernetes.NamedFormat.(string) -> optional_type(list(string))"},
    ),
    function(
        "semver",
        _semver,
        string_to_semver=f"(string) -> {_S}",
        string_bool_to_semver=f"(string, bool) -> {_S}",
    ),
    function(
        "isSemver",
        lambda *args: _holds(lambda text: _semver(text, *args[1:]))(args[0]),
        is_semver_string="(string) -> bool",
        is_semver_string_bool="(string, bool) -> bool",
    ),
    function("major", lambda value: value.numbers[0], semver_major=f"{_S}.() -> int"),
    function("minor", lambda value: value.numbers[1], semver_minor=f"{_S}.() -> int"),
    function("patch", lambda value: value.numbers[2], semver_patch=f"{_S}.() -> int"),
]


def _float(amount: Fraction) -> float:
    try:
        return float(amount)
    except OverflowError:
        return math.inf
