"""The folder put on PYTHONPATH of pods without an /etc/hosts of their own; a package, so wheels hold it."""
