"""Clients nobody here wrote, each the way its users use it, against one running platform."""
