"""The controllers every cluster has, for the embedded control plane: garbage, namespaces, nodes, pods."""

from springtide.builtin.controller import Settings, register

__all__ = ["Settings", "register"]
