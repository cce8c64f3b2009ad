"""Which names, label keys and label values are well formed, with the exact rule for the message.

Each `*_fault` returns the rule that a text breaks, or "". Called by validation and wherever a name is
made. Rules and wording: Kubernetes' `k8s.io/apimachinery/pkg/util/validation`.
"""

from __future__ import annotations

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENV_NAME = "[ -<>-~]+"

LABEL_MAX = 63
SUBDOMAIN_MAX = 253


def label_fault(text: str) -> str:
    """RFC 1123 label: names of containers, volumes, namespaces, ports; host names."""
    return _fault(
        text,
        _LABEL,
        LABEL_MAX,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
        f"regex used for validation is '{_LABEL}')",
    )


def label_1035_fault(text: str) -> str:
    """RFC 1035 label: names of Services and TrainJobs, which must start with a letter."""
    return _fault(
        text,
        _LABEL_1035,
        LABEL_MAX,
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
        f"regex used for validation is '{_LABEL_1035}')",
    )


def subdomain_fault(text: str) -> str:
    """RFC 1123 subdomain: names of most objects."""
    return _fault(
        text,
        _SUBDOMAIN,
        SUBDOMAIN_MAX,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
        "and must start and end with an alphanumeric character (e.g. 'example.com', "
        f"regex used for validation is '{_SUBDOMAIN}')",
    )


def label_value_fault(text: str) -> str:
    """Value of a label; empty is fine."""
    if not text:
        return ""
    return _fault(
        text,
        _QUALIFIED,
        LABEL_MAX,
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
        "and must start and end with an alphanumeric character "
        "(e.g. 'MyValue',  or 'my_value',  or '12345', "
        f"regex used for validation is '({_QUALIFIED})?')",
    )


def qualified_fault(text: str) -> str:
    """Key of a label, annotation, taint or resource: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if prefix and (fault := subdomain_fault(prefix)):
        return f"prefix part {fault}"
    fault = _fault(
        name,
        _QUALIFIED,
        LABEL_MAX,
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
        f"regex used for validation is '{_QUALIFIED}')",
    )
    return f"name part {fault}" if fault else ""


def env_name_fault(text: str) -> str:
    """Name of an environment variable."""
    if re.fullmatch(_ENV_NAME, text, re.ASCII):
        return ""
    return "a valid environment variable name must consist only of printable ASCII characters other than '='"


def _fault(text: str, pattern: str, longest: int, rule: str) -> str:
    if len(text) > longest:
        return f"must be no more than {longest} characters"
    if not text:
        return "must be non-empty"
    return "" if re.fullmatch(pattern, text, re.ASCII) else rule
