"""What is written into the audit log: the rules of an `audit.k8s.io/v1` Policy, and what holds without one.

Without a policy file, `Metadata` of every request from outside this process that writes, or that is refused.
With one, the first rule that fits a request says how much of it is kept, as in Kubernetes. Used by `audit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import yaml

from springtide.server.rbac_rules import Attributes
from springtide.server.request import Request, User

_WRITES = frozenset(("create", "update", "patch", "delete", "deletecollection"))
_REFUSED = (401, 403)
_READS = ("GET", "HEAD")


class Level(IntEnum):
    """How much of a request is kept; the names are those of the policy."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def text(self) -> str:
        return _TEXTS[self]


_TEXTS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {text: level for level, text in _TEXTS.items()}


class PolicyError(ValueError):
    """An audit policy that cannot be used; names file, field and fix."""


class _Resources(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()

    def fit(self, wanted: Attributes) -> bool:
        if self.group != wanted.group:
            return False
        if self.resource_names and wanted.name not in self.resource_names:
            return False
        return not self.resources or any(_resource_fits(one, wanted) for one in self.resources)


class _Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    level: str
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[_Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(name="nonResourceURLs", default=())
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool | None = None
    """Whether bodies lose their managedFields; None: as the policy says for all rules."""

    def fits(self, user: User, wanted: Attributes) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.user_groups and not set(self.user_groups) & set(user.groups):
            return False
        if self.verbs and wanted.verb not in self.verbs:
            return False
        if not self.resources and not self.namespaces and not self.non_resource_urls:
            return True
        if not wanted.resource:
            return any(_url_fits(one, wanted.path) for one in self.non_resource_urls)
        if self.namespaces and wanted.namespace not in self.namespaces:
            return False
        if self.resources:
            return any(one.fit(wanted) for one in self.resources)
        return bool(self.namespaces)


class _Document(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    rules: tuple[_Rule, ...]
    api_version: str = ""
    kind: str = ""
    metadata: dict[str, Any] | None = None
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """How much of one request is kept."""

    level: Level
    omitted: frozenset[str] = frozenset()
    """Stages that are not written."""
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force; None: those of a server that was given none."""

    rules: tuple[_Rule, ...] | None = None
    omitted: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def ignores(self, request: Request, code: int) -> bool:
        """A quick no: without a policy, for reads and for all that comes from within this process."""
        if self.rules is not None:
            return False
        return not request.remote or (request.method in _READS and code not in _REFUSED)

    def choose(self, user: User, wanted: Attributes, code: int) -> Choice:
        """How much to keep of a request that was answered with `code` and is not ignored."""
        if self.rules is None:
            kept = wanted.verb in _WRITES or code in _REFUSED
            return Choice(Level.METADATA if kept else Level.NONE)
        rule = next((one for one in self.rules if one.fits(user, wanted)), None)
        if rule is None:
            return Choice(Level.NONE)
        omit = self.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
        return Choice(_LEVELS[rule.level], self.omitted.union(rule.omit_stages), omit)


def load_policy(file: Path) -> Policy:
    """The policy of a YAML file. Raises PolicyError."""
    try:
        raw = yaml.safe_load(file.read_text())
        document = msgspec.convert(raw, _Document)
    except OSError as error:
        raise PolicyError(f"{file}: the audit policy cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise PolicyError(f"{file}: the audit policy does not fit audit.k8s.io/v1 Policy: {error}") from error
    if document.api_version != "audit.k8s.io/v1" or document.kind != "Policy":
        raise PolicyError(f"{file}: apiVersion and kind must be audit.k8s.io/v1 Policy")
    for index, rule in enumerate(document.rules):
        if rule.level not in _LEVELS:
            raise PolicyError(
                f"{file}: rules[{index}].level: {rule.level!r} is not one of {', '.join(_LEVELS)}"
            )
    return Policy(document.rules, frozenset(document.omit_stages), document.omit_managed_fields)


def _resource_fits(pattern: str, wanted: Attributes) -> bool:
    if pattern in ("*", wanted.whole_resource):
        return True
    resource, _, subresource = pattern.partition("/")
    if resource == "*":
        return bool(subresource) and subresource == wanted.subresource
    return subresource == "*" and resource == wanted.resource and bool(wanted.subresource)


def _url_fits(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def status_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a failed answer's Status is kept."""
    return {key: body[key] for key in ("status", "message", "reason", "code") if key in body}
