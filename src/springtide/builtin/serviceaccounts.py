"""What every namespace has for the identities in it: the `default` ServiceAccount and whom to trust.

Pods that name no service account run as `default`; the ConfigMap `kube-root-ca.crt` tells them whom to trust
when they speak to the API server. Both are made again when they are deleted, the ConfigMap also when it is
changed. A controller whose keys are namespaces; `register_serviceaccounts` wires it.
"""

from __future__ import annotations

from springtide.api.commands import Apply, Command, Create
from springtide.api.core import ConfigMap, Namespace, ServiceAccount
from springtide.api.meta import ObjectMeta
from springtide.client import Forbidden, NotFound
from springtide.runtime import Informer, Runtime

ROOM = "builtin"
DEFAULT = "default"
ROOT_CA = "kube-root-ca.crt"
AUTHORITY_NAMESPACE, AUTHORITY = "kube-system", "extension-apiserver-authentication"
"""The ConfigMap in which the API server publishes its authority."""
_DESCRIPTION = {
    "kubernetes.io/description": "The certificate authority of this cluster's API server, for its clients."
}


class ServiceAccounts:
    """Reconciles one namespace at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.namespaces: Informer[Namespace] = runtime.informer(Namespace)
        self.accounts: Informer[ServiceAccount] = runtime.informer(
            ServiceAccount, field_selector=f"metadata.name={DEFAULT}"
        )
        self.roots: Informer[ConfigMap] = runtime.informer(
            ConfigMap, field_selector=f"metadata.name={ROOT_CA}"
        )
        self.authority: Informer[ConfigMap] = runtime.informer(
            ConfigMap, namespace=AUTHORITY_NAMESPACE, field_selector=f"metadata.name={AUTHORITY}"
        )

    async def reconcile(self, name: str) -> float | None:
        """Make what is missing."""
        namespace = self.namespaces.cache.get(name)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return None
        published = self.authority.cache.get(f"{AUTHORITY_NAMESPACE}/{AUTHORITY}")
        commands = missing(
            name,
            self.accounts.cache.get(f"{name}/{DEFAULT}"),
            self.roots.cache.get(f"{name}/{ROOT_CA}"),
            published.data.get("client-ca-file", "") if published is not None else "",
        )
        try:
            await self._runtime.apply(ROOM, commands)
        except (Forbidden, NotFound):
            return None  # the namespace began to go meanwhile
        return None

    def all_namespaces(self, _changed: ConfigMap) -> list[str]:
        """The authority concerns everybody."""
        return [namespace.metadata.name for namespace in self.namespaces.cache.list()]


def missing(
    namespace: str, account: ServiceAccount | None, root: ConfigMap | None, authority: str
) -> list[Command]:
    """What a namespace lacks. Without a published authority nothing is said about it."""
    commands: list[Command] = []
    if account is None:
        commands.append(Create(ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=namespace))))
    wanted = {"ca.crt": authority}
    if authority and (root is None or root.data != wanted):
        fields = {"metadata": {"annotations": _DESCRIPTION}, "data": wanted}
        commands.append(Apply(ConfigMap, namespace, ROOT_CA, fields))
    return commands


def register_serviceaccounts(runtime: Runtime) -> None:
    """Add the controller to a runtime."""
    accounts = ServiceAccounts(runtime)
    runtime.controller(
        "builtin.serviceaccounts",
        accounts.reconcile,
        [
            (accounts.namespaces, lambda namespace: (namespace.metadata.name,)),
            (accounts.accounts, lambda account: (account.metadata.namespace,)),
            (accounts.roots, lambda root: (root.metadata.namespace,)),
            (accounts.authority, accounts.all_namespaces),
        ],
        workers=2,
    )
