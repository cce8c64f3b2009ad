"""A kopf operator as its users write them: a handler a verb, a finalizer, a timer. Run by `test_kopf`."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = True
    settings.persistence.finalizer = "example.com/boats"


@kopf.on.create("example.com", "v1", "boats")
def launched(spec: kopf.Spec, patch: kopf.Patch, body: kopf.Body, **_: Any) -> dict[str, str]:
    patch.status["phase"] = f"Afloat with {spec['crew']}"
    kopf.info(body, reason="Launched", message="the boat is in the water")
    return {"port": "home"}


@kopf.on.update("example.com", "v1", "boats", field="spec.crew")
def manned(old: Any, new: Any, patch: kopf.Patch, **_: Any) -> None:
    patch.status["phase"] = f"Crew from {old} to {new}"


@kopf.timer("example.com", "v1", "boats", interval=0.5)
def counted(status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    patch.status["ticks"] = int(status.get("ticks", 0)) + 1


@kopf.on.delete("example.com", "v1", "boats")
def sunk(name: str, logger: kopf.Logger, **_: Any) -> None:
    logger.info("sunk %s", name)
