"""Springtide: the cloud-native AI suite as one Python program."""

__version__ = "0.1.0"
